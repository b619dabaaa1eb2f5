"""Open items in people's hands: decisions of two people take effect in a close, and only so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tieout import database
from tieout.core.settings import Settings
from tieout.decisions import suspense
from tieout.decisions.suspense import ItemFilter, OpenItem, SuspenseError

from .conftest import served_home, tieout
from .test_end_to_end import query

pytestmark = pytest.mark.timeout(900)

CLOSED = date(2026, 9, 26)
NEXT = date(2026, 9, 27)
WHY = {"by": "Wang Fang", "reason": "the channel confirmed it by mail"}


@pytest.fixture(scope="module")
def desk(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home with three dates closed and the fourth one's files in the inbox."""
    home = tmp_path_factory.mktemp("desk") / "home"
    with served_home(prepared_home, home) as settings:
        done = tieout(home, "simulate", "--transactions", "120", "--merchants", "10")
        assert done.returncode == 0, done.stderr
        done = tieout(home, "close", "2026-09-24", "--to", CLOSED.isoformat())
        assert done.returncode == 0, done.stderr
        yield settings


def one_sided(settings: Settings, side: str) -> list[OpenItem]:
    """Return the one-sided items of a side that have no decision and no link yet.

    Those of UnionPay may be ended by its adjustments of the next date.
    """
    found = suspense.open_items(settings, ItemFilter(side=side, status="one_sided"))
    return [
        item
        for item in found
        if item.action_id is None and item.linked_item_id is None and item.channel != "unionpay"
    ]


def state_of(settings: Settings, item_id: str, day: date) -> dict[str, Any]:
    history = suspense.item_history(settings, item_id)
    return dict(next(row for row in history if row["accounting_date"] == day))


def test_the_list_is_what_is_open(desk: Settings) -> None:
    items = suspense.open_items(desk)
    counted = query(
        desk,
        "select count(*) from reconciliation.suspense_items where accounting_date = '2026-09-26'"
        " and status in ('in_doubt', 'one_sided')",
    )
    assert items
    assert len(items) == counted[0][0]
    assert all(item.suggested_action != "none" and item.suggestion_rule for item in items)
    older = suspense.open_items(desk, ItemFilter(age_days_min=1))
    assert 0 < len(older) < len(items)
    assert all(item.age_days >= 1 for item in older)


def test_one_person_is_not_enough(desk: Settings) -> None:
    item = one_sided(desk, "channel")[-1]
    action_id = suspense.request(desk, "write_off", item.suspense_item_id, **WHY)
    with pytest.raises(SuspenseError, match="another person has to approve"):
        suspense.approve(desk, action_id, by=" wang fang ")
    with pytest.raises(SuspenseError, match="has a decision for 2026-09-27 already"):
        suspense.request(desk, "write_off", item.suspense_item_id, **WHY)
    with pytest.raises(SuspenseError, match="no decision 999"):
        suspense.approve(desk, 999, by="Li Na")


def test_a_closed_date_takes_no_decision(desk: Settings) -> None:
    item = one_sided(desk, "system")[-1]
    with pytest.raises(SuspenseError, match="2026-09-26 is closed"):
        suspense.request(desk, "write_off", item.suspense_item_id, **WHY, effective_on=CLOSED)
    with pytest.raises(SuspenseError, match="there is no item S:nobody"):
        suspense.request(desk, "write_off", "S:nobody", **WHY)
    other = one_sided(desk, "channel")[0]
    with pytest.raises(SuspenseError, match="do not fit"):
        suspense.request(
            desk, "offset", item.suspense_item_id, **WHY, second_item_id=other.suspense_item_id
        )


def test_what_the_platform_booked_is_charged_to_its_own_account(desk: Settings) -> None:
    item = one_sided(desk, "system")[-1]
    assert item.account_id
    others = query(
        desk,
        "select min(account_id) from clearing.contract_terms where is_in_force"
        f" and account_id <> '{item.account_id}'",
    )
    with pytest.raises(SuspenseError, match=f"booked {item.suspense_item_id} for account"):
        suspense.request(desk, "adjust", item.suspense_item_id, **WHY, account_id=str(others[0][0]))


def test_decisions_take_effect_in_the_close_of_their_date(desk: Settings) -> None:
    """A write-off on either side, a charge to a merchant; an assignment; one without approval."""
    system, channel = one_sided(desk, "system"), one_sided(desk, "channel")
    assert len(system) >= 2, "the sample has too few one-sided items for this test"
    assert len(channel) >= 2, "the sample has too few one-sided items for this test"
    charged, lost = system[0], system[1]
    gained = channel[0]
    waiting = next(
        found.suspense_item_id for found in suspense.decisions(desk) if found.approved_by is None
    )
    account = charged.account_id
    assert account
    suspense.assign(desk, gained.suspense_item_id, to="Zhao Lei", **WHY)
    for kind, item, account_id in (
        ("adjust", charged, account),
        ("write_off", lost, None),
        ("write_off", gained, None),
    ):
        action_id = suspense.request(
            desk,
            kind,  # type: ignore[arg-type]
            item.suspense_item_id,
            **WHY,
            account_id=account_id,
        )
        suspense.approve(desk, action_id, by="Li Na")
    mine = suspense.open_items(desk, ItemFilter(assigned_to="Zhao Lei"))
    assert [(item.suspense_item_id, item.is_approved) for item in mine] == [
        (gained.suspense_item_id, True)
    ]

    done = tieout(desk.home, "close", NEXT.isoformat())

    assert done.returncode == 0, done.stderr
    ended = state_of(desk, charged.suspense_item_id, NEXT)
    assert (ended["status"], ended["resolution_method"]) == ("adjusted", "manual_adjustment")
    assert ended["approvers"] == "Wang Fang, Li Na"
    for item in (lost, gained):
        ended = state_of(desk, item.suspense_item_id, NEXT)
        assert (ended["status"], ended["resolution_method"]) == ("written_off", "write_off")
    assert state_of(desk, waiting, NEXT)["status"] == "one_sided", "nobody approved it"
    applied = [found for found in suspense.decisions(desk) if found.approved_by is not None]
    assert [found.is_applied for found in applied] == [True, True, True]
    counts = query(
        desk,
        "select sum(adjusted_count), sum(written_off_count)"
        " from reconciliation.suspense_rollforward where accounting_date = '2026-09-27'",
    )
    assert counts[0][1] == 2
    assert counts[0][0] >= 1
    entries = query(
        desk,
        "select event_type, direction, ledger_account, amount_minor from ledger.journal_entries"
        " where event_type in ('write_off', 'manual_adjustment') order by 1, 2, 4",
    )
    assert ("manual_adjustment", "debit", "merchant_payable", charged.amount_minor) in entries
    assert ("write_off", "debit", "write_offs", lost.amount_minor) in entries
    assert ("write_off", "credit", "write_offs", gained.amount_minor) in entries
    # With the sale, the fee that was deducted for it goes back.
    cleared = query(
        desk,
        "select account_id, transaction_amount_minor, clearing_amount_minor"
        " from clearing.clearing_entries where transaction_type = 'manual_adjustment'",
    )
    sold = dict(
        query(desk, "select source_id, clearing_amount_minor from clearing.clearing_entries")
    )
    assert cleared == [(account, -charged.amount_minor, -sold[charged.source_id])]


def test_what_was_decided_cannot_be_changed(desk: Settings) -> None:
    for statement in (
        "update reconciliation.actions set reason = 'another'",
        "delete from reconciliation.action_approvals",
        "truncate reconciliation.action_items",
    ):
        with database.connect(desk) as connection, pytest.raises(psycopg.Error):
            connection.execute(statement)


def test_the_command_line_lists_and_shows(desk: Settings) -> None:
    listed = tieout(desk.home, "suspense", "list", "--side", "channel")
    assert listed.returncode == 0, listed.stderr
    item = suspense.open_items(desk, ItemFilter(side="channel"))[0]
    assert item.suspense_item_id in listed.stdout
    assert "next:" in listed.stderr
    shown = tieout(desk.home, "suspense", "show", item.suspense_item_id)
    assert shown.returncode == 0, shown.stderr
    assert item.file_id in shown.stdout
    status = tieout(desk.home, "status", NEXT.isoformat())
    assert "对平率" in status.stdout
    refused = tieout(
        *(desk.home, "suspense", "write-off", "S:nobody", "--by", "Li Na", "--reason", "x")
    )
    assert refused.returncode == 1
    assert "there is no item S:nobody" in refused.stderr
