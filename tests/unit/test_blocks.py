"""Whatever the size of a block, a file gives the same rows, findings, totals and line numbers.

Of every kind of file: several records, good; and with one thing wrong each time, anywhere. That
files are also decoded a few bytes at a time, and that changed files of all kinds hold, is in
`fuzzing.check_blocks`, which every fuzzed file goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

import pytest

import channel_files as make
import fuzzing
from tieout.channels.model import BAD_ROWS_PER_REASON_MAX
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
