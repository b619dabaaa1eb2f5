"""Fuzzing of every parser: good files to start from, changes, and what holds whatever the bytes.

`bin/fuzz` (make fuzz) runs it for as long as it is told, guided by the lines of the parsers that an
input reaches; `tests/unit/test_fuzz.py` runs it for a moment and over the corpus kept.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import polars as pl
import polars.testing

import bank_files as bank
import channel_files as make
import institution_files as institution
import wallet_files as wallet
from defects import FORMATS
from tieout.channels.common import card_numbers, model, text_files
from tieout.channels.common.model import ParsedFile
from tieout.channels.registry import RecognisedFile, parse_file, recognise

__all__ = [
    "Seed",
    "check_blocks",
    "corpus_outcomes",
    "examined",
    "mutated",
    "reached",
    "seeds",
    "write_outcomes",
    "written_outcomes",
]

DAY = make.DAY
SIZE_MAX = 64 * 1024
OUTCOMES = "outcomes.csv"
CHANGES = (1, 1, 1, 2, 3, 6)
# Records of a block, and bytes decoded at a time.
BLOCKS = ((1, 7), (7, 1 << 20))
PARSERS = str(Path(model.__file__).parents[1])
# What breaks parsers: signs of the formats, numbers that are none, other scripts' digits, controls.
TOKENS = (
    *(b"", b"-", b"+", b".", b"0", b"9" * 40, b"-0.00", b"1e9", b"0x1F", b"NaN", b"inf", b"1_000"),
    *(b"\x00", b"\xff", b"\x81", b"\x1a", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xae"),
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b",",
        b",,,,",
        b"`",
        b",`",
        b"\t",
        b'"',
        b'""',
        b"'",
        b";",
        b"|",
        b"=",
    ),
    *("０１２".encode(), "٣".encode(), "²".encode(), "①".encode(), "．".encode(), "－".encode()),
    *("张".encode("gb18030"), "张".encode(), b"#", b"#rows=1", b":61:", b":86:", b":62F:", b"-}"),
    *(b"<!DOCTYPE a>", b"<a>", b"</Ntry>", b"&#0;", b"&amp;", b"<![CDATA[", b"]]>", b"PK\x03\x04"),
    *(b"20260924", b"20260230", b"2026-02-30", b"1231", b"240000", b"2026-09-24 24:00:00"),
    *(f";{make.CARD}=3012201?".encode(), make.CARD.encode()),
)


@dataclass(frozen=True)
class Seed:
    """A good file, or nearly: its name in an inbox, its text, and how the text is packed."""

    file_name: str
    text: bytes
    pack: Callable[[bytes], bytes] = field(default=lambda text: text, repr=False)


@cache
def seeds() -> tuple[Seed, ...]:
    """Return files of every format to start from, of every kind the registry knows at least one."""
    found = [
        Seed(kind.file_name(DAY), kind.unwrap(build(DAY)), _packing(kind.wrap))
        for kind in FORMATS
        for build in (kind.good, *kind.variants.values())
        if not kind.file_name(DAY).endswith(".zip") or build is kind.good
    ]
    merchant, day = "1900000109", DAY.isoformat()
    account = f"{make.PID}0156_{DAY:%Y%m%d}"
    found += [
        Seed(f"{kind}_{DAY:%Y%m%d}.csv", make.platform_file(kind, rows))
        for kind, rows in {
            "payees": [make.PAYEE],
            "opening_balances": [
                {"subledger_id": "x", "currency_code": "CNY", "ledger_account": account}
                | {"balance_minor": balance}
                for account, balance in (("a", "5"), ("b", "-5"))
            ],
            "operating_window": [{"first_accounting_date": day}],
        }.items()
    ]
    found += [
        Seed(f"{merchant}All{day}.csv", wallet.old_wechat_bill()),
        Seed(f"{merchant}All{day}.csv.gz", wallet.wechat_bill(), wallet.gzipped),
        Seed(f"{merchant}All{day}.csv", wallet.NO_BILL),
        Seed(f"{merchant}Success{day}.csv", _success_bill()),
        Seed(f"{merchant}FundFlowBasic{day}.csv", wallet.fund_bill()),
        Seed(
            f"{account}_账务明细.zip",
            wallet.account_detail(),
            lambda text: wallet.alipay_zip(text, wallet.account_summary(), kind="账务明细"),
        ),
        Seed(f"{account}_账务明细.csv", wallet.account_detail()),
        Seed(f"{DAY:%Y%m%d}_{DAY:%Y%m%d}_ALL.csv", wallet.qr_bill()),
        Seed(f"camt054_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_1.xml", bank.notification()),
        Seed(f"bankcsv_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_1.csv", bank.bank_statement()),
        Seed(f"mt940_{make.BANK_ACCOUNT}_{DAY:%Y%m%d}_7.sta", bank.MT940.encode()),
        Seed(f"INF{DAY:%y%m%d}01R", institution.inf(institution.inf_detail())),
    ]
    return tuple(found)


def _packing(wrap: Callable[[bytes, date], bytes]) -> Callable[[bytes], bytes]:
    return lambda text: wrap(text, DAY)


def _success_bill() -> bytes:
    return wallet.wechat_bill(
        [make.WECHAT_PAYMENT],
        header=wallet.SUCCESS_HEADER,
        totals={name: of for name, of in make.WECHAT_TOTALS.items() if of in wallet.SUCCESS_HEADER},
    )


# --- changes --------------------------------------------------------------------------------------


def mutated(random: Random, seed: Seed, others: Sequence[bytes] = ()) -> bytes:
    """Return the file with some changes: to its text, or, one time in six, to how it is packed."""
    if random.randrange(6) == 0:
        return _changed(random, seed.pack(seed.text), others)
    return seed.pack(_changed(random, seed.text, others))[:SIZE_MAX]


def _changed(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    for _ in range(random.choice(CHANGES)):
        content = random.choice(_CHANGES)(random, content, others)
    return content[:SIZE_MAX]


def _slice(random: Random, content: bytes) -> tuple[int, int]:
    start = random.randint(0, len(content))
    return start, min(len(content), start + random.choice((1, 2, 8, 40, 300)))


def _flip(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    if not content:
        return b"\x00"
    at = random.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :]


def _insert(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = random.randint(0, len(content))
    return content[:at] + random.choice(TOKENS) + content[at:]


def _remove(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = _slice(random, content)
    return content[:start] + content[end:]


def _repeat(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = _slice(random, content)
    return content[:end] + content[start:end] * random.choice((1, 2, 50)) + content[end:]


def _cut(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    return content[: random.randint(0, len(content))]


def _field(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    """Put a token in the place of what stands between two separators."""
    marks = [at for at, byte in enumerate(content) if byte in b",|\t\r\n`<>:="]
    if len(marks) < 2:
        return content
    number = random.randrange(len(marks) - 1)
    return content[: marks[number] + 1] + random.choice(TOKENS) + content[marks[number + 1] :]


def _digits(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    """Change one digit to another, so that what is fixed by place stays in its place."""
    places = [at for at, byte in enumerate(content) if 0x30 <= byte <= 0x39]
    if not places:
        return content
    at = random.choice(places)
    return content[:at] + random.choice((b"0", b"9", b"5", b" ", b"-", b"A")) + content[at + 1 :]


def _lines(random: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    """Move, double or leave out a line."""
    lines = content.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.choice((0, 1, 2))):
        lines.insert(random.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _splice(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if not others:
        return content
    other = random.choice(others)
    return content[: random.randint(0, len(content))] + other[random.randint(0, len(other)) :]


_CHANGES = (
    *(_flip, _insert, _remove, _repeat, _cut, _field, _field, _field, _digits, _digits),
    *(_lines, _lines, _splice),
)


# --- what holds -----------------------------------------------------------------------------------


def examined(file_name: str, content: bytes) -> str:
    """Parse a file and check what holds for every file; return what became of it in a word.

    Raises:
        AssertionError: the parser failed, said nothing, or let a card number through.
    """
    recognised = recognise(file_name)
    assert recognised is not None, file_name
    parsed = parse_file(content, recognised, make.FakeVault())
    check_blocks(content, recognised, parsed)
    for row in parsed.bad_rows:
        assert row.reason_code != "parser_failed", row.reason
        assert row.reason
        assert row.line_number >= 0
        for text in (row.reason, row.excerpt, row.field):
            _check_text(text)
    assert parsed.row_count >= 0
    for name, frame in parsed.frames.items():
        _check_frame(name, frame)
    if parsed.bad_rows:
        return parsed.bad_rows[0].reason_code
    if not parsed.is_good:
        return "totals"
    # A good file's rows are in its frames; its date is the one it was sent for.
    assert parsed.accounting_date == recognised.accounting_date
    assert parsed.row_count == 0 or any(frame.height for frame in parsed.frames.values())
    return "accepted"


def check_blocks(content: bytes, file: RecognisedFile, parsed: ParsedFile) -> None:
    """Check that a file gives the same in small blocks, decoded a few bytes at a time.

    Raises:
        AssertionError: rows, findings, totals or lines depend on where a block or a piece ends.
    """
    piece_bytes = text_files.PIECE_BYTES
    for block_rows, small_piece_bytes in BLOCKS:
        text_files.PIECE_BYTES = small_piece_bytes
        try:
            other = parse_file(content, file, make.FakeVault(), block_rows=block_rows)
        finally:
            text_files.PIECE_BYTES = piece_bytes
        shown = f"{file.file_name} in blocks of {block_rows}"
        assert other.bad_rows == parsed.bad_rows, shown
        assert other.frames.keys() == parsed.frames.keys(), shown
        for table, frame in parsed.frames.items():
            polars.testing.assert_frame_equal(other.frames[table], frame)
        assert replace(other, frames={}) == replace(parsed, frames={}), shown


def _check_frame(name: str, frame: pl.DataFrame) -> None:
    lines = frame["line_number"]
    assert lines.null_count() == 0, name
    assert frame.height == 0 or int(lines.min()) >= 1, name  # type: ignore[arg-type]
    assert not any(dtype.is_float() for dtype in frame.dtypes), f"{name}: a float near money"
    for column in frame.select(pl.selectors.string()):
        if column.name in {"channel_merchant_id", "bank_account_id", "merchant_id", "account_id"}:
            continue
        for text in column.drop_nulls().to_list():
            assert "\x00" not in text, f"{name}.{column.name}: PostgreSQL takes no NUL"
            if not column.name.endswith("_ciphertext"):
                _check_text(text)


def _check_text(text: str) -> None:
    assert not list(card_numbers.find_card_numbers(text)), "a card number in the clear"
    assert not list(card_numbers.find_track_data(text)), "a track in the clear"


# --- the corpus -----------------------------------------------------------------------------------


def corpus_outcomes(corpus: Path) -> dict[str, str]:
    """Return what becomes of each file of the corpus: `<name in an inbox>/<part of its hash>`."""
    paths = sorted(path for path in corpus.glob("*/*") if path.is_file())
    return {
        f"{path.parent.name}/{path.name}": examined(path.parent.name, path.read_bytes())
        for path in paths
    }


def write_outcomes(corpus: Path) -> None:
    """Write what becomes of each file of the corpus, for the test to compare."""
    with (corpus / OUTCOMES).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([("file", "outcome"), *corpus_outcomes(corpus).items()])


def written_outcomes(corpus: Path) -> dict[str, str]:
    """Return what became of each file of the corpus when it was kept."""
    with (corpus / OUTCOMES).open(encoding="utf-8", newline="") as stream:
        return {row["file"]: row["outcome"] for row in csv.DictReader(stream)}


@contextmanager
def reached() -> Iterator[set[tuple[str, int, int]]]:
    """Collect which lines of the parsers run after which: the guide to inputs worth keeping."""
    arcs: set[tuple[str, int, int]] = set()
    before: dict[FrameType, int] = {}

    def inside(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            arcs.add((frame.f_code.co_filename, before.get(frame, 0), frame.f_lineno))
            before[frame] = frame.f_lineno
        elif event == "return":
            before.pop(frame, None)
        return inside

    def called(frame: FrameType, _event: str, _argument: Any) -> Any:
        return inside if frame.f_code.co_filename.startswith(PARSERS) else None

    outer = sys.gettrace()
    sys.settrace(called)
    try:
        yield arcs
    finally:
        sys.settrace(outer)
