"""The form Alipay's bills have in common: a list in CSV between comment lines (formats.md §5).

Comment lines start with #. The list ends with a marker line, then come lines of totals. It is
delivered in a ZIP beside a summary (汇总), or bare. The text is GBK (read as GB18030); a list that
UnionPay passes on is UTF-8. Programs that saved it again pad lines with commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath

import polars as pl

from tieout.channels.amounts import minor_units_of
from tieout.channels.bill_columns import PADDING, check_widths, heading
from tieout.channels.excerpts import masked_excerpt
from tieout.channels.model import (
    BadRow,
    ControlTotal,
    FileContext,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.packed_files import is_zip, zip_members
from tieout.channels.text_files import decoded_text

__all__ = [
    "AlipayList",
    "Counted",
    "footer_numbers",
    "footer_problems",
    "members",
    "read_list",
    "summary_totals",
]

SUMMARY_SUFFIX = "(汇总)"
SUMMARY_TOTAL = "合计"

_LIST_END = re.compile(r"^#-+(.+?)列表结束-+$")
# Whole lines: a line that says something in another form says nothing we may believe.
_ACCOUNT = re.compile(r"#账号[：:]\[([0-9]+)\]")
_PERIOD = re.compile(r"#起始日期[：:]\[([^\[\]]+)\][ \t]*终止日期[：:]\[([^\[\]]+)\]")
ACCOUNT_FORM, PERIOD_FORM = "#账号：[…]", "#起始日期：[…]   终止日期：[…]"
TOTALS_WORD = "合计"

# What the file states under a heading, and what we counted: fen, or a number of records.
Counted = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AlipayList:
    """One list: headings, records with their lines, and the comment lines around them."""

    header: tuple[str, ...]
    header_line_number: int
    records: tuple[str, ...]
    comments: tuple[str, ...]
    footer: tuple[str, ...]
    padding_count: int

    @property
    def line_numbers(self) -> range:
        """Return the records' lines, counted from 1."""
        first = self.header_line_number + 1
        return range(first, first + len(self.records))

    def cells(self) -> tuple[pl.Series, list[BadRow]]:
        """Return each record's values, and findings where there are too many or too few."""
        cells = pl.Series("line", self.records, dtype=pl.String).str.split(",")
        width = len(self.header) + self.padding_count
        padding = cells.list.slice(len(self.header)).list.join("").str.strip_chars()
        return cells, check_widths(
            cells.list.len(), width, self.line_numbers, also=padding.fill_null("") != ""
        )

    def bill_date(self) -> date | None:
        """Return the day of the period line, whose end is exclusive; None where there is none.

        Raises:
            UnreadableFileError: the period is not one whole day.
        """
        match = self._head_line("日期", _PERIOD)
        if match is None:
            return None
        start, end = (_head_time(text) for text in match.groups())
        if start is None or end is None or end - start != timedelta(days=1):
            raise UnreadableFileError(
                "wrong_period",
                f"the bill is of {masked_excerpt(match[1])} to {masked_excerpt(match[2])}; "
                "it has to be one whole day, from 00:00:00 to 00:00:00",
            )
        return start.date()

    def problems(self, context: FileContext) -> list[BadRow]:
        """Return findings where day and account inside are not those of the file's name.

        A bill that does not say them in the form we know may be anybody's: it waits.
        """
        found = []
        day, expected_day = self.bill_date(), context.accounting_date
        if expected_day is not None and day is None:
            found.append(self._not_said("of which day the bill is", PERIOD_FORM, "日期"))
        elif expected_day is not None and day != expected_day:
            found.append(
                file_problem(
                    "wrong_date", f"the bill is of {day}, its name says another day, {expected_day}"
                )
            )
        expected = context.name_parts.get("account_id")
        account = self._head_line("账号", _ACCOUNT)
        if expected and account is None:
            found.append(self._not_said("whose bill it is", ACCOUNT_FORM, "账号"))
        elif expected and account is not None and account[1].removesuffix("0156") != expected:
            found.append(file_problem("wrong_merchant", "the bill is of another Alipay account"))
        return found

    def _head_line(self, label: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the one line above the list that has the label, where it has the known form."""
        labelled = [line for line in self.comments if label in line]
        return pattern.fullmatch(labelled[0]) if len(labelled) == 1 else None

    def _not_said(self, what: str, form: str, label: str) -> BadRow:
        """Return the finding that the head does not say something in its form, and what it says."""
        lines = [number for number, line in enumerate(self.comments, start=1) if label in line]
        shown = [masked_excerpt(self.comments[number - 1]) for number in lines[:2]]
        said = f"found: {' and '.join(shown)}" if shown else "no line above the list says it"
        return BadRow(
            lines[0] if lines else 0,
            "",
            "unknown_head",
            f"the bill does not say {what} in the form `{form}`, once; {said}",
        )


def members(content: bytes, context: FileContext, *, kind: str) -> tuple[bytes, bytes | None]:
    """Return the list and, where there is one, the summary: of a ZIP by the members' names.

    Args:
        content: a ZIP, or the list itself.
        context: its name says whether it has to be a ZIP.
        kind: 业务明细 or 账务明细, with which the members' names end.

    Raises:
        UnreadableFileError: an unsafe ZIP, or not one member of that kind.
    """
    if not (is_zip(content) or context.file_name.endswith(".zip")):
        return content, None
    found = zip_members(
        content, wanted=lambda name: _stem(name).endswith((kind, kind + SUMMARY_SUFFIX))
    )
    details = [text for name, text in found if _stem(name).endswith(kind)]
    summaries = [text for name, text in found if _stem(name).endswith(SUMMARY_SUFFIX)]
    if len(details) != 1 or len(summaries) > 1:
        raise UnreadableFileError(
            "missing_member",
            f"{len(details)} members are named …_{kind}.csv, 1 expected; "
            f"{len(summaries)} …{SUMMARY_SUFFIX}.csv, 1 or none expected",
        )
    return details[0], summaries[0] if summaries else None


def read_list(content: bytes, *, kind: str) -> AlipayList:
    """Return the list of that kind.

    Raises:
        UnreadableFileError: cut off (no end marker), another kind of list, no header.
    """
    lines = _lines(content)
    ends = [(place, match[1]) for place, line in lines if (match := _LIST_END.match(line))]
    if not ends:
        raise UnreadableFileError(
            "missing_end",
            f"the line {kind}列表结束 is missing; the file seems cut off",
            line_number=len(lines),
        )
    end_at, found_kind = ends[0]
    if found_kind != kind or len(ends) > 1:
        raise UnreadableFileError("wrong_list", f"it is not one list of {kind}")
    head_at = next((place for place, line in lines if line and not line.startswith("#")), None)
    if head_at is None or head_at > end_at:
        raise UnreadableFileError("missing_header", "there is no line of column names")
    texts = [line for _, line in lines]
    cells = [heading(name) for name in texts[head_at].split(",")]
    header = _without_padding(cells)
    return AlipayList(
        header=header,
        header_line_number=head_at + 1,
        records=tuple(texts[head_at + 1 : end_at]),
        comments=tuple(texts[:head_at]),
        footer=tuple(texts[end_at + 1 :]),
        padding_count=len(cells) - len(header),
    )


def footer_problems(bill: AlipayList, patterns: Sequence[re.Pattern[str]]) -> list[BadRow]:
    """Return findings about lines below the list that are no line of totals in a form we know.

    Each may stand once. Other comments are left alone, as long as they state no total.
    """
    first_line_number = bill.header_line_number + len(bill.records) + 2
    found, seen = list[BadRow](), set[re.Pattern[str]]()
    for line_number, line in enumerate(bill.footer, start=first_line_number):
        known = next((pattern for pattern in patterns if pattern.fullmatch(line)), None)
        is_comment = not line.strip() or line.startswith("#")
        if is_comment and (known not in {None, *seen} or TOTALS_WORD not in line):
            seen |= {known} if known is not None else set()
            continue
        found.append(
            BadRow(
                line_number,
                "",
                "unknown_totals",
                "below the list stands a line of totals that has no form we know (or stands there "
                f"twice), or a line that is no comment: found {masked_excerpt(line)!r}",
            )
        )
    return found


def footer_numbers(
    footer: Sequence[str], pattern: re.Pattern[str]
) -> tuple[int | None, ...] | None:
    """Return what a line of totals states: a count, then amounts in fen; None without the line."""
    for line in footer:
        match = pattern.fullmatch(line)
        if match:
            count, *amounts = match.groups()
            return int(count), *(minor_units_of(amount) for amount in amounts)
    return None


def summary_totals(content: bytes | None, counted: Counted) -> list[ControlTotal]:
    """Compare the summary member with the list, for the headings in `counted`.

    Headings of counts end with 笔数. The row 合计 counts, or all rows where there is none. A
    summary without a header (some have comment lines only) states nothing.

    Raises:
        UnreadableFileError: it has a header, and nothing in it that we know how to compare.
    """
    lines = [] if content is None else _lines(content)
    rows = [line.split(",") for _, line in lines if line.strip(",") and not line.startswith("#")]
    if not rows:
        return []
    header = _without_padding([heading(name) for name in rows[0]])
    if not any(heading(name) in header for name in counted):
        raise UnreadableFileError(
            "wrong_summary",
            f"the summary (汇总) has none of the columns {', '.join(counted)}; "
            f"found: {masked_excerpt(', '.join(header))}",
        )
    named_total = [row for row in rows[1:] if row[0].strip(PADDING) == SUMMARY_TOTAL]
    chosen = named_total or rows[1:]
    return [
        ControlTotal(f"汇总 {name}", _summed(chosen, header.index(heading(name)), name), count)
        for name, count in counted.items()
        if heading(name) in header
    ]


def _summed(rows: Sequence[Sequence[str]], place: int, name: str) -> int | None:
    """Return a column's sum; None where a value cannot be read. What goes out counts unsigned."""
    exponent = 0 if name.endswith("笔数") else 2
    values = [
        minor_units_of(row[place].strip(PADDING), exponent=exponent) if place < len(row) else None
        for row in rows
    ]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return abs(sum(known)) if heading(name).endswith("(-元)") else sum(known)


def _lines(content: bytes) -> list[tuple[int, str]]:
    """Return the lines with their places; comment lines without what Excel pads them with."""
    lines = [line.removesuffix("\r") for line in _text(content).split("\n")]
    while lines and not lines[-1].strip(", \t"):
        lines.pop()
    return [
        (place, line.rstrip(", \t") if line.startswith("#") else line)
        for place, line in enumerate(lines)
    ]


def _text(content: bytes) -> str:
    """Return the text: UTF-8 where it is that throughout, which no GBK bill is, else GB18030."""
    try:
        return decoded_text(content, "utf-8")
    except UnreadableFileError:
        return decoded_text(content, "gb18030")


def _without_padding(names: Sequence[str]) -> tuple[str, ...]:
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem.translate(str.maketrans("（）", "()"))


def _head_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y年%m月%d日 %H:%M:%S")  # noqa: DTZ007 - Beijing time
    except ValueError:
        return None
