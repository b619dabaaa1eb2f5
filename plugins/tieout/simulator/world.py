"""The fixed part of the simulated acquirer: merchants, contracts, fee rates, payees and cards.

Everything follows from the seed, the number of merchants and the first date; a date's files are
full snapshots of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from tieout.simulator.identifiers import (
    TEST_CREDIT_PREFIX,
    TEST_DEBIT_PREFIX,
    TEST_FOREIGN_PREFIX,
    card_number,
    cnaps_number,
    merchant_codes,
    not_card_like,
)

ACQUIRING_INSTITUTION_ID = "48370000"
FORWARDING_INSTITUTION_ID = "00049992"
ISSUER_INSTITUTION_ID = "03010000"
WECHAT_MERCHANT_ID = "1900000109"
WECHAT_APP_ID = "wx0000000000000001"
ALIPAY_PARTNER_ID = "2088000000000000"
MINIMUM_MERCHANTS = 8
CARDS = 2_000

# Merchants with a part to play; all others draw their terms by chance.
SMALL_MERCHANT = 0  # stays below its payout minimum
GROSS_MERCHANT = 1
FROZEN_MERCHANT = 2
ADVANCED_MERCHANT = 3
KEEP_FEE_MERCHANT = 4  # and has a freeze larger than its balance
CHANGED_CONTRACT_MERCHANT = 5
CHANGED_PAYEE_MERCHANT = 6
CATEGORY_MERCHANTS = 0  # of each three: a rule for their category
TIERED_MERCHANTS = 1  # of each three: a cheaper tier from a volume of last month
TIER_FROM_MINOR = 100_000_000
TIER_FEE_RATE = "0.0010"
QR_GATEWAY_FEE_RATE = "0.0060"
CALM_MERCHANT = 7  # net, returns fees, nothing special
# By place of the merchant, again and again, where a simulation has other cycles than T+1.
CYCLES = ("T+1", "T+2", "weekly:WED", "T+1", "monthly:last", "T+1", "T+3", "monthly:28")

_BANKS = (
    ("中国工商银行", "102"),
    ("中国农业银行", "103"),
    ("中国银行", "104"),
    ("中国建设银行", "105"),
    ("交通银行", "301"),
    ("招商银行", "308"),
    ("兴业银行", "309"),
)
_REGIONS = (("北京", "1000"), ("上海", "2900"), ("深圳", "5840"), ("杭州", "3310"))


@dataclass(frozen=True)
class FeeTerms:
    """One fee rule's terms: share of the amount, fixed part, least and highest fee (fen)."""

    fee_rate: str
    fixed_fee_minor: int = 0
    minimum_fee_minor: int = 0
    cap_fee_minor: int | None = None


@dataclass(frozen=True)
class FeePlan:
    """A merchant's terms for every kind of transaction; the rules never overlap."""

    debit: FeeTerms
    credit: FeeTerms
    foreign: FeeTerms
    wechat: FeeTerms
    alipay: FeeTerms


FEE_PLANS = (
    FeePlan(
        debit=FeeTerms("0.0050", cap_fee_minor=2000),
        credit=FeeTerms("0.0060"),
        foreign=FeeTerms("0.0180"),
        wechat=FeeTerms("0.0038"),
        alipay=FeeTerms("0.0038"),
    ),
    FeePlan(
        debit=FeeTerms("0.0045", minimum_fee_minor=10, cap_fee_minor=1800),
        credit=FeeTerms("0.0055", fixed_fee_minor=10),
        foreign=FeeTerms("0.0200"),
        wechat=FeeTerms("0.0060", minimum_fee_minor=1),
        alipay=FeeTerms("0.0055", minimum_fee_minor=1),
    ),
    FeePlan(
        debit=FeeTerms("0", fixed_fee_minor=120),
        credit=FeeTerms("0.0078", minimum_fee_minor=50, cap_fee_minor=8000),
        foreign=FeeTerms("0.0250", fixed_fee_minor=100),
        wechat=FeeTerms("0.0030"),
        alipay=FeeTerms("0.0030", cap_fee_minor=3000),
    ),
)


@dataclass(frozen=True)
class Merchant:
    """A merchant with its one settlement account."""

    index: int
    merchant_id: str
    account_id: str
    merchant_category_code: str
    terminal_ids: tuple[str, ...]
    settlement_mode: str
    payout_minimum_minor: int
    refund_fee_policy: str
    fee_collection_method: str
    fee_plan: int


@dataclass(frozen=True)
class World:
    """The acquirer as it stands at go-live."""

    seed: int
    first_date: date
    last_date: date
    merchants: tuple[Merchant, ...]
    card_numbers: tuple[str, ...]
    card_kinds: tuple[str, ...]
    card_regions: tuple[str, ...]
    card_tokens: tuple[str, ...]
    opening_balance_minor: int
    fee_opening_balance_minor: int
    own_funds_opening_balance_minor: int
    every_merchant_sells: bool
    states_fees: bool
    states_orders: bool
    has_qr_gateway: bool
    shows_codes: bool
    has_cycles: bool
    has_foreign_cards: bool
    weights: np.ndarray[tuple[int], np.dtype[np.float64]] = field(repr=False, compare=False)


def build_world(
    seed: int,
    first_date: date,
    days: int,
    transactions: int,
    merchants: int,
    *,
    every_merchant_sells: bool = False,
    states_fees: bool = False,
    states_orders: bool = False,
    has_qr_gateway: bool = False,
    shows_codes: bool = False,
    has_cycles: bool = False,
    has_foreign_cards: bool = False,
    has_own_funds: bool = False,
) -> World:
    """Return the world of a simulation; the same arguments give the same world."""
    own_minor = 100_000_000 + 1_000 * transactions
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
    count = max(merchants, MINIMUM_MERCHANTS)
    codes = merchant_codes()
    made = tuple(_merchant(index, *next(codes), random) for index in range(count))
    # A few merchants have most of the volume, as in life; the small one has none of it.
    weights = 1.0 / (np.arange(count) + 3.0)
    weights[SMALL_MERCHANT] = 0.0
    cards = tuple(_card(serial) for serial in range(CARDS))
    return World(
        seed=seed,
        first_date=first_date,
        last_date=first_date + timedelta(days=days - 1),
        merchants=made,
        card_numbers=tuple(number for number, _, _ in cards),
        card_kinds=tuple(kind for _, kind, _ in cards),
        card_regions=tuple(region for _, _, region in cards),
        card_tokens=tuple(
            "CT" + hashlib.sha256(f"{seed}/card/{serial}".encode()).hexdigest()[:16]
            for serial in range(CARDS)
        ),
        opening_balance_minor=0 if has_own_funds else own_minor,
        fee_opening_balance_minor=5_000_000 + 100 * transactions * days,
        own_funds_opening_balance_minor=own_minor if has_own_funds else 0,
        every_merchant_sells=every_merchant_sells,
        states_fees=states_fees,
        states_orders=states_orders,
        has_qr_gateway=has_qr_gateway,
        shows_codes=shows_codes,
        has_cycles=has_cycles,
        has_foreign_cards=has_foreign_cards,
        weights=weights / weights.sum(),
    )


def _merchant(index: int, code: str, mcc: str, random: np.random.Generator) -> Merchant:
    """Return merchant ``index``: its part's terms, else terms drawn by chance."""
    gross = bool(random.random() < 0.2)
    keeps_fee = bool(random.random() < 0.3)
    plan = int(random.integers(len(FEE_PLANS)))
    minimum = int(random.choice([1, 100, 1_000]))
    if index < MINIMUM_MERCHANTS:
        gross = index == GROSS_MERCHANT
        keeps_fee = index == KEEP_FEE_MERCHANT
        plan = index % len(FEE_PLANS)
        minimum = 500_000 if index == SMALL_MERCHANT else 100
    return Merchant(
        index=index,
        merchant_id=code,
        account_id=f"A{index + 1:06d}",
        merchant_category_code=mcc,
        terminal_ids=tuple(f"{index + 1:05d}{number:03d}" for number in range(1, 4)),
        settlement_mode="gross" if gross else "net",
        payout_minimum_minor=minimum,
        refund_fee_policy="keep" if keeps_fee else "return",
        fee_collection_method="invoice" if index % 2 else "direct_debit",
        fee_plan=plan,
    )


def _card(serial: int) -> tuple[str, str, str]:
    """Return (test card number, kind, region): about 60 % debit, 38 % credit, 2 % foreign."""
    place = serial % 50
    if place == 7:
        return card_number(TEST_FOREIGN_PREFIX, 16, serial), "credit", "foreign"
    if place < 30:
        return card_number(TEST_DEBIT_PREFIX, 19, serial), "debit", "domestic"
    return card_number(TEST_CREDIT_PREFIX, 16, serial), "credit", "domestic"


Row = dict[str, object]


def contract_rows(world: World) -> list[Row]:
    """Return the snapshot of contracts; one merchant's terms change on the fourth day."""
    since = world.first_date - timedelta(days=200)
    change = world.first_date + timedelta(days=3)
    rows = []
    for merchant in world.merchants:
        changed = merchant.index == CHANGED_CONTRACT_MERCHANT
        rows.append(_contract_row(world, merchant, 1, since, change if changed else None))
        if changed:
            rows.append(_contract_row(world, merchant, 2, change, None))
    return rows


def wechat_sub_merchant_id(merchant_index: int) -> str:
    """Return the number under which WeChat knows the merchant (特约商户号)."""
    return f"16000{merchant_index + 1:05d}"


def qr_gateway_merchant_id(merchant_index: int) -> str:
    """Return the number under which the QR gateway knows the merchant."""
    return f"QRA{merchant_index + 1:09d}FFL"


def _contract_row(
    world: World, merchant: Merchant, version: int, since: date, until: date | None
) -> Row:
    ids = f"wechat:{wechat_sub_merchant_id(merchant.index)} alipay:{merchant.account_id}"
    if world.has_qr_gateway:
        ids += f" qr_gateway:{qr_gateway_merchant_id(merchant.index)}"
    return {
        "contract_id": f"C{merchant.index + 1:06d}-{version}",
        "merchant_id": merchant.merchant_id,
        "account_id": merchant.account_id,
        "settlement_mode": merchant.settlement_mode,
        "payout_minimum_minor": merchant.payout_minimum_minor,
        "settlement_cycle": CYCLES[merchant.index % len(CYCLES)] if world.has_cycles else "T+1",
        "refund_fee_policy": merchant.refund_fee_policy,
        "fee_period": "month",
        "fee_collection_method": merchant.fee_collection_method,
        "effective_from": since,
        "effective_to": until,
        "ended_on": None,
        "channel_merchant_ids": ids,
        "merchant_category_code": merchant.merchant_category_code,
    }


def fee_rate_rows(world: World) -> list[Row]:
    """Return the snapshot of fee rules: five for every contract, and a tier for every third.

    Every third merchant's WeChat rule is for its category. The tier is of a volume that is not
    known in the first months, so that the base prices.
    """
    rows: list[Row] = []
    for contract in contract_rows(world):
        contract_id = str(contract["contract_id"])
        merchant = world.merchants[int(contract_id[1:7]) - 1]
        # The second contract of the merchant that changes its terms has the next plan.
        plan = FEE_PLANS[(merchant.fee_plan + int(contract_id[-1]) - 1) % len(FEE_PLANS)]
        rules = (
            ("unionpay", "debit", "domestic", plan.debit),
            ("unionpay", "credit", "domestic", plan.credit),
            ("unionpay", None, "foreign", plan.foreign),
            ("wechat", None, None, plan.wechat),
            ("alipay", None, None, plan.alipay),
        )
        of_category = merchant.index % 3 == CATEGORY_MERCHANTS
        for number, (channel, card_kind, card_region, terms) in enumerate(rules, start=1):
            rows.append(
                {
                    "fee_rule_id": f"F{contract_id[1:]}-{number}",
                    "contract_id": contract_id,
                    "channel": channel,
                    "transaction_type": None,
                    "card_kind": card_kind,
                    "card_region": card_region,
                    "tier_from_minor": 0,
                    "fee_rate": terms.fee_rate,
                    "fixed_fee_minor": terms.fixed_fee_minor,
                    "minimum_fee_minor": terms.minimum_fee_minor,
                    "cap_fee_minor": terms.cap_fee_minor,
                    "effective_from": contract["effective_from"],
                    "effective_to": contract["effective_to"],
                    "priority": number * 10,
                    "merchant_category_code": (
                        merchant.merchant_category_code
                        if of_category and channel == "wechat"
                        else None
                    ),
                }
            )
        if merchant.index % 3 == TIERED_MERCHANTS:
            tier = {"tier_from_minor": TIER_FROM_MINOR, "fee_rate": TIER_FEE_RATE}
            rows.append(rows[-1] | {"fee_rule_id": f"F{contract_id[1:]}-6"} | tier)
        if world.has_qr_gateway:
            of_gateway = {"channel": "qr_gateway", "priority": 70, "fee_rate": QR_GATEWAY_FEE_RATE}
            rows.append(
                rows[-1]
                | {"fee_rule_id": f"F{contract_id[1:]}-7", "tier_from_minor": 0}
                | of_gateway
            )
        if world.has_foreign_cards:
            terms = plan.foreign
            rows.append(
                rows[0]
                | {
                    "fee_rule_id": f"F{contract_id[1:]}-8",
                    "channel": "upi",
                    "card_kind": None,
                    "card_region": "foreign",
                    "fee_rate": terms.fee_rate,
                    "fixed_fee_minor": terms.fixed_fee_minor,
                    "minimum_fee_minor": terms.minimum_fee_minor,
                    "cap_fee_minor": terms.cap_fee_minor,
                    "contract_id": contract_id,
                    "effective_from": contract["effective_from"],
                    "effective_to": contract["effective_to"],
                    "priority": 80,
                }
            )
    return rows


def payee_rows(world: World) -> list[Row]:
    """Return the snapshot of payees; one merchant's payee changes on the fifth day."""
    since = world.first_date - timedelta(days=200)
    change = world.first_date + timedelta(days=4)
    rows = []
    for merchant in world.merchants:
        changed = merchant.index == CHANGED_PAYEE_MERCHANT
        rows.append(_payee_row(merchant, 1, since, change if changed else None))
        if changed:
            rows.append(_payee_row(merchant, 2, change, None))
    return rows


def _payee_row(merchant: Merchant, version: int, since: date, until: date | None) -> Row:
    place = merchant.index + version - 1
    bank_name, bank = _BANKS[place % len(_BANKS)]
    region_name, region = _REGIONS[place % len(_REGIONS)]
    return {
        "payee_id": f"P{merchant.index + 1:06d}",
        "payee_version": version,
        "account_id": merchant.account_id,
        "bank_name": f"{bank_name}{region_name}分行",
        "bank_code": cnaps_number(bank, region, place % 9_000 + 1),
        "account_number": not_card_like("660000", 19, merchant.index * 10 + version),
        "account_name": f"测试商户{merchant.index + 1:06d}有限公司",
        "currency_code": "CNY",
        "payee_status": "active",
        "effective_from": since,
        "effective_to": until,
    }


def planned_advances(world: World) -> list[tuple[str, date, int, int]]:
    """Return the advances of the simulation: id, day, merchant, fen; of the 2nd and the 4th day."""
    days = ((1, ADVANCED_MERCHANT, 5_000), (3, CALM_MERCHANT, 8_000))
    planned = [(world.first_date + timedelta(days=day), who, amount) for day, who, amount in days]
    return [(f"D{day:%Y%m%d}000001", day, who, amount) for day, who, amount in planned]


def advance_rows(world: World, accounting_date: date) -> list[Row]:
    """Return the advances paid up to ``accounting_date``."""
    return [
        {
            "advance_id": advance_id,
            "account_id": world.merchants[merchant_index].account_id,
            "advanced_on": advanced_on,
            "for_accounting_date": advanced_on,
            "currency_code": "CNY",
            "amount_minor": amount_minor,
            "advance_fee_minor": amount_minor // 2_000,
        }
        for advance_id, advanced_on, merchant_index, amount_minor in planned_advances(world)
        if advanced_on <= accounting_date
    ]


def freeze_rows(world: World, accounting_date: date) -> list[Row]:
    """Return the freezes known on ``accounting_date``: one is lifted, one exceeds the balance.

    Where the platform states orders, each has its kind, the second its court, and a third of the
    first is released on the fourth day.
    """
    lifted_on = world.first_date + timedelta(days=5)
    plans = (
        (1, 0, FROZEN_MERCHANT, 30_000, "risk_review", lifted_on),
        (2, 2, KEEP_FEE_MERCHANT, 900_000_000_000, "court_order", None),
    )
    rows: list[Row] = []
    for number, day, merchant_index, amount_minor, reason_code, until in plans:
        since = world.first_date + timedelta(days=day)
        if since <= accounting_date:
            rows.append(
                {
                    "freeze_id": f"Z{number:06d}",
                    "account_id": world.merchants[merchant_index].account_id,
                    "currency_code": "CNY",
                    "amount_minor": amount_minor,
                    "reason_code": reason_code,
                    "effective_from": since,
                    "effective_to": until,
                }
            )
    return [*map(_ordered(world, accounting_date), rows)] if world.states_orders else rows


def _ordered(world: World, accounting_date: date) -> Callable[[Row], Row]:
    """Return what gives a freeze its order, as of a date."""
    released = accounting_date >= world.first_date + timedelta(days=3)

    def order(row: Row) -> Row:
        is_judicial = row["reason_code"] == "court_order"
        return {
            **row,
            "freeze_kind": "judicial" if is_judicial else "risk",
            "order_number": f"(2026)京0105执{row['freeze_id']}号" if is_judicial else None,
            "issued_by": "北京市朝阳区人民法院" if is_judicial else None,
            "settlement_session_type": None,
            "released_amount_minor": 10_000 if released and not is_judicial else None,
        }

    return order
