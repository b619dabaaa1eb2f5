"""The rules of reconciliation in plain, slow, obvious Python: the oracle of the SQL.

Written from docs/reconciliation.md and docs/domain.md, not from the models.
It reads what was landed (`Landed`), closes a week date by date, and says every outcome, every
suspense item, the roll-forward, and each term of the balance equation. Amounts are whole minor
units; nothing here is fast, and nothing here knows a query.

The comments name the paragraph of docs/reconciliation.md that a step follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
ONE_DAY = timedelta(days=1)
CHARGED_TYPES = ("purchase", "preauth_completion")
Key = tuple[str | None, ...]
Row = Mapping[str, Any]
L = TypeVar("L")
R = TypeVar("R")

# --- what was landed ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MatchRule:
    """One key of a channel; rule 1 is the primary key."""

    rule_no: int
    name: str
    key_columns: tuple[str, ...]
    required_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """What reference data says of a channel; cutoffs in minutes after 00:00 of the date."""

    name: str
    currencies: tuple[str, ...]
    platform_cutoff_minutes: int
    cutoff_minutes: int
    skew_minutes: int
    doubt_period_closes: int
    arrival_calendar: str
    arrival_lag_days: int
    voided_pairs: str
    rules: tuple[MatchRule, ...]

    @property
    def cuts_later(self) -> bool:
        """The channel's date ends after the platform's."""
        return self.cutoff_minutes > self.platform_cutoff_minutes


@dataclass(frozen=True, slots=True)
class Voucher:
    """A source voucher of the platform; the amount is signed from the merchant's side."""

    file_id: str
    line_number: int
    accounting_date: date
    voucher_id: str
    transaction_at: datetime
    transaction_type: str
    is_success: bool
    merchant_id: str
    account_id: str
    channel: str
    currency_code: str
    amount_minor: int
    card_kind: str
    card_region: str
    references: Mapping[str, str | None]
    original_voucher_id: str | None
    original_transaction_at: datetime | None
    original_amount_minor: int | None
    original_refunded_before_minor: int | None


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A row of a channel's transaction file; cost + = the channel keeps it."""

    file_id: str
    line_number: int
    accounting_date: date
    transaction_at: datetime
    transaction_type: str
    channel: str
    currency_code: str
    amount_minor: int
    cost_minor: int
    references: Mapping[str, str | None]
    merchant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A row of a channel's adjustment file; effects + = the channel gives us money."""

    adjustment_id: str
    file_id: str
    line_number: int
    accounting_date: date
    adjustment_type: str
    channel: str
    currency_code: str
    funds_effect_minor: int
    fees_effect_minor: int
    original_references: Mapping[str, str | None]
    merchant_id: str | None = None
    original_amount_minor: int | None = None
    original_settlement_date: date | None = None


@dataclass(frozen=True, slots=True)
class AdjustmentType:
    """Where the money of a kind of adjustment belongs."""

    equation_term: str
    default_disposition: str


@dataclass(frozen=True, slots=True)
class BrandFee:
    """A brand fee of a channel; + = we pay."""

    accounting_date: date
    channel: str
    currency_code: str
    brand_fee_minor: int


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of a bank statement; credit +."""

    statement_date: date
    currency_code: str
    amount_minor: int
    counterparty_name: str | None
    remittance_text: str | None


@dataclass(frozen=True, slots=True)
class BankLineRule:
    """Which channel a bank line belongs to; the reference's first group is the arrival date."""

    rule_no: int
    line_kind: str
    channel: str | None
    counterparty_pattern: str | None
    reference_pattern: str | None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract of a merchant as the platform's snapshot of a date says it."""

    snapshot_date: date
    contract_id: str
    merchant_id: str
    account_id: str
    settlement_mode: str
    refund_fee_policy: str
    merchant_category_code: str | None
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class FeeRate:
    """A fee rule of a contract as the platform's snapshot of a date says it."""

    snapshot_date: date
    fee_rule_id: str
    contract_id: str
    channel: str | None
    transaction_type: str | None
    card_kind: str | None
    card_region: str | None
    tier_from_minor: int
    fee_rate: Decimal
    fixed_fee_minor: int
    minimum_fee_minor: int
    cap_fee_minor: int | None
    merchant_category_code: str | None
    effective_from: date
    effective_to: date | None
    priority: int


@dataclass(frozen=True, slots=True)
class Action:
    """What a person decided about open items; it counts when a second person approved it."""

    action_id: int
    kind: str
    item_id: str
    second_item_id: str | None
    effective_on: date
    is_approved: bool
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """Everything the rules read: landed rows and reference data."""

    channels: tuple[Channel, ...]
    pool_types: frozenset[str]
    cleared_types: frozenset[str]
    adjustment_types: Mapping[str, AdjustmentType]
    working_days: frozenset[date]
    vouchers: tuple[Voucher, ...]
    records: tuple[ChannelRecord, ...]
    adjustments: tuple[Adjustment, ...]
    brand_fees: tuple[BrandFee, ...]
    bank_lines: tuple[BankLine, ...]
    bank_line_rules: tuple[BankLineRule, ...]
    contracts: tuple[Contract, ...]
    fee_rates: tuple[FeeRate, ...]
    actions: tuple[Action, ...]


KEY_COLUMNS = (
    "acquiring_institution_id",
    "forwarding_institution_id",
    "trace_number",
    "transmission_time",
    "retrieval_reference_number",
    "terminal_id",
    "channel_order_id",
    "refund_order_id",
    "merchant_order_id",
)
# The tables `landed` reads; all columns of each.
TABLES = (
    "control.channel_files",
    "reference.channels",
    "reference.channel_currencies",
    "reference.match_rules",
    "reference.transaction_types",
    "reference.adjustment_types",
    "reference.bank_line_rules",
    "reference.calendar_days",
    "raw.platform_source_vouchers",
    "raw.platform_contracts",
    "raw.platform_fee_rates",
    "raw.unionpay_acomn",
    "raw.unionpay_aerrn",
    "raw.unionpay_alfee",
    "raw.wechat_trade_bill",
    "raw.alipay_trade_bill",
    "raw.bank_statement_lines",
    "reconciliation.actions",
    "reconciliation.action_approvals",
)


def landed(tables: Mapping[str, Sequence[Row]]) -> Landed:
    """Make the oracle's input of whole tables (`TABLES`), row by row as they are stored."""
    channel_of = {
        row["file_id"]: row["channel"]
        for row in tables["control.channel_files"]
        if row["status"] == "landed"
    }

    def counted(name: str) -> list[Row]:
        return [row for row in tables[name] if row["file_id"] in channel_of]

    approved = {row["action_id"] for row in tables["reconciliation.action_approvals"]}
    types = tables["reference.transaction_types"]
    return Landed(
        channels=tuple(_channel(row, tables) for row in tables["reference.channels"]),
        pool_types=frozenset(row["transaction_type"] for row in types if row["is_in_pool"]),
        cleared_types=frozenset(row["transaction_type"] for row in types if row["is_cleared"]),
        adjustment_types={
            row["adjustment_type"]: AdjustmentType(row["equation_term"], row["default_disposition"])
            for row in tables["reference.adjustment_types"]
        },
        working_days=frozenset(
            row["calendar_date"]
            for row in tables["reference.calendar_days"]
            if row["is_working_day"]
        ),
        vouchers=tuple(_voucher(row) for row in counted("raw.platform_source_vouchers")),
        records=(
            *(_unionpay(row, channel_of) for row in counted("raw.unionpay_acomn")),
            *(_wechat(row, channel_of) for row in counted("raw.wechat_trade_bill")),
            *(_alipay(row, channel_of) for row in counted("raw.alipay_trade_bill")),
        ),
        adjustments=tuple(_adjustment(row, channel_of) for row in counted("raw.unionpay_aerrn")),
        brand_fees=tuple(
            BrandFee(
                row["accounting_date"],
                channel_of[row["file_id"]],
                row["currency_code"],
                row["brand_fee_minor"],
            )
            for row in counted("raw.unionpay_alfee")
        ),
        bank_lines=tuple(_pick(BankLine, row) for row in counted("raw.bank_statement_lines")),
        bank_line_rules=tuple(
            _pick(BankLineRule, row) for row in tables["reference.bank_line_rules"]
        ),
        contracts=tuple(
            _pick(Contract, {**row, "snapshot_date": row["accounting_date"]})
            for row in counted("raw.platform_contracts")
        ),
        fee_rates=tuple(
            _pick(FeeRate, {**row, "snapshot_date": row["accounting_date"]})
            for row in counted("raw.platform_fee_rates")
        ),
        actions=tuple(
            Action(
                row["action_id"],
                row["action_kind"],
                row["suspense_item_id"],
                row["second_item_id"],
                row["effective_on"],
                row["action_id"] in approved,
                row["account_id"],
            )
            for row in tables["reconciliation.actions"]
        ),
    )


def _pick(kind: type[Any], row: Row) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _channel(row: Row, tables: Mapping[str, Sequence[Row]]) -> Channel:
    rules = [
        MatchRule(
            rule["rule_no"],
            rule["match_rule"],
            tuple(rule["key_columns"].split()),
            tuple(rule["required_columns"].split()),
        )
        for rule in tables["reference.match_rules"]
        if rule["channel"] == row["channel"]
    ]
    currencies = [
        found["currency_code"]
        for found in tables["reference.channel_currencies"]
        if found["channel"] == row["channel"]
    ]
    return Channel(
        name=row["channel"],
        currencies=tuple(sorted(currencies)),
        platform_cutoff_minutes=row["platform_cutoff_minutes"],
        cutoff_minutes=row["cutoff_minutes"],
        skew_minutes=row["skew_minutes"],
        doubt_period_closes=row["doubt_period_closes"],
        arrival_calendar=row["arrival_calendar"],
        arrival_lag_days=row["arrival_lag_days"],
        voided_pairs=row["voided_pairs"],
        rules=tuple(sorted(rules, key=lambda rule: rule.rule_no)),
    )


def _references(**known: str | None) -> dict[str, str | None]:
    return {column: known.get(column) or None for column in KEY_COLUMNS}


def _voucher(row: Row) -> Voucher:
    same = {
        name: row[name]
        for name in Voucher.__dataclass_fields__
        if name not in ("is_success", "references")
    }
    return Voucher(
        **same,
        is_success=row["transaction_status"] == "success",
        references=_references(**{column: row[column] for column in KEY_COLUMNS}),
    )


def _unionpay(row: Row, channel_of: Mapping[str, str]) -> ChannelRecord:
    columns = (*KEY_COLUMNS[:6],)
    return ChannelRecord(
        file_id=row["file_id"],
        line_number=row["line_number"],
        accounting_date=row["accounting_date"],
        transaction_at=row["transmitted_at"],
        transaction_type=row["transaction_type"],
        channel=channel_of[row["file_id"]],
        currency_code=row["currency_code"],
        amount_minor=row["amount_minor"],
        cost_minor=row["interchange_payable_minor"]
        - row["interchange_receivable_minor"]
        + row["network_fee_minor"],
        references=_references(**{column: row[column] for column in columns}),
        merchant_id=row.get("merchant_id"),
    )


def _wechat(row: Row, channel_of: Mapping[str, str]) -> ChannelRecord:
    is_payment = row["transaction_type"] == "purchase"
    refund = row["channel_refund_id"]
    return ChannelRecord(
        file_id=row["file_id"],
        line_number=row["line_number"],
        accounting_date=row["accounting_date"],
        transaction_at=row["transaction_at"],
        transaction_type=row["transaction_type"],
        channel=channel_of[row["file_id"]],
        currency_code=row["currency_code"],
        # 应结订单金额 of a payment, 退款金额 of a refund, printed positive.
        amount_minor=row["settlement_amount_minor"] if is_payment else -row["refund_amount_minor"],
        cost_minor=row["fee_minor"],
        references=_references(
            channel_order_id=row["channel_order_id"],
            merchant_order_id=row["merchant_order_id"],
            refund_order_id=None if refund == "0" else refund,
            terminal_id=row["device_id"],
        ),
        merchant_id=row.get("sub_merchant_id"),
    )


def _alipay(row: Row, channel_of: Mapping[str, str]) -> ChannelRecord:
    # docs/formats: the kind decides the sign; the fee of a payment is printed negative.
    received = abs(row["merchant_received_minor"])
    return ChannelRecord(
        file_id=row["file_id"],
        line_number=row["line_number"],
        accounting_date=row["accounting_date"],
        transaction_at=row["finished_at"],
        transaction_type=row["transaction_type"],
        channel=channel_of[row["file_id"]],
        currency_code=row["currency_code"],
        amount_minor=received if row["transaction_type"] == "purchase" else -received,
        cost_minor=-row["service_fee_minor"],
        references=_references(
            channel_order_id=row["channel_order_id"],
            merchant_order_id=row["merchant_order_id"],
            refund_order_id=row["refund_request_id"],
            terminal_id=row["terminal_id"],
        ),
        merchant_id=row.get("store_id"),
    )


def _adjustment(row: Row, channel_of: Mapping[str, str]) -> Adjustment:
    return Adjustment(
        adjustment_id=f"{row['file_id']}:{row['line_number']}",
        file_id=row["file_id"],
        line_number=row["line_number"],
        accounting_date=row["accounting_date"],
        adjustment_type=row["adjustment_type"],
        channel=channel_of[row["file_id"]],
        currency_code=row["currency_code"],
        funds_effect_minor=row["funds_effect_minor"],
        fees_effect_minor=row["interchange_receivable_minor"]
        - row["interchange_payable_minor"]
        + row["fee_receivable_minor"]
        - row["fee_payable_minor"],
        original_references=_references(
            acquiring_institution_id=row["acquiring_institution_id"],
            forwarding_institution_id=row["forwarding_institution_id"],
            trace_number=row["original_trace_number"],
            transmission_time=row["original_transmission_time"],
            retrieval_reference_number=row["retrieval_reference_number"],
            terminal_id=row["terminal_id"],
        ),
        merchant_id=row["merchant_id"],
        original_amount_minor=row.get("original_amount_minor"),
        original_settlement_date=row.get("original_settlement_date"),
    )


# --- what the rules say -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of either side on the date of its pool. ``keys`` has one place a rule, or None."""

    side: str
    source_id: str
    channel: str
    currency_code: str
    amount_minor: int
    transaction_type: str
    transaction_at: datetime
    file_id: str
    line_number: int
    account_id: str | None
    keys: tuple[Key | None, ...]
    # The ids of the voucher's merchant; of a record the one it names, if any.
    merchant_ids: frozenset[str] = frozenset()
    terminal_id: str | None = None
    references: Mapping[str, str | None] = field(default_factory=dict, compare=False)

    @property
    def item_id(self) -> str:
        """The id of its suspense item, should it open."""
        return f"{'S' if self.side == 'system' else 'C'}:{self.source_id}"

    @property
    def order(self) -> tuple[datetime, str, int]:
        """§1 Order: "first" among records."""
        return self.transaction_at, self.file_id, self.line_number


@dataclass(frozen=True, slots=True)
class Item:
    """An open item as it stands at the end of a date, or on the date it ended."""

    entry: Entry
    status: str
    opened_on: date
    break_reason: str | None = None
    linked_item_id: str | None = None
    resolved_on: date | None = None
    resolution_method: str | None = None
    resolved_by: tuple[str, ...] = ()

    @property
    def item_id(self) -> str:
        """Its id."""
        return self.entry.item_id

    @property
    def is_open(self) -> bool:
        """It has not ended."""
        return self.status in ("in_doubt", "one_sided")

    @property
    def order(self) -> tuple[Any, ...]:
        """§1 Order: "first" among open items."""
        return self.opened_on, *self.entry.order

    @property
    def variance_kind(self) -> str:
        """Rulings 4: the sign of channel − system of the item."""
        amount = self.entry.amount_minor
        difference = amount if self.entry.side == "channel" else -amount
        return "overage" if difference > 0 else "shortage"


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the results. ``linked_to`` is the item of the row it is linked with."""

    accounting_date: date
    channel: str
    currency_code: str
    outcome: str
    system_id: str | None
    channel_id: str | None
    system_amount_minor: int | None
    channel_amount_minor: int | None
    break_reason: str | None = None
    match_rule: str | None = None
    opened_on: date | None = None
    linked_to: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """Count and amount of one step of the roll-forward."""

    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class RollForward:
    """Per date, channel, side and currency."""

    accounting_date: date
    channel: str
    side: str
    currency_code: str
    opening: Movement
    opened: Movement
    resolved: Movement
    adjusted: Movement
    written_off: Movement
    closing: Movement


@dataclass(frozen=True, slots=True)
class Close:
    """One channel's close of one date: what was found, and what stands at its end."""

    accounting_date: date
    channel: str
    system: tuple[Entry, ...]
    from_channel: tuple[Entry, ...]
    results: tuple[Result, ...]
    items: tuple[Item, ...]
    roll_forwards: tuple[RollForward, ...]
    suspended: tuple[Adjustment, ...] = ()
    applied_action_ids: tuple[int, ...] = ()
    refused_action_ids: tuple[int, ...] = ()
    refused_voucher_ids: tuple[str, ...] = ()
    late_adjustment_ids: tuple[str, ...] = ()  # applied, and suspended since an earlier date


@dataclass(frozen=True, slots=True)
class Equation:
    """The balance equation of one arrival group, as signed by the public table."""

    payment_date: date
    arrival_date: date
    channel: str
    currency_code: str
    accounting_dates: tuple[date, ...]
    bank_arrival: int
    channel_suspense_opened: int
    channel_suspense_resolved: int
    system_suspense_opened: int
    system_suspense_resolved: int
    channel_cost: int
    brand_fee: int
    adjustments_taken: int
    fee_collections: int
    merchant_fee: int
    clearing: int

    @property
    def residual(self) -> int:
        """Left less right, 0 when what came is what is owed (docs/domain.md#balance-equation)."""
        return (
            self.bank_arrival
            - self.channel_suspense_opened
            + self.channel_suspense_resolved
            + self.system_suspense_opened
            - self.system_suspense_resolved
            + self.channel_cost
            + self.brand_fee
            + self.adjustments_taken
            + self.fee_collections
            - self.merchant_fee
            - self.clearing
        )


def by_channel(source: Landed) -> dict[str, Landed]:
    """What concerns each channel, alone: so that no rule can look across."""
    found = {}
    for channel in source.channels:
        vouchers = tuple(row for row in source.vouchers if row.channel == channel.name)
        merchants = {row.merchant_id for row in vouchers}
        contracts = tuple(row for row in source.contracts if row.merchant_id in merchants)
        contract_ids = {row.contract_id for row in contracts}
        found[channel.name] = replace(
            source,
            channels=(channel,),
            vouchers=vouchers,
            records=tuple(row for row in source.records if row.channel == channel.name),
            adjustments=tuple(row for row in source.adjustments if row.channel == channel.name),
            brand_fees=tuple(row for row in source.brand_fees if row.channel == channel.name),
            contracts=contracts,
            fee_rates=tuple(row for row in source.fee_rates if row.contract_id in contract_ids),
        )
    return found


def close_week(source: Landed, dates: Sequence[date]) -> dict[str, list[Close]]:
    """Close ``dates`` in order, from nothing open; the closes of each channel by its name."""
    return {
        name: close_channel(alone, alone.channels[0], dates)
        for name, alone in by_channel(source).items()
    }


def close_channel(source: Landed, channel: Channel, dates: Sequence[date]) -> list[Close]:
    """Close ``dates`` in order for one channel; nothing of another channel is looked at."""
    vouchers = [row for row in source.vouchers if row.channel == channel.name]
    records = [row for row in source.records if row.channel == channel.name]
    history = _History(channel, vouchers, min(dates))
    closes: list[Close] = []
    open_items: list[Item] = []
    suspended: tuple[Adjustment, ...] = ()
    for day in dates:
        history.refuse(day)
        kept = [row for row in vouchers if row.voucher_id not in history.refused]
        done = _close(
            source,
            channel,
            day,
            system=system_pool(source, channel, kept, day),
            from_channel=channel_pool(source, channel, records, day),
            open_items=open_items,
            suspended=suspended,
            history=history,
        )
        history.ended |= {item.item_id: item.status for item in done.items}
        closes.append(done)
        open_items = [item for item in done.items if item.is_open]
        suspended = done.suspended
    return closes


# --- §1: history --------------------------------------------------------------------------------

RETURNS = ("refund", "void", "reversal")
DISPUTES = ("first_chargeback", "representment", "second_chargeback")
DAYS_OF_REFUSALS = timedelta(days=7)


def _contradicts(voucher: Voucher, original: Voucher) -> bool:
    """Decisions 0036: what a voucher says of its original is not what landed."""
    kinds = ("purchase", "preauth_completion")
    if voucher.transaction_type == "preauth_completion":
        kinds = ("pre_authorisation",)
    return (
        (original.merchant_id, original.account_id, original.currency_code)
        != (voucher.merchant_id, voucher.account_id, voucher.currency_code)
        or original.transaction_type not in kinds
        or original.transaction_at > voucher.transaction_at
        or voucher.original_transaction_at not in (None, original.transaction_at)
        or (
            original.amount_minor != 0
            and voucher.original_amount_minor not in (None, original.amount_minor)
        )
        or (not original.is_success and voucher.transaction_type != "reversal")
    )


def _looked_up_by(references: Mapping[str, str | None]) -> tuple[str | None, ...] | None:
    """Decisions 0036: what the register is searched by, whatever a channel's rules name."""
    order, refund = references["channel_order_id"], references["refund_order_id"]
    trace, sent = references["trace_number"], references["transmission_time"]
    if order is not None:
        return (order, refund)
    if trace is not None and sent is not None:
        return (trace, sent)
    merchant_order = references["merchant_order_id"]
    return None if merchant_order is None else (merchant_order, refund)


@dataclass(frozen=True)
class _Dispute:
    """What chargebacks took of a sale's account, what representments gave back of it, the end."""

    taken: int = 0
    given_back: int = 0
    is_final: bool = False

    def next(self, kind: str, effect: int) -> _Dispute | None:
        """The dispute after one more record of it; None where the record is not its next step."""
        if kind not in DISPUTES:
            return self
        given_back = self.given_back + (0 if kind == "first_chargeback" else effect)
        after = _Dispute(self.taken - effect, given_back, kind == "second_chargeback")
        if self.is_final or (kind == "representment" and after.taken < 0):
            return None
        return None if kind == "second_chargeback" and given_back < 0 else after


@dataclass
class _History:
    """What landed and what was given back, over the dates; and what became of each voucher."""

    channel: Channel
    vouchers: Sequence[Voucher]
    first_date: date
    refused: dict[str, date] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    charged_back: dict[str, int] = field(default_factory=dict)
    disputes: dict[str, _Dispute] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    def refuse(self, day: date) -> None:
        """Judge the date's vouchers that refer to an original, first to last."""
        by_id = {voucher.voucher_id: voucher for voucher in self.vouchers}
        for voucher in sorted(
            self.vouchers, key=lambda found: (found.transaction_at, found.voucher_id)
        ):
            gives_back = voucher.transaction_type in RETURNS
            is_completion = voucher.transaction_type == "preauth_completion"
            if voucher.accounting_date != day or not voucher.is_success:
                continue
            if not (gives_back or is_completion):
                continue
            original = by_id.get(voucher.original_voucher_id or "")
            if original is not None and original.accounting_date > day:
                original = None
            if not self._stands(voucher, original, gives_back=gives_back):
                self.refused[voucher.voucher_id] = day

    def _stands(self, voucher: Voucher, original: Voucher | None, *, gives_back: bool) -> bool:
        if original is not None and _contradicts(voucher, original):
            return False
        if not gives_back or (original is not None and not original.is_success):
            return True
        key = voucher.original_voucher_id or f"of {voucher.voucher_id}"
        refunded = self.refunded.get(key, 0)
        before = refunded + self.charged_back.get(key, 0)
        if original is None:
            opens = at_minutes(self.first_date - ONE_DAY, self.channel.platform_cutoff_minutes)
            amount = voucher.original_amount_minor or 0
            stated = voucher.original_refunded_before_minor or 0
            refunded += max(0, stated - before)
            before = max(before, stated)
            is_known_enough = (
                voucher.original_transaction_at is not None
                and voucher.original_transaction_at < opens
            )
        else:
            amount = original.amount_minor
            is_known_enough = voucher.original_refunded_before_minor in (None, before, refunded)
        is_whole = voucher.transaction_type == "refund" or voucher.amount_minor == -amount
        fits = 0 < -voucher.amount_minor <= amount - before
        if is_known_enough and is_whole and fits:
            self.refunded[key] = refunded - voucher.amount_minor
            return True
        return False

    def _keys(self, voucher: Voucher) -> tuple[Key | None, ...]:
        return tuple(key_of(rule, voucher.references) for rule in self.channel.rules)

    def refused_for(self, entry: Entry, day: date) -> Voucher | None:
        """The voucher of this record that was refused, on this date or one of the seven before."""
        found = []
        for voucher in self.vouchers:
            on = self.refused.get(voucher.voucher_id)
            if on is None or not day - DAYS_OF_REFUSALS <= on <= day:
                continue
            keys = self._keys(voucher)
            if None not in (keys[0], entry.keys[0]):
                is_its = keys[0] == entry.keys[0]
            else:
                is_its = any(
                    mine is not None and mine == other
                    for mine, other in zip(keys[1:], entry.keys[1:], strict=True)
                )
            if is_its:
                found.append((-on.toordinal(), voucher.voucher_id, voucher))
        return min(found, key=lambda one: one[:2])[2] if found else None

    def with_account(self, entry: Entry, refused: Voucher) -> Entry:
        """The record of a refused voucher is of the account of the original in our history."""
        accounts = [
            voucher.account_id
            for voucher in self.vouchers
            if voucher.voucher_id == refused.original_voucher_id
            and voucher.accounting_date <= refused.accounting_date
        ]
        return replace(entry, account_id=accounts[0]) if accounts else entry

    def is_paired(self, voucher: Voucher, day: date) -> bool:
        """It was paired on its own date, or later, before ``day``."""
        return (
            voucher.accounting_date < day
            and self.ended.get(f"S:{voucher.voucher_id}", "resolved") == "resolved"
        )

    def was_paired(self, entry: Entry, day: date) -> bool:
        """The latest voucher of its reference was paired on an earlier date."""
        found = [
            voucher
            for voucher in self.vouchers
            if voucher.accounting_date < day
            and voucher.is_success
            and voucher.currency_code == entry.currency_code
            and (voucher.amount_minor > 0) == (entry.amount_minor > 0)
            and entry.keys[0] is not None
            and self._keys(voucher)[0] == entry.keys[0]
            and _looked_up_by(voucher.references) == _looked_up_by(entry.references)
        ]
        if not found:
            return False
        latest = min(found, key=lambda one: (-one.accounting_date.toordinal(), one.voucher_id))
        return self.is_paired(latest, day)

    def original_of(self, adjustment: Adjustment, day: date) -> Voucher | None:
        """Decisions 0036: the sale an adjustment names, by trace, time and what else it says."""
        says = adjustment.original_references
        if says["trace_number"] is None or says["transmission_time"] is None:
            return None
        names = (
            "acquiring_institution_id",
            "forwarding_institution_id",
            "retrieval_reference_number",
        )
        found = [
            voucher
            for voucher in self.vouchers
            if voucher.accounting_date <= day
            and voucher.is_success
            and voucher.transaction_type in ("purchase", "preauth_completion")
            and voucher.currency_code == adjustment.currency_code
            and _looked_up_by(voucher.references)
            == (says["trace_number"], says["transmission_time"])
            and voucher.merchant_id == (adjustment.merchant_id or voucher.merchant_id)
            and adjustment.original_amount_minor in (None, voucher.amount_minor)
            and (
                adjustment.original_settlement_date is None
                or abs((voucher.accounting_date - adjustment.original_settlement_date).days) <= 3
            )
            and all(
                None in (says[name], voucher.references[name])
                or says[name] == voucher.references[name]
                for name in names
            )
        ]
        latest = max((voucher.accounting_date for voucher in found), default=None)
        found = [voucher for voucher in found if voucher.accounting_date == latest]
        if len({voucher.account_id for voucher in found}) != 1:
            return None
        return min(found, key=lambda one: one.voucher_id)

    def charge(
        self,
        adjustments: Sequence[tuple[Adjustment, bool]],
        day: date,
        is_blocked: Callable[[Adjustment], bool],
        has_contract: Callable[[Voucher], bool],
    ) -> set[str]:
        """The ids charged to their sale's account, of (record, whether its kind is charged)."""
        charged: set[str] = set()
        totals: dict[str, int] = {}
        disputes: dict[str, _Dispute] = {}
        waits: set[str] = set()
        for adjustment, is_charged_kind in adjustments:
            original = self.original_of(adjustment, day)
            if original is None:
                continue
            if not is_charged_kind and not (
                adjustment.adjustment_type == "credit_adjustment" and self.is_paired(original, day)
            ):
                continue
            key = original.voucher_id
            before = totals.get(key, self.refunded.get(key, 0) + self.charged_back.get(key, 0))
            totals[key] = before - adjustment.funds_effect_minor
            dispute = disputes.get(key, self.disputes.get(key, _Dispute()))
            after = dispute.next(adjustment.adjustment_type, adjustment.funds_effect_minor)
            fits = 0 <= totals[key] <= original.amount_minor
            if after is None or not fits or not has_contract(original):
                # What comes behind one that waits, waits.
                waits.add(key)
            if key in waits:
                continue
            disputes[key] = after or dispute
            if is_charged_kind or not is_blocked(adjustment):
                charged.add(adjustment.adjustment_id)
                self.charged_back[key] = (
                    self.charged_back.get(key, 0) - adjustment.funds_effect_minor
                )
        self.disputes |= disputes
        return charged


# --- §1: records --------------------------------------------------------------------------------


def key_of(rule: MatchRule, references: Mapping[str, str | None]) -> Key | None:
    """§1 Keys: the key of a rule, or None where a required column is empty."""
    if any(references[column] is None for column in rule.required_columns):
        return None
    return tuple(references[column] for column in rule.key_columns)


def is_reversal_of_nothing(voucher: Voucher, vouchers: Iterable[Voucher]) -> bool:
    """§1: the reversal of a voucher that is not a success, of whatever date."""
    if voucher.transaction_type != "reversal":
        return False
    return any(
        original.voucher_id == voucher.original_voucher_id
        and original.accounting_date <= voucher.accounting_date
        and not original.is_success
        for original in vouchers
    )


def system_pool(
    source: Landed, channel: Channel, vouchers: Sequence[Voucher], day: date
) -> list[Entry]:
    """§1: the system records of a date, first to last."""
    pool = [
        voucher
        for voucher in vouchers
        if voucher.accounting_date == day
        and voucher.is_success
        and voucher.transaction_type in source.pool_types
        and not is_reversal_of_nothing(voucher, vouchers)
    ]
    if channel.voided_pairs == "none":
        gone = set()
        for voided in pool:
            if voided.transaction_type not in ("void", "reversal"):
                continue
            for original in vouchers:
                if (
                    original.voucher_id == voided.original_voucher_id
                    and original.accounting_date == day
                    and original.is_success
                    and original.amount_minor == -voided.amount_minor
                ):
                    gone |= {voided.voucher_id, original.voucher_id}
        pool = [voucher for voucher in pool if voucher.voucher_id not in gone]
    entries = [
        Entry(
            side="system",
            source_id=voucher.voucher_id,
            channel=channel.name,
            currency_code=voucher.currency_code,
            amount_minor=voucher.amount_minor,
            transaction_type=voucher.transaction_type,
            transaction_at=voucher.transaction_at,
            file_id=voucher.file_id,
            line_number=voucher.line_number,
            account_id=voucher.account_id,
            keys=tuple(key_of(rule, voucher.references) for rule in channel.rules),
            merchant_ids=frozenset({voucher.merchant_id}),
            terminal_id=voucher.references.get("terminal_id"),
            references=voucher.references,
        )
        for voucher in pool
    ]
    return sorted(entries, key=lambda entry: entry.order)


def channel_pool(
    source: Landed, channel: Channel, records: Sequence[ChannelRecord], day: date
) -> list[Entry]:
    """§1: the channel records of a date, first to last."""
    entries = [
        Entry(
            side="channel",
            source_id=f"{record.file_id}:{record.line_number}",
            channel=channel.name,
            currency_code=record.currency_code,
            amount_minor=record.amount_minor,
            transaction_type=record.transaction_type,
            transaction_at=record.transaction_at,
            file_id=record.file_id,
            line_number=record.line_number,
            account_id=None,
            keys=tuple(key_of(rule, record.references) for rule in channel.rules),
            merchant_ids=frozenset({record.merchant_id} if record.merchant_id else ()),
            terminal_id=record.references.get("terminal_id"),
            references=record.references,
        )
        for record in records
        if record.accounting_date == day and record.transaction_type in source.pool_types
    ]
    return sorted(entries, key=lambda entry: entry.order)


# --- §2 to §4: one date of one channel ----------------------------------------------------------


@dataclass
class _Pairs:
    """What is left of T and of the open items while the steps of §2 go on."""

    system: list[Entry]
    channel: list[Entry]
    open_system: list[Item]
    open_channel: list[Item]
    results: list[Result] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    paired_keys: set[tuple[int, Key]] = field(default_factory=set)
    of_other_merchants: list[Item] = field(default_factory=list)


def _close(
    source: Landed,
    channel: Channel,
    day: date,
    *,
    system: list[Entry],
    from_channel: list[Entry],
    open_items: Sequence[Item],
    suspended: Sequence[Adjustment],
    history: _History,
) -> Close:
    before = sorted(open_items, key=lambda item: item.order)
    pairs = _Pairs(
        system=list(system),
        channel=list(from_channel),
        open_system=[item for item in before if item.entry.side == "system"],
        open_channel=[item for item in before if item.entry.side == "channel"],
    )
    _pair_exactly(channel, day, pairs)
    for item in pairs.of_other_merchants:
        (pairs.open_system if item.entry.side == "system" else pairs.open_channel).append(item)
    _link_mismatches(channel, day, pairs)
    _open_the_rest(channel, day, pairs, history)
    for place, item in enumerate(pairs.open_channel):
        refused = history.refused_for(item.entry, day)
        if refused is not None:
            entry = history.with_account(item.entry, refused)
            is_free = item in before  # not linked by this close
            pairs.open_channel[place] = replace(
                item,
                entry=entry,
                status="one_sided",
                break_reason="refused_voucher" if is_free else item.break_reason,
            )
    resolved_late = [item for item in pairs.items if item.status == "resolved"]
    opened = [item for item in pairs.items if item.opened_on == day]
    still_open = [_aged(channel, item, day) for item in (*pairs.open_system, *pairs.open_channel)]

    # §4: what ended in one step is out of the next.
    todo = [
        action
        for action in sorted(source.actions, key=lambda action: action.action_id)
        if action.effective_on == day and action.is_approved
    ]
    applied: list[int] = []
    still_open, ended_by_hand, paired_rows = _pair_by_hand(day, still_open, todo, applied)
    keys_before = {item.entry.keys[0] for item in before}
    still_open, adjusted, used, waiting = _adjust(
        source, channel, day, still_open, suspended, history=history, keys_before=keys_before
    )
    still_open, ended_by_persons = _end_by_persons(day, still_open, todo, applied)

    ended = [*resolved_late, *ended_by_hand, *adjusted, *ended_by_persons]
    results = [*pairs.results, *paired_rows]
    items = [*ended, *still_open, *opened]
    mine = {item.item_id for item in items}
    refused = [
        action.action_id
        for action in todo
        if action.action_id not in applied and action.item_id in mine
    ]
    return Close(
        accounting_date=day,
        channel=channel.name,
        system=tuple(system),
        from_channel=tuple(from_channel),
        results=tuple(results),
        items=tuple(items),
        roll_forwards=tuple(_roll_forwards(day, channel.name, before, items)),
        suspended=tuple(waiting),
        applied_action_ids=tuple(applied),
        refused_action_ids=tuple(refused),
        refused_voucher_ids=tuple(
            voucher_id for voucher_id, on in history.refused.items() if on == day
        ),
        late_adjustment_ids=tuple(
            old.adjustment_id for old in suspended if old.adjustment_id in used
        ),
    )


def first_with_first(
    left: Sequence[L],
    right: Sequence[R],
    left_key: Callable[[L], Any],
    right_key: Callable[[R], Any],
) -> list[tuple[L, R]]:
    """Pair by occurrence: the first of a key with the first of it, the second with the second.

    Both sides come in order; a key of None pairs with nothing.
    """
    free = list(right)
    pairs = []
    for one in left:
        if left_key(one) is None:
            continue
        for other in free:
            if left_key(one) == right_key(other):
                pairs.append((one, other))
                free.remove(other)
                break
    return pairs


def _rounds(rules: int) -> list[tuple[int, bool | None, bool | None]]:
    """The order in which keys are tried: (rule, system has a primary key, channel has one).

    None = it does not matter. The primary key first; then each fallback rule, (a) system records
    without a primary key with all of the channel, (b) those with one with the channel's without.
    """
    rounds: list[tuple[int, bool | None, bool | None]] = [(0, None, None)]
    for rule in range(1, rules):
        rounds += [(rule, False, None), (rule, True, False)]
    return rounds


def _key(entry: Entry, rule: int, has_primary: bool | None) -> Key | None:
    if has_primary is not None and (entry.keys[0] is not None) != has_primary:
        return None
    return entry.keys[rule]


def _exact(entry: Entry, rule: int, has_primary: bool | None) -> tuple[Any, ...] | None:
    key = _key(entry, rule, has_primary)
    return None if key is None else (key, entry.currency_code, entry.amount_minor)


def _pair_exactly(channel: Channel, day: date, pairs: _Pairs) -> None:
    """§2, steps 1 to 3."""
    for rule in range(len(channel.rules)):
        rounds = [found for found in _rounds(len(channel.rules)) if found[0] == rule]
        # Steps 1 and 3: the records of T with one another.
        for _, on_system, on_channel in rounds:
            for system, other in first_with_first(
                pairs.system,
                pairs.channel,
                lambda entry: _exact(entry, rule, on_system),  # noqa: B023  used at once
                lambda entry: _exact(entry, rule, on_channel),  # noqa: B023
            ):
                pairs.system.remove(system)
                pairs.channel.remove(other)
                _note_pair(pairs, rule, system)
                if names_another_merchant(system, other):
                    _open_both(day, pairs, system, other, "merchant_mismatch")
                    continue
                pairs.results.append(
                    _pair_row(
                        day, "matched", system, other, rule=channel.rules[rule].name, opened_on=None
                    )
                )
        # Steps 2 and 3: with the open items.
        for _, on_system, on_channel in rounds:
            for system, item in first_with_first(
                pairs.system,
                pairs.open_channel,
                lambda entry: _exact(entry, rule, on_system),  # noqa: B023
                lambda item: _exact(item.entry, rule, on_channel),  # noqa: B023
            ):
                pairs.system.remove(system)
                pairs.open_channel.remove(item)
                _note_pair(pairs, rule, system)
                if names_another_merchant(system, item.entry):
                    pairs.of_other_merchants.append(
                        _opened_linked(day, pairs, system, item, "merchant_mismatch")
                    )
                    continue
                pairs.items.append(_ended(item, day, "resolved", "late_match", (system.source_id,)))
                pairs.results.append(
                    _pair_row(
                        day,
                        "channel_resolved",
                        system,
                        item.entry,
                        rule=channel.rules[rule].name,
                        opened_on=item.opened_on,
                    )
                )
            for item, other in first_with_first(
                pairs.open_system,
                pairs.channel,
                lambda item: _exact(item.entry, rule, on_system),  # noqa: B023
                lambda entry: _exact(entry, rule, on_channel),  # noqa: B023
            ):
                pairs.open_system.remove(item)
                pairs.channel.remove(other)
                _note_pair(pairs, rule, other)
                if names_another_merchant(item.entry, other):
                    pairs.of_other_merchants.append(
                        _opened_linked(day, pairs, other, item, "merchant_mismatch")
                    )
                    continue
                pairs.items.append(_ended(item, day, "resolved", "late_match", (other.source_id,)))
                pairs.results.append(
                    _pair_row(
                        day,
                        "system_resolved",
                        item.entry,
                        other,
                        rule=channel.rules[rule].name,
                        opened_on=item.opened_on,
                    )
                )


def _note_pair(pairs: _Pairs, rule: int, entry: Entry) -> None:
    """§2, step 6, asks under which keys a pair was made on T."""
    key = entry.keys[rule]
    assert key is not None
    pairs.paired_keys.add((rule, key))


def _pair_row(
    day: date,
    outcome: str,
    system: Entry,
    other: Entry,
    *,
    rule: str,
    opened_on: date | None,
) -> Result:
    return Result(
        accounting_date=day,
        channel=system.channel,
        currency_code=system.currency_code,
        outcome=outcome,
        system_id=system.source_id,
        channel_id=other.source_id,
        system_amount_minor=system.amount_minor,
        channel_amount_minor=other.amount_minor,
        match_rule=rule,
        opened_on=opened_on,
    )


def names_another_merchant(system: Entry, other: Entry) -> bool:
    """§2: the record names a merchant or a terminal that is not the voucher's."""
    if other.merchant_ids and not other.merchant_ids <= system.merchant_ids:
        return True
    terminals = {system.terminal_id, other.terminal_id} - {None, ""}
    return len(terminals) > 1


def mismatch(system: Entry, other: Entry) -> str:
    """§2, step 4: why two records under one key are no pair."""
    if names_another_merchant(system, other):
        return "merchant_mismatch"
    return _difference(system, other)


def _difference(one: Entry, other: Entry) -> str:
    if one.currency_code != other.currency_code:
        return "currency_mismatch"
    if (one.amount_minor > 0) != (other.amount_minor > 0):
        return "direction_mismatch"
    return "amount_mismatch"


def _link_mismatches(channel: Channel, day: date, pairs: _Pairs) -> None:
    """§2, steps 4 and 5."""
    for rule, on_system, on_channel in _rounds(len(channel.rules)):
        for system, other in first_with_first(
            pairs.system,
            pairs.channel,
            lambda entry: _key(entry, rule, on_system),  # noqa: B023
            lambda entry: _key(entry, rule, on_channel),  # noqa: B023
        ):
            pairs.system.remove(system)
            pairs.channel.remove(other)
            _open_both(day, pairs, system, other, mismatch(system, other))
    for rule, on_system, on_channel in _rounds(len(channel.rules)):
        for system, item in first_with_first(
            pairs.system,
            [item for item in pairs.open_channel if item.linked_item_id is None],
            lambda entry: _key(entry, rule, on_system),  # noqa: B023
            lambda item: _key(item.entry, rule, on_channel),  # noqa: B023
        ):
            pairs.system.remove(system)
            _link(day, pairs, pairs.open_channel, system, item)
        for item, other in first_with_first(
            [item for item in pairs.open_system if item.linked_item_id is None],
            pairs.channel,
            lambda item: _key(item.entry, rule, on_system),  # noqa: B023
            lambda entry: _key(entry, rule, on_channel),  # noqa: B023
        ):
            pairs.channel.remove(other)
            _link(day, pairs, pairs.open_system, other, item)


def _open_both(day: date, pairs: _Pairs, system: Entry, other: Entry, reason: str) -> None:
    """Two records of T that are no pair: both open, linked with one another."""
    for entry, counterpart in ((system, other), (other, system)):
        _open(
            day,
            pairs,
            entry,
            break_reason=reason,
            linked_item_id=counterpart.item_id,
            linked_row=counterpart.item_id,
        )


def _link(day: date, pairs: _Pairs, open_items: list[Item], entry: Entry, item: Item) -> None:
    """§2, step 5: the record opens linked; the item, opened before, writes no row."""
    system, other = (entry, item.entry) if entry.side == "system" else (item.entry, entry)
    reason = mismatch(system, other)
    open_items[open_items.index(item)] = _opened_linked(day, pairs, entry, item, reason)


def _opened_linked(day: date, pairs: _Pairs, entry: Entry, item: Item, reason: str) -> Item:
    """Open a record of T, linked with an item of before; return the item as it stands then."""
    _open(day, pairs, entry, break_reason=reason, linked_item_id=item.item_id)
    return replace(item, status="one_sided", break_reason=reason, linked_item_id=entry.item_id)


def _open(
    day: date,
    pairs: _Pairs,
    entry: Entry,
    *,
    status: str = "one_sided",
    break_reason: str | None = None,
    linked_item_id: str | None = None,
    linked_row: str | None = None,
) -> None:
    is_system = entry.side == "system"
    pairs.items.append(Item(entry, status, day, break_reason, linked_item_id))
    pairs.results.append(
        Result(
            accounting_date=day,
            channel=entry.channel,
            currency_code=entry.currency_code,
            outcome=f"{entry.side}_{status}",
            system_id=entry.source_id if is_system else None,
            channel_id=None if is_system else entry.source_id,
            system_amount_minor=entry.amount_minor if is_system else None,
            channel_amount_minor=None if is_system else entry.amount_minor,
            break_reason=break_reason,
            opened_on=day,
            linked_to=linked_row,
        )
    )


def _open_the_rest(channel: Channel, day: date, pairs: _Pairs, history: _History) -> None:
    """§2, step 6, and §3."""
    for entry in (*pairs.system, *pairs.channel):
        reason = None
        if all(key is None for key in entry.keys):
            reason = "no_reference"
        elif any(
            key is not None
            and (rule, key) in pairs.paired_keys
            and (rule == 0 or entry.keys[0] is None)
            for rule, key in enumerate(entry.keys)
        ):
            reason = "duplicate"
        known = entry
        if reason is None and entry.side == "channel":
            refused = history.refused_for(entry, day)
            if refused is not None:
                known = history.with_account(entry, refused)
                reason = "refused_voucher"
            elif history.was_paired(entry, day):
                reason = "duplicate"
        doubtful = reason is None and is_in_doubt(channel, entry, day)
        status = "in_doubt" if doubtful else "one_sided"
        _open(day, pairs, known, status=status, break_reason=reason)


def at_minutes(day: date, minutes: int) -> datetime:
    """The instant ``minutes`` after 00:00 Asia/Shanghai of a date; 1440 is the next midnight."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
    return midnight + timedelta(minutes=minutes)


def is_in_doubt(channel: Channel, entry: Entry, day: date) -> bool:
    """§3: whether the other side may still appear, by full timestamps."""
    platform_cutoff = at_minutes(day, channel.platform_cutoff_minutes)
    skew = timedelta(minutes=channel.skew_minutes)
    if entry.side == "system":
        too_early = entry.transaction_at < at_minutes(day - ONE_DAY, channel.cutoff_minutes)
        return not (channel.cuts_later and too_early)
    if channel.cuts_later:
        return entry.transaction_at >= platform_cutoff - skew
    if channel.cutoff_minutes == channel.platform_cutoff_minutes:
        return abs(entry.transaction_at - platform_cutoff) <= skew
    return False


def _aged(channel: Channel, item: Item, day: date) -> Item:
    """§3: in doubt ends in the close of opened_on + doubt_period_closes."""
    if day >= item.opened_on + timedelta(days=channel.doubt_period_closes):
        return replace(item, status="one_sided")
    return item


def _ended(item: Item, day: date, status: str, method: str, by: tuple[str, ...]) -> Item:
    return replace(item, status=status, resolved_on=day, resolution_method=method, resolved_by=by)


def _pair_by_hand(
    day: date, open_items: list[Item], todo: Sequence[Action], applied: list[int]
) -> tuple[list[Item], list[Item], list[Result]]:
    """§4, step 2: two open items of both sides, of one currency and amount."""
    items = {item.item_id: item for item in open_items}
    ended: list[Item] = []
    rows: list[Result] = []
    for action in todo:
        one, other = items.get(action.item_id), items.get(action.second_item_id or "")
        if action.kind != "pair" or one is None or other is None:
            continue
        if {one.entry.side, other.entry.side} != {"system", "channel"} or (
            one.entry.currency_code,
            one.entry.amount_minor,
        ) != (other.entry.currency_code, other.entry.amount_minor):
            continue
        applied.append(action.action_id)
        for item, counterpart in ((one, other), (other, one)):
            del items[item.item_id]
            ended.append(
                _ended(item, day, "resolved", "manual_match", (counterpart.entry.source_id,))
            )
            is_system = item.entry.side == "system"
            rows.append(
                Result(
                    accounting_date=day,
                    channel=item.entry.channel,
                    currency_code=item.entry.currency_code,
                    outcome=f"{item.entry.side}_resolved",
                    system_id=item.entry.source_id if is_system else None,
                    channel_id=None if is_system else item.entry.source_id,
                    system_amount_minor=item.entry.amount_minor if is_system else None,
                    channel_amount_minor=None if is_system else item.entry.amount_minor,
                    match_rule="manual_match",
                    opened_on=item.opened_on,
                    linked_to=counterpart.item_id,
                )
            )
    return list(items.values()), ended, rows


@dataclass(frozen=True, slots=True)
class _Target:
    """What an adjustment may end: one item, or two linked ones. ``needs`` + = we get it."""

    items: tuple[Item, ...]
    key: Key
    currency_code: str
    needs: int
    opened_on: date
    item_id: str


def _targets(open_items: Sequence[Item]) -> list[_Target]:
    """§4 Adjustments: what the open items need, first to last."""
    by_id = {item.item_id: item for item in open_items}
    targets = []
    for item in open_items:
        linked = by_id.get(item.linked_item_id or "")
        is_system = item.entry.side == "system"
        if linked is None:
            items: tuple[Item, ...] = (item,)
            needs = item.entry.amount_minor if is_system else -item.entry.amount_minor
        elif linked.entry.currency_code != item.entry.currency_code or not is_system:
            # Of two currencies nothing helps; a pair is counted once, as the system item's.
            continue
        else:
            items = (item, linked)
            needs = item.entry.amount_minor - linked.entry.amount_minor
        keys = [found.entry.keys[0] for found in items if found.entry.keys[0] is not None]
        if keys:
            targets.append(
                _Target(
                    items,
                    keys[0],
                    item.entry.currency_code,
                    needs,
                    item.opened_on,
                    item.item_id,
                )
            )
    return sorted(targets, key=lambda target: (target.opened_on, target.item_id))


def _adjust(
    source: Landed,
    channel: Channel,
    day: date,
    open_items: list[Item],
    suspended: Sequence[Adjustment],
    *,
    history: _History,
    keys_before: Collection[Key | None],
) -> tuple[list[Item], list[Item], list[str], list[Adjustment]]:
    """§4, step 3. Returns what stays open, what ended, the ids used, and what stays suspended."""

    def disposition(adjustment: Adjustment) -> str:
        if adjustment in suspended:
            return "suspended"
        return source.adjustment_types[adjustment.adjustment_type].default_disposition

    of_today = [
        adjustment
        for adjustment in source.adjustments
        if adjustment.channel == channel.name
        and adjustment.accounting_date == day
        and adjustment.funds_effect_minor != 0
        and source.adjustment_types[adjustment.adjustment_type].equation_term == "adjustments"
    ]
    left = sorted(
        (*suspended, *of_today),
        key=lambda found: (found.accounting_date, found.file_id, found.line_number),
    )
    targets = _targets(open_items)
    ended: list[Item] = []
    used: list[str] = []

    def use(target: _Target, by: Sequence[Adjustment]) -> None:
        targets.remove(target)
        used.extend(adjustment.adjustment_id for adjustment in by)
        for item in target.items:
            open_items.remove(item)
            ids = tuple(adjustment.adjustment_id for adjustment in by)
            ended.append(_ended(item, day, "adjusted", "adjustment", ids))
        for adjustment in by:
            left.remove(adjustment)

    def key(adjustment: Adjustment) -> Key | None:
        return key_of(channel.rules[0], adjustment.original_references)

    open_items = list(open_items)
    for adjustment, target in first_with_first(
        left,
        targets,
        lambda found: (
            None
            if key(found) is None
            else (key(found), found.currency_code, found.funds_effect_minor)
        ),
        lambda found: (found.key, found.currency_code, found.needs),
    ):
        use(target, [adjustment])
    # Then all that is left of a key and currency together.
    groups = [(key(found), found.currency_code) for found in left if key(found) is not None]
    for group in dict.fromkeys(groups):
        parts = [
            found
            for found in left
            if (key(found), found.currency_code) == group and disposition(found) == "suspended"
        ]
        first = [found for found in targets if (found.key, found.currency_code) == group][:1]
        if parts and first and sum(part.funds_effect_minor for part in parts) == first[0].needs:
            use(first[0], parts)
    fresh = [adjustment for adjustment in left if adjustment in of_today]
    charged = history.charge(
        [(adjustment, disposition(adjustment) == "charged") for adjustment in fresh],
        day,
        lambda found: key(found) is not None and key(found) in keys_before,
        lambda sale: has_contract(source, sale, day),
    )
    waiting = [
        adjustment
        for adjustment in left
        if disposition(adjustment) in ("charged", "suspended")
        and adjustment.adjustment_id not in charged
    ]
    return open_items, ended, used, waiting


def _end_by_persons(
    day: date, open_items: list[Item], todo: Sequence[Action], applied: list[int]
) -> tuple[list[Item], list[Item]]:
    """§4, step 4: offset, then adjust, then write off."""
    items = {item.item_id: item for item in open_items}
    ended: list[Item] = []
    for action in [action for action in todo if action.kind == "offset"]:
        one, other = items.get(action.item_id), items.get(action.second_item_id or "")
        if one is None or other is None or one is other:
            continue
        if (one.entry.side, one.entry.currency_code) != (
            other.entry.side,
            other.entry.currency_code,
        ) or one.entry.amount_minor + other.entry.amount_minor != 0:
            continue
        applied.append(action.action_id)
        for item in (one, other):
            del items[item.item_id]
            ended.append(_ended(item, day, "adjusted", "offset", (str(action.action_id),)))
    for kind, status, method in (
        ("adjust", "adjusted", "manual_adjustment"),
        ("write_off", "written_off", "write_off"),
    ):
        for action in [action for action in todo if action.kind == kind]:
            if action.item_id not in items:
                continue
            named = {id_ for each in todo for id_ in (each.item_id, each.second_item_id)}
            linked = items.get(items[action.item_id].linked_item_id or "")
            both = (
                kind == "adjust"
                and items[action.item_id].break_reason == "amount_mismatch"
                and linked is not None
                and linked.item_id not in named
            )
            charged = [items[action.item_id], *([linked] if both and linked is not None else [])]
            # What the platform booked for one account is not taken from another.
            if kind == "adjust" and any(
                item.entry.side == "system" and item.entry.account_id != action.account_id
                for item in charged
            ):
                continue
            applied.append(action.action_id)
            for item in charged:
                del items[item.item_id]
                ended.append(_ended(item, day, status, method, (str(action.action_id),)))
    return list(items.values()), ended


# --- §5: roll-forward ---------------------------------------------------------------------------


def _roll_forwards(
    day: date, channel: str, before: Sequence[Item], items: Sequence[Item]
) -> list[RollForward]:
    """§5, from the items alone. The rule's own equation is asserted, not assumed."""
    found = []
    for side, currency in sorted(
        {(item.entry.side, item.entry.currency_code) for item in (*before, *items)}
    ):

        def movement(some: Iterable[Item], side: str = side, currency: str = currency) -> Movement:
            amounts = [
                item.entry.amount_minor
                for item in some
                if (item.entry.side, item.entry.currency_code) == (side, currency)
            ]
            return Movement(len(amounts), sum(amounts))

        row = RollForward(
            accounting_date=day,
            channel=channel,
            side=side,
            currency_code=currency,
            opening=movement(before),
            opened=movement(item for item in items if item.opened_on == day),
            resolved=movement(item for item in items if item.status == "resolved"),
            adjusted=movement(item for item in items if item.status == "adjusted"),
            written_off=movement(item for item in items if item.status == "written_off"),
            closing=movement(item for item in items if item.is_open),
        )
        for part in ("count", "amount_minor"):
            start = getattr(row.opening, part) + getattr(row.opened, part)
            out = sum(getattr(step, part) for step in (row.resolved, row.adjusted, row.written_off))
            assert start - out == getattr(row.closing, part), row
        found.append(row)
    return found


# --- the balance equation -----------------------------------------------------------------------


def round_half_away(amount: Fraction | Decimal) -> int:
    """Rulings 15: to a whole minor unit, halves away from zero."""
    exact = Fraction(amount)
    whole = int(abs(exact) + Fraction(1, 2))
    return whole if exact >= 0 else -whole


def _in_force(day: date, start: date, end: date | None) -> bool:
    return start <= day and (end is None or day < end)


def merchant_fee(source: Landed, voucher: Voucher) -> int:
    """The fee of a cleared voucher, signed: charged +, given back −."""
    is_charge = voucher.transaction_type in CHARGED_TYPES
    instant = voucher.transaction_at if is_charge else voucher.original_transaction_at
    assert instant is not None
    priced_on = instant.astimezone(SHANGHAI).date()
    (contract,) = (
        found
        for found in source.contracts
        if found.snapshot_date == voucher.accounting_date
        and (found.merchant_id, found.account_id) == (voucher.merchant_id, voucher.account_id)
        and _in_force(priced_on, found.effective_from, found.effective_to)
    )
    rates = [
        rate
        for rate in source.fee_rates
        if rate.snapshot_date == voucher.accounting_date
        and rate.contract_id == contract.contract_id
        and rate.channel in (None, voucher.channel)
        and rate.transaction_type in (None, voucher.transaction_type)
        and rate.card_kind in (None, voucher.card_kind)
        and rate.card_region in (None, voucher.card_region)
        and rate.merchant_category_code in (None, contract.merchant_category_code)
        # The worlds begin inside a month: no volume of the month before is known.
        and rate.tier_from_minor == 0
        and _in_force(priced_on, rate.effective_from, rate.effective_to)
    ]
    rate = min(rates, key=lambda found: (found.priority, found.fee_rule_id))
    base = voucher.amount_minor if is_charge else voucher.original_amount_minor
    assert base is not None
    fee = round_half_away(Fraction(rate.fee_rate) * base + rate.fixed_fee_minor)
    fee = max(fee, rate.minimum_fee_minor)
    fee = fee if rate.cap_fee_minor is None else min(fee, rate.cap_fee_minor)
    if is_charge:
        return fee
    if voucher.transaction_type in ("void", "reversal"):
        return -fee
    if contract.refund_fee_policy == "keep":
        return 0
    # docs/decisions/0003: the difference of rounded running totals.
    refunded_before = voucher.original_refunded_before_minor or 0
    through = Fraction(fee * (refunded_before - voucher.amount_minor), base)
    return -(round_half_away(through) - round_half_away(Fraction(fee * refunded_before, base)))


def has_contract(source: Landed, voucher: Voucher, day: date) -> bool:
    """Decisions 0036: whom a record is charged to has a contract in force on the date."""
    return any(
        found.snapshot_date == day
        and (found.merchant_id, found.account_id) == (voucher.merchant_id, voucher.account_id)
        and _in_force(day, found.effective_from, found.effective_to)
        for found in source.contracts
    )


def settlement_mode(source: Landed, voucher: Voucher) -> str:
    """Rulings 15: that of the contract in force on the accounting date."""
    (contract,) = (
        found
        for found in source.contracts
        if found.snapshot_date == voucher.accounting_date
        and (found.merchant_id, found.account_id) == (voucher.merchant_id, voucher.account_id)
        and _in_force(voucher.accounting_date, found.effective_from, found.effective_to)
    )
    return str(contract.settlement_mode)


def working_day_on_or_after(source: Landed, day: date) -> date:
    """The day itself where banks settle on it, else the next on which they do."""
    while day not in source.working_days:
        day += ONE_DAY
    return day


def arrival_date(source: Landed, channel: Channel, day: date) -> date:
    """When the money of an accounting date arrives."""
    earliest = day + timedelta(days=channel.arrival_lag_days)
    if channel.arrival_calendar == "working_day":
        return working_day_on_or_after(source, earliest)
    return earliest


def payment_date(source: Landed, arrives_on: date, day: date) -> date:
    """The gate that counts an arrival: the first working day not before it, nor before T+1."""
    return working_day_on_or_after(source, max(arrives_on, day + ONE_DAY))


def arrival_of_line(source: Landed, line: BankLine) -> tuple[str, date] | None:
    """The channel and arrival date a bank line belongs to by its texts; never by its amount."""
    for rule in sorted(source.bank_line_rules, key=lambda rule: rule.rule_no):
        if not re.search(rule.counterparty_pattern or "", line.counterparty_name or ""):
            continue
        by_text = re.search(rule.reference_pattern or "", line.remittance_text or "")
        if by_text:
            if rule.line_kind != "channel_arrival" or rule.channel is None:
                return None
            stamp = by_text.group(1)
            arrives_on = date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]))
            return rule.channel, arrives_on
    return None


def equations(
    source: Landed, closes: Mapping[str, Sequence[Close]], dates: Sequence[date]
) -> list[Equation]:
    """The equation of every arrival group of ``dates``, each term from its own source."""
    found = []
    arrivals = [(arrival_of_line(source, line), line) for line in source.bank_lines]
    for alone in by_channel(source).values():
        (channel,) = alone.channels
        refused = {
            voucher_id for close in closes[channel.name] for voucher_id in close.refused_voucher_ids
        }
        kept = tuple(row for row in alone.vouchers if row.voucher_id not in refused)
        alone = replace(alone, vouchers=kept)  # noqa: PLW2901
        groups: dict[tuple[date, date], list[date]] = {}
        for day in dates:
            arrives_on = arrival_date(source, channel, day)
            pays_on = payment_date(source, arrives_on, day)
            groups.setdefault((arrives_on, pays_on), []).append(day)
        for (arrives_on, pays_on), days in groups.items():
            found += [
                _equation(
                    alone,
                    channel,
                    currency,
                    arrives_on=arrives_on,
                    pays_on=pays_on,
                    days=days,
                    rows=[row for close in closes[channel.name] for row in close.results],
                    lines=[line for at, line in arrivals if at == (channel.name, arrives_on)],
                )
                for currency in channel.currencies
            ]
    return found


def _equation(
    source: Landed,
    channel: Channel,
    currency: str,
    *,
    arrives_on: date,
    pays_on: date,
    days: Sequence[date],
    rows: Sequence[Result],
    lines: Sequence[BankLine],
) -> Equation:
    def total(side: str, *outcomes: str) -> int:
        return sum(
            getattr(row, f"{side}_amount_minor")
            for row in rows
            if row.accounting_date in days
            and row.currency_code == currency
            and row.outcome in outcomes
        )

    def of_group(row: ChannelRecord | BrandFee | Adjustment) -> bool:
        return (
            row.channel == channel.name
            and row.currency_code == currency
            and row.accounting_date in days
        )

    def taken(term: str) -> int:
        return -sum(
            row.funds_effect_minor + row.fees_effect_minor
            for row in source.adjustments
            if of_group(row) and source.adjustment_types[row.adjustment_type].equation_term == term
        )

    cleared = [
        voucher
        for voucher in source.vouchers
        if voucher.accounting_date in days
        and voucher.currency_code == currency
        and voucher.is_success
        and voucher.transaction_type in source.cleared_types
        and not is_reversal_of_nothing(voucher, source.vouchers)
    ]
    deducted = sum(
        merchant_fee(source, voucher)
        for voucher in cleared
        if settlement_mode(source, voucher) == "net"
    )
    return Equation(
        payment_date=pays_on,
        arrival_date=arrives_on,
        channel=channel.name,
        currency_code=currency,
        accounting_dates=tuple(days),
        bank_arrival=sum(
            line.amount_minor
            for line in lines
            if line.currency_code == currency and line.statement_date <= pays_on
        ),
        channel_suspense_opened=total("channel", "channel_in_doubt", "channel_one_sided"),
        channel_suspense_resolved=total("channel", "channel_resolved"),
        system_suspense_opened=total("system", "system_in_doubt", "system_one_sided"),
        system_suspense_resolved=total("system", "system_resolved"),
        channel_cost=sum(row.cost_minor for row in source.records if of_group(row)),
        brand_fee=sum(row.brand_fee_minor for row in source.brand_fees if of_group(row)),
        adjustments_taken=taken("adjustments"),
        fee_collections=taken("fee_collections"),
        merchant_fee=deducted,
        clearing=sum(voucher.amount_minor for voucher in cleared) - deducted,
    )
