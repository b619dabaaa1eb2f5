"""A voucher counts once over all dates: the register, and the files that repeat one."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

import channel_files as make
from day_states import set_state
from landing_world import count, own_database, place, put, query, statuses
from tieout import database, landing
from tieout.core.settings import Settings

__all__ = ["own_database", "place"]

DAY = make.DAY
NEXT = DAY + timedelta(days=1)
FIRST = "source_vouchers_20260924.csv"
SECOND = "source_vouchers_20260925.csv"


def vouchers(*ids: str, day: str = "2026-09-24", amount: str = "10000") -> bytes:
    """Return a voucher file with these ids."""
    own = {"accounting_date": day, "amount_minor": amount}
    # On another date than its own a voucher may come only as a late order.
    own["is_late_order"] = "false" if day == "2026-09-24" else "true"
    rows = [{**make.VOUCHER, "voucher_id": voucher_id, **own} for voucher_id in ids]
    return make.platform_file("source_vouchers", rows)


def registered(settings: Settings) -> list[tuple[object, ...]]:
    """Return what the register holds: voucher, date, line."""
    return query(
        settings,
        "select voucher_id, accounting_date, line_number from control.voucher_register order by 1",
    )


def seal(settings: Settings) -> None:
    with database.connect(settings) as connection:
        set_state(connection, DAY, "sealed")


@pytest.mark.parametrize(("amount", "content"), [("10000", "the same"), ("7", "other")])
def test_a_voucher_of_an_earlier_date_stops_its_file(
    place: Settings, amount: str, content: str
) -> None:
    put(place, FIRST, vouchers("V1", "V2"))
    landing.land(place)
    put(place, SECOND, vouchers("V9", "V2", day="2026-09-25", amount=amount))
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    assert str(problem.reason).startswith(
        "1 of its vouchers are on record already, the first in line 3: V2 stands in line 3 of "
        f"{FIRST} ("
    )
    assert f") of 2026-09-24, with {content} content." in str(problem.reason)
    rows = query(place, "select line_number, reason_code, reason from control.quarantined_rows")
    assert [row[:2] for row in rows] == [(3, "repeated_voucher")]
    assert FIRST in rows[0][2]
    # Nothing of the file is kept: neither its rows nor its good voucher's place.
    assert count(place, "platform_source_vouchers") == 2
    assert registered(place) == [("V1", DAY, 2), ("V2", DAY, 3)]
    # It is on the date's way until a person decides, and a release cannot pay it twice.
    assert [file.file_id for file in landing.problem_files(place, NEXT)] == [problem.file_id]
    with pytest.raises(landing.LandingError, match="on record already"):
        landing.release(place, problem.file_id, decided_by="Li", reason="it came again")
    assert statuses(landing.land(place))[SECOND] == "conflict"


def test_a_file_that_has_a_voucher_twice_does_not_land(place: Settings) -> None:
    put(place, FIRST, vouchers("V1", "V1"))
    (problem,) = landing.land(place).problems
    assert problem.status in {"conflict", "quarantined"}
    assert registered(place) == []
    assert count(place, "platform_source_vouchers") == 0


def test_a_correction_has_its_places_own_vouchers(place: Settings) -> None:
    path = put(place, FIRST, vouchers("V1", "V2"))
    landing.land(place)
    path.write_bytes(vouchers("V2", "V3", "V4"))
    assert statuses(landing.land(place))[FIRST] == "landed"
    assert [row[0] for row in registered(place)] == ["V2", "V3", "V4"]


def test_a_correction_with_another_dates_voucher_leaves_the_first_in_place(place: Settings) -> None:
    put(place, FIRST, vouchers("V1"))
    path = put(place, SECOND, vouchers("V2", day="2026-09-25"))
    landing.land(place)
    path.write_bytes(vouchers("V2", "V1", day="2026-09-25"))
    (problem,) = landing.land(place).problems
    assert problem.status == "conflict"
    assert [row[:2] for row in registered(place)] == [("V1", DAY), ("V2", NEXT)]
    states = query(place, "select file_name, status from control.channel_files order by 1, 2")
    assert states == [(FIRST, "landed"), (SECOND, "conflict"), (SECOND, "landed")]


def test_a_file_that_is_set_aside_gives_its_vouchers_free(place: Settings) -> None:
    put(place, FIRST, vouchers("V1"))
    (first,) = landing.land(place).files
    put(place, SECOND, vouchers("V1", day="2026-09-25"))
    (second,) = landing.land(place).problems
    landing.reject(place, first.file_id, decided_by="Li", reason="booked on the wrong date")
    assert registered(place) == []
    landing.release(place, second.file_id, decided_by="Li", reason="this is the right date")
    assert registered(place) == [("V1", NEXT, 2)]
    # Back the other way: what is on record stands in the way of the first.
    with pytest.raises(landing.LandingError, match="on record already"):
        landing.release(place, first.file_id, decided_by="Li", reason="no, the first")
    assert registered(place) == [("V1", NEXT, 2)]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from control.voucher_register where voucher_id = 'V1'",
        "update control.voucher_register set accounting_date = '2026-09-25'",
        "truncate control.voucher_register",
        "update control.channel_files set status = 'refused'",
    ],
)
def test_a_sealed_dates_rows_stay(place: Settings, statement: str) -> None:
    put(place, FIRST, vouchers("V1"))
    landing.land(place)
    seal(place)
    with (
        pytest.raises(psycopg.IntegrityError, match="voucher_register"),
        database.connect(place) as connection,
    ):
        connection.execute(statement)
    assert registered(place) == [("V1", DAY, 2)]


def test_an_entry_stands_in_one_statement_over_all_payment_dates(place: Settings) -> None:
    entry = (
        "insert into settlement.statement_entries values ('T:V1', '{0}-A1-T1-CNY', '{0}', '{1}')"
    )
    with database.connect(place) as connection:
        connection.execute(entry.format("2026-09-28", "2026-09-24"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(entry.format("2026-09-29", "2026-09-24"))
