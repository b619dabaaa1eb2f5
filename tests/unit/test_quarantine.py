"""Late files, corrected files, decisions of people, completeness and size, in a real database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, TypeVar
from zoneinfo import ZoneInfo

import fsspec
import psycopg
import pytest
from typer.testing import CliRunner

import channel_files as make
import day_states
from landing_world import count, own_database, place, put, query
from tieout import database, landing
from tieout.commands import overview
from tieout.commands.cli import app
from tieout.core.settings import Settings, load_settings
from tieout.dates import days
from tieout.files import archive, expected
from tieout.landing import corrections, quarantine
from tieout.runs import closing, paying, steps

__all__ = ["own_database", "place"]

DAY = make.DAY
NEXT = DAY + timedelta(days=1)
ACOMN = "IND26092401ACOMN"
VOUCHERS = "source_vouchers_20260924.csv"
WECHAT = "1900000109All2026-09-24.csv"
CAMT = f"camt053_{make.BANK_ACCOUNT}_20260924_1.xml"
T = TypeVar("T")
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 9, 24, 11, tzinfo=SHANGHAI)


def vouchers(*amounts: int, extra: str = "", trailer: str | None = None) -> bytes:
    """Return a voucher file of these amounts; `extra` is a line before the trailer."""
    rows = [
        {**make.VOUCHER, "voucher_id": f"V{number}", "amount_minor": str(amount)}
        for number, amount in enumerate(amounts, 1)
    ]
    content = make.platform_file("source_vouchers", rows, trailer=trailer)
    head, mark, tail = content.rpartition(b"#rows=")
    return head + extra.encode() + mark + tail if extra else content


def set_states(settings: Settings, states: Mapping[date, str]) -> None:
    """Write states of dates, as closes and payments would leave them."""
    with database.connect(settings) as connection:
        for day, state in states.items():
            day_states.set_state(connection, day, state)


def states(settings: Settings) -> dict[str, str]:
    """Return each date's state."""
    rows = query(settings, "select accounting_date, state from control.accounting_days")
    return {str(day): state for day, state in rows}


@contextmanager
def running(settings: Settings, kind: str, day: date) -> Iterator[str]:
    """Let a run of the kind hold the date; yield who it is."""
    with days.command_owner(settings) as owner:
        with database.connect(settings) as connection:
            connection.execute(
                "insert into control.date_leases (kind, business_date, owner_id) "
                "values (%s, %s, %s)",
                [kind, day, owner],
            )
        yield owner


def amounts(settings: Settings) -> list[int]:
    """Return the amounts of the vouchers that count."""
    rows = query(
        settings,
        "select amount_minor from raw.platform_source_vouchers as r inner join "
        "control.channel_files as f on r.file_id = f.file_id where f.status = 'landed' order by 1",
    )
    return [amount for (amount,) in rows]


def decisions(settings: Settings) -> list[tuple[object, ...]]:
    """Return what was decided about files, in order."""
    return query(
        settings,
        "select action, status_before, status_after, decided_by, reopened_dates, "
        "excluded_row_count from control.file_decisions order by decision_id",
    )


# --- corrected files ------------------------------------------------------------------------------


def test_a_correction_of_a_closed_date_counts_and_opens_it_and_the_later_ones(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "closed", NEXT: "closed"})
    path.write_bytes(vouchers(100, 201))
    (file,) = landing.land(place).files
    assert file.status == "landed"
    assert "2 rows, now 2; to be closed again: 2026-09-24, 2026-09-25" in (file.reason or "")
    assert amounts(place) == [100, 201]
    # Both versions stay: file and rows.
    assert query(place, "select count(*) from raw.platform_source_vouchers") == [(4,)]
    entries = query(
        place, "select status, supersedes is null from control.channel_files order by 1"
    )
    assert entries == [("landed", False), ("superseded", True)]
    assert states(place) == {"2026-09-24": "open", "2026-09-25": "open"}
    assert days.reopened_dates(place) == [DAY, NEXT]
    assert days.reopened_dates(place, before=NEXT) == [DAY]
    assert decisions(place) == [("correct", None, "landed", "tieout", [DAY, NEXT], 0)]
    assert "a correction of" in capsys.readouterr().err
    # The old bytes beside it are what the correction replaced: they change nothing.
    put(place, f"old/{VOUCHERS}", vouchers(100, 200))
    assert landing.land(place).counts["superseded"] == 1
    assert amounts(place) == [100, 201]


def test_a_correction_that_its_sender_takes_back_is_for_a_person(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    for content in (vouchers(100, 201), vouchers(100, 200)):
        path.write_bytes(content)
        report = landing.land(place)
    (problem,) = report.problems
    assert problem.status == "conflict"
    assert "its sender has put it back" in (problem.reason or "")
    assert amounts(place) == [100, 201]
    set_states(place, {DAY: "closed"})
    done = landing.release(place, problem.file_id, decided_by="Li", reason="they meant it")
    assert done.reopened == (DAY,)
    assert amounts(place) == [100, 200]
    assert query(place, "select count(*) from raw.platform_source_vouchers") == [(4,)]
    # A person's decision stands against what lies there.
    landing.land(place)
    assert amounts(place) == [100, 200]


def test_of_a_paid_date_a_correction_taken_back_is_refused(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    path.write_bytes(vouchers(100, 201))
    landing.land(place)
    set_states(place, {DAY: "sealed"})
    path.write_bytes(vouchers(100, 200))
    (problem,) = landing.land(place).problems
    assert (problem.status, amounts(place)) == ("refused", [100, 201])


def test_status_says_which_dates_are_to_be_closed_again(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "closed"})
    path.write_bytes(vouchers(100, 201))
    landing.land(place)
    put(place, "readme.txt", b"x")
    landing.land(place)
    from rich.console import Console

    console = Console(record=True, width=200)
    overview.print_problems(console, place, None)
    text = " ".join(console.export_text().split())
    assert f"to be closed again: 2026-09-24 because of {VOUCHERS} (correct by tieout)" in text
    assert "of unknown names: 1 files" in text


def test_a_late_file_opens_the_closed_date(place: Settings) -> None:
    set_states(place, {DAY: "closed", NEXT: "closed"})
    put(place, ACOMN, make.acomn())
    (file,) = landing.land(place).files
    assert file.status == "landed"
    assert "came after the close" in (file.reason or "")
    assert states(place) == {"2026-09-24": "open", "2026-09-25": "open"}
    assert decisions(place) == [("late", None, "landed", "tieout", [DAY, NEXT], 0)]


def test_a_correction_of_a_paid_date_is_kept_as_a_version_and_said(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "sealed"})
    content = vouchers(100, 201)
    path.write_bytes(content)
    report = landing.land(place)
    assert report.problems == ()
    (version,) = report.versions
    assert "2026-09-24 is paid and sealed" in (version.reason or "")
    assert "kept: " in capsys.readouterr().err
    (sha256,) = query(place, "select sha256 from control.channel_files where status = 'version'")[0]
    assert archive.read(place, sha256) == content
    assert amounts(place) == [100, 200]
    rows = "select amount_minor from raw_versions.platform_source_vouchers order by line_number"
    assert query(place, rows) == [(100,), (201,)]
    with pytest.raises(landing.LandingError) as caught:
        landing.release(place, version.file_id, decided_by="Li", reason="try")
    assert "a version" in caught.value.why
    assert amounts(place) == [100, 200]
    assert decisions(place) == []


def test_of_a_paid_date_a_file_that_is_itself_bad_is_refused(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "sealed"})
    path.write_bytes(vouchers(100, -1))
    (problem,) = landing.land(place).problems
    assert problem.status == "refused"
    assert "itself bad" in (problem.reason or "")
    assert query(place, "select 1 from raw_versions.platform_source_vouchers") == []


def test_a_voucher_of_a_paid_date_that_comes_late_stands_on_the_open_one_once(
    place: Settings,
) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "sealed", NEXT: "closed"})
    path.write_bytes(vouchers(100, 200, 300))
    landing.land(place)
    put(place, f"again/{VOUCHERS}", vouchers(100, 200, 300, 400))
    for _ in range(2):
        landing.land(place)
    # The closed date stays closed: the first open one is behind it.
    stands = "select voucher_id, accounting_date, file_id from control.voucher_register order by 1"
    found = query(place, stands)
    assert [row[:2] for row in found] == [
        ("V1", DAY),
        ("V2", DAY),
        ("V3", NEXT + timedelta(days=1)),
        ("V4", NEXT + timedelta(days=1)),
    ]
    assert amounts(place) == [100, 200, 300, 400]
    assert states(place) == {"2026-09-24": "sealed", "2026-09-25": "closed"}
    carried = query(place, "select file_id, sealed_date, row_count from control.carried_files")
    assert sorted(carried) == sorted((file_id, DAY, 1) for _, _, file_id in found[2:])


def test_a_held_file_of_a_date_that_was_paid_since_is_released_as_a_version(
    place: Settings,
) -> None:
    put(place, ACOMN, make.acomn())
    landing.land(place)
    put(place, f"again/{ACOMN}", make.acomn(amount="000000000500"))
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    set_states(place, {DAY: "sealed"})
    done = landing.release(place, problem.file_id, decided_by="Li", reason="they resent it")
    assert (done.outcome.status, done.replaced_file_id, done.reopened) == ("version", None, ())
    assert count(place, "unionpay_acomn") == 1
    assert query(place, "select amount_minor from raw_versions.unionpay_acomn") == [(500,)]
    assert decisions(place) == [("release", "conflict", "version", "Li", [], 0)]


# What speaks against taking the second file by itself, and the words that say so.
DOUBTS = {
    "no totals": (ACOMN, make.acomn(), make.acomn(amount="000000000500"), "by people only"),
    "bad": (VOUCHERS, vouchers(100), vouchers(100, -1), "itself bad"),
    "wrong totals": (
        VOUCHERS,
        vouchers(100),
        vouchers(100, trailer="#rows=2;amount_minor_sum=100\n"),
        "itself bad",
    ),
    "few rows": (VOUCHERS, vouchers(1, 2, 3), vouchers(1), "1 rows where 3 have landed"),
    "empty": (VOUCHERS, vouchers(1), vouchers(), "0 rows where 1 have landed"),
    "another order": (
        WECHAT,
        make.wechat_bill(),
        make.wechat_bill((make.WECHAT_REFUND, make.WECHAT_PAYMENT)),
        "the same records",
    ),
    "master data": (
        "payees_20260924.csv",
        make.platform_file("payees", [make.PAYEE]),
        make.platform_file("payees", [{**make.PAYEE, "account_number": "6222020200112230025"}]),
        "by people only",
    ),
}


@pytest.mark.parametrize("doubt", sorted(DOUBTS))
def test_a_second_file_that_leaves_a_doubt_is_a_conflict(place: Settings, doubt: str) -> None:
    name, first, second, words = DOUBTS[doubt]
    path = put(place, name, first)
    assert landing.land(place).counts["landed"] == 1
    set_states(place, {DAY: "closed"})
    path.write_bytes(second)
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    assert words in (problem.reason or "")
    assert states(place) == {"2026-09-24": "closed"}
    assert decisions(place) == []


def test_without_totals_no_list_makes_a_correction_of_it(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    path.write_bytes(make.acomn(amount="000000000500"))
    kinds = frozenset({("unionpay", "acomn")})
    monkeypatch.setattr(sys.modules["tieout.landing.land"], "correctable_kinds", lambda _: kinds)
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    assert "no totals that would prove it whole" in (problem.reason or "")


def test_two_that_come_together_are_a_conflict(place: Settings) -> None:
    put(place, VOUCHERS, vouchers(100, 200), folder="a")
    put(place, VOUCHERS, vouchers(100, 201), folder="b")
    (problem,) = landing.land(place).problems
    assert "both came together" in (problem.reason or "")
    assert amounts(place) == [100, 200]


def test_beside_the_first_only_a_newer_file_is_a_correction(place: Settings) -> None:
    put(place, VOUCHERS, vouchers(100, 200), folder="a")
    landing.land(place)
    old = put(place, VOUCHERS, vouchers(100, 202), folder="b")
    os.utime(old, (1, 1))  # copied with its time kept: nothing says which is newer
    (problem,) = landing.land(place).problems
    assert "nothing says that it is the newer one" in (problem.reason or "")
    new = put(place, VOUCHERS, vouchers(100, 201), folder="c")
    os.utime(new, (datetime.now(SHANGHAI).timestamp() + 60,) * 2)
    assert landing.land(place).counts["landed"] == 1
    assert amounts(place) == [100, 201]


def test_a_file_waits_while_a_run_works_on_what_it_would_change(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "closed"})
    path.write_bytes(vouchers(100, 201))
    put(place, ACOMN, make.acomn())
    with running(place, "settlement_payout", DAY + timedelta(days=4)):
        report = landing.land(place)
        assert sorted(file.status for file in report.problems) == ["waiting", "waiting"]
        assert "settlement_payout of 2026-09-28 is running" in (report.problems[0].reason or "")
        assert amounts(place) == [100, 200]
        assert states(place) == {"2026-09-24": "closed"}
    assert landing.land(place).counts["landed"] == 2
    assert amounts(place) == [100, 201]


def test_a_payment_does_not_go_on_without_a_statement_that_waits(place: Settings) -> None:
    """The gate would say that nothing arrived; what is true is that a close is at work."""
    put(place, CAMT, make.camt053())
    pay = steps.Step(place, days.SETTLEMENT_PAYOUT, DAY, "nobody", "land_bank", now=NOW)
    with (
        running(place, days.ACCOUNTING_CLOSE, DAY),
        pytest.raises(days.DateBusyError, match="1 bank files wait to be landed") as caught,
    ):
        paying.land_bank(pay)
    assert f"accounting_close of {DAY} is running" in caught.value.where
    assert paying.land_bank(pay)["landed"] == 1


def test_the_run_that_holds_the_date_lands_its_correction(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "open"})
    path.write_bytes(vouchers(100, 201))
    with running(place, "accounting_close", DAY) as owner:
        assert landing.land(place).problems[0].status == "waiting"
        assert landing.land(place, owner=owner).counts["landed"] == 1


def test_no_file_comes_between_the_tables_of_a_close(place: Settings) -> None:
    # The close has looked at what is there: a file that came now would be in some of its tables.
    put(place, ACOMN, make.acomn())
    put(place, CAMT, make.camt053())
    with running(place, "accounting_close", DAY) as owner:
        assert landing.land(place).counts == {"files": 2, "waiting": 2, "rows": 0}
        assert acomn_amounts(place) == []
        assert landing.land(place, owner=owner, channels=["bank"]).counts["landed"] == 1
    assert landing.land(place).counts["landed"] == 1
    assert acomn_amounts(place) == [(10000,)]


def test_the_banks_files_stay_while_the_payment_of_their_date_runs(place: Settings) -> None:
    # Its gate has looked at them.
    path = put(place, CAMT, make.camt053())
    landing.land(place)
    path.write_bytes(make.camt053(opening="900.00"))
    (problem,) = landing.land(place).problems
    put(place, CAMT.replace("_1.", "_2."), make.camt053(opening="2500.00", sequence=2))
    put(place, ACOMN, make.acomn())
    with running(place, "settlement_payout", DAY):
        with pytest.raises(days.DateBusyError, match="settlement_payout"):
            landing.release(place, problem.file_id, decided_by="Li", reason="the right one")
        counts = landing.land(place).counts
        assert (counts["waiting"], counts["landed"]) == (1, 1)
    assert landing.land(place).counts["landed"] == 1
    landing.release(place, problem.file_id, decided_by="Li", reason="the right one")


def meanwhile(place: Settings, work: Callable[[], T], change: str, day: date) -> T:
    """Start work while a claim is decided upon, which ends in a change of the date's state."""
    with ThreadPoolExecutor(1) as pool, database.connect(place) as connection:
        days.lock_claims(connection)
        waiting = pool.submit(work)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        connection.execute(change, [day])
        connection.commit()
        return waiting.result(timeout=30)


def test_a_date_that_is_paid_while_a_file_lands_takes_it_no_more(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "closed"})
    path.write_bytes(vouchers(100, 201))
    put(place, ACOMN, make.acomn())
    seal = "update control.accounting_days set state = 'sealed' where accounting_date = %s"
    report = meanwhile(place, lambda: landing.land(place), seal, DAY)
    assert [file.status for file in report.versions] == ["version", "version"]
    assert amounts(place) == [100, 200]
    assert states(place) == {"2026-09-24": "sealed"}


def test_a_second_decision_about_a_file_knows_the_first(place: Settings) -> None:
    put(place, ACOMN, make.acomn()[:-9])
    file_id = landing.land(place).problems[0].file_id
    with pytest.raises(landing.LandingError, match="it was set aside before"):
        meanwhile(
            place,
            lambda: landing.reject(place, file_id, decided_by="Li", reason="x"),
            "update control.channel_files set status = 'refused' "
            "where status = 'quarantined' and accounting_date = %s",
            DAY,
        )


def test_instructed_payments_are_not_pulled_from_under(place: Settings) -> None:
    path = put(place, VOUCHERS, vouchers(100, 200))
    landing.land(place)
    set_states(place, {DAY: "closed"})
    path.write_bytes(vouchers(100, 201))
    payment_date = DAY + timedelta(days=4)
    with database.connect(place) as connection:
        # The guards of an instruction (a passed gate) are not what is tested here.
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into payout.instructions (instruction_id, statement_id, account_id, "
            "currency_code, payee_id, payee_version, amount_minor, decision_id, payment_date) "
            "values ('I-S1', 'S1', 'A1', 'CNY', 'P1', 1, 1, 1, %s)",
            [payment_date],
        )
    try:
        (problem,) = landing.land(place).problems
    finally:
        with database.connect(place) as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("delete from payout.instructions")
    assert problem.status == "waiting"
    assert "instructed" in (problem.reason or "")
    assert amounts(place) == [100, 200]


# --- decisions of people --------------------------------------------------------------------------


def conflict(place: Settings) -> str:
    """Land one ACOMN and put another in its way; return the other's id."""
    path = put(place, ACOMN, make.acomn())
    landing.land(place)
    path.write_bytes(make.acomn(amount="000000000500"))
    return landing.land(place).problems[0].file_id


def acomn_amounts(place: Settings) -> list[tuple[int]]:
    return query(
        place,
        "select amount_minor from raw.unionpay_acomn as r inner join control.channel_files as f "
        "on r.file_id = f.file_id where f.status = 'landed'",
    )


def test_a_release_is_on_record_and_can_be_taken_back(place: Settings) -> None:
    file_id = conflict(place)
    set_states(place, {DAY: "closed", NEXT: "closed"})
    (first,) = query(place, "select file_id from control.channel_files where status = 'landed'")[0]
    done = landing.release(place, file_id, decided_by="Li", reason="UnionPay resent it")
    assert (done.replaced_file_id, done.reopened) == (first, (DAY, NEXT))
    assert acomn_amounts(place) == [(500,)]
    # The bytes in the inbox are those of the second; the first comes back with its own rows.
    back = landing.release(place, first, decided_by="Wang", reason="it was the right one")
    assert back.replaced_file_id == file_id
    assert acomn_amounts(place) == [(10000,)]
    assert decisions(place) == [
        ("release", "conflict", "landed", "Li", [DAY, NEXT], 0),
        ("release", "superseded", "landed", "Wang", [], 0),
    ]
    assert landing.land(place).counts["superseded"] == 1


def test_decisions_are_never_changed(place: Settings) -> None:
    landing.reject(place, conflict(place), decided_by="Li", reason="a test file")
    for statement in (
        "update control.file_decisions set decided_by = 'Wang'",
        "delete from control.file_decisions",
        "truncate control.file_decisions",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation), database.connect(place) as connection:
            connection.execute(statement)
    assert decisions(place) == [("reject", "conflict", "refused", "Li", [], 0)]


def test_a_file_set_aside_by_mistake_can_be_released(place: Settings) -> None:
    file_id = conflict(place)
    landing.reject(place, file_id, decided_by="Li", reason="a test file")
    landing.release(place, file_id, decided_by="Li", reason="no, it was the correction")
    assert acomn_amounts(place) == [(500,)]


@pytest.mark.parametrize("by", ["release", "reject"])
def test_a_decision_needs_a_name_and_a_reason(place: Settings, by: str) -> None:
    file_id = conflict(place)
    decide = getattr(landing, by)
    for name, reason in ((" ", "x"), ("Li", " ")):
        with pytest.raises(landing.LandingError, match="a name and a reason"):
            decide(place, file_id, decided_by=name, reason=reason)
    with pytest.raises(landing.LandingError, match="no file"):
        decide(place, "0" * 16, decided_by="Li", reason="x")
    assert decisions(place) == []


def test_what_counts_cannot_be_released(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    file_id = landing.land(place).files[0].file_id
    with pytest.raises(landing.LandingError, match="left as it is"):
        landing.release(place, file_id, decided_by="Li", reason="x")


def test_what_should_not_have_landed_is_taken_out_and_can_come_back(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    file_id = landing.land(place).files[0].file_id
    set_states(place, {DAY: "closed", NEXT: "closed"})
    opened = landing.reject(place, file_id, decided_by="Li", reason="another bank's")
    assert opened == [DAY, NEXT]
    assert acomn_amounts(place) == []
    assert "acomn" in {file.file_kind for file in expected.missing_files(place, DAY)}
    assert landing.land(place).counts["refused"] == 1
    landing.release(place, file_id, decided_by="Wang", reason="it was ours")
    assert acomn_amounts(place) == [(10000,)]
    set_states(place, {DAY: "sealed"})
    with pytest.raises(landing.LandingError) as caught:
        landing.reject(place, file_id, decided_by="Li", reason="x")
    assert "is paid and sealed" in caught.value.why
    assert decisions(place) == [
        ("reject", "landed", "refused", "Li", [DAY, NEXT], 0),
        ("release", "refused", "landed", "Wang", [], 0),
    ]


def test_good_rows_land_where_the_totals_prove_them_without_the_bad(place: Settings) -> None:
    # A line that the trailer does not count: the sender's totals are those of the rest.
    content = vouchers(100, 200, extra="V9,nonsense\n", trailer=None)
    put(place, VOUCHERS, content)
    (problem,) = landing.land(place).problems
    assert problem.status == "quarantined"
    done = landing.release(place, problem.file_id, decided_by="Li", reason="stray line")
    assert [row.line_number for row in done.excluded_rows] == [4]
    assert amounts(place) == [100, 200]
    assert query(place, "select line_number from control.quarantined_rows") == [(4,)]
    assert query(
        place,
        "select row_count, declared_row_count, totals_status from control.channel_files",
    ) == [(2, 2, "agree")]
    assert decisions(place) == [("release", "quarantined", "landed", "Li", [], 1)]


def test_rows_after_a_bad_one_keep_their_lines(place: Settings) -> None:
    lines = vouchers(100, 200).split(b"\n")
    put(place, VOUCHERS, b"\n".join([lines[0], b"V9,nonsense", *lines[1:]]))
    (problem,) = landing.land(place).problems
    landing.release(place, problem.file_id, decided_by="Li", reason="stray line")
    rows = query(place, "select line_number from raw.platform_source_vouchers order by 1")
    assert rows == [(3,), (4,)]


def test_bad_rows_that_the_totals_count_keep_the_whole_file_out(place: Settings) -> None:
    rows = [make.VOUCHER, {**make.VOUCHER, "voucher_id": "V2", "transaction_type": "gift"}]
    put(place, VOUCHERS, make.platform_file("source_vouchers", rows))
    (problem,) = landing.land(place).problems
    with pytest.raises(landing.LandingError) as caught:
        landing.release(place, problem.file_id, decided_by="Li", reason="try")
    assert "without its 1 bad rows the file is not proved whole" in caught.value.why
    assert "total rows says 2, counted 1" in caught.value.why
    assert amounts(place) == []
    assert query(place, "select status from control.channel_files") == [("quarantined",)]
    assert decisions(place) == []


def test_a_format_without_totals_is_never_proved_in_part(place: Settings) -> None:
    put(place, ACOMN, make.acomn() + make.acomn(processing_code="990000"))
    (problem,) = landing.land(place).problems
    with pytest.raises(landing.LandingError, match="left as it is"):
        landing.release(place, problem.file_id, decided_by="Li", reason="try")
    assert count(place, "unionpay_acomn") == 0


def test_rows_are_never_left_out_of_a_text_file_without_totals() -> None:
    from dataclasses import replace

    from tieout.channels.common.model import BadRow, FileContext, Frames, ParsedFile
    from tieout.channels.registry import recognise

    rest = ParsedFile({}, 1, DAY)
    assert rest.is_good
    known = recognise(VOUCHERS)
    assert known is not None

    class Rest:
        def __init__(self, _context: FileContext) -> None: ...

        def blocks(self, _stream: IO[bytes]) -> Iterator[Frames]:
            yield {}

        def finish(self) -> ParsedFile:
            return rest

    file = replace(known, parser=Rest)
    bad = replace(rest, bad_rows=(BadRow(2, "", "wrong_length", "x"),))
    with pytest.raises(ValueError, match="its format has no totals"):
        corrections.good_rows(b"a\nb\n", file, bad, make.FakeVault())


def test_a_quarantined_file_is_released_once_our_rule_is_mended(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(place, ACOMN, make.acomn())
    from tieout.channels import registry
    from tieout.channels.common.model import ParsedFile, file_problem

    with monkeypatch.context() as patch:
        bad = ParsedFile({}, 1, DAY, bad_rows=(file_problem("unknown_code", "x"),))
        patch.setattr(registry.FileReading, "finish", lambda _reading: bad)
        (problem,) = landing.land(place).problems
    path.unlink()  # and it is no longer in the inbox: its bytes are kept
    done = corrections.release(place, problem.file_id, decided_by="Li", reason="rule mended")
    assert done.outcome.status == "landed"
    assert count(place, "unionpay_acomn") == 1


def test_bytes_that_are_gone_are_said_to_be(place: Settings) -> None:
    file_id = conflict(place)
    (sha256,) = query(place, "select sha256 from control.channel_files where status = 'conflict'")[
        0
    ]
    archive.archive_path(place, sha256).unlink()
    put(place, ACOMN, make.acomn())
    with pytest.raises(landing.LandingError) as caught:
        landing.release(place, file_id, decided_by="Li", reason="x")
    assert "no longer kept" in caught.value.why
    assert acomn_amounts(place) == [(10000,)]


def test_a_banks_file_of_a_paid_date_keeps_its_place(place: Settings) -> None:
    name = f"camt053_{make.BANK_ACCOUNT}_20260924_1.xml"
    path = put(place, name, make.camt053())
    landing.land(place)
    path.write_bytes(make.camt053(opening="2000.00"))
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    set_states(place, {DAY: "sealed"})
    done = landing.release(place, problem.file_id, decided_by="Li", reason="x")
    assert done.outcome.status == "version"
    path.write_bytes(make.camt053(opening="3000.00"))
    assert landing.land(place).versions[0].reason


def test_unknown_names_are_on_record_and_masked(place: Settings) -> None:
    path = put(place, f"{make.CARD}.csv", make.acomn())
    (file,) = landing.land(place).files
    assert file.status == "unrecognised"
    rows = query(place, "select f::text from control.channel_files as f")
    assert len(rows) == 1
    assert make.CARD not in str(rows)
    assert make.CARD not in str(file)
    assert landing.land(place).files == (file,)
    with pytest.raises(landing.LandingError) as caught:
        landing.release(place, file.file_id, decided_by="Li", reason="x")
    assert "right name" in caught.value.next_step
    # Under its right name it lands, and the unknown one waits for nobody.
    path.rename(path.with_name(ACOMN))
    assert landing.land(place).counts["landed"] == 1
    assert quarantine.held_files(place, today=NEXT) == []


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def run(place: Settings, own_database: str, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command line, in this test's home."""
    monkeypatch.setenv("TIEOUT_HOME", str(place.home))
    monkeypatch.setenv("TIEOUT_DATABASE_URL", own_database)
    return CliRunner()


def test_quarantine_from_list_to_decision(place: Settings, run: CliRunner) -> None:
    bad = make.platform_file(
        "source_vouchers", [make.VOUCHER], trailer="#rows=2;amount_minor_sum=7\n"
    )
    put(place, VOUCHERS, bad)
    put(place, "IND26092501ACOMN", make.acomn(processing_code="990000"))
    landing.land(place)
    listed = run.invoke(app, ["quarantine", "list"])
    assert listed.exit_code == 0
    for word in ("2026-09-24", "platform", "quarantined", "source_vouchers", "age_days", "2 files"):
        assert word in listed.output
    assert "acomn" in listed.output
    assert "acomn" not in run.invoke(app, ["quarantine", "list", "--channel", "platform"]).output
    assert "acomn" not in run.invoke(app, ["quarantine", "list", "--date", "2026-09-24"]).output
    files = {file.file_name: file.file_id for file in quarantine.held_files(place, today=NEXT)}
    shown = run.invoke(app, ["quarantine", "show", files[VOUCHERS]]).output
    assert "rows: declared 2, counted 1  ← differs" in shown
    assert str(place.archive_dir) in shown
    assert "next:" in shown
    shown = run.invoke(app, ["quarantine", "show", files["IND26092501ACOMN"]]).output
    assert "unknown_code" in shown
    assert "line 1" in shown
    assert make.CARD not in shown
    done = run.invoke(
        app, ["quarantine", "reject", files[VOUCHERS], "--by", "Li", "--reason", "a test file"]
    )
    assert done.exit_code == 0
    assert "set aside by Li" in done.output
    assert "reject by Li" in run.invoke(app, ["quarantine", "show", files[VOUCHERS]]).output


def test_quarantine_release_says_what_follows(place: Settings, run: CliRunner) -> None:
    file_id = conflict(place)
    set_states(place, {DAY: "closed"})
    versions = run.invoke(app, ["quarantine", "show", file_id]).output
    assert "version" in versions
    done = run.invoke(app, ["quarantine", "release", file_id, "--by", "Li", "--reason", "resent"])
    assert done.exit_code == 0
    assert "to be closed again, in order: 2026-09-24" in done.output
    assert "next: tieout close 2026-09-24" in done.output
    assert run.invoke(app, ["quarantine", "list"]).output == "every file that came has landed\n"


# --- size -----------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_never_in_memory(
    place: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc
    from dataclasses import replace

    path = put(place, ACOMN, b"")
    with path.open("wb") as stream:
        stream.truncate(200 * 1024**2)  # sparse: it takes no room
    small = replace(place, max_file_bytes=1024**2)
    tracemalloc.start()
    report = landing.land(small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (problem,) = report.problems
    assert problem.status == "quarantined"
    assert "209,715,200 bytes" in (problem.reason or "")
    assert "TIEOUT_MAX_FILE_BYTES" in (problem.reason or "")
    assert peak < 60 * 1024**2
    assert not list(place.archive_dir.iterdir())
    size, sha256 = query(place, "select size_bytes, sha256 from control.channel_files")[0]
    assert size == 200 * 1024**2
    assert len(sha256) == 64
    # With more memory the same bytes are looked at.
    path.write_bytes(make.acomn() * 5000)
    assert landing.land(replace(place, max_file_bytes=1000)).problems[0].status == "quarantined"
    assert landing.land(place).counts["landed"] == 1


def test_a_store_that_does_not_say_sizes_is_bounded_too(place: Settings) -> None:
    from dataclasses import replace

    from tieout.files.stores import find_files

    store = fsspec.filesystem("memory")
    store.pipe("/inbox/x.bin", b"1234567890")
    try:
        (found,) = find_files(["memory://inbox"])
        unsized = replace(found, size_bytes=None)
        assert unsized.read(8).content is None
        assert unsized.read(8).size_bytes == 9, "no more was read than that"
        assert unsized.read(10).content == b"1234567890"
        lying = replace(found, size_bytes=3)
        assert lying.read(8).content is None
        assert lying.read(8).size_bytes == 9
        assert found.read(8).size_bytes == 10
    finally:
        store.rm("/inbox", recursive=True)


def test_the_limit_comes_from_memory_or_the_environment(tmp_path: Path) -> None:
    home = {"TIEOUT_HOME": str(tmp_path)}
    assert load_settings({**home, "TIEOUT_MAX_FILE_BYTES": "5"}).max_file_bytes == 5
    assert load_settings(home).max_file_bytes > 1024**2
    for wrong in ("1e9", "-1", "0", "all"):
        with pytest.raises(days.TieoutError, match="not a whole number"):
            load_settings({**home, "TIEOUT_MAX_FILE_BYTES": wrong})


# --- what is owed, and when -----------------------------------------------------------------------


def test_a_file_is_late_by_the_given_clock() -> None:
    due = datetime(2026, 9, 25, 10, 30, tzinfo=SHANGHAI)
    missing = expected.OwedFile("wechat", "trade_bill", DAY, due)
    assert missing.lateness(due + timedelta(minutes=61)) == "late for 1 h 01 min"
    assert missing.lateness(due - timedelta(minutes=1)) == "not due yet"


def step(place: Settings, now: datetime, *, waits: bool) -> steps.Step:
    return steps.Step(place, days.ACCOUNTING_CLOSE, DAY, "nobody", "land", now=now, waits=waits)


def test_a_close_waits_until_the_last_missing_file_is_due(place: Settings) -> None:
    put(place, ACOMN, make.acomn())
    before = datetime(2026, 9, 25, 10, 29, tzinfo=SHANGHAI)
    with pytest.raises(days.NotYet, match=r"wechat trade_bill .* not due yet"):
        closing.land(step(place, before, waits=True))
    assert count(place, "unionpay_acomn") == 1  # what has come lands while it waits
    assert closing.land(step(place, before + timedelta(minutes=1), waits=True))
    assert closing.land(step(place, before, waits=False))


def test_a_close_says_who_is_late_with_which_file_since_when(place: Settings) -> None:
    put(
        place,
        "operating_window_20260924.csv",
        make.platform_file("operating_window", [{"first_accounting_date": "2026-09-24"}]),
    )
    landing.land(place)
    now = datetime(2026, 9, 25, 9, 30, tzinfo=SHANGHAI)
    with pytest.raises(closing.CloseError) as caught:
        closing.complete(step(place, now, waits=False))
    assert (
        "unionpay acomn of 2026-09-24 (unionpay/20260924/IND26092401ACOMN), "
        "due 2026-09-25 09:00, late for 0 h 30 min" in caught.value.what
    )
    assert "due 2026-09-25 10:30, not due yet" in caught.value.what
    assert "late: platform, unionpay" in caught.value.why


def test_a_waiting_step_gives_its_worker_back(
    place: Settings, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from airflow.sdk.exceptions import AirflowRescheduleException

    monkeypatch.setenv("TIEOUT_HOME", str(place.home))
    monkeypatch.setenv("TIEOUT_DATABASE_URL", own_database)
    monkeypatch.setenv("TIEOUT_FILES_POLL_SECONDS", "300")
    context = {
        "dag": SimpleNamespace(dag_id=days.ACCOUNTING_CLOSE),
        "task": SimpleNamespace(task_id="land"),
        "params": {"accounting_date": "2026-09-24"},
        "run_id": "scheduled__x",
        "logical_date": None,
    }
    seen: list[steps.Step] = []

    def not_yet(given: steps.Step) -> steps.Counts:
        seen.append(given)
        raise days.NotYet("a file")

    started = datetime.now(SHANGHAI)
    with pytest.raises(AirflowRescheduleException) as caught:
        steps.await_files(not_yet, context)
    assert timedelta(seconds=299) < caught.value.reschedule_date - started < timedelta(seconds=330)
    assert seen[0].waits
    assert steps.await_files(lambda given: {"rows": 1}, context)
    # A command never waits, nor does a simulated week.
    with days.command_owner(place):
        assert not steps.step_of(place, context).waits
    assert steps.step_of(place, context).waits
    (place.home / "sample.json").write_text(
        '{"first_accounting_date": "2026-09-24", "last_accounting_date": "2026-09-30"}'
    )
    assert not steps.step_of(place, context).waits
