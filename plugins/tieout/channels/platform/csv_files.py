"""The platform's files: CSV by the public input contract, `platform_schema.json`.

Every rule the schema states is checked here; the rules between columns that it states in words are
`_check_source_vouchers` and its like. Every file ends with a trailer that has to agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import IO, Any

import polars as pl
from stdnum.iso7064 import mod_11_10

from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    BUSINESS_TIME_ZONE,
    ORDINARY_CUTOFF_MINUTES,
    BlockFindings,
    ControlTotal,
    FileContext,
    Findings,
    Frames,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.common.repeated_keys import RepeatedKeys
from tieout.channels.common.text_files import HeldBack, batches, lines_of
from tieout.channels.platform.terms import check_contracts, check_fee_rates
from tieout.core.masks import mask_account, mask_name
from tieout.core.money import CURRENCY_EXPONENTS
from tieout.core.payment_texts import why_unwritable

__all__ = ["PlatformReading", "file_kinds", "raw_table"]

SCHEMA_PATH = Path(__file__).with_name("platform_schema.json")


# A quoted value begins where a value begins; what it is replaced by has to end where one ends.
_QUOTED = r'(^|,)"(?:[^"]|"")*"'
_PLACEHOLDER = "\x01"
_TIMESTAMP = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2})$"
)

Column = Mapping[str, Any]


@cache
def _schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return schema


def file_kinds() -> tuple[str, ...]:
    """Return the kinds of file the platform delivers."""
    return tuple(_schema()["file_kinds"])


def raw_table(file_kind: str) -> str:
    """Return the raw table a kind of file lands in."""
    return f"platform_{file_kind}"


class PlatformReading:
    """Reads one kind's raw table, amounts as they stand (minor units already)."""

    def __init__(self, context: FileContext, *, file_kind: str) -> None:
        kind: Mapping[str, Any] = _schema()["file_kinds"][file_kind]
        self._context = context
        self._file_kind = file_kind
        self._columns: Sequence[Column] = kind["columns"]
        self._key: Sequence[str] = kind["primary_key"]
        self._total_column: str | None = kind["control_total_column"]
        self._findings = Findings()
        self._lines = _Lines(self._columns)
        self._trailer: re.Match[str] | None = None
        self._keys = RepeatedKeys()
        self._whole = _WholeFile(file_kind)
        self._row_count = 0
        self._total_minor = 0
        self._dates: set[date] = set()

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`.

        Raises:
            UnreadableFileError: not UTF-8, no header, no trailer, or other columns than the
                contract's.
        """
        lines = HeldBack(lines_of(stream, "utf-8"), 1)
        numbered = enumerate(lines, start=1)
        _, header = next(numbered, (0, None))
        if header is not None:
            self._lines.check([header], 1, self._findings)
            if not self._findings.is_malformed:
                self._check_header(header, lines)
            for batch in batches(numbered, self._context.block_rows):
                yield from self._block(header, [line for _, line in batch], batch[0][0])
        self._trailer = _trailer(lines.tail, line_count=self._lines.count + len(lines.tail))
        if header is None:
            raise UnreadableFileError("missing_header", "there is no header line", line_number=1)
        if not self._row_count:
            yield from self._block(header, [], 2)

    def _check_header(self, header: str, lines: HeldBack[str]) -> None:
        try:
            _read([header], self._columns)
        except UnreadableFileError:
            # A file that is cut off says so before anything else.
            count = 1 + sum(1 for _ in lines)
            _trailer(lines.tail, line_count=count + len(lines.tail))
            raise

    def _block(self, header: str, lines: list[str], line_number: int) -> Iterator[Frames]:
        """Yield the rows of some lines; of a file with lines that are no records there are none."""
        self._lines.check(lines, line_number, self._findings)
        if self._findings.is_malformed:
            return
        raw = _read([header, *lines], self._columns)
        line_numbers = range(line_number, line_number + len(raw))
        findings = self._findings.of_block(
            line_numbers, lambda position: _excerpt(raw, self._columns, position)
        )
        typed = pl.DataFrame(
            [_typed(raw[column["name"]], column, findings) for column in self._columns]
        )
        _check_columns(raw, typed, self._columns, self._context, findings)
        _check_rows(self._file_kind, typed, self._context, findings)
        self._keys.add(typed.select(self._key), line_numbers)
        self._whole.add(typed, line_numbers)
        self._row_count += len(typed)
        if self._total_column is not None:
            self._total_minor += int(typed[self._total_column].sum())
        if "accounting_date" in typed.columns:
            self._dates |= set(typed["accounting_date"].drop_nulls().unique().to_list())
        if not self._findings:
            yield {raw_table(self._file_kind): self._stored(typed, line_numbers)}

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        if self._trailer is None:
            raise AssertionError("the file was not read to its end")
        if self._findings.is_malformed:
            return ParsedFile({}, 0, None, bad_rows=self._findings.bad_rows)
        reason = f"{' + '.join(self._key)} stands in several rows"
        self._keys.flag(self._findings, self._key[0], reason, with_first=True)
        self._whole.check(self._findings)
        totals = self._totals(self._trailer)
        return ParsedFile(
            frames={},
            row_count=self._row_count,
            accounting_date=self._date_inside(),
            totals=totals,
            declared_row_count=totals[0].declared,
            declared_total_minor=totals[1].declared if len(totals) > 1 else None,
            counted_total_minor=totals[1].counted if len(totals) > 1 else None,
            bad_rows=self._findings.bad_rows,
        )

    def _totals(self, trailer: re.Match[str]) -> tuple[ControlTotal, ...]:
        totals = [ControlTotal("rows", int(trailer["rows"]), self._row_count)]
        declared = int(trailer["sum"]) if trailer["sum"].lstrip("-") else None
        if self._total_column is not None or trailer["sum"]:
            totals.append(ControlTotal("amount_minor_sum", declared, self._total_minor))
        return tuple(totals)

    def _date_inside(self) -> date | None:
        """Return the one date the rows state; snapshots state none and take the name's."""
        states_none = all(column["name"] != "accounting_date" for column in self._columns)
        if states_none or not self._row_count:
            return self._context.accounting_date
        return next(iter(self._dates)) if len(self._dates) == 1 else None

    def _stored(self, typed: pl.DataFrame, line_numbers: range) -> pl.DataFrame:
        """Return the raw table's columns; sensitive values only as ciphertext, mask and token."""
        series = [pl.Series("line_number", line_numbers, dtype=pl.Int32)]
        for column in self._columns:
            name = column["name"]
            if name == "accounting_date":
                continue
            if column.get("sensitive"):
                series.extend(_protected(typed, column, self._context))
            else:
                series.append(typed[name])
        return pl.DataFrame(series)


# --- form -----------------------------------------------------------------------------------------


def _trailer(tail: Sequence[str], *, line_count: int) -> re.Match[str]:
    pattern: str = _schema()["trailer"]["pattern"]
    match = re.fullmatch(pattern, tail[-1], re.ASCII) if tail else None
    if match is None:
        raise UnreadableFileError(
            "missing_trailer",
            "the last line is not `#rows=<n>;amount_minor_sum=<n>`; the file seems cut off",
            line_number=max(line_count, 1),
        )
    return match


class _Lines:
    """Flags lines that are not one record of the header's number of values, the header first."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._is_hidden = any(column.get("sensitive") for column in columns)
        self._secrets = frozenset(column["name"] for column in columns if column.get("secret"))
        self._header_commas: int | None = None
        # Of a run of open and closing lines every second one closes what the one before opened.
        self._is_open = False
        self.count = 0

    def check(self, lines: list[str], line_number: int, findings: Findings) -> None:
        """Flag those of some lines, the first of which is that line of the file."""
        line = pl.Series("line", lines, dtype=pl.String)
        unquoted = line.str.replace_all(_QUOTED, f"${{1}}{_PLACEHOLDER}")
        commas = unquoted.str.count_matches(",", literal=True)
        stray = unquoted.str.contains(f'"|{_PLACEHOLDER}[^,]')
        if self._header_commas is None:
            self._header_commas = int(commas[0])
            self._is_hidden |= not self._secrets.isdisjoint(lines[0].replace('"', "").split(","))
        expected = self._header_commas
        of_lines = findings.of_block(
            range(line_number, line_number + len(lines)),
            lambda position: "" if self._is_hidden else masked_excerpt(lines[position]),
        )
        of_lines.flag(
            stray & ~self._closes_an_open_quote(stray, line),
            "",
            "broken_quotes",
            "a quote is not closed on its line, or stands alone: a value with a line break cannot "
            "be delivered; leave the break out of it",
            is_form=True,
        )
        of_lines.flag(
            (commas != expected) & ~stray,
            "",
            "wrong_column_count",
            lambda position: f"{commas[position] + 1} values, {expected + 1} expected",
            is_form=True,
        )
        self.count += len(lines)

    def _closes_an_open_quote(self, stray: pl.Series, lines: pl.Series) -> pl.Series:
        """Say which lines close a value that one before began: one cause, told at its beginning."""
        is_odd = stray & (lines.str.count_matches('"', literal=True) % 2 == 1)
        opened_before = is_odd.cast(pl.Int32).cum_sum() + int(self._is_open)
        if len(lines):
            self._is_open = bool(opened_before[-1] % 2)
        return is_odd & (opened_before % 2 == 0)


def _read(body: list[str], columns: Sequence[Column]) -> pl.DataFrame:
    """Return every value as text, empty ones as NULL, in the contract's order of columns.

    A column that may be left out is NULL in a file without it.
    """
    expected = [column["name"] for column in columns]
    owed = [column["name"] for column in columns if not column.get("optional")]
    header = body[0].replace('"', "").split(",")
    for problem, names in (
        ("lacks", [name for name in owed if name not in header]),
        ("has an unknown", [name for name in header if name not in expected]),
        ("repeats the", [name for name in expected if header.count(name) > 1]),
    ):
        if names:
            shown = ", ".join(masked_excerpt(name)[:40] for name in names[:5])
            raise UnreadableFileError(
                "wrong_columns", f"the header {problem} column: {shown}", line_number=1
            )
    raw = pl.read_csv(
        "\n".join(body).encode(),
        infer_schema=False,
        has_header=True,
        truncate_ragged_lines=False,
        quote_char='"',
    )
    # "" in quotes is no value, too.
    return raw.select(
        pl.col(name).replace("", None)
        if name in header
        else pl.lit(None, dtype=pl.String).alias(name)
        for name in expected
    )


def _is_hidden(column: Column) -> bool:
    """Say whether a value that is not as it should be is shown to nobody.

    Sensitive values are kept protected; of a secret one only a harmless part may be delivered, and
    what is not that part may be the secret.
    """
    return bool(column.get("sensitive") or column.get("secret"))


def _excerpt(raw: pl.DataFrame, columns: Sequence[Column], position: int) -> str:
    row = raw.row(position, named=True)
    for column in columns:
        if _is_hidden(column):
            row[column["name"]] = "***"
    return masked_excerpt(",".join(value or "" for value in row.values()))


# --- values ---------------------------------------------------------------------------------------


def _typed(values: pl.Series, column: Column, findings: BlockFindings) -> pl.Series:
    """Return the column in its type; a value that is not of it is flagged and becomes NULL."""
    name, kind = column["name"], column["type"]
    typed = values.to_frame("value").select(_CONVERSIONS[kind](pl.col("value"))).to_series()
    form: str = _schema()["types"][kind]
    findings.flag(
        values.is_not_null() & typed.is_null(),
        name,
        f"not_a_{kind}",
        form
        if _is_hidden(column)
        else lambda position: (
            f"found {masked_excerpt(values[position])[:40]!r}; it has to be {form}"
        ),
    )
    return typed.alias(name)


def _matching(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda value: pl.when(value.str.contains(pattern)).then(value)


def _as_text(value: pl.Expr) -> pl.Expr:
    return pl.when(value == value.str.strip_chars()).then(value)


def _as_timestamp(value: pl.Expr) -> pl.Expr:
    parsed = _matching(_TIMESTAMP)(value).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us", time_zone="UTC"
    )
    return parsed.dt.convert_time_zone(BUSINESS_TIME_ZONE)


_CONVERSIONS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "text": _as_text,
    "integer": lambda value: _matching("^-?[0-9]{1,10}$")(value).cast(pl.Int32, strict=False),
    "bigint": lambda value: _matching("^-?[0-9]{1,19}$")(value).cast(pl.Int64, strict=False),
    # Kept as the text it is: exact, and the database reads it as numeric.
    "numeric": _matching(r"^-?[0-9]{1,18}(?:\.[0-9]{1,18})?$"),
    "date": lambda value: _matching("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")(value).str.to_date(
        "%Y-%m-%d", strict=False
    ),
    "timestamptz": _as_timestamp,
    "boolean": lambda value: value.replace_strict(
        {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
    ),
}


def _check_columns(
    raw: pl.DataFrame,
    typed: pl.DataFrame,
    columns: Sequence[Column],
    context: FileContext,
    findings: BlockFindings,
) -> None:
    owed = {column["name"] for column in columns if column["required"]}
    for column in columns:
        name = column["name"]
        values = typed[name]
        # Of the text: a value that is there in a wrong form has its finding already.
        is_missing = raw[name].is_null()
        if column["required"]:
            findings.flag(is_missing, name, "missing_value", f"{name} is required")
        for other, when in column.get("required_when", {}).items():
            asked = typed[other].is_in(when)
            # An empty value of a column that may be empty asks for nothing.
            missing = is_missing & (asked if other in owed else asked.fill_null(False))
            reason = f"{name} is required when {other} is one of {when}"
            if instead := column.get("required_unless"):
                missing &= raw[instead].is_null()
                reason += f" and {instead} is missing"
            findings.flag(missing, name, "missing_value", reason)
        _check_value(values, column, _allowed(column, context), findings)
        if "sign_by" in column:
            _check_sign(values, typed, column, findings)


def _allowed(column: Column, context: FileContext) -> Sequence[str] | None:
    """Return a column's codes: channels are those of the reference data, where it is known."""
    allowed: Sequence[str] | None = column.get("allowed")
    if column["name"] == "channel" and context.cutoffs.platform:
        return sorted(context.cutoffs.platform)
    return allowed


def _check_value(
    values: pl.Series, column: Column, allowed: Sequence[str] | None, findings: BlockFindings
) -> None:
    name, present = column["name"], values.is_not_null()
    if allowed is not None:
        unknown = present & ~values.is_in(allowed)
        findings.flag(
            unknown,
            name,
            "unknown_code",
            lambda position: f"{masked_excerpt(str(values[position]))[:40]} is not a {name}",
        )
    if "codes" in column:
        unknown = present & ~values.str.contains(column["pattern"])
        findings.flag(
            unknown,
            name,
            "unknown_code",
            lambda position: (
                f"found {masked_excerpt(values[position])[:40]!r}; {name} is one of"
                f" {column['codes']}"
            ),
        )
    elif "pattern" in column:
        wrong = present & ~values.str.contains(column["pattern"])
        findings.flag(
            wrong,
            name,
            "wrong_form",
            f"{name} has to match {column['pattern']}"
            if _is_hidden(column)
            else lambda position: (
                f"found {masked_excerpt(values[position])[:40]!r}; "
                f"{name} has to match {column['pattern']}"
            ),
        )
    if "forbid_pattern" in column:
        forbidden = present & values.str.contains(column["forbid_pattern"])
        findings.flag(forbidden, name, "card_number", f"{name} must never be a card number")
    if "minimum" in column:
        number = values.cast(pl.Decimal(38, 18)) if values.dtype == pl.String else values
        too_small = present & (number < column["minimum"])
        findings.flag(too_small, name, "wrong_sign", f"{name} is below {column['minimum']}")
    if "maximum" in column:
        too_large = present & (values > column["maximum"])
        findings.flag(too_large, name, "wrong_form", f"{name} is above {column['maximum']}")
    if column.get("check") == "iso7064_mod_11_10":
        distinct = values.drop_nulls().unique().to_list()
        wrong_codes = [code for code in distinct if not _has_good_check_digit(code)]
        findings.flag(values.is_in(wrong_codes), name, "wrong_check_digit", f"{name} is mistyped")
    if column.get("in_payment_file"):
        _check_payment_text(values, findings)
    if name == "currency_code":
        unknown = present & ~values.is_in(list(CURRENCY_EXPONENTS))
        findings.flag(unknown, name, "unknown_code", "the currency is not known")


def _check_payment_text(values: pl.Series, findings: BlockFindings) -> None:
    """Flag what no payment file can hold: such a payee could not be paid."""
    reasons = {
        text: reason
        for text in values.drop_nulls().unique().to_list()
        if (reason := why_unwritable(values.name, text)) is not None
    }
    findings.flag(
        values.is_in(list(reasons)).fill_null(False),
        values.name,
        "unwritable",
        lambda position: reasons[values[position]],
    )


def _check_sign(
    values: pl.Series, typed: pl.DataFrame, column: Column, findings: BlockFindings
) -> None:
    rule = column["sign_by"]
    kinds = typed[rule["column"]]
    for sign, holds in (("positive", values > 0), ("negative", values < 0), ("zero", values == 0)):
        wrong = kinds.is_in(rule[sign]).fill_null(False) & ~holds.fill_null(True)
        findings.flag(
            wrong,
            column["name"],
            "wrong_sign",
            lambda position, sign=sign: f"the amount of a {kinds[position]} has to be {sign}",  # type: ignore[misc]
        )


def _has_good_check_digit(code: str) -> bool:
    """Say whether the last digit is the ISO 7064 MOD 11,10 check digit."""
    return code.isascii() and bool(mod_11_10.is_valid(code))


# --- rows -----------------------------------------------------------------------------------------


class _WholeFile:
    """What only all rows of a file together can say; small files of reference data."""

    def __init__(self, file_kind: str) -> None:
        self._file_kind = file_kind
        self._rows: list[pl.DataFrame] = []
        self._line_numbers: list[int] = []

    def add(self, typed: pl.DataFrame, line_numbers: range) -> None:
        """Keep some rows, where the kind has such a check."""
        if self._file_kind in _WHOLE_FILE_CHECKS:
            self._rows.append(typed)
            self._line_numbers += line_numbers

    def check(self, findings: Findings) -> None:
        """Add what speaks against the rows together."""
        if self._rows:
            check = _WHOLE_FILE_CHECKS[self._file_kind]
            check(pl.concat(self._rows), self._line_numbers, findings)


def _check_rows(
    file_kind: str, typed: pl.DataFrame, context: FileContext, findings: BlockFindings
) -> None:
    """Check what the contract says between the columns of a row."""
    accounting_date = context.accounting_date
    if "accounting_date" in typed.columns and accounting_date is not None:
        findings.flag(
            typed["accounting_date"] != accounting_date,
            "accounting_date",
            "wrong_date",
            f"the file's name says {accounting_date}",
        )
    if "effective_from" in typed.columns:
        backwards = (typed["effective_to"] <= typed["effective_from"]).fill_null(False)
        findings.flag(
            backwards, "effective_to", "wrong_date", "it does not lie after effective_from"
        )
    if file_kind == "freezes":
        too_much = (typed["released_amount_minor"] > typed["amount_minor"]).fill_null(False)
        findings.flag(
            too_much, "released_amount_minor", "above_amount", "more is released than was frozen"
        )
    if file_kind == "source_vouchers":
        _check_source_vouchers(typed, context, findings)


def _check_source_vouchers(
    typed: pl.DataFrame, context: FileContext, findings: BlockFindings
) -> None:
    wallet_refund = typed["channel"].is_in(["wechat", "alipay"]) & typed["transaction_type"].is_in(
        ["refund", "void"]
    )
    findings.flag(
        wallet_refund & typed["refund_order_id"].is_null(),
        "refund_order_id",
        "missing_value",
        "required for refund and void of wechat and alipay",
    )
    findings.flag(
        typed["payment_code_prefix"].is_null() != typed["payment_code_digits"].is_null(),
        "payment_code_digits",
        "missing_value",
        "payment_code_prefix and payment_code_digits come together",
    )
    _check_exchange(typed, findings)
    if context.accounting_date is not None:
        _check_times(typed, context.accounting_date, context.cutoffs.platform, findings)


def _check_exchange(typed: pl.DataFrame, findings: BlockFindings) -> None:
    """Flag vouchers that settle in another currency by halves: a pair of two, and a rate of it."""
    settled = typed["settlement_currency_code"]
    rates = typed["quoted_exchange_rate"]
    findings.flag(
        settled.is_null() != rates.is_null(),
        "quoted_exchange_rate",
        "missing_value",
        "settlement_currency_code and quoted_exchange_rate come together",
    )
    findings.flag(
        settled.is_not_null() & ~settled.is_in(list(CURRENCY_EXPONENTS)).fill_null(False),
        "settlement_currency_code",
        "unknown_code",
        "the currency is not known",
    )
    findings.flag(
        (settled == typed["currency_code"]).fill_null(False),
        "settlement_currency_code",
        "same_currency",
        "what settles in its own currency has none here, and no rate",
    )
    is_zero = (rates.cast(pl.Decimal(38, 18)) == 0).fill_null(False)
    findings.flag(is_zero, "quoted_exchange_rate", "wrong_sign", "a rate is above 0")


def _check_times(
    typed: pl.DataFrame,
    accounting_date: date,
    cutoffs: Mapping[str, int],
    findings: BlockFindings,
) -> None:
    """Flag vouchers outside the accounting day, whose end may be another for each channel."""
    local = typed["transaction_at"].dt.replace_time_zone(None)
    is_late = typed["is_late_order"].fill_null(False)
    for minutes in sorted({ORDINARY_CUTOFF_MINUTES, *cutoffs.values()}):
        closes = datetime.combine(accounting_date, time()) + timedelta(minutes=minutes)
        opens = closes - timedelta(days=1)
        if minutes == ORDINARY_CUTOFF_MINUTES:
            others = [name for name, own in cutoffs.items() if own != minutes]
            is_cut_then = ~typed["channel"].is_in(others).fill_null(False)
        else:
            is_cut_then = typed["channel"].is_in(
                [name for name, own in cutoffs.items() if own == minutes]
            )
        outside = (local >= closes) | ((local < opens) & ~is_late)
        findings.flag(
            (outside & is_cut_then).fill_null(False),
            "transaction_at",
            "outside_window",
            f"not between {opens} and {closes}, the accounting day of {accounting_date}",
        )


def _check_operating_window(
    typed: pl.DataFrame, _line_numbers: Sequence[int], findings: Findings
) -> None:
    if len(typed) != 1:
        problem = f"{len(typed)} rows, exactly 1 expected"
        findings.add(file_problem("wrong_row_count", problem))
        return
    first, last = typed.row(0)
    if first is not None and last is not None and last < first:
        findings.add(file_problem("wrong_date", "last_accounting_date lies before the first"))


def _check_opening_balances(
    typed: pl.DataFrame, _line_numbers: Sequence[int], findings: Findings
) -> None:
    sums = typed.group_by("currency_code").agg(pl.col("balance_minor").sum()).sort("currency_code")
    for currency, total in sums.iter_rows():
        if total:
            problem = f"the balances sum to {total} in {currency}, 0 expected"
            findings.add(file_problem("not_balanced", problem))


_WHOLE_FILE_CHECKS: Mapping[str, Callable[[pl.DataFrame, Sequence[int], Findings], None]] = {
    "contracts": check_contracts,
    "fee_rates": check_fee_rates,
    "operating_window": _check_operating_window,
    "opening_balances": _check_opening_balances,
}


def _protected(typed: pl.DataFrame, column: Column, context: FileContext) -> list[pl.Series]:
    values = typed[column["name"]]
    stored_as: Sequence[str] = column["stored_as"]
    texts: list[str | None] = values.to_list()
    # A ciphertext opens in the row it was made for only.
    rows = typed.select(pl.col(column["bound_to"]).cast(pl.String)).rows()
    mask = mask_account if values.name == "account_number" else mask_name
    forms: Mapping[str, Callable[[], Sequence[str | None]]] = {
        "ciphertext": lambda: [
            None if text is None else context.vault.encrypt(text, (values.name, *row))
            for text, row in zip(texts, rows, strict=True)
        ],
        "mask": lambda: [None if text is None else mask(text) for text in texts],
        # Only of columns that are required.
        "token": lambda: context.vault.account_tokens([text or "" for text in texts]),
    }
    return [
        pl.Series(name, forms[name.removeprefix(f"{values.name}_")](), dtype=pl.String)
        for name in stored_as
    ]
