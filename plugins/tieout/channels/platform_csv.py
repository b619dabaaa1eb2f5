"""The platform's files: CSV by the public input contract, `platform_schema.json`.

Every rule the schema states is checked here; the rules between columns that it states in words are
`_check_source_vouchers` and its like. Every file ends with a trailer that has to agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from tieout.channels.amounts import CURRENCY_EXPONENTS
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import (
    BUSINESS_TIME_ZONE,
    BadRow,
    ControlTotal,
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.platform_terms import check_contracts, check_fee_rates
from tieout.channels.text_files import decoded_text
from tieout.payment_texts import why_unwritable
from tieout.secrets import mask_account, mask_name

__all__ = ["file_kinds", "parse", "raw_table"]

SCHEMA_PATH = Path(__file__).with_name("platform_schema.json")

# The platform's accounting day ends at 23:00 Beijing time.
CUTOFF = time(23, 0)

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


def parse(content: bytes, context: FileContext, *, file_kind: str) -> ParsedFile:
    """Return the kind's raw table, amounts as they stand (minor units already).

    Raises:
        UnreadableFileError: not UTF-8, no trailer, or other columns than the contract's.
    """
    kind: Mapping[str, Any] = _schema()["file_kinds"][file_kind]
    columns: Sequence[Column] = kind["columns"]
    text = decoded_text(content, "utf-8")
    body, trailer = _split_trailer(text)
    malformed = _malformed_lines(body, columns)
    if malformed:
        return ParsedFile({}, 0, None, bad_rows=tuple(malformed))
    raw = _read(body, columns)
    findings = Findings(range(2, len(raw) + 2), lambda position: _excerpt(raw, columns, position))
    typed = pl.DataFrame([_typed(raw[column["name"]], column, findings) for column in columns])
    _check_columns(raw, typed, columns, findings)
    _check_key(typed, kind["primary_key"], findings)
    extra = _check_rows(file_kind, typed, context.accounting_date, findings)
    totals = _totals(typed, kind["control_total_column"], trailer)
    return ParsedFile(
        frames={raw_table(file_kind): _stored(typed, columns, context, findings)},
        row_count=len(raw),
        accounting_date=_date_inside(typed, context),
        totals=totals,
        declared_row_count=totals[0].declared,
        declared_total_minor=totals[1].declared if len(totals) > 1 else None,
        counted_total_minor=totals[1].counted if len(totals) > 1 else None,
        bad_rows=(*findings.bad_rows, *extra),
    )


# --- form -----------------------------------------------------------------------------------------


def _split_trailer(text: str) -> tuple[list[str], re.Match[str]]:
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    lines = [line.removesuffix("\r") for line in lines]
    pattern: str = _schema()["trailer"]["pattern"]
    match = re.fullmatch(pattern, lines[-1], re.ASCII) if lines else None
    if match is None:
        raise UnreadableFileError(
            "missing_trailer",
            "the last line is not `#rows=<n>;amount_minor_sum=<n>`; the file seems cut off",
            line_number=max(len(lines), 1),
        )
    if len(lines) == 1:
        raise UnreadableFileError("missing_header", "there is no header line", line_number=1)
    return lines[:-1], match


def _malformed_lines(body: list[str], columns: Sequence[Column]) -> list[BadRow]:
    """Return findings about lines that are not one record of the header's number of values."""
    line = pl.Series("line", body)
    unquoted = line.str.replace_all(_QUOTED, f"${{1}}{_PLACEHOLDER}")
    commas = unquoted.str.count_matches(",", literal=True)
    stray = unquoted.str.contains(f'"|{_PLACEHOLDER}[^,]')
    header_commas = commas[0]
    is_sensitive = any(column.get("sensitive") for column in columns)
    findings = Findings(
        range(1, len(body) + 1),
        lambda position: "" if is_sensitive else masked_excerpt(body[position]),
    )
    findings.flag(
        stray & ~_closes_an_open_quote(stray, line),
        "",
        "broken_quotes",
        "a quote is not closed on its line, or stands alone: a value with a line break cannot be "
        "delivered; leave the break out of it",
    )
    findings.flag(
        (commas != header_commas) & ~stray,
        "",
        "wrong_column_count",
        lambda position: f"{commas[position] + 1} values, {header_commas + 1} expected",
    )
    return findings.bad_rows


def _closes_an_open_quote(stray: pl.Series, lines: pl.Series) -> pl.Series:
    """Say of which lines the line before began a quoted value: one cause, told at its beginning."""
    is_odd = stray & (lines.str.count_matches('"', literal=True) % 2 == 1)
    # Of a run of open and closing lines every second one closes what the one before opened.
    return is_odd & (is_odd.cast(pl.Int32).cum_sum() % 2 == 0)


def _read(body: list[str], columns: Sequence[Column]) -> pl.DataFrame:
    """Return every value as text, empty ones as NULL, in the contract's order of columns."""
    expected = [column["name"] for column in columns]
    header = body[0].replace('"', "").split(",")
    for problem, names in (
        ("lacks", [name for name in expected if name not in header]),
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
    return raw.select(pl.col(name).replace("", None) for name in expected)


def _excerpt(raw: pl.DataFrame, columns: Sequence[Column], position: int) -> str:
    row = raw.row(position, named=True)
    for column in columns:
        if column.get("sensitive"):
            row[column["name"]] = "***"
    return masked_excerpt(",".join(value or "" for value in row.values()))


# --- values ---------------------------------------------------------------------------------------


def _typed(values: pl.Series, column: Column, findings: Findings) -> pl.Series:
    """Return the column in its type; a value that is not of it is flagged and becomes NULL."""
    name, kind = column["name"], column["type"]
    typed = values.to_frame("value").select(_CONVERSIONS[kind](pl.col("value"))).to_series()
    form: str = _schema()["types"][kind]
    findings.flag(
        values.is_not_null() & typed.is_null(),
        name,
        f"not_a_{kind}",
        form
        if column.get("sensitive")
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
    raw: pl.DataFrame, typed: pl.DataFrame, columns: Sequence[Column], findings: Findings
) -> None:
    for column in columns:
        name = column["name"]
        values = typed[name]
        # Of the text: a value that is there in a wrong form has its finding already.
        is_missing = raw[name].is_null()
        if column["required"]:
            findings.flag(is_missing, name, "missing_value", f"{name} is required")
        for other, when in column.get("required_when", {}).items():
            missing = is_missing & typed[other].is_in(when)
            reason = f"{name} is required when {other} is one of {when}"
            if instead := column.get("required_unless"):
                missing &= raw[instead].is_null()
                reason += f" and {instead} is missing"
            findings.flag(missing, name, "missing_value", reason)
        _check_value(values, column, findings)
        if "sign_by" in column:
            _check_sign(values, typed, column, findings)


def _check_value(values: pl.Series, column: Column, findings: Findings) -> None:
    name, present = column["name"], values.is_not_null()
    if "allowed" in column:
        unknown = present & ~values.is_in(column["allowed"])
        findings.flag(
            unknown,
            name,
            "unknown_code",
            lambda position: f"{masked_excerpt(str(values[position]))[:40]} is not a {name}",
        )
    if "pattern" in column:
        wrong = present & ~values.str.contains(column["pattern"])
        findings.flag(
            wrong,
            name,
            "wrong_form",
            f"{name} has to match {column['pattern']}"
            if column.get("sensitive")
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
    if column.get("check") == "iso7064_mod_11_10":
        distinct = values.drop_nulls().unique().to_list()
        wrong_codes = [code for code in distinct if not _has_good_check_digit(code)]
        findings.flag(values.is_in(wrong_codes), name, "wrong_check_digit", f"{name} is mistyped")
    if column.get("in_payment_file"):
        _check_payment_text(values, findings)
    if name == "currency_code":
        unknown = present & ~values.is_in(list(CURRENCY_EXPONENTS))
        findings.flag(unknown, name, "unknown_code", "the currency is not known")


def _check_payment_text(values: pl.Series, findings: Findings) -> None:
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


def _check_sign(values: pl.Series, typed: pl.DataFrame, column: Column, findings: Findings) -> None:
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
    """Say whether the last digit is the ISO 7064 MOD 11,10 check digit (formats.md §9)."""
    if not (code.isascii() and code.isdigit()):
        return False
    product = 10
    for digit in code[:-1]:
        product = (product + int(digit)) % 10 or 10
        product = product * 2 % 11
    return (11 - product) % 10 == int(code[-1])


# --- rows -----------------------------------------------------------------------------------------


def _check_key(typed: pl.DataFrame, key: Sequence[str], findings: Findings) -> None:
    repeated = typed.select(key).is_duplicated()
    findings.flag(repeated, key[0], "duplicate_key", f"{' + '.join(key)} stands in several rows")


def _check_rows(
    file_kind: str, typed: pl.DataFrame, accounting_date: date | None, findings: Findings
) -> list[BadRow]:
    """Check what the contract says between columns; return findings about the file as a whole."""
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
    if file_kind == "source_vouchers":
        _check_source_vouchers(typed, accounting_date, findings)
    if file_kind == "contracts":
        check_contracts(typed, findings)
    if file_kind == "fee_rates":
        check_fee_rates(typed, findings)
    if file_kind == "operating_window":
        return _check_operating_window(typed)
    if file_kind == "opening_balances":
        return _check_opening_balances(typed)
    return []


def _check_source_vouchers(
    typed: pl.DataFrame, accounting_date: date | None, findings: Findings
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
    if accounting_date is None:
        return
    closes = datetime.combine(accounting_date, CUTOFF)
    opens = closes - timedelta(days=1)
    local = typed["transaction_at"].dt.replace_time_zone(None)
    is_late = typed["is_late_order"].fill_null(False)
    outside = (local >= closes) | ((local < opens) & ~is_late)
    findings.flag(
        outside.fill_null(False),
        "transaction_at",
        "outside_window",
        f"not between {opens} and {closes}, the accounting day of {accounting_date}",
    )


def _check_operating_window(typed: pl.DataFrame) -> list[BadRow]:
    if len(typed) != 1:
        return [file_problem("wrong_row_count", f"{len(typed)} rows, exactly 1 expected")]
    first, last = typed.row(0)
    if first is not None and last is not None and last < first:
        return [file_problem("wrong_date", "last_accounting_date lies before the first")]
    return []


def _check_opening_balances(typed: pl.DataFrame) -> list[BadRow]:
    sums = typed.group_by("currency_code").agg(pl.col("balance_minor").sum()).sort("currency_code")
    return [
        file_problem("not_balanced", f"the balances sum to {total} in {currency}, 0 expected")
        for currency, total in sums.iter_rows()
        if total
    ]


def _totals(
    typed: pl.DataFrame, total_column: str | None, trailer: re.Match[str]
) -> tuple[ControlTotal, ...]:
    totals = [ControlTotal("rows", int(trailer["rows"]), len(typed))]
    declared = int(trailer["sum"]) if trailer["sum"].lstrip("-") else None
    if total_column is not None:
        counted = int(typed[total_column].sum())
        totals.append(ControlTotal("amount_minor_sum", declared, counted))
    elif trailer["sum"]:
        totals.append(ControlTotal("amount_minor_sum", declared, 0))
    return tuple(totals)


def _date_inside(typed: pl.DataFrame, context: FileContext) -> date | None:
    """Return the one date the rows state; snapshots state none and take the name's."""
    if "accounting_date" not in typed.columns or typed.is_empty():
        return context.accounting_date
    dates = typed["accounting_date"].drop_nulls().unique().to_list()
    return dates[0] if len(dates) == 1 else None


def _stored(
    typed: pl.DataFrame, columns: Sequence[Column], context: FileContext, findings: Findings
) -> pl.DataFrame:
    """Return the raw table's columns; sensitive values only as ciphertext, mask and token."""
    series = [pl.Series("line_number", range(2, len(typed) + 2), dtype=pl.Int32)]
    for column in columns:
        name = column["name"]
        if name == "accounting_date":
            continue
        if not column.get("sensitive"):
            series.append(typed[name])
        elif not findings.bad_rows:
            series.extend(_protected(typed, column, context))
    return pl.DataFrame(series)


def _protected(typed: pl.DataFrame, column: Column, context: FileContext) -> list[pl.Series]:
    values = typed[column["name"]]
    stored_as: Sequence[str] = column["stored_as"]
    texts: list[str] = values.to_list()
    # A ciphertext opens in the row it was made for only.
    rows = typed.select(pl.col(column["bound_to"]).cast(pl.String)).rows()
    mask = mask_account if values.name == "account_number" else mask_name
    forms: Mapping[str, Callable[[], list[str]]] = {
        "ciphertext": lambda: [
            context.vault.encrypt(text, (values.name, *row))
            for text, row in zip(texts, rows, strict=True)
        ],
        "mask": lambda: [mask(text) for text in texts],
        "token": lambda: context.vault.account_tokens(texts),
    }
    return [
        pl.Series(name, forms[name.removeprefix(f"{values.name}_")](), dtype=pl.String)
        for name in stored_as
    ]
