"""UnionPay merchant files (全渠道): ZM transactions, ZME errors, the day's ZIP.

Format: docs/formats/unionpay-merchant-files.md.

ZM and ZME have no totals inside. The ZIP holds a report (RD) whose totals ZM has to sum up to.
Amounts are the merchant's: + it receives; the fee + it pays. One real ZIP is known, with sales
only; no real ZME.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import IO

import numpy as np
import polars as pl

from tieout.channels.common.model import (
    BadRow,
    ControlTotal,
    FileContext,
    Frames,
    ParsedFile,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.common.packed_files import is_zip, zip_members
from tieout.channels.common.repeated_keys import RepeatedKeys
from tieout.channels.unionpay.aerrn import adjustment_types
from tieout.channels.unionpay.common import (
    blank_zeros,
    card_columns,
    check_transmission_times,
    original_dates,
    require_keys,
    transmitted_at,
)
from tieout.channels.unionpay.field_runs import KEYS_OF_MERCHANT
from tieout.channels.unionpay.fixed_width import FixedWidthBlock, IntArray
from tieout.channels.unionpay.fixed_width_reading import FixedWidthReading
from tieout.channels.unionpay.layouts import ZM, ZME
from tieout.channels.unread.merchant_report import MerchantReport, read_report

__all__ = ["ERRORS_TABLE", "TABLE", "TRANSACTION_KINDS", "ZmReading", "ZmeReading"]

TABLE, ERRORS_TABLE = "unionpay_zm", "unionpay_zme"

# txnType: (our token, + where the merchant receives). Sale and refund are in real files, void (31)
# and completion (03) are constants of UnionPay's SDK; any other is a bad row.
TRANSACTION_KINDS: Mapping[str, tuple[str, int]] = {
    "01": ("purchase", 1),
    "03": ("preauth_completion", 1),
    "04": ("refund", -1),
    "31": ("void", -1),
}
# UnionPay's own demo ZIP has transactions of the day after its settlement date.
DAYS_AFTER_MAX = 1

_TEXTS = (
    "transaction_code",
    *KEYS_OF_MERCHANT,
    "merchant_category_code",
    "terminal_type",
    "query_id",
    "merchant_order_id",
    "card_kind_code",
    "original_trace_number",
    "original_transmission_time",
    "payment_mode",
    "group_merchant_id",
    "transaction_kind",
    "transaction_subkind",
    "business_type",
    "account_type",
    "bill_type",
    "original_query_id",
    "split_mode",
    "sub_merchant_id",
    "terminal_id",
    "transaction_medium",
    "instalment_count",
    "original_merchant_order_id",
)
_ERROR_TEXTS = (
    "adjustment_code",
    *KEYS_OF_MERCHANT,
    "merchant_category_code",
    "terminal_type",
    "card_kind_code",
    "original_trace_number",
    "original_transmission_time",
    "original_settlement_date",
    "group_merchant_id",
    "split_mode",
    "instalment_count",
)
# References that are zeros where there is none.
_ZEROS = (
    "original_trace_number",
    "original_transmission_time",
    "original_query_id",
    "sub_merchant_id",
)

# What the report says the sums of.
_REPORTED = ("amount", "merchant_fee", "settlement_amount")

# Names of members (and of files by themselves): date, two digits whose meaning is not known, whose.
_MEMBER = re.compile(
    r"INN(?P<date>\d{6})\d{2}(?P<kind>ZME?)_(?P<merchant_id>[0-9A-Za-z]+)(?:\.txt)?"
    r"|RD2010(?P<report_date>\d{6})\d{2}_(?P<report_merchant_id>[0-9A-Za-z]+)(?:\.txt)?",
    re.ASCII,
)


class ZmReading:
    """Reads a bare ZM, or the day's ZIP: ZM, perhaps ZME, and the report whose totals hold.

    Gives `unionpay_zm` (and of a ZIP `unionpay_zme`): one row a record, amounts in fen.
    `context.name_parts` has the `merchant_id`.

    Raises:
        UnreadableFileError: no date in the name; a ZIP that is unsafe, or not one ZM and one RD.
    """

    def __init__(self, context: FileContext) -> None:
        self._context = context
        self._transactions = _TransactionsReading(context)
        self._errors: ZmeReading | None = None
        self._report: MerchantReport | None = None
        self._problems: list[BadRow] = []

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`."""
        if not (is_zip(stream) or self._context.file_name.endswith(".zip")):
            yield from self._transactions.blocks(stream)
            return
        with ExitStack() as stack:
            members = self._members(stream)
            for member in members.values():
                stack.enter_context(member)
            yield from self._of_zip(members)

    def _of_zip(self, members: Mapping[str, IO[bytes]]) -> Iterator[Frames]:
        self._report = read_report(members["RD"])
        self._problems += _report_problems(
            self._report, self._context, self._transactions.settlement_date
        )
        yield from self._transactions.blocks(members["ZM"])
        if "ZME" in members:
            self._errors = ZmeReading(self._context)
            yield from self._errors.blocks(members["ZME"])

    def _members(self, stream: IO[bytes]) -> dict[str, IO[bytes]]:
        """Return ZM, RD and perhaps ZME."""
        settlement_date = self._transactions.settlement_date
        members, self._problems = _members(stream, self._context, settlement_date)
        kinds = [kind for kind, _ in members]
        if [kinds.count("ZM"), kinds.count("RD")] != [1, 1] or kinds.count("ZME") > 1:
            raise UnreadableFileError(
                "missing_member",
                f"{kinds.count('ZM')} members ZM and {kinds.count('RD')} RD, one of each expected; "
                f"{kinds.count('ZME')} ZME, one or none expected",
            )
        return dict(members)

    def finish(self) -> ParsedFile:
        """Return totals and findings; of a ZIP, lines are those of the members."""
        transactions = self._transactions.finish()
        if self._report is None:
            return transactions
        errors = self._errors.finish() if self._errors else None
        bad_rows = [*self._problems, *_of_member("ZM", transactions.bad_rows)]
        bad_rows += _of_member("ZME", errors.bad_rows) if errors else []
        first = self._report.totals[0]
        return replace(
            transactions,
            row_count=transactions.row_count + (errors.row_count if errors else 0),
            # With bad rows there are no sums to compare, and the file is refused for them.
            # No ZIP with a ZME is known: that the report counts ZM only is not verified.
            totals=() if bad_rows else _control_totals(self._report, self._transactions),
            declared_row_count=first.record_count,
            declared_total_minor=first.net_minor,
            bad_rows=tuple(bad_rows),
        )


class ZmeReading(FixedWidthReading):
    """Reads `unionpay_zme`: one row an error record, amounts in fen, signs as they stand."""

    table = ERRORS_TABLE
    layouts = (ZME,)
    total = "settlement_amount_minor"

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        texts = block.texts(_ERROR_TEXTS)
        require_keys(block, texts, KEYS_OF_MERCHANT)
        _check_merchant(block, texts, self.context)
        times = _transmitted_at(block, texts, self.settlement_date)
        return texts.with_columns(
            *(blank_zeros(name) for name in _ZEROS if name in texts.columns),
            pl.Series("line_number", block.line_numbers),
            times,
            adjustment_types(block, texts["adjustment_code"]),
            original_dates(block, texts, self.settlement_date),
            pl.lit("CNY").alias("currency_code"),
            pl.Series("amount_minor", block.numbers("amount", blank_is_zero=True)),
            pl.Series(
                "original_amount_minor", block.numbers("original_amount", blank_is_zero=True)
            ),
            pl.Series("merchant_fee_minor", -_received(block, "merchant_fee")),
            pl.Series("settlement_amount_minor", _received(block, "settlement_amount")),
            pl.Series("instalment_fee_minor", -_received(block, "instalment_fee")),
        ).hstack(card_columns(block, self.context, is_required=False, may_be_masked=True))


# --- transactions ---------------------------------------------------------------------------------


class _TransactionsReading(FixedWidthReading):
    """Reads the records of a ZM."""

    table = TABLE
    layouts = (ZM,)
    total = "settlement_amount_minor"
    is_dated = True
    days_after = DAYS_AFTER_MAX

    def __init__(self, context: FileContext) -> None:
        super().__init__(context)
        self._query_ids = RepeatedKeys()
        self.sums_minor = dict.fromkeys(_REPORTED, 0)

    def frame(self, block: FixedWidthBlock) -> pl.DataFrame:
        """Return the table's columns of some records."""
        texts = block.texts(_TEXTS)
        require_keys(block, texts, KEYS_OF_MERCHANT)
        _check_merchant(block, texts, self.context)
        times = _transmitted_at(block, texts, self.settlement_date)
        kinds = texts["transaction_kind"]
        known = {code: token for code, (token, _) in TRANSACTION_KINDS.items()}
        types = kinds.replace_strict(known, default=None, return_dtype=pl.String)
        block.findings.flag(
            types.is_null(),
            "transaction_kind",
            "unknown_code",
            lambda position: f"transaction kind {kinds[position]} is not known",
        )
        self._query_ids.add(texts.select("query_id"), block.line_numbers)
        frame = (
            texts.drop("transaction_kind")
            .with_columns(
                *(blank_zeros(name) for name in _ZEROS),
                pl.Series("line_number", block.line_numbers),
                times,
                types.alias("transaction_type"),
                pl.lit("CNY").alias("currency_code"),
                *_money(block, kinds),
            )
            .hstack(card_columns(block, self.context, is_required=False, may_be_masked=True))
        )
        for name in _REPORTED:
            self.sums_minor[name] += int(frame[f"{name}_minor"].sum())
        return frame

    def finish(self) -> ParsedFile:
        """Return totals and findings of the whole file."""
        self._query_ids.flag(self.findings, "query_id", "another record of the file has it, too")
        return super().finish()


def _money(block: FixedWidthBlock, kinds: pl.Series) -> list[pl.Series]:
    """Return the amounts in fen, and flag what contradicts the kind of transaction."""
    signs = kinds.replace_strict(
        {code: sign for code, (_, sign) in TRANSACTION_KINDS.items()},
        default=0,
        return_dtype=pl.Int64,
    ).to_numpy()
    amounts = block.numbers("amount")
    block.findings.flag(
        (amounts == 0) & (signs != 0), "amount", "no_amount", "a transaction of no amount"
    )
    fees = -_received(block, "merchant_fee")
    settled = _received(block, "settlement_amount")
    others = {
        name: _received(block, name)
        for name in ("split_amount", "net_amount", "discount_amount", "invoice_amount")
    }
    instalment_fees = -_received(block, "instalment_fee")
    block.findings.flag(
        settled * signs < 0,
        "settlement_amount",
        "wrong_sign",
        "the merchant receives (C) of a sale and pays (D) of a refund",
    )
    # What a discount, a split or instalments do to the settlement is not known.
    is_plain = (
        (others["discount_amount"] == 0) & (others["split_amount"] == 0) & (instalment_fees == 0)
    )
    block.findings.flag(
        (signs != 0) & is_plain & (settled != amounts * signs - fees),
        "settlement_amount",
        "wrong_settlement",
        "it is not the amount less the fee",
    )
    columns = {
        "amount": amounts * signs,
        "merchant_fee": fees,
        "settlement_amount": settled,
        **others,
        "instalment_fee": instalment_fees,
    }
    return [pl.Series(f"{name}_minor", values) for name, values in columns.items()]


def _received(block: FixedWidthBlock, name: str) -> IntArray:
    """Return an X+n field as what the merchant receives: C +, D −.

    The sign may be blank only where the number is 0.
    """
    paid, is_unsigned = block.signed_numbers(name)
    block.findings.flag(is_unsigned, name, "missing_sign", f"{name} has no sign, and is not zero")
    received: IntArray = np.negative(paid)
    return received


def _transmitted_at(
    block: FixedWidthBlock, texts: pl.DataFrame, settlement_date: date
) -> pl.Series:
    """Return the times; those of the day after 31 December are of the next year."""
    latest = settlement_date + timedelta(days=DAYS_AFTER_MAX)
    times = transmitted_at(texts["transmission_time"], latest)
    check_transmission_times(block, times, settlement_date, days_after=DAYS_AFTER_MAX)
    return times


def _check_merchant(block: FixedWidthBlock, texts: pl.DataFrame, context: FileContext) -> None:
    """Flag records of another merchant than the name's, which may be a group's."""
    expected = context.name_parts.get("merchant_id")
    if expected is None:
        return
    is_its = (texts["merchant_id"] == expected) | (texts["group_merchant_id"] == expected)
    block.findings.flag(
        ~is_its.fill_null(False),
        "merchant_id",
        "wrong_merchant",
        "neither merchant nor group merchant is the one of the file's name",
    )


# --- the day's ZIP --------------------------------------------------------------------------------


def _members(
    stream: IO[bytes], context: FileContext, settlement_date: date
) -> tuple[list[tuple[str, IO[bytes]]], list[BadRow]]:
    """Return kind and bytes of our members; findings where a name is of another date or merchant.

    Other members (RNM2000…, whose form is not known) are left alone.
    """
    found, problems = [], []
    for name, member in zip_members(stream, wanted=lambda name: _match(name) is not None):
        match = _match(name)
        if match is None:
            raise AssertionError("asked for members that match")
        kind = match["kind"] or "RD"
        found.append((kind, member))
        if (match["date"] or match["report_date"]) != f"{settlement_date:%y%m%d}":
            problems.append(file_problem("wrong_date", f"the member {kind} is of another date"))
        merchant_id = match["merchant_id"] or match["report_merchant_id"]
        if merchant_id != context.name_parts.get("merchant_id", merchant_id):
            problems.append(
                file_problem("wrong_merchant", f"the member {kind} is of another merchant")
            )
    return found, problems


def _match(name: str) -> re.Match[str] | None:
    return _MEMBER.fullmatch(PurePosixPath(name.replace("\\", "/")).name)


def _report_problems(
    report: MerchantReport, context: FileContext, settlement_date: date
) -> list[BadRow]:
    problems = list(report.bad_rows)
    if report.settlement_date != settlement_date:
        problems.append(file_problem("wrong_date", f"the report RD is of {report.settlement_date}"))
    if report.merchant_id != context.name_parts.get("merchant_id", report.merchant_id):
        problems.append(file_problem("wrong_merchant", "the report RD is of another merchant"))
    return problems


def _of_member(kind: str, bad_rows: Sequence[BadRow]) -> list[BadRow]:
    return [replace(row, reason=f"member {kind}: {row.reason}") for row in bad_rows]


def _control_totals(
    report: MerchantReport, transactions: _TransactionsReading
) -> tuple[ControlTotal, ...]:
    sums = transactions.sums_minor
    return tuple(
        ControlTotal(f"{total.breakdown} {name}", declared, counted)
        for total in report.totals
        for name, declared, counted in (
            ("交易笔数", total.record_count, transactions.row_count),
            ("交易金额", total.amount_minor, sums["amount"]),
            ("费用", total.fee_minor, sums["merchant_fee"]),
            ("资金清算差额", total.net_minor, sums["settlement_amount"]),
        )
    )
