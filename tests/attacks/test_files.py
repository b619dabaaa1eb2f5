"""Attacks by whoever writes a file: the platform, a channel, the bank (docs/attacks.md).

Each lies in one file, or in as many as its sender writes, totals included. Nobody may be paid more
than on the honest day, nor elsewhere, and a person has to hear of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from rich.console import Console

import attack_files as files
import institution_files
from attack_files import Row
from attack_world import DAY, FIRST, NEXT_DAY, NEXT_PAYMENT, PAYMENT, Outcome, World, outcome_of
from tieout import database
from tieout.commands import overview
from tieout.simulator import bank
from tieout.simulator.bank import BankLine, BankLineDetail

pytestmark = pytest.mark.slow
OTHER_ACCOUNT_NUMBER = "6600000000000009999"


def played(world: World) -> Outcome:
    """Close and pay the attacked date; return what came of it."""
    return outcome_of(world, world.close_and_pay())


def held_up(world: World, honest: Outcome) -> Outcome:
    """Close and pay; demand that nobody gains, that nothing goes elsewhere, that a person hears."""
    outcome = played(world)
    summary = outcome.summary(honest)
    print(summary)
    assert not outcome.gains(honest), summary
    assert not outcome.misdirected(honest), summary
    assert outcome.heard(honest), f"nobody heard: {summary}"
    return outcome


def sale(rows: list[Row], channel: str = "wechat", account: str = "A000004") -> Row:
    """Return the first plain sale of an account on a channel that both sides have today."""
    return next(
        row
        for row in rows
        if (row["channel"], row["account_id"]) == (channel, account)
        and row["transaction_type"] == "purchase"
        and row["transaction_status"] == "success"
        and row["transaction_at"].startswith(f"{DAY}T1")
    )


def of_type(rows: list[Row], kind: str) -> Row:
    """Return the first voucher of a type."""
    return next(row for row in rows if row["transaction_type"] == kind)


def test_an_honest_day_is_paid_and_tells_nothing(world: World, honest: Outcome) -> None:
    """Else the other tests would prove nothing."""
    outcome = played(world)
    assert outcome.run is not None
    assert outcome.run.ok, outcome.run.message
    assert outcome.paid == honest.paid
    assert len(outcome.paid) > 3
    assert not outcome.heard(honest), outcome.told - honest.told


def test_a_void_of_a_larger_original(world: World, honest: Outcome) -> None:
    """1: one number in one line, the trailer untouched."""
    with files.vouchers(world, DAY) as rows:
        voided = next(
            row
            for row in rows
            if row["transaction_type"] == "void" and row["channel"] == "unionpay"
        )
        voided["original_amount_minor"] = "5000000000"
    held_up(world, honest)


def test_a_sale_the_channel_does_not_know(world: World, honest: Outcome) -> None:
    """2a: a platform sale of 990,000.00."""
    with files.vouchers(world, DAY) as rows:
        rows.append(files.invented(sale(rows), 1, amount_minor="99000000"))
    held_up(world, honest)


def test_an_invented_sale_and_an_invented_refund_that_cancel_out(
    world: World, honest: Outcome
) -> None:
    """2b: +600,000.00 here, -600,000.00 on another account."""
    with files.vouchers(world, DAY) as rows:
        first = sale(rows)
        rows.append(files.invented(first, 1, amount_minor="60000000"))
        rows.append(
            files.invented(
                of_type(rows, "refund"),
                2,
                amount_minor="-60000000",
                original_voucher_id="V2026082200000001",
                original_transaction_at="2026-08-22T10:00:00+08:00",
                original_amount_minor="60000000",
                original_refunded_before_minor="0",
            )
        )
    held_up(world, honest)


def test_an_amount_above_the_channel_s(world: World, honest: Outcome) -> None:
    """2c: 4,000.00 more than the channel says."""
    with files.vouchers(world, DAY) as rows:
        row = sale(rows)
        row["amount_minor"] = str(int(row["amount_minor"]) + 400_000)
    held_up(world, honest)


def test_another_account_number_under_the_same_payee_version(world: World, honest: Outcome) -> None:
    """2d."""
    with files.platform(world, "payees", DAY) as rows:
        of_account(rows, "A000002")["account_number"] = OTHER_ACCOUNT_NUMBER
    held_up(world, honest)


def test_a_new_version_of_a_payee(world: World, honest: Outcome) -> None:
    """2d, done properly: a change that the platform announces waits for two people."""
    with files.platform(world, "payees", DAY) as rows:
        row = of_account(rows, "A000002")
        rows.append({
            **row, "payee_version": "2", "account_number": OTHER_ACCOUNT_NUMBER,
            "effective_from": DAY.isoformat(),
        })  # fmt: skip
        row["effective_to"] = DAY.isoformat()
    held_up(world, honest)


def test_a_second_payee_of_an_account(world: World, honest: Outcome) -> None:
    """2e: another payee with a later day of effect."""
    with files.platform(world, "payees", DAY) as rows:
        row = of_account(rows, "A000002")
        rows.append({
            **row, "payee_id": "P900001", "payee_version": "1",
            "account_number": OTHER_ACCOUNT_NUMBER, "effective_from": DAY.isoformat(),
        })  # fmt: skip
    held_up(world, honest)


def test_rates_of_nothing(world: World, honest: Outcome) -> None:
    """2f: every rate of an account's contract is 0."""
    with files.platform(world, "fee_rates", DAY) as rows:
        for row in rows:
            if row["contract_id"] == "C000004-1":
                row.update(fee_rate="0", fixed_fee_minor="0", minimum_fee_minor="0")
    held_up(world, honest)


def test_net_becomes_gross(world: World, honest: Outcome) -> None:
    """2f: no fee is deducted any more."""
    with files.platform(world, "contracts", DAY) as rows:
        of_account(rows, "A000004")["settlement_mode"] = "gross"
    held_up(world, honest)


def test_a_lower_minimum(world: World, honest: Outcome) -> None:
    """46: an account that waits for its minimum is paid."""
    with files.platform(world, "contracts", DAY) as rows:
        of_account(rows, "A000001")["payout_minimum_minor"] = "1"
    held_up(world, honest)


def test_a_sale_of_another_merchant(world: World, honest: Outcome) -> None:
    """2f: UnionPay's record names the merchant; the platform names another."""
    with files.vouchers(world, DAY) as rows:
        row = max(
            (row for row in rows if is_plain_sale(row, "unionpay") and not of(row, "A000005")),
            key=lambda row: int(row["amount_minor"]),
        )
        row.update(account_of(rows, "A000005"))
    held_up(world, honest)


def test_the_channel_keeps_too_much_and_the_bank_agrees(world: World, honest: Outcome) -> None:
    """2g: 10.00 of cost more than its price list says."""
    with files.wechat(world, DAY) as rows:
        row = next(row for row in rows if row["交易状态"] == "SUCCESS")
        row["手续费"] = str(Decimal(row["手续费"]) + Decimal("10.00000"))
    with files.bank_morning(world, PAYMENT) as lines:
        line = next(filter(files.of_channel("wechat"), lines))
        line["amount_minor"] -= 1_000
    outcome = played(world)
    print(outcome.summary(honest))
    assert outcome.heard(honest), outcome.summary(honest)
    assert not outcome.paid, outcome.summary(honest)
    with database.connect(world.settings) as connection:
        assert connection.execute(
            "select channel, difference_minor, claimable_amount_minor"
            " from clearing.channel_cost_findings where accounting_date = %s",
            [DAY],
        ).fetchall() == [("wechat", 1_000, 1_000)]
    console = Console(width=200)
    with console.capture() as captured:
        overview.print_problems(console, world.settings, DAY)
    assert f"channel costs: {DAY} 1 records of wechat are not as" in captured.get()


def test_an_opening_balance_on_a_later_date(world: World, honest: Outcome) -> None:
    """2h: 700,000.00 owed to a merchant since the go-live, the day after it."""
    first = files.platform_path(world, "opening_balances", FIRST)
    header = first.read_text(encoding="utf-8").splitlines()[0].split(",")
    balance = {"currency_code": "CNY"}
    files.write_platform(
        files.platform_path(world, "opening_balances", DAY),
        "opening_balances",
        [
            {**balance, "ledger_account": "merchant_payable", "subledger_id": "A000004",
             "balance_minor": "-70000000"},
            {**balance, "ledger_account": "own_funds", "subledger_id": "opening",
             "balance_minor": "70000000"},
        ],
        header,
    )  # fmt: skip
    held_up(world, honest)


def paid_yesterday(world: World) -> Row:
    """Return the largest sale of the first date that both WeChat and the platform had in time."""
    with files.wechat(world, FIRST) as bill:
        orders = {row["微信订单号"] for row in bill}
    vouchers = files.read_platform(files.platform_path(world, "source_vouchers", FIRST))
    found = [row for row in vouchers if row["channel_order_id"] in orders]
    return max(
        (row for row in found if is_plain_sale(row, "wechat")),
        key=lambda row: int(row["amount_minor"]),
    )


def test_a_voucher_that_was_paid_yesterday(world: World, honest: Outcome) -> None:
    """3: the same voucher, called late."""
    row = paid_yesterday(world)
    with files.vouchers(world, DAY) as rows:
        rows.append({**row, "accounting_date": DAY.isoformat(), "is_late_order": "true"})
    held_up(world, honest)


def test_a_voucher_that_was_paid_yesterday_under_another_number(
    world: World, honest: Outcome
) -> None:
    """3: the same sale again, the voucher's number a new one."""
    row = paid_yesterday(world)
    with files.vouchers(world, DAY) as rows:
        rows.append({
            **row, "voucher_id": "V2026092299999999", "accounting_date": DAY.isoformat(),
            "is_late_order": "true",
        })  # fmt: skip
    held_up(world, honest)


def test_a_refund_that_is_no_longer_in_the_file(world: World, honest: Outcome) -> None:
    """The platform leaves a refund out that the channel made: the money has left, so who gains?"""
    with files.vouchers(world, DAY) as rows:
        rows.remove(refund_of_today(rows))
    outcome = played(world)
    print(outcome.summary(honest))
    assert outcome.heard(honest), outcome.summary(honest)


def refund_of_today(rows: list[Row]) -> Row:
    """Return a wallet refund of the attacked date."""
    return next(
        row for row in rows if row["transaction_type"] == "refund" and row["channel"] == "wechat"
    )


def test_a_refund_above_its_sale(world: World, honest: Outcome) -> None:
    """43: what a refund returns of the fee is bounded by its original."""
    with files.vouchers(world, DAY) as rows:
        row = refund_of_today(rows)
        row["original_refunded_before_minor"] = str(int(row["original_amount_minor"]) * 50)
    held_up(world, honest)


def test_a_refund_of_a_smaller_original(world: World, honest: Outcome) -> None:
    """43: another original amount than the landed sale's: the whole fee comes back, and more."""
    with files.vouchers(world, DAY) as rows:
        row = refund_of_today(rows)
        row["original_amount_minor"] = "1"
        row["original_refunded_before_minor"] = "0"
    held_up(world, honest)


def test_a_refund_of_somebody_else_s_sale(world: World, honest: Outcome) -> None:
    """43: A's refund is charged to B."""
    with files.vouchers(world, DAY) as rows:
        row = refund_of_today(rows)
        row.update(account_of(rows, "A000002"))
    held_up(world, honest)


# --- the bank's unexplained lines (6, 8) --------------------------------------------------------


def line(amount_minor: int, text: str, name: str = "示例支付有限公司") -> BankLine:
    """Return a bank line."""
    return BankLine(amount_minor, name, text)


def test_a_batch_debited_twice(world: World) -> None:
    """6."""
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    payments = world.payments(PAYMENT)
    details = tuple(
        BankLineDetail(-payment.amount_minor, payment.end_to_end_id) for payment in payments
    )
    total = sum(payment.amount_minor for payment in payments)
    batch = "PO20260923-001-A1"
    again = BankLine(
        -total,
        "示例支付有限公司",
        f"PAYOUT {batch}",
        details,
        batch,
        kind="payout_debit",
        about=batch,
    )
    assert_next_gate_stops(world, [again])


@pytest.mark.parametrize("text", ["PAYOUT PO20260923-009-A1", "账户管理费", "CUSTODY TRANSFER"])
def test_an_unordered_debit(world: World, text: str) -> None:
    """6: 700.00 to somebody nobody ordered to be paid."""
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    assert_next_gate_stops(world, [line(-70_000, text, "某某贸易有限公司")])


def test_a_return_booked_twice(world: World) -> None:
    """6: the same payout comes back on two lines."""
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    payment = world.payments(PAYMENT)[0]
    detail = BankLineDetail(payment.amount_minor, payment.end_to_end_id, return_reason_code="AC04")
    returned = BankLine(
        payment.amount_minor, "示例支付有限公司", "RETURN", (detail,), is_return=True
    )
    assert_next_gate_stops(world, [returned, returned])


@pytest.mark.parametrize("text", ["活期结息 2026年09月", "INTEREST"])
def test_interest_below_zero(world: World, text: str) -> None:
    """6: "interest" of -700.00."""
    world.must(world.close_and_pay())
    world.evening(PAYMENT)
    assert_next_gate_stops(world, [line(-70_000, text, "示例备付金存管银行")])


def assert_next_gate_stops(world: World, lines: Sequence[BankLine]) -> None:
    """Book lines in the evening, go on as on any day; demand that the next gate lets nothing out.

    Reading the evening's statement may already refuse them: a person hears then, too.
    """
    bank.write_statement(world.inbox, world.settings.truth_dir, PAYMENT, lines)
    print(world.read_outcomes(PAYMENT))
    world.must(world.close(NEXT_DAY))
    run = world.pay(NEXT_PAYMENT)
    print(run)
    assert not run.ok, f"the gate of {NEXT_PAYMENT} passed, {world.total_paid(NEXT_PAYMENT)} paid"
    assert run.failed_step in {"gate", "land_bank"}, run
    assert not world.payments(NEXT_PAYMENT)


# --- small things -------------------------------------------------------------------------------


def of(row: Row, account: str) -> bool:
    """Whether a row is of an account."""
    return row["account_id"] == account


def of_account(rows: list[Row], account: str) -> Row:
    """Return an account's first row."""
    return next(row for row in rows if of(row, account))


def account_of(rows: list[Row], account: str) -> Row:
    """Return the fields that say whose a voucher is."""
    row = of_account(rows, account)
    return {name: row[name] for name in ("merchant_id", "account_id", "terminal_id")}


def is_plain_sale(row: Row, channel: str) -> bool:
    """Whether a voucher is a successful sale of a channel."""
    return (
        row["channel"] == channel
        and row["transaction_type"] == "purchase"
        and row["transaction_status"] == "success"
    )


def fee_file(world: World, name: str, *records: bytes) -> None:
    """Lay a file of fees between members down; each record is of the attacked date."""
    folder = world.inbox / "unionpay" / f"{DAY:%Y%m%d}"
    (folder / f"IND{DAY:%y%m%d}{name}").write_bytes(b"".join(records))


def fee(trace_number: str = "900001", amount: str = "D000000000500") -> bytes:
    """Return a fee of 5.00 that UnionPay takes from us."""
    return institution_files.fcp(
        amount=amount, trace_number=trace_number, transmission_time=f"{DAY:%m%d}090001"
    )


def unionpay_pays_less(world: World, minor: int) -> None:
    """Let the bank say that less arrives from UnionPay."""
    with files.bank_morning(world, PAYMENT) as lines:
        next(filter(files.of_channel("unionpay"), lines))["amount_minor"] -= minor


def test_a_fee_between_members_is_read_from_its_file(world: World, honest: Outcome) -> None:
    """In two files it counts once: the bank took it once, and everybody is paid."""
    fee_file(world, "99FCP", fee(), fee("900002", "C000000000200"))
    fee_file(world, "99AFCP", fee())
    unionpay_pays_less(world, 300)
    world.must(world.close_and_pay())
    assert world.paid(PAYMENT) == honest.paid
    assert world.rows(
        "select fee_collections_amount_minor from clearing.channel_terms"
        " where accounting_date = %s and channel = 'unionpay'",
        [DAY],
    ) == world.rows(
        "select 300 + coalesce(sum(-(funds_effect_minor + fees_effect_minor)), 0)"
        " from staging.stg_unionpay__adjustments where accounting_date = %s"
        " and adjustment_type in ('fee_collection', 'funds_disbursement')",
        [DAY],
    )


@pytest.mark.parametrize(
    "second",
    [("99FCP", "D000000000500"), ("99AFCP", "D000000000501")],
    ids=["twice in a file", "two amounts"],
)
def test_a_fee_that_contradicts_itself_closes_nothing(
    world: World, second: tuple[str, str]
) -> None:
    name, amount = second
    records = [fee(), fee(amount=amount)]
    if name == "99FCP":
        fee_file(world, name, *records)
    else:
        fee_file(world, "99FCP", records[0])
        fee_file(world, name, records[1])
    run = world.close(DAY)
    assert run.failed_step == "build", run.message
    assert "assert_fee_records_stand_once" in run.message
