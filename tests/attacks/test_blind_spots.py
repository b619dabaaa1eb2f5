"""What the equation cannot see (docs/blind-spots.md): platform, channel and bank agree, and lie.

Each attack leaves every check green but the one that is made for it: without that one it would have
been paid. Who lies writes all files, totals included.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal

import pytest

import attack_files as files
import wallet_files
from attack_files import Row
from attack_world import DAY, FIRST, NEXT_DAY, NEXT_PAYMENT, PAYMENT, Outcome, World
from tieout.decisions import bank_lines, terms
from tieout.decisions.terms import TwoPeople

pytestmark = pytest.mark.slow
ACCOUNT = "A000004"
PEOPLE = TwoPeople("Zhou Min", "Wu Fang", "asked for on paper")


def stopped_by(world: World, check: str, payment_date: object = PAYMENT) -> str:
    """Pay; demand that this check alone stops it and nobody is paid; return what it says."""
    run = world.pay(payment_date)  # type: ignore[arg-type]
    assert run.failed_step == "gate", run.message
    found = world.rows(
        "select check_name, detail from gate.gate_checks"
        " where payment_date = %s and not holds order by 1, 2",
        [payment_date],
    )
    assert {name for name, _ in found} == {check}, found
    assert not world.payments(payment_date)  # type: ignore[arg-type]
    return " ".join(str(detail) for _, detail in found)


def sale(rows: list[Row]) -> Row:
    """Return the largest sale of the account that WeChat has on the date, too."""
    return max(
        (
            row
            for row in rows
            if (row["account_id"], row["channel"]) == (ACCOUNT, "wechat")
            and (row["transaction_type"], row["transaction_status"]) == ("purchase", "success")
            and row["transaction_at"].startswith(f"{DAY}T1")
        ),
        key=lambda row: int(row["amount_minor"]),
    )


def yuan(minor: int) -> str:
    """Return fen as WeChat prints them."""
    return str((Decimal(minor) / 100).quantize(Decimal("0.00")))


def fee_of(row: Row, minor: int) -> int:
    """Return WeChat's fee of an amount at the rate of a row of its bill, fen."""
    rate = Decimal(row["费率"].rstrip("%")) / 100
    return int((minor * rate).quantize(Decimal(1), ROUND_HALF_UP))


def arrives(world: World, more_minor: int) -> None:
    """Let the bank say that more arrives from WeChat."""
    with files.bank_morning(world, PAYMENT) as lines:
        next(filter(files.of_channel("wechat"), lines))["amount_minor"] += more_minor


def enlarge_a_sale(world: World, more_minor: int) -> None:
    """Make a sale larger with the platform, WeChat and the bank."""
    with files.vouchers(world, DAY) as rows:
        row = sale(rows)
        before = int(row["amount_minor"])
        row["amount_minor"] = str(before + more_minor)
    with files.wechat(world, DAY) as bill:
        item = next(
            item
            for item in bill
            if (item["微信订单号"], item["交易状态"]) == (row["channel_order_id"], "SUCCESS")
        )
        fee = fee_of(item, before + more_minor)
        arrives(world, more_minor - fee + int(Decimal(item["手续费"]) * 100))
        item["应结订单金额"] = yuan(before + more_minor)
        item["订单金额"] = yuan(int(Decimal(item["订单金额"]) * 100) + more_minor)
        item["手续费"] = yuan(fee) + "000"


def test_a_payout_far_from_the_account_s_past(world: World) -> None:
    enlarge_a_sale(world, 60_000_000)
    world.must(world.close(DAY))
    said = stopped_by(world, "statements_near_their_past")
    assert f"{ACCOUNT} " in said
    assert "new (新账户)" in said


def test_more_refunds_than_sales(world: World) -> None:
    sold = [
        row
        for day in (FIRST, DAY)
        for row in files.read_platform(files.platform_path(world, "source_vouchers", day))
        if row["transaction_type"] in ("purchase", "preauth_completion")
    ]
    with files.vouchers(world, DAY) as rows:
        like = next(
            row for row in rows if (row["transaction_type"], row["channel"]) == ("refund", "wechat")
        )
        minor = 150_000 + sum(
            int(row["amount_minor"]) for row in sold if row["merchant_id"] == like["merchant_id"]
        )
        refund = files.invented(
            like,
            1,
            amount_minor=str(-minor),
            original_voucher_id="V2026082200000001",
            original_transaction_at="2026-08-22T10:00:00+08:00",
            original_amount_minor=str(minor),
            original_refunded_before_minor="0",
        )
        rows.append(refund)
    with files.wechat(world, DAY) as bill:
        item = next(item for item in bill if item["微信退款单号"] == like["refund_order_id"])
        fee = fee_of(item, minor)
        bill.append(
            {
                **item,
                "微信订单号": refund["channel_order_id"],
                "商户订单号": refund["merchant_order_id"],
                "微信退款单号": refund["refund_order_id"],
                "商户退款单号": f"R{refund['merchant_order_id']}",
                "退款金额": yuan(minor),
                "申请退款金额": yuan(minor),
                "手续费": "-" + yuan(fee) + "000",
            }
        )
    arrives(world, fee - minor)
    world.must(world.close(DAY))
    said = stopped_by(world, "refunds_within_sales")
    assert f"{like['merchant_id']}: " in said


def test_a_sale_booked_on_one_channel_and_recorded_by_another(world: World) -> None:
    enlarge_a_sale(world, 20_000)
    with files.vouchers(world, DAY) as rows:
        row = sale(rows)
        row["channel"] = "alipay"
    world.must(world.close(DAY))
    said = stopped_by(world, "no_offset_between_channels")
    assert row["amount_minor"] in said
    assert "wechat" in said
    assert "alipay" in said


def test_a_sale_that_vanishes_on_both_sides(world: World) -> None:
    world.execute("insert into reference.voucher_series values ('^(V[0-9]{8})([0-9]{8})$', 1)")
    terms.approve_reference(world.settings, PEOPLE)
    with files.vouchers(world, DAY) as rows:
        row = sale(rows)
        assert row["voucher_id"] != max(other["voucher_id"] for other in rows)
        rows.remove(row)
    with files.wechat(world, DAY) as bill:
        item = next(
            item
            for item in bill
            if (item["微信订单号"], item["交易状态"]) == (row["channel_order_id"], "SUCCESS")
        )
        bill.remove(item)
        arrives(world, int(Decimal(item["手续费"]) * 100) - int(row["amount_minor"]))
    world.must(world.close(DAY))
    number = int(row["voucher_id"][9:])
    assert f"series {row['voucher_id'][:9]}: {number} to {number} missing" in stopped_by(
        world, "sequences_without_gap"
    )


def test_a_payee_that_two_people_confirmed_the_evening_before(world: World) -> None:
    enlarge_a_sale(world, 6_000_000)
    with files.platform(world, "payees", DAY) as rows:
        row = next(row for row in rows if row["account_id"] == ACCOUNT)
        rows.append({
            **row, "payee_version": "2", "account_number": "6600000000000009999",
            "effective_from": DAY.isoformat(),
        })  # fmt: skip
        row["effective_to"] = DAY.isoformat()
    world.must(world.close(DAY))
    changes = [
        change.change_id for change in terms.changes(world.settings) if change.term_kind == "payee"
    ]
    assert changes
    terms.decide(world.settings, "approve", changes, PEOPLE)
    said = stopped_by(world, "recent_payees_within_limit")
    assert f"{ACCOUNT} pays " in said
    assert f"version 2, changed on {DAY}" in said


def test_own_money_that_was_never_there_leaves_the_reserve(world: World) -> None:
    """Two people call a debit a transfer of our own; the payouts are covered, and others pay."""
    with files.bank_morning(world, PAYMENT) as lines:
        like = lines[0]
        lines.append(
            {
                **like,
                "amount_minor": -100_300_000,
                "counterparty_name": "示例支付有限公司",
                "remittance_text": "资金划转",
                "details": [],
            }
        )
    world.must(world.close(DAY))
    assert world.pay(PAYMENT).failed_step == "gate"
    (line,) = bank_lines.open_lines(world.settings)
    take(world, line)
    world.must(world.pay(PAYMENT))
    world.evening(PAYMENT)
    world.must(world.close(NEXT_DAY))
    said = stopped_by(world, "reserve_proven", NEXT_PAYMENT)
    assert "the reserve lacks " in said


def take(world: World, line: bank_lines.BankLine) -> None:
    """Let two people take a line as an error of our own."""
    decision_id = bank_lines.take(
        world.settings, line.name, taken_as="own_error", by="Zhou Min", reason="our own transfer"
    )
    bank_lines.approve(world.settings, decision_id, by="Wu Fang")


def fund_bill(world: World, change: Callable[[list[dict[str, str]]], None]) -> None:
    """Lay WeChat's fund bill of the date down, as its trade bill says and then changed."""
    rows: list[dict[str, str]] = []

    def line(item: Row, key: str, word: str, minor: int) -> None:
        rows.append(
            {
                **wallet_files.fund_rows(("1.00",))[0],
                "记账时间": item["交易时间"],
                "微信支付业务单号": item[key],
                "资金流水单号": f"{len(rows):026}",
                "业务名称": word,
                "业务类型": word,
                "收支类型": "收入" if minor > 0 else "支出",
                "收支金额(元)": yuan(abs(minor)),
            }
        )

    trade_bill = files.wechat_path(world, DAY)
    for item in files.read_wechat(world.inbox, DAY):
        fee = int(Decimal(item["手续费"]) * 100)
        if item["交易状态"] == "SUCCESS":
            line(item, "微信订单号", "交易", int(Decimal(item["应结订单金额"]) * 100))
            line(item, "微信订单号", "扣除交易手续费", -fee)
        else:
            line(item, "微信退款单号", "退款", -int(Decimal(item["退款金额"]) * 100) - fee)
    change(rows)
    balance = Decimal("5000.00")
    for row in rows:
        balance += Decimal(row["收支金额(元)"]) * (1 if row["收支类型"] == "收入" else -1)
        row["账户结余(元)"] = str(balance)
    name = trade_bill.name.replace("All", "FundFlowBasic")
    trade_bill.with_name(name).write_bytes(wallet_files.fund_bill(rows))


def test_a_wallet_that_never_booked_what_its_trade_bill_has(world: World) -> None:
    """Platform, trade bill and bank have a sale of 600,000.00 of which the account never heard."""
    enlarge_a_sale(world, 60_000_000)
    with files.vouchers(world, DAY) as vouchers:
        order = sale(vouchers)["channel_order_id"]

    def never(rows: list[dict[str, str]]) -> None:
        rows[:] = [row for row in rows if row["微信支付业务单号"] != order]
        # A word nobody knows stands for nothing else, and another number's money is no record's.
        rows[0] = {**rows[0], "业务类型": "分账"}

    fund_bill(world, never)
    world.must(world.close(DAY))
    run = world.pay(PAYMENT)
    assert run.failed_step == "gate", run.message
    (said,) = world.rows(
        "select detail from gate.gate_checks"
        " where payment_date = %s and check_name = 'fund_bills_agree' and not holds",
        [PAYMENT],
    )
    assert order in said[0]
    assert not world.payments(PAYMENT)
    found = world.rows(
        "select finding, fund_key from reconciliation.fund_bill_findings"
        " where accounting_date = %s",
        [DAY],
    )
    assert ("not_booked", order) in found
    assert sorted(finding for finding, _ in found) == ["not_booked", "other_amount", "unknown_word"]


def test_an_honest_fund_bill_pays_everybody(world: World, honest: Outcome) -> None:
    """Amount and fee apart or together, the numbers are those of the trade bill."""
    fund_bill(world, lambda rows: None)
    world.must(world.close_and_pay())
    assert world.paid(PAYMENT) == honest.paid
    (totals,) = world.rows(
        "select line_count, opening_balance_minor from reconciliation.fund_bill_totals"
        " where accounting_date = %s",
        [DAY],
    )
    assert totals[0] > 40
    assert totals[1] == 500_000
    assert not world.rows("select finding_id from reconciliation.fund_bill_findings")
