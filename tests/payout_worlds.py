"""Random weeks of accounts, for what is paid: each world is some accounts of shared channels.

Terms, sales, returns, adjustments, freezes, advances and opening balances of one account or two,
over a bank holiday, a weekend and the end of a month. `generated()` draws from a seed and nothing
else; `tables()` turns any number of worlds into the rows that landing would have left. No channel
is wrong about its money here, so that each payment date is paid.

Days count from the first accounting date; amounts are minor units, signed from the merchant's side.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import worlds
from worlds import SHANGHAI, Adjustment, Record

__all__ = [
    "CHANNELS", "DAYS", "FIRST_DATE", "Account", "Action", "Advance", "Change", "Contract",
    "Freeze", "Rendered", "Rule", "Voucher", "World", "generated", "tables",
]  # fmt: skip

FIRST_DATE = worlds.FIRST_DATE  # Thursday; the Friday is a holiday, and so is 1 to 7 October
DAYS = 8  # to 1 October: the month before is known of whoever began with the business
LAST = DAYS - 1

_HEAD = worlds.World(
    format="unionpay",
    rules=(worlds.RULES["unionpay"][0][0],),
    currencies=("CNY", "USD"),
    platform_cutoff_minutes=1380,
    cutoff_minutes=1380,
    skew_minutes=5,
    doubt_period_closes=1,
    arrival_calendar="working_day",
    arrival_lag_days=1,
    voided_pairs="both",
    merchants=(),
    vouchers=(),
    records=(),
    adjustments=(),
    brand_fees=(),
    actions=(),
)
_WALLET = replace(_HEAD, rules=(worlds.RULES["wechat"][0][0],), currencies=("CNY",))
# The channels that all worlds share: one that pays on calendar days, and one that takes longer.
CHANNELS: Mapping[str, worlds.World] = {
    "up": _HEAD,
    "wx": replace(_WALLET, format="wechat", cutoff_minutes=1440, arrival_calendar="calendar_day"),
    "zf": replace(_WALLET, format="alipay", cutoff_minutes=1440, arrival_lag_days=2),
}
AMOUNTS = (100, 333, 999, 5_000, 12_345, 20_001)
FREEZE_KINDS = ("judicial", "risk", "own_charge", "merchant_request")


@dataclass(frozen=True, slots=True)
class Rule:
    """A fee rule of a contract; what is None fits any."""

    fee_rate: str
    fixed_fee_minor: int = 0
    minimum_fee_minor: int = 0
    cap_fee_minor: int | None = None
    tier_from_minor: int = 0
    priority: int = 10
    channel: str | None = None
    transaction_type: str | None = None
    card_kind: str | None = None
    card_region: str | None = None
    merchant_category_code: str | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract from the day ``since`` (None: long before) until ``until``, exclusive."""

    settlement_mode: str
    refund_fee_policy: str
    payout_minimum_minor: int
    rules: tuple[Rule, ...]
    since: int | None = None
    until: int | None = None
    is_end: bool = False
    merchant_category_code: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """From the snapshot of ``day`` on, a contract or its first rule says something else."""

    day: int
    contract: int
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a merchant of its own. ``payee``: active, blocked, or none."""

    contracts: tuple[Contract, ...]
    changes: tuple[Change, ...] = ()
    payee: str = "active"
    opening_minor: int = 0  # what we owe it at the first date


@dataclass(frozen=True, slots=True)
class Voucher:
    """A source voucher."""

    ref: str
    account: int
    channel: str
    day: int
    at: datetime
    transaction_type: str
    currency_code: str
    amount_minor: int
    card_kind: str
    card_region: str
    references: tuple[tuple[str, str | None], ...]
    original: str | None = None
    original_at: datetime | None = None
    original_amount_minor: int | None = None
    refunded_before_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What two people decide about the item of a voucher or record."""

    kind: str
    item: str
    account: int
    day: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze as the files have it, or ``by_people``.

    Of ``releases`` (day, amount so far) each counts from its day on; from ``forgotten_on`` the file
    does not name it, from ``less_on`` it names half, from ``later_on`` it is a merchant's request.
    ``decided`` is what two people release: day and amount.
    """

    account: int
    currency_code: str
    amount_minor: int
    kind: str | None
    session: str | None
    since: int
    until: int | None = None
    releases: tuple[tuple[int, int], ...] = ()
    forgotten_on: int | None = None
    less_on: int | None = None
    later_on: int | None = None
    by_people: bool = False
    decided: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """An advance, told of in the files from ``told_on`` on."""

    account: int
    for_day: int
    told_on: int
    amount_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class World:
    """Some accounts and what happens to them. Shown whole when a test fails."""

    accounts: tuple[Account, ...]
    vouchers: tuple[Voucher, ...]
    records: tuple[tuple[str, Record], ...]  # with their channel
    adjustments: tuple[tuple[Adjustment, int], ...]  # with their account, all of "up"
    actions: tuple[Action, ...]
    freezes: tuple[Freeze, ...]
    advances: tuple[Advance, ...]

    @property
    def size(self) -> int:
        """Rows of both sides."""
        return len(self.vouchers) + len(self.records) + len(self.adjustments)

    def __str__(self) -> str:
        """One row a line."""
        lines = []
        for name in self.__dataclass_fields__:
            for number, row in enumerate(getattr(self, name)):
                parts = row if isinstance(row, tuple) else (row,)
                lines.append(f"  {name[:-1]} {number}: {' '.join(_short(part) for part in parts)}")
        return "\n".join(lines)


def _short(row: Any) -> str:
    if isinstance(row, (str, int)):
        return f"[{row}]"
    if isinstance(row, (Account, Contract)):
        return str(row)
    shown = []
    for name in row.__dataclass_fields__:
        value = getattr(row, name)
        if value is None or name in ("references", "original_at"):
            continue
        if name == "original" and isinstance(value, tuple):
            value = dict(value)["trace_number"]
        shown.append(f"{name}={value:%m-%d %H:%M:%S}" if name == "at" else f"{name}={value}")
    return " ".join(shown)


# --- drawing a world ----------------------------------------------------------------------------


@dataclass
class _Builder:
    """A world while it is drawn."""

    dice: random.Random
    number: int
    accounts: list[Account] = field(default_factory=list)
    vouchers: list[Voucher] = field(default_factory=list)
    records: list[tuple[str, Record]] = field(default_factory=list)
    adjustments: list[tuple[Adjustment, int]] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    serial: int = 0

    def name(self, side: str) -> str:
        """A ref that no other row of the world has."""
        self.serial += 1
        return f"{side}{self.serial}"

    def one_of(self, *values: Any) -> Any:
        """One of some values."""
        return self.dice.choice(values)

    def chance(self, out_of: int) -> bool:
        """True once in ``out_of``."""
        return self.dice.randrange(out_of) == 0

    def account(self) -> int:
        """One of the accounts."""
        return self.dice.randrange(len(self.accounts))

    def references(
        self, channel: str, *, gives_back: bool = False
    ) -> tuple[tuple[str, str | None], ...]:
        """References of a channel that no other row of any world has."""
        self.serial += 1
        high, low = divmod(self.number * 1_000 + self.serial, 1_000_000)
        found: worlds.Refs = dict.fromkeys(worlds.EVERY_REFERENCE)
        found["terminal_id"] = "T1"
        if channel == "up":
            found |= {
                "acquiring_institution_id": "48370000",
                "forwarding_institution_id": "00049992",
                "trace_number": f"{low:06d}",
                "transmission_time": f"0924{high:06d}",
                "retrieval_reference_number": f"R{high}x{low}",
            }
        else:
            found |= {
                "channel_order_id": f"O{high}x{low}",
                "refund_order_id": f"F{high}x{low}" if gives_back else None,
                "merchant_order_id": f"M{high}x{low}",
            }
        return tuple(found.items())

    def moment(self, first: int = 0) -> tuple[int, datetime]:
        """An accounting date and an instant of it: noon, or the hour before its midnight."""
        day = self.dice.randint(first, LAST)
        seconds = self.one_of(12 * 3_600, 12 * 3_600, 12 * 3_600, -1_800)
        return day, at(day, seconds + self.dice.randrange(1_000))

    def sell(
        self,
        account: int | None = None,
        *,
        day: int | None = None,
        amount: int | None = None,
        channel: str | None = None,
        first: int = 0,
        **more: Any,
    ) -> Voucher:
        """Add a sale that only the platform has, of ``day`` or of one from ``first`` on."""
        on, when = self.moment(first)
        if day is not None:
            on, when = day, at(day, 12 * 3_600 + self.dice.randrange(1_000))
        channel = channel or self.one_of("up", "up", "wx", "zf")
        of_card = channel == "up"
        made = Voucher(
            ref=self.name("v"),
            account=self.account() if account is None else account,
            channel=channel,
            day=on,
            at=when,
            transaction_type="purchase",
            currency_code=self.one_of(*("CNY",) * 7, "USD") if of_card else "CNY",
            amount_minor=amount or self.one_of(*AMOUNTS),
            card_kind=self.one_of("debit", "credit") if of_card else "none",
            card_region=self.one_of(*("domestic",) * 3, "foreign") if of_card else "none",
            references=self.references(channel),
        )
        made = replace(made, **more)
        self.vouchers.append(made)
        return made

    def record(self, of: Voucher, *, late: int = 0, amount: int | None = None) -> Record | None:
        """Add the channel's record of a voucher, ``late`` days late, perhaps of another amount."""
        shift = timedelta(minutes=1_440 - CHANNELS[of.channel].cutoff_minutes)
        day = ((of.at + shift).date() - FIRST_DATE).days + late
        if not 0 <= day < DAYS:
            return None
        value = of.amount_minor if amount is None else amount
        cost = self.one_of(0, 3, 17)
        kind = of.transaction_type
        if kind not in worlds.CHANNEL_TYPES[CHANNELS[of.channel].format]:
            kind = "purchase" if value > 0 else "refund"
        made = Record(
            self.name("c"),
            day,
            of.at,
            kind,
            of.currency_code,
            value,
            cost if value > 0 else -cost,
            of.references,
        )
        self.records.append((of.channel, made))
        return made

    def give_back(
        self,
        sale: Voucher,
        amount: int,
        *,
        later: int = 0,
        kind: str = "refund",
        before: int = 0,
        is_recorded: bool = True,
    ) -> Voucher | None:
        """Add a return of a sale, where its day is one of the week's."""
        day = sale.day + later
        if day > LAST:
            return None
        when = at(day, 13 * 3_600 + self.dice.randrange(3_000))
        made = replace(
            sale,
            ref=self.name("v"),
            day=day,
            at=when,
            transaction_type=kind,
            amount_minor=-amount,
            references=self.references(sale.channel, gives_back=True),
            original=sale.ref,
            original_at=sale.at,
            original_amount_minor=sale.amount_minor,
            refunded_before_minor=before,
        )
        self.vouchers.append(made)
        if is_recorded:
            self.record(made)
        return made

    def adjust(
        self, sale: Voucher, kind: str, effect: int, *, day: int | None = None, later: int = 1
    ) -> int | None:
        """Add an adjustment record of a sale by card; + = the channel gives. Return its day."""
        day = sale.day + later if day is None else day
        if not 0 <= day <= LAST:
            return None
        made = Adjustment(
            self.name("a"),
            day,
            kind,
            0,
            sale.currency_code,
            effect,
            self.one_of(0, 0, 5, -2),
            sale.references,
        )
        self.adjustments.append((made, sale.account))
        return day


def at(day: int, seconds: int) -> datetime:
    """An instant by seconds from 00:00 of a day."""
    on = FIRST_DATE + timedelta(days=day)
    return datetime(on.year, on.month, on.day, tzinfo=SHANGHAI) + timedelta(seconds=seconds)


def _plain(b: _Builder) -> None:
    account = b.account()
    for _ in range(b.one_of(1, 2, 3)):
        b.record(b.sell(account))


def _month_end(b: _Builder) -> None:
    """Sales on either side of the end of the month, for the tiers."""
    account, channel = b.account(), b.one_of("up", "wx")
    b.record(b.sell(account, day=b.one_of(0, 3, 6), amount=12_345, channel=channel))
    b.record(b.sell(account, day=LAST, amount=b.one_of(*AMOUNTS), channel=channel))


def _completion(b: _Builder) -> None:
    sale = b.sell(channel="up", transaction_type="preauth_completion", original="before")
    b.record(sale)


def _late_record(b: _Builder) -> None:
    b.record(b.sell(), late=b.one_of(1, 2, 3))


def _system_only(b: _Builder) -> None:
    sale = b.sell(first=0)
    if b.chance(2):
        kind = b.one_of("adjust", "write_off")
        b.actions.append(Action(kind, sale.ref, sale.account, min(sale.day + b.one_of(1, 2), LAST)))
    elif b.chance(2):
        kind = b.one_of("void", "refund")
        part = sale.amount_minor if kind == "void" else max(1, sale.amount_minor // 3)
        b.give_back(sale, part, later=b.one_of(0, 1), kind=kind, is_recorded=b.chance(4))


def _channel_only(b: _Builder) -> None:
    sale = b.sell()
    record = b.record(sale)
    b.vouchers.remove(sale)
    if record is not None and b.chance(2):
        kind = b.one_of("adjust", "adjust", "write_off")
        day = min(record.day + b.one_of(1, 2), LAST)
        b.actions.append(Action(kind, record.ref, sale.account, day))


def _mismatch(b: _Builder) -> None:
    sale = b.sell()
    record = b.record(sale, amount=max(1, sale.amount_minor + b.one_of(-50, -99, 7, 300)))
    if record is not None and b.chance(3):
        day = min(max(sale.day, record.day) + b.one_of(1, 2), LAST)
        b.actions.append(Action("adjust", b.one_of(sale.ref, record.ref), sale.account, day))


def _refunds(b: _Builder) -> None:
    """A sale given back in parts over dates, sometimes all of it, sometimes a fen too much."""
    sale = b.sell(first=0, day=b.one_of(0, 1, 2, 3, 4, 5))
    b.record(sale)
    third = max(1, sale.amount_minor // 3)
    parts = b.one_of((third,), (third, third), (third, third, sale.amount_minor - 2 * third))
    before, later = 0, 0
    for part in parts:
        later += b.one_of(0, 1, 2)
        if b.give_back(sale, part, later=later, before=before) is None:
            return
        before += part
    if b.chance(5):
        b.give_back(sale, sale.amount_minor - before + 1, later=later, before=before)


def _void(b: _Builder) -> None:
    sale = b.sell(first=0)
    b.record(sale)
    kind = b.one_of("void", "reversal")
    b.give_back(sale, sale.amount_minor, later=b.one_of(0, 0, 1), kind=kind)


def _old_refund(b: _Builder) -> None:
    """Given back of a sale of before the first date, perhaps not the first part of it."""
    sale = b.sell()
    b.vouchers.remove(sale)
    before = b.one_of(0, 0, 37)
    made = b.give_back(sale, b.one_of(100, 333), before=before)
    if made is not None:
        b.vouchers[-1] = replace(
            made,
            original=f"before-{made.ref}",
            original_at=at(-20, 3_600),
            original_amount_minor=b.one_of(999, 5_000),
        )


def _chargeback(b: _Builder) -> None:
    """A sale by card, refunded or not, charged back, perhaps represented, perhaps for good."""
    sale = b.sell(channel="up", day=b.one_of(0, 1, 2, 3, 4))
    b.record(sale)
    before = 0
    if b.chance(4):
        before = max(1, sale.amount_minor // 4)
        b.give_back(sale, before, later=b.one_of(0, 1))
    left = sale.amount_minor - before
    effect = b.one_of(left, left, max(1, left // 2), left + 1)
    day = b.adjust(sale, "first_chargeback", -effect, later=b.one_of(1, 2, 4))
    if day is not None and b.chance(2):
        back = b.adjust(sale, "representment", effect, day=day + b.one_of(0, 1, 2))
        if back is not None and b.chance(2):
            b.adjust(sale, "second_chargeback", -effect, day=back + 1)


def _beyond_balance(b: _Builder) -> None:
    """A sale that is paid out, taken back when little is there, and sales that cover it later."""
    account = b.account()
    sale = b.sell(account, channel="up", day=0, amount=b.one_of(5_000, 12_345))
    b.record(sale)
    kind = b.one_of("first_chargeback", "manual_refund", "credit_adjustment")
    b.adjust(sale, kind, -sale.amount_minor, later=b.one_of(4, 5, 6))
    for day in range(5, DAYS):
        if b.chance(2):
            amount = b.one_of(100, 999, 5_000, 20_001)
            b.record(b.sell(account, day=day, amount=amount, channel="up", currency_code="CNY"))


def _manual_refund(b: _Builder) -> None:
    sale = b.sell(channel="up", day=b.one_of(0, 1, 2, 3, 4, 5))
    b.record(sale)
    part = b.one_of(sale.amount_minor, max(1, sale.amount_minor // 3))
    b.give_back(sale, part, later=1, kind="manual_refund", is_recorded=False)
    b.adjust(sale, "manual_refund", -part, later=b.one_of(1, 2))
    if part < sale.amount_minor and b.chance(2):
        b.give_back(sale, part, later=2, before=0)


def _credit_adjustment(b: _Builder) -> None:
    sale = b.sell(channel="up", day=b.one_of(0, 1, 2, 3, 4, 5))
    b.record(sale)
    b.adjust(sale, "credit_adjustment", -sale.amount_minor, later=b.one_of(1, 2))


def _recovered(b: _Builder) -> None:
    sale = b.sell(channel="up", day=b.one_of(0, 1, 2, 3, 4, 5))
    b.adjust(sale, "debit_adjustment", sale.amount_minor, later=b.one_of(1, 2))


_SCENES = (
    *(_plain, _month_end, _refunds, _chargeback, _beyond_balance) * 2,
    _completion, _late_record, _system_only, _system_only, _channel_only, _mismatch, _void,
    _old_refund, _manual_refund, _credit_adjustment, _recovered,
)  # fmt: skip


def _rules(dice: random.Random) -> tuple[Rule, ...]:
    """A base rule for anything, and sometimes narrower ones of a smaller priority, and a tier."""
    base = Rule(
        fee_rate=dice.choice(("0.006", "0.0038", "0.0055", "0.05", "0")),
        fixed_fee_minor=dice.choice((0, 0, 1, 30)),
        minimum_fee_minor=dice.choice((0, 0, 2, 8)),
        cap_fee_minor=dice.choice((None, None, 60, 25)),
    )
    found = [base]
    if dice.random() < 0.5:
        tiers = dice.choice(((1,), (3_000, 12_000), (12_345,), (100_000,)))
        for place, tier in enumerate(tiers, start=1):
            rate = Decimal(base.fee_rate) * (1 + place) + Decimal("0.001")
            found.append(replace(base, tier_from_minor=tier, fee_rate=str(rate)))
    narrower = (
        {"card_kind": "debit", "cap_fee_minor": 20, "fee_rate": "0.004"},
        {"card_region": "foreign", "fee_rate": "0.0195"},
        {"channel": dice.choice(("wx", "zf", "up")), "fixed_fee_minor": 11},
        {"transaction_type": "preauth_completion", "fee_rate": "0.011"},
        {"merchant_category_code": "5411", "fee_rate": "0.0025"},
        {"card_kind": "credit", "channel": "up", "minimum_fee_minor": 40},
    )
    for priority, scope in enumerate(dice.sample(narrower, dice.choice((0, 1, 2))), start=1):
        found.append(Rule(**{"fee_rate": "0.007", "priority": priority, **scope}))
    return tuple(found)


def _contract(dice: random.Random) -> Contract:
    return Contract(
        settlement_mode=dice.choice(("net", "net", "gross")),
        refund_fee_policy=dice.choice(("return", "return", "keep")),
        payout_minimum_minor=dice.choice((0, 0, 1, 500, 5_000, 20_000)),
        rules=_rules(dice),
        merchant_category_code=dice.choice((None, "5411", "5812")),
    )


def _account(dice: random.Random) -> Account:
    """One contract, two in a row, or one that ends; perhaps with terms that change in place."""
    first = _contract(dice)
    since = dice.choice((None, 0))
    kind = dice.choice(("one", "one", "one", "two", "two", "ended"))
    day = dice.randint(1, LAST)
    if kind == "two":
        contracts = (
            replace(first, since=since, until=day),
            replace(_contract(dice), since=day),
        )
    elif kind == "ended":
        contracts = (replace(first, since=since, until=day + 1, is_end=True),)
    else:
        contracts = (replace(first, since=since),)
    changes: tuple[Change, ...] = ()
    if dice.random() < 0.4:
        column, values = dice.choice(
            (
                ("fee_rate", ("0.001", "0.09")),
                ("fixed_fee_minor", (0, 50)),
                ("minimum_fee_minor", (0, 20)),
                ("cap_fee_minor", (9, 900)),
                ("payout_minimum_minor", (0, 700, 30_000)),
                ("settlement_mode", ("net", "gross")),
                *((("refund_fee_policy", ("return", "keep", "keep")),) * 3),
                ("merchant_category_code", ("5411", "5999")),
            )
        )
        changes = (Change(dice.randint(1, LAST), len(contracts) - 1, column, dice.choice(values)),)
    return Account(
        contracts=contracts,
        changes=changes,
        payee=dice.choice((*("active",) * 14, "blocked", "none")),
        opening_minor=dice.choice((0, 0, 0, 777, 6_000, -400)),
    )


def _ends_on(account: Account) -> int:
    """The last day on which the account has a contract."""
    until = account.contracts[-1].until
    return LAST if until is None else until - 1


def draw(seed: int, number: int) -> World:
    """Draw a world: always the same one of a seed and number."""
    dice = random.Random(f"{seed}-{number}")
    b = _Builder(dice, number)
    b.accounts = [_account(dice) for _ in range(dice.choice((1, 1, 2)))]
    for scene in dice.choices(_SCENES, k=dice.randint(2, 6)):
        scene(b)
    accounts, everyone = b.accounts, range(len(b.accounts))
    freezes = tuple(
        _freeze(dice, account)
        for account in everyone
        for _ in range(dice.choice((0, 0, 1, 1, 2, 3)))
    )
    advances = tuple(
        Advance(
            account,
            for_day=(day := dice.randint(-1, LAST)),
            told_on=min(max(day + dice.choice((0, 0, 1, 2, -1)), 0), LAST),
            amount_minor=dice.choice((100, 900, 4_000)),
            fee_minor=dice.choice((0, 3)),
        )
        for account in everyone
        for _ in range(dice.choice((0, 0, 1, 2)))
    )
    # A sale without a contract at its time would stop the close; a return of one does not.
    fine = {row.ref for row in b.vouchers if _has_contract(accounts[row.account], row)}
    kept = tuple(row for row in b.vouchers if _stands(row, fine))
    refs = {row.ref for row in kept}
    sold = {row.references for row in kept}
    records = tuple(
        (channel, row) for channel, row in b.records if row.references in sold or _is_alone(b, row)
    )
    refs |= {row.ref for _, row in records}
    return World(
        accounts=tuple(accounts),
        vouchers=kept,
        records=records,
        adjustments=tuple((row, account) for row, account in b.adjustments if row.original in sold),
        actions=tuple(
            one
            for one in b.actions
            if one.item in refs and one.day <= _ends_on(accounts[one.account])
        ),
        freezes=freezes,
        advances=advances,
    )


def _has_contract(account: Account, row: Voucher) -> bool:
    """A sale's account has a contract at its time; a return's sale of the week has one itself."""
    began = account.contracts[0].since is None
    if row.original_at is not None:
        return began or row.original_at.date() >= FIRST_DATE
    ends_on = FIRST_DATE + timedelta(days=_ends_on(account))
    return row.at.date() <= ends_on and (began or row.at.date() >= FIRST_DATE)


def _stands(row: Voucher, fine: set[str]) -> bool:
    """The voucher, and where it gives a sale of the week back, that sale, has a contract."""
    if row.ref not in fine:
        return False
    return row.original is None or row.original.startswith("before") or row.original in fine


def _is_alone(b: _Builder, record: Record) -> bool:
    """No voucher was drawn for it: only the channel has it."""
    return all(row.references != record.references for row in b.vouchers)


def _freeze(dice: random.Random, account: int) -> Freeze:
    amount = dice.choice((50, 400, 3_000, 9_000, 90_000))
    since = dice.choice((-9, -9, 0, 5, 6))
    made = Freeze(
        account,
        currency_code=dice.choice(("CNY",) * 9 + ("USD",)),
        amount_minor=amount,
        kind=dice.choice((None, *FREEZE_KINDS)),
        session=dice.choice((None, None, "transaction", "foreign_card")),
        since=since,
    )
    day, kind = dice.randint(4, LAST), made.kind or "risk"
    happens: Mapping[str, dict[str, Any]] = {
        "stays": {},
        "until": {"until": day},
        "released": {"releases": ((day, amount // 2), (day + 1, amount))},
        "forgotten": {"forgotten_on": day},
        "later": {"kind": "risk", "later_on": day},
        "less": {"less_on": day},
        "decided": {"decided": (day, dice.choice((amount, amount // 2)))},
        "people": {"kind": kind, "since": 0, "by_people": True},
        "people again": {"kind": kind, "since": 5, "by_people": True,
                         "decided": (max(day, 5), amount // 2)},
    }  # fmt: skip
    begins = {"until": dice.choice((None, since + 1))}
    return replace(made, **(begins if since >= 0 else happens[dice.choice(tuple(happens))]))


def generated(count: int, seed: int | None = None) -> dict[str, World]:
    """``count`` worlds by their names: always the same ones without a seed."""
    return {f"P{number:04d}": draw(seed or 0, number) for number in range(count)}


# --- from worlds to rows ------------------------------------------------------------------------

Rendered = worlds.Rendered


def tables(named: Mapping[str, World]) -> Rendered:
    """Write worlds as landed rows; of `Rendered.ids` the key is the world's name."""
    writer = _Writer(FIRST_DATE, DAYS)
    for name in (
        "control.freeze_requests",
        "control.freeze_approvals",
        "raw.platform_payees",
        "raw.platform_freezes",
        "raw.platform_advances",
        "raw.platform_opening_balances",
    ):
        writer.tables[name] = []
    for number, (channel, head) in enumerate(CHANNELS.items(), start=1):
        writer.reference(number, channel, head)
    for name, world in named.items():
        writer.accounts(name, world)
        writer.rows(name, world)
    writer.every_snapshot()
    for channel, head in CHANNELS.items():
        writer.arrivals(channel, writer.of_channel(head, channel, named))
    writer.statements()
    writer.window()
    return Rendered(writer.tables, writer.ids)


class _Writer(worlds._Writer):
    """Writes the accounts of all worlds into the files of shared channels."""

    def of_channel(
        self, head: worlds.World, channel: str, named: Mapping[str, World]
    ) -> worlds.World:
        """All that a channel's files have of the worlds."""
        return replace(
            head,
            records=tuple(
                row for world in named.values() for of, row in world.records if of == channel
            ),
            adjustments=tuple(row for world in named.values() for row, _ in world.adjustments)
            if channel == "up"
            else (),
        )

    def every_snapshot(self) -> None:
        """A snapshot without rows is a file, too."""
        for day in range(self.days):
            for kind in ("contracts", "fee_rates", "payees", "freezes", "advances"):
                self.file("platform", kind, self.on(day))

    def accounts(self, name: str, world: World) -> None:
        """Terms, payees, freezes and advances in the snapshot of each date; opening balances."""
        for index, account in enumerate(world.accounts):
            account_id, merchant_id = f"{name}A{index}", f"{name}M{index}"
            for day in range(self.days):
                for number, contract in enumerate(account.contracts):
                    self.contract(f"{name}-C{index}-{number}", account_id, merchant_id, day,
                                  _changed(account, number, contract, day))  # fmt: skip
                self.payees(account, account_id, day)
            if account.opening_minor:
                self.opening("merchant_payable", account_id, -account.opening_minor)
                self.opening("own_funds", "opening", account.opening_minor)
        for number, freeze in enumerate(world.freezes):
            freeze_id = f"{'P:' if freeze.by_people else 'Z'}{name}-{number}"
            self.freeze(freeze_id, f"{name}A{freeze.account}", freeze)
        for number, advance in enumerate(world.advances):
            for day in range(advance.told_on, self.days):
                on = self.on(day)
                self.add(
                    "raw.platform_advances",
                    self.file("platform", "advances", on),
                    on,
                    advance_id=f"D{name}-{number}",
                    account_id=f"{name}A{advance.account}",
                    advanced_on=self.on(advance.for_day),
                    for_accounting_date=self.on(advance.for_day),
                    currency_code="CNY",
                    amount_minor=advance.amount_minor,
                    advance_fee_minor=advance.fee_minor,
                )

    def contract(
        self, contract_id: str, account_id: str, merchant_id: str, day: int, contract: Contract
    ) -> None:
        on = self.on(day)
        since = date(2026, 1, 1) if contract.since is None else self.on(contract.since)
        until = None if contract.until is None else self.on(contract.until)
        self.add(
            "raw.platform_contracts",
            self.file("platform", "contracts", on),
            on,
            contract_id=contract_id,
            merchant_id=merchant_id,
            account_id=account_id,
            settlement_mode=contract.settlement_mode,
            payout_minimum_minor=contract.payout_minimum_minor,
            settlement_cycle="T+1",
            refund_fee_policy=contract.refund_fee_policy,
            fee_period="month",
            fee_collection_method="invoice",
            effective_from=since,
            effective_to=until,
            ended_on=until if contract.is_end else None,
            merchant_category_code=contract.merchant_category_code,
        )
        for number, rule in enumerate(contract.rules):
            self.add(
                "raw.platform_fee_rates",
                self.file("platform", "fee_rates", on),
                on,
                fee_rule_id=f"{contract_id}-{number}",
                contract_id=contract_id,
                effective_from=since,
                effective_to=until,
                **{
                    name: Decimal(rule.fee_rate) if name == "fee_rate" else getattr(rule, name)
                    for name in rule.__dataclass_fields__
                },
            )

    def payees(self, account: Account, account_id: str, day: int) -> None:
        if account.payee == "none":
            return
        on = self.on(day)
        self.add(
            "raw.platform_payees",
            self.file("platform", "payees", on),
            on,
            payee_id=f"Y{account_id}",
            payee_version=1,
            account_id=account_id,
            bank_name="Test bank",
            bank_code="102100000017",
            account_number_ciphertext="sealed",
            account_number_mask="6230****0001",
            account_number_token=f"token of {account_id}",
            account_name_ciphertext="sealed",
            account_name_mask="T***",
            account_name_token=f"name of {account_id}",
            currency_code="CNY",
            payee_status=account.payee,
            effective_from=date(2026, 1, 1),
            effective_to=None,
        )

    def opening(self, ledger_account: str, subledger_id: str, balance_minor: int) -> None:
        rows = self.tables["raw.platform_opening_balances"]
        for row in rows:
            if (row["ledger_account"], row["subledger_id"]) == (ledger_account, subledger_id):
                row["balance_minor"] += balance_minor
                return
        self.add(
            "raw.platform_opening_balances",
            self.file("platform", "opening_balances", self.first),
            self.first,
            ledger_account=ledger_account,
            subledger_id=subledger_id,
            currency_code="CNY",
            balance_minor=balance_minor,
        )

    def freeze(self, freeze_id: str, account_id: str, freeze: Freeze) -> None:
        if freeze.by_people:
            self.request("freeze", freeze_id, account_id, freeze)
        if freeze.decided:
            self.request("release", freeze_id, account_id, freeze)
        for day in () if freeze.by_people else range(self.days):
            if freeze.forgotten_on is not None and day >= freeze.forgotten_on:
                continue
            on = self.on(day)
            is_less = freeze.less_on is not None and day >= freeze.less_on
            is_later = freeze.later_on is not None and day >= freeze.later_on
            kind = "merchant_request" if is_later else freeze.kind
            self.add(
                "raw.platform_freezes",
                self.file("platform", "freezes", on),
                on,
                freeze_id=freeze_id,
                account_id=account_id,
                currency_code=freeze.currency_code,
                amount_minor=freeze.amount_minor // 2 if is_less else freeze.amount_minor,
                reason_code="risk_review" if freeze.kind else "court_order",
                effective_from=self.on(freeze.since),
                effective_to=None if freeze.until is None else self.on(freeze.until),
                freeze_kind=kind,
                order_number="No 1" if kind == "judicial" else None,
                issued_by="A court" if kind == "judicial" else None,
                settlement_session_type=freeze.session,
                released_amount_minor=max(
                    (amount for since, amount in freeze.releases if since <= day), default=None
                ),
            )

    def request(self, action: str, freeze_id: str, account_id: str, freeze: Freeze) -> None:
        """What two people ask and approve of a freeze."""
        day, amount = freeze.since, freeze.amount_minor
        if action == "release" and freeze.decided is not None:
            day, amount = freeze.decided
        number = len(self.tables["control.freeze_requests"]) + 1
        kind = freeze.kind if action == "freeze" else None
        when = at(min(day, 0), 12 * 3_600)
        self.tables["control.freeze_requests"].append(
            {
                "request_id": number,
                "action": action,
                "freeze_id": freeze_id,
                "account_id": account_id,
                "currency_code": freeze.currency_code,
                "amount_minor": amount,
                "freeze_kind": kind,
                "order_number": "No 2" if kind == "judicial" else None,
                "issued_by": "A court" if kind == "judicial" else None,
                "settlement_session_type": freeze.session if action == "freeze" else None,
                "effective_on": self.on(day),
                "effective_to": None,
                "reason": "an order",
                "requested_by": "zhang",
                "requested_at": when,
                "signed_by_login": "test",
            }
        )
        self.tables["control.freeze_approvals"].append(
            {"request_id": number, "approved_by": "li", "approved_at": when,
             "signed_by_login": "test"}
        )  # fmt: skip

    def rows(self, name: str, world: World) -> None:
        """What happens: vouchers, the channels' records and adjustments, people's decisions."""
        self.ids[name] = {}
        for voucher in world.vouchers:
            self.sold(name, voucher)
        for channel, record in world.records:
            self.ids.setdefault(channel, {})
            self.record(channel, CHANNELS[channel], record)
            self.ids[name][record.ref] = self.ids[channel].pop(record.ref)
        for adjustment, account in world.adjustments:
            self.adjusted(name, adjustment, f"{name}M{account}")
        for action in world.actions:
            self.decided(name, action)

    def sold(self, name: str, voucher: Voucher) -> None:
        on = self.on(voucher.day)
        self.ids[name][voucher.ref] = f"{name}-{voucher.ref}"
        self.add(
            "raw.platform_source_vouchers",
            self.file("platform", "source_vouchers", on),
            on,
            voucher_id=f"{name}-{voucher.ref}",
            transaction_at=voucher.at,
            transaction_type=voucher.transaction_type,
            transaction_status="success",
            merchant_id=f"{name}M{voucher.account}",
            account_id=f"{name}A{voucher.account}",
            channel=voucher.channel,
            currency_code=voucher.currency_code,
            amount_minor=voucher.amount_minor,
            card_kind=voucher.card_kind,
            card_region=voucher.card_region,
            card_token=None,
            **dict(voucher.references),
            original_voucher_id=voucher.original and f"{name}-{voucher.original}",
            original_transaction_at=voucher.original_at,
            original_amount_minor=voucher.original_amount_minor,
            original_refunded_before_minor=voucher.refunded_before_minor,
            is_late_order=False,
        )

    def adjusted(self, name: str, adjustment: Adjustment, merchant_id: str) -> None:
        on = self.on(adjustment.day)
        file_id = self.file("up", "aerrn", on)
        number = self.lines[file_id] + 1
        columns = worlds.aerrn_columns(
            adjustment, f"8{number:05d}", at(adjustment.day, 12 * 3_600), merchant_id
        )
        line = self.add("raw.unionpay_aerrn", file_id, on, **columns)
        self.ids[name][adjustment.ref] = f"{file_id}:{line}"

    def decided(self, name: str, action: Action) -> None:
        number = len(self.tables["reconciliation.actions"]) + 1
        when = at(action.day, 12 * 3_600)
        self.tables["reconciliation.actions"].append(
            {
                "action_id": number,
                "action_kind": action.kind,
                "suspense_item_id": self.item_id(name, action.item),
                "second_item_id": None,
                "account_id": f"{name}A{action.account}" if action.kind == "adjust" else None,
                "assigned_to": None,
                "effective_on": self.on(action.day),
                "reason": "checked by hand",
                "requested_by": "zhang",
                "requested_at": when,
            }
        )
        self.tables["reconciliation.action_approvals"].append(
            {"action_id": number, "approved_by": "li", "approved_at": when}
        )


def _changed(account: Account, number: int, contract: Contract, day: int) -> Contract:
    """A contract as the snapshot of a day has it."""
    for change in account.changes:
        if change.contract == number and change.day <= day:
            if change.column in Contract.__dataclass_fields__:
                return replace(contract, **{change.column: change.value})
            base, *others = contract.rules
            changed = replace(base, **{change.column: change.value})
            return replace(contract, rules=(changed, *others))
    return contract
