"""A bank's statement as CSV, in the layouts of `bank_csv_layouts.toml`.

Format: docs/formats/bank-csv.md.

The layouts are the bank's own and not public, so columns, texts, formats and signs are data. The
layout is told by the header line; columns nobody names are an error that names them. Each line's
balance has to follow from the one before, and opening balance plus lines is the closing balance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import IO, Any

import polars as pl

from tieout.channels.bank.bank_csv_layouts import Layout, layouts
from tieout.channels.bank.bank_csv_rows import (
    BlockOfRows,
    amount_of,
    date_of,
    dates_of,
    no_amount,
    no_date,
)
from tieout.channels.bank.bank_csv_survey import Record, Survey, survey_of
from tieout.channels.bank.camt053 import (
    DETAIL_SCHEMA,
    DETAILS_TABLE,
    LINE_SCHEMA,
    LINES_TABLE,
    STATEMENT_SCHEMA,
    STATEMENTS_TABLE,
)
from tieout.channels.common.amounts import amount_shown
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    BadRow,
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    file_problem,
)
from tieout.channels.common.text_files import batches
from tieout.core.masks import mask_account
from tieout.core.money import CURRENCY_EXPONENTS

__all__ = ["BankCsvReading"]


class BankCsvReading:
    """Reads the statement and its lines; amounts signed, + = credit.

    `line_number` is the line of the file, of the statement that of the header. The statement's
    number is the one in the file's name: the form has none. The file is read once for what is said
    around the rows and by all of them, then for the rows.
    """

    def __init__(
        self, context: FileContext, *, known_layouts: Sequence[Layout] | None = None
    ) -> None:
        self._context = context
        self._layouts = known_layouts if known_layouts is not None else layouts()
        self._list: _List | None = None

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the lines block by block, then the statement; see `Reading`.

        Raises:
            UnreadableFileError: not a text of a known layout, a malformed CSV, unknown columns.
        """
        survey = survey_of(stream, self._layouts)
        self._list = _List(survey, self._context)
        for batch in batches(survey.rows(stream), self._context.block_rows):
            lines = self._list.lines(batch)
            if lines is not None:
                yield _frames(lines)
        self._list.end()
        yield _frames(None, self._list.statement)

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        if self._list is None:
            raise AssertionError("no block was read")
        return self._list.parsed_file()


def _frames(lines: pl.DataFrame | None, statement: Mapping[str, Any] | None = None) -> Frames:
    statements = [statement] if statement is not None else []
    return {
        STATEMENTS_TABLE: pl.DataFrame(statements, schema=STATEMENT_SCHEMA, orient="row"),
        LINES_TABLE: pl.DataFrame([], schema=LINE_SCHEMA) if lines is None else lines,
        DETAILS_TABLE: pl.DataFrame([], schema=DETAIL_SCHEMA),
    }


@dataclass(slots=True)
class _Side:
    """Debits or credits: how many lines have one, and the sum of these."""

    count: int = 0
    total: int = 0

    def add(self, amounts: pl.Series) -> None:
        self.count += int((amounts != 0).sum())
        # Not Series.sum(), whose 64 bits could run over.
        self.total += sum(amounts.to_list())


class _List:
    """The list of a statement's lines, as its rows are read, and the facts around it.

    Facts that cannot be read are flagged before the rows. Of the rows, values that cannot be read
    come first: while there are such, balances that do not follow prove nothing.
    """

    def __init__(self, survey: Survey, context: FileContext) -> None:
        self._survey = survey
        self._context = context
        self._facts = survey.facts()
        self._findings = survey.findings
        self._of_values = Findings()
        self._of_value_dates = Findings()
        self._sides = {"debit": _Side(), "credit": _Side()}
        self.statement: Mapping[str, Any] | None = None
        self._currency = self._the_currency()
        if self._currency is None:
            return
        self._exponent = CURRENCY_EXPONENTS[self._currency]
        self._opening = self._fact_amount("opening_balance", self._exponent)
        self._closing = self._fact_amount("closing_balance", self._exponent)
        self._day = self._statement_date()
        self._account = self._the_account()
        self._balances = _LineBalances(
            self._currency, self._opening, is_ascending=survey.layout.is_ascending
        )

    # --- facts ---

    def _problem(self, reason_code: str, reason: str, field: str = "") -> None:
        self._findings.add(file_problem(reason_code, reason, field=field))

    @property
    def _sequence(self) -> int:
        return int(self._context.name_parts.get("sequence", "1"))

    def _stated(self, name: str) -> set[str]:
        """Return what the column of that name and the fact of that name say."""
        fact = self._facts.get(name)
        return self._survey.texts(name) | ({fact} if fact is not None else set())

    def _the_currency(self) -> str | None:
        """Return the currency of all lines; one that is none is flagged."""
        layout = self._survey.layout
        stated = self._stated("currency")
        known = dict.fromkeys(CURRENCY_EXPONENTS) | dict(layout.currencies)
        codes = {text: known[text] or text for text in stated if text in known}
        unknown = sorted(stated - codes.keys())
        if unknown:
            shown = masked_excerpt(", ".join(unknown))
            reason = (
                f"'{shown}' is no currency; it has to be a code of ISO 4217 or a word of the "
                f"layout's currencies ({', '.join(sorted(layout.currencies))})"
            )
            self._problem("unknown_code", reason, "currency")
            return None
        if len(set(codes.values())) > 1:
            names = ", ".join(sorted(set(codes.values())))
            self._problem("mixed_currencies", f"its lines are in {names}", "currency")
            return None
        return next(iter(codes.values()), layout.currency_code)

    def _the_account(self) -> str | None:
        """Return the account, which file and name have to agree on."""
        named = self._context.name_parts.get("bank_account_id")
        inside = self._stated("bank_account_id")
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

    def _fact_amount(self, name: str, exponent: int) -> int | None:
        text = self._facts.get(name)
        if text is None:
            return None
        amount = amount_of(text, exponent)
        if amount is None:
            self._problem("not_an_amount", no_amount(text, exponent), name)
        return amount

    def _statement_date(self) -> date | None:
        """Return the date stated, else the last line's."""
        layout, text = self._survey.layout, self._facts.get("statement_date")
        if text is not None:
            day = date_of(text, layout)
            if day is None:
                self._problem("not_a_date", no_date(text, layout), "statement_date")
        else:
            texts = pl.Series(sorted(self._survey.texts("booking_date")), dtype=pl.String)
            latest = dates_of(texts, layout).max()
            day = latest if isinstance(latest, date) else None
        named = self._context.accounting_date
        if day is not None and named is not None and day != named:
            reason = f"inside is {day}, in the name {named}"
            self._problem("wrong_date", reason, "statement_date")
        return day

    def _has_unread_fact(self) -> bool:
        """Say whether a fact was flagged: what is missing then is that one."""
        return any(found.reason_code == "not_read_whole" for found in self._findings.bad_rows)

    # --- rows ---

    def lines(self, rows: Sequence[Record]) -> pl.DataFrame | None:
        """Return some lines; None where it is not known what they are of."""
        if self._currency is None:
            return None
        block = BlockOfRows(self._survey, rows)
        findings = self._of_values.of_block(block.line_numbers)
        debits, credits = block.sides(self._exponent, findings)
        booking_dates = block.dates("booking_date", findings)
        balances = block.balances(self._exponent, findings)
        amounts = credits - debits
        self._sides["debit"].add(debits)
        self._sides["credit"].add(credits)
        if balances is not None and not self._of_values:
            self._balances.add(amounts, balances, block.line_numbers)
        value_dates = block.dates("value_date", self._of_value_dates.of_block(block.line_numbers))
        if self._day is not None and "statement_date" in self._facts:
            late = (booking_dates > self._day).fill_null(False)
            self._findings.of_block(block.line_numbers).flag(
                late, "booking_date", "wrong_date", "it is after the statement"
            )
        if self._day is None or self._account is None:
            return None
        return (
            block.lines(amounts, booking_dates, value_dates, self._context.vault)
            .with_columns(
                pl.lit(self._statement_id).alias("statement_id"),
                pl.lit(self._account).alias("bank_account_id"),
                pl.lit(self._day).alias("statement_date"),
                pl.lit(self._currency).alias("currency_code"),
            )
            .select(list(LINE_SCHEMA))
        )

    @property
    def _statement_id(self) -> str:
        return f"{self._account}-{self._day:%Y%m%d}-{self._sequence}"

    # --- the end ---

    def end(self) -> None:
        """Say what only all rows say, and make the statement, unless a part of it is missing."""
        if self._currency is None:
            return
        if not self._of_values:
            self._findings.add_lines_of(self._balances.end())
            # Without a stated one, the first line's balance says what was there before it.
            self._opening = self._balances.opening if self._opening is None else self._opening
            self._closing = self._balances.closing if self._closing is None else self._closing
            self._check_missing()
        self._findings.add_lines_of(self._of_values)
        if None in {self._opening, self._closing, self._day, self._account}:
            return
        self._findings.add_lines_of(self._of_value_dates)
        self.statement = {
            "line_number": self._survey.header_line,
            "statement_id": self._statement_id,
            "bank_account_id": self._account,
            "statement_date": self._day,
            "sequence_number": self._sequence,
            "currency_code": self._currency,
            "opening_balance_minor": self._opening,
            "closing_balance_minor": self._closing,
            "entry_count": self._survey.row_count,
        }

    def _check_missing(self) -> None:
        """Flag balances and a date that nothing says, where all that is said was read."""
        if self._has_unread_fact():
            return
        if self._opening is None or self._closing is None:
            reason = "an opening or closing balance is missing, and no line says it"
            self._problem("missing_balance", reason)
        if self._day is None and "statement_date" not in self._facts:
            self._problem("missing_element", "no line and no text says its date")

    def parsed_file(self) -> ParsedFile:
        """Return the statement with everything that speaks against it."""
        if self.statement is None:
            return ParsedFile({}, self._survey.row_count, None, bad_rows=self._findings.bad_rows)
        opening = self.statement["opening_balance_minor"]
        closing = self.statement["closing_balance_minor"]
        counted = self._sides["credit"].total - self._sides["debit"].total
        totals = (
            ControlTotal("closing_balance", closing, opening + counted, self._currency),
            *self._stated_totals(),
        )
        return ParsedFile(
            frames={},
            row_count=self._survey.row_count,
            accounting_date=self._day,
            totals=totals,
            declared_total_minor=closing - opening,
            counted_total_minor=counted,
            bad_rows=self._findings.bad_rows,
        )

    def _stated_totals(self) -> Iterator[ControlTotal]:
        """Compare counts and sums of debits and credits, where stated, with what is written there.

        A negative number on a side (红字) lowers that side's sum.
        """
        for name, side in self._sides.items():
            for fact, digits, counted, unit in (
                (f"{name}_count", 0, side.count, None),
                (f"{name}_sum", self._exponent, side.total, self._currency),
            ):
                if fact in self._facts:
                    yield ControlTotal(fact, self._fact_amount(fact, digits), counted, unit)


@dataclass(slots=True)
class _LineBalances:
    """Holds the balance behind each line against the line before it in time.

    `opening` is the stated one; without it, it is what the first line's balance says. Lines come in
    the file's order: descending ones are checked when the next is there, which is older.
    """

    currency: str
    opening: int | None
    is_ascending: bool
    closing: int | None = None
    _findings: Findings = field(default_factory=Findings)
    # The line read last: its number, amount and balance.
    _last: tuple[int, int, int] | None = None

    def add(self, amounts: pl.Series, balances: pl.Series, line_numbers: Sequence[int]) -> None:
        """Add lines: signed amounts, and the balances that stand behind them."""
        for line in zip(line_numbers, amounts.to_list(), balances.to_list(), strict=True):
            _, moved, running = line
            if self.is_ascending:
                self.opening = running - moved if self.opening is None else self.opening
                self._check(line, self.opening if self._last is None else self._last[2])
                self.closing = running
            elif self._last is None:
                self.closing = running
            else:
                self._check(self._last, running)
            self._last = line

    def end(self) -> Findings:
        """Return the lines whose balance does not follow, when all lines were added."""
        if not self.is_ascending and self._last is not None:
            _, moved, running = self._last
            self.opening = running - moved if self.opening is None else self.opening
            self._check(self._last, self.opening)
        return self._findings

    def _check(self, line: tuple[int, int, int], before: int) -> None:
        line_number, moved, running = line
        if before + moved == running:
            return
        shown = [amount_shown(minor, self.currency) for minor in (running, before, moved)]
        reason = f"it says {shown[0]}; the line before has {shown[1]}, this line moves {shown[2]}"
        self._findings.add(BadRow(line_number, "balance", "broken_balance", reason))
