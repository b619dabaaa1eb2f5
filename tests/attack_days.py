"""Draws wrong days: who lies, about what; and what an honest acquirer could have paid at most.

Each kind of lie changes files of the attacked date in a copy of the template home, as one party
would, with everything that this party writes. `Books` answers, in plain Python and from the files
alone, how much of each account's money the platform, the channels and the original owner of each
sale support together; it knows no table and no SQL of the product.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import attack_files as files
from attack_files import Row
from attack_world import DAY, FIRST, NEXT_DAY, PAYMENT, Outcome, World

GROSS_ACCOUNT = "A000002"  # its fees are billed, so nothing of them shows in what it is paid
OTHER_ACCOUNT_NUMBER = "6600000000000009999"
Key = tuple[str, str, str]
Lie = Callable[[World, random.Random], str | None]
KINDS: dict[str, Lie] = {}
# A freeze stands until its end, whether the platform goes on naming it or not; a record that names
# a merchant of the same sale changes nothing that is paid.
QUIET = frozenset({"no_freeze", "wechat_names_another_merchant"})

# What is still paid wrongly, and why: played apart, by tests that have to fail.
OPEN = {
    "no_advance": "an advance that the platform forgets is in no file of anybody else",
    "a_cheaper_card": "the channel's cost is then not as listed: told, no stop below its limit",
}


def lie(function: Lie) -> Lie:
    """Register a kind of lie; it says what it did, or None where there is nothing to lie about."""
    KINDS[function.__name__] = function
    return function


def drawn(seed: int, count: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield a seed and the kinds of each day: each kind alone first, then pairs, then at random."""
    names = sorted(KINDS.keys() - OPEN.keys())
    dice = random.Random(seed)
    pairs = [(first, second) for first in names for second in names if first < second]
    dice.shuffle(pairs)
    alone = [(name,) for name in names]
    for number in range(count):
        if number < len(alone):
            kinds: tuple[str, ...] = alone[number]
        elif number % 4 == 0:
            kinds = (dice.choice(names),)
        else:
            kinds = pairs[number % len(pairs)]
        yield seed * 1_000_000 + number, kinds


# --- what an honest acquirer could have paid ----------------------------------------------------


def key_of(row: Row) -> Key:
    """Return what a voucher and the channel's record of the same thing have in common."""
    if row["channel"] == "unionpay":
        return ("unionpay", row["trace_number"], row["transmission_time"])
    return (
        row["channel"],
        row["channel_order_id"] or row["merchant_order_id"],
        row["refund_order_id"],
    )


def _counts(row: Row) -> bool:
    return row["transaction_status"] == "success" and row["amount_minor"] not in {"", "0"}


def _vouchers(inbox: Path, day: date) -> list[Row]:
    path = inbox / "platform" / f"{day:%Y%m%d}" / f"source_vouchers_{day:%Y%m%d}.csv"
    return [row for row in files.read_platform(path) if _counts(row)]


def _platform(inbox: Path, kind: str, day: date) -> list[Row]:
    return files.read_platform(inbox / "platform" / f"{day:%Y%m%d}" / f"{kind}_{day:%Y%m%d}.csv")


@dataclass
class Books:
    """What the honest files say: whose each sale is, on which terms; the honest channel records."""

    owner: dict[Key, str] = field(default_factory=dict)
    vouchers: dict[str, Row] = field(default_factory=dict)
    contracts: dict[str, Row] = field(default_factory=dict)
    rates: list[Row] = field(default_factory=list)
    records: dict[Key, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    alipay: dict[Key, int] = field(default_factory=dict)

    @classmethod
    def read(cls, inbox: Path) -> Books:
        """Read the honest files of all simulated dates."""
        books = cls()
        for day in (FIRST, DAY, NEXT_DAY):
            for row in _vouchers(inbox, day):
                books.owner[key_of(row)] = row["account_id"]
                books.vouchers[row["voucher_id"]] = row
        for row in _platform(inbox, "contracts", DAY):
            if row["effective_from"] <= DAY.isoformat():
                books.contracts[row["account_id"]] = row
        books.rates = sorted(
            _platform(inbox, "fee_rates", DAY), key=lambda row: int(row["priority"])
        )
        for day in (FIRST, DAY):
            for row in _platform(inbox, "advances", day):
                books.taken[row["account_id"]] += int(row["amount_minor"])
                books.taken[row["account_id"]] += int(row["advance_fee_minor"] or 0)
        for row in _platform(inbox, "freezes", DAY):
            books.taken[row["account_id"]] += int(row["amount_minor"])
        books.alipay = _alipay(inbox)
        books.records = books.delivered_records(inbox)
        return books

    def delivered_records(self, inbox: Path) -> dict[Key, int]:
        """Return the size of each channel record up to the attacked date, as delivered.

        Records that share all their keys are summed: both sides may have a sale twice.
        """
        found: dict[Key, int] = dict(self.alipay)
        for day in (FIRST, DAY):
            for row in files.read_wechat(inbox, day):
                is_refund = row["微信退款单号"] != "0"
                amount = row["退款金额"] if is_refund else row["应结订单金额"]
                for order in (row["微信订单号"], row["商户订单号"]):
                    key = ("wechat", order, row["微信退款单号"] if is_refund else "")
                    found[key] = found.get(key, 0) + int(Decimal(amount) * 100)
            for line in files.read_unionpay(inbox, day):
                key = ("unionpay", files.unionpay_trace(line), files.unionpay_time(line))
                found[key] = found.get(key, 0) + files.unionpay_amount(line)
        return found

    def fee(self, row: Row, amount_minor: int) -> int:
        """Return the fee of an amount of a sale on the honest terms, fen."""
        contract = self.contracts[row["account_id"]]
        if contract["settlement_mode"] == "gross":
            return 0
        for rate in self.rates:
            if (
                rate["contract_id"] == contract["contract_id"]
                and all(
                    rate[name] in {"", row[name]}
                    for name in ("channel", "card_kind", "card_region")
                )
                and rate["transaction_type"] in {"", "purchase", row["transaction_type"]}
            ):
                fee = int(
                    (abs(amount_minor) * Decimal(rate["fee_rate"])).quantize(
                        Decimal(1), rounding=ROUND_HALF_UP
                    )
                ) + int(rate["fixed_fee_minor"] or 0)
                fee = max(fee, int(rate["minimum_fee_minor"] or 0))
                return min(fee, int(rate["cap_fee_minor"])) if rate["cap_fee_minor"] else fee
        return 0

    def supported(self, inbox: Path) -> dict[str, int]:
        """Return how much may have been paid to each account since the go-live, at most (fen).

        A sale supports the smaller of what its owner's vouchers and the channel's record say, less
        its fee; nothing where either is missing. A refund counts as the larger of both, for whom
        the sale belongs to in truth; one that was invented took nothing from anybody.
        """
        records = self.delivered_records(inbox)
        seen: set[str] = set()
        total: dict[str, int] = defaultdict(int)
        for day in (FIRST, DAY):
            for delivered in _vouchers(inbox, day):
                if delivered["voucher_id"] in seen:
                    continue
                seen.add(delivered["voucher_id"])
                key = key_of(delivered)
                account = self._of(delivered, records)
                part = self._part(account, key, int(delivered["amount_minor"]), records.get(key))
                row = self.vouchers.get(delivered["voucher_id"], delivered)
                if part > 0:
                    # What supports this voucher supports no other.
                    records[key] -= part
                    # The held part of a mismatch takes its share of the fee along (docs/holds.md).
                    amount = int(delivered["amount_minor"])
                    shared = _share(self.fee(row, amount), part, amount)
                    total[account] += part - min(self.fee(row, part), shared)
                elif part < 0:
                    total[account] += part + self._returned(row, part)
        for account, taken in self.taken.items():
            total[account] -= taken
        return dict(total)

    def _of(self, delivered: Row, records: dict[Key, int]) -> str | None:
        """Return the account it counts for: a sale as delivered, a refund as it is in truth."""
        if int(delivered["amount_minor"]) > 0:
            return delivered["account_id"]
        if (known := self.vouchers.get(delivered["voucher_id"])) is not None:
            return known["account_id"]
        key = key_of(delivered)
        return self.owner.get(key, delivered["account_id"]) if key in records else None

    def _part(self, account: str | None, key: Key, amount: int, record: int | None) -> int:
        if account is None:
            return 0
        if amount < 0:
            return amount if record is None else min(amount, -record)
        if not record or self.owner.get(key) != account:
            return 0
        return min(amount, record)

    def _returned(self, row: Row, amount: int) -> int:
        """Return the fee that comes back with a refund: at most its part of the original's."""
        original = self.vouchers.get(row["original_voucher_id"])
        if original is None or row["account_id"] not in self.contracts:
            return 0
        if (
            self.contracts[row["account_id"]]["refund_fee_policy"] == "keep"
            and row["transaction_type"] == "refund"
        ):
            return 0
        size = int(original["amount_minor"])
        fee = self.fee(original, size)
        before = (
            int(self.vouchers[row["voucher_id"]]["original_refunded_before_minor"] or 0)
            if (row["voucher_id"] in self.vouchers)
            else 0
        )
        after = min(size, before + abs(amount))
        return _share(fee, after, size) - _share(fee, before, size)


def _share(fee: int, part: int, whole: int) -> int:
    return int((Decimal(fee) * part / whole).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _alipay(inbox: Path) -> dict[Key, int]:
    """Return what Alipay's records say; nobody lies in Alipay's name here."""
    found: dict[Key, int] = {}
    for day in (FIRST, DAY):
        for row in files.read_alipay(inbox, day):
            for order in (row["支付宝交易号"], row["商户订单号"]):
                key = ("alipay", order, row["退款批次号/请求号"])
                found[key] = found.get(key, 0) + abs(int(Decimal(row["商家实收（元）"]) * 100))
    return found


# --- the three questions ------------------------------------------------------------------------


def answers(
    world: World, books: Books, outcome: Outcome, honest: Outcome, *, quiet: bool = False
) -> list[str]:
    """Answer the three questions of a day's end; return what is wrong, empty where nothing is.

    Rounding apart, nobody is ever paid above what is supported. A ``quiet`` lie has to be heard of
    only where it changed what is paid.
    """
    wrong = [
        f"{account} was paid {over} fen above what arrived for it"
        for account, over in excess(world, books).items()
    ]
    for account, numbers in outcome.misdirected(honest).items():
        wrong.append(f"{account} was paid to {len(numbers)} bank accounts that are not its own")
    wrong += lost(world, books, outcome)
    unharmed = quiet and outcome.paid == honest.paid
    if not outcome.heard(honest) and not unharmed:
        wrong.append("nobody heard of it")
    return wrong


def excess(world: World, books: Books) -> dict[str, int]:
    """Return how much was paid to each account above what is supported; empty where nothing."""
    supported = books.supported(world.inbox)
    found = {}
    for account, amount in sorted(world.paid().items()):
        over = amount - max(0, supported.get(account, 0)) - ROUNDING_MINOR
        if over > 0:
            found[account] = over
    return found


# Two parts of one sale round apart, once each.
ROUNDING_MINOR = 3


def lost(world: World, books: Books, outcome: Outcome) -> list[str]:
    """Compare what each account was stated with what only honest files say of it."""
    if outcome.run is None or not outcome.run.ok:
        return []  # nothing is paid, nothing is stated: all of it still stands in clearing
    stated = dict(
        world.rows(
            "select account_id, sum(payout_amount_minor + carried_forward_amount_minor)::bigint"
            " from settlement.settlement_statements where payment_date = %s group by account_id",
            [PAYMENT],
        )
    )
    before = world.paid(DAY)
    records = books.delivered_records(world.inbox)
    lied: dict[str, int] = defaultdict(int)
    delivered = {
        row["voucher_id"]: row for day in (FIRST, DAY) for row in _vouchers(world.inbox, day)
    }
    for key, account in books.owner.items():
        if records.get(key) != books.records.get(key):
            lied[account] += 2 * max(records.get(key, 0), books.records.get(key, 0))
    for voucher_id, row in books.vouchers.items():
        other = delivered.get(voucher_id)
        if other is not None and other != row:
            for one in (row, other):
                lied[one["account_id"]] += 2 * abs(int(one["amount_minor"]))
        if other is None and row["accounting_date"] <= DAY.isoformat():
            lied[row["account_id"]] += 2 * abs(int(row["amount_minor"]))
    for voucher_id, row in delivered.items():
        if voucher_id not in books.vouchers:
            lied[row["account_id"]] += 2 * abs(int(row["amount_minor"]))
    wrong = []
    for account, supported in books.supported(world.inbox).items():
        # What is frozen or was advanced is in the carry, or was paid ahead.
        least = supported - lied.get(account, 0) - ROUNDING_MINOR
        has = stated.get(account, 0) + before.get(account, 0)
        if has < least:
            wrong.append(f"{account} lost {least - has} fen")
    return wrong


# --- lies of the platform -----------------------------------------------------------------------


def _sales(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["transaction_type"] == "purchase" and _counts(row)]


def _known_sales(world: World, rows: Sequence[Row]) -> list[Row]:
    """Return the sales that a channel has a record of: without it nobody could miss them."""
    books = Books(alipay=_alipay(world.inbox))
    records = books.delivered_records(world.inbox)
    return [row for row in _sales(rows) if key_of(row) in records]


def _returns(rows: Sequence[Row]) -> list[Row]:
    return [
        row
        for row in rows
        if row["transaction_type"] in {"refund", "void", "reversal"} and _counts(row)
    ]


def _say(row: Row) -> str:
    return (
        f"{row['voucher_id']} ({row['transaction_type']} {row['amount_minor']} {row['account_id']})"
    )


@lie
def drop_a_sale(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_known_sales(world, rows))
        rows.remove(row)
        return _say(row)


@lie
def drop_a_return(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_returns(rows))
        rows.remove(row)
        return _say(row)


@lie
def double_a_sale(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_sales(rows))
        rows.append(dict(row))
        return _say(row)


@lie
def double_a_sale_under_another_number(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_known_sales(world, rows))
        rows.append({**row, "voucher_id": f"V20260922{90_000_000 + dice.randrange(10**6):08d}"})
        return _say(row)


@lie
def send_yesterday_s_again(world: World, dice: random.Random) -> str | None:
    row = dice.choice(_sales(_vouchers(world.inbox, FIRST)))
    with files.vouchers(world, DAY) as rows:
        rows.append({**row, "accounting_date": DAY.isoformat(), "is_late_order": "true"})
    return _say(row)


@lie
def send_yesterday_s_under_another_number(world: World, dice: random.Random) -> str | None:
    row = dice.choice(_sales(_vouchers(world.inbox, FIRST)))
    with files.vouchers(world, DAY) as rows:
        rows.append({
            **row, "accounting_date": DAY.isoformat(), "is_late_order": "true",
            "voucher_id": f"V20260922{80_000_000 + dice.randrange(10**6):08d}",
        })  # fmt: skip
    return _say(row)


@lie
def move_a_sale_to_the_next_date(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_known_sales(world, rows))
        rows.remove(row)
    with files.vouchers(world, NEXT_DAY) as later:
        later.append({**row, "accounting_date": NEXT_DAY.isoformat()})
    return _say(row)


@lie
def enlarge_a_sale(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_known_sales(world, rows))
        said = _say(row)
        row["amount_minor"] = str(int(row["amount_minor"]) * dice.choice([2, 10]) + 1)
        return said


@lie
def shrink_a_return(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_returns(rows))
        said = _say(row)
        row["amount_minor"] = str(-max(1, -int(row["amount_minor"]) // 2))
        return said


@lie
def enlarge_an_original(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_returns(rows))
        row["original_amount_minor"] = str(int(row["original_amount_minor"]) * 1_000_000)
        return _say(row)


@lie
def shrink_an_original(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        larger = [
            row
            for row in _returns(rows)
            if int(row["original_amount_minor"]) > -int(row["amount_minor"])
        ]
        row = dice.choice(larger)
        row.update(original_amount_minor=str(-int(row["amount_minor"])))
        row.update(original_refunded_before_minor="0")
        return _say(row)


@lie
def return_of_another_original(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = dice.choice(_returns(rows))
        others = [sale for sale in _sales(rows) if sale["account_id"] != row["account_id"]]
        other = max(others, key=lambda sale: int(sale["amount_minor"]))
        row.update(
            original_voucher_id=other["voucher_id"],
            original_amount_minor=other["amount_minor"],
            original_transaction_at=other["transaction_at"],
        )
        return _say(row)


@lie
def invent_a_sale(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        row = files.invented(
            dice.choice(_sales(rows)), dice.randrange(10**6), amount_minor="12345600"
        )
        rows.append(row)
        return _say(row)


@lie
def invent_a_sale_and_a_return(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        sale = files.invented(dice.choice(_sales(rows)), 1, amount_minor="23456700")
        back = files.invented(dice.choice(_returns(rows)), 2, amount_minor="-23456700")
        back.update(original_amount_minor="23456700", original_refunded_before_minor="0")
        rows += [sale, back]
        return f"{_say(sale)}, {_say(back)}"


def _give_away(rows: list[Row], row: Row, dice: random.Random) -> str:
    """Give a voucher to the merchant of another one; return what was done."""
    other = dice.choice([each for each in rows if each["account_id"] != row["account_id"]])
    said = f"{_say(row)}, {row['channel']} -> {other['account_id']}"
    row.update({name: other[name] for name in ("merchant_id", "account_id", "terminal_id")})
    return said


@lie
def give_a_sale_to_another_merchant(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        return _give_away(rows, dice.choice(_sales(rows)), dice)


@lie
def give_a_return_to_another_merchant(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        return _give_away(rows, dice.choice(_returns(rows)), dice)


@lie
def a_cheaper_card(world: World, dice: random.Random) -> str | None:
    with files.vouchers(world, DAY) as rows:
        dear = [
            row
            for row in _sales(rows)
            if row["channel"] == "unionpay"
            and row["account_id"] != GROSS_ACCOUNT
            and (row["card_kind"], row["card_region"]) != ("debit", "domestic")
        ]
        row = max(dear, key=lambda each: int(each["amount_minor"]))
        said = f"{_say(row)} {row['card_kind']} {row['card_region']}"
        row.update(card_kind="debit", card_region="domestic")
        return said


@lie
def another_account_number(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "payees", DAY) as rows:
        row = dice.choice(rows[:6])
        row["account_number"] = OTHER_ACCOUNT_NUMBER
        return row["payee_id"]


@lie
def a_new_payee_version(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "payees", DAY) as rows:
        row = dice.choice(rows[:6])
        rows.append({
            **row, "payee_version": "2", "account_number": OTHER_ACCOUNT_NUMBER,
            "effective_from": DAY.isoformat(),
        })  # fmt: skip
        row["effective_to"] = DAY.isoformat()
        return row["payee_id"]


@lie
def a_second_payee(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "payees", DAY) as rows:
        row = dice.choice(rows[:6])
        rows.append({
            **row, "payee_id": "P900001", "payee_version": "1",
            "account_number": OTHER_ACCOUNT_NUMBER, "effective_from": DAY.isoformat(),
        })  # fmt: skip
        return row["payee_id"]


@lie
def lower_rates(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "fee_rates", DAY) as rows:
        contract = dice.choice(["C000003-1", "C000004-1", "C000005-1", "C000008-1"])
        for row in rows:
            if row["contract_id"] == contract:
                row.update(fee_rate="0", fixed_fee_minor="0", minimum_fee_minor="0")
        return contract


@lie
def a_lower_cap(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "fee_rates", DAY) as rows:
        contract = dice.choice(["C000003-1", "C000004-1", "C000005-1", "C000008-1"])
        for row in rows:
            if row["contract_id"] == contract:
                row["cap_fee_minor"] = "1"
        return contract


@lie
def net_to_gross(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "contracts", DAY) as rows:
        row = dice.choice([each for each in rows[2:5] if each["settlement_mode"] == "net"])
        row["settlement_mode"] = "gross"
        return row["contract_id"]


@lie
def no_freeze(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "freezes", DAY) as rows:
        if not rows:
            return None
        return rows.pop()["freeze_id"]


@lie
def a_smaller_freeze(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "freezes", DAY) as rows:
        if not rows:
            return None
        rows[0]["amount_minor"] = "1"
        return rows[0]["freeze_id"]


@lie
def no_advance(world: World, dice: random.Random) -> str | None:
    with files.platform(world, "advances", DAY) as rows:
        if not rows:
            return None
        return rows.pop()["advance_id"]


@lie
def an_opening_balance(world: World, dice: random.Random) -> str | None:
    account = dice.choice(["A000002", "A000004", "A000008"])
    header = ["ledger_account", "subledger_id", "currency_code", "balance_minor"]
    owed = {"ledger_account": "merchant_payable", "subledger_id": account}
    own = {"ledger_account": "own_funds", "subledger_id": "opening"}
    files.write_platform(
        files.platform_path(world, "opening_balances", DAY),
        "opening_balances",
        [
            {**owed, "currency_code": "CNY", "balance_minor": "-7654300"},
            {**own, "currency_code": "CNY", "balance_minor": "7654300"},
        ],
        header,
    )
    return account


# --- lies of a channel --------------------------------------------------------------------------


def _paid_bill(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["微信退款单号"] == "0" and row["交易状态"] == "SUCCESS"]


@lie
def wechat_drops_a_record(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        rows.remove(row)
        return row["微信订单号"]


@lie
def wechat_doubles_a_record(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        rows.append(dict(row))
        return row["微信订单号"]


@lie
def wechat_changes_an_amount(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        factor = dice.choice([Decimal("0.5"), Decimal(3)])
        for name in ("应结订单金额", "订单金额"):
            row[name] = str((Decimal(row[name]) * factor).quantize(Decimal("0.01")))
        return f"{row['微信订单号']} times {factor}"


@lie
def wechat_enlarges_and_pays(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        for name in ("应结订单金额", "订单金额"):
            row[name] = str(Decimal(row[name]) + 500)
    _shift_arrival(world, "wechat", 50_000)
    return row["微信订单号"]


@lie
def wechat_names_another_merchant(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        others = [each["特约商户号"] for each in rows if each["特约商户号"] != row["特约商户号"]]
        row["特约商户号"] = dice.choice(others)
        return row["微信订单号"]


@lie
def wechat_keeps_too_much(world: World, dice: random.Random) -> str | None:
    with files.wechat(world, DAY) as rows:
        row = dice.choice(_paid_bill(rows))
        row["手续费"] = str(Decimal(row["手续费"]) + 10)
        return row["微信订单号"]


@lie
def unionpay_drops_a_record(world: World, dice: random.Random) -> str | None:
    with files.unionpay(world, DAY) as lines:
        line = lines.pop(dice.randrange(len(lines)))
        return files.unionpay_trace(line)


@lie
def unionpay_doubles_a_record(world: World, dice: random.Random) -> str | None:
    with files.unionpay(world, DAY) as lines:
        line = dice.choice(lines)
        lines.append(line)
        return files.unionpay_trace(line)


@lie
def unionpay_changes_an_amount(world: World, dice: random.Random) -> str | None:
    with files.unionpay(world, DAY) as lines:
        number = dice.randrange(len(lines))
        amount = files.unionpay_amount(lines[number])
        lines[number] = files.with_unionpay_amount(
            lines[number], dice.choice([amount // 2, amount * 3])
        )
        return files.unionpay_trace(lines[number])


# --- lies of the bank ---------------------------------------------------------------------------


def _shift_arrival(world: World, channel: str, amount_minor: int) -> None:
    with files.bank_morning(world, PAYMENT) as lines:
        line = next(filter(files.of_channel(channel), lines))
        line["amount_minor"] += amount_minor


def _channel(dice: random.Random) -> str:
    return dice.choice(sorted(files.BANK_NAMES))


@lie
def bank_says_less(world: World, dice: random.Random) -> str | None:
    channel = _channel(dice)
    _shift_arrival(world, channel, -dice.choice([1, 1_000]))
    return channel


@lie
def bank_says_more(world: World, dice: random.Random) -> str | None:
    channel = _channel(dice)
    _shift_arrival(world, channel, dice.choice([1, 100_000]))
    return channel


@lie
def bank_drops_an_arrival(world: World, dice: random.Random) -> str | None:
    with files.bank_morning(world, PAYMENT) as lines:
        line = dice.choice(lines)
        lines.remove(line)
        return str(line["remittance_text"])


@lie
def bank_doubles_an_arrival(world: World, dice: random.Random) -> str | None:
    with files.bank_morning(world, PAYMENT) as lines:
        line = dice.choice(lines)
        lines.append(dict(line))
        return str(line["remittance_text"])


@lie
def bank_swaps_two_arrivals(world: World, dice: random.Random) -> str | None:
    with files.bank_morning(world, PAYMENT) as lines:
        first, second = (
            next(filter(files.of_channel("wechat"), lines)),
            next(filter(files.of_channel("unionpay"), lines)),
        )
        first["amount_minor"], second["amount_minor"] = (
            second["amount_minor"],
            first["amount_minor"],
        )
        return "wechat and unionpay"


@lie
def bank_debits_what_nobody_ordered(world: World, dice: random.Random) -> str | None:
    with files.bank_morning(world, PAYMENT) as lines:
        lines.append({
            **lines[0], "amount_minor": -70_000, "counterparty_name": "某某贸易有限公司",
            "remittance_text": dice.choice(
                ["CUSTODY", "活期结息 2026年09月", "账户管理费", "PAYOUT PO20260923-009-A1"]
            ), "kind": "unclassified",
        })  # fmt: skip
        return str(lines[-1]["remittance_text"])
