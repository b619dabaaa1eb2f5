"""Clearing sessions are frozen: two runs at once, entries that come later, people who open them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import psycopg
import pytest

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.decisions import sessions
from tieout.runs import transform

from .test_dbt import Breaker

pytestmark = pytest.mark.slow

DAY = date(2026, 9, 17)
NEXT = DAY + timedelta(days=1)
DATES = {
    "TIEOUT_ACCOUNTING_DATE": DAY.isoformat(),
    "TIEOUT_PAYMENT_DATE": NEXT.isoformat(),
    "TIEOUT_PREVIOUS_PAYMENT_DATE": DAY.isoformat(),
}
MODELS = (
    "int_calendar__arrival_groups",
    "int_channels__adjustments",
    "int_clearing__entry_sessions",
    "clearing_entries",
    "service_fee_entries",
    "clearing_records",
)
FREEZE = "select control.freeze_clearing_sessions(%s, 'a run')"
WINDOW = "raw.platform_operating_window"
PRICED = "intermediate.int_pricing__priced_vouchers"


@pytest.fixture(scope="module")
def divided(built: Settings) -> Iterator[Settings]:
    """A date with two sessions of each type, to noon and after it, and a voucher of the morning."""
    with database.connect(built) as connection:
        kept = connection.execute("select * from reference.clearing_session_schedule").fetchall()
        connection.execute("delete from reference.clearing_session_schedule")
        connection.execute(
            "insert into reference.clearing_session_schedule"
            " select kind, number, case number when 1 then 720 end, date '2020-01-01', null"
            " from unnest(array['transaction', 'adjustment', 'service_fee']) as kind,"
            " generate_series(1, 2) as number"
        )
        for day in (DAY, NEXT):
            connection.execute(
                "insert into control.accounting_days (accounting_date, state) values (%s, 'open')"
                " on conflict do nothing",
                [day],
            )
        connection.execute(f"truncate {PRICED}, intermediate.int_pricing__adjustment_fees")
        window = {"first_accounting_date": DAY, "last_accounting_date": NEXT}
        Breaker(connection).insert(WINDOW, DAY, window)
        book(connection, "V1", "08:00", 100)
        book(connection, "V2", "12:00", 200)
    try:
        assert build(built) == []
        yield built
    finally:
        with database.connect(built) as connection:
            connection.execute(f"truncate {PRICED}; delete from {WINDOW}")
            connection.execute("delete from reference.clearing_session_schedule")
            connection.cursor().executemany(
                "insert into reference.clearing_session_schedule values (%s, %s, %s, %s, %s)", kept
            )


def book(
    connection: psycopg.Connection[tuple[object, ...]], voucher_id: str, clock: str, amount: int
) -> None:
    """Let a sale of a merchant that is billed apart have landed, and be priced."""
    Breaker(connection).insert(
        PRICED,
        DAY,
        {
            "voucher_id": voucher_id,
            "transaction_at": f"{DAY} {clock}+08",
            "transaction_type": "purchase",
            "merchant_id": "M1",
            "account_id": "A1",
            "channel": "unionpay",
            "currency_code": "CNY",
            "amount_minor": amount,
            "contract_id": "C1",
            "fee_rule_id": "F1",
            "settlement_mode": "gross",
            "fee_amount_minor": amount // 100,
        },
    )


def build(settings: Settings) -> list[str]:
    """Build the date's entries as a close does; return what failed."""
    report = transform.run_dbt(settings, ["run", "--select", *MODELS], DATES)
    return [str(failure) for failure in report.failures]


def numbers(settings: Settings, table: str = "clearing_entries") -> dict[str, int]:
    """Return the session of each entry of the date."""
    with database.connect(settings) as connection:
        return dict(
            connection.execute(
                f"select entry_id, clearing_session_no from clearing.{table}"
                " where accounting_date = %s",
                [DAY],
            ).fetchall()
        )


def records(settings: Settings) -> list[tuple[object, ...]]:
    with database.connect(settings) as connection:
        return connection.execute(
            "select clearing_session_no, transaction_count, transaction_amount_minor"
            " from clearing.clearing_records where accounting_date = %s order by 1",
            [DAY],
        ).fetchall()


def wait_for_a_waiter(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Return once another connection waits for an advisory lock."""
    for _ in range(600):
        waiting = connection.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        ).fetchone()
        if waiting is not None and waiting[0]:
            return
        time.sleep(0.1)
    raise AssertionError("nobody waits")


def test_what_comes_while_a_session_is_frozen_goes_to_the_next(divided: Settings) -> None:
    """Two connections: one freezes, the other builds what has come since; then people open it."""
    assert numbers(divided) == {"T:V1": 1, "T:V2": 2}
    with (
        ThreadPoolExecutor(1) as other,
        database.connect(divided) as freezing,
        database.connect(divided, autocommit=True) as looking,
    ):
        assert freezing.execute(FREEZE, [DAY]).fetchone() == (3,)
        book(looking, "V3", "09:00", 300)
        building = other.submit(build, divided)
        wait_for_a_waiter(looking)
        assert not building.done()
        freezing.commit()
        assert building.result() == []
    assert numbers(divided) == {"T:V1": 1, "T:V2": 2, "T:V3": 2}
    assert numbers(divided, "service_fee_entries") == {"T:V1": 1, "T:V2": 2, "T:V3": 2}
    assert records(divided) == [(1, 1, 100), (2, 2, 500)]
    with database.connect(divided) as connection:
        frozen = connection.execute(
            "select clearing_session_type, clearing_session_no, entry_count"
            " from control.frozen_clearing_sessions where accounting_date = %s order by 1",
            [DAY],
        ).fetchall()
        # A session without an entry is complete, too; once frozen there is nothing more to do.
        assert frozen == [("adjustment", 1, 0), ("service_fee", 1, 1), ("transaction", 1, 1)]
        assert connection.execute(FREEZE, [DAY]).fetchone() == (0,)

    # Built again it is the same; a frozen entry that would change is refused, and stays.
    assert build(divided) == []
    assert numbers(divided) == {"T:V1": 1, "T:V2": 2, "T:V3": 2}
    with database.connect(divided) as connection:
        connection.execute(f"update {PRICED} set amount_minor = 150 where voucher_id = 'V1'")
    failed = " ".join(build(divided))
    assert "transaction session 1 of 2026-09-17 is frozen, and 1 entry would change" in failed
    assert records(divided) == [(1, 1, 100), (2, 2, 500)]

    with pytest.raises(TieoutError, match="no clearing session of 2026-09-18 is frozen"):
        sessions.ask(divided, NEXT, by="li", reason="corrected file")
    request = sessions.ask(divided, DAY, by="li", reason="corrected file")
    with pytest.raises(TieoutError, match="two different people"):
        sessions.approve(divided, request, by=" Li ")
    assert sessions.approve(divided, request, by="wang").approved_by == "wang"
    assert build(divided) == []
    assert records(divided) == [(1, 2, 450), (2, 1, 200)]
    with database.connect(divided) as connection:
        assert connection.execute(FREEZE, [DAY]).fetchone() == (3,)
    with pytest.raises(TieoutError, match=r"approved already|duplicate key"):
        sessions.approve(divided, request, by="zhao")


def test_a_freeze_waits_for_a_build_that_was_first(divided: Settings) -> None:
    with (
        ThreadPoolExecutor(1) as other,
        database.connect(divided) as building,
        database.connect(divided, autocommit=True) as looking,
    ):
        building.execute("select control.hold_clearing_sessions(%s)", [NEXT])
        Breaker(building).insert(
            "clearing.clearing_entries",
            NEXT,
            {
                "entry_id": "T:V9",
                "clearing_session_type": "transaction",
                "clearing_session_no": 1,
                "currency_code": "CNY",
                "settlement_mode": "net",
                "fee_rule_id": "F",
                "arrival_date": NEXT,
                "payment_date": NEXT + timedelta(days=3),
            },
        )
        freezing = other.submit(freeze, divided)
        wait_for_a_waiter(looking)
        building.commit()
        assert freezing.result() == 3
        members = looking.execute(
            "select entry_id from control.frozen_clearing_entries where accounting_date = %s",
            [NEXT],
        ).fetchall()
    assert members == [("T:V9",)]


def freeze(settings: Settings) -> int:
    """Freeze the sessions of the second date; return how many."""
    with database.connect(settings) as connection:
        row = connection.execute(FREEZE, [NEXT]).fetchone()
    assert row is not None
    return int(row[0])


def test_a_schedule_that_leaves_an_entry_without_a_session_is_told(divided: Settings) -> None:
    wrong = [
        ("transaction", 1, 720, "2020-01-01", "2021-01-01"),
        ("transaction", 2, 720, "2020-01-01", "2021-01-01"),
        ("transaction", 3, None, "2020-01-01", "2021-01-01"),
        ("transaction", 1, 720, "2021-01-01", "2023-01-01"),
        ("transaction", 1, 60, "2023-01-01", None),
        ("transaction", 2, 1380, "2023-01-01", None),
        ("transaction", 3, None, "2023-01-01", None),
        ("adjustment", 1, None, "2021-01-01", None),
        ("service_fee", 2, None, "2021-01-01", "2023-01-01"),
    ]
    insert = "insert into reference.clearing_session_schedule values (%s, %s, %s, %s, %s)"
    with database.connect(divided) as connection:
        before = connection.execute("select * from reference.clearing_session_schedule").fetchall()
        connection.execute("delete from reference.clearing_session_schedule")
        connection.cursor().executemany(insert, wrong)
    name = "assert_clearing_sessions_follow_one_another"
    try:
        report = transform.run_dbt(divided, ["test", "--select", name], DATES)
    finally:
        with database.connect(divided) as connection:
            connection.execute("delete from reference.clearing_session_schedule")
            connection.cursor().executemany(insert, before)
    (failure,) = report.failures
    said = sorted(failure.rows)
    assert len(said) == 5
    for row, (day, kind, reason) in zip(
        said,
        [
            ("2020-01-01", "adjustment", "has no session"),
            ("2020-01-01", "transaction", "has cutoffs that do not ascend"),
            ("2021-01-01", "service_fee", "is not numbered from 1"),
            ("2021-01-01", "transaction", "has another session without a cutoff than its last"),
            ("2023-01-01", "transaction", "has a cutoff outside the accounting date"),
        ],
        strict=True,
    ):
        assert all(part in row for part in (day, kind, reason)), (row, reason)
