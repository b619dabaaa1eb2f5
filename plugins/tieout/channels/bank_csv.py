"""A bank's statement as CSV, in the layouts of `bank_csv_layouts.toml` (formats.md §6.2).

The layouts are the bank's own and not public, so columns, texts, formats and signs are data. The
layout is told by the header line; columns nobody names are an error that names them. Each line's
balance has to follow from the one before, and opening balance plus lines is the closing balance.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tieout.channels.amounts import (
    CURRENCY_EXPONENTS,
    amount_shown,
    minor_units,
    minor_units_of,
)
from tieout.channels.bank_texts import counterparty_shown, remittance_shown
from tieout.channels.bill_columns import PADDING
from tieout.channels.camt053 import (
    DETAIL_SCHEMA,
    DETAILS_TABLE,
    LINE_SCHEMA,
    LINES_TABLE,
    STATEMENT_SCHEMA,
    STATEMENTS_TABLE,
)
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import (
    BadRow,
    ControlTotal,
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.text_files import decoded_text
from tieout.channels.whole_reading import WholeReading
from tieout.secrets import mask_account

__all__ = ["LAYOUTS_FILE", "BankCsvReading", "Layout", "layouts", "layouts_of"]

LAYOUTS_FILE = Path(__file__).with_name("bank_csv_layouts.toml")

# What every layout has to have, one of each.
_NEEDED = (("booking_date",), ("debit_amount", "amount"), ("credit_amount", "amount"))
_GROUPED = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$"
_GROUPED_AMOUNT = re.compile(_GROUPED)
_NO_AMOUNT = ("", "-", "--")
_HEADER_WITHIN_LINES = 50
# What begins another fact of a line, read or not: 户名：, Name:. A time (23:59) is none.
_LABEL = re.compile(r"[^\W\d_][^:：]*[:：]")
# An id inside a longer token is not that id.
_ID_CHARACTERS = "0-9A-Za-z_-"


@dataclass(frozen=True, slots=True)
class Layout:
    """One bank's form, as the layouts file describes it."""

    name: str
    encodings: tuple[str, ...]
    delimiter: str
    is_ascending: bool
    date_formats: tuple[str, ...]
    currency_code: str
    trailer_starts: tuple[str, ...]
    return_pattern: str
    end_to_end_pattern: str
    payout_pattern: str
    organisation_pattern: str
    columns: Mapping[str, Sequence[str]]
    ignored: frozenset[str]
    marks: Mapping[str, int]
    currencies: Mapping[str, str]
    facts: Mapping[str, re.Pattern[str]]

    def positions(self, cells: Sequence[str]) -> dict[str, int] | None:
        """Return where our columns stand in a header line, or None where it is none."""
        found: dict[str, int] = {}
        for column, names in self.columns.items():
            position = next((cells.index(name) for name in names if name in cells), None)
            if position is not None:
                found[column] = position
        has_all = all(any(name in found for name in names) for names in _NEEDED)
        return found if has_all else None

    def unknown(self, cells: Sequence[str]) -> list[str]:
        """Return the header's columns that the layout does not name."""
        known = {name for names in self.columns.values() for name in names} | self.ignored | {""}
        return [cell for cell in cells if cell not in known]


def layouts_of(text: str) -> tuple[Layout, ...]:
    """Return the layouts a TOML text describes."""
    return tuple(_layout(name, table) for name, table in tomllib.loads(text).items())


@cache
def layouts() -> tuple[Layout, ...]:
    """Return the layouts of the package's own file."""
    return layouts_of(LAYOUTS_FILE.read_text(encoding="utf-8"))


def _layout(name: str, table: Mapping[str, Any]) -> Layout:
    order = table["order"]
    if order not in {"ascending", "descending"}:
        raise ValueError(f"layout {name}: order is ascending or descending")
    return Layout(
        name=name,
        encodings=tuple(table["encodings"]),
        delimiter=table["delimiter"],
        is_ascending=order == "ascending",
        date_formats=tuple(table["date_formats"]),
        currency_code=table["currency_code"],
        trailer_starts=tuple(table["trailer_starts"]),
        return_pattern=table["return_pattern"],
        end_to_end_pattern=table["end_to_end_pattern"],
        payout_pattern=table["payout_pattern"],
        organisation_pattern=table["organisation_pattern"],
        columns=table["columns"],
        ignored=frozenset(table["ignored"]["columns"]),
        marks=table.get("marks", {}),
        currencies=table["currencies"],
        facts={key: re.compile(pattern) for key, pattern in table["facts"].items()},
    )


# --- the file -------------------------------------------------------------------------------------


class BankCsvReading(WholeReading):
    """Reads the statement and its lines; amounts signed, + = credit.

    `line_number` is the line of the file, of the statement that of the header. The statement's
    number is the one in the file's name: the form has none.

    Raises:
        UnreadableFileError: not a text of a known layout, a malformed CSV, unknown columns.
    """

    def __init__(
        self, context: FileContext, *, known_layouts: Sequence[Layout] | None = None
    ) -> None:
        super().__init__(context)
        self._layouts = known_layouts if known_layouts is not None else layouts()

    def parsed(self, content: bytes) -> ParsedFile:
        """Return the whole file."""
        return _Reader(_table(content, self._layouts), self.context).parsed_file()


@dataclass(frozen=True, slots=True)
class _Table:
    """A file cut into the lines around the list, and the list."""

    layout: Layout
    positions: Mapping[str, int]
    column_count: int
    header_line: int
    line_numbers: list[int]
    rows: list[list[str]]
    facts: Mapping[str, str]
    bad_rows: list[BadRow]


def _table(content: bytes, known: Sequence[Layout]) -> _Table:
    found: list[_Table] = []
    for layout in known:
        records = _records(content, layout)
        header = _header(records, layout) if records is not None else None
        if records is not None and header is not None:
            found.append(_cut(layout, records, *header))
    if len(found) != 1:
        names = ", ".join(table.layout.name for table in found)
        raise UnreadableFileError(
            "unknown_layout",
            f"its header fits several layouts: {names}"
            if found
            else "no line has the columns of a layout of bank_csv_layouts.toml",
        )
    return found[0]


def _records(content: bytes, layout: Layout) -> list[tuple[int, list[str]]] | None:
    """Return the records with their first lines, or None where no encoding fits."""
    for encoding in layout.encodings:
        try:
            text = decoded_text(content, encoding)
        except UnreadableFileError:
            continue
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
        records: list[tuple[int, list[str]]] = []
        line_number = 1
        try:
            for cells in reader:
                records.append((line_number, [_clean(cell) for cell in cells]))
                line_number = reader.line_num + 1
        except csv.Error:
            raise UnreadableFileError(
                "bad_csv", "a quote opens or closes where none may", line_number=line_number
            ) from None
        return records
    return None


def _clean(cell: str) -> str:
    """Return a cell without blanks, tabs and the marks that keep a spreadsheet from counting."""
    text = cell.strip(PADDING).removeprefix("`")
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text.strip(PADDING)


def _header(
    records: Sequence[tuple[int, list[str]]], layout: Layout
) -> tuple[int, dict[str, int]] | None:
    for index, (_, cells) in enumerate(records[:_HEADER_WITHIN_LINES]):
        positions = layout.positions(cells)
        if positions is not None:
            return index, positions
    return None


def _cut(
    layout: Layout,
    records: Sequence[tuple[int, list[str]]],
    header_index: int,
    positions: dict[str, int],
) -> _Table:
    """Cut the records into facts and rows; rows that are too long, short or late are flagged."""
    header_line, header = records[header_index]
    unknown = layout.unknown(header)
    twice = {name for name in header if name and header.count(name) > 1}
    if unknown or twice:
        names = ", ".join(sorted({*unknown, *twice}))
        raise UnreadableFileError(
            "unknown_column", f"columns the layout does not name once: {names}",
            line_number=header_line,
        )  # fmt: skip
    line_numbers, rows, bad_rows = [], [], []
    around = [cells for _, cells in records[:header_index]]
    is_over = False
    length = _row_length(layout, records[header_index + 1 :], len(header))
    for line_number, cells in records[header_index + 1 :]:
        if not any(cells):
            continue
        if cells[0].startswith(layout.trailer_starts):
            is_over = True
            around.append(cells)
            continue
        if is_over:
            reason = "a line after the totals that end the list"
            bad_rows.append(BadRow(line_number, "", "after_the_end", reason))
            continue
        if len(cells) != length or any(cells[len(header) :]):
            reason = f"{len(cells)} columns, the header has {len(header)}"
            bad_rows.append(BadRow(line_number, "", "wrong_length", reason))
            continue
        line_numbers.append(line_number)
        rows.append(cells[: len(header)])
    facts = _facts(layout, around, bad_rows)
    return _Table(layout, positions, len(header), header_line, line_numbers, rows, facts, bad_rows)


def _row_length(
    layout: Layout, records: Sequence[tuple[int, list[str]]], header_length: int
) -> int:
    """Return how many cells a row has: the header's, or where a bank ends each with more commas.

    One row with a blank cell too many is one whose amount was cut in two by a comma.
    """
    rows = [
        cells
        for _, cells in records
        if any(cells) and not cells[0].startswith(layout.trailer_starts)
    ]
    lengths = {len(cells) for cells in rows}
    if len(rows) > 1 and len(lengths) == 1 and min(lengths) > header_length:
        return min(lengths)
    return header_length


def _facts(
    layout: Layout, around: Sequence[Sequence[str]], bad_rows: list[BadRow]
) -> dict[str, str]:
    """Return what the lines around the list state; a fact stated twice, differently, is flagged.

    A value ends where its line ends or the next label begins. What stands between is a part of it
    that was not read, such as the second half of 1,000.00 without quotes: that is flagged.
    """
    found: dict[str, set[str]] = {}
    for cells in around:
        line = " ".join(cell for cell in cells if cell)
        for name, pattern in layout.facts.items():
            for match in pattern.finditer(line):
                rest = line[match.end(1) :]
                if not _ends_a_value(rest, layout):
                    shown = masked_excerpt(f"{match[1]}{rest}")
                    reason = (
                        f"'{shown}' is no value that ends with its line or before the next label "
                        "(名称：值); quote a cell that has a comma inside"
                    )
                    bad_rows.append(file_problem("not_read_whole", reason, field=name))
                    continue
                found.setdefault(name, set()).add(match[1])
    for name, values in found.items():
        if len(values) > 1:
            shown = masked_excerpt(", ".join(sorted(values)))
            reason = f"it is stated twice, differently: {shown}"
            bad_rows.append(file_problem("several_values", reason, field=name))
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}


def _ends_a_value(rest: str, layout: Layout) -> bool:
    """Say whether nothing, a label or another fact stands behind a value."""
    if not rest.strip(PADDING):
        return True
    behind = rest.lstrip(PADDING)
    if behind == rest:
        return False
    return _LABEL.match(behind) is not None or any(
        pattern.match(behind) for pattern in layout.facts.values()
    )


# --- rows -----------------------------------------------------------------------------------------


class _Reader:
    """Turns one file's table into rows, totals and findings."""

    def __init__(self, table: _Table, context: FileContext) -> None:
        self.layout = table.layout
        self.context = context
        self._table = table
        self._of_lines = Findings()
        self._findings = self._of_lines.of_block(table.line_numbers)
        self._problems = list(table.bad_rows)
        self._sides: dict[str, pl.Series] = {}
        columns = list(zip(*table.rows, strict=True)) if table.rows else []
        self._frame = pl.DataFrame(
            {
                name: pl.Series(name, columns[position] if columns else [], dtype=pl.String)
                for name, position in table.positions.items()
            }
        )

    def parsed_file(self) -> ParsedFile:
        """Return the statement with everything that speaks against it."""
        currency = self._currency()
        exponent = CURRENCY_EXPONENTS.get(currency)
        if exponent is None:
            return self._bad()
        amounts = self._amounts(exponent)
        booking_dates = self._dates("booking_date")
        balances = self._balances(exponent)
        opening, closing = self._ends(amounts, balances, currency)
        day = self._statement_date(booking_dates)
        account = self._account()
        if opening is None or closing is None or day is None or account is None:
            return self._bad()
        lines = self._lines(amounts, booking_dates, currency, account, day)
        statement = {
            "line_number": self._table.header_line,
            "statement_id": f"{account}-{day:%Y%m%d}-{self._sequence()}",
            "bank_account_id": account,
            "statement_date": day,
            "sequence_number": self._sequence(),
            "currency_code": currency,
            "opening_balance_minor": opening,
            "closing_balance_minor": closing,
            "entry_count": len(lines),
        }
        # Not Series.sum(), whose 64 bits could run over.
        counted = sum(amounts.to_list())
        totals = [ControlTotal("closing_balance", closing, opening + counted, currency)]
        totals += self._stated_totals(currency)
        return ParsedFile(
            frames={
                STATEMENTS_TABLE: pl.DataFrame([statement], schema=STATEMENT_SCHEMA),
                LINES_TABLE: lines.with_columns(
                    pl.lit(statement["statement_id"]).alias("statement_id")
                ).select(list(LINE_SCHEMA)),
                DETAILS_TABLE: pl.DataFrame([], schema=DETAIL_SCHEMA),
            },
            row_count=len(lines),
            accounting_date=day,
            totals=tuple(totals),
            declared_total_minor=closing - opening,
            counted_total_minor=counted,
            bad_rows=(*self._problems, *self._of_lines.bad_rows),
        )

    def _bad(self) -> ParsedFile:
        bad_rows = (*self._problems, *self._of_lines.bad_rows)
        return ParsedFile({}, len(self._frame), None, bad_rows=bad_rows)

    def _problem(self, reason_code: str, reason: str, field: str = "") -> None:
        self._problems.append(file_problem(reason_code, reason, field=field))

    def _sequence(self) -> int:
        return int(self.context.name_parts.get("sequence", "1"))

    def _column(self, name: str) -> pl.Series:
        """Return a column of text, blank where the file has none."""
        if name in self._frame.columns:
            return self._frame[name]
        return pl.Series(name, [""] * len(self._frame), dtype=pl.String)

    def _currency(self) -> str:
        stated = set(self._column("currency").unique().to_list()) - {""}
        stated |= {self._table.facts["currency"]} if "currency" in self._table.facts else set()
        known = dict.fromkeys(CURRENCY_EXPONENTS) | dict(self.layout.currencies)
        codes = {text: known[text] or text for text in stated if text in known}
        unknown = sorted(stated - codes.keys())
        if unknown:
            shown = masked_excerpt(", ".join(unknown))
            reason = (
                f"'{shown}' is no currency; it has to be a code of ISO 4217 or a word of the "
                f"layout's currencies ({', '.join(sorted(self.layout.currencies))})"
            )
            self._problem("unknown_code", reason, "currency")
            return ""
        if len(set(codes.values())) > 1:
            names = ", ".join(sorted(set(codes.values())))
            self._problem("mixed_currencies", f"its lines are in {names}", "currency")
            return ""
        return next(iter(codes.values()), self.layout.currency_code)

    def _account(self) -> str | None:
        """Return the account, which file and name have to agree on."""
        named = self.context.name_parts.get("bank_account_id")
        inside = set(self._column("bank_account_id").unique().to_list()) - {""}
        fact = self._table.facts.get("bank_account_id")
        inside |= {fact} if fact is not None else set()
        if len(inside) > 1:
            shown = ", ".join(sorted(mask_account(text) for text in inside))
            self._problem(
                "mixed_accounts", f"it is of several accounts: {shown}", "bank_account_id"
            )
        elif named is not None and inside and inside != {named}:
            shown = mask_account(next(iter(inside)))
            reason = f"inside is the account {shown}, in the name {mask_account(named)}"
            self._problem("wrong_name", reason, "bank_account_id")
        account = named or next(iter(inside), None)
        if account is None:
            self._problem("missing_element", "neither file nor name says whose it is")
        return account

    # --- amounts and balances ---

    def _amounts(self, exponent: int) -> pl.Series:
        """Return signed amounts, + = credit; a line has one, not zero, on one side."""
        frame = self._frame
        if "amount" in frame.columns:
            return self._amounts_of_one_column(exponent)
        debit = self._minor("debit_amount", exponent)
        credit = self._minor("credit_amount", exponent)
        both = (debit.fill_null(0) != 0) & (credit.fill_null(0) != 0)
        neither = (debit.fill_null(0) == 0) & (credit.fill_null(0) == 0)
        self._findings.flag(
            both | neither, "amount", "not_an_amount",
            "a line has an amount in one of the columns of debits and credits, and only there",
        )  # fmt: skip
        self._sides = {"debit": debit.fill_null(0), "credit": credit.fill_null(0)}
        return self._sides["credit"] - self._sides["debit"]

    def _amounts_of_one_column(self, exponent: int) -> pl.Series:
        amounts = self._minor("amount", exponent)
        missing = amounts.fill_null(0) == 0
        self._findings.flag(missing, "amount", "not_an_amount", "a line has to have an amount")
        if not self._has_marks():
            known = amounts.fill_null(0)
            self._sides = {"debit": -known.clip(upper_bound=0), "credit": known.clip(0)}
            return known
        marks = self._frame["mark"]
        signs = marks.replace_strict(
            list(self.layout.marks), list(self.layout.marks.values()),
            default=None, return_dtype=pl.Int64,
        )  # fmt: skip
        self._findings.flag(
            signs.is_null(), "mark", "unknown_code", "it is no mark of a debit or a credit"
        )
        known, signed = amounts.fill_null(0), signs.fill_null(0)
        self._sides = {"debit": known * (signed < 0), "credit": known * (signed > 0)}
        return known * signed

    def _minor(self, name: str, exponent: int) -> pl.Series:
        """Return a column of amounts; blank is NULL, what is none is flagged."""
        cells = self._column(name)
        plain = (
            pl.when(pl.col(name).str.contains(_GROUPED))
            .then(pl.col(name).str.replace_all(",", "", literal=True))
            .otherwise(pl.col(name))
        )
        read = cells.to_frame(name).select(minor_units(plain, exponent=exponent)).to_series()
        bad = read.is_null() & ~cells.is_in(list(_NO_AMOUNT))
        self._findings.flag(
            bad, name, "not_an_amount", lambda position: _no_amount(cells[position], exponent)
        )
        return read

    def _balances(self, exponent: int) -> pl.Series | None:
        if "balance" not in self._frame.columns:
            return None
        balances = self._minor("balance", exponent)
        blank = self._frame["balance"].is_in(list(_NO_AMOUNT))
        self._findings.flag(blank, "balance", "missing_value", "a line has to have its balance")
        return balances

    def _ends(
        self, amounts: pl.Series, balances: pl.Series | None, currency: str
    ) -> tuple[int | None, int | None]:
        """Return opening and closing balance, stated or by the lines; check each line's balance."""
        exponent = CURRENCY_EXPONENTS[currency]
        opening = self._fact_amount("opening_balance", exponent)
        closing = self._fact_amount("closing_balance", exponent)
        if balances is not None and len(balances) and not self._of_lines.bad_rows:
            moved = amounts.to_numpy()
            running = balances.to_numpy()
            first = 0 if self.layout.is_ascending else len(moved) - 1
            last = len(moved) - 1 - first
            # Without a stated one, the first line's balance says what was there before it.
            opening = int(running[first] - moved[first]) if opening is None else opening
            closing = int(running[last]) if closing is None else closing
            step = 1 if self.layout.is_ascending else -1
            ordered_moved, ordered_running = moved[::step], running[::step]
            before = np.concatenate(([opening], ordered_running[:-1]))
            broken = (before + ordered_moved != ordered_running)[::step]
            self._findings.flag(
                broken, "balance", "broken_balance",
                _broken_balance(before[::step], moved, running, currency),
            )  # fmt: skip
        is_open = opening is None or closing is None
        if is_open and not self._has_unread_fact() and not self._of_lines.bad_rows:
            reason = "an opening or closing balance is missing, and no line says it"
            self._problem("missing_balance", reason)
        return opening, closing

    def _has_unread_fact(self) -> bool:
        """Say whether a fact was flagged: what is missing then is that one."""
        return any(problem.reason_code == "not_read_whole" for problem in self._problems)

    def _fact_amount(self, name: str, exponent: int) -> int | None:
        text = self._table.facts.get(name)
        if text is None:
            return None
        plain = text.replace(",", "") if _GROUPED_AMOUNT.match(text) else text
        amount = minor_units_of(plain, exponent=exponent)
        if amount is None:
            self._problem("not_an_amount", _no_amount(text, exponent), name)
        return amount

    def _stated_totals(self, currency: str) -> list[ControlTotal]:
        """Compare counts and sums of debits and credits, where stated, with what is written there.

        A negative number on a side (红字) lowers that side's sum.
        """
        totals = []
        for side, of_side in self._sides.items():
            count, total = int((of_side != 0).sum()), sum(of_side.to_list())
            exponent = CURRENCY_EXPONENTS[currency]
            for name, digits, counted, unit in (
                (f"{side}_count", 0, count, None),
                (f"{side}_sum", exponent, total, currency),
            ):
                if name in self._table.facts:
                    stated = self._fact_amount(name, digits)
                    totals.append(ControlTotal(name, stated, counted, unit))
        return totals

    # --- dates ---

    def _dates(self, name: str) -> pl.Series:
        """Return a column of dates; blank is NULL, what is none is flagged."""
        cells = self._column(name)
        # The parser of dates takes signs, blanks and more digits than a year has: form first.
        parsed = [
            cells.set(~cells.str.contains(f"^{_pattern_of(form)}$"), None).str.to_date(
                form, strict=False
            )
            for form in self.layout.date_formats
        ]
        read = parsed[0]
        for other in parsed[1:]:
            read = read.fill_null(other) if read.null_count() else read
        bad = read.is_null() if name == "booking_date" else read.is_null() & (cells != "")
        forms = ", ".join(self.layout.date_formats)
        self._findings.flag(
            bad, name, "not_a_date",
            lambda position: f"'{masked_excerpt(cells[position])}' is no date of the form {forms}",
        )  # fmt: skip
        return read

    def _statement_date(self, booking_dates: pl.Series) -> date | None:
        """Return the date stated, else the last line's; no line may be after it."""
        text = self._table.facts.get("statement_date")
        if text is not None:
            day = _date_of(text, self.layout.date_formats)
            if day is None:
                forms = ", ".join(self.layout.date_formats)
                reason = f"'{masked_excerpt(text)}' is no date of the form {forms}"
                self._problem("not_a_date", reason, "statement_date")
                return None
            late = (booking_dates > day).fill_null(False)
            self._findings.flag(late, "booking_date", "wrong_date", "it is after the statement")
        else:
            latest = booking_dates.max()
            day = latest if isinstance(latest, date) else None
            if day is None and not self._has_unread_fact() and not self._of_lines.bad_rows:
                self._problem("missing_element", "no line and no text says its date")
                return None
        named = self.context.accounting_date
        if day is not None and named is not None and day != named:
            reason = f"inside is {day}, in the name {named}"
            self._problem("wrong_date", reason, "statement_date")
        return day

    # --- texts ---

    def _lines(
        self,
        amounts: pl.Series,
        booking_dates: pl.Series,
        currency: str,
        account: str,
        day: date,
    ) -> pl.DataFrame:
        layout = self.layout
        frame = pl.DataFrame(
            {
                "line_number": pl.Series(self._table.line_numbers, dtype=pl.Int32),
                "booking_date": booking_dates,
                "value_date": self._dates("value_date"),
                "amount_minor": amounts,
                "entry_reference": self._column("entry_reference"),
                "summary": self._column("summary"),
                "remittance": self._column("remittance_text"),
                "name": self._column("counterparty_name"),
                "account": self._column("counterparty_account"),
            }
        )
        # On a line each, so that ^ and $ stand for the ends of either.
        text = pl.concat_str(["summary", "remittance"], separator="\n")
        is_return = text.str.contains(f"(?m){layout.return_pattern}")
        pattern = layout.end_to_end_pattern
        begins, ends = f"(?:^|[^{_ID_CHARACTERS}])", f"(?:$|[^{_ID_CHARACTERS}])"
        identifier = text.str.extract(f"(?m){begins}({pattern}){ends}", 1)
        is_payout = (pl.col("amount_minor") < 0) & (
            text.str.contains(pattern) | text.str.contains(f"(?m){layout.payout_pattern}")
        )
        is_person = (pl.col("name") != "") & ~pl.col("name").str.contains(
            layout.organisation_pattern
        )
        frame = frame.with_columns(
            is_return.alias("is_return"),
            identifier.alias("end_to_end_id"),
            (is_return | is_payout).alias("is_payee"),
            is_person.alias("is_person"),
            self._is_reversal().alias("is_reversal"),
        )
        people = (frame["is_payee"] | frame["is_person"]).to_list()
        masked = [
            counterparty_shown(name or None, is_payee=is_payee)
            for name, is_payee in zip(frame["name"], people, strict=True)
        ]
        remittance, summary = (
            [
                remittance_shown(cell or None, is_payee=is_payee)
                for cell, is_payee in zip(frame[column], people, strict=True)
            ]
            for column in ("remittance", "summary")
        )
        texts = [own or other for own, other in zip(remittance, summary, strict=True)]
        return frame.with_columns(
            pl.lit(account).alias("bank_account_id"),
            pl.lit(day).alias("statement_date"),
            pl.lit(currency).alias("currency_code"),
            pl.lit(None, dtype=pl.Int64).alias("charge_amount_minor"),
            pl.Series("counterparty_name", masked, dtype=pl.String),
            self._account_tokens(frame["account"]),
            pl.Series("remittance_text", texts, dtype=pl.String),
            pl.lit(None, dtype=pl.String).alias("batch_message_id"),
            pl.lit(0, dtype=pl.Int32).alias("detail_count"),
            _blank_as_null("entry_reference"),
            pl.Series("bank_transaction_code", summary, dtype=pl.String),
        )

    def _is_reversal(self) -> pl.Series:
        """Say where a negative number stands on a side of its own (红字): it takes back."""
        sided = ["debit_amount", "credit_amount", *(["amount"] if self._has_marks() else [])]
        found = pl.Series([False] * len(self._frame), dtype=pl.Boolean)
        for name in sided:
            cells = self._column(name)
            found |= cells.str.starts_with("-") & ~cells.is_in(list(_NO_AMOUNT))
        return found

    def _has_marks(self) -> bool:
        return "mark" in self._frame.columns

    def _account_tokens(self, accounts: pl.Series) -> pl.Series:
        """Return one token an account number, NULL for blank."""
        given = sorted(set(accounts.to_list()) - {""})
        tokens = self.context.vault.account_tokens(given)
        return accounts.replace_strict(given, tokens, default=None, return_dtype=pl.String).alias(
            "counterparty_account_token"
        )


def _broken_balance(before: Any, moved: Any, running: Any, currency: str) -> Callable[[int], str]:
    def reason(position: int) -> str:
        shown = [
            amount_shown(int(figures[position]), currency) for figures in (running, before, moved)
        ]
        return f"it says {shown[0]}; the line before has {shown[1]}, this line moves {shown[2]}"

    return reason


def _no_amount(text: str, exponent: int) -> str:
    return (
        f"'{masked_excerpt(text)}' is no exact amount; it has to be digits, a point and at most "
        f"{exponent} decimals that are not 0, with commas between thousands or none"
    )


def _blank_as_null(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name)).otherwise(None).alias(name)


@cache
def _pattern_of(form: str) -> str:
    """Return the pattern of a date's form; between separators a month or day may have one digit."""
    is_separated = re.search(r"%[A-Za-z]%[A-Za-z]", form) is None
    short = "[0-9]{1,2}" if is_separated else "[0-9]{2}"
    digits = {"%Y": "[0-9]{4}", "%m": short, "%d": short}
    parts = re.split(r"(%[A-Za-z])", form)
    return "".join(
        (digits.get(part, "[0-9]{2}") if part.startswith("%") else re.escape(part))
        for part in parts
    )


def _date_of(text: str, formats: Sequence[str]) -> date | None:
    for form in formats:
        if re.fullmatch(_pattern_of(form), text) is None:
            continue
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a date, no instant
        except ValueError:
            continue
    return None
