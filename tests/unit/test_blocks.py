"""Whatever the size of a block, a file gives the same rows, findings, totals and line numbers.

Of every kind of file: several records, good; and with one thing wrong each time, anywhere. That
files are also decoded a few bytes at a time, and that changed files of all kinds hold, is in
`fuzzing.check_blocks`, which every fuzzed file goes through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO

import pytest

import bank_files as bank
import channel_files as make
import fuzzing
from tieout.channels.bank import bank_csv, bank_csv_layouts, camt_stream
from tieout.channels.bank.camt_stream import MessageStream
from tieout.channels.common import text_files
from tieout.channels.common.model import (
    BAD_ROWS_PER_REASON_MAX,
    BadRow,
    Findings,
    file_problem,
)
from tieout.channels.registry import FileReading, parse_file, recognise

DAY = make.DAY
# Enough that every block size has several blocks, and a finding stands in the last.
RECORDS = 23


def vouchers(count: int = RECORDS, **changed: str) -> bytes:
    """Return a platform file; `changed` holds for its last row."""
    rows = [{**make.VOUCHER, "voucher_id": f"V{number:06d}"} for number in range(count)]
    rows[-1] |= changed
    return make.platform_file("source_vouchers", rows)


def doubled(content: bytes, line_number: int) -> bytes:
    """Return the file with a line once more, two lines before its end."""
    lines = content.split(b"\n")
    return b"\n".join([*lines[:-3], lines[line_number - 1], *lines[-3:]])


NAME = f"source_vouchers_{DAY:%Y%m%d}.csv"
CASES: Mapping[str, Callable[[], bytes]] = {
    "good": vouchers,
    "wrong text in the last row": lambda: vouchers().replace(b"V000022", b" V000022"),
    "key of the first row again in the last": lambda: vouchers(voucher_id="V000000"),
    "first line doubled": lambda: doubled(vouchers(), 2),
    "cut": lambda: vouchers()[:-90],
    "cut in a record": lambda: vouchers()[: len(vouchers()) // 2],
    "a quote opens and closes two lines later": lambda: vouchers().replace(
        b"V000003", b'"V000003\n\nx"'
    ),
    "no row": lambda: make.platform_file("source_vouchers", []),
    "wrong trailer": lambda: vouchers().replace(f"rows={RECORDS}".encode(), b"rows=1"),
    "not UTF-8": lambda: vouchers().replace(b"V000021", b"V00\xff021"),
    "NUL": lambda: vouchers().replace(b"V000021", b"V00\x00021"),
    "byte order mark, CRLF": lambda: b"\xef\xbb\xbf" + vouchers().replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_platform_file_gives_the_same_in_blocks(case: str) -> None:
    file = recognise(NAME)
    assert file is not None
    content = CASES[case]()
    parsed = parse_file(content, file, make.FakeVault())
    is_good = case in {"good", "no row", "byte order mark, CRLF"}
    assert parsed.is_good == is_good, parsed.bad_rows
    fuzzing.check_blocks(content, file, parsed)


def test_a_block_has_so_many_records_and_no_more() -> None:
    file = recognise(NAME)
    assert file is not None
    reading = FileReading(file, make.FakeVault(), block_rows=7)
    sizes = [
        len(frames["platform_source_vouchers"]) for frames in reading.blocks(BytesIO(vouchers()))
    ]
    assert sizes == [7, 7, 7, 2]
    assert reading.finish().row_count == RECORDS


def test_findings_of_one_reason_are_kept_up_to_a_bound_and_counted() -> None:
    """The first by line are kept, wherever a block ends, and how many more there are is said."""
    count = BAD_ROWS_PER_REASON_MAX + 50
    rows = [{**make.VOUCHER, "voucher_id": f"V{n:06d}", "terminal_id": " x"} for n in range(count)]
    content = make.platform_file("source_vouchers", rows)
    file = recognise(NAME)
    assert file is not None
    shown = [
        parse_file(content, file, make.FakeVault(), block_rows=size).bad_rows
        for size in (400, 100_000)
    ]
    assert shown[0] == shown[1]
    of_field = [row.line_number for row in shown[0] if row.field == "terminal_id"]
    assert of_field == [*range(2, BAD_ROWS_PER_REASON_MAX + 2), 0]
    assert "50 more rows for the same reason" in {row.reason for row in shown[0]}


# --- a bank's files: a block is held, and what is counted of the rest -----------------------------

BANK_LINES = 120


def statement(closing: str | None = None) -> bytes:
    """Return a camt.053 of many entries with a detail each."""
    entry = make.Entry("15.00", (("15.00", "", "中国银联"),))
    return make.camt053([entry] * BANK_LINES, closing=closing)


def notification() -> bytes:
    """Return a camt.054 of many entries."""
    content = bank.notification()
    begin, end = content.index(b"<Ntry>"), content.rindex(b"</Ntry>") + len(b"</Ntry>")
    entry = content[begin : content.index(b"</Ntry>") + len(b"</Ntry>")]
    head = re.sub(rb"<TxsSummry>.*</TxsSummry>", b"", content[:begin], flags=re.DOTALL)
    return head + entry * BANK_LINES + content[end:]


def bank_list(count: int = BANK_LINES, *, is_ascending: bool = True, **changed: str) -> bytes:
    """Return a bank's CSV of one yuan more in each line; `changed` has balances by their line."""
    lines = [
        f'20260924,{number},,1.00,{changed.get(f"of_{number}", f"{100 + number}.00")},"a\nb"'
        for number in range(1, count + 1)
    ]
    ordered = lines if is_ascending else lines[::-1]
    header = "交易日期,流水号,借方金额,贷方金额,余额,摘要"
    return "\n".join([header, *ordered, ""]).encode()


BANK_FILES: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "camt.053": (f"camt053_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_1.xml", statement),
    "camt.054": (f"camt054_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_1.xml", notification),
    "bank CSV": (f"bankcsv_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_1.csv", bank_list),
}


@pytest.mark.parametrize("name", BANK_FILES)
def test_a_bank_s_file_is_read_no_further_than_a_block_needs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is read whole has been read to its end when the first block is there."""
    monkeypatch.setattr(text_files, "PIECE_BYTES", 256)
    file_name, build = BANK_FILES[name]
    content = build()
    file = recognise(file_name)
    assert file is not None
    reading = FileReading(file, make.FakeVault(), block_rows=7)
    stream = BytesIO(content)
    read, sizes = [], []
    for frames in reading.blocks(stream):
        read.append(stream.tell())
        sizes.append(sum(len(frame) for table, frame in frames.items() if "details" not in table))
    parsed = reading.finish()
    assert parsed.is_good, parsed.bad_rows
    assert parsed.row_count == BANK_LINES
    assert max(sizes) <= 7
    # In the middle of the file, the middle of its blocks is there.
    for ordinal in (0, len(read) // 2):
        part = (ordinal + 1) * 7 / BANK_LINES
        assert read[ordinal] < (part + 0.1) * len(content)


@pytest.mark.parametrize("name", BANK_FILES)
def test_a_bank_s_file_gives_the_same_in_blocks(name: str) -> None:
    file_name, build = BANK_FILES[name]
    file = recognise(file_name)
    assert file is not None
    content = build()
    # Something that cannot be read stands in the last records.
    for bad in (content, content[:-40], b"4.00".join(content.rsplit(b"1.00", 1))):
        fuzzing.check_blocks(bad, file, parse_file(bad, file, make.FakeVault()))


def test_a_tree_holds_one_entry_and_what_stands_around_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "PIECE_BYTES", 512)
    stream = BytesIO(statement())
    message = MessageStream(stream, element_name="BkToCstmrStmt", group_name="Stmt")
    root = message.without_entries(name="camt.053.001", versions=["08"])
    assert sum(1 for _ in root.iter("{*}Ntry")) == 1
    assert sum(1 for _ in root.iter()) < 50
    held = [
        sum(1 for _ in entry.getroottree().getroot().iter("{*}Ntry", "{*}Amt"))
        for _, entry in message.entries()
    ]
    assert len(held) == BANK_LINES
    assert max(held) < 20


def test_more_than_can_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elements around the entries and in one of them are bounded, those of all entries are not."""
    monkeypatch.setattr(camt_stream, "HELD_ELEMENTS_MAX", 80)
    file = recognise(BANK_FILES["camt.053"][0])
    assert file is not None
    assert parse_file(statement(), file, make.FakeVault()).is_good
    batch = make.Entry("60.00", (("15.00", "", "中国银联"),) * 4)
    behind = b"<Other/>" * 80 + b"</Stmt>"
    for content in (make.camt053([batch] * 2), statement().replace(b"</Stmt>", behind)):
        (found,) = parse_file(content, file, make.FakeVault()).bad_rows
        assert found.reason_code == "too_large"


def test_a_document_type_is_refused_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows is not read, well-formed or not, however much is read at a time."""
    file = recognise(BANK_FILES["camt.053"][0])
    assert file is not None
    good = statement().replace(b"<Document", b"<!DOCTYPE d [<!ENTITY a 'b'>]><Document", 1)
    for content in (good, good[:-10], good.replace(b"<GrpHdr>", b"<GrpHdr>&c;<<", 1)):
        for piece_bytes in (7, 1 << 20):
            monkeypatch.setattr(text_files, "PIECE_BYTES", piece_bytes)
            stream = BytesIO(content)
            reading = FileReading(file, make.FakeVault())
            assert not list(reading.blocks(stream))
            assert [row.reason_code for row in reading.finish().bad_rows] == ["unsafe_xml"]
            assert stream.tell() < len(content)


@pytest.mark.parametrize("is_ascending", [True, False])
@pytest.mark.parametrize("line", [1, 2, 7, 8, 23])
def test_a_balance_is_held_against_the_line_before_across_blocks(
    is_ascending: bool, line: int
) -> None:
    """The first line in time has none before it: without a stated one nothing is wrong there."""
    order = "ascending" if is_ascending else "descending"
    text = bank_csv_layouts.LAYOUTS_FILE.read_text(encoding="utf-8")
    (layout,) = bank_csv_layouts.layouts_of(
        text.replace('order = "ascending"', f'order = "{order}"')
    )
    known = recognise(BANK_FILES["bank CSV"][0])
    assert known is not None
    file = replace(known, parser=partial(bank_csv.BankCsvReading, known_layouts=[layout]))
    content = bank_list(23, is_ascending=is_ascending, **{f"of_{line}": "5.00"})
    parsed = parse_file(content, file, make.FakeVault())
    broken = [number for number in (line, line + 1) if 1 < number <= 23]
    # A header, and two lines of the file for each one of the list.
    places = [2 * (number if is_ascending else 24 - number) for number in broken]
    assert [row.line_number for row in parsed.bad_rows] == sorted(places)
    assert {row.reason_code for row in parsed.bad_rows} == {"broken_balance"}
    fuzzing.check_blocks(content, file, parsed)


def test_findings_of_the_file_are_kept_up_to_a_bound_and_counted() -> None:
    """Entries of an XML have no line behind the last one that the XML library counts."""
    findings = Findings()
    for number in range(BAD_ROWS_PER_REASON_MAX + 50):
        findings.add(file_problem("unknown_code", f"entry {number}", field="Sts"))
    findings.add(file_problem("unknown_code", "another field"))
    reasons = [row.reason for row in findings.bad_rows]
    assert len(findings) == BAD_ROWS_PER_REASON_MAX + 51
    assert len(reasons) == BAD_ROWS_PER_REASON_MAX + 2
    assert "50 more rows for the same reason" in reasons
    assert "entry 0" in reasons


def test_findings_that_were_collected_apart_keep_their_bound_and_count() -> None:
    findings, apart = Findings(), Findings()
    findings.add(BadRow(1, "x", "code", "reason"))
    for number in range(BAD_ROWS_PER_REASON_MAX + 50):
        apart.add(BadRow(number + 2, "x", "code", "reason"))
    findings.add_lines_of(apart)
    assert len(findings) == BAD_ROWS_PER_REASON_MAX + 51
    shown = findings.bad_rows
    assert [row.line_number for row in shown] == [*range(1, BAD_ROWS_PER_REASON_MAX + 1), 0]
    assert shown[-1].reason == "51 more rows for the same reason"
