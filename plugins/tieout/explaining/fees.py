"""How the fee of a voucher came about, told step by step and computed once more.

Only reads: the entry as it was cleared, the terms of its date, the volume that decided its tier,
what had been given back of its sale, and what ledger and gate have of it. The fee is computed here
from those, so that what is told is what would have been charged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from tieout.core.money import decimal_text

__all__ = ["FeeFacts", "Step", "read_fee", "recomputed", "steps"]


@dataclass(frozen=True, slots=True)
class FeeFacts:
    """What is known of a voucher's fee; amounts in minor units, signed as in its entry.

    Of a return the terms, tier and category are its sale's, and `sale_*` say what its sale was
    charged: by its entry, less what late approvals made up, or else by the terms of the return's
    date. What was sold in another currency has its part of the fee counted in that one: `sold_*`
    and `returned_amount_minor`. `gate_fee_minor` is there while the gate's tables are of the date
    that pays the entry.
    """

    voucher_id: str
    accounting_date: date
    payment_date: date
    transaction_type: str
    fee_treatment: str
    currency_code: str
    amount_minor: int
    fee_minor: int
    settlement_mode: str
    contract_id: str
    refund_fee_policy: str | None
    merchant_category_code: str | None
    fee_rule_id: str
    rule_category_code: str | None
    channel: str
    rule_channel: str | None
    rule_transaction_type: str | None
    rule_card_kind: str | None
    rule_card_region: str | None
    tier_from_minor: int | None
    tier_volume_minor: int | None
    fee_rate: Decimal | None
    fixed_fee_minor: int | None
    minimum_fee_minor: int | None
    cap_fee_minor: int | None
    sale_voucher_id: str | None
    sale_amount_minor: int | None
    sale_fee_minor: int | None
    made_up_minor: int
    returned_before_minor: int
    ledger_fee_minor: int
    gate_fee_minor: int | None
    sold_currency_code: str | None = None
    returned_amount_minor: int | None = None
    sold_amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of what is told: what it is about in both languages, in words, and its amount."""

    topic: str
    topic_zh: str
    words: str
    amount_minor: int | None = None


# The terms are those of the date that priced: of a return of a sale that we cleared, the sale's.
_FACTS: Final = """
with entry as (
    select entries.*, types.fee_treatment, registered.original_voucher_id,
        registered.transaction_at, registered.amount_minor as voucher_amount_minor
    from control.voucher_register as registered
    inner join clearing.clearing_entries as entries
        -- A foreign voucher may have waited for its record.
        on entries.accounting_date between registered.accounting_date
        and registered.accounting_date + 31
        and entries.entry_id = 'T:' || registered.voucher_id
    inner join reference.transaction_types as types
        on registered.transaction_type = types.transaction_type
    where registered.source = 'platform' and registered.voucher_id = %(voucher_id)s
),

sale as (
    select sales.accounting_date, sales.entry_id, sales.transaction_amount_minor,
        sales.fee_amount_minor, sales.transaction_currency_amount_minor
    from entry
    inner join control.voucher_register as registered
        on registered.source = 'platform'
        and registered.voucher_id = entry.original_voucher_id
    inner join clearing.clearing_entries as sales
        on sales.accounting_date between registered.accounting_date
        and registered.accounting_date + 31
        and sales.entry_id = 'T:' || registered.voucher_id
    where entry.fee_treatment <> 'charge'
        and registered.accounting_date >= entry.accounting_date - 360
)

select
    %(voucher_id)s as voucher_id,
    entry.accounting_date,
    entry.payment_date,
    entry.transaction_type,
    entry.fee_treatment,
    entry.currency_code,
    entry.transaction_amount_minor as amount_minor,
    entry.fee_amount_minor as fee_minor,
    entry.settlement_mode,
    entry.contract_id,
    coalesce(contract_now.refund_fee_policy, contract_then.refund_fee_policy)
        as refund_fee_policy,
    entry.merchant_category_code,
    entry.fee_rule_id,
    rule.merchant_category_code as rule_category_code,
    entry.channel,
    rule.channel as rule_channel,
    rule.transaction_type as rule_transaction_type,
    rule.card_kind as rule_card_kind,
    rule.card_region as rule_card_region,
    entry.tier_from_minor,
    entry.tier_volume_minor,
    rule.fee_rate,
    rule.fixed_fee_minor,
    rule.minimum_fee_minor,
    rule.cap_fee_minor,
    case when entry.fee_treatment <> 'charge' then entry.original_voucher_id end
        as sale_voucher_id,
    case
        when entry.fee_treatment <> 'charge'
            then coalesce(sale.transaction_amount_minor, landed.original_amount_minor)
    end as sale_amount_minor,
    sale.fee_amount_minor as sale_fee_minor,
    coalesce(made_up.amount_minor, 0) as made_up_minor,
    greatest(
        coalesce(moved.amount_minor, 0),
        case
            when sale.entry_id is null
                then coalesce(landed.original_refunded_before_minor, 0)
            else 0
        end
    ) as returned_before_minor,
    coalesce(posted.amount_minor, 0) as ledger_fee_minor,
    gate.recomputed_fee_minor as gate_fee_minor,
    case
        when entry.transaction_currency_code <> entry.currency_code
            then entry.transaction_currency_code
    end as sold_currency_code,
    case
        when entry.transaction_currency_code <> entry.currency_code
            then entry.transaction_currency_amount_minor
    end as returned_amount_minor,
    case
        when entry.transaction_currency_code <> entry.currency_code
            then sale.transaction_currency_amount_minor
    end as sold_amount_minor
from entry
left join sale on true
left join intermediate.int_terms__contracts as contract_now
    on contract_now.snapshot_date = entry.accounting_date
    and contract_now.contract_id = entry.contract_id
left join intermediate.int_terms__contracts as contract_then
    on contract_then.snapshot_date = sale.accounting_date
    and contract_then.contract_id = entry.contract_id
left join intermediate.int_terms__fee_rates as rule
    on rule.snapshot_date = coalesce(sale.accounting_date, entry.accounting_date)
    and rule.fee_rule_id = entry.fee_rule_id
left join lateral (
    select original_amount_minor, original_refunded_before_minor
    from staging.stg_platform__source_vouchers
    where accounting_date = entry.accounting_date and voucher_id = %(voucher_id)s
) as landed on true
left join lateral (
    select sum(adjustment_amount_minor) as amount_minor
    from clearing.term_adjustments
    where accounting_date between sale.accounting_date and entry.accounting_date
        and entry_id = sale.entry_id
) as made_up on true
left join lateral (
    select sum(moves.amount_minor) as amount_minor
    from clearing.original_movements as moves
    left join control.voucher_register as earlier
        on moves.movement_kind = 'voucher' and earlier.source = 'platform'
        and earlier.voucher_id = substr(moves.movement_id, 3)
    where entry.fee_treatment <> 'charge'
        and moves.original_voucher_id = entry.original_voucher_id
        and (
            moves.accounting_date < entry.accounting_date
            or (
                moves.accounting_date = entry.accounting_date
                and (earlier.transaction_at, earlier.voucher_id)
                < (entry.transaction_at, %(voucher_id)s)
            )
        )
) as moved on true
left join lateral (
    select
        sum(case when credit_account = 'fee_income' then amount_minor else -amount_minor end)
            as amount_minor
    from ledger.postings
    where accounting_date = entry.accounting_date
        and source_id = %(voucher_id)s
        and event_type = 'merchant_fee'
        and 'fee_income' in (debit_account, credit_account)
) as posted on true
left join intermediate.int_gate__recomputed_fees as gate
    on gate.accounting_date = entry.accounting_date and gate.entry_id = entry.entry_id
"""


def read_fee(connection: psycopg.Connection[Any], voucher_id: str) -> FeeFacts | None:
    """Return what is known of the fee of a voucher; None where no entry clears it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_FACTS, {"voucher_id": voucher_id}).fetchone()
    if found is None:
        return None
    rate = found.pop("fee_rate")
    values = {name: _whole(value) for name, value in found.items()}
    return FeeFacts(fee_rate=rate, **values)


def _whole(value: Any) -> Any:
    """Return a sum, which PostgreSQL gives as numeric, as the whole number that it is."""
    return int(value) if isinstance(value, Decimal) else value


def recomputed(facts: FeeFacts) -> int | None:
    """Return the fee that the facts ask for, signed; None where no rule of the date is there."""
    whole = _whole_fee(facts)
    if whole is None:
        return None
    if facts.fee_treatment == "charge":
        return whole
    if facts.fee_treatment == "return_in_full":
        return -whole
    if facts.refund_fee_policy != "return":
        return 0
    before = facts.returned_before_minor
    through = before - _returned(facts)
    return _share(facts, whole, before) - _share(facts, whole, through)


def steps(facts: FeeFacts) -> list[Step]:
    """Tell how the fee came about, in order."""
    told = [
        Step(
            "transaction",
            "交易",
            f"{facts.transaction_type} of {facts.accounting_date}, {facts.channel}, "
            f"settled {facts.settlement_mode}, paid on {facts.payment_date}",
            facts.amount_minor,
        ),
        Step("contract", "合同", _contract(facts)),
        Step("rule", "费率规则", f"{facts.fee_rule_id}, for {_scope(facts)}"),
        Step("tier", "阶梯", _tier(facts), facts.tier_volume_minor),
    ]
    if facts.sale_fee_minor is None:
        told += _price(facts)
    if facts.fee_treatment != "charge":
        told += _return(facts)
    return told


def _contract(facts: FeeFacts) -> str:
    category = facts.merchant_category_code
    of_category = f"category {category}" if category else "no category"
    policy = facts.refund_fee_policy or "nothing any more"
    return f"{facts.contract_id}, {of_category}, refunds: {policy} the fee"


def _scope(facts: FeeFacts) -> str:
    parts = (
        facts.rule_channel,
        facts.rule_transaction_type,
        facts.rule_card_kind and f"{facts.rule_card_kind} cards",
        facts.rule_card_region and f"{facts.rule_card_region} cards",
        facts.rule_category_code and f"category {facts.rule_category_code}",
    )
    return ", ".join(part for part in parts if part) or "anything"


def _tier(facts: FeeFacts) -> str:
    if facts.tier_volume_minor is None:
        return "the volume of the month before is not known: the base tier"
    return f"from {_money(facts, facts.tier_from_minor)}, reached by the volume of the month before"


def _price(facts: FeeFacts) -> list[Step]:
    if facts.fee_rate is None:
        return [Step("rate", "费率", "no rule of that id is in force on the date")]
    base, rounded = _base(facts), _before_limits(facts)
    told = [
        Step(
            "rate",
            "费率",
            f"{_money(facts, base)} × {facts.fee_rate:f} + {_money(facts, facts.fixed_fee_minor)}, "
            "rounded half away from zero",
            rounded,
        )
    ]
    raised = max(rounded, facts.minimum_fee_minor or 0)
    if facts.minimum_fee_minor:
        told.append(
            Step("minimum", "最低", f"at least {_money(facts, facts.minimum_fee_minor)}", raised)
        )
    if facts.cap_fee_minor is not None:
        capped = min(raised, facts.cap_fee_minor)
        told.append(Step("cap", "封顶", f"at most {_money(facts, facts.cap_fee_minor)}", capped))
    return told


def _return(facts: FeeFacts) -> list[Step]:
    whole = _whole_fee(facts)
    if facts.sale_fee_minor is None:
        source = f"{facts.sale_voucher_id or 'its sale'} was not cleared here: priced as above"
    else:
        source = f"what {facts.sale_voucher_id} was charged"
        if facts.made_up_minor:
            source += (
                f", {_money(facts, facts.sale_fee_minor)} less "
                f"{_money(facts, facts.made_up_minor)} made up since"
            )
    told = [Step("fee of the sale", "原交易手续费", source, whole)]
    if facts.fee_treatment == "return_in_full":
        told.append(
            Step("returned", "退还", "a void or reversal returns all of it", recomputed(facts))
        )
    elif facts.refund_fee_policy != "return":
        told.append(Step("returned", "退还", "the contract keeps the fee of what is refunded", 0))
    elif whole is not None:
        before = facts.returned_before_minor
        through = before - _returned(facts)
        told.append(
            Step(
                "given back before",
                "此前已退",
                f"{_sold(facts, before)} of {_sold(facts, _sale(facts))}: "
                f"{_money(facts, _share(facts, whole, before))} of the fee",
                before if facts.sold_currency_code is None else None,
            )
        )
        told.append(
            Step(
                "returned",
                "退还",
                f"through this one {_sold(facts, through)}: "
                f"{_money(facts, _share(facts, whole, through))} of the fee; the difference goes "
                "back",
                recomputed(facts),
            )
        )
    return told


def _base(facts: FeeFacts) -> int:
    of_sale = facts.sale_amount_minor if facts.fee_treatment != "charge" else facts.amount_minor
    return abs(of_sale or 0)


def _whole_fee(facts: FeeFacts) -> int | None:
    """Return what the whole sale was, or is, charged."""
    if facts.sale_fee_minor is not None:
        return facts.sale_fee_minor - facts.made_up_minor
    if facts.fee_rate is None:
        return None
    raised = max(_before_limits(facts), facts.minimum_fee_minor or 0)
    return raised if facts.cap_fee_minor is None else min(raised, facts.cap_fee_minor)


def _before_limits(facts: FeeFacts) -> int:
    exact = Decimal(_base(facts)) * (facts.fee_rate or 0) + (facts.fixed_fee_minor or 0)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _share(facts: FeeFacts, whole: int, returned: int) -> int:
    """Return the part of the whole fee that belongs to a part of the sale, rounded half up."""
    sold = _sale(facts) or 0
    return (2 * whole * returned + sold) // (2 * sold) if sold > 0 else 0


def _returned(facts: FeeFacts) -> int:
    """Return the amount of a return in the currency in which its sale was sold."""
    if facts.returned_amount_minor is not None:
        return facts.returned_amount_minor
    return facts.amount_minor


def _sale(facts: FeeFacts) -> int | None:
    """Return the amount of the sale in the currency in which it was sold."""
    if facts.returned_amount_minor is not None:
        return facts.sold_amount_minor
    return facts.sale_amount_minor


def _sold(facts: FeeFacts, minor: int | None) -> str:
    return decimal_text(minor or 0, facts.sold_currency_code or facts.currency_code)


def _money(facts: FeeFacts, minor: int | None) -> str:
    return decimal_text(minor or 0, facts.currency_code)
