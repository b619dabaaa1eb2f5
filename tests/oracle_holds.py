"""What is held until its money arrives, in plain Python: the oracle of `settlement.holds`.

Written from docs/holds.md, docs/reconciliation.md and the tables' descriptions, not from the
models. It goes on from the closes of `oracle.close_week` and the landed rows: what each payment
date states, and what of it waits. Amounts are whole minor units, signed from the merchant's side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

import oracle
from oracle import Channel, Close, Equation, Item, Landed, Voucher

END_KINDS = {
    "late_match": "arrived",
    "manual_match": "arrived",
    "adjustment": "recovered",
    "manual_adjustment": "charge_merchant",
    "offset": "offset",
}
ENDED_BEFORE_STATED = "ended_before_stated"


@dataclass(frozen=True, slots=True)
class Hold:
    """One entry on one payment date. ``ended_gross`` left by another way than its money."""

    payment_date: date
    entry_id: str
    account_id: str
    channel: str
    currency_code: str
    accounting_date: date
    stated_on: date
    cleared: int
    deducted_fee: int
    reason: str
    opening: int
    closing: int
    closing_gross: int
    closing_fee: int
    lowered: int
    ended_gross: int
    end_kind: str | None

    @property
    def key(self) -> tuple[date, str]:
        """The grain of the table."""
        return self.payment_date, self.entry_id

    @property
    def says_something(self) -> bool:
        """There was, is, or has left something to hold."""
        return any((self.opening, self.closing_gross, self.lowered, self.ended_gross))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What of one entry waits as of a close, before returns lower it."""

    gross: int
    reason: str
    end_kind: str | None = None


@dataclass
class _Channel:
    """One channel's entries and closes, with what a payment date reads of them."""

    source: Landed
    channel: Channel
    closes: Sequence[Close]
    pays_on: Mapping[date, date]
    short_on: Mapping[tuple[date, str], date]  # record's date, currency -> its payment date
    fees: Mapping[str, int] | None = None  # deducted, by voucher; else by the simple price list
    states: list[dict[str, Item]] = field(default_factory=list)

    def __post_init__(self) -> None:
        state: dict[str, Item] = {}
        for close in self.closes:
            state = {**state, **{item.item_id: item for item in close.items}}
            self.states.append(state)
        self.paired = {
            row.system_id: row
            for close in self.closes
            for row in close.results
            if row.system_id and row.channel_id and row.match_rule != "manual_match"
        }
        refused = {one for close in self.closes for one in close.refused_voucher_ids}
        self.cleared = [
            voucher
            for voucher in self.source.vouchers
            if voucher.is_success
            and voucher.transaction_type in self.source.cleared_types
            and voucher.voucher_id not in refused
            and not oracle.is_reversal_of_nothing(voucher, self.source.vouchers)
        ]
        self.record_dates = {
            entry.source_id: close.accounting_date
            for close in self.closes
            for entry in close.from_channel
        }

    def deducted_fee(self, voucher: Voucher) -> int:
        """Net accounts pay their fee out of the settlement, the others by bill."""
        if self.fees is not None:
            return self.fees[voucher.voucher_id]
        if oracle.settlement_mode(self.source, voucher) != "net":
            return 0
        return oracle.merchant_fee(self.source, voucher)

    def last_close(self, payment_date: date) -> int | None:
        """The last close that the payment date pays for the channel, if it has paid any."""
        paid = [
            number
            for number, close in enumerate(self.closes)
            if self.pays_on[close.accounting_date] <= payment_date
        ]
        return max(paid, default=None)


def holds(
    source: Landed,
    closes: Mapping[str, Sequence[Close]],
    equations: Sequence[Equation],
    payment_dates: Sequence[date],
    fees: Mapping[str, int] | None = None,
) -> list[Hold]:
    """Every hold of every payment date, those that end on it included.

    ``fees`` are what was deducted of each voucher, where somebody else has priced them.
    """
    found: list[Hold] = []
    for name, alone in oracle.by_channel(source).items():
        (channel,) = alone.channels
        mine = [row for row in equations if row.channel == name]
        found += _holds_of(
            _Channel(
                source=alone,
                channel=channel,
                closes=closes[name],
                pays_on={day: row.payment_date for row in mine for day in row.accounting_dates},
                short_on={
                    (day, row.currency_code): row.payment_date
                    for row in mine
                    if row.residual
                    for day in row.accounting_dates
                },
                fees=fees,
            ),
            payment_dates,
        )
    return found


def _holds_of(of: _Channel, payment_dates: Sequence[date]) -> Iterator[Hold]:
    before: dict[str, Hold] = {}
    for payment_date in payment_dates:
        last = of.last_close(payment_date)
        if last is None:
            continue
        stated = [
            voucher for voucher in of.cleared if of.pays_on[voucher.accounting_date] <= payment_date
        ]
        state = of.states[last]
        waiting = {
            voucher.voucher_id: _waiting(of, voucher, state, payment_date) for voucher in stated
        }
        taken_back = _taken_back(of, stated, state)
        for voucher in stated:
            fee = of.deducted_fee(voucher)
            now = waiting[voucher.voucher_id]
            if now is None:
                continue
            entry_id = f"T:{voucher.voucher_id}"
            row = _row(
                payment_date,
                entry_id,
                of,
                account_id=voucher.account_id,
                currency_code=voucher.currency_code,
                accounting_date=voucher.accounting_date,
                stated_on=of.pays_on[voucher.accounting_date],
                cleared=voucher.amount_minor,
                fee=fee,
                now=now,
                earlier=before.get(entry_id),
                taken_back=taken_back[voucher.voucher_id],
                gross_before=_gross_before(of, voucher, last, now),
            )
            if entry_id in before and before[entry_id].end_kind and row.end_kind:
                continue  # it ended on an earlier payment date
            before[entry_id] = row
            yield row
        yield from _of_refused(of, state, payment_date, before)


def _row(
    payment_date: date,
    entry_id: str,
    of: _Channel,
    *,
    account_id: str,
    currency_code: str,
    accounting_date: date,
    stated_on: date,
    cleared: int,
    fee: int,
    now: _Waiting,
    earlier: Hold | None,
    taken_back: int,
    gross_before: int,
) -> Hold:
    part = min(now.gross, _share(fee, now.gross, cleared))
    lowered = min(taken_back, now.gross - part)
    # Of a row that ended: why it was held until then.
    reason_before = earlier.reason if earlier else ENDED_BEFORE_STATED
    is_reverse_end = now.end_kind not in (None, "arrived")
    return Hold(
        payment_date=payment_date,
        entry_id=entry_id,
        account_id=account_id,
        channel=of.channel.name,
        currency_code=currency_code,
        accounting_date=accounting_date,
        stated_on=stated_on,
        cleared=cleared,
        deducted_fee=fee,
        reason=now.reason if now.end_kind is None else reason_before,
        opening=earlier.closing if earlier else 0,
        closing=now.gross - part - lowered,
        closing_gross=now.gross,
        closing_fee=part,
        lowered=lowered,
        ended_gross=gross_before if is_reverse_end else 0,
        end_kind=now.end_kind,
    )


def _share(fee: int, gross: int, cleared: int) -> int:
    """The part of an entry's deducted fee that belongs to a part of its amount."""
    return oracle.round_half_away(Fraction(fee * gross, cleared)) if cleared else 0


def _waiting(
    of: _Channel, voucher: Voucher, state: Mapping[str, Item], payment_date: date
) -> _Waiting | None:
    """What is held of a stated entry as of a close; None where it never was an open item."""
    item = state.get(f"S:{voucher.voucher_id}")
    record = _record_it_depends_on(of, voucher, item, state)
    if record is not None and voucher.amount_minor > 0 and _is_short(of, voucher, *record):
        return _Waiting(voucher.amount_minor, "arrival_unconfirmed")
    if item is None:
        return None
    if item.status in ("resolved", "adjusted"):
        assert item.resolution_method is not None
        return _Waiting(0, "", END_KINDS[item.resolution_method])
    reason = "written_off" if item.status == "written_off" else item.break_reason or item.status
    return _Waiting(max(0, voucher.amount_minor - _payable(item, state)), reason)


def _payable(item: Item, state: Mapping[str, Item]) -> int:
    """Of an item that is open or written off: what its record, if any, lets us pay."""
    linked = state.get(item.linked_item_id or "")
    if (
        item.break_reason == "amount_mismatch"
        and linked is not None
        and (linked.is_open or linked.status == "written_off")
    ):
        return min(item.entry.amount_minor, linked.entry.amount_minor)
    return min(0, item.entry.amount_minor)


def _record_it_depends_on(
    of: _Channel, voucher: Voucher, item: Item | None, state: Mapping[str, Item]
) -> tuple[date, date] | None:
    """The date of the record that makes it payable, and the date on which that was known."""
    if item is None or item.status == "resolved":
        row = of.paired.get(voucher.voucher_id)
        if item is not None and item.resolution_method == "manual_match":
            assert item.resolved_on is not None
            return of.record_dates[item.resolved_by[0]], item.resolved_on
        if row is None:
            return None
        assert row.channel_id is not None
        return of.record_dates[row.channel_id], row.accounting_date
    if item.break_reason == "amount_mismatch" and item.linked_item_id in state:
        record = state[item.linked_item_id]
        if record.is_open or record.status == "written_off":
            return record.opened_on, max(record.opened_on, item.opened_on)
    return None


def _is_short(of: _Channel, voucher: Voucher, record_date: date, known_on: date) -> bool:
    """The money of the record's date came short on a payment date before this one counted on it."""
    short_on = of.short_on.get((record_date, voucher.currency_code))
    counts_on = max(of.pays_on[voucher.accounting_date], of.pays_on[known_on])
    return short_on is not None and short_on < counts_on


def _taken_back(of: _Channel, stated: Sequence[Voucher], state: Mapping[str, Item]) -> Counter[str]:
    """Net of the fee: what returns that only the platform has take back, by their sale."""
    found: Counter[str] = Counter()
    for voucher in stated:
        item = state.get(f"S:{voucher.voucher_id}")
        if (
            voucher.transaction_type in oracle.RETURNS
            and item is not None
            and (item.is_open or item.status == "written_off")
            and item.linked_item_id is None
            and voucher.original_voucher_id
        ):
            found[voucher.original_voucher_id] += of.deducted_fee(voucher) - voucher.amount_minor
    return found


def _gross_before(of: _Channel, voucher: Voucher, last: int, now: _Waiting) -> int:
    """What of an ended item was held by its last state before."""
    if now.end_kind is None:
        return 0
    item_id = f"S:{voucher.voucher_id}"
    for state in reversed(of.states[: last + 1]):
        item = state.get(item_id)
        if item is not None and item.is_open:
            return max(0, voucher.amount_minor - _payable(item, state))
    return 0


def _of_refused(
    of: _Channel, state: Mapping[str, Item], payment_date: date, before: dict[str, Hold]
) -> Iterator[Hold]:
    """What the channel took back under a refused voucher, from the account of its original."""
    for item in state.values():
        entry = item.entry
        if entry.side != "channel" or entry.account_id is None or entry.amount_minor >= 0:
            continue
        if item.break_reason != "refused_voucher":
            continue  # linked with a voucher, it counts with that one
        if of.pays_on[item.opened_on] > payment_date:
            continue
        is_waiting = item.is_open or item.status == "written_off"
        end_kind = None if is_waiting else END_KINDS[item.resolution_method or ""]
        old = before.get(item.item_id)
        if end_kind and (old is None or old.end_kind):
            continue
        gross = 0 if end_kind else -entry.amount_minor
        reason = "written_off" if item.status == "written_off" else "refused_voucher"
        row = _row(
            payment_date,
            item.item_id,
            of,
            account_id=entry.account_id,
            currency_code=entry.currency_code,
            accounting_date=item.opened_on,
            # Perhaps later than its date: the voucher was refused on a later one.
            stated_on=old.stated_on if old else payment_date,
            cleared=0,
            fee=0,
            now=_Waiting(gross, reason, end_kind),
            earlier=old,
            taken_back=0,
            gross_before=old.closing_gross if old else 0,
        )
        before[item.item_id] = row
        yield row


def settled(
    source: Landed,
    closes: Mapping[str, Sequence[Close]],
    equations: Sequence[Equation],
) -> Counter[tuple[date, str, str]]:
    """What each payment date states of transactions, by account and currency, after the fee."""
    pays_on = {
        (row.channel, day): row.payment_date for row in equations for day in row.accounting_dates
    }
    found: Counter[tuple[date, str, str]] = Counter()
    for name, alone in oracle.by_channel(source).items():
        of = _Channel(alone, alone.channels[0], closes[name], {}, {})
        for voucher in of.cleared:
            place = (
                pays_on[name, voucher.accounting_date],
                voucher.account_id,
                voucher.currency_code,
            )
            found[place] += voucher.amount_minor - of.deducted_fee(voucher)
    return found
