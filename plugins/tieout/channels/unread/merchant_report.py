"""UnionPay RD report (全渠道商户交易汇总表): what the day's ZM has to sum up to.

Format: docs/formats/unionpay-merchant-files.md.

A text for people, in GBK: whose, of which date, then one table by kind of transaction and one by
kind of card, each with a line of totals. One real report is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import IO

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BadRow, UnreadableFileError, file_problem
from tieout.channels.common.text_files import lines_of

__all__ = ["MerchantReport", "ReportTotal", "read_report"]

TOTAL = "总计"
# A page for people, of some dozens.
LINES_MAX = 10_000
# A heading as it begins a table: the table before it has to have ended.
END_OF_TEXT = "- 交易笔数 "
# What stands behind a label, up to the next blank: the whole of it has to be the value.
_MERCHANT = re.compile(r"商户代码[:：][ \t]*(\S*)")
_DATE = re.compile(r"清算日期[:：][ \t]*(\S*)")
_CURRENCY = re.compile(r"清算币种[:：][ \t]*(\S*)")
# ZM states no currency, and its amounts are read as fen.
CURRENCY = "人民币"
# A label, a count, and debit and credit of amount, fee and net.
_FIGURES = re.compile(r"^(\S+)\s+(\d{1,12})" + r"\s+(-?[0-9.]+)" * 6 + r"\s*$", re.ASCII)
_HEADING = re.compile(r"^(\S+)\s+交易笔数\s")


@dataclass(frozen=True, slots=True)
class ReportTotal:
    """A line of totals, in fen: amount and net + where the merchant receives, fee + where it pays.

    `breakdown` is what the table's rows are named after: 交易类型 or 卡性质.
    """

    breakdown: str
    record_count: int
    amount_minor: int | None
    fee_minor: int | None
    net_minor: int | None


@dataclass(frozen=True, slots=True)
class MerchantReport:
    """One report: whose, of which settlement date, its totals, and what speaks against it."""

    merchant_id: str
    settlement_date: date
    totals: tuple[ReportTotal, ...]
    bad_rows: tuple[BadRow, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """A row: what the merchant receives less what it pays, of amount, fee and net."""

    label: str
    count: int
    received: tuple[int | None, ...]


def read_report(stream: IO[bytes]) -> MerchantReport:
    """Return what the report says.

    Raises:
        UnreadableFileError: not GBK, it does not say whose or of when it is, or has no totals.
    """
    text_lines = list(islice(lines_of(stream, "gb18030"), LINES_MAX + 1))
    if len(text_lines) > LINES_MAX:
        raise UnreadableFileError("wrong_report", f"the report RD has more than {LINES_MAX} lines")
    text = "\n".join(text_lines)
    merchant_id, day, currency = (
        _said_once(text, pattern) for pattern in (_MERCHANT, _DATE, _CURRENCY)
    )
    settlement_date = _date_of(day)
    if re.fullmatch("[0-9A-Za-z]+", merchant_id) is None or settlement_date is None:
        raise UnreadableFileError(
            "wrong_report",
            "the report RD has to say its merchant (商户代码) and settlement date (清算日期, "
            f"yyyymmdd) once each; found {masked_excerpt(merchant_id)[:40]!r} and "
            f"{masked_excerpt(day)[:40]!r}",
        )
    if currency != CURRENCY:
        raise UnreadableFileError(
            "wrong_currency",
            f"the report RD has to be in {CURRENCY} (清算币种); "
            f"found {masked_excerpt(currency)[:40]!r}",
        )
    totals, bad_rows = [], []
    for breakdown, lines in _tables(text):
        total = lines[-1]
        amount, fee, net = total.received
        paid = None if fee is None else -fee
        totals.append(ReportTotal(breakdown, total.count, amount, paid, net))
        if not _adds_up(lines[:-1], total):
            bad_rows.append(
                file_problem(
                    "wrong_report", f"in the report RD the rows by {breakdown} are not its total"
                )
            )
    if not totals:
        raise UnreadableFileError("missing_totals", f"the report RD has no line {TOTAL}")
    return MerchantReport(merchant_id, settlement_date, tuple(totals), tuple(bad_rows))


def _tables(text: str) -> list[tuple[str, list[_Line]]]:
    """Return each table's heading and lines, up to and with its total.

    Raises:
        UnreadableFileError: a table without a total that can be read.
    """
    found: list[tuple[str, list[_Line]]] = []
    heading, lines = "", list[_Line]()
    for line in (*text.splitlines(), END_OF_TEXT):
        if match := _HEADING.match(line):
            if heading:
                raise UnreadableFileError(
                    "missing_totals", f"in the report RD the table by {heading} has no line {TOTAL}"
                )
            heading, lines = match[1], []
        elif match := _FIGURES.match(line):
            label, count, *figures = match.groups()
            lines.append(_Line(label, int(count), _received(figures)))
            if label == TOTAL:
                found.append((heading, lines))
                heading, lines = "", []
    return found


def _received(figures: Sequence[str]) -> tuple[int | None, ...]:
    """Return credit less debit of each pair, in fen; None where one cannot be read.

    So it is all the same whether a report nets both sides in a line or not, which is not known.
    """
    values = [minor_units_of(figure) for figure in figures]
    return tuple(
        None if debit is None or credit is None else credit - debit
        for debit, credit in zip(values[::2], values[1::2], strict=True)
    )


def _adds_up(lines: Sequence[_Line], total: _Line) -> bool:
    """Say whether the rows sum up to the total; a figure that cannot be read proves nothing."""
    if any(None in line.received for line in (*lines, total)):
        return False
    sums = [
        sum(value or 0 for value in column)
        for column in zip(*(line.received for line in lines), strict=True)
    ] or [0] * len(total.received)
    return sum(line.count for line in lines) == total.count and sums == list(total.received)


def _said_once(text: str, label: re.Pattern[str]) -> str:
    """Return what stands behind a label; nothing where it stands twice with two values."""
    said = set(label.findall(text))
    return str(said.pop()) if len(said) == 1 else ""


def _date_of(text: str) -> date | None:
    if re.fullmatch("[0-9]{8}", text) is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date, no instant
    except ValueError:
        return None
