"""Two people approve a lower fee a day late: the difference is paid once, and nothing is repriced.

The platform's files lower each fee rule of every account from the attacked date on; nobody has
approved that when the date closes. What is owed is computed here again, in plain Python, from the
files and the entries as they were cleared (docs/decisions/0046-late-approvals-are-made-up.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

import pytest

import attack_files as files
from attack_files import Row
from attack_world import DAY, NEXT_DAY, NEXT_PAYMENT, PAYMENT, World
from tieout.decisions import terms
from tieout.decisions.terms import TermsError, TwoPeople

pytestmark = pytest.mark.slow
SALES = ("purchase", "preauth_completion")
PEOPLE = TwoPeople("Zhou Min", "Wu Fang", "amendment signed on the attacked date")


def lower_fees(world: World, day: date) -> None:
    """Halve whatever each fee rule asks, in the snapshot of a date."""
    with files.platform(world, "fee_rates", day) as rows:
        for row in rows:
            row["fee_rate"] = str(Decimal(row["fee_rate"]) / 2)
            row["fixed_fee_minor"] = str(int(row["fixed_fee_minor"]) // 2)
            row["minimum_fee_minor"] = str(int(row["minimum_fee_minor"]) // 2)


def give_back_half(world: World) -> tuple[str, str]:
    """Let the platform give half of a sale of the date back on the same date; return both ids."""
    with files.vouchers(world, DAY) as rows:
        sale = next(
            row
            for row in rows
            if (row["account_id"], row["channel"]) == ("A000004", "wechat")
            and (row["transaction_type"], row["transaction_status"]) == ("purchase", "success")
            and row["transaction_at"].startswith(f"{DAY}T1")
        )
        refund = files.invented(
            sale,
            1,
            transaction_type="refund",
            amount_minor=str(-(int(sale["amount_minor"]) // 2)),
            transaction_at=f"{DAY}T22:00:00+08:00",
            channel_order_id=sale["channel_order_id"],
            merchant_order_id=sale["merchant_order_id"],
            refund_order_id="98" + "1" * 27,
            original_voucher_id=sale["voucher_id"],
            original_transaction_at=sale["transaction_at"],
            original_amount_minor=sale["amount_minor"],
            original_refunded_before_minor="0",
        )
        rows.append(refund)
    return sale["voucher_id"], refund["voucher_id"]


def decide(world: World, decision: Literal["approve", "reject"]) -> list[str]:
    """Let two people decide about all fee rules that wait; return the changes."""
    waiting = [
        change.change_id
        for change in terms.changes(world.settings)
        if change.term_kind == "fee_rate"
    ]
    assert waiting
    assert terms.decide(world.settings, decision, waiting, PEOPLE) == NEXT_DAY
    return waiting


def price(rule: Row, amount_minor: int) -> int:
    """Return the fee of a sale by a rule."""
    fee = amount_minor * Decimal(rule["fee_rate"]) + int(rule["fixed_fee_minor"] or 0)
    asked = max(int(fee.quantize(Decimal(1), ROUND_HALF_UP)), int(rule["minimum_fee_minor"] or 0))
    return min(asked, int(rule["cap_fee_minor"])) if rule["cap_fee_minor"] else asked


def rounded_part(fee_minor: int, part_minor: int, whole_minor: int) -> int:
    """Return a part of a fee, rounded half up."""
    exact = Decimal(fee_minor) * part_minor / whole_minor
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def owed_by_entry(world: World) -> dict[str, int]:
    """Return what each entry of the attacked date is to be made up by, from the files alone.

    A return counts where its sale was made on the date: only then the new fee prices it. On that
    date a sale is returned once at most.
    """
    rules = {row["fee_rule_id"]: row for row in _rows(world, "fee_rates")}
    keeps = {row["contract_id"]: row["refund_fee_policy"] for row in _rows(world, "contracts")}
    vouchers = {row["voucher_id"]: row for row in _rows(world, "source_vouchers")}
    owed = {}
    for entry_id, voucher_id, kind, fee_minor, rule_id, contract_id in world.rows(
        "select entry_id, source_id, transaction_type, fee_amount_minor, fee_rule_id, contract_id"
        " from clearing.clearing_entries"
        " where accounting_date = %s and clearing_session_type = 'transaction'",
        [DAY],
    ):
        voucher = vouchers[voucher_id]
        sale = voucher if kind in SALES else vouchers.get(voucher["original_voucher_id"])
        if sale is None or sale["transaction_at"] < DAY.isoformat():
            continue
        whole = price(rules[rule_id], int(sale["amount_minor"]))
        if kind in SALES:
            new_fee = whole
        elif kind == "refund":
            part = -int(voucher["amount_minor"])
            keep = keeps[contract_id] == "keep"
            new_fee = 0 if keep else -rounded_part(whole, part, int(sale["amount_minor"]))
        else:
            new_fee = -whole
        if fee_minor != new_fee:
            owed[entry_id] = fee_minor - new_fee
    return owed


def _rows(world: World, kind: str) -> list[Row]:
    return files.read_platform(files.platform_path(world, kind, DAY))


def made_up(world: World) -> dict[str, int]:
    """Return what the close of the next date made up, by entry."""
    return dict(
        world.rows(
            "select entry_id, adjustment_amount_minor from clearing.term_adjustments"
            " where accounting_date = %s",
            [NEXT_DAY],
        )
    )


def by_account(world: World, owed: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return what is owed to each account: what was deducted before, and what was billed."""
    net, gross = Counter[str](), Counter[str]()
    for entry_id, account_id, mode in world.rows(
        "select entry_id, account_id, settlement_mode from clearing.clearing_entries"
        " where accounting_date = %s",
        [DAY],
    ):
        (net if mode == "net" else gross)[account_id] += owed.get(entry_id, 0)
    return (
        {account: amount for account, amount in net.items() if amount},
        {account: amount for account, amount in gross.items() if amount},
    )


def fees_of(world: World, day: date) -> list[tuple[object, ...]]:
    """Return the fee of each entry of a date."""
    return world.rows(
        "select entry_id, fee_amount_minor, deducted_fee_amount_minor"
        " from clearing.clearing_entries where accounting_date = %s order by entry_id",
        [day],
    )


def stated(world: World) -> dict[str, int]:
    """Return what the statements of the payment after next pay by term adjustments."""
    return dict(
        world.rows(
            "select statements.account_id, sum(lines.clearing_amount_minor)::bigint"
            " from settlement.statement_lines as lines"
            " inner join settlement.settlement_statements as statements"
            " using (payment_date, statement_id)"
            " where lines.payment_date = %s and lines.entry_id like 'F:%%'"
            " group by statements.account_id having sum(lines.clearing_amount_minor) <> 0",
            [NEXT_PAYMENT],
        )
    )


def posted(world: World, ledger_account: str) -> dict[str, int]:
    """Return what the ledger gives the accounts for it."""
    return dict(
        world.rows(
            "select account_id,"
            " sum(case direction when 'credit' then amount_minor else -amount_minor end)::bigint"
            " from ledger.journal_entries where accounting_date = %s"
            " and event_type = 'term_adjustment' and ledger_account = %s group by account_id",
            [NEXT_DAY, ledger_account],
        )
    )


def billed(world: World, account_ids: list[str]) -> int:
    """Return by how much the accounts' bills will be lower than the fees of their transactions."""
    ((fees, bill),) = world.rows(
        "select (select sum(fee_amount_minor)::bigint from clearing.clearing_entries"
        " where account_id = any(%s) and transaction_type <> 'term_adjustment'),"
        " (select sum(fee_amount_minor)::bigint"
        " from settlement.unbilled_fees(date_trunc('month', %s::date)::date)"
        " where account_id = any(%s))",
        [account_ids, NEXT_DAY, account_ids],
    )
    return int(fees) - int(bill)


def test_what_was_priced_before_a_late_approval_is_made_up_once(world: World) -> None:
    lower_fees(world, DAY)
    lower_fees(world, NEXT_DAY)
    sale_id, refund_id = give_back_half(world)
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    before = fees_of(world, DAY)
    assert made_up(world) == {}
    changes = decide(world, "approve")

    world.must(world.close(NEXT_DAY))
    owed = owed_by_entry(world)
    assert made_up(world) == owed
    assert owed[f"T:{sale_id}"] > 0 > owed[f"T:{refund_id}"]
    assert fees_of(world, DAY) == before, "nothing is repriced"
    world.must(world.close(NEXT_DAY))
    assert made_up(world) == owed, "closed again, it is the same"

    world.must(world.pay(NEXT_PAYMENT))
    net, gross = by_account(world, owed)
    assert net
    assert gross
    assert stated(world) == net
    assert posted(world, "merchant_payable") == net
    assert posted(world, "merchant_fee_receivable") == gross
    assert billed(world, sorted(gross)) == sum(gross.values())
    assert world.rows("select check_name, subject from gate.gate_checks where not holds") == []
    with pytest.raises(TermsError, match="no such change waits"):
        terms.decide(world.settings, "approve", changes, PEOPLE)


def test_a_rejected_change_makes_up_nothing(world: World) -> None:
    lower_fees(world, DAY)
    lower_fees(world, NEXT_DAY)
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    decide(world, "reject")
    world.must(world.close_and_pay(NEXT_DAY))
    assert made_up(world) == {}
    assert stated(world) == {}


def test_the_gate_stops_a_difference_that_is_not_owed(world: World) -> None:
    lower_fees(world, DAY)
    lower_fees(world, NEXT_DAY)
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    decide(world, "approve")
    world.must(world.close(NEXT_DAY))
    world.execute(
        "update clearing.term_adjustments set approved_fee_amount_minor = 0,"
        " adjustment_amount_minor = fee_amount_minor"
        " where accounting_date = %s and entry_id = ("
        " select min(entry_id) from clearing.term_adjustments"
        " where approved_fee_amount_minor > 0)",
        [NEXT_DAY],
    )
    run = world.pay(NEXT_PAYMENT)
    assert run.failed_step == "gate"
    assert "fees_recomputed" in run.message
    assert not world.payments(NEXT_PAYMENT)
