"""What is paid, in plain Python: from landed rows to each statement and each balance of the ledger.

Written from docs/domain.md, docs/holds.md, the decisions it names and the tables' descriptions, by
somebody who had not read the models of pricing, clearing, ledger and settlement. It goes on from
the closes of `oracle` (what met what), the holds of `oracle_holds` and the order of freezes of
`oracle_freezes`: terms in force, fees, entries, balances, charges that wait, advances, statements,
the payout amount, and what the ledger says of it. Amounts are whole minor units, signed from the
merchant's side; nothing here knows a query.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from functools import cached_property
from typing import Any

import oracle
import oracle_freezes
import oracle_holds
from oracle import SHANGHAI, Close, Landed, round_half_away

__all__ = [
    "TABLES", "Balance", "Books", "Entry", "PayoutEvent", "Posting", "Settled", "Statement",
    "Terms", "Week", "compute", "terms_of_dates",
]  # fmt: skip

Row = Mapping[str, Any]
SESSIONS = oracle_freezes.SESSIONS
RETURNS = oracle.RETURNS
# What a channel takes of a sale; what it gives, and what people charge of an item, never waits.
MAY_WAIT = ("first_chargeback", "second_chargeback", "representment", "manual_refund",
            "credit_adjustment")  # fmt: skip
TABLES = (
    *oracle.TABLES,
    "raw.platform_payees",
    "raw.platform_freezes",
    "raw.platform_advances",
    "raw.platform_opening_balances",
    "control.freeze_requests",
    "control.freeze_approvals",
)


# --- terms in force -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """Contracts and fee rules in force as of an accounting date, by id."""

    contracts: Mapping[str, Row]
    rates: Mapping[str, Row]

    @cached_property
    def of_account(self) -> Mapping[str, list[Row]]:
        """The contracts of each account; an account is of one merchant."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.contracts.values():
            found[row["account_id"]].append(row)
        return found

    @cached_property
    def of_contract(self) -> Mapping[str, list[Row]]:
        """The fee rules of each contract."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rates.values():
            found[row["contract_id"]].append(row)
        return found

    def contract(self, account_id: str, on: date) -> Row | None:
        """The contract of an account that is in force on a day."""
        found = [row for row in self.of_account[account_id] if _is_in_force(row, on)]
        assert len(found) <= 1, found
        return found[0] if found else None

    def rule(
        self, contract: Row, on: date, volume: int | None, **sale: str
    ) -> Row:  # docs/domain.md#price-of-a-transaction, #volume-tiers
        """The rule that prices a sale: of the smallest priority that fits the highest tier."""
        fitting = [
            row
            for row in self.of_contract[contract["contract_id"]]
            if _is_in_force(row, on)
            and all(row[column] in (None, value) for column, value in sale.items())
            and row["merchant_category_code"] in (None, contract["merchant_category_code"])
        ]
        first = min(row["priority"] for row in fitting)
        reached = [
            row
            for row in fitting
            if row["priority"] == first and row["tier_from_minor"] <= max(volume or 0, 0)
        ]
        return max(reached, key=lambda row: row["tier_from_minor"])


def _is_in_force(row: Row, on: date) -> bool:
    return row["effective_from"] <= on and (row["effective_to"] is None or on < row["effective_to"])


def terms_of_dates(tables: Mapping[str, Sequence[Row]], dates: Sequence[date]) -> dict[date, Terms]:
    """docs/decisions/0040: what pays no more is taken, what pays more waits and nothing is new."""
    found: dict[date, Terms] = {}
    before: Terms | None = None
    for day in dates:
        now = {}
        for kind, key, pays_more in (
            ("contracts", "contract_id", _contract_pays_more),
            ("fee_rates", "fee_rule_id", _rate_pays_more),
        ):
            delivered = {
                row[key]: row
                for row in tables[f"raw.platform_{kind}"]
                if row["accounting_date"] == day
            }
            if before is None:
                now[kind] = delivered
                continue
            old = before.contracts if kind == "contracts" else before.rates
            now[kind] = {
                name: delivered[name]
                if name in delivered and not pays_more(row, delivered[name])
                else row
                for name, row in old.items()
            }
        before = found[day] = Terms(now["contracts"], now["fee_rates"])
    return found


def _contract_pays_more(old: Row, new: Row) -> bool:
    return (
        (old["settlement_mode"], new["settlement_mode"]) == ("net", "gross")
        or (old["refund_fee_policy"], new["refund_fee_policy"]) == ("keep", "return")
        or new["payout_minimum_minor"] < old["payout_minimum_minor"]
        or new["merchant_category_code"] != old["merchant_category_code"]
    )


def _rate_pays_more(old: Row, new: Row) -> bool:
    names = ("fee_rate", "fixed_fee_minor", "minimum_fee_minor")
    cap = [float("inf") if row["cap_fee_minor"] is None else row["cap_fee_minor"]
           for row in (old, new)]  # fmt: skip
    return any(new[name] < old[name] for name in names) or cap[1] < cap[0]


def fee_of(rule: Row, amount: int) -> int:
    """docs/domain.md#price-of-a-transaction: percentage and fixed, then minimum, then cap."""
    fee = round_half_away(Fraction(rule["fee_rate"]) * amount + rule["fixed_fee_minor"])
    fee = max(fee, rule["minimum_fee_minor"])
    return fee if rule["cap_fee_minor"] is None else min(fee, rule["cap_fee_minor"])


# --- clearing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A clearing entry."""

    entry_id: str
    accounting_date: date
    clearing_session_type: str
    account_id: str
    merchant_id: str
    channel: str
    currency_code: str
    transaction_type: str
    source_id: str
    amount: int
    fee: int
    mode: str
    is_foreign_card: bool
    fee_rule_id: str | None
    contract_id: str
    payment_date: date
    tier_from: int | None
    tier_volume: int | None
    merchant_category_code: str | None

    @property
    def deducted(self) -> int:
        """What of the fee is deducted; the rest is billed."""
        return self.fee if self.mode == "net" else 0

    @property
    def clearing(self) -> int:
        """What the statement gets."""
        return self.amount - self.deducted

    @property
    def session(self) -> str:
        """The settlement session: adjustments are of the transaction session."""
        is_foreign = self.is_foreign_card and self.clearing_session_type == "transaction"
        return "foreign_card" if is_foreign else "transaction"


@dataclass
class _Sale:
    """A sale with its price, and what was given back of it so far."""

    amount: int
    fee: int
    mode: str
    contract: Row
    rule: Row
    tier_volume: int | None
    merchant_category_code: str | None
    policy: str
    given_back: int = 0

    def give_back(self, amount: int, *, is_whole: bool = False) -> int:
        """The fee that goes back with an amount, by running totals (decisions 0003)."""
        before, self.given_back = self.given_back, self.given_back + amount
        if is_whole:
            return self.fee
        if self.policy == "keep":
            return 0
        return round_half_away(Fraction(self.fee * self.given_back, self.amount)) - round_half_away(
            Fraction(self.fee * before, self.amount)
        )


@dataclass(frozen=True)
class Books:
    """Everything computed: entries, holds, statements, what became of charges, balances."""

    entries: tuple[Entry, ...]
    holds: tuple[oracle_holds.Hold, ...]
    statements: tuple[Statement, ...]
    charges: Mapping[tuple[date, str], str]  # payment date and entry -> status
    parts: Mapping[tuple[date, str, str], tuple[int, int]]  # date, statement, freeze -> taken, not
    advances: Mapping[str, date]  # netted on
    balances: tuple[Balance, ...]
    terms: Mapping[date, Terms]


@dataclass(frozen=True, slots=True)
class PayoutEvent:
    """What became of a statement's payout on a business date; the amount is positive."""

    business_date: date
    account_id: str
    currency_code: str
    status: str
    amount: int


@dataclass(frozen=True, slots=True)
class Posting:
    """An amount with the account it debits and the one it credits; below 0 the other way round.

    ``by`` are the sub-ledgers by what they stand for: ``account|channel|arrival group``.
    """

    accounting_date: date
    currency_code: str
    amount: int
    by: str
    debit: str
    credit: str


@dataclass(frozen=True, slots=True)
class Balance:
    """An account of the ledger after a close: debit +."""

    accounting_date: date
    ledger_account: str
    subledger_id: str
    currency_code: str
    amount: int


class Week:
    """The closes and payment dates of some accounts, computed in their order."""

    def __init__(
        self,
        tables: Mapping[str, Sequence[Row]],
        dates: Sequence[date],
        payment_dates: Sequence[date],
    ) -> None:
        self.tables = tables
        self.dates, self.payment_dates = list(dates), list(payment_dates)
        self.source: Landed = oracle.landed(tables)
        self.closes = oracle.close_week(self.source, dates)
        self.terms = terms_of_dates(tables, dates)
        self.vouchers = {row.voucher_id: row for row in self.source.vouchers}
        self.foreign = {
            row.voucher_id for row in self.source.vouchers if row.card_region == "foreign"
        }
        self.pays_on, self.arrives_on = {}, {}
        for channel in self.source.channels:
            for day in dates:
                on = oracle.arrival_date(self.source, channel, day)
                self.arrives_on[channel.name, day] = on
                self.pays_on[channel.name, day] = oracle.payment_date(self.source, on, day)

    # --- entries --------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """docs/domain.md#clearing-entries, date by date."""
        sales: dict[str, _Sale] = {}
        found: list[Entry] = []
        volumes: Counter[tuple[str, str, date]] = Counter()
        refused = {
            voucher_id
            for closes in self.closes.values()
            for close in closes
            for voucher_id in close.refused_voucher_ids
        }
        for day in self.dates:
            cleared = sorted(
                (
                    row
                    for row in self.source.vouchers
                    if row.accounting_date == day
                    and row.is_success
                    and row.transaction_type in self.source.cleared_types
                    and row.voucher_id not in refused
                    and not oracle.is_reversal_of_nothing(row, self.source.vouchers)
                ),
                key=lambda row: (row.transaction_at, row.voucher_id),
            )
            today: list[Entry] = []
            returns = [row for row in cleared if row.transaction_type in RETURNS]
            for row in [row for row in cleared if row.transaction_type not in RETURNS]:
                volume = self.volume_before(row.account_id, row.currency_code, day, volumes)
                sales[row.voucher_id] = self._price(row, day, row.transaction_at, volume)
                today.append(self._sale_entry(row, sales[row.voucher_id]))
            today += [self._return_entry(row, sales) for row in returns]
            for closes in self.closes.values():
                (close,) = (one for one in closes if one.accounting_date == day)
                today += self._adjusted(close, sales)
                today += self._decided(close, sales)
            for entry in today:
                volumes[entry.account_id, entry.currency_code, day.replace(day=1)] += entry.amount
            found += today
        return found

    def volume_before(
        self, account_id: str, currency: str, day: date, cleared: Mapping[Any, int]
    ) -> int | None:
        """docs/domain.md#volume-tiers: of the month before, None where not all of it was ours."""
        first = self.dates[0]
        month = day.replace(day=1)
        before = (month - oracle.ONE_DAY).replace(day=1)
        began = min(row["effective_from"] for row in self.terms[day].of_account[account_id])
        if before < first and began < first:
            return None
        return cleared[account_id, currency, before]

    def _price(self, row: oracle.Voucher, day: date, at: Any, volume: int | None) -> _Sale:
        terms = self.terms[day]
        on = at.astimezone(SHANGHAI).date()
        contract = terms.contract(row.account_id, on)
        assert contract is not None, row
        is_return = row.transaction_type in RETURNS
        rule = terms.rule(
            contract,
            on,
            volume,
            channel=row.channel,
            transaction_type="purchase" if is_return else row.transaction_type,
            card_kind=row.card_kind,
            card_region=row.card_region,
        )
        amount = row.original_amount_minor if is_return else row.amount_minor
        now = terms.contract(row.account_id, day)
        return _Sale(
            amount=amount or 0,
            fee=fee_of(rule, amount or 0),
            mode=(now or contract)["settlement_mode"],
            contract=contract,
            rule=rule,
            tier_volume=volume,
            merchant_category_code=contract["merchant_category_code"],
            policy=contract["refund_fee_policy"],
        )

    def _sale_entry(self, row: oracle.Voucher, sale: _Sale) -> Entry:
        return Entry(
            entry_id=f"T:{row.voucher_id}",
            accounting_date=row.accounting_date,
            clearing_session_type="transaction",
            account_id=row.account_id,
            merchant_id=row.merchant_id,
            channel=row.channel,
            currency_code=row.currency_code,
            transaction_type=row.transaction_type,
            source_id=row.voucher_id,
            amount=row.amount_minor,
            fee=sale.fee,
            mode=sale.mode,
            is_foreign_card=row.card_region == "foreign",
            fee_rule_id=sale.rule["fee_rule_id"],
            contract_id=sale.contract["contract_id"],
            payment_date=self.pays_on[row.channel, row.accounting_date],
            tier_from=sale.rule["tier_from_minor"],
            tier_volume=sale.tier_volume,
            merchant_category_code=sale.merchant_category_code,
        )

    def _return_entry(self, row: oracle.Voucher, sales: dict[str, _Sale]) -> Entry:
        """docs/domain.md#fee-of-a-return."""
        key = row.original_voucher_id or row.voucher_id
        day = row.accounting_date
        if key not in sales:
            # Of before our time: by the contract in force then, and what the platform says of it.
            sales[key] = self._price(row, day, row.original_transaction_at, None)
        sale = sales[key]
        if key not in self.vouchers:
            sale.given_back = max(sale.given_back, row.original_refunded_before_minor or 0)
        self._read_policy(sale, day)
        fee = sale.give_back(-row.amount_minor, is_whole=row.transaction_type != "refund")
        now = self.terms[day].contract(row.account_id, day)
        made = self._sale_entry(row, sale)
        mode = sale.mode if now is None else now["settlement_mode"]
        return replace(made, fee=-fee, mode=mode)

    def _read_policy(self, sale: _Sale, day: date) -> None:
        """Whether a fee goes back, the contract says as the return's date lists it."""
        listed = self.terms[day].contracts[sale.contract["contract_id"]]
        sale.policy = listed["refund_fee_policy"]

    def _adjusted(self, close: Close, sales: dict[str, _Sale]) -> Iterator[Entry]:
        """docs/domain.md#adjustments: those of the date that their sale's account bears."""
        for row in self.charged(close):
            voucher = self.original_of(row)
            sale = sales[voucher.voucher_id]
            self._read_policy(sale, close.accounting_date)
            fee = sale.give_back(-row.funds_effect_minor)
            # Borne under the contract of the date; a fee goes back the way it was taken.
            contract = self.contract_of(voucher.account_id, close.accounting_date)
            yield replace(
                self._sale_entry(voucher, sale),
                contract_id=contract["contract_id"],
                mode=sale.mode if fee else contract["settlement_mode"],
                entry_id=f"A:{row.adjustment_id}",
                accounting_date=close.accounting_date,
                clearing_session_type="adjustment",
                transaction_type=row.adjustment_type,
                source_id=row.adjustment_id,
                amount=row.funds_effect_minor,
                fee=-fee,
                is_foreign_card=False,
                payment_date=self.pays_on[close.channel, close.accounting_date],
                tier_from=None,
                tier_volume=None,
                merchant_category_code=None,
            )

    def of_date(self, close: Close) -> list[oracle.Adjustment]:
        """The channel's adjustment records of a date that move money, in their order."""
        return sorted(
            (
                row
                for row in self.source.adjustments
                if (row.channel, row.accounting_date) == (close.channel, close.accounting_date)
                and self.source.adjustment_types[row.adjustment_type].equation_term == "adjustments"
            ),
            key=lambda row: (row.file_id, row.line_number),
        )

    def charged(self, close: Close) -> list[oracle.Adjustment]:
        """Neither applied to an open item nor suspended: what a sale's account bears."""
        waiting = {row.adjustment_id for row in close.suspended}
        applied = self.applied(close)
        kinds = self.source.adjustment_types
        return [
            row
            for row in self.of_date(close)
            if row.adjustment_id not in waiting | applied
            and row.funds_effect_minor
            and kinds[row.adjustment_type].default_disposition in ("charged", "suspended")
        ]

    def applied(self, close: Close) -> set[str]:
        """The adjustment records that ended an item on a date."""
        return {
            one
            for item in close.items
            if item.resolution_method == "adjustment" and item.resolved_on == close.accounting_date
            for one in item.resolved_by
        }

    def original_of(self, row: oracle.Adjustment) -> oracle.Voucher:
        """The sale a charged record names, by its trace and time."""
        says = row.original_references
        (only,) = (
            voucher
            for voucher in self.by_trace[says["trace_number"], says["transmission_time"]]
            if voucher.channel == row.channel
            and voucher.transaction_type not in RETURNS
            and voucher.transaction_type in self.source.cleared_types
        )
        return only

    @cached_property
    def by_trace(self) -> Mapping[tuple[Any, Any], list[oracle.Voucher]]:
        """Vouchers by the trace and time that a record names them by."""
        found: dict[tuple[Any, Any], list[oracle.Voucher]] = defaultdict(list)
        for voucher in self.source.vouchers:
            says = voucher.references
            found[says["trace_number"], says["transmission_time"]].append(voucher)
        return found

    def _decided(self, close: Close, sales: dict[str, _Sale]) -> Iterator[Entry]:
        """docs/domain.md#end-of-a-hold: an open item that people charge, or credit."""
        day = close.accounting_date
        for action in sorted(self.source.actions, key=lambda one: one.action_id):
            if action.kind != "adjust" or action.action_id not in close.applied_action_ids:
                continue
            items = [
                item.entry
                for item in close.items
                if item.resolution_method == "manual_adjustment"
                and item.resolved_by == (str(action.action_id),)
            ]
            system = next((one for one in items if one.side == "system"), None)
            from_channel = next((one for one in items if one.side == "channel"), None)
            given = from_channel.amount_minor if from_channel else 0
            amount = given - (system.amount_minor if system else 0)
            contract = self.contract_of(action.account_id or "", day)
            fee, mode = 0, contract["settlement_mode"]
            if system is not None and amount < 0:
                sale = sales[system.source_id]
                fee = round_half_away(Fraction(sale.fee * amount, system.amount_minor))
                mode = sale.mode if fee else mode
            yield Entry(
                entry_id=f"M:{action.action_id}",
                accounting_date=day,
                clearing_session_type="adjustment",
                account_id=contract["account_id"],
                merchant_id=contract["merchant_id"],
                channel=close.channel,
                currency_code=items[0].currency_code,
                transaction_type="manual_adjustment",
                source_id=f"ACT:{action.action_id}",
                amount=amount,
                fee=fee,
                mode=mode,
                is_foreign_card=False,
                fee_rule_id=None,
                contract_id=contract["contract_id"],
                payment_date=self.pays_on[close.channel, day],
                tier_from=None,
                tier_volume=None,
                merchant_category_code=None,
            )

    def contract_of(self, account_id: str, day: date) -> Row:
        """The contract of an account on the date that somebody charges it."""
        found = self.terms[day].contract(account_id, day)
        assert found is not None, account_id
        return found

    # --- holds ----------------------------------------------------------------------------------

    def holds(self, entries: Iterable[Entry]) -> list[oracle_holds.Hold]:
        """What is stated and waits for its money; every group came whole."""
        whole = [
            oracle.Equation(
                payment_date=self.pays_on[channel.name, day],
                arrival_date=self.arrives_on[channel.name, day],
                channel=channel.name,
                currency_code=currency,
                accounting_dates=(day,),
                **dict.fromkeys(_TERMS, 0),
            )
            for channel in self.source.channels
            for currency in channel.currencies
            for day in self.dates
        ]
        fees = {
            entry.source_id: entry.deducted
            for entry in entries
            if entry.clearing_session_type == "transaction"
        }
        found = oracle_holds.holds(self.source, self.closes, whole, self.payment_dates, fees)
        return [row for row in found if row.says_something]

    # --- freezes and advances -------------------------------------------------------------------

    def snapshot(self, table: str, payment_date: date) -> list[Row]:
        """The rows of the last snapshot before a payment date."""
        last = max(day for day in self.dates if day < payment_date)
        return [row for row in self.tables[table] if row["accounting_date"] == last]

    def decided(self, action: str, payment_date: date) -> list[Row]:
        """What two people decided of freezes and waiting charges, as of a payment date."""
        approved = {row["request_id"] for row in self.tables["control.freeze_approvals"]}
        return [
            row
            for row in self.tables["control.freeze_requests"]
            if row["action"] == action
            and row["request_id"] in approved
            and row["effective_on"] <= payment_date
        ]

    def registers(self) -> dict[date, list[tuple[tuple[str, str], oracle_freezes.Freeze]]]:
        """docs/domain.md#register-of-freezes: those in force on each payment date, by place."""
        before: dict[str, Row] = {}
        found = {}
        for payment_date in self.payment_dates:
            snapshot = self.snapshot("raw.platform_freezes", payment_date)
            now = {row["freeze_id"]: row for row in snapshot}
            for freeze_id, old in before.items():
                new = now.get(freeze_id)
                if new is None or _contradicts(old, new):
                    now[freeze_id] = old
            before = {key: row for key, row in now.items() if _is_in_force(row, payment_date)}
            of_people = [
                {**row, "effective_from": row["effective_on"], "released_amount_minor": 0}
                for row in self.decided("freeze", payment_date)
            ]
            released: Counter[str] = Counter()
            for row in self.decided("release", payment_date):
                released[row["freeze_id"]] += row["amount_minor"]
            found[payment_date] = [
                (
                    (row["account_id"], row["currency_code"]),
                    _freeze(row, released[row["freeze_id"]]),
                )
                for row in (*before.values(), *of_people)
                if _is_in_force(row, payment_date)
            ]
        return found

    def advances(self) -> dict[str, tuple[date, Row]]:
        """docs/decisions/0015: the payment date that nets each advance, and what it was then."""
        found: dict[str, tuple[date, Row]] = {}
        for payment_date in self.payment_dates:
            for row in self.snapshot("raw.platform_advances", payment_date):
                is_due = self.dates[0] <= row["for_accounting_date"] < payment_date
                if is_due and row["advance_id"] not in found:
                    found[row["advance_id"]] = (payment_date, row)
        return found

    # --- statements -----------------------------------------------------------------------------

    def settle(self, entries: Sequence[Entry], holds: Sequence[oracle_holds.Hold]) -> Settled:
        """docs/domain.md#statement, payment date by payment date, account by account."""
        held = self.held(holds)
        carried: Counter[tuple[str, str, str]] = Counter()
        for row in self.owed_at_first():
            carried[row["subledger_id"], row["currency_code"], "transaction"] -= row[
                "balance_minor"
            ]
        done = Settled()
        registers, advances = self.registers(), self.advances()
        for payment_date in self.payment_dates:
            for row in self.decided("write_off", payment_date):
                if done.waiting.pop(row["freeze_id"], None) is not None:
                    done.charges[payment_date, row["freeze_id"]] = "written_off"
            today = _Today()
            for place, freeze in registers[payment_date]:
                today.freezes[place].append(freeze)
            for entry in entries:
                if entry.payment_date == payment_date:
                    today.due[entry.account_id, entry.currency_code].append(entry)
            for on, row in advances.values():
                if on == payment_date:
                    today.advances[row["account_id"], row["currency_code"]].append(row)
            for entry_id, one in done.waiting.items():
                today.waiting[one[1].account_id, one[1].currency_code][entry_id] = one
            places = {(account_id, currency) for account_id, currency, _ in carried}
            places |= {one[1:3] for one in held if one[0] == payment_date}
            for place in sorted(places | today.places()):
                mine = _Account(
                    payment_date,
                    *place,
                    today.due[place],
                    today.advances[place],
                    {name: carried[(*place, name)] for name in SESSIONS},
                    {name: held[(payment_date, *place, name)] for name in SESSIONS},
                    today.freezes[place],
                    today.waiting[place],
                    *self._pays(*place, payment_date),
                )
                done.add(mine)
                for statement in mine.statements():
                    done.statements.append(statement)
                    carried[(*place, statement.session)] = statement.carried
        return done

    def held(self, holds: Sequence[oracle_holds.Hold]) -> Counter[tuple[date, str, str, str]]:
        """What is held, by payment date, account, currency and settlement session."""
        held: Counter[tuple[date, str, str, str]] = Counter()
        for hold in holds:
            is_foreign = hold.entry_id.removeprefix("T:") in self.foreign
            session = "foreign_card" if is_foreign else "transaction"
            held[hold.payment_date, hold.account_id, hold.currency_code, session] += hold.closing
        return held

    def owed_at_first(self) -> list[Row]:
        """What was owed to accounts, or by them, when the business began."""
        return [
            row
            for row in self.tables["raw.platform_opening_balances"]
            if row["ledger_account"] == "merchant_payable"
        ]

    def _pays(self, account_id: str, currency: str, payment_date: date) -> tuple[int, bool]:
        """The contract's minimum on a payment date, and whether somebody can be paid."""
        last = max(day for day in self.dates if day < payment_date)
        contract = self.terms[last].contract(account_id, payment_date)
        minimum = contract["payout_minimum_minor"] if contract else 0
        return minimum, (account_id, currency) in self.payees[payment_date]

    @cached_property
    def payees(self) -> Mapping[date, set[tuple[str, str]]]:
        """Accounts and currencies with an active payee in force on each payment date."""
        return {
            payment_date: {
                (row["account_id"], row["currency_code"])
                for row in self.snapshot("raw.platform_payees", payment_date)
                if row["payee_status"] == "active" and _is_in_force(row, payment_date)
            }
            for payment_date in self.payment_dates
        }

    # --- ledger ---------------------------------------------------------------------------------

    def postings(
        self,
        entries: Sequence[Entry],
        charges: Mapping[tuple[date, str], str],
        payouts: Sequence[PayoutEvent],
    ) -> Iterator[Posting]:
        """docs/domain.md#events."""
        for entry in entries:
            yield from self._of_entry(entry)
        yield from self._of_charges(entries, charges)
        for closes in self.closes.values():
            for close in closes:
                yield from self._of_records(close)
                yield from self._of_results(close)
                yield from self._of_items(close)
        yield from self._of_advances()
        for event in payouts:
            at = (event.business_date, event.currency_code)
            by = f"{event.account_id}||"
            if event.status == "submitted":
                yield Posting(*at, event.amount, by, "merchant_payable", "payouts_in_transit")
            if event.status in ("failed", "returned"):
                yield Posting(*at, event.amount, by, "payouts_in_transit", "merchant_payable")
        for row in self.owed_at_first():
            at = (self.dates[0], row["currency_code"])
            by = f"{row['subledger_id']}||"
            yield Posting(*at, row["balance_minor"], by, "merchant_payable", "opening_balances")

    def _of_entry(self, entry: Entry) -> Iterator[Posting]:
        group = self.group(entry.channel, entry.accounting_date, entry.currency_code)
        at = (entry.accounting_date, entry.currency_code)
        by = f"{entry.account_id}|{entry.channel}|{group}"
        taker = "merchant_payable" if entry.mode == "net" else "merchant_fee_receivable"
        yield Posting(*at, entry.fee, by, taker, "fee_income")
        if entry.clearing_session_type == "transaction":
            yield Posting(*at, entry.amount, by, "channel_receivable", "merchant_payable")
        elif entry.entry_id.startswith("A:"):
            yield Posting(*at, -entry.amount, by, "merchant_payable", "adjustments")

    def _of_charges(
        self, entries: Sequence[Entry], charges: Mapping[tuple[date, str], str]
    ) -> Iterator[Posting]:
        by_id = {entry.entry_id: entry for entry in entries}
        waits: set[str] = set()
        for (payment_date, entry_id), status in sorted(charges.items()):
            entry = by_id[entry_id]
            at = (payment_date, entry.currency_code, -entry.clearing)
            by = f"{entry.account_id}|{entry.channel}|"
            if status == "waiting" and entry_id not in waits:
                waits.add(entry_id)
                yield Posting(*at, by, "adjustments", "merchant_payable")
            if status == "charged" and entry_id in waits:
                yield Posting(*at, by, "merchant_payable", "adjustments")
            if status == "written_off":
                yield Posting(*at, by, "write_offs", "adjustments")

    def group(self, channel: str, day: date, currency: str) -> str:
        """The arrival group of a channel's date."""
        return f"{channel}-{self.arrives_on[channel, day]:%Y%m%d}-{currency}"

    def _place(self, close: Close, currency: str) -> tuple[tuple[date, str], str]:
        """Date, currency and sub-ledgers of what a close books of its channel."""
        day, channel = close.accounting_date, close.channel
        return (day, currency), f"|{channel}|{self.group(channel, day, currency)}"

    def _of_records(self, close: Close) -> Iterator[Posting]:
        """What the channel keeps for its records, and what it takes or gives with adjustments."""
        for record in self.source.records:
            place = (record.channel, record.accounting_date)
            if place == (close.channel, close.accounting_date):
                at, by = self._place(close, record.currency_code)
                yield Posting(*at, record.cost_minor, by, "channel_cost", "channel_receivable")
        for row in self.of_date(close):
            at, by = self._place(close, row.currency_code)
            taken = -(row.funds_effect_minor + row.fees_effect_minor)
            yield Posting(*at, taken, by, "adjustments", "channel_receivable")
            yield Posting(*at, -row.fees_effect_minor, by, "channel_cost", "adjustments")

    def _of_results(self, close: Close) -> Iterator[Posting]:
        """Items that open or are resolved."""
        for result in close.results:
            at, by = self._place(close, result.currency_code)
            side, _, outcome = result.outcome.partition("_")
            is_system = side == "system"
            amount = result.system_amount_minor if is_system else result.channel_amount_minor
            pair = ("system_suspense", "channel_receivable")
            if not is_system:
                pair = ("channel_receivable", "channel_suspense")
            if outcome in ("in_doubt", "one_sided"):
                yield Posting(*at, amount or 0, by, *pair)
            elif outcome == "resolved":
                yield Posting(*at, -(amount or 0), by, *pair)

    def _of_items(self, close: Close) -> Iterator[Posting]:
        """Items that an adjustment or people end."""
        others = {"adjustment": "adjustments", "write_off": "write_offs",
                  "manual_adjustment": "merchant_payable"}  # fmt: skip
        accounts = {str(one.action_id): one.account_id or "" for one in self.source.actions}
        for item in close.items:
            if item.resolved_on != close.accounting_date or item.status == "resolved":
                continue
            at, by = self._place(close, item.entry.currency_code)
            other = others[item.resolution_method or ""]
            if other == "merchant_payable":
                by = f"{accounts[item.resolved_by[0]]}{by}"
            amount = item.entry.amount_minor
            if item.entry.side == "system":
                yield Posting(*at, amount, by, other, "system_suspense")
            else:
                yield Posting(*at, amount, by, "channel_suspense", other)

    def _of_advances(self) -> Iterator[Posting]:
        told: dict[str, Row] = {}
        for row in sorted(
            self.tables["raw.platform_advances"], key=lambda one: one["accounting_date"]
        ):
            if row["for_accounting_date"] >= self.dates[0] and row["advance_id"] not in told:
                told[row["advance_id"]] = row
                at = (row["accounting_date"], row["currency_code"])
                by = f"{row['account_id']}||"
                yield Posting(*at, row["amount_minor"], by, "advances", "own_funds_bank")
        for payment_date, row in self.advances().values():
            at = (payment_date, row["currency_code"])
            by = f"{row['account_id']}||"
            yield Posting(*at, row["amount_minor"], by, "merchant_payable", "advances")
            fee = row["advance_fee_minor"]
            yield Posting(*at, fee, by, "merchant_payable", "advance_fee_income")


# What subdivides each account of the ledger, by its place in a posting's sub-ledger.
_SUBLEDGERS = {
    "merchant_payable": 0,
    "merchant_fee_receivable": 0,
    "payouts_in_transit": 0,
    "advances": 0,
    "advance_fee_income": 0,
    "fee_income": 1,
    "system_suspense": 1,
    "channel_suspense": 1,
    "channel_cost": 1,
    "write_offs": 1,
    "adjustments": 1,  # receivable and payable together: which of them, the total does not say
    "channel_receivable": 2,
}
COMPARED_ACCOUNTS = frozenset(_SUBLEDGERS)
_TERMS = (
    "bank_arrival", "channel_suspense_opened", "channel_suspense_resolved",
    "system_suspense_opened", "system_suspense_resolved", "channel_cost", "brand_fee",
    "adjustments_taken", "fee_collections", "merchant_fee", "clearing",
)  # fmt: skip


def balances(week: Week, postings: Iterable[Posting]) -> list[Balance]:
    """The balance of each account after each close, those at nothing left out."""
    moved: dict[date, Counter[tuple[str, str, str]]] = defaultdict(Counter)
    for one in postings:
        for account, signed in ((one.debit, one.amount), (one.credit, -one.amount)):
            if account in _SUBLEDGERS:
                subledger = one.by.split("|")[_SUBLEDGERS[account]]
                moved[one.accounting_date][account, subledger, one.currency_code] += signed
    # The bank's lines of an arrival lower what the channel owes, on the date of the statement.
    for line in week.source.bank_lines:
        place = oracle.arrival_of_line(week.source, line)
        if place is not None:
            channel, arrives_on = place
            group = f"{channel}-{arrives_on:%Y%m%d}-{line.currency_code}"
            key = ("channel_receivable", group, line.currency_code)
            moved[line.statement_date][key] -= line.amount_minor
    found: list[Balance] = []
    total: Counter[tuple[str, str, str]] = Counter()
    for day in week.dates:
        for key, amount in moved[day].items():
            total[key] += amount
        found += [Balance(day, *key, amount) for key, amount in total.items() if amount]
    return found


# --- one account on one payment date ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, with every part of its formula."""

    payment_date: date
    account_id: str
    session: str
    currency_code: str
    accounting_dates: tuple[date, ...]
    transaction_count: int
    transaction_amount: int
    fee: int
    deducted: int
    settlement: int
    adjustment_count: int
    adjustment: int
    advance: int
    advance_fee: int
    previous: int
    transfer: int
    held: int
    frozen: int
    available: int
    minimum: int
    status: str
    withheld_reason: str | None
    payout: int
    carried: int

    @property
    def key(self) -> str:
        """The statement's id."""
        return statement_id(self.payment_date, self.account_id, self.session, self.currency_code)


def statement_id(payment_date: date, account_id: str, session: str, currency: str) -> str:
    """Payment date, account, session and currency."""
    return f"{payment_date:%Y%m%d}-{account_id}-{session[0].upper()}1-{currency}"


def _kind(row: Row) -> str:
    return row["freeze_kind"] or ("judicial" if row["reason_code"] == "court_order" else "risk")


def _contradicts(old: Row, new: Row) -> bool:
    """The file makes a freeze smaller, or lets it take later."""
    later = oracle_freezes.KINDS.index(_kind(new)) > oracle_freezes.KINDS.index(_kind(old))
    return later or new["amount_minor"] < old["amount_minor"]


def _freeze(row: Row, released: int) -> oracle_freezes.Freeze:
    return oracle_freezes.Freeze(
        row["freeze_id"],
        _kind(row),
        row["effective_from"],
        max(0, row["amount_minor"] - (row["released_amount_minor"] or 0) - released),
        row["settlement_session_type"],
    )


@dataclass
class _Account:
    """An account and currency on a payment date."""

    payment_date: date
    account_id: str
    currency_code: str
    due: Sequence[Entry]
    advances: Sequence[Row]
    previous: Mapping[str, int]
    held: Mapping[str, int]
    freezes: Sequence[oracle_freezes.Freeze]
    waiting: Mapping[str, tuple[date, Entry]]
    minimum: int
    has_payee: bool
    outcome: oracle_freezes.Outcome = field(init=False)

    def __post_init__(self) -> None:
        sessions = {
            name: oracle_freezes.Session(self._balance(name, self._certain()), self.held[name])
            for name in SESSIONS
        }
        self.outcome = oracle_freezes.settle(
            sessions,
            [freeze for freeze in self.freezes if freeze.amount > 0],
            [
                oracle_freezes.Charge(
                    entry_id, -entry.clearing, since, waited=entry_id in self.waiting
                )
                for entry_id, (since, entry) in self.charges().items()
            ],
        )

    def charges(self) -> dict[str, tuple[date, Entry]]:
        """What may wait: what waited before, and what the channel took of sales, due today."""
        new = [entry for entry in self.due if self._may_wait(entry)]
        return {**self.waiting, **{one.entry_id: (self.payment_date, one) for one in new}}

    def _may_wait(self, entry: Entry) -> bool:
        return entry.transaction_type in MAY_WAIT and entry.clearing < 0

    def _certain(self) -> list[Entry]:
        return [entry for entry in self.due if not self._may_wait(entry)]

    def _stated(self) -> list[Entry]:
        taken = [
            entry
            for entry_id, (_, entry) in self.charges().items()
            if self.outcome.charges[entry_id] == "charged"
        ]
        return [*self._certain(), *taken]

    def _balance(self, session: str, entries: Iterable[Entry]) -> int:
        cleared = sum(entry.clearing for entry in entries if entry.session == session)
        return cleared - self._advance(session) + self.previous[session]

    def _advance(self, session: str) -> int:
        if session != "transaction":
            return 0
        return sum(row["amount_minor"] + row["advance_fee_minor"] for row in self.advances)

    def _transfers(self) -> dict[str, int]:
        """docs/domain.md#sessions-of-settlement: a negative session is covered by the other."""
        backed = {name: self._balance(name, self._stated()) - self.held[name] for name in SESSIONS}
        moved = dict.fromkeys(SESSIONS, 0)
        for needy, giver in (SESSIONS, SESSIONS[::-1]):
            if backed[needy] < 0 < backed[giver]:
                amount = min(-backed[needy], backed[giver])
                moved[needy] += amount
                moved[giver] -= amount
        return moved

    def statements(self) -> Iterator[Statement]:
        """One a session that has any part."""
        stated, transfers = self._stated(), self._transfers()
        for name in SESSIONS:
            mine = [entry for entry in stated if entry.session == name]
            sales = [entry for entry in mine if entry.clearing_session_type == "transaction"]
            others = [entry for entry in mine if entry.clearing_session_type != "transaction"]
            frozen = sum(sum(part) for (on, _), part in self.outcome.parts.items() if on == name)
            amount, deducted = sum(one.amount for one in sales), sum(one.deducted for one in sales)
            balance = self._balance(name, stated)
            parts = (self._advance(name), self.previous[name], frozen, self.held[name])
            if not (mine or any(parts)):
                continue
            available = balance + transfers[name] - self.held[name] - frozen
            status, reason = self._status(available, balance + transfers[name], frozen)
            payout = available if status == "payable" else 0
            yield Statement(
                payment_date=self.payment_date,
                account_id=self.account_id,
                session=name,
                currency_code=self.currency_code,
                accounting_dates=tuple(sorted({entry.accounting_date for entry in mine})),
                transaction_count=len(sales),
                transaction_amount=amount,
                fee=sum(one.fee for one in sales),
                deducted=deducted,
                settlement=amount - deducted,
                adjustment_count=len(others),
                adjustment=sum(one.clearing for one in others),
                advance=self._advance(name),
                advance_fee=sum(row["advance_fee_minor"] for row in self.advances)
                if name == "transaction"
                else 0,
                previous=self.previous[name],
                transfer=transfers[name],
                held=self.held[name],
                frozen=frozen,
                available=available,
                minimum=self.minimum,
                status=status,
                withheld_reason=reason,
                payout=payout,
                carried=balance + transfers[name] - payout,
            )

    def _status(self, available: int, balance: int, frozen: int) -> tuple[str, str | None]:
        if available <= 0:
            if balance < 0:
                return "negative", None
            if balance == 0:
                return "no_balance", None
            return ("frozen" if available + frozen > 0 else "held"), None
        if available < self.minimum:
            return "below_minimum", None
        return ("payable", None) if self.has_payee else ("withheld", "no_payee")


@dataclass
class _Today:
    """What a payment date has to settle, by account and currency."""

    due: dict[tuple[str, str], list[Entry]] = field(default_factory=lambda: defaultdict(list))
    advances: dict[tuple[str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))
    freezes: dict[tuple[str, str], list[oracle_freezes.Freeze]] = field(
        default_factory=lambda: defaultdict(list)
    )
    waiting: dict[tuple[str, str], dict[str, tuple[date, Entry]]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def places(self) -> set[tuple[str, str]]:
        """Every account and currency that has any of it."""
        return {*self.due, *self.advances, *self.freezes, *self.waiting}


@dataclass
class Settled:
    """Statements; status of each charge; what each freeze takes, and not; what waits."""

    statements: list[Statement] = field(default_factory=list)
    charges: dict[tuple[date, str], str] = field(default_factory=dict)
    parts: dict[tuple[date, str, str], tuple[int, int]] = field(default_factory=dict)
    waiting: dict[str, tuple[date, Entry]] = field(default_factory=dict)

    def add(self, account: _Account) -> None:
        """Take over what became of an account's charges and freezes."""
        due = account.charges()
        for entry_id, status in account.outcome.charges.items():
            self.charges[account.payment_date, entry_id] = status
            self.waiting.pop(entry_id, None)
            if status == "waiting":
                self.waiting[entry_id] = due[entry_id]
        for (session, freeze_id), part in account.outcome.parts.items():
            place = statement_id(
                account.payment_date, account.account_id, session, account.currency_code
            )
            self.parts[account.payment_date, place, freeze_id] = part


def compute(week: Week, payouts: Sequence[PayoutEvent] = ()) -> Books:
    """All of it, from landed rows to balances."""
    entries = week.entries()
    holds = week.holds(entries)
    settled = week.settle(entries, holds)
    return Books(
        entries=tuple(entries),
        holds=tuple(holds),
        statements=tuple(settled.statements),
        charges=settled.charges,
        parts=settled.parts,
        advances={key: on for key, (on, _) in week.advances().items()},
        balances=tuple(balances(week, week.postings(entries, settled.charges, payouts))),
        terms=week.terms,
    )
