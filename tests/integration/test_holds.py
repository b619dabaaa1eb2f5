"""Ordinary days, worked out by hand: what is held, backed and available to pay (docs/holds.md).

Each example is a channel of its own with its merchants, closed and paid in one database with the
others. The numbers here were worked out with pencil; the gate's checks have to hold for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import builds
import closed_worlds
import prepared_homes
import worlds
from tieout import database
from tieout.core.settings import Settings
from worlds import Action, Adjustment, BrandFee, Merchant, Record, Voucher, World

pytestmark = pytest.mark.slow

THU, FRI, SAT, SUN, MON, TUE, WED = range(7)  # the accounting dates, 24 to 30 September 2026
PAID_MON, PAID_TUE, PAID_WED = date(2026, 9, 28), date(2026, 9, 29), date(2026, 9, 30)
AFTER_HOLIDAY = date(2026, 10, 8)
NET = Merchant("net", "return", "0.006", 0, None, None)
GROSS = Merchant("gross", "return", "0.006", 0, None, None)
NEVER = -1


@dataclass
class Example:
    """A channel's week while it is written down: sales, refunds, and who has them."""

    format: str = "wechat"
    cutoff_minutes: int = 1380
    arrival_calendar: str = "working_day"
    voided_pairs: str = "both"
    merchants: tuple[Merchant, ...] = (NET,)
    vouchers: list[Voucher] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    adjustments: list[Adjustment] = field(default_factory=list)
    brand_fees: list[BrandFee] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def sale(
        self,
        ref: str,
        amount: int,
        day: int,
        *,
        record_day: int | None = None,
        record_amount: int | None = None,
        cost: int = 0,
        merchant: int = 0,
        at: datetime | None = None,
    ) -> Example:
        """A sale of ``day``; the channel's record comes on ``record_day`` (default: the same)."""
        return self._both(
            ref, "purchase", amount, day, record_day, record_amount, cost, merchant, at, {}
        )

    def take_back(
        self,
        ref: str,
        of: str,
        amount: int,
        day: int,
        *,
        kind: str = "refund",
        record_day: int | None = None,
        merchant: int = 0,
    ) -> Example:
        """A refund or void (amount > 0) of the sale ``of``."""
        original = next(voucher for voucher in self.vouchers if voucher.ref == f"{of}v")
        return self._both(
            ref,
            kind,
            -amount,
            day,
            record_day,
            None,
            0,
            merchant,
            None,
            {
                "original": original.ref,
                "original_at": original.at,
                "original_amount_minor": original.amount_minor,
                "refunded_before_minor": 0,
            },
        )

    def _both(  # noqa: PLR0917  called by `sale` and `take_back` only
        self,
        ref: str,
        kind: str,
        amount: int,
        day: int,
        record_day: int | None,
        record_amount: int | None,
        cost: int,
        merchant: int,
        at: datetime | None,
        original: dict[str, Any],
    ) -> Example:
        references = self._references(ref, kind)
        at = at or noon(day)
        if day != NEVER:
            self.vouchers.append(
                Voucher(f"{ref}v", day, at, kind, merchant, "CNY", amount, references, **original)
            )
        record_day = day if record_day is None else record_day
        if record_day != NEVER:
            self.records.append(
                Record(
                    f"{ref}r",
                    record_day,
                    at,
                    kind,
                    "CNY",
                    amount if record_amount is None else record_amount,
                    cost,
                    references,
                )
            )
        return self

    def _references(self, ref: str, kind: str) -> tuple[tuple[str, str | None], ...]:
        values: dict[str, str | None] = dict.fromkeys(worlds.EVERY_REFERENCE)
        if self.format == "unionpay":
            values |= {
                "acquiring_institution_id": "48370000",
                "forwarding_institution_id": "00049992",
                "trace_number": f"{sum(map(ord, ref)) * 31 % 999_999:06d}",
                "transmission_time": "0924120000",
                "retrieval_reference_number": f"R{ref}",
            }
        else:
            values |= {
                "channel_order_id": f"O{ref}",
                "merchant_order_id": f"M{ref}",
                "refund_order_id": None if kind == "purchase" else f"F{ref}",
            }
        return tuple(values.items())

    def world(self) -> World:
        """The world, as the oracle's worlds are made."""
        return World(
            format=self.format,
            rules=worlds.RULES[self.format][0],
            currencies=("CNY",),
            platform_cutoff_minutes=1380,
            cutoff_minutes=self.cutoff_minutes,
            skew_minutes=5,
            doubt_period_closes=1,
            arrival_calendar=self.arrival_calendar,
            arrival_lag_days=1,
            voided_pairs=self.voided_pairs,
            merchants=self.merchants,
            vouchers=tuple(self.vouchers),
            records=tuple(self.records),
            adjustments=tuple(self.adjustments),
            brand_fees=tuple(self.brand_fees),
            actions=tuple(self.actions),
        )


def noon(day: int) -> datetime:
    return datetime(2026, 9, 24, 12, tzinfo=worlds.SHANGHAI) + timedelta(days=day)


def late_evening(day: int) -> datetime:
    """Half past eleven at night: after the platform's cutoff, before the wallets'."""
    return noon(day) + timedelta(hours=11, minutes=30)


def domain_example() -> Example:
    """350.00 cleared, 50.00 of it in no file; 70.00 that only the channel has; 10.00 taken back."""
    example = Example(format="unionpay")
    example.sale("s1", 10_000, THU, cost=60).sale("s2", 20_000, THU, cost=120)
    example.sale("s3", 5_000, THU, record_day=NEVER)
    example.sale("x1", 7_000, NEVER, record_day=THU, cost=5, at=noon(THU))
    example.brand_fees.append(BrandFee(THU, "CNY", 4))
    example.adjustments.append(
        Adjustment(
            "a1",
            THU,
            "credit_adjustment",
            0,
            "CNY",
            -1_000,
            0,
            tuple({**dict(example._references("old", "purchase")), "terminal_id": "T"}.items()),
        )
    )
    return example


def failed_before_the_cutoff() -> Example:
    """A sale that fails at 22:59 on Sunday; its reversal at 23:00 is Monday's. One of one date."""
    example = Example().sale("s1", 10_000, THU)
    for sale, back, day in (("s2", "v2", MON), ("s3", "v3", THU)):
        last_minute = noon(SUN if day == MON else THU) + timedelta(hours=10, minutes=59)
        example.sale(sale, 5_000, SUN if day == MON else THU, record_day=NEVER, at=last_minute)
        example.take_back(back, sale, 5_000, day, kind="reversal", record_day=NEVER)
    example.vouchers[:] = [
        replace(voucher, is_success=voucher.ref not in ("s2v", "s3v"))
        if voucher.transaction_type == "purchase"
        else replace(voucher, at=voucher.original_at + timedelta(minutes=1))  # type: ignore[operator]
        for voucher in example.vouchers
    ]
    return example


def charged_to_the_merchant() -> Example:
    """A sale in no file that two people charge back on Tuesday: its hold ends, nothing is paid."""
    example = Example()
    example.sale("s1", 10_000, THU).sale("s2", 5_000, THU, record_day=NEVER)
    example.actions.append(Action("adjust", "s2v", None, MON, is_approved=True))
    return example


EXAMPLES: dict[str, Example] = {
    "domain": domain_example(),
    # 23:30 on Thursday: in the wallet's file of Thursday, in the platform's of Friday.
    "cutoff": Example(cutoff_minutes=1440, arrival_calendar="calendar_day")
    .sale("s1", 10_000, THU)
    .sale("s2", 4_000, FRI, record_day=THU, at=late_evening(THU)),
    # A refund of 30.00 that the wallet does not have is paid out of another sale.
    "refund": Example()
    .sale("s1", 10_000, THU)
    .sale("s2", 8_000, THU)
    .take_back("f1", "s1", 3_000, THU, record_day=NEVER),
    # On Monday the wallet takes 30.00 more than it gives: a debit that matches.
    "negative": Example(merchants=(NET, NET))
    .sale("s1", 5_000, THU, merchant=1)
    .sale("s2", 2_000, MON)
    .take_back("f1", "s1", 5_000, MON, merchant=1),
    "gross": Example(merchants=(GROSS,))
    .sale("s1", 10_000, THU)
    .sale("s2", 5_000, THU, record_day=NEVER)
    .sale("s3", 4_000, THU, record_amount=3_000),
    # Thursday to Sunday arrive on four days and are paid on Monday; Thursday's sale is in
    # Saturday's file.
    "groups": Example(arrival_calendar="calendar_day")
    .sale("s1", 10_000, THU, record_day=SAT)
    .sale("s2", 1_000, FRI)
    .sale("s3", 2_000, SUN),
    # Wednesday's sale has its record on no date before National Day: held over the holiday.
    "holiday": Example().sale("s1", 10_000, WED, record_day=NEVER).sale("s2", 1_000, WED),
    # Sunday's sale is in Monday's file: held on Monday, paid on Tuesday with Monday's money.
    "late": Example().sale("s1", 10_000, SUN, record_day=MON).sale("s2", 1_000, SUN),
    # A sale and its void, both in no file: nothing is owed, nothing taken.
    "nothing": Example()
    .sale("s1", 10_000, THU, record_day=NEVER)
    .take_back("v1", "s1", 10_000, THU, kind="void", record_day=NEVER),
    # A sale and its refund, both in no file; then the refund's record comes alone, and its money.
    "alone": Example()
    .sale("s1", 10_000, THU)
    .sale("s2", 10_000, THU, record_day=NEVER)
    .take_back("f1", "s2", 3_000, THU, record_day=MON),
    # A sale and its void where the wallet never sends voided pairs.
    "voided": Example(voided_pairs="none")
    .sale("s1", 10_000, THU, record_day=NEVER)
    .take_back("v1", "s1", 10_000, THU, kind="void", record_day=NEVER)
    .sale("s2", 1_000, THU),
    # 43.96 at the platform, 3.96 at the channel: the smaller is paid; and the other way round.
    "mismatch": Example(merchants=(NET, NET))
    .sale("s1", 439_629, THU, record_amount=39_629)
    .sale("s2", 1_000, THU, record_amount=1_500, merchant=1),
    "charged": charged_to_the_merchant(),
    "failed": failed_before_the_cutoff(),
}

# (example, merchant, payment date) -> settlement, adjustment, held, available
EXPECTED: dict[tuple[str, int, date], tuple[int, int, int, int]] = {
    ("domain", 0, PAID_MON): (34_790, 0, 4_970, 29_820),
    ("cutoff", 0, PAID_MON): (13_916, 0, 0, 13_916),
    ("refund", 0, PAID_MON): (14_910, 0, 0, 14_910),
    ("negative", 1, PAID_MON): (4_970, 0, 0, 4_970),
    ("negative", 0, PAID_TUE): (1_988, 0, 0, 1_988),
    ("negative", 1, PAID_TUE): (-4_970, 0, 0, 0),
    # Held without fee: 50.00 and the 10.00 that the channel has less.
    ("gross", 0, PAID_MON): (19_000, 0, 6_000, 13_000),
    ("groups", 0, PAID_MON): (12_922, 0, 0, 12_922),
    ("holiday", 0, AFTER_HOLIDAY): (10_934, 0, 9_940, 994),
    ("late", 0, PAID_MON): (10_934, 0, 9_940, 994),
    ("late", 0, PAID_TUE): (0, 0, 0, 10_934),
    ("nothing", 0, PAID_MON): (0, 0, 0, 0),
    # Fee 60 and 60, 18 come back; the refund's 29.82 are held no more, then held again.
    ("alone", 0, PAID_MON): (16_898, 0, 6_958, 9_940),
    ("alone", 0, PAID_TUE): (0, 0, 9_940, 6_958),
    ("voided", 0, PAID_MON): (994, 0, 0, 994),
    # Fee 26.38; of the held 4,000.00 it is 24.00.
    ("mismatch", 0, PAID_MON): (436_991, 0, 397_600, 39_391),
    ("mismatch", 1, PAID_MON): (994, 0, 0, 994),
    ("charged", 0, PAID_MON): (14_910, 0, 4_970, 9_940),
    ("charged", 0, PAID_TUE): (0, -4_970, 0, 9_940),
    ("failed", 0, PAID_MON): (9_940, 0, 0, 9_940),
    ("failed", 0, PAID_TUE): (0, 0, 0, 9_940),
}


@pytest.fixture(scope="module")
def closed(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """All examples, closed and paid in a database of their own."""
    settings = prepared_homes.copy(prepared_home, tmp_path_factory.mktemp("examples") / "home")
    try:
        prepared_homes.start_carelessly(settings)
        close(settings)
        yield settings
    finally:
        database.stop_server(settings)


def close(settings: Settings) -> None:
    """Close the week of all examples and pay it."""
    named = {name: example.world() for name, example in EXAMPLES.items()}
    with database.connect(settings) as connection:
        closed_worlds.load(connection, worlds.tables(named))
        # No example has dollars, so their account sends no statement.
        connection.execute("delete from reference.bank_accounts where currency_code = 'USD'")
    for day in closed_worlds.dates_from(worlds.FIRST_DATE):
        builds.close(settings, day)
    for day in closed_worlds.payment_dates_from(worlds.FIRST_DATE):
        builds.payment(settings, day)


def rows(settings: Settings, query: str, parameters: Sequence[object] = ()) -> list[Any]:
    with database.connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def test_each_example_has_a_number() -> None:
    assert len(EXAMPLES) >= 10
    assert {name for name, _, _ in EXPECTED} == set(EXAMPLES)


@pytest.mark.parametrize(("example", "merchant", "payment_date"), EXPECTED)
def test_statement_holds_and_pays_what_was_worked_out(
    closed: Settings, example: str, merchant: int, payment_date: date
) -> None:
    found = rows(
        closed,
        """
        select settlement_amount_minor, adjustment_amount_minor, held_amount_minor,
            available_amount_minor
        from settlement.settlement_statements
        where payment_date = %s and account_id = %s
        """,
        [payment_date, f"{example}A{merchant}"],
    )
    expected = EXPECTED[(example, merchant, payment_date)]
    assert found == [expected] or (found == [] and expected == (0, 0, 0, 0))


@pytest.mark.parametrize(
    "check",
    [
        "payout_backed_by_arrival",
        "holds_rollforward_exact",
        "balance_equation_zero",
        "no_unposted_source_voucher",
    ],
)
def test_ordinary_days_do_not_block(closed: Settings, check: str) -> None:
    found = rows(
        closed,
        "select payment_date, subject, holds, detail from gate.gate_checks where check_name = %s",
        [check],
    )
    assert len({payment_date for payment_date, *_ in found}) == 4
    assert [row for row in found if not row[2]] == []


def test_the_reversal_of_what_failed_reverses_nothing(closed: Settings) -> None:
    """Neither entry nor item nor hold, on whatever date it failed."""
    vouchers = ["failed-s2v", "failed-v2v", "failed-s3v", "failed-v3v"]
    assert rows(
        closed,
        "select count(*) from raw.platform_source_vouchers where voucher_id = any(%s)",
        [vouchers],
    ) == [(4,)]
    for table, column in (
        ("clearing.clearing_entries", "source_id"),
        ("reconciliation.suspense_items", "source_id"),
        ("settlement.holds", "voucher_id"),
        ("clearing.refused_vouchers", "voucher_id"),
        ("ledger.accounting_vouchers", "source_voucher_id"),
    ):
        assert rows(closed, f"select * from {table} where {column} = any(%s)", [vouchers]) == []


def test_what_is_carried_is_backed_or_held(closed: Settings) -> None:
    """Per account and date, exactly; the gate says it in one row, here is each."""
    found = rows(
        closed,
        """
        select statements.payment_date, statements.account_id,
            statements.carried_forward_amount_minor - statements.held_amount_minor,
            backed.closing_amount_minor
        from settlement.settlement_statements as statements
        left join settlement.backed_rollforward as backed
            using (payment_date, account_id, settlement_session_type, currency_code)
        """,
    )
    assert len(found) > 20
    assert [row for row in found if row[2] != row[3]] == []


def test_a_hold_moves_from_date_to_date(closed: Settings) -> None:
    found = rows(
        closed,
        """
        select payment_date, reason, opening_amount_minor, opened_amount_minor,
            released_amount_minor, closing_amount_minor, end_kind
        from settlement.holds
        where entry_id = 'T:late-s1v'
        order by payment_date
        """,
    )
    assert found == [
        (PAID_MON, "in_doubt", 0, 9_940, 0, 9_940, None),
        (PAID_TUE, "in_doubt", 9_940, 0, 9_940, 0, "arrived"),
    ]
