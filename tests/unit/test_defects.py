"""Each defect in each format ends as docs/formats/defects.md says; nothing lost or half-landed.

The page is the expectation. After a change that is meant, write it anew and read the difference:

    make test ARGS="-n 0 tests/unit/test_defects.py --write-defects"
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

import channel_files as make
from defects import DEFECTS, FORMATS, MAX_FILE_BYTES, NEW_YEAR, Defect, Delivery, Format, deliveries
from landing_world import own_database, query
from tieout import database, landing
from tieout.core.settings import PROJECT_DIR, Settings, load_settings
from tieout.files import archive
from tieout.landing import quarantine
from tieout.landing.manifest import KnownFile, known_file

__all__ = ["own_database"]

PAGE = PROJECT_DIR / "docs" / "formats" / "defects.md"
THROUGH = date(2027, 1, 31)
NOT_POSSIBLE = "–"

# Cells whose defective file counts although nobody has decided so, and why that is right.
HARMLESS = {
    "header only, totals of 0": "a day without records is a valid file",
    "byte order mark": "it says nothing but the encoding",
    "CRLF and LF mixed": "the lines are the same",
    "separators and quotes inside a field": "it is legal there",
    "31 December in a file of 1 January": "the year is the file's",
    "the same file under another name": "the first has landed; the copy is not looked into",
    "the same file again": "the same bytes of a place are one file",
    "bad, then corrected": "the correction is good",
    "another file under the same name": "only where totals prove it and the kind may (0010)",
    "the same rows in another order": "the first stays landed",
}
# What landing cannot see in formats that carry no totals or no such name; the close can.
_WITHOUT_TOTALS = tuple(
    f"UnionPay {name}"
    for name in (
        "ACOMN", "AERRN", "ALFEE", "ACOMA", "AERRA", "ICOMN", "IERRN", "ILFEE", "UPI ICOMN", "FCP",
        "INF", "NCP COMTRX", "NCP ERRTRX",
    )
)  # fmt: skip
_OVERFLOW = "amount of 40 digits, or the field full of 9"
SEEN_LATER = {
    ("platform vouchers", "another merchant, institution or account"),
    # The three that a close reads are ours by reference data.
    *(
        (name, "another merchant, institution or account")
        for name in _WITHOUT_TOTALS
        if name not in {"UnionPay ACOMN", "UnionPay AERRN", "UnionPay ALFEE"}
    ),
    *((name, "a line twice, totals as before") for name in _WITHOUT_TOTALS),
    # The rate of a cross-border record says what its amount has to be.
    *((name, _OVERFLOW) for name in _WITHOUT_TOTALS if name != "UnionPay UPI ICOMN"),
    # The others have a header or a version, even without records.
    *(
        (name, "empty, 0 bytes")
        for name in _WITHOUT_TOTALS
        if name not in {"UnionPay INF", "UnionPay NCP COMTRX", "UnionPay NCP ERRTRX"}
    ),
    *(
        (name, "another date inside")
        for name in ("UnionPay AERRN", "UnionPay AERRA", "UnionPay IERRN", "UnionPay FCP")
    ),
    ("UnionPay ZME", "amount of 40 digits, or the field full of 9"),
    ("UnionPay ZME", "a line twice, totals as before"),
    ("UnionPay ZME", "empty, 0 bytes"),
    ("UnionPay ZME", "another date inside"),
    ("UnionPay ZSUM", "another merchant, institution or account"),
    ("UnionPay ZSUM", "amount of 40 digits, or the field full of 9"),
    ("UnionPay ZSUM", "empty, 0 bytes"),
    ("UnionPay ZSUM", "another date inside"),
    ("UnionPay ZPSUM (.Z)", "another merchant, institution or account"),
    ("UnionPay ZPSUM (.Z)", "amount of 40 digits, or the field full of 9"),
    ("UnionPay ZPSUM (.Z)", "another date inside"),
    ("QR gateway bill", "another merchant, institution or account"),
    ("bank camt.054", "a line twice, totals as before"),
}
# What is no defect there, as the format's own rules go.
LEGAL_THERE = {
    ("bank camt.053", "another encoding (UTF-16)"),  # its byte order mark says so
    ("bank camt.054", "another encoding (UTF-16)"),
    ("bank CSV", "totals missing"),  # each line's balance proves it
    ("Alipay account bill", "an unknown code"),  # its kinds of business are an open list
    ("bank MT940", "a row too long"),  # a reference of the bank's
    ("bank MT940", "a stray line the totals do not count, released"),  # more text of :61:
}


@dataclass(frozen=True)
class Cell:
    """One slot of the matrix after all landings: its files and what was put there."""

    kind: Format
    defect: Defect
    delivered: tuple[Delivery, ...]
    files: tuple[KnownFile, ...]
    released: str

    @property
    def landed(self) -> tuple[KnownFile, ...]:
        """The file that counts, if any."""
        return tuple(file for file in self.files if file.status == "landed")


@pytest.fixture(scope="module")
def place(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home whose inbox holds every cell of the matrix."""
    home = tmp_path_factory.mktemp("defects")
    given = {
        "TIEOUT_HOME": str(home),
        "TIEOUT_DATABASE_URL": own_database,
        "TIEOUT_MAX_FILE_BYTES": str(MAX_FILE_BYTES),
    }
    settings = load_settings(given)
    settings.ensure_dirs()
    yield settings
    reader(settings).close()


@cache
def reader(place: Settings) -> psycopg.Connection[Any]:
    """Return one connection for the thousands of small questions of this module."""
    return database.connect(place, autocommit=True)


def asked(place: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return a query's rows."""
    return reader(place).execute(statement, values).fetchall()


@pytest.fixture(scope="module")
def cells(place: Settings) -> Mapping[tuple[str, str], Cell]:
    """Land everything: first deliveries, then second ones, then what people release."""
    made = {
        (kind.name, defect.name): (kind, defect, found)
        for kind in FORMATS
        for defect in DEFECTS
        if (found := deliveries(kind, defect)) is not None
    }
    for stage in (0, 1):
        for _, defect, found in made.values():
            for delivery in found:
                if delivery.stage == stage:
                    path = place.home / "inbox" / defect.name[:12] / delivery.file_name
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(delivery.content)
        landing.land(place, through_date=THROUGH)
    return {
        key: Cell(kind, defect, tuple(found), *_files(place, kind, defect))
        for key, (kind, defect, found) in made.items()
    }


def _files(place: Settings, kind: Format, defect: Defect) -> tuple[tuple[KnownFile, ...], str]:
    """Return the slot's files as they came, after a release where the defect asks for one."""
    found = _slot(place, kind, defect)
    released = ""
    if defect.release:
        for file in found:
            if file.status == "quarantined":
                released = _release(place, file.file_id)
        found = _slot(place, kind, defect)
    return found, released


def _slot(place: Settings, kind: Format, defect: Defect) -> tuple[KnownFile, ...]:
    rows = asked(
        place,
        "select file_id from control.channel_files where channel = %s and file_kind = %s "
        "and accounting_date = %s order by landed_at, file_id",
        kind.channel,
        kind.file_kind,
        defect.day,
    )
    found = [known_file(reader(place), file_id) for (file_id,) in rows]
    return tuple(file for file in found if file is not None)


def _release(place: Settings, file_id: str) -> str:
    try:
        done = landing.release(place, file_id, decided_by="Li", reason="a stray line")
    except landing.LandingError:
        return "release refused"
    lines = sorted({row.line_number for row in done.excluded_rows})
    return f"released: line {', '.join(map(str, lines))} stays in quarantine, the rest accepted"


def outcome(place: Settings, cell: Cell) -> str:
    """Return in words what became of a cell's files, in the order they came."""
    if not cell.files:
        return "left alone until its date"
    words = [_words(place, file) for file in cell.files]
    return "; ".join([*words, *([cell.released] if cell.released else [])])


def _words(place: Settings, file: KnownFile) -> str:
    if file.status == "landed":
        return "accepted" if "correction" not in _decided(place, file.file_id) else "replaces it"
    if file.status == "superseded":
        return f"kept on record ({(file.reason or '').split(' by ')[0].split('; ')[-1]})"
    rows = asked(
        place,
        "select line_number, field, reason_code from control.quarantined_rows where file_id = %s "
        "order by quarantined_row_id limit 1",
        file.file_id,
    )
    names = {"quarantined": "refused whole", "conflict": "conflict"}
    why = "; ".join(
        reason_code + (f", line {line}" if line else "") + (f", {field}" if field else "")
        for line, field, reason_code in rows
    )
    if not why and file.status == "quarantined":
        why = "wrong total"
    return f"{names[file.status]}" + (f" ({why})" if why else "")


def _decided(place: Settings, file_id: str) -> str:
    rows = asked(place, "select reason from control.file_decisions where file_id = %s", file_id)
    return " ".join(reason for (reason,) in rows)


def letter(place: Settings, cell: Cell | None) -> str:
    """Return the outcome in one letter; the page says what they mean."""
    if cell is None:
        return NOT_POSSIBLE
    statuses = {file.status for file in cell.files}
    if not statuses:
        return "W"
    if cell.released.startswith("released"):
        return "P"
    if "conflict" in statuses:
        return "C"
    if "superseded" in statuses:
        return "S"
    return "A" if cell.landed else "R"


def matrix(place: Settings, cells: Mapping[tuple[str, str], Cell]) -> str:
    """Return the page's tables: all in letters, then each format in words."""
    names = [kind.name for kind in FORMATS]
    lines = ["", "## All formats", "", f"| defect | 缺陷 | {' | '.join(names)} |"]
    lines.append("|---|---|" + "---|" * len(names))
    for defect in DEFECTS:
        row = " | ".join(letter(place, cells.get((name, defect.name))) for name in names)
        lines.append(f"| {defect.name} | {defect.chinese} | {row} |")
    for kind in FORMATS:
        lines += ["", f"## {kind.name}", "", "| defect | outcome |", "|---|---|"]
        for defect in DEFECTS:
            cell = cells.get((kind.name, defect.name))
            if cell is not None:
                lines.append(f"| {defect.name} | {outcome(place, cell)} |")
    return "\n".join(lines) + "\n"


# --- the tests ------------------------------------------------------------------------------------


def test_every_format_has_every_defect_it_can_have(
    cells: Mapping[tuple[str, str], Cell],
) -> None:
    assert len(FORMATS) >= 8
    assert len(DEFECTS) >= 30
    for kind in FORMATS:
        assert sum(key[0] == kind.name for key in cells) >= 20, kind.name


def test_the_good_files_are_good(place: Settings, tmp_path: Path) -> None:
    """Else every cell would be refused for a fault of this file's, and prove nothing."""
    day = date(2026, 2, 2)
    for kind in FORMATS:
        (tmp_path / kind.file_name(day)).write_bytes(kind.good(day))
    report = landing.land(place, paths=[str(tmp_path)])
    assert [file.reason for file in report.problems] == []
    assert report.counts["landed"] == len(FORMATS)
    assert report.counts["rows"] == 2 * len(FORMATS)


def test_a_defective_file_never_counts_unless_it_is_said_why(
    cells: Mapping[tuple[str, str], Cell],
) -> None:
    counted = {
        key
        for key, cell in cells.items()
        if cell.landed and not cell.released and cell.defect.name not in HARMLESS
    }
    assert len(cells) > 150
    assert counted == SEEN_LATER | LEGAL_THERE


def test_at_most_one_file_of_a_slot_counts(cells: Mapping[tuple[str, str], Cell]) -> None:
    assert {len(cell.landed) for cell in cells.values()} == {0, 1}


def test_nothing_is_half_landed(place: Settings, cells: Mapping[tuple[str, str], Cell]) -> None:
    tables = query(
        place,
        "select c.oid::regclass::text, bool_or(a.attname = 'line_number') from pg_class as c "
        "inner join pg_attribute as a on a.attrelid = c.oid where c.relkind = 'p' "
        "and c.relnamespace = 'raw'::regnamespace group by 1",
    )
    assert len(tables) > 10
    union = " union all ".join(
        f"select file_id, count(*) from {table} group by file_id" for table, _ in tables
    )
    rows: dict[str, int] = {}
    for file_id, number in query(place, union):
        rows[file_id] = rows.get(file_id, 0) + int(number)
    checked = 0
    for cell in cells.values():
        # A bank's statement has a row of its own beside its lines.
        own = 1 if cell.kind.file_kind in {"camt053", "mt940", "bank_csv"} else 0
        for file in cell.files:
            checked += 1
            landed_once = file.booked_on is not None
            expected = (file.row_count or 0) + own if landed_once else 0
            assert rows.get(file.file_id, 0) == expected, (cell.kind.name, cell.defect.name)
    assert checked > 150


def test_nothing_is_lost(place: Settings, cells: Mapping[tuple[str, str], Cell]) -> None:
    for cell in cells.values():
        if not cell.files:
            continue
        by_bytes = {file.sha256: file for file in cell.files}
        for delivery in cell.delivered:
            sha256 = hashlib.sha256(delivery.content).hexdigest()
            if len(delivery.content) > MAX_FILE_BYTES:
                # Never read whole: it is known by its beginning and its size.
                beginning = delivery.content[: MAX_FILE_BYTES + 1]
                told = f"\n{len(delivery.content)}".encode()
                sha256 = hashlib.sha256(beginning + told).hexdigest()
            known = by_bytes.get(sha256)
            if delivery.file_name.startswith("copy of "):
                assert archive.read(place, sha256) == delivery.content
                continue
            assert known is not None, (cell.kind.name, cell.defect.name)
            if known.booked_on is not None:
                continue  # its rows are in the tables for good
            if len(delivery.content) > MAX_FILE_BYTES:
                assert "its bytes are not copied" in (known.reason or "")
            else:
                assert archive.read(place, sha256) == delivery.content


def test_what_is_refused_says_where_why_and_what_next(
    place: Settings, cells: Mapping[tuple[str, str], Cell]
) -> None:
    refused = [
        file
        for cell in cells.values()
        for file in cell.files
        if file.status in {"quarantined", "conflict"}
    ]
    assert len(refused) > 100
    for file in refused:
        detail = quarantine.held_file(place, file.file_id, today=NEW_YEAR)
        assert detail.file.reason, file
        assert detail.next_step, file
        totals = [
            total for total in detail.file.control_totals or []
            if total["declared"] != total["counted"]
        ]  # fmt: skip
        assert detail.bad_rows or totals or file.status == "conflict", file
        for row in detail.bad_rows:
            assert row.reason, file
            assert row.line_number >= 0, file


def test_no_number_of_a_card_a_person_or_an_account_is_shown(
    place: Settings, cells: Mapping[tuple[str, str], Cell]
) -> None:
    assert cells
    texts = query(
        place,
        "select string_agg(q::text, ' ') from control.quarantined_rows as q union all "
        "select string_agg(f::text, ' ') from control.channel_files as f",
    )
    shown = str(texts)
    assert "unknown_code" in shown
    for secret in (make.CARD, make.CARD[:18], make.PAYER):
        assert secret not in shown


def test_a_file_of_new_year_s_day_takes_its_year_from_its_date(
    place: Settings, cells: Mapping[tuple[str, str], Cell]
) -> None:
    assert cells
    for table in (
        "unionpay_acomn", "unionpay_aerrn", "unionpay_alfee", "unionpay_acoma", "unionpay_aerra",
        "unionpay_icomn", "unionpay_ierrn", "unionpay_ilfee", "unionpay_upi_icomn", "unionpay_fcp",
        "unionpay_inf", "unionpay_zm", "unionpay_zme",
    ):  # fmt: skip
        rows = query(
            place,
            f"select distinct to_char(transmitted_at at time zone 'Asia/Shanghai', 'YYYY-MM-DD') "
            f"from raw.{table} where accounting_date = %s",
            NEW_YEAR,
        )
        assert sorted(day for (day,) in rows) == ["2026-12-31", "2027-01-01"], table
    rows = query(
        place,
        "select distinct booking_date from raw.bank_statement_lines where statement_date = %s",
        NEW_YEAR,
    )
    assert date(2026, 12, 31) in {day for (day,) in rows}


def test_the_page_says_what_happens(
    place: Settings, cells: Mapping[tuple[str, str], Cell], request: pytest.FixtureRequest
) -> None:
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    head, _, _ = text.partition("\n## ")
    written = head.rstrip() + "\n" + matrix(place, cells)
    if request.config.getoption("--write-defects"):
        PAGE.write_text(written, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written, (
        "docs/formats/defects.md is stale: see the head of this file"
    )
