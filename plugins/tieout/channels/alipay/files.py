"""The form Alipay's bills have in common: a list in CSV between comment lines.

Format: docs/formats/alipay-trade-bill.md.

Comment lines start with #. The list ends with a marker line, then come lines of totals. It is
delivered in a ZIP beside a summary (汇总), or bare. The text is GBK (read as GB18030); a list that
UnionPay passes on is UTF-8. Programs that saved it again pad lines with commas.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, ClassVar

import polars as pl

from tieout.channels.common.amounts import minor_units_of
from tieout.channels.common.bill_columns import PADDING, check_widths, heading
from tieout.channels.common.bill_reading import BillReading
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import (
    BadRow,
    BlockFindings,
    ControlTotal,
    FileContext,
    Frames,
    UnreadableFileError,
    file_problem,
)
from tieout.channels.common.packed_files import is_zip, zip_members
from tieout.channels.common.text_files import batches, lines_of, without_blank_end
from tieout.channels.common.universal_lines import encoding_of

__all__ = ["AlipayReading", "Counted", "ListHead", "footer_numbers"]

SUMMARY_SUFFIX = "(汇总)"
SUMMARY_TOTAL = "合计"

_LIST_BEGIN = re.compile(r"^#-+(.+?)列表-+$")
_LIST_END = re.compile(r"^#-+(.+?)列表结束-+$")
# Whole lines: a line that says something in another form says nothing we may believe.
_ACCOUNT = re.compile(r"#账号[：:]\[([0-9]+)\]")
_PERIOD = re.compile(r"#起始日期[：:]\[([^\[\]]+)\][ \t]*终止日期[：:]\[([^\[\]]+)\]")
# What Excel fills a line up with, to the width of the list.
EXCEL_PADDING = ", \t"
# Above and below a list, and in a summary, stand some dozens.
LINES_MAX = 10_000
ACCOUNT_FORM, PERIOD_FORM = "#账号：[…]", "#起始日期：[…]   终止日期：[…]"
TOTALS_WORD = "合计"

# What the file states under a heading, and what we counted: fen, or a number of records.
Counted = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ListHead:
    """What stands above a list: comment lines, and the headings with commas that pad them."""

    comments: tuple[str, ...]
    header: tuple[str, ...]
    header_line_number: int
    padding_count: int
    has_records: bool

    @property
    def width(self) -> int:
        """How many values a record has, with those that pad it."""
        return len(self.header) + self.padding_count

    def cells(self, records: Sequence[str], findings: BlockFindings) -> pl.Series:
        """Return each record's values; records with too many or too few are flagged."""
        cells = pl.Series("line", records, dtype=pl.String).str.split(",")
        padding = cells.list.slice(len(self.header)).list.join("").str.strip_chars()
        check_widths(cells.list.len(), self.width, findings, also=padding.fill_null("") != "")
        return cells

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


class AlipayLists:
    """One list of a kind, told apart as it is read: head, records, and the lines below.

    Raises:
        UnreadableFileError: cut off (no end marker), another kind of list, no header.
    """

    def __init__(self, stream: IO[bytes], *, kind: str) -> None:
        self._kind = kind
        self._numbered = enumerate(_lines(stream), start=1)
        self._line_number = 0
        self._next_record: str | None = None
        self.footer: tuple[str, ...] = ()
        self.footer_line_number = 0

    def head(self) -> ListHead:
        """Return what stands above the list."""
        comments: list[str] = []
        header: str | None = None
        for number, line in self._numbered:
            self._line_number = number
            if self._is_end(line):
                self._read_footer()
                raise UnreadableFileError("missing_header", "there is no line of column names")
            if line and not line.startswith("#"):
                header = line
                break
            self._check_kind(_LIST_BEGIN.match(line))
            comments.append(line)
            if len(comments) > LINES_MAX:
                raise UnreadableFileError("missing_header", f"{LINES_MAX} lines without a header")
        if header is None:
            raise self._cut_off()
        header_line_number = self._line_number
        self._next_record = self._record()
        cells = [heading(name) for name in header.split(",")]
        names = _without_padding(cells)
        return ListHead(
            comments=tuple(comments),
            header=names,
            header_line_number=header_line_number,
            padding_count=len(cells) - len(names),
            has_records=self._next_record is not None,
        )

    def records(self) -> Iterator[tuple[int, str]]:
        """Yield the records with their lines; when all are read, the lines below are known."""
        while self._next_record is not None:
            yield self._line_number, self._next_record
            self._next_record = self._record()

    def _record(self) -> str | None:
        """Return the next record, or None where the list ends: then the rest was read, too."""
        for number, line in self._numbered:
            self._line_number = number
            if self._is_end(line):
                self._read_footer()
                return None
            return line
        raise self._cut_off()

    def _is_end(self, line: str) -> bool:
        match = _LIST_END.match(line)
        self._check_kind(match)
        return match is not None

    def _check_kind(self, marker: re.Match[str] | None) -> None:
        if marker is not None and marker[1] != self._kind:
            raise UnreadableFileError("wrong_list", f"it is not one list of {self._kind}")

    def _read_footer(self) -> None:
        self.footer_line_number = self._line_number + 1
        lines: list[str] = []
        for _, line in self._numbered:
            if self._is_end(line) or len(lines) == LINES_MAX:
                raise UnreadableFileError("wrong_list", f"it is not one list of {self._kind}")
            lines.append(line)
        self.footer = tuple(lines)

    def _cut_off(self) -> UnreadableFileError:
        return UnreadableFileError(
            "missing_end",
            f"the line {self._kind}列表结束 is missing; the file seems cut off",
            line_number=self._line_number,
        )


def members(
    stream: IO[bytes], context: FileContext, *, kind: str
) -> tuple[IO[bytes], IO[bytes] | None]:
    """Return the list and, where there is one, the summary: of a ZIP by the members' names.

    Args:
        stream: a ZIP, or the list itself.
        context: its name says whether it has to be a ZIP.
        kind: 业务明细 or 账务明细, with which the members' names end.

    Raises:
        UnreadableFileError: an unsafe ZIP, or not one member of that kind.
    """
    if not (is_zip(stream) or context.file_name.endswith(".zip")):
        return stream, None
    found = zip_members(
        stream, wanted=lambda name: _stem(name).endswith((kind, kind + SUMMARY_SUFFIX))
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


class AlipayReading(BillReading):
    """Reads one list: what the bills of trades and of the account have in common.

    The stream is the ZIP, whose summary is compared with its detail, or the detail alone.
    """

    kind: ClassVar[str]
    # The forms a line of totals below the list may have.
    footers: ClassVar[Sequence[re.Pattern[str]]]

    def __init__(self, context: FileContext, dated_by: str) -> None:
        super().__init__(context, dated_by)
        self.footer: Sequence[str] = ()
        self._head: ListHead | None = None
        self._unknown: list[BadRow] = []
        self._summary: Sequence[Sequence[str]] = ()

    @abstractmethod
    def places(self, head: ListHead) -> Mapping[str, int]:
        """Return where each column stands."""

    @abstractmethod
    def control_totals(self) -> tuple[ControlTotal, ...]:
        """Compare the lines of totals below the list."""

    @abstractmethod
    def counted(self) -> Counted:
        """Return what the summary may state, by its headings."""

    @property
    def head(self) -> ListHead:
        """What stands above the list, once it was read."""
        if self._head is None:
            raise AssertionError("no block was read")
        return self._head

    def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
        """Yield the rows block by block; see `Reading`.

        Raises:
            UnreadableFileError: no such ZIP, an unsafe one, or a list that cannot be read.
        """
        with ExitStack() as stack:
            detail, summary = members(stream, self.context, kind=self.kind)
            for member in (detail, summary):
                if member is not None and member is not stream:
                    stack.enter_context(member)
            self._summary = [] if summary is None else _summary_rows(summary)
            yield from self._list(detail)

    def _list(self, detail: IO[bytes]) -> Iterator[Frames]:
        lists = AlipayLists(detail, kind=self.kind)
        self._head = lists.head()
        try:
            places = self.places(self._head)
        except UnreadableFileError:
            # A list that is cut off says so before anything else.
            for _ in lists.records():
                pass
            raise
        yield from self.frames(batches(lists.records(), self.context.block_rows), places)
        self.footer = lists.footer
        self._unknown = footer_problems(lists.footer, lists.footer_line_number, self.footers)

    @property
    def width(self) -> int:
        """How many values a record has."""
        return self.head.width

    def cells(self, texts: Sequence[str], findings: BlockFindings) -> pl.Series:
        """Return the values of each record; lines that are no record are flagged."""
        return self.head.cells(texts, findings)

    def values(self, text: str) -> Sequence[str]:
        """Return the values of one record."""
        return text.split(",")

    def totals(self) -> tuple[ControlTotal, ...]:
        """Compare the lines below the list and the summary.

        Totals of rows that cannot be read, or in lines that cannot, prove nothing.
        """
        if self.findings or self._unknown:
            return ()
        return (*self.control_totals(), *summary_totals(self._summary, self.counted()))

    def problems(self) -> list[BadRow]:
        """Return what head and foot say that is not as it has to be."""
        unknown = [] if self.findings else self._unknown
        return [*self.head.problems(self.context), *unknown]

    def date_inside(self) -> date | None:
        """Return the day the head says, else the records'."""
        return self.head.bill_date() or super().date_inside()


def footer_problems(
    footer: Sequence[str], first_line_number: int, patterns: Sequence[re.Pattern[str]]
) -> list[BadRow]:
    """Return findings about lines below the list that are no line of totals in a form we know.

    Each may stand once. Other comments are left alone, as long as they state no total.
    """
    found, seen = list[BadRow](), set[re.Pattern[str]]()
    for line_number, line in enumerate(footer, start=first_line_number):
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


def summary_totals(rows: Sequence[Sequence[str]], counted: Counted) -> list[ControlTotal]:
    """Compare the summary member with the list, for the headings in `counted`.

    Headings of counts end with 笔数. The row 合计 counts, or all rows where there is none. A
    summary without a header (some have comment lines only) states nothing.

    Raises:
        UnreadableFileError: it has a header, and nothing in it that we know how to compare.
    """
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


def _summary_rows(stream: IO[bytes]) -> list[list[str]]:
    """Return the values of the summary's lines, headings first."""
    lines = list(islice(_lines(stream), LINES_MAX + 1))
    if len(lines) > LINES_MAX:
        raise UnreadableFileError(
            "wrong_summary", f"the summary (汇总) has more than {LINES_MAX} lines"
        )
    return [line.split(",") for line in lines if line.strip(",") and not line.startswith("#")]


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


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines; comment lines without what Excel pads them with, none blank at the end.

    The text is UTF-8 where it is that throughout, which no GBK bill is, else GB18030.
    """
    lines = lines_of(stream, encoding_of(stream, ("utf-8",)) or "gb18030")
    for line in without_blank_end(lines, EXCEL_PADDING):
        yield line.rstrip(EXCEL_PADDING) if line.startswith("#") else line


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
