"""Returns and moved sales of a sealed date are booked on the open date: once, and with their fee.

The platform corrects a paid date: refunds that never were, refunds of other amounts, late ones, one
beyond what is left of its sale, a sale of another merchant, and a sale of which something was given
back. What may be booked is, the rest says why not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import builds
import day_states
import prepared_homes
from tieout import database, landing
from tieout.core.settings import Settings
from tieout.decisions import restatements
from tieout.runs import restating
from tieout.simulator import sample

from .conftest import tieout
from .test_restatement import Row, query, rewrite, sealed_rows

pytestmark = pytest.mark.timeout(1800)

SEALED, OPEN, PAID_ON = date(2026, 9, 28), date(2026, 9, 29), date(2026, 9, 29)


def refund(sale: Row, number: int, amount_minor: int, **others: str) -> Row:
    """Return a refund of a sale, some minutes after it."""
    at = datetime.fromisoformat(sale["transaction_at"]) + timedelta(minutes=number)
    return {
        **sale,
        "voucher_id": f"{sale['voucher_id'][:-3]}R{number:02}",
        "transaction_at": at.isoformat(),
        "transaction_type": "refund",
        "amount_minor": str(-amount_minor),
        "refund_order_id": f"RF{number:024}",
        "original_voucher_id": sale["voucher_id"],
        "original_transaction_at": sale["transaction_at"],
        "original_amount_minor": sale["amount_minor"],
        "original_refunded_before_minor": "0",
        **others,
    }


@dataclass
class World:
    """The home, and the vouchers by what becomes of them."""

    settings: Settings
    folder: Path
    sales: list[Row]
    vouchers: dict[str, Row] = field(default_factory=dict)

    def id(self, name: str) -> str:
        return self.vouchers[name]["voucher_id"]

    def write(self, gone: set[str], come: list[Row]) -> None:
        """Take vouchers out of the platform's two files, and put others in."""
        rewrite(
            self.folder / "source_vouchers_20260928.csv",
            "amount_minor",
            lambda rows: [*(row for row in rows if row["voucher_id"] not in gone), *come],
        )
        rewrite(
            self.folder / "accounting_vouchers_20260928.csv",
            "amount_minor",
            lambda rows: [
                *(row for row in rows if row["source_voucher_id"] not in gone),
                *(
                    {
                        "accounting_voucher_id": f"B{row['voucher_id'][1:]}",
                        "accounting_date": str(SEALED),
                        "source_voucher_id": row["voucher_id"],
                        "account_id": row["account_id"],
                        "currency_code": row["currency_code"],
                        "amount_minor": row["amount_minor"],
                        "booked_at": row["transaction_at"],
                    }
                    for row in come
                ),
            ],
        )

    def correct(self, name: str, **changed: str) -> Row:
        row = {**self.vouchers[name], **changed}
        self.write({row["voucher_id"]}, [row])
        return row

    def restate(self) -> dict[tuple[str, str], restatements.Entry]:
        """Land what is there, restate; return each leg by the voucher's name and account."""
        landing.land(self.settings, through_date=SEALED)
        done = restating.restate(self.settings, SEALED, asked_by="test")
        names = {row["voucher_id"]: name for name, row in self.vouchers.items()}
        return {
            (names[one.voucher_id], one.account_id): one
            for one in restatements.entries(self.settings, done.restatement_id)
        }

    def book(self) -> int:
        request = restatements.ask(self.settings, SEALED, by="Li Na", reason="their correction")
        restatements.approve(self.settings, request, by="Wang Fang")
        return request

    def entries(self, day: date) -> dict[str, tuple[Any, ...]]:
        """Return of each cleared voucher type, account, amount and fee."""
        rows = query(
            self.settings,
            "select source_id, transaction_type, account_id, transaction_amount_minor,"
            " fee_amount_minor from clearing.clearing_entries where accounting_date = %s",
            day,
        )
        return {row[0]: row[1:] for row in rows}


@pytest.fixture(scope="module")
def world(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A home whose first date is computed, stated and sealed, with refunds of its own sales."""
    home = tmp_path_factory.mktemp("restated_returns") / "home"
    settings = prepared_homes.copy(prepared_home, home)
    try:
        prepared_homes.start_carelessly(settings)
        done = tieout(
            home, "simulate", "--from", "2026-09-28", "--days", "3", "--transactions", "60",
            "--merchants", "10",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        folder = home / "inbox" / "platform" / "20260928"
        text = (folder / "source_vouchers_20260928.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines()[:-1]))
        originals = {row["original_voucher_id"] for row in rows}
        (bill,) = (home / "inbox").rglob("*All2026-09-28.csv")
        recorded = bill.read_text(encoding="utf-8")
        sales = [
            row
            for row in rows
            if row["transaction_type"] == "purchase"
            and row["transaction_status"] == "success"
            and row["voucher_id"] not in originals
            and row["channel"] == "wechat"
            and row["channel_order_id"] in recorded
            and int(row["amount_minor"]) > 1000
        ]
        world = World(settings, folder, sales)
        fill(world)
        sell_nothing(home / "inbox" / "platform" / "20260929", world.vouchers["large"])
        paid = ("gone", "less", "more", "stays")
        world.write(set(), [world.vouchers[name] for name in paid])
        landing.land(settings, through_date=SEALED)
        builds.close(settings, SEALED)
        with database.connect(settings) as connection:
            day_states.set_state(connection, SEALED, "closed")
        sample.approve_first_list(settings, lambda _: None)
        builds.payment(settings, PAID_ON)
        with database.connect(settings) as connection:
            day_states.set_state(connection, SEALED, "sealed")
        yield world
    finally:
        database.stop_server(settings)


def fill(world: World) -> None:
    """Choose the sales, and make their refunds."""
    # Who sells nothing on the open date cannot give back the large one, who goes on selling can.
    # Nothing of the first one's is held, so that all it had was paid.
    large, small = (
        next(row for row in world.sales if row["account_id"] == account_id)
        for account_id in ("A000007", "A000001")
    )
    rest = [row for row in world.sales if row not in (small, large)]
    of_gone, of_less, of_more, of_late, of_beyond, given_back = rest[:6]
    world.vouchers = {
        "gone": refund(of_gone, 1, 100),
        "less": refund(of_less, 2, 200),
        "more": refund(of_more, 3, 100),
        "late": refund(of_late, 4, 80),
        "first": refund(of_beyond, 5, 10),
        "beyond": refund(
            of_beyond, 6, int(of_beyond["amount_minor"]), original_refunded_before_minor="10"
        ),
        # Of this one something is given back, and the sale itself is withdrawn.
        "stays": refund(given_back, 7, 300),
        "small": small,
        "large": large,
        "withdrawn": given_back,
    }


def sell_nothing(folder: Path, of: Row) -> None:
    """Take the vouchers of a sale's account out of the open date's files."""
    for name in ("source_vouchers", "accounting_vouchers"):
        rewrite(
            folder / f"{name}_20260929.csv",
            "amount_minor",
            lambda rows: [row for row in rows if row["account_id"] != of["account_id"]],
        )


def moved(world: World, name: str) -> Row:
    """Return a sale as that of another merchant."""
    row = world.vouchers[name]
    other = next(one for one in world.sales if one["account_id"] != row["account_id"])
    names = ("account_id", "merchant_id", "terminal_id")
    return {**row, **{name: other[name] for name in names}}


@pytest.fixture(scope="module")
def corrected(world: World) -> dict[tuple[str, str], restatements.Entry]:
    """The correction came; what its restatement says of each voucher."""
    world.write(
        {world.id(name) for name in ("gone", "less", "more", "small", "large", "withdrawn")},
        [
            {**world.vouchers["less"], "amount_minor": "-150"},
            {**world.vouchers["more"], "amount_minor": "-130"},
            *(world.vouchers[name] for name in ("late", "first", "beyond")),
            *(moved(world, name) for name in ("small", "large")),
        ],
    )
    before = sealed_rows(world.settings)
    found = world.restate()
    assert sealed_rows(world.settings) == before
    return found


def of(
    found: dict[tuple[str, str], restatements.Entry], name: str
) -> list[tuple[str, int, str | None]]:
    return [
        (one.kind, one.booked_amount_minor, one.why) for key, one in found.items() if key[0] == name
    ]


def test_what_becomes_of_each_voucher(
    world: World, corrected: dict[tuple[str, str], restatements.Entry]
) -> None:
    assert of(corrected, "gone") == [("return_less", 100, None)]
    assert of(corrected, "less") == [("return_less", 50, None)]
    assert of(corrected, "more") == [("return_more", -30, None)]
    assert of(corrected, "late") == [("carried", 0, None)]
    for name in ("small", "large"):
        amount = int(world.vouchers[name]["amount_minor"])
        assert sorted(of(corrected, name)) == [
            ("moved_in", amount, None),
            ("moved_out", -amount, None),
        ]
    assert of(corrected, "withdrawn") == [
        ("by_people", 0, "more than is left of the sale: something of it was given back")
    ]
    assert of(corrected, "stays") == [("by_people", 0, "its sale differs too")]


def test_a_newer_version_is_restated_before_anything_is_booked(
    world: World, corrected: dict[tuple[str, str], restatements.Entry]
) -> None:
    world.write({world.id("less")}, [{**world.vouchers["less"], "amount_minor": "-160"}])
    landing.land(world.settings, through_date=SEALED)
    with pytest.raises(restatements.BookingError, match="has not read"):
        restatements.ask(world.settings, SEALED, by="Li Na", reason="too early")
    # The version between was read by nobody, and no restatement waits for it.
    world.write({world.id("less")}, [{**world.vouchers["less"], "amount_minor": "-150"}])
    world.write({world.id("less")}, [{**world.vouchers["less"], "amount_minor": "-155"}])
    landing.land(world.settings, through_date=SEALED)
    assert [one.accounting_date for one in restating.waiting(world.settings)] == [SEALED]
    assert of(world.restate(), "less") == [("return_less", 45, None)]
    assert restating.waiting(world.settings) == []


@pytest.fixture(scope="module")
def booked(world: World, corrected: dict[tuple[str, str], restatements.Entry]) -> dict[str, str]:
    """Two people have booked it, and the open date is closed; correcting vouchers by name."""
    world.book()
    for _ in range(2):
        landing.land(world.settings, through_date=SEALED)
    landing.land(world.settings, through_date=OPEN)
    builds.close(world.settings, OPEN)
    with database.connect(world.settings) as connection:
        day_states.set_state(connection, OPEN, "closed")
    names = {row["voucher_id"]: name for name, row in world.vouchers.items()}
    return {
        f"{names[one.voucher_id]} {one.kind}": one.correcting_voucher_id
        for one in restatements.bookings(world.settings, SEALED)
    }


def test_each_is_cleared_once_with_its_fee(world: World, booked: dict[str, str]) -> None:
    sealed, cleared = world.entries(SEALED), world.entries(OPEN)
    restated = restating.latest(world.settings, SEALED).schema("clearing")
    fees = dict(
        query(
            world.settings,
            f"select source_id, fee_amount_minor from {restated}.clearing_entries",
        )
    )
    amounts = {"gone return_less": 100, "less return_less": 45, "more return_more": -30}
    for name, amount in amounts.items():
        voucher = world.vouchers[name.split()[0]]
        of_date = sealed[voucher["voucher_id"]]
        fee = fees.get(voucher["voucher_id"], 0) - of_date[3]
        assert cleared[booked[name]] == ("refund", voucher["account_id"], amount, fee), name
    # A sale that moved is taken from who had it with its fee, and nobody has got it yet.
    waiting = {
        one.correcting_voucher_id: one.waits_for_voucher_id
        for one in restatements.bookings(world.settings)
        if one.booked_on is None
    }
    for name in ("small", "large"):
        taken = sealed[world.id(name)]
        out, into = booked[f"{name} moved_out"], booked[f"{name} moved_in"]
        assert cleared[out] == ("reversal", taken[1], -taken[2], -taken[3])
        assert into not in cleared
        assert waiting.pop(into) == out
    assert waiting == {}
    # A late refund is charged once; one beyond what is left is refused, and nobody is charged.
    assert cleared[world.id("late")][2] == -80
    assert cleared[world.id("first")][2] == -10
    assert world.id("beyond") not in cleared
    assert query(
        world.settings,
        "select voucher_id, reason from clearing.refused_vouchers where accounting_date = %s",
        OPEN,
    ) == [(world.id("beyond"), "above_original")]


def test_what_was_refused_on_the_open_date_says_so(world: World, booked: dict[str, str]) -> None:
    found = world.restate()
    assert of(found, "beyond") == [
        ("by_people", 0, "it came late and was refused there: above_original")
    ]
    for name in ("gone", "less", "more", "small", "large"):
        assert {kind for kind, _, _ in of(found, name)} == {"booked_before"}, name
    with pytest.raises(restatements.BookingError, match="nothing is left to book"):
        restatements.ask(world.settings, SEALED, by="Li Na", reason="again")


def test_who_a_sale_moved_to_gets_it_when_the_charge_is_paid_and_covered(
    world: World, booked: dict[str, str]
) -> None:
    settings, next_date = world.settings, OPEN + timedelta(days=1)
    stands = (
        "select voucher_id, accounting_date from control.voucher_register"
        " where voucher_id = any(%s) order by voucher_id"
    )
    into = {name: booked[f"{name} moved_in"] for name in ("small", "large")}
    builds.payment(settings, next_date)
    landing.land(settings, through_date=OPEN)
    assert query(settings, stands, list(into.values())) == []  # stated, and not paid
    with database.connect(settings) as connection:
        day_states.set_state(connection, OPEN, "sealed")
        day_states.seal(connection, OPEN, "wechat", next_date)
    landing.land(settings, through_date=OPEN)
    landing.land(settings, through_date=OPEN)
    rest = dict(
        query(
            settings,
            "select account_id, sum(carried_forward_amount_minor - held_amount_minor)::bigint"
            " from settlement.settlement_statements where payment_date = %s group by account_id",
            next_date,
        )
    )
    owing = {name: rest[world.vouchers[name]["account_id"]] for name in into}
    assert owing["large"] < 0 <= owing["small"], owing
    assert query(settings, stands, list(into.values())) == [(into["small"], next_date)]
    # The database lets nobody land the other one either.
    ((file_id,),) = query(
        settings,
        "select file_id from control.voucher_register where voucher_id = %s",
        into["small"],
    )
    with database.connect(settings) as connection:
        connection.execute(
            "insert into control.voucher_register select (jsonb_populate_record(register,"
            " jsonb_build_object('voucher_id', %s::text, 'accounting_date', %s::date))).*"
            " from control.voucher_register as register where voucher_id = %s",
            [into["large"], next_date, into["small"]],
        )
        with pytest.raises(psycopg.errors.RestrictViolation, match="its charge is not covered"):
            connection.execute(
                "select control.note_booked(max(request_id), %s, %s)"
                " from control.restatement_bookings where correcting_voucher_id = %s",
                [file_id, next_date, into["large"]],
            )
        connection.rollback()
    # What moved in is held: the channel's record met the sale of who had it.
    landing.land(settings, through_date=next_date)
    builds.close(settings, next_date)
    items = query(
        settings,
        "select status from reconciliation.suspense_items"
        " where accounting_date = %s and suspense_item_id = %s",
        next_date,
        f"S:{into['small']}",
    )
    assert items
    assert items[0][0] in {"in_doubt", "one_sided"}
    row = world.entries(next_date)[into["small"]]
    amount = int(world.vouchers["small"]["amount_minor"])
    assert row[:3] == ("purchase", moved(world, "small")["account_id"], amount)


def test_a_positive_return_that_nobody_approved_is_refused(world: World) -> None:
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="nobody approved"),
        database.connect(world.settings.acting_as("ingest")) as connection,
    ):
        connection.execute(
            "insert into control.voucher_register select (jsonb_populate_record(register,"
            " jsonb_build_object('voucher_id', 'FORGED', 'accounting_date', %s::date,"
            " 'amount_minor', 5000))).* from control.voucher_register as register"
            " where voucher_id = %s",
            [OPEN + timedelta(days=2), world.id("late")],
        )


def test_what_a_correction_takes_back_again_is_booked_back(world: World) -> None:
    """The platform puts its first file's refund back: what was given for it is taken again."""
    world.write(set(), [world.vouchers["gone"]])
    found = world.restate()
    assert of(found, "gone") == [("return_more", -100, None)]
    late = world.vouchers["late"]
    world.write({late["voucher_id"]}, [{**late, "amount_minor": "-60"}])
    assert of(world.restate(), "late") == [("return_less", 20, None)]
    # One that had come late and is gone again is given back too.
    world.write({late["voucher_id"]}, [])
    # A sale that moved goes back: who has it now is charged first, if they have got it.
    moved_back = [world.vouchers[name] for name in ("small", "large")]
    world.write({row["voucher_id"] for row in moved_back}, moved_back)
    found = world.restate()
    assert of(found, "late") == [("return_less", 80, None)]
    amount = int(world.vouchers["small"]["amount_minor"])
    assert sorted(of(found, "small")) == [
        ("moved_in", amount, None),
        ("withdrawn", -amount, None),
    ]
    waits = "an approved correction of it has not been cleared yet"
    assert of(found, "large") == [("by_people", 0, waits)] * 2
    request = world.book()
    landing.land(world.settings, through_date=SEALED)
    landed = {
        one.kind: one.booked_on is not None
        for one in restatements.bookings(world.settings)
        if one.request_id == request and one.voucher_id == world.id("small")
    }
    assert landed == {"moved_in": False, "withdrawn": True}
