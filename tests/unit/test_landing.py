"""Landing into a real PostgreSQL: whole files, once, or nothing of them."""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import fsspec
import psycopg
import pytest

import channel_files as make
import day_states
import institution_files as institution
import unionpay_files as union
from landing_world import count, own_database, place, put, query, statuses, whole_day
from tieout import database, landing
from tieout.channels.bank import camt053
from tieout.channels.registry import parse_file, recognise
from tieout.core.settings import Settings, load_settings
from tieout.files import archive, stores
from tieout.files.archive import archive_path
from tieout.landing import institutions
from tieout.landing.copying import copy_frames
from tieout.protection import tokens

__all__ = ["own_database", "place"]

DAY = make.DAY
ACOMN = "IND26092401ACOMN"
SAME = "same_as_another_file"
CAMT = f"camt053_{make.BANK_ACCOUNT}_20260924"


# --- what lands -----------------------------------------------------------------------------------


def test_a_whole_day_lands_and_nothing_is_missing(place: Settings) -> None:
    assert {str(file)[:20] for file in landing.missing_files(place, DAY)} >= {
        "unionpay acomn of 20"
    }
    for name, content in whole_day().items():
        put(place, name, content)
    report = landing.land(place)
    assert set(statuses(report).values()) == {"landed"}
    assert report.counts["landed"] == 15
    assert not report.problems
    assert landing.missing_files(place, DAY) == ()
    assert landing.problem_files(place, DAY) == ()
    assert count(place, "unionpay_acomn") == 2
    assert count(place, "platform_payees") == 1
    assert count(place, "bank_statement_line_details") == 1
    rows = query(place, "select accounting_date, amount_minor, card_token from raw.unionpay_acomn")
    token = tokens.pan_token([make.CARD], settings=place)[0]
    assert rows == [(DAY, 10000, token)] * 2
    (payee,) = query(place, "select account_number_ciphertext from raw.platform_payees")
    where = ("account_number", "P000001", "1")
    assert tokens.decrypt_bound(payee[0], where, settings=place) == make.ACCOUNT_NUMBER
    totals = query(
        place,
        "select totals_status, declared_row_count, declared_total_minor, counted_total_minor, "
        "control_totals from control.channel_files where file_kind = 'source_vouchers'",
    )
    assert totals[0][:4] == ("agree", 1, 10000, 10000)
    assert totals[0][4][0] == {"name": "rows", "declared": 1, "counted": 1}


def test_an_address_lands_with_its_street_encrypted_and_may_be_left_out(place: Settings) -> None:
    address = {
        "town": "北京",
        "country_code": "CN",
        "street": "示例大街",
        "building": "1",
        "post_code": "100000",
    }
    other = {**make.PAYEE, "payee_id": "P000002", "account_id": "A000002"}
    put(
        place,
        "payees_20260924.csv",
        make.platform_file("payees", [{**make.PAYEE, **address}, other]),
    )
    # Without an address it is another version's content.
    second = {**make.PAYEE, "payee_version": "2"}
    put(
        place,
        "payees_20260925.csv",
        make.platform_file("payees", [second], header=list(make.PAYEE)),
    )
    put(
        place,
        "payees_20260926.csv",
        make.platform_file(
            "payees", [{**second, "payee_version": "3", "town": "市" * 36, "country_code": "cn"}]
        ),
    )
    assert list(statuses(landing.land(place)).values()) == ["landed", "landed", "quarantined"]
    rows = query(
        place,
        "select town, country_code, post_code, street_ciphertext, building_ciphertext"
        " from raw.platform_payees order by accounting_date, payee_id",
    )
    assert rows[1:] == [(None,) * 5] * 2
    assert rows[0][:3] == ("北京", "CN", "100000")
    for field, ciphertext in zip(("street", "building"), rows[0][3:], strict=True):
        where = (field, "P000001", "1")
        assert tokens.decrypt_bound(ciphertext, where, settings=place) == address[field]
    reasons = query(place, "select reason_code from control.quarantined_rows order by 1")
    assert reasons == [("unwritable",), ("wrong_form",)]


def test_instants_are_beijing_time_in_utc(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    put(place, "1900000109All2026-09-24.csv", make.wechat_bill())
    landing.land(place)
    statement = "select to_char({} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from raw.{}"
    assert query(place, statement.format("transmitted_at", "unionpay_acomn")) == [
        ("2026-09-24 08:21:52",)
    ]
    assert query(place, statement.format("transaction_at", "wechat_trade_bill"))[0] == (
        "2026-09-24 02:00:00",
    )


def test_each_date_has_a_partition_with_the_parents_key(place: Settings) -> None:
    for day in (DAY, DAY + timedelta(days=1)):
        for name, content in whole_day(day).items():
            put(place, name, content)
    landing.land(place)
    partitions = query(
        place,
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'raw.unionpay_acomn'::regclass order by 1",
    )
    assert [name for (name,) in partitions] == [
        "raw.unionpay_acomn_p20260924",
        "raw.unionpay_acomn_p20260925",
    ]
    keys = query(
        place,
        "select count(*) from pg_index where indisprimary and indisvalid "
        "and indrelid::regclass::text like 'raw.unionpay_acomn_p202609%%'",
    )
    assert keys == [(2,)]


# --- once -----------------------------------------------------------------------------------------


def test_the_same_bytes_twice_are_one_file(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    first = landing.land(place)
    put(place, ACOMN, make.acomn(), folder="again")
    put(place, "IND26092401ACOM", make.acomn())
    again = landing.land(place)
    assert first.counts == {"files": 1, "landed": 1, "rows": 1}
    assert again.counts == {"files": 3, "already_landed": 3, "rows": 0}
    assert count(place, "unionpay_acomn") == 1
    assert len(query(place, "select * from control.channel_files")) == 1


def test_equal_bytes_of_two_dates_are_two_files(place: Settings) -> None:
    snapshot = make.platform_file("contracts", [])
    for compact, short in (("20260924", "260924"), ("20260925", "260925")):
        put(place, f"contracts_{compact}.csv", snapshot)
        put(place, f"IND{short}99ALFEE", b"")
    assert landing.land(place).counts["landed"] == 4
    rows = query(
        place, "select count(distinct file_id), count(distinct sha256) from control.channel_files"
    )
    assert rows == [(4, 2)]


def test_other_bytes_for_the_same_place_are_a_conflict(place: Settings) -> None:
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    other = make.acomn(amount="000000099900")
    path.write_bytes(other)
    for _ in range(2):  # it stays one, however often it is looked at
        report = landing.land(place)
        (problem,) = report.problems
        assert problem.status == "conflict"
        assert "other bytes" in (problem.reason or "")
    assert query(place, "select amount_minor from raw.unionpay_acomn") == [(10000,)]
    assert [file.file_id for file in landing.problem_files(place, DAY)] == [problem.file_id]
    assert landing.missing_files(place, DAY)  # others, not this one
    assert "acomn" not in {file.file_kind for file in landing.missing_files(place, DAY)}
    (sha256,) = query(place, "select sha256 from control.channel_files where status = 'conflict'")[
        0
    ]
    kept = archive_path(place, sha256)
    assert archive.read(place, sha256) == other
    assert make.CARD.encode() in other
    assert make.CARD.encode() not in kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_the_same_rows_in_other_bytes_are_a_conflict_too(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    landing.land(place)
    put(place, ACOMN, make.acomn().replace(b"\r\n", b"\n"))
    assert [file.status for file in landing.land(place).problems] == ["conflict"]
    assert count(place, "unionpay_acomn") == 1


def test_two_statements_of_a_day_are_no_conflict(place: Settings) -> None:
    put(place, f"{CAMT}_1.xml", make.camt053())
    put(place, f"{CAMT}_2.xml", make.camt053(opening="2500.00", sequence=2))
    assert landing.land(place).counts["landed"] == 2
    assert count(place, "bank_statements") == 2


def test_files_of_a_kind_that_differ_in_their_name_are_two(place: Settings) -> None:
    for merchant in (union.MERCHANT, "802310000000099"):
        put(place, f"INN26092488ZM_{merchant}", union.zm(merchant_id=merchant))
    for number in ("01", "02"):
        put(place, f"IND260924{number}ICOMN", institution.icomn(trace_number=f"0000{number}"))
    assert landing.land(place).counts == {"files": 4, "landed": 4, "rows": 4}
    # The ZIP of a day is in the place of its bare ZM.
    put(place, f"{union.MERCHANT}_20260924.zip", union.merchant_zip())
    assert [file.status for file in landing.land(place).problems] == ["conflict"]


def test_records_that_have_landed_as_another_file_do_not_land_again(place: Settings) -> None:
    put(place, f"{CAMT}_1.xml", make.camt053())
    put(place, f"bankcsv_{make.BANK_ACCOUNT}_20260924_1.csv", bank_csv())
    put(place, "IND26092499AERRN", make.aerrn())
    assert landing.land(place).counts["landed"] == 3
    again = {
        f"{CAMT}_01.xml": (make.camt053(), "already_landed"),
        "camt053_20260924_7.xml": (make.camt053().replace(b"<Document", b"<Document "), SAME),
        f"bankcsv_{make.BANK_ACCOUNT}_20260924_2.csv": (bank_csv(), SAME),
        # Nothing of the date is inside, and packed its bytes are others.
        "IND26092599AERRN.Z": (union.compressed(make.aerrn()), "same_as_another_date"),
    }
    for name, (content, _) in again.items():
        put(place, name, content)
    report = landing.land(place)
    found = {
        file.file_name: file.reason.rpartition("[")[2][:-1] if file.reason else file.status
        for file in report.files
    }
    assert {name: found[name] for name in again} == {name: why for name, (_, why) in again.items()}
    assert count(place, "bank_statements") == 2
    assert count(place, "unionpay_aerrn") == 1


def test_a_file_that_goes_away_meanwhile_stops_no_other(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (ACOMN, "IND26092499ALFEE", "x.csv.uploading"):
        put(place, name, make.acomn() if name == ACOMN else b"")
    read = stores.FoundFile._read

    def gone(file: stores.FoundFile, bytes_max: int) -> stores.FileBytes:
        if file.name != ACOMN:
            raise FileNotFoundError(file.url)
        return read(file, bytes_max)

    monkeypatch.setattr(stores.FoundFile, "_read", gone)
    assert landing.land(place).counts == {"files": 1, "landed": 1, "rows": 1}


def test_an_error_of_a_store_shows_no_number(place: Settings, tmp_path: Path) -> None:
    with pytest.raises(landing.LandingError) as caught:
        landing.land(place, paths=[str(tmp_path / f"{make.CARD}.txt")])
    assert make.CARD not in str(caught.value)


# --- or nothing -----------------------------------------------------------------------------------

BAD_FILES = {
    "cut off": (ACOMN, make.acomn() + make.acomn()[:99], 2, "wrong_length"),
    "unknown code": (ACOMN, make.acomn() + make.acomn(processing_code="990000"), 2, "unknown_code"),
    "card number": (ACOMN, make.acomn(card_number=make.CARD[:12]), 1, "not_a_card_number"),
    "wrong date": (
        ACOMN,
        make.acomn(transmission_time="0821162152"),
        1,
        "implausible_date",
    ),
    "wrong encoding": (
        "1900000109All2026-09-24.csv",
        make.wechat_bill().replace("茶".encode(), "茶".encode("gb18030")),
        2,
        "wrong_encoding",
    ),
    "wrong sign": (
        "source_vouchers_20260924.csv",
        make.platform_file("source_vouchers", [{**make.VOUCHER, "amount_minor": "-10000"}]),
        2,
        "wrong_sign",
    ),
    "another day's": (
        "source_vouchers_20260925.csv",
        make.platform_file("source_vouchers", [make.VOUCHER]),
        2,
        "wrong_date",
    ),
    "entities": (
        f"{CAMT}_1.xml",
        make.camt053(prologue="<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"),
        0,
        "unsafe_xml",
    ),
    "bomb": (
        f"{make.PID}0156_20260924.zip",
        make.zipped({"x_业务明细.csv": b"0" * 9_000_000}),
        0,
        "unsafe_zip",
    ),
    "another account": (
        f"{CAMT}_1.xml",
        make.camt053(account="1234567890"),
        0,
        "wrong_name",
    ),
    "database's own check": (
        "fee_rates_20260924.csv",
        make.platform_file(
            "fee_rates",
            [
                {
                    "fee_rule_id": "R1",
                    "contract_id": "C1",
                    "tier_from_minor": "0",
                    "fee_rate": "1.5",
                    "fixed_fee_minor": "0",
                    "minimum_fee_minor": "0",
                    "effective_from": "2026-01-01",
                    "priority": "1",
                }
            ],
        ),
        0,
        "database_check",
    ),
}


def bank_csv() -> bytes:
    """Return a statement as a bank in China lists it."""
    listed = (
        f"账号：,{make.BANK_ACCOUNT}\r\n交易日期,借方发生额,贷方发生额,余额,对方账号,对方户名,摘要\r\n"
        f"20260924,5.00,,95.00,{make.ACCOUNT_NUMBER},{make.ACCOUNT_NAME},代付\r\n"
    )
    return listed.encode("gb18030")


def test_bank_files_of_other_forms_land(place: Settings) -> None:
    """A notification stands apart; a CSV and a file of several accounts stand with statements."""
    statement = make.camt053().decode()
    start, end = statement.index("<Stmt>"), statement.index("</Stmt>") + len("</Stmt>")
    second = statement[start:end].replace(make.BANK_ACCOUNT, "6600100200300418")
    put(place, "camt053_20260924_1.xml", (statement[:end] + second + statement[end:]).encode())
    notified = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.054.001.04"><BkToCstmrDbtCdtNtfctn>'
        "<GrpHdr><MsgId>M</MsgId><CreDtTm>2026-09-24T09:00:00+08:00</CreDtTm></GrpHdr><Ntfctn>"
        f"<Id>N</Id><Acct><Id><Othr><Id>{make.BANK_ACCOUNT}</Id></Othr></Id></Acct>"
        '<Ntry><Amt Ccy="CNY">30.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><NtryDtls>'
        "<TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><RltdPties><Cdtr>"
        f"<Nm>{make.ACCOUNT_NAME}</Nm></Cdtr><CdtrAcct><Id><Othr><Id>{make.ACCOUNT_NUMBER}</Id>"
        "</Othr></Id></CdtrAcct></RltdPties><RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf></TxDtls>"
        "</NtryDtls></Ntry></Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"
    )
    put(place, f"camt054_{make.BANK_ACCOUNT}_20260924_1.xml", notified.encode())
    put(place, f"bankcsv_{make.BANK_ACCOUNT}_20260924_1.csv", bank_csv())
    assert [file.status for file in landing.land(place).files] == ["landed"] * 3
    assert count(place, "bank_statements") == 3
    assert count(place, "bank_statement_lines") == 3
    assert query(
        place,
        "select amount_minor, is_return, counterparty_name, counterparty_account_token is not null"
        " from raw.bank_notification_entries",
    ) == [(3000, True, "张**", True)]
    assert query(
        place, "select end_to_end_id, return_reason_code from raw.bank_notification_details"
    ) == [("E1", "AC01")]
    rows = query(place, "select l::text from raw.bank_statement_lines as l") + query(
        place, "select e::text from raw.bank_notification_entries as e"
    )
    assert len(rows) == 4
    assert not any(make.ACCOUNT_NUMBER in text or make.ACCOUNT_NAME in text for (text,) in rows)


@pytest.mark.parametrize("kind", sorted(BAD_FILES))
def test_a_bad_file_is_set_aside_whole(place: Settings, kind: str) -> None:
    name, content, line_number, reason_code = BAD_FILES[kind]
    put(place, name, content)
    report = landing.land(place)
    (problem,) = report.problems
    assert problem.status == "quarantined"
    assert reason_code in (problem.reason or "")
    assert (line_number, reason_code) in query(
        place, "select line_number, reason_code from control.quarantined_rows"
    )
    tables = query(place, "select relname from pg_class where relkind = 'p'")
    counts = " union all ".join(f"select count(*) from raw.{table}" for (table,) in tables)
    assert len(tables) >= 23
    assert query(place, counts) == [(0,)] * len(tables)
    sha256 = query(place, "select sha256 from control.channel_files")[0][0]
    assert archive.read(place, sha256) == content
    day = problem.accounting_date
    assert day is not None
    assert [file.file_id for file in landing.problem_files(place, day)] == [problem.file_id]
    assert_no_number(place)


def test_wrong_totals_set_a_file_aside_and_say_which(place: Settings) -> None:
    put(place, "1900000109All2026-09-24.csv", make.wechat_bill(手续费总金额="0.43"))
    (problem,) = landing.land(place).problems
    assert problem.reason == "total 手续费总金额 says 43, counted 42"
    assert query(place, "select status, totals_status from control.channel_files") == [
        ("quarantined", "disagree")
    ]
    assert count(place, "wechat_trade_bill") == 0


def test_a_corrected_file_takes_the_place_of_a_bad_one(place: Settings) -> None:
    path = put(place, ACOMN, make.acomn(processing_code="990000"))
    (bad,) = landing.land(place).problems
    assert landing.land(place).problems == (bad,)  # still there, still said, once in the tables
    assert query(place, "select count(*) from control.quarantined_rows") == [(1,)]
    path.write_bytes(make.acomn())
    assert landing.land(place).problems == ()
    assert landing.problem_files(place, DAY) == ()
    entries = query(place, "select status, supersedes from control.channel_files order by status")
    assert entries == [("landed", bad.file_id), ("superseded", None)]
    # The bad bytes, should they come again, change nothing.
    path.write_bytes(make.acomn(processing_code="990000"))
    assert landing.land(place).counts["superseded"] == 1
    assert count(place, "unionpay_acomn") == 1


def assert_no_number(settings: Settings) -> None:
    """Assert that no text of the database holds a number or name that names a person."""
    tables = query(
        settings,
        "select oid::regclass::text from pg_class where relkind in ('r', 'p') "
        "and relnamespace in ('raw'::regnamespace, 'control'::regnamespace)",
    )
    assert len(tables) > 20
    texts = " union all ".join(
        f"select coalesce(string_agg(t::text, ' '), '') from {table} as t" for (table,) in tables
    )
    text = str(query(settings, texts))
    for secret in (make.CARD, make.PAYER, make.ACCOUNT_NUMBER, make.ACCOUNT_NAME):
        assert secret not in text


def test_no_number_reaches_database_reports_or_output(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in whole_day().items():
        put(place, name, content)
    bad = {
        "IND26092501ACOMN": make.acomn(processing_code="990000", transmission_time="0925100000"),
        "IND26092601ACOMN": make.acomn()[:400],
        "IND26092701ACOMN": make.acomn(card_number="62162610000000000X").replace(
            b"62162610000000000X", make.CARD.encode()[:18]
        )[1:],
        "payees_20260925.csv": make.platform_file("payees", [{**make.PAYEE, "bank_code": "1"}]),
        "payees_20260926.csv": make.platform_file("payees", [make.PAYEE]).replace(
            b",CNY", b",,CNY"
        ),
        "1900000109All2026-09-25.csv": make.wechat_bill(),
        "source_vouchers_20260925.csv": make.platform_file(
            "source_vouchers", [{**make.VOUCHER, "card_token": make.CARD}]
        ),
    }
    for name, content in bad.items():
        put(place, name, content)
    report = landing.land(place)
    assert len(report.problems) == len(bad)
    assert_no_number(place)
    captured = capsys.readouterr()
    quarantined = query(place, "select q::text from control.quarantined_rows as q")
    assert quarantined
    shown = f"{report} {captured.out} {captured.err} {quarantined}"
    assert "quarantined" in captured.err
    for secret in (make.CARD, make.CARD[:18], make.PAYER, make.ACCOUNT_NUMBER, make.ACCOUNT_NAME):
        assert secret not in shown


# --- which files ----------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_touched(place: Settings) -> None:
    for day in (DAY, DAY + timedelta(days=1)):
        for name, content in whole_day(day).items():
            put(place, name, content)
    window = landing.land(place, through_date=DAY, kinds=["operating_window"])
    assert list(statuses(window)) == ["operating_window_20260924.csv"]
    bank = landing.land(place, through_date=DAY, channels=["bank"])
    assert list(statuses(bank)) == [f"{CAMT}_1.xml"]
    rest = landing.land(place, through_date=DAY)
    assert rest.counts["landed"] == 13
    assert query(place, "select max(accounting_date) from control.channel_files") == [(DAY,)]


def test_unknown_names_are_reported_and_unfinished_files_left_alone(place: Settings) -> None:
    for name in ("readme.txt", "IND26092401ACOMN.bak", ".IND26092401ACOMN", "x.csv.part"):
        put(place, name, make.acomn())
    put(place, "pain002_M1.xml", b"<x/>")
    put(place, "agency_answer_M1.txt", b"E|&|")
    report = landing.land(place)
    assert statuses(report) == {
        "readme.txt": "unrecognised",
        "IND26092401ACOMN.bak": "unrecognised",
    }
    assert not report.problems
    assert len(report.unrecognised) == 2


def test_files_and_folders_can_be_named(place: Settings, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / ACOMN).write_bytes(make.acomn())
    (apart / "IND26092499ALFEE").write_bytes(b"")
    one = landing.land(place, paths=[str(apart / ACOMN)])
    assert statuses(one) == {ACOMN: "landed"}
    assert landing.land(place, paths=[str(apart)]).counts["landed"] == 1
    with pytest.raises(landing.LandingError, match="cannot be read"):
        landing.land(place, paths=[str(apart / "nothing")])


def test_any_fsspec_store_is_an_inbox(place: Settings) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/inbox/unionpay/20260924/" + ACOMN, make.acomn())
    try:
        report = landing.land(replace(place, inbox_url="memory://bucket/inbox"))
    finally:
        store.rm("/bucket", recursive=True)
    assert statuses(report) == {ACOMN: "landed"}
    url = query(place, "select file_url from control.channel_files")[0][0]
    assert url.startswith("memory://")


def test_an_inbox_that_is_not_there_is_an_error_not_an_empty_one(place: Settings) -> None:
    with pytest.raises(landing.LandingError) as caught:
        landing.land(replace(place, inbox_url="file:///nowhere/at/all"))
    assert "TIEOUT_INBOX" in caught.value.next_step


# --- dates that are closed ------------------------------------------------------------------------


def test_a_banks_file_is_booked_on_the_next_open_date(place: Settings) -> None:
    with database.connect(place) as connection:
        for offset, state in enumerate(("closed", "sealed", "open")):
            day_states.set_state(connection, DAY + timedelta(days=offset), state)
    put(place, f"{CAMT}_1.xml", make.camt053())
    landing.land(place)
    booked = DAY + timedelta(days=2)
    assert query(place, "select accounting_date, booked_on from control.channel_files") == [
        (DAY, booked)
    ]
    assert query(place, "select accounting_date, statement_date from raw.bank_statement_lines") == [
        (booked, DAY)
    ]


def test_a_sealed_date_takes_no_more_files(place: Settings) -> None:
    with database.connect(place) as connection:
        day_states.set_state(connection, DAY, "sealed")
    put(place, ACOMN, make.acomn())
    (version,) = landing.land(place).versions
    assert "sealed" in (version.reason or "")
    assert count(place, "unionpay_acomn") == 0


@pytest.mark.parametrize("table", ["raw.unionpay_acomn_p20260924", "raw.unionpay_acomn"])
@pytest.mark.parametrize(
    "change",
    [
        "insert into {} select (jsonb_populate_record(r, '{\"line_number\": 99}')).* from {} as r",
        "update {} set trace_number = trace_number",
        "delete from {}",
        "truncate {}",
    ],
)
def test_rows_of_a_sealed_date_stay_as_they_are(place: Settings, table: str, change: str) -> None:
    put(place, ACOMN, make.acomn())
    landing.land(place)
    with database.connect(place) as connection:
        day_states.set_state(connection, DAY, "closed")
        connection.execute("update raw.unionpay_acomn set trace_number = '000001'")
        day_states.set_state(connection, DAY, "sealed")
    with (
        database.connect(place) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="2026-09-24 is sealed"),
    ):
        connection.execute(change.replace("{}", table))
    assert count(place, "unionpay_acomn") == 1


def test_files_of_sealed_dates_are_read_again_when_they_changed(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    with database.connect(place) as connection:
        day_states.set_state(connection, DAY, "sealed")
    with monkeypatch.context() as patch:
        patch.setattr(stores.FoundFile, "read", lambda *_: pytest.fail("it was read again"))
        assert landing.land(place).counts == {"files": 1, "already_landed": 1, "rows": 0}
    # The same size, other bytes: a correction of what is paid, which nobody may overlook.
    path.write_bytes(make.acomn(amount="000000099900"))
    (version,) = landing.land(place).versions
    assert "2026-09-24 is paid and sealed" in (version.reason or "")
    assert landing.land(place).versions == (version,)
    assert count(place, "unionpay_acomn") == 1


# --- decisions of people --------------------------------------------------------------------------


def conflict(place: Settings) -> str:
    """Land one file and put another in its way; return the other's id."""
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    path.write_bytes(make.acomn(amount="000000000500"))
    return landing.land(place).problems[0].file_id


def test_a_conflicting_file_can_take_the_place(place: Settings) -> None:
    file_id = conflict(place)
    done = landing.release(place, file_id, decided_by="Li", reason="UnionPay resent it")
    assert done.outcome.status == "landed"
    statement = (
        "select amount_minor from raw.unionpay_acomn as r inner join control.channel_files as f "
        "on r.file_id = f.file_id where f.status = 'landed'"
    )
    assert query(place, statement) == [(500,)]
    assert landing.problem_files(place, DAY) == ()
    reasons = query(place, "select reason from control.channel_files where status = 'superseded'")
    assert "Li" in reasons[0][0]


def test_a_conflicting_file_that_is_bad_leaves_the_good_one_in_place(place: Settings) -> None:
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    path.write_bytes(make.acomn(processing_code="990000"))
    file_id = landing.land(place).problems[0].file_id
    with pytest.raises(landing.LandingError, match="left as it is"):
        landing.release(place, file_id, decided_by="Li", reason="try")
    assert count(place, "unionpay_acomn") == 1
    assert query(place, "select status from control.channel_files order by 1") == [
        ("conflict",),
        ("landed",),
    ]


def test_a_conflicting_file_can_be_set_aside(place: Settings) -> None:
    file_id = conflict(place)
    with pytest.raises(landing.LandingError, match="a name and a reason"):
        landing.reject(place, file_id, decided_by=" ", reason="x")
    landing.reject(place, file_id, decided_by="Li", reason="a test file of UnionPay's")
    assert landing.problem_files(place, DAY) == ()
    with pytest.raises(landing.LandingError, match="left as it is"):
        landing.reject(place, file_id, decided_by="Li", reason="again")
    with pytest.raises(landing.LandingError, match="no file"):
        landing.reject(place, "0" * 16, decided_by="Li", reason="x")


# --- at once --------------------------------------------------------------------------------------


def test_landings_that_race_land_each_file_once(place: Settings) -> None:
    for name, content in whole_day().items():
        put(place, name, content)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(landing.land, [place] * 4))
    assert sum(report.counts.get("landed", 0) for report in reports) == 15
    assert not any(report.problems for report in reports)
    assert count(place, "unionpay_acomn") == 2
    assert count(place, "bank_statement_lines") == 1


def test_of_two_files_that_race_for_one_place_one_lands(place: Settings, tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ACOMN).write_bytes(make.acomn(trace_number=f"{number:06}"))
        (folder / f"{CAMT}_{number + 1}.xml").write_bytes(make.camt053(sequence=number + 1))
    with ThreadPoolExecutor(4) as pool:
        reports = list(
            pool.map(lambda n: landing.land(place, paths=[str(tmp_path / str(n))]), range(4))
        )
    found = sorted(statuses(report)[ACOMN] for report in reports)
    assert found == ["conflict", "conflict", "conflict", "landed"]
    assert count(place, "unionpay_acomn") == 1
    # Four statements made one new partition between them.
    assert count(place, "bank_statements") == 4


def test_of_two_that_need_a_new_partition_the_second_waits(place: Settings) -> None:
    parsed = make.read(camt053.Camt053Reading, make.camt053())
    with ThreadPoolExecutor(1) as pool, database.connect(place) as first:
        copy_frames(first, parsed.frames, file_id="a" * 16, accounting_date=DAY)

        def second_copy() -> int:
            with database.connect(place) as second:
                return copy_frames(second, parsed.frames, file_id="b" * 16, accounting_date=DAY)

        waiting = pool.submit(second_copy)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        first.commit()
        assert waiting.result(timeout=30) == 3
    assert query(place, "select count(*) from raw.bank_statements") == [(2,)]


# --- what is owed ---------------------------------------------------------------------------------


def test_missing_files_are_named(place: Settings) -> None:
    for name, content in whole_day().items():
        if not name.endswith("ALFEE") and not name.startswith("opening"):
            put(place, name, content)
    landing.land(place)
    assert [str(file) for file in landing.missing_files(place, DAY)] == [
        "platform opening_balances of 2026-09-24 "
        "(platform/20260924/opening_balances_20260924.csv), due 2026-09-25 02:00",
        "unionpay alfee of 2026-09-24 (unionpay/20260924/IND26092499ALFEE), due 2026-09-25 09:00",
    ]


def project_with(folder: Path, path: Path, text: str) -> Path:
    """Return a project folder that has only one list of reference data, of this text."""
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text(text)
    return folder


def settings_with(folder: Path, path: Path, text: str) -> Settings:
    """Return settings of a home whose project has only that list."""
    project = str(project_with(folder, path, text))
    return load_settings({"TIEOUT_HOME": project, "TIEOUT_PROJECT_DIR": project})


def test_opening_balances_are_owed_on_the_first_date_only(place: Settings) -> None:
    later = DAY + timedelta(days=1)
    for name, content in whole_day(later).items():
        if not name.startswith("opening"):
            put(place, name, content)
    landing.land(place)
    assert landing.missing_files(place, later) == ()


def test_opening_balances_of_a_later_date_are_refused(place: Settings) -> None:
    """They would be money from nowhere; the first date is the first that was closed."""
    later = DAY + timedelta(days=1)
    for name, content in whole_day(DAY).items():
        put(place, name, content)
    landing.land(place)
    assert count(place, "platform_opening_balances") > 0
    (name,) = [name for name in whole_day(later) if "opening_balances" in name]
    put(place, name, whole_day(later)[name])
    (problem,) = landing.land(place).problems
    assert problem.status == "quarantined"
    assert "of the first accounting date, 2026-09-24, and of no other" in str(problem.reason)
    assert query(place, "select distinct accounting_date from raw.platform_opening_balances") == [
        (DAY,)
    ]


def test_a_window_that_moves_lets_no_opening_balances_in(place: Settings) -> None:
    """Once a date is closed, the operating window does not say any more which one is the first."""
    later = DAY + timedelta(days=1)
    with database.connect(place) as connection:
        day_states.set_state(connection, DAY, "closed")
    for name, content in whole_day(later).items():
        put(place, name, content)
    (problem,) = [file for file in landing.land(place).problems if "opening" in file.file_name]
    assert problem.status == "quarantined"


@pytest.mark.parametrize(
    ("name", "build"),
    [
        pytest.param(ACOMN, make.acomn, id="acomn"),
        pytest.param("IND26092499AERRN", make.aerrn, id="aerrn"),
        pytest.param("IND26092499ALFEE", make.alfee, id="alfee"),
    ],
)
def test_another_institutions_file_does_not_land(
    place: Settings, name: str, build: Callable[..., bytes]
) -> None:
    foreign = build(acquiring_institution_id="99999999")
    put(place, name, build() + foreign + foreign)
    (problem,) = landing.land(place).problems
    assert problem.status == "quarantined"
    assert problem.reason is not None
    assert "99999999 is no number of ours" in problem.reason
    assert "2 records" in problem.reason
    with pytest.raises(landing.LandingError, match="is left as it is"):
        landing.release(place, problem.file_id, decided_by="a", reason="b")
    rows = query(place, "select line_number, field, reason_code from control.quarantined_rows")
    assert rows == [(2, "acquiring_institution_id", "another_institution")]


@pytest.mark.parametrize(
    "text",
    [
        "channel,institution_id\n",
        "channel,file_kind,field_name,institution_id\nunionpay,acomn,,48370000\n",
        "channel,file_kind,field_name,institution_id\nunionpay,acomn,acquirer,48370000\n",
    ],
)
def test_a_list_of_our_institutions_that_checks_nothing_is_an_error(
    tmp_path: Path, text: str
) -> None:
    settings = settings_with(tmp_path, institutions.OWN_INSTITUTIONS, text)
    recognised = recognise(ACOMN)
    assert recognised is not None
    parsed = parse_file(make.acomn(), recognised, make.FakeVault())
    with pytest.raises(landing.LandingError, match="institution numbers"):
        institutions.unless_of_another_institution(settings, recognised, parsed)
