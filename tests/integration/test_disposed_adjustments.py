"""What two people make of a suspended adjustment, and of a hold whose item was written off.

Each example is a channel of its own with its merchants, closed and paid date by date in one
database, as production does it: Thursday to Sunday are closed and paid on Monday; then people
decide, with effect on Monday, which is paid on Tuesday. Every number was worked out with pencil.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

import builds
import closed_worlds
import prepared_homes
import worlds
from tieout import database
from tieout.core.settings import Settings
from tieout.decisions import suspense
from tieout.decisions.suspense import SuspenseError
from worlds import Action, Adjustment

from .conftest import tieout
from .test_holds import (
    FRI,
    GROSS,
    MON,
    NET,
    NEVER,
    PAID_MON,
    PAID_TUE,
    PAID_WED,
    SAT,
    THU,
    TUE,
    Example,
    rows,
)

pytestmark = pytest.mark.slow

WHY = {"by": "Wang Fang", "reason": "the channel confirmed it by mail"}
DAYS = [worlds.FIRST_DATE + timedelta(days=day) for day in range(worlds.DAYS)]
NEXT = DAYS[MON]


def adjusted(
    ref: str,
    kind: str,
    effect: int,
    *,
    of: str = "old",
    day: int = THU,
    fees: int = 0,
    to: Example | None = None,
) -> Example:
    """Add a record of the channel about the sale ``of``; no sale of ours has the key of ``old``."""
    example = to or Example(format="unionpay").sale("s1", 10_000, THU)
    original = {**dict(example._references(of, "purchase")), "terminal_id": "T"}
    example.adjustments.append(
        Adjustment(ref, day, kind, 0, "CNY", effect, fees, tuple(original.items()))
    )
    return example


def tied(name: str, effect: int) -> Example:
    """A sale in no file, and an adjustment that brings money under another key."""
    example = Example(format="unionpay").sale("s1", 10_000, THU)
    example.sale("s2", 5_000, THU, record_day=NEVER)
    return adjusted(f"a{name}", "debit_adjustment", effect, day=FRI, to=example)


def beyond() -> Example:
    """A sale that was refunded whole, and then charged back: the charge goes beyond the sale."""
    example = Example(format="unionpay").sale("s1", 10_000, THU).sale("s2", 40_000, THU)
    example.take_back("f1", "s1", 10_000, FRI)
    return adjusted("a5", "first_chargeback", -10_000, of="s1", day=SAT, to=example)


def within() -> Example:
    """Part of a sale is charged by people; a refund on Tuesday would go beyond what is left."""
    example = adjusted("a6", "credit_adjustment", -4_000, of="s1")
    return example.take_back("f1", "s1", 7_000, TUE)


def written_off(example: Example, item: str) -> Example:
    example.actions.append(Action("write_off", item, None, SAT, is_approved=True))
    return example


EXAMPLES: dict[str, Example] = {
    "charged": adjusted("a1", "first_chargeback", -3_000, fees=-15),
    "credited": adjusted("a2", "representment", 800),
    "absorbed": adjusted(
        "a4", "exceptional_credit", 500, to=adjusted("a3", "issuer_claim", -2_000)
    ),
    "tied": tied("7", 5_000),
    "refused": tied("8", 4_000),
    "beyond": beyond(),
    "within": within(),
    "single": adjusted("a9", "first_chargeback", -700),
    "net": written_off(
        Example(merchants=(NET, NET)).sale("s1", 10_000, THU).sale("s2", 5_000, THU, record_day=-1),
        "s2v",
    ),
    "gross": written_off(
        Example(merchants=(GROSS,)).sale("s1", 10_000, THU).sale("s2", 5_000, THU, record_day=-1),
        "s2v",
    ),
    "mismatch": written_off(
        Example().sale("s1", 439_629, THU, record_amount=39_629).sale("s2", 1_000, THU), "s1v"
    ),
    "lowered": written_off(
        Example()
        .sale("s1", 10_000, THU, record_day=NEVER)
        .take_back("f1", "s1", 3_000, THU, record_day=NEVER),
        "s1v",
    ),
    "taken": written_off(
        Example()
        .sale("s1", 10_000, THU)
        .sale("s2", 20_000, THU)
        .take_back("cf", "s1", 12_000, FRI),
        "cfr",
    ),
    "plain": written_off(Example().sale("s2", 5_000, THU, record_day=NEVER), "s2v"),
}

# example -> (settlement, adjustment, held, available), on Monday and on Tuesday
EXPECTED: dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    # 100.00 less 0.60 is there; 30.00 of it are charged.
    "charged": ((9_940, 0, 0, 9_940), (0, -3_000, 0, 6_940)),
    "credited": ((9_940, 0, 0, 9_940), (0, 800, 0, 10_740)),
    "absorbed": ((9_940, 0, 0, 9_940), (0, 0, 0, 9_940)),
    # The sale in no file has its money after all: 49.70 more.
    "tied": ((14_910, 0, 4_970, 9_940), (0, 0, 0, 14_910)),
    "refused": ((14_910, 0, 4_970, 9_940), (0, 0, 4_970, 9_940)),
    # Another 100.00 by name; no fee goes back, since all of it went back with the refund.
    "beyond": ((39_760, 0, 0, 39_760), (0, -10_000, 0, 29_760)),
    # 40.00 of a sale of 100.00 with 0.60 fee: 0.24 go back.
    "within": ((9_940, 0, 0, 9_940), (0, -3_976, 0, 5_964)),
    "single": ((9_940, 0, 0, 9_940), (0, 0, 0, 9_940)),
    "net": ((14_910, 0, 4_970, 9_940), (0, -4_970, 0, 9_940)),
    "gross": ((15_000, 0, 5_000, 10_000), (0, -5_000, 0, 10_000)),
    # 396.29 of 4,396.29 are there; the fee of the other 4,000.00 is 24.00.
    "mismatch": ((437_985, 0, 397_600, 40_385), (0, -397_600, 0, 40_385)),
    # The refund in no file took 29.82 of the 99.40 already.
    "lowered": ((6_958, 0, 6_958, 0), (0, -6_958, 0, 0)),
    # The channel took 120.00 back under a voucher that goes beyond its sale: held, then charged.
    "taken": ((29_820, 0, 12_000, 17_820), (0, -12_000, 0, 17_820)),
    "plain": ((4_970, 0, 4_970, 0), (0, 0, 4_970, 0)),
}


@pytest.fixture(scope="module")
def opened(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """All examples, closed up to Sunday and paid on Monday, before anybody decides."""
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("disposed") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        named = {name: example.world() for name, example in EXAMPLES.items()}
        with database.connect(settings) as connection:
            closed_worlds.load(connection, worlds.tables(named))
            connection.execute("delete from reference.bank_accounts where currency_code = 'USD'")
            # The worlds number their actions themselves.
            connection.execute(
                "alter table reconciliation.actions alter column action_id restart with 1000"
            )
        for day in DAYS[:MON]:
            close(settings, day)
        builds.payment(settings, PAID_MON)
        yield settings
    finally:
        database.stop_server(settings)


@pytest.fixture(scope="module")
def refusals(opened: Settings) -> dict[str, str]:
    """What is said of each decision that cannot be made now, before anything is decided."""
    charged = adjustment_of(opened, "charged")
    tied_item, other = "S:tied-s2v", "S:refused-s2v"
    asked: dict[str, tuple[str, str, dict[str, Any]]] = {
        "unknown": ("absorb", "A:nobody:1", {}),
        "account": ("charge", charged, {"account_id": "A-nobody"}),
        "item": ("tie", charged, {"item_id": "S:nobody"}),
        "channel": ("tie", charged, {"item_id": tied_item}),
        "amount": ("tie", adjustment_of(opened, "refused"), {"item_id": other}),
        "closed": ("absorb", charged, {"effective_on": DAYS[THU]}),
    }
    found = {}
    for name, (kind, subject, more) in asked.items():
        with pytest.raises(SuspenseError) as raised:
            suspense.dispose(opened, kind, subject, **WHY, **more)  # type: ignore[arg-type]
        found[name] = str(raised.value)
    for name, item, account in (
        ("other account", "S:net-s2v", "netA1"),
        ("no hold", "S:net-s1v", "netA0"),
    ):
        with pytest.raises(SuspenseError) as raised:
            suspense.request(opened, "adjust", item, **WHY, account_id=account)
        found[name] = str(raised.value)
    return found


@pytest.fixture(scope="module")
def decided(opened: Settings, refusals: dict[str, str]) -> Settings:
    """The same after people decided on Monday, closed and paid up to Wednesday."""
    for name, kind, more in (
        ("charged", "charge", {"account_id": "chargedA0"}),
        ("credited", "charge", {"account_id": "creditedA0"}),
        ("tied", "tie", {"item_id": "S:tied-s2v"}),
        ("beyond", "charge", {"account_id": "beyondA0"}),
        ("within", "charge", {"account_id": "withinA0"}),
    ):
        approved(opened, dispose(opened, kind, adjustment_of(opened, name), **more))
    for effect in (-2_000, 500):
        approved(opened, dispose(opened, "absorb", adjustment_of(opened, "absorbed", effect)))
    dispose(opened, "absorb", adjustment_of(opened, "single"))
    # What the program refuses at once, the close refuses as well.
    insert(opened, "tie", adjustment_of(opened, "refused"), second="S:refused-s2v")
    for name, item in (("net", "s2v"), ("gross", "s2v"), ("mismatch", "s1v"), ("lowered", "s1v")):
        approved(
            opened,
            suspense.request(opened, "adjust", f"S:{name}-{item}", **WHY, account_id=f"{name}A0"),
        )
    taken = suspense.request(opened, "adjust", taken_item(opened), **WHY, account_id="takenA0")
    approved(opened, taken)
    close(opened, NEXT)
    # Again, before the statement that ends the hold: refused.
    insert(opened, "adjust", "S:net-s2v", account="netA0", on=DAYS[TUE])
    builds.payment(opened, PAID_TUE)
    close(opened, DAYS[TUE])
    builds.payment(opened, PAID_WED)
    return opened


def taken_item(settings: Settings) -> str:
    """Return the item of what the channel took back under the voucher that is refused."""
    return str(
        rows(
            settings,
            "select suspense_item_id from reconciliation.suspense_items"
            " where channel = 'taken' and status = 'written_off'",
        )[0][0]
    )


def close(settings: Settings, day: date) -> None:
    builds.close(settings, day)
    with database.connect(settings) as connection:
        connection.execute(
            "update control.accounting_days set state = 'closed' where accounting_date = %s", [day]
        )


def adjustment_of(settings: Settings, channel: str, effect: int | None = None) -> str:
    """Return the only suspended adjustment of an example, or that of an effect."""
    (found,) = [
        adjustment.subject
        for adjustment in suspense.suspended_adjustments(settings)
        if adjustment.channel == channel and effect in {None, adjustment.funds_effect_minor}
    ]
    return found


def dispose(settings: Settings, kind: str, subject: str, **more: Any) -> int:
    return suspense.dispose(settings, kind, subject, **WHY, **more)  # type: ignore[arg-type]


def approved(settings: Settings, action_id: int) -> int:
    suspense.approve(settings, action_id, by="Li Na")
    return action_id


def insert(
    settings: Settings,
    kind: Literal["tie", "adjust"],
    subject: str,
    *,
    second: str | None = None,
    account: str | None = None,
    on: date = NEXT,
) -> None:
    """Decide past the program, as somebody with SQL could."""
    with database.connect(settings) as connection:
        number = connection.execute(
            "insert into reconciliation.actions (action_kind, suspense_item_id, second_item_id,"
            " account_id, effective_on, reason, requested_by)"
            " values (%s, %s, %s, %s, %s, 'x', 'Wang Fang') returning action_id",
            [kind, subject, second, account, on],
        ).fetchone()
        assert number
        connection.execute(
            "insert into reconciliation.action_approvals values (%s, 'Li Na')", [number[0]]
        )


def posted(settings: Settings, channel: str, day: date, *types: str) -> list[tuple[Any, ...]]:
    """Return the postings of a channel and date: event, side, account, its sub-ledger, amount."""
    return rows(
        settings,
        """
        select event_type, direction, ledger_account, subledger_id, amount_minor
        from ledger.journal_entries
        where channel = %s and accounting_date = %s and event_type = any(%s)
        order by event_type, amount_minor desc, direction desc, ledger_account
        """,
        [channel, day, list(types)],
    )


def ended(settings: Settings, channel: str) -> list[tuple[Any, ...]]:
    return rows(
        settings,
        "select status, account_id, suspense_item_id, original_voucher_id, approvers"
        " from clearing.suspended_adjustments where channel = %s and accounting_date = %s"
        " order by funds_effect_minor",
        [channel, NEXT],
    )


REFUSALS = {
    "unknown": "there is no suspended adjustment A:nobody:1",
    "account": "account A-nobody has no contract in force on 2026-09-28",
    "item": "there is no item S:nobody",
    "channel": "the adjustment is of charged in CNY, the item of tied in CNY",
    "amount": "brings 4000 minor units, not the 5000 that the item needs",
    "closed": "2026-09-24 is closed",
    "other account": "S:net-s2v is held from account netA0, not from netA1",
    "no hold": "there is no item S:net-s1v",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_decided_is_said_at_once(refusals: dict[str, str], name: str) -> None:
    assert set(REFUSALS) == set(refusals)
    assert REFUSALS[name] in refusals[name]


def test_the_database_keeps_the_kinds_apart(opened: Settings) -> None:
    for kind, subject in (("write_off", "A:f:1"), ("absorb", "S:V1"), ("charge", "A:f:1")):
        with database.connect(opened) as connection, pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(
                "insert into reconciliation.actions (action_kind, suspense_item_id, effective_on,"
                " reason, requested_by) values (%s, %s, %s, 'x', 'y')",
                [kind, subject, NEXT],
            )


@pytest.mark.parametrize("example", EXPECTED)
def test_statements_are_what_was_worked_out(decided: Settings, example: str) -> None:
    assert set(EXPECTED) == set(EXAMPLES)
    found = rows(
        decided,
        """
        select settlement_amount_minor, adjustment_amount_minor, held_amount_minor,
            available_amount_minor
        from settlement.settlement_statements
        where account_id = %s and payment_date in (%s, %s)
        order by payment_date
        """,
        [f"{example}A0", PAID_MON, PAID_TUE],
    )
    assert found == list(EXPECTED[example])


@pytest.mark.parametrize(
    ("check", "subjects"),
    [
        ("payout_backed_by_arrival", 3),
        ("holds_rollforward_exact", 3),
        ("balance_equation_zero", 3 * len(EXAMPLES)),
        ("adjustments_tie", 3 * len(EXAMPLES)),
        ("suspense_rollforward_exact", 3 * len(EXAMPLES)),
        ("merchant_payable_ties", 3),
        ("trial_balance_zero", 3),
    ],
)
def test_the_gate_stays_exact(decided: Settings, check: str, subjects: int) -> None:
    found = rows(
        decided,
        "select payment_date, subject, holds, detail from gate.gate_checks where check_name = %s",
        [check],
    )
    assert len(found) >= subjects
    assert [row for row in found if not row[2]] == []


def test_what_is_carried_is_backed_or_held(decided: Settings) -> None:
    found = rows(
        decided,
        """
        select statements.account_id, backed.adjustment_amount_minor,
            statements.carried_forward_amount_minor - statements.held_amount_minor,
            backed.closing_amount_minor
        from settlement.settlement_statements as statements
        inner join settlement.backed_rollforward as backed
            using (payment_date, account_id, settlement_session_type, currency_code)
        where payment_date = %s
        """,
        [PAID_TUE],
    )
    assert len(found) >= len(EXAMPLES)
    assert [row for row in found if row[2] != row[3]] == []
    assert {row[0]: row[1] for row in found if row[1]} == {
        f"{name}A0": tuesday[1] for name, (_, tuesday) in EXPECTED.items() if tuesday[1]
    }


def test_charged_leaves_the_adjustments_account_for_the_merchants(decided: Settings) -> None:
    assert posted(decided, "charged", DAYS[THU], "adjustment_taken", "adjustment_cost") == [
        ("adjustment_cost", "debit", "channel_cost", "charged", 15),
        ("adjustment_cost", "credit", "adjustments_receivable", "charged", 15),
        ("adjustment_taken", "debit", "adjustments_receivable", "charged", 3_015),
        ("adjustment_taken", "credit", "channel_receivable", "charged-20260928-CNY", 3_015),
    ]
    assert posted(decided, "charged", NEXT, "adjustment_charged", "adjustment_fee") == [
        ("adjustment_charged", "debit", "merchant_payable", "chargedA0", 3_000),
        ("adjustment_charged", "credit", "adjustments_receivable", "charged", 3_000),
    ]
    assert posted(decided, "credited", NEXT, "adjustment_charged") == [
        ("adjustment_charged", "debit", "adjustments_payable", "credited", 800),
        ("adjustment_charged", "credit", "merchant_payable", "creditedA0", 800),
    ]
    assert ended(decided, "charged") == [("charged", "chargedA0", None, None, "Wang Fang, Li Na")]


def test_absorbed_is_our_loss_or_gain(decided: Settings) -> None:
    assert posted(decided, "absorbed", NEXT, "adjustment_absorbed") == [
        ("adjustment_absorbed", "debit", "losses", "absorbed", 2_000),
        ("adjustment_absorbed", "credit", "adjustments_receivable", "absorbed", 2_000),
        ("adjustment_absorbed", "debit", "adjustments_payable", "absorbed", 500),
        ("adjustment_absorbed", "credit", "gains", "absorbed", 500),
    ]
    assert ended(decided, "absorbed") == [("absorbed", None, None, None, "Wang Fang, Li Na")] * 2


def test_tied_ends_the_item_and_its_hold(decided: Settings) -> None:
    assert posted(decided, "tied", NEXT, "adjustment_applied") == [
        ("adjustment_applied", "debit", "adjustments_payable", "tied", 5_000),
        ("adjustment_applied", "credit", "system_suspense", "tied", 5_000),
    ]
    assert ended(decided, "tied") == [("applied", None, "S:tied-s2v", None, "Wang Fang, Li Na")]
    item = suspense.item_history(decided, "S:tied-s2v")[-1]
    assert (item["status"], item["resolution_method"]) == ("adjusted", "adjustment")
    assert item["approvers"] == "Wang Fang, Li Na"
    holds = rows(
        decided,
        "select end_kind, released_amount_minor from settlement.holds"
        " where entry_id = 'T:tied-s2v' and payment_date = %s",
        [PAID_TUE],
    )
    assert holds == [("recovered", 4_970)]


def test_the_close_refuses_what_does_not_fit_or_is_not_approved(decided: Settings) -> None:
    assert ended(decided, "refused") == [("suspended", None, None, None, None)]
    assert ended(decided, "single") == [("suspended", None, None, None, None)]
    refused = {
        (found.suspense_item_id, found.refused_because)
        for found in suspense.decisions(decided)
        if found.is_applied is False
    }
    assert refused == {
        (
            adjustment_of(decided, "refused"),
            "the item needs another amount than the adjustment brings",
        ),
        ("S:net-s2v", "the written-off item was charged already"),
    }


def test_a_charge_counts_for_its_sale_and_never_beyond_it(decided: Settings) -> None:
    assert ended(decided, "within") == [
        ("charged", "withinA0", None, "within-s1v", "Wang Fang, Li Na")
    ]
    assert ended(decided, "beyond") == [("charged", "beyondA0", None, None, "Wang Fang, Li Na")]
    moved = rows(
        decided,
        "select original_voucher_id, sum(amount_minor), sum(fee_amount_minor)"
        " from clearing.original_movements group by original_voucher_id order by 1",
    )
    assert moved == [
        ("beyond-s1v", 10_000, 60),
        ("lowered-s1v", 3_000, 18),
        ("within-s1v", 4_000, 24),
    ]
    # 70.00 of the sale are asked for on Tuesday, and 60.00 are left of it.
    refused = rows(
        decided, "select voucher_id, reason from clearing.refused_vouchers where channel = 'within'"
    )
    assert refused == [("within-f1v", "above_original")]
    entries = rows(
        decided,
        "select entry_id like 'A:%%', source_id like 'ACT:%%', transaction_type,"
        " transaction_amount_minor, fee_amount_minor from clearing.clearing_entries"
        " where account_id in ('withinA0', 'beyondA0') and clearing_session_type = 'adjustment'"
        " order by transaction_amount_minor",
    )
    assert entries == [
        (True, True, "first_chargeback", -10_000, 0),
        (True, True, "credit_adjustment", -4_000, -24),
    ]


def test_a_written_off_hold_is_charged_and_the_loss_given_back(decided: Settings) -> None:
    """Charged once: the write-off's loss is undone, and the fee goes back the way it was taken."""
    assert posted(decided, "net", DAYS[SAT], "write_off") == [
        ("write_off", "debit", "write_offs", "net", 5_000),
        ("write_off", "credit", "system_suspense", "net", 5_000),
    ]
    assert posted(decided, "net", NEXT, "manual_adjustment", "adjustment_fee") == [
        ("adjustment_fee", "debit", "fee_income", "net", 30),
        ("adjustment_fee", "credit", "merchant_payable", "netA0", 30),
        ("manual_adjustment", "debit", "merchant_payable", "netA0", 5_000),
        ("manual_adjustment", "credit", "write_offs", "net", 5_000),
    ]
    assert posted(decided, "gross", NEXT, "manual_adjustment", "adjustment_fee") == [
        ("adjustment_fee", "debit", "fee_income", "gross", 30),
        ("adjustment_fee", "credit", "merchant_fee_receivable", "grossA0", 30),
        ("manual_adjustment", "debit", "merchant_payable", "grossA0", 5_000),
        ("manual_adjustment", "credit", "write_offs", "gross", 5_000),
    ]
    losses = rows(
        decided,
        """
        select subledger_id, sum(case direction when 'debit' then amount_minor
            else -amount_minor end)
        from ledger.journal_entries
        where ledger_account = 'write_offs'
        group by subledger_id
        order by subledger_id
        """,
    )
    assert losses == [
        ("gross", 0),
        # The refund that lowered the hold by 29.82 has an item of its own.
        ("lowered", 2_982),
        # The channel's 396.29 are an item of their own, over in its suspense.
        ("mismatch", 39_629),
        ("net", 0),
        # A plain write-off leaves the hold, and the loss.
        ("plain", 5_000),
        ("taken", 0),
    ]
    assert posted(decided, "taken", NEXT, "manual_adjustment", "adjustment_fee") == [
        ("manual_adjustment", "debit", "merchant_payable", "takenA0", 12_000),
        ("manual_adjustment", "credit", "write_offs", "taken", 12_000),
    ]


def test_the_hold_ends_with_the_charge(decided: Settings) -> None:
    found = rows(
        decided,
        """
        select channel, opening_amount_minor, released_amount_minor, closing_amount_minor,
            end_kind, decision_id is not null
        from settlement.holds
        where payment_date = %s and reason = 'written_off'
        order by channel
        """,
        [PAID_TUE],
    )
    assert found == [
        ("gross", 5_000, 5_000, 0, "charge_merchant", True),
        ("lowered", 6_958, 6_958, 0, "charge_merchant", True),
        ("mismatch", 397_600, 397_600, 0, "charge_merchant", True),
        ("net", 4_970, 4_970, 0, "charge_merchant", True),
        ("plain", 4_970, 0, 4_970, None, False),
        ("taken", 12_000, 12_000, 0, "charge_merchant", True),
    ]
    charged = rows(
        decided,
        "select channel, charged_amount_minor, returned_fee_minor,"
        " returned_deducted_fee_minor, held_amount_minor, held_on, approvers"
        " from reconciliation.charged_write_offs order by 1",
    )
    people = (PAID_MON, "Wang Fang, Li Na")
    assert charged == [
        ("gross", 5_000, 30, 0, 5_000, *people),
        ("lowered", 7_018, 60, 60, 6_958, *people),
        ("mismatch", 400_000, 2_400, 2_400, 397_600, *people),
        ("net", 5_000, 30, 30, 4_970, *people),
        ("taken", 12_000, 0, 0, 12_000, *people),
    ]
    again = rows(
        decided,
        "select count(*) from settlement.holds where payment_date = %s and entry_id <> %s"
        " and reason = 'written_off'",
        [PAID_WED, "T:plain-s2v"],
    )
    assert again == [(0,)]


def test_what_was_decided_cannot_be_decided_again(decided: Settings) -> None:
    subject = rows(
        decided,
        "select 'A:' || adjustment_id from clearing.suspended_adjustments"
        " where channel = 'charged' and status = 'charged'",
    )[0][0]
    with pytest.raises(SuspenseError, match="is not suspended any more") as raised:
        dispose(decided, "absorb", subject)
    assert "it was charged on 2026-09-28 by decision ACT:" in str(raised.value)
    with pytest.raises(SuspenseError, match="S:net-s2v was charged already"):
        suspense.request(decided, "adjust", "S:net-s2v", **WHY, account_id="netA0")
    waits = adjustment_of(decided, "single")
    dispose(decided, "absorb", waits)
    with pytest.raises(SuspenseError, match="has a decision for 2026-09-30 already"):
        dispose(decided, "charge", waits, account_id="singleA0")


def test_the_command_line_asks_approves_and_shows(decided: Settings) -> None:
    home = decided.home
    listed = tieout(home, "suspense", "adjustments")
    assert listed.returncode == 0, listed.stderr
    subject = adjustment_of(decided, "refused")
    assert subject in listed.stdout
    assert "next: tieout suspense charge, absorb or tie" in listed.stderr
    asked = tieout(
        *(home, "suspense", "charge", subject, "--account", "refusedA0"),
        *("--by", "Wang Fang", "--reason", "the merchant agreed"),
    )
    assert asked.returncode == 0, asked.stderr
    number = asked.stderr.split("suspense approve ")[1].split()[0]
    with pytest.raises(SuspenseError, match="another person has to approve it"):
        suspense.approve(decided, int(number), by=" wang fang")
    approved(decided, int(number))
    shown = tieout(home, "suspense", "show", subject)
    assert shown.returncode == 0, shown.stderr
    assert "2026-09-29  suspended" in shown.stdout
    assert f"decision {number}: charge of {subject} on account refusedA0" in shown.stdout
