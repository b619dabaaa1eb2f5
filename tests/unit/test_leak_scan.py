"""A card number or a payee's account in the clear is found wherever it lies, and shown masked."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
from parts import examples
from tieout import database
from tieout.channels.common import card_numbers
from tieout.core.settings import Settings, load_settings
from tieout.protection import leaks
from tieout.protection.leaks import places, scanning
from tieout.protection.leaks.known_values import KnownValue, collect
from tieout.protection.leaks.needles import Needles
from tieout.protection.leaks.scanning import ScanReport
from tieout.simulator.identifiers import card_number, not_card_like

# Valid by their check digits and of nobody; none of them stands in the inbox.
STRANGE_CARD = card_number("622202", 19, 4711)
ACCOUNT = "6600000000000000010"
NAME = "测试商户有限公司"
SECRETS = (STRANGE_CARD, ACCOUNT, NAME, make.CARD, make.PAYER)
PAYMENT_FILE = "outbox/payouts/20260928/pain001_PO1.xml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home of its own with databases and a day's files."""
    folder = tmp_path_factory.mktemp("leaks")
    place = load_settings(
        {"TIEOUT_HOME": str(folder), "TIEOUT_PROJECT_DIR": str(folder / "project")}
    )
    place.ensure_dirs()
    files = {
        "payees_20260924.csv": make.platform_file(
            "payees", [{**make.PAYEE, "account_number": ACCOUNT, "account_name": NAME}]
        ),
        "IND26092401ACOMN": make.acomn(),
        "1900000109All2026-09-24.csv": make.wechat_bill([make.WECHAT_PAYMENT]),
    }
    for name, content in files.items():
        (folder / "inbox" / name).write_bytes(content)
    try:
        database.migrate(place)
        with psycopg.connect(airflow_url(place)) as connection:
            connection.execute("create table xcom (key text, value jsonb)")
        with database.connect(place) as connection:
            connection.execute("create table raw.notes (note_id integer, title text, note text)")
        yield place
    finally:
        database.stop_server(place)


def airflow_url(place: Settings) -> str:
    return database.airflow_url(place).replace("postgresql+psycopg2://", "postgresql://", 1)


def write(place: Settings, name: str, content: bytes | str) -> None:
    path = place.home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def zipped(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


LEAK = f"first line\ncard {STRANGE_CARD}, account {ACCOUNT} of a payee\n"
# Every place of a home but the databases, with a file that leaks both.
PLANTED: dict[str, tuple[str, bytes | str]] = {
    "logs": ("logs/airflow/dag_id=x/attempt=1.log", json.dumps({"event": LEAK})),
    "docs": ("docs/data-docs/validations/x.html", f"<td>{LEAK}</td>"),
    "gx": ("gx/validations/x.json", json.dumps({"observed": LEAK})),
    "dbt": ("dbt/target/compiled/x.sql", f"-- {LEAK}"),
    "archive": ("archive/" + "0" * 64, LEAK),
    "outbox": ("outbox/statements/20260928/statement.csv", LEAK),
    "airflow": ("airflow/x.cfg", LEAK),
    "pg": ("pg/server.log.1", f"DETAIL:  Failing row contains ({LEAK})."),
    "truth": ("truth/x.csv", LEAK),
    "secrets": ("secrets/x", LEAK),
    "home": ("a-folder-nobody-thought-of/x.txt", LEAK),
}


@pytest.fixture(scope="module")
def clean(home: Settings) -> ScanReport:
    return leaks.scan(home)


@pytest.fixture(scope="module")
def leaking(home: Settings, clean: ScanReport) -> ScanReport:
    """The scan of the home with a leak in every place; the home is clean again after it."""
    assert clean.is_clean
    for name, content in PLANTED.values():
        write(home, name, content)
    with database.connect(home) as connection:
        connection.execute(
            "insert into raw.notes values (1, 'first', 'x'), (2, %s, %s)",
            [f"card {STRANGE_CARD}", f"account\t{ACCOUNT}"],
        )
    with psycopg.connect(airflow_url(home)) as connection:
        connection.execute("insert into xcom values ('return_value', %s)", [json.dumps([LEAK])])
    try:
        return leaks.scan(home)
    finally:
        for name, _ in PLANTED.values():
            (home.home / name).unlink()
        with database.connect(home) as connection:
            connection.execute("delete from raw.notes")
        with psycopg.connect(airflow_url(home)) as connection:
            connection.execute("delete from xcom")


def of_place(report: ScanReport, place: str) -> list[tuple[str, str]]:
    return sorted((found.kind, found.masked) for found in report.findings if found.place == place)


EXPECTED = [
    ("account number", f"{'*' * 15}{ACCOUNT[-4:]}"),
    ("card number", f"{STRANGE_CARD[:6]}{'*' * 9}{STRANGE_CARD[-4:]}"),
]


def test_a_home_without_leaks_is_clean_and_says_what_was_read(clean: ScanReport) -> None:
    assert clean.findings == ()
    counts = {place.place: place for place in clean.places}
    assert counts["database tieout"].byte_count > 50_000
    assert counts["database airflow"].byte_count > 500
    assert dict(clean.known_value_counts) == {
        "account number": 1,
        "card number": 1,
        "name or user id": 2,
    }
    assert {part.place.split()[0] for part in clean.left_out} == {"inbox", "pg/data", "bench"}
    assert all(part.reason for part in clean.left_out)


@pytest.mark.parametrize("place", [*PLANTED, "database tieout", "database airflow"])
def test_a_leak_is_found_in_every_place(leaking: ScanReport, place: str) -> None:
    assert of_place(leaking, place) == EXPECTED
    assert {count.place: count.finding_count for count in leaking.places}[place] == 2


def test_what_is_found_is_never_shown(leaking: ScanReport) -> None:
    assert len(leaking.findings) == 2 * (len(PLANTED) + 2)
    shown = repr(leaking)
    assert not any(secret in shown for secret in SECRETS)


def test_a_finding_says_line_or_table_and_column(leaking: ScanReport) -> None:
    locations = {(found.place, found.kind): found.location for found in leaking.findings}
    assert locations["archive", "card number"].endswith("0" * 64 + ", line 2")
    where = locations["database tieout", "card number"]
    assert where == "raw.notes.title, row 2"
    where = locations["database tieout", "account number"]
    assert where == "raw.notes.note, row 2"
    assert locations["database airflow", "card number"] == "public.xcom.value, row 1"


def one_scan(place: Settings, name: str, content: bytes | str) -> ScanReport:
    """Scan the home with one more file in it."""
    write(place, name, content)
    try:
        return leaks.scan(place)
    finally:
        (place.home / name).unlink()


def test_packed_files_are_looked_into(home: Settings) -> None:
    write(home, "logs/old.log.gz", gzip.compress(LEAK.encode()))
    try:
        report = one_scan(home, "docs/site.zip", zipped("page.html", LEAK))
    finally:
        (home.home / "logs/old.log.gz").unlink()
    assert of_place(report, "logs") == of_place(report, "docs") == EXPECTED
    assert any("site.zip!page.html, line 2" in found.location for found in report.findings)


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_payment_file_may_carry_payees_and_nothing_else(
    home: Settings, is_prepared: bool
) -> None:
    folder, _, name = PAYMENT_FILE.rpartition("/")
    file = f"{folder}/.{name}.part" if is_prepared else PAYMENT_FILE
    report = one_scan(home, file, f"<Id>{ACCOUNT}</Id><Nm>{NAME}</Nm>")
    assert report.is_clean
    allowed = {place.place: place.allowed_count for place in report.places}
    assert allowed[places.PAYMENT_FILES] == 2
    report = one_scan(home, file, f"<Id>{make.CARD}</Id><Nm>{STRANGE_CARD}</Nm>")
    assert [found.kind for found in report.findings] == ["card number", "card number"]


def test_a_payment_file_elsewhere_in_the_home_is_a_leak(home: Settings) -> None:
    report = one_scan(home, "logs/pain001_PO1.xml", f"<Id>{ACCOUNT}</Id>")
    assert of_place(report, "logs") == [EXPECTED[0]]


def test_payment_files_elsewhere_are_scanned(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "agency_payout_PO1.txt").write_text(f"1|&|{ACCOUNT}|&|{make.CARD}|&|")
    report = leaks.scan(replace(home, payment_files_url=f"file://{tmp_path}"))
    allowed = {place.place: place.allowed_count for place in report.places}
    assert allowed[places.PAYMENT_FILES] == 1
    assert [found.kind for found in report.findings] == ["card number"]


def test_an_outbox_elsewhere_is_scanned(home: Settings, tmp_path: Path) -> None:
    (tmp_path / "statement.csv").write_text(LEAK)
    report = leaks.scan(replace(home, outbox_url=f"file://{tmp_path}"))
    assert of_place(report, "outbox") == EXPECTED


def test_a_database_that_cannot_be_dumped_stops_the_scan(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        database, "airflow_url", lambda _: "postgresql://u:hidden-word@127.0.0.1:1/nothing"
    )
    with pytest.raises(places.LeakScanError) as caught:
        leaks.scan(home)
    assert "nothing" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


def test_a_file_that_is_refused_still_says_what_to_look_for(home: Settings) -> None:
    bad = make.platform_file(
        "payees", [{**make.PAYEE, "payee_status": "?", "account_name": "王小明"}]
    )
    write(home, "inbox/payees_20260925.csv", bad)
    try:
        values = {value.text for value in collect(home)}
    finally:
        (home.home / "inbox/payees_20260925.csv").unlink()
    assert {"王小明", ACCOUNT, NAME, make.CARD, make.PAYER} <= values


def test_a_whole_payment_code_is_looked_for_and_its_prefix_is_not(home: Settings) -> None:
    code = "134512345678901234"
    rows = [{**make.VOUCHER, "payment_code_digits": "18", "payment_code_prefix": code}]
    rows.append({**rows[0], "voucher_id": "V2", "payment_code_prefix": "28"})
    write(home, "inbox/source_vouchers_20260925.csv", make.platform_file("source_vouchers", rows))
    try:
        values = {value.text for value in collect(home)}
    finally:
        (home.home / "inbox/source_vouchers_20260925.csv").unlink()
    assert code in values
    assert "28" not in values


# --- forms ----------------------------------------------------------------------------------------

FORMS: dict[str, Any] = {
    "UTF-8": lambda text: text.encode(),
    "GB18030": lambda text: text.encode("gb18030"),
    "JSON": lambda text: json.dumps(text).encode(),
    "JSON in COPY": lambda text: json.dumps(text).replace("\\", "\\\\").encode(),
    "UTF-16-LE": lambda text: text.encode("utf-16-le"),
    "UTF-16-BE": lambda text: text.encode("utf-16-be"),
    "bytea": lambda text: b"\\\\x" + text.encode().hex().encode(),
    "percent": lambda text: quote(text).encode(),
    "HTML": lambda text: text.encode("ascii", "xmlcharrefreplace"),
    **{
        f"base64+{before}": lambda text, before=before: base64.b64encode(
            b"x" * before + text.encode() + b"y"
        )
        for before in range(4)
    },
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", [ACCOUNT, NAME, "李小龙", make.PAYER, "13800138000"])
def test_a_known_value_is_found_in_every_form(form: str, text: str) -> None:
    others = [KnownValue("name or user id", other) for other in ("某某某", "othername")]
    needles = Needles([*others, KnownValue("account number", text)])
    content = b"\x00before " + FORMS[form](text) + b" after\xff"
    (hits,) = needles.find([content.decode("latin-1")])
    assert {hit.needle.value.text for hit in hits} == {text}
    (nothing,) = needles.find([content.replace(FORMS[form](text), b"").decode("latin-1")])
    assert nothing == []


def test_a_number_in_groups_is_found() -> None:
    needles = Needles([KnownValue("account number", ACCOUNT)])
    (hits,) = needles.find(["6600 0000 0000 0000 010"])
    assert len(hits) == 1


@pytest.mark.parametrize("text", ["张三", "李", "12345678", "20260924"])
def test_a_value_that_is_met_by_chance_is_counted_apart(text: str) -> None:
    expected = text == "张三"  # six bytes of UTF-8
    assert KnownValue("name or user id", text).is_searchable is expected


# --- card numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        ("62", 16), ("62", 19), ("81", 16), ("4", 13), ("4", 16), ("51", 16), ("55", 16),
        ("2221", 16), ("2720", 16), ("34", 15), ("37", 15), ("3528", 16), ("3589", 16),
        ("300", 14), ("36", 14), ("6011", 16), ("65", 16),
    ],
)  # fmt: skip
def test_the_ranges_know_their_cards(prefix: str, length: int) -> None:
    good = card_number(prefix, length, 7)
    for written in (good, f"a{good}b", " ".join((good[:4], good[4:8], good[8:12], good[12:]))):
        assert [found.digits for found in card_numbers.find_card_numbers(f"({written})")] == [good]
    bad = not_card_like(prefix, length, 7)
    assert list(card_numbers.find_card_numbers(bad)) == []


@pytest.mark.parametrize(
    "text",
    [
        card_number("1", 16, 7),  # no network's range
        card_number("898", 15, 7),  # a merchant code
        card_number("4", 15, 7),  # a length Visa has not
        card_number("62", 16, 7) + "0000",  # part of a longer number
        "2026-09-24 10:15:30 2026-09-25",
        "102100000013 6216",
    ],
)
def test_other_numbers_are_no_cards(text: str) -> None:
    assert list(card_numbers.find_card_numbers(text)) == []


def test_groups_beside_a_card_do_not_hide_it() -> None:
    groups = f"1234 {STRANGE_CARD[:6]} {STRANGE_CARD[6:]} 5678"
    (found,) = card_numbers.find_card_numbers(groups)
    assert groups[found.start : found.end].replace(" ", "") == found.digits == STRANGE_CARD


@pytest.mark.parametrize(
    ("text", "is_track"),
    [
        (f";{STRANGE_CARD}=30122011234567890?", True),
        (f"{STRANGE_CARD}=3012201", True),
        (f"{STRANGE_CARD}D30122011234", True),
        (f"%B{STRANGE_CARD}^ZHANG/SAN^30122011234567890?", True),
        (f"B{STRANGE_CARD}^ZHANG/SAN ^3012", True),
        (f"{STRANGE_CARD}=30", True),
        (f"{STRANGE_CARD}=", False),
        (f"{STRANGE_CARD}=x", False),
        (f"{card_number('10', 16, 1)}=30", False),
        ("orderid=1234567890123=2026", False),
        (f"{not_card_like('62', 19, 1)}=3012201", False),
    ],
)
def test_tracks_are_known(text: str, is_track: bool) -> None:
    assert len(list(card_numbers.find_track_data(f"x {text} y"))) == int(is_track)


# --- contexts -------------------------------------------------------------------------------------

DIGITS = card_number("4", 16, 7)
CONTEXTS = {
    "hexadecimal_digest": (f"abc{DIGITS}{'f' * 45}", f"abc{DIGITS}{'f' * 44}"),
    "hexadecimal_id": (f"CTabc{card_number('4', 13, 7)}", DIGITS),
    "fernet_ciphertext": (f"gAAAAABk-{DIGITS}{'_x' * 40}", f"gBBBBBk-{DIGITS}{'_x' * 40}"),
    "uuid": (
        f"1b4e28ba-{DIGITS[:4]}-{DIGITS[4:8]}-{DIGITS[8:12]}-{DIGITS[12:]}24aabbcc",
        f"{DIGITS[:4]}-{DIGITS[4:8]}-{DIGITS[8:12]}-{DIGITS[12:]}",
    ),
    "decimal_fraction": (f'"execution_time": 0.{DIGITS}}}', f'"card": ".{DIGITS}"}}'),
}


def counts_of(place: str, text: str, *values: KnownValue) -> tuple[int, int]:
    """Return how many are found and how many are reviewed in one text."""
    scanner = scanning._Scanner(values)
    source = places.Source(place, "x", lambda: io.BytesIO(text.encode()))
    scanner.scan(place, iter([source]))
    return scanner.places[place].finding_count, scanner.places[place].reviewed_count


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_reviewed_context_is_no_leak_and_its_like_is_one(name: str) -> None:
    explained, near = CONTEXTS[name]
    assert name in {rule.name for rule in scanning._reviewed()}
    assert counts_of("dbt", explained)[0] == 0
    assert counts_of("dbt", near)[0] == 1


def test_every_reviewed_context_has_a_test_and_a_reason() -> None:
    assert {rule.name for rule in scanning._reviewed()} == set(CONTEXTS)
    with scanning.REVIEWED_PATH.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) >= 5
    assert all(len(row["reason"]) > 20 and row["reviewed_on"] for row in rows)


def test_a_context_counts_in_its_place_only() -> None:
    explained, _ = CONTEXTS["decimal_fraction"]
    assert counts_of("dbt", explained) == (0, 1)
    assert counts_of("outbox", explained) == (1, 0)


def test_no_context_excuses_a_known_number() -> None:
    explained, _ = CONTEXTS["hexadecimal_digest"]
    assert counts_of("dbt", explained, KnownValue("card number", DIGITS)) == (1, 0)


# --- blocks ---------------------------------------------------------------------------------------


@hypothesis_settings(deadline=None, max_examples=examples(60))
@given(
    before=st.integers(0, 5_000),
    after=st.integers(0, 3_000),
    line_length=st.integers(1, 4_000),
    what=st.sampled_from([STRANGE_CARD, ACCOUNT]),
)
@example(before=1_480, after=1_000, line_length=4_000, what=STRANGE_CARD)
def test_each_leak_is_counted_once_wherever_blocks_end(
    before: int, after: int, line_length: int, what: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "BLOCK_BYTES", 1_500)
        patch.setattr(scanning, "OVERLAP_BYTES", 400)
        filler = "".join("\n" if n % line_length == 0 else "x" for n in range(1, before + 1))
        text = filler + "," + what + "," + "y" * after
        scanner = scanning._Scanner([KnownValue("account number", ACCOUNT)])
        source = places.Source("logs", "a.log", lambda: io.BytesIO(text.encode()))
        scanner.scan("logs", iter([source]))
    assert scanner.places["logs"].byte_count == len(text)
    assert [found.location for found in scanner.findings] == [
        f"a.log, line {filler.count(chr(10)) + 1}"
    ]


def test_the_table_is_known_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BLOCK_BYTES", 700)
    monkeypatch.setattr(scanning, "OVERLAP_BYTES", 200)
    rows = [f"{number}\tname{number}\tx" for number in range(500)]
    rows[123] = f"123\t{STRANGE_CARD}\tx"
    rows[456] = f"456\tname\t{STRANGE_CARD}"
    tables = ["COPY raw.a (id) FROM stdin;", "1", "\\.", "COPY raw.b (id, name, text) FROM stdin;"]
    dump = "\n".join([*tables, *rows, "\\.", ""])
    scanner = scanning._Scanner([])
    source = places.Source("d", "d", lambda: io.BytesIO(dump.encode()), is_dump=True)
    scanner.scan("d", iter([source]))
    assert [found.location for found in scanner.findings] == [
        "raw.b.name, row 124",
        "raw.b.text, row 457",
    ]
