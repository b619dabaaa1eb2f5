"""The SQL against the oracle: random weeks, closed as channels of one database, row by row.

`pytest tests/integration/test_oracle.py --worlds 1000 --world-seed 7` closes more and others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

import closed_worlds
import oracle
import oracle_holds
import prepared_homes
import worlds
from closed_worlds import COMPARED, ClosedWorlds
from tieout import database
from worlds import Adjustment, Merchant, World

VARIANTS = 20  # worlds that come a second time, shuffled, and a third, with one more pair
SHOWN = 5
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def closed(
    request: pytest.FixtureRequest,
    prepared_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ClosedWorlds]:
    """The worlds and their variants, closed and paid in a database of their own."""
    count, seed = request.config.getoption("worlds"), request.config.getoption("world_seed")
    drawn = worlds.generated(count, seed)
    named = {f"w{number:03d}": world for number, world in enumerate(drawn)}
    calm = [name for name, world in named.items() if not worlds.has_ties(world)]
    named |= {f"{name}s": worlds.shuffled(named[name], seed=1) for name in calm[:VARIANTS]}
    named |= {f"{name}p": worlds.with_matched_pair(named[name]) for name in list(named)[:VARIANTS]}
    named |= {"mended": paid_in_part_before_it_ended()}
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("worlds") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        yield closed_worlds.close(settings, named)
    finally:
        database.stop_server(settings)


def paid_in_part_before_it_ended() -> World:
    """Held over a payment date, then linked with more, then mended, before the next one."""
    plain = worlds.with_matched_pair(
        World(
            format="unionpay",
            rules=worlds.RULES["unionpay"][0],
            currencies=("CNY",),
            platform_cutoff_minutes=1320,
            cutoff_minutes=1320,
            skew_minutes=0,
            doubt_period_closes=1,
            arrival_calendar="working_day",
            arrival_lag_days=2,
            voided_pairs="both",
            merchants=(Merchant("net", "return", "0.006", 0, None, None),) * 2,
            vouchers=(),
            records=(),
            adjustments=(),
            brand_fees=(),
            actions=(),
        )
    )
    (sale,), (record,) = plain.vouchers, plain.records
    less = Adjustment("a1", 6, "credit_adjustment", 0, "CNY", -7, 0, record.references)
    return replace(
        plain,
        vouchers=(replace(sale, ref="v1", day=4, at=sale.at + timedelta(days=2)),),
        records=(
            replace(
                record,
                ref="c1",
                day=5,
                at=sale.at + timedelta(days=2),
                amount_minor=sale.amount_minor + 7,
            ),
        ),
        adjustments=(less,),
    )


def variants(closed: ClosedWorlds, suffix: str) -> list[tuple[str, str]]:
    """The names of worlds and of their variants."""
    found = [(name.removesuffix(suffix), name) for name in closed.named if name.endswith(suffix)]
    assert len(found) >= min(VARIANTS, len(closed.named) // 10)
    return found


def test_worlds_hold_every_feature(closed: ClosedWorlds) -> None:
    """Agreement means something only where something happens."""
    assert closed_worlds.EVERY_FEATURE - set(closed_worlds.features(closed)) == set()


@pytest.mark.parametrize("table", COMPARED)
def test_sql_agrees_with_the_oracle(closed: ClosedWorlds, table: str) -> None:
    assert sum(counted.total() for counted in closed.by_sql[table].values()) > len(closed.named)
    by_size = sorted(closed.named, key=lambda name: closed.named[name].size)
    found = [text for name in by_size if (text := closed.differences(name, of=[table]))]
    assert not found, f"{len(found)} of {len(closed.named)} worlds differ\n" + "\n".join(
        found[:SHOWN]
    )


def test_each_decision_is_applied_or_says_why_not(closed: ClosedWorlds) -> None:
    decided = {
        action.action_id: action.effective_on
        for action in closed.source.actions
        if action.is_approved and action.kind != "assign"
    }
    applied = {
        action_id
        for closes in closed.closes.values()
        for close in closes
        for action_id in close.applied_action_ids
    }
    by_sql = {
        row["action_id"]: (row["accounting_date"], row["is_applied"])
        for row in closed.sql_rows["actions"]
        if row["action_id"] in decided
    }
    expected = {found: (day, found in applied) for found, day in decided.items()}
    differ = {found for found in expected if by_sql.get(found) != expected[found]}
    assert by_sql == expected, [row for row in closed.source.actions if row.action_id in differ]
    assert {row["action_id"] for row in closed.sql_rows["actions"] if row["is_applied"]} == applied


def test_each_residual_is_what_the_bank_got_wrong(closed: ClosedWorlds) -> None:
    """Said by the worlds, not by the oracle: 0, or the one unit that was added."""
    found = {
        name: [
            row["residual_minor"]
            for row in closed.sql_rows["equations"]
            if row["residual_minor"] and row["channel"] == name
        ]
        for name in closed.named
    }
    expected = {
        name: [world.wrong_arrival[1]] if world.wrong_arrival else []
        for name, world in closed.named.items()
    }
    assert found == expected
    assert any(expected.values())


def test_a_wrong_arrival_fails_no_build_but_shows(closed: ClosedWorlds) -> None:
    """Each group has exactly one row, also one that nothing arrived for."""
    groups = Counter(
        (row["channel"], row["currency_code"], row["arrival_date"])
        for row in closed.sql_rows["equations"]
    )
    assert set(groups.values()) == {1}
    expected = {(row.channel, row.currency_code, row.arrival_date) for row in closed.equations}
    assert set(groups) == expected


def test_no_record_is_matched_twice(closed: ClosedWorlds) -> None:
    paired: Counter[tuple[str, str]] = Counter()
    opened: Counter[tuple[str, str]] = Counter()
    for row in closed.sql_rows["results"]:
        both = row["system_transaction_id"] and row["channel_record_id"]
        by_hand = row["outcome"].endswith("_resolved") and row["linked_result_id"]
        for side in ("system_transaction_id", "channel_record_id"):
            if row[side] is None:
                continue
            if row["outcome"].endswith(("_in_doubt", "_one_sided")):
                opened[side, row[side]] += 1
            elif not by_hand or row["outcome"].startswith(side.split("_", maxsplit=1)[0]):
                assert both or by_hand, row
                paired[side, row[side]] += 1
    assert paired
    assert opened
    assert {found for found, times in paired.items() if times > 1} == set()
    assert {found for found, times in opened.items() if times > 1} == set()


def test_each_record_is_matched_or_opened(closed: ClosedWorlds) -> None:
    """Per channel, date and side: matched + resolved by it + opened = what came in."""
    expected: Counter[tuple[object, ...]] = Counter()
    for name, closes in closed.closes.items():
        for close in closes:
            expected[name, close.accounting_date, "system"] += len(close.system)
            expected[name, close.accounting_date, "channel"] += len(close.from_channel)
    found: Counter[tuple[object, ...]] = Counter()
    for row in closed.sql_rows["results"]:
        place = (row["channel"], row["accounting_date"])
        outcome = row["outcome"]
        if outcome == "matched":
            found[*place, "system"] += 1
            found[*place, "channel"] += 1
        elif outcome.endswith("_resolved"):
            if row["linked_result_id"] is None:
                # The item was counted when it opened; the record that ended it came today.
                found[*place, "channel" if outcome.startswith("system") else "system"] += 1
        else:
            found[*place, outcome.split("_", maxsplit=1)[0]] += 1
    assert +found == +expected


@pytest.mark.parametrize("table", COMPARED)
def test_the_order_of_lines_and_files_does_not_matter(closed: ClosedWorlds, table: str) -> None:
    for name, shuffled in variants(closed, "s"):
        plain, other = closed.by_content(table, name), closed.by_content(table, shuffled)
        assert plain == other, f"{name} and {shuffled}\n{closed.named[name]}"


@pytest.mark.parametrize("table", ["results", "items", "roll_forwards"])
def test_one_more_pair_changes_nothing_else(closed: ClosedWorlds, table: str) -> None:
    for name, more in variants(closed, "p"):
        plain, other = closed.by_content(table, name), closed.by_content(table, more)
        assert plain == other, f"{name} and {more}\n{closed.named[name]}"
        added = [
            row
            for row in closed.sql_rows["results"]
            if row["system_transaction_id"] == f"{more}-v_extra"
        ]
        assert [row["outcome"] for row in added] == ["matched"]


def test_channels_know_nothing_of_one_another(closed: ClosedWorlds) -> None:
    """All worlds use the same references; no row names records of two of them."""
    owner = {
        source_id: name for name, ids in closed.rendered.ids.items() for source_id in ids.values()
    }
    for row in closed.sql_rows["results"]:
        for side in ("system_transaction_id", "channel_record_id"):
            assert row[side] is None or owner[row[side]] == row["channel"], row


def test_roll_forward_of_the_sql_adds_up(closed: ClosedWorlds) -> None:
    """From one date to the next, too, and without the oracle."""
    closing: dict[tuple[str, str, str], tuple[int, int]] = {}
    rows = sorted(closed.sql_rows["roll_forwards"], key=lambda row: row["accounting_date"])
    assert rows
    for row in rows:
        place = (row["channel"], row["side"], row["currency_code"])
        opening = (row["opening_count"], row["opening_amount_minor"])
        assert opening == closing.get(place, (0, 0)), row
        ended = ("resolved", "adjusted", "written_off")
        closing[place] = (
            opening[0] + row["opened_count"] - sum(row[f"{step}_count"] for step in ended),
            opening[1]
            + row["opened_amount_minor"]
            - sum(row[f"{step}_amount_minor"] for step in ended),
        )
        assert closing[place] == (row["closing_count"], row["closing_amount_minor"]), row


def test_oracle_reads_what_landed(closed: ClosedWorlds) -> None:
    """The database gave every row of the worlds back: nothing was compared with nothing."""
    source = closed.source
    assert len(source.channels) == len(closed.named)
    assert len(source.vouchers) == sum(len(world.vouchers) for world in closed.named.values())
    assert len(source.records) == sum(len(world.records) for world in closed.named.values())
    again = oracle.landed({**worlds.common_tables(), **closed.rendered.tables})
    by_id = {voucher.voucher_id: voucher for voucher in source.vouchers}
    assert by_id == {voucher.voucher_id: voucher for voucher in again.vouchers}


# --- what is held until its money arrives -------------------------------------------------------

# The columns of settlement.holds by what the oracle calls them.
HOLD_COLUMNS = {
    "payment_date": "payment_date",
    "entry_id": "entry_id",
    "account_id": "account_id",
    "channel": "channel",
    "currency_code": "currency_code",
    "accounting_date": "accounting_date",
    "stated_on": "stated_on",
    "cleared": "cleared_amount_minor",
    "deducted_fee": "deducted_fee_amount_minor",
    "reason": "reason",
    "opening": "opening_amount_minor",
    "closing": "closing_amount_minor",
    "closing_gross": "closing_gross_amount_minor",
    "closing_fee": "closing_fee_amount_minor",
    "lowered": "lowered_amount_minor",
    "ended_gross": "ended_gross_amount_minor",
    "end_kind": "end_kind",
}
EVERY_HOLD = {
    *(
        f"held {reason}"
        for reason in (
            "in_doubt",
            "one_sided",
            "amount_mismatch",
            "currency_mismatch",
            "direction_mismatch",
            "merchant_mismatch",
            "duplicate",
            "no_reference",
            "written_off",
            "arrival_unconfirmed",
            "refused_voucher",
        )
    ),
    *(f"ended {kind}" for kind in ("arrived", "recovered", "charge_merchant", "offset")),
    *(f"ended before it was stated {kind}" for kind in ("recovered", "charge_merchant", "offset")),
    "lowered by a return",
    "part of a sale",
    "part of a refund",
    "with a part of the fee",
    "without a fee",
}
Place = tuple[date, str, str]


def kinds_of_holds(closed: ClosedWorlds) -> set[str]:
    """What happens to holds in the worlds, by the oracle."""
    found = set()
    for row in closed.holds:
        if row.closing_gross:
            found |= {f"held {row.reason}", "with a part of the fee" if row.closing_fee else ""}
            found.add("" if row.deducted_fee else "without a fee")
            found.add("part of a sale" if row.closing_gross < row.cleared else "")
            found.add("part of a refund" if row.cleared < 0 else "")
        if row.end_kind:
            was_stated = row.opening or row.end_kind == "arrived"
            found.add(f"ended {'' if was_stated else 'before it was stated '}{row.end_kind}")
        found.add("lowered by a return" if row.lowered else "")
    return found


def test_worlds_hold_back_for_every_reason(closed: ClosedWorlds) -> None:
    assert EVERY_HOLD - kinds_of_holds(closed) == set()


def test_sql_holds_what_the_oracle_holds(closed: ClosedWorlds) -> None:
    """Every row that opened, holds or ended with something, in all of its amounts."""
    expected = {
        row.key: {column: asdict(row)[name] for name, column in HOLD_COLUMNS.items()}
        for row in closed.holds
    }
    found = {
        (row["payment_date"], row["entry_id"]): {
            column: row[column] for column in HOLD_COLUMNS.values()
        }
        for row in closed.sql_rows["holds"]
        if row["opening_amount_minor"]
        or row["closing_gross_amount_minor"]
        or row["lowered_amount_minor"]
        or row["ended_gross_amount_minor"]
    }
    differ = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    names = {key: (expected.get(key) or found[key])["channel"] for key in differ}
    differ.sort(key=lambda key: (closed.named[names[key]].size, key))
    assert not differ, f"{len(differ)} holds differ\n" + "\n".join(
        f"--- {key}\noracle {expected.get(key)}\nSQL    {found.get(key)}\n"
        f"world {names[key]} {closed.named[names[key]]}"
        for key in differ[:SHOWN]
    )


def held_by_place(closed: ClosedWorlds) -> Counter[Place]:
    """The oracle's sum per payment date, account and currency; worlds have one session."""
    found: Counter[Place] = Counter()
    for row in closed.holds:
        found[row.payment_date, row.account_id, row.currency_code] += row.closing
    return found


def place_of(row: closed_worlds.Row) -> Place:
    assert (row["settlement_session_type"], row["settlement_session_no"]) == ("transaction", 1)
    return row["payment_date"], row["account_id"], row["currency_code"]


def test_statements_show_what_is_held_and_what_is_stated(closed: ClosedWorlds) -> None:
    statements = closed.sql_rows["statements"]
    found = {place_of(row): row["held_amount_minor"] for row in statements}
    assert len(found) == len(statements)
    assert +Counter(found) == +held_by_place(closed)
    stated = {place_of(row): row["settlement_amount_minor"] for row in statements}
    expected = oracle_holds.settled(closed.source, closed.closes, closed.equations)
    assert {place: amount for place, amount in stated.items() if amount} == {
        place: amount for place, amount in expected.items() if amount
    }


def test_what_is_carried_and_not_held_is_backed(closed: ClosedWorlds) -> None:
    """Nobody is paid here, having no payee; what could be paid never exceeds what is backed."""
    held = held_by_place(closed)
    backed = {place_of(row): row for row in closed.sql_rows["backed"]}
    differ = []
    for statement in closed.sql_rows["statements"]:
        place = place_of(statement)
        closing = statement["carried_forward_amount_minor"] - held[place]
        row = backed.pop(place, None)
        of_sql = 0 if row is None else row["closing_amount_minor"]
        before = of_sql + statement["payout_amount_minor"]
        limit = max(0, before - statement["frozen_amount_minor"])
        could_be_paid = max(0, statement["available_amount_minor"])
        if closing != of_sql or statement["payout_amount_minor"] > limit or could_be_paid > limit:
            differ.append((place, closing, row, statement))
    assert differ == []
    assert {place for place, row in backed.items() if row["closing_amount_minor"]} == set()


def test_the_gate_sees_that_everything_is_backed(closed: ClosedWorlds) -> None:
    """And of the groups it refuses just those whose money the bank got wrong."""
    rows = closed.sql_rows["gate_checks"]
    expected = {
        f"{row.channel}-{row.arrival_date:%Y%m%d}-{row.currency_code}": not row.residual
        for row in closed.equations
    }
    groups = {
        row["subject"]: row["holds"]
        for row in rows
        if row["check_name"] == "payout_backed_by_arrival" and row["subject"] in expected
    }
    assert groups == expected
    assert list(groups.values()).count(False) == sum(
        world.wrong_arrival is not None for world in closed.named.values()
    )
    others = [row for row in rows if row["subject"] not in expected]
    subjects = {(row["payment_date"], row["check_name"], row["subject"]) for row in others}
    assert subjects == {
        (payment_date, check, subject)
        for payment_date in closed_worlds.payment_dates_from(closed.first)
        for currency in ("CNY", "USD")
        for check, subject in (
            ("payout_backed_by_arrival", f"{currency} accounts"),
            ("payout_backed_by_arrival", f"{currency} lines"),
            ("holds_rollforward_exact", currency),
        )
    }
    assert [row for row in others if not row["holds"]] == []
