"""Bills of WeChat, Alipay and the QR gateway in every form, and that no record counts twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
import wallet_files as wallet
from parts import examples
from reference_lists import load_lists
from samples_folder import SAMPLES, needs_samples
from tieout import database, landing
from tieout.channels.alipay import account_bill, trade_bill
from tieout.channels.common import bill_values, packed_files
from tieout.channels.common.model import (
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.registry import expected_name, parse_file, recognise
from tieout.channels.unionpay import qr_gateway_bill
from tieout.channels.wechat import (
    fund_bill as wechat_fund_bill,
)
from tieout.channels.wechat import (
    trade_bill as wechat_trade_bill,
)
from tieout.core.settings import PROJECT_DIR, Settings, load_settings

DAY = make.DAY
Parse = Callable[[bytes, FileContext], ParsedFile]


def fund_bill(content: bytes, context: FileContext) -> ParsedFile:
    """Parse a fund bill of the basic account."""
    return make.read(
        partial(wechat_fund_bill.WechatFundReading, account_type="basic"), content, context
    )


def rows(parsed: ParsedFile, table: str) -> list[dict[str, Any]]:
    """Return a good file's rows."""
    assert not parsed.bad_rows, parsed.bad_rows
    return parsed.frames[table].to_dicts()


def codes(parsed: ParsedFile) -> set[tuple[int, str, str]]:
    """Return what speaks against a file: line, field, reason code."""
    return {(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows}


def differing(parsed: ParsedFile) -> list[str]:
    """Return the totals that do not agree."""
    return [total.name for total in parsed.totals if not total.agrees]


def everything_in(parsed: ParsedFile) -> str:
    """Return all a parser gave back, as text."""
    frames = [frame.write_json() for frame in parsed.frames.values()]
    return "\n".join([repr(parsed.bad_rows), repr(parsed.totals), *frames])


def refusal(parse: Parse, content: bytes, context: FileContext | None = None) -> str:
    """Return why a file as a whole is refused."""
    with pytest.raises(UnreadableFileError) as caught:
        parse(content, context or make.context())
    return caught.value.reason_code


# --- every sample ---------------------------------------------------------------------------------

# What becomes of each shared sample, and why. The totals of documents are of whole bills, of which
# they quote one row: these files read, and are refused because their totals disagree.
SAMPLE_OUTCOMES: dict[str, tuple[str, date | None, int]] = {
    "wechat_tradebill/wx_all_v3doc_20220321.csv": ("totals disagree", date(2022, 3, 21), 1),
    "wechat_tradebill/wx_all_v3doc_20220321.csv.gz": ("totals disagree", date(2022, 3, 21), 1),
    "wechat_tradebill/wx_all_wxjava.csv": ("totals disagree", date(2019, 7, 25), 1),
    "wechat_tradebill/wx_success_wxjava.csv": ("totals disagree", date(2019, 7, 23), 1),
    # The channel says that there is no bill: a day without records.
    "wechat_tradebill/v2_error_no_bill.xml": ("good", None, 0),
    "wechat_fundflow/wx_fundflow_doc_20180201.csv": ("totals disagree", date(2018, 2, 1), 1),
    "alipay_trade/trade_detail_20260605_test.csv": ("good", date(2026, 6, 5), 3),
    "alipay_trade/trade_detail_empty_test.csv": ("good", None, 0),
    "alipay_trade/20887226827483540156_20260605.constructed.zip": ("good", date(2026, 6, 5), 3),
    "alipay_signcustomer/fund_empty_test.csv": ("good", None, 0),
    # Its author cut the rows to 3 of 18.
    "alipay_signcustomer/signcustomer_detail_20121229_excerpt.csv": (
        "totals disagree",
        date(2012, 12, 29),
        3,
    ),
    # Members named detail.csv and summary.csv: Alipay's are …_账务明细.csv.
    "alipay_signcustomer/fund_detail_plus_summary_test.zip": ("missing_member", None, 0),
    "unionpay_qrc_gateway/20200929_20200929_ALL.row.csv": ("good", date(2020, 9, 29), 1),
}


def sample_parser(name: str) -> Parse:
    """Return the parser of a sample's folder and form."""
    if "wx_success" in name:
        return lambda content, context: make.read(
            partial(wechat_trade_bill.WechatTradeReading, bill_form="success"), content, context
        )
    return {
        "wechat_tradebill": make.reader(wechat_trade_bill.WechatTradeReading),
        "wechat_fundflow": fund_bill,
        "alipay_trade": make.reader(trade_bill.TradeBillReading),
        "alipay_signcustomer": make.reader(account_bill.AccountBillReading),
        "unionpay_qrc_gateway": make.reader(qr_gateway_bill.GatewayBillReading),
    }[name.split("/", maxsplit=1)[0]]


@needs_samples
def test_every_sample_is_in_the_table() -> None:
    folders = {name.split("/", maxsplit=1)[0] for name in SAMPLE_OUTCOMES}
    present = {
        f"{folder}/{path.name}"
        for folder in folders
        for path in (SAMPLES / folder).iterdir()
        if path.name != "SOURCES.md"
    }
    assert len(present) > 10
    assert present == set(SAMPLE_OUTCOMES)


@needs_samples
@pytest.mark.parametrize("name", SAMPLE_OUTCOMES)
def test_every_sample_parses_or_is_refused_for_its_reason(name: str) -> None:
    outcome, day, row_count = SAMPLE_OUTCOMES[name]
    parse, content = sample_parser(name), (SAMPLES / name).read_bytes()
    if outcome not in {"good", "totals disagree"}:
        assert refusal(parse, content) == outcome
        return
    parsed = parse(content, make.context(None))
    assert not parsed.bad_rows
    assert (parsed.accounting_date, parsed.row_count) == (day, row_count)
    assert outcome == ("totals disagree" if parsed.totals_status == "disagree" else "good")


@needs_samples
def test_the_members_of_the_misnamed_sample_are_read_by_themselves() -> None:
    content = (SAMPLES / "alipay_signcustomer" / "fund_detail_plus_summary_test.zip").read_bytes()
    found = packed_files.zip_members(BytesIO(content), wanted=lambda name: name.endswith(".csv"))
    names = {"detail.csv": "x_账务明细.csv", "summary.csv": "x_账务明细(汇总).csv"}
    named = make.zipped({names[name]: member.read() for name, member in found})
    parsed = make.read(account_bill.AccountBillReading, named, make.context(None))
    assert parsed.row_count == 0
    assert {total.name for total in parsed.totals} >= {
        "收入笔数",
        "汇总 收入笔数",
        "汇总 总金额（元）",
    }
    assert parsed.totals_status == "agree"


@needs_samples
def test_the_qr_gateways_row_has_the_key_of_acomn() -> None:
    content = (SAMPLES / "unionpay_qrc_gateway/20200929_20200929_ALL.row.csv").read_bytes()
    (row,) = rows(
        make.read(qr_gateway_bill.GatewayBillReading, content, make.context(date(2020, 9, 29))),
        "unionpay_qr_gateway_bill",
    )
    assert row["acquiring_institution_id"] == "05478820"
    assert row["forwarding_institution_id"] == "00049992"
    assert (row["trace_number"], row["transmission_time"]) == ("017072", "0929034413")
    assert (row["amount_minor"], row["fee_minor"], row["settlement_amount_minor"]) == (1000, 2, 998)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channel", "file_kind"),
    [
        ("1900000109All2026-09-24.csv", "wechat", "trade_bill"),
        ("1900000109All2026-09-24.csv.gz", "wechat", "trade_bill"),
        ("1900000109Success2026-09-24.csv", "wechat", "trade_bill_success"),
        ("1900000109Refund2026-09-24.csv.gz", "wechat", "trade_bill_refund"),
        ("1900000109FundFlowBasic2026-09-24.csv", "wechat", "fund_bill_basic"),
        ("1900000109FundFlowFees2026-09-24.csv.gz", "wechat", "fund_bill_fees"),
        (f"{make.PID}0156_20260924.zip", "alipay", "trade_bill"),
        (f"{make.PID}0156_20260924_业务明细.csv", "alipay", "trade_bill"),
        (f"{make.PID}0156_20260924_DETAILS.csv", "alipay", "trade_bill"),
        (f"{make.PID}0156_20260924_账务明细.zip", "alipay", "account_bill"),
        (f"{make.PID}0156_20260924_ACCOUNT.csv", "alipay", "account_bill"),
        ("20260924_20260924_ALL.csv", "unionpay", "qr_gateway_bill"),
    ],
)
def test_a_name_says_channel_kind_and_day(name: str, channel: str, file_kind: str) -> None:
    found = recognise(name)
    assert found is not None
    assert (found.channel, found.file_kind, found.accounting_date) == (channel, file_kind, DAY)
    assert expected_name(channel, file_kind, DAY)


@pytest.mark.parametrize(
    "name",
    [
        f"{make.PID}0156_20260924_业务明细(汇总).csv",
        "1900000109FundFlowOther2026-09-24.csv",
        "1900000109Recharge2026-09-24.csv",
        "1900000109All2026-09-24.csv.zip",
        f"{make.PID}0156_202609.zip",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert recognise(name) is None


def test_a_bill_in_gzip_and_one_that_is_not_are_in_one_place() -> None:
    slots = {
        found.slot
        for name in ("1900000109All2026-09-24.csv", "1900000109All2026-09-24.csv.gz")
        if (found := recognise(name)) is not None
    }
    assert len(slots) == 1


# --- WeChat trade bill ----------------------------------------------------------------------------

SUCCESS_TOTALS = {
    "应结订单总金额": "应结订单金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
}
SUCCESS_BILL = wallet.wechat_bill(
    [make.WECHAT_PAYMENT], header=wallet.SUCCESS_HEADER, totals=SUCCESS_TOTALS
)
REFUND_BILL = wallet.wechat_bill([wallet.WECHAT_REFUND], header=wallet.REFUND_HEADER)


def wechat(content: bytes, bill_form: wechat_trade_bill.BillForm = "all") -> ParsedFile:
    """Parse a WeChat trade bill of the day."""
    return make.read(
        partial(wechat_trade_bill.WechatTradeReading, bill_form=bill_form), content, make.context()
    )


def test_success_and_refund_have_their_own_columns_and_table() -> None:
    assert (len(wallet.SUCCESS_HEADER), len(wallet.REFUND_HEADER)) == (20, 29)
    success, refund = wechat(SUCCESS_BILL, "success"), wechat(REFUND_BILL, "refund")
    (payment,) = rows(success, "wechat_trade_bill_parts")
    (returned,) = rows(refund, "wechat_trade_bill_parts")
    assert (success.totals_status, refund.totals_status) == ("agree", "agree")
    assert (len(success.totals), len(refund.totals)) == (4, 7)
    assert (payment["bill_form"], payment["settlement_amount_minor"]) == ("success", 10000)
    assert (returned["bill_form"], returned["refund_amount_minor"]) == ("refund", 3000)
    assert f"{returned['refund_succeeded_at']:%H:%M:%S}" == "11:00:07"
    assert set(success.frames) == set(refund.frames) == {"wechat_trade_bill_parts"}
    assert make.PAYER not in everything_in(success) + everything_in(refund)


def test_only_all_is_read_by_the_close() -> None:
    """A record of SUCCESS or REFUND would count a second time, and so would a line of an account:
    fund bills are read to be compared, by nothing but that.
    """
    apart = {"wechat_trade_bill_parts"}
    models = {path.stem: path.read_text() for path in (PROJECT_DIR / "dbt_project").rglob("*.sql")}
    named = {
        name for text in models.values() for name in re.findall(r"source\('raw', '(\w+)'\)", text)
    }
    assert {"wechat_trade_bill", "alipay_trade_bill", "unionpay_acomn"} <= named
    assert not named & apart
    # The gateway's bill counts where it is no file of UnionPay's: else ACOMN has its records.
    gateway = models["stg_qr_gateway__transactions"]
    assert "where landed_files.channel <> 'unionpay'" in gateway
    assert [name for name, text in models.items() if "unionpay_qr_gateway_bill" in text] == [
        "stg_qr_gateway__transactions"
    ]
    fund_lines = ("stg_wechat__fund_lines", "stg_alipay__account_lines", "wechat__fund_lines")
    assert [
        name
        for name, text in sorted(models.items())
        if any(f"'{line}'" in text for line in fund_lines)
    ] == ["int_channels__fund_lines"]
    assert sorted(
        name for name, text in models.items() if "ref('int_channels__fund_lines')" in text
    ) == ["fund_bill_findings", "fund_bill_totals"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (SUCCESS_BILL, "all"),
        (SUCCESS_BILL, "refund"),
        (REFUND_BILL, "all"),
        (REFUND_BILL, "success"),
        (make.wechat_bill(), "success"),
        (make.wechat_bill(), "refund"),
    ],
)
def test_a_bill_under_the_name_of_another_form_is_refused(
    content: bytes, named: wechat_trade_bill.BillForm
) -> None:
    """SUCCESS under the name of ALL would be a day without its refunds."""
    parser = partial(wechat_trade_bill.WechatTradeReading, bill_form=named)
    assert refusal(make.reader(parser), content) == "wrong_form"


def test_a_refund_has_no_place_among_successes_nor_a_payment_among_refunds() -> None:
    one = wallet.wechat_bill([make.WECHAT_REFUND], header=wallet.SUCCESS_HEADER)
    assert (2, "trade_state", "unknown_code") in codes(wechat(one, "success"))
    payment = {**wallet.WECHAT_REFUND, **make.WECHAT_PAYMENT}
    other = wallet.wechat_bill([payment], header=wallet.REFUND_HEADER)
    assert (2, "trade_state", "unknown_code") in codes(wechat(other, "refund"))


def test_a_refund_bill_is_of_the_day_of_its_requests() -> None:
    earlier = {**wallet.WECHAT_REFUND, "交易时间": "2026-08-01 10:00:00"}
    bill = wallet.wechat_bill([earlier], header=wallet.REFUND_HEADER)
    assert rows(wechat(bill, "refund"), "wechat_trade_bill_parts")
    late = {**wallet.WECHAT_REFUND, "退款申请时间": "2026-09-25 00:00:00"}
    bill = wallet.wechat_bill([late], header=wallet.REFUND_HEADER)
    assert (2, "refund_requested_at", "wrong_date") in codes(wechat(bill, "refund"))


def test_the_columns_of_2014() -> None:
    parsed = wechat(wallet.old_wechat_bill())
    payment, refund = rows(parsed, "wechat_trade_bill")
    assert (parsed.totals_status, len(parsed.totals)) == ("agree", 5)
    assert (payment["settlement_amount_minor"], refund["refund_amount_minor"]) == (10000, 3000)
    assert payment["sub_merchant_id"] == "1600000004"
    # Not 0: the old form does not have them.
    assert (payment["order_amount_minor"], payment["applied_refund_amount_minor"]) == (None, None)


def test_a_coupon_in_the_old_form_is_not_guessed_at() -> None:
    coupon = {**make.WECHAT_PAYMENT, "代金券金额": "1.00"}
    assert codes(wechat(wallet.old_wechat_bill([coupon]))) == {
        (2, "coupon_amount", "ambiguous_amount")
    }
    assert rows(wechat(wallet.wechat_bill([coupon])), "wechat_trade_bill")


def test_a_payment_of_nothing_is_bad_in_both_forms() -> None:
    nothing = {**make.WECHAT_PAYMENT, "应结订单金额": "0.00", "订单金额": "0.00"}
    assert codes(wechat(wallet.wechat_bill([nothing]))) == {(2, "order_amount", "no_amount")}
    assert codes(wechat(wallet.old_wechat_bill([nothing]))) == {
        (2, "settlement_amount", "no_amount")
    }


def test_columns_that_unionpay_renamed() -> None:
    parsed = wechat(wallet.wechat_bill(spelled=wallet.UNIONPAY_NAMES))
    payment, refund = rows(parsed, "wechat_trade_bill")
    assert payment["channel_order_id"] == make.WECHAT_PAYMENT["微信订单号"]
    assert refund["channel_refund_id"] == make.WECHAT_REFUND["微信退款单号"]


@pytest.mark.parametrize("second", ["总金额", "银联订单号", "交易时间"])
def test_one_column_under_two_headings_is_refused(second: str) -> None:
    bill = wallet.wechat_bill(header=[*make.WECHAT_HEADER, second])
    with pytest.raises(UnreadableFileError, match=second) as caught:
        wechat(bill)
    assert caught.value.reason_code == "wrong_columns"


def test_totals_are_found_by_their_headings() -> None:
    backwards = dict(reversed(make.WECHAT_TOTALS.items()))
    assert wechat(wallet.wechat_bill(totals=backwards)).totals_status == "agree"
    # Four are enough for SUCCESS; ALL has refunds, which these leave unproved.
    assert refusal(
        make.reader(wechat_trade_bill.WechatTradeReading),
        wallet.wechat_bill(totals=SUCCESS_TOTALS),
    ) == ("wrong_totals_columns")
    unknown = {**make.WECHAT_TOTALS, "新总额": "订单金额"}
    assert refusal(
        make.reader(wechat_trade_bill.WechatTradeReading),
        wallet.wechat_bill(totals=unknown),
    ) == ("wrong_totals_columns")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_one_bill_with_any_line_end_mark_and_packing(
    line_end: str, encoding: str, packed: bool
) -> None:
    content = wallet.wechat_bill(line_end=line_end, encoding=encoding)
    parsed = wechat(wallet.gzipped(content) if packed else content)
    assert rows(parsed, "wechat_trade_bill") == rows(
        wechat(wallet.wechat_bill()), "wechat_trade_bill"
    )
    assert len(rows(parsed, "wechat_trade_bill")) == 2


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [
        (wallet.gzipped(make.wechat_bill())[:-9], "bad_gzip"),
        (wallet.gzipped(make.wechat_bill())[:40], "bad_gzip"),
        (wallet.gzipped(make.wechat_bill()) + b"more", "bad_gzip"),
        # One bit of its checksum.
        (wallet.gzipped(make.wechat_bill())[:-5] + b"\0" + b"\0" * 4, "bad_gzip"),
        (wallet.gzipped(b"0" * 3_000_000), "unsafe_gzip"),
        (wallet.gzipped(b"`" * 1_048_000) + wallet.gzipped(b"0" * 3_000_000), "unsafe_gzip"),
    ],
    ids=["cut", "cut short", "with more", "checksum", "bomb", "second member"],
)
def test_bad_gzip(content: bytes, reason_code: str) -> None:
    assert refusal(make.reader(wechat_trade_bill.WechatTradeReading), content) == reason_code


def test_a_bomb_is_not_unpacked_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_files, "UNPACKED_BYTES_MAX", 1000)
    assert packed_files.gunzipped(BytesIO(wallet.gzipped(b"x" * 1000))).read() == b"x" * 1000
    with pytest.raises(UnreadableFileError, match="far more"):
        packed_files.gunzipped(BytesIO(wallet.gzipped(b"x" * 1001)))


def test_gzip_of_several_members_is_one_text() -> None:
    content = make.wechat_bill()
    parts = wallet.gzipped(content[:100]) + wallet.gzipped(content[100:])
    assert wechat(parts).totals_status == "agree"


def test_an_answer_that_there_is_no_bill_is_a_day_without_records() -> None:
    parsed = wechat(wallet.NO_BILL)
    assert (parsed.row_count, parsed.is_good, parsed.totals_status) == (0, True, "agree")
    assert parsed.accounting_date == DAY
    without_code = wallet.NO_BILL.replace(b"<error_code><![CDATA[20002]]></error_code>\n", b"")
    assert wechat(without_code).is_good


@pytest.mark.parametrize(
    "content",
    [
        wallet.NO_BILL.replace(b"No Bill Exist", b"Bill Creating"),
        wallet.NO_BILL.replace(b"No Bill Exist", b"no bill exist"),
        wallet.NO_BILL.replace(b"20002", b"20003"),
        wallet.NO_BILL.replace(b"FAIL", b"SUCCESS"),
        wallet.NO_BILL.replace(b"</xml>", b"<total>5</total></xml>"),
        wallet.NO_BILL.replace(b"</xml>", b"<return_msg>No Bill Exist</return_msg></xml>"),
        wallet.NO_BILL.replace(b"xml>", b"answer>"),
        wallet.NO_BILL[:-8],
        b"<!DOCTYPE xml [<!ENTITY m 'No Bill Exist'>]>" + wallet.NO_BILL,
        b'{"code":"NO_STATEMENT_EXIST","message":"No Bill Exist"}',
        b"<html>No Bill Exist</html>",
    ],
)
def test_any_other_answer_is_no_bill(content: bytes) -> None:
    assert refusal(make.reader(wechat_trade_bill.WechatTradeReading), content) == "error_answer"


def test_no_bill_is_said_of_trades_only() -> None:
    assert refusal(fund_bill, wallet.NO_BILL) == "error_answer"


def test_an_amount_that_no_record_can_have_is_bad() -> None:
    huge = {**make.WECHAT_PAYMENT, "应结订单金额": "10000000000.01"}
    assert (2, "settlement_amount", "implausible_amount") in codes(
        wechat(wallet.wechat_bill([huge]))
    )
    largest = {**make.WECHAT_PAYMENT, "应结订单金额": "10000000000.00"}
    assert rows(wechat(wallet.wechat_bill([largest])), "wechat_trade_bill")


# --- WeChat fund bill -----------------------------------------------------------------------------


def test_fund_bill() -> None:
    parsed = fund_bill(wallet.fund_bill(), make.context())
    found = rows(parsed, "wechat_fund_bill")
    assert [row["amount_minor"] for row in found] == [10000, -60, -3000, 20000]
    assert [row["balance_after_minor"] for row in found] == [110000, 109940, 106940, 126940]
    assert {row["account_type"] for row in found} == {"basic"}
    assert found[0]["voucher_id"] == "REF 00001"
    assert (parsed.declared_row_count, parsed.declared_total_minor) == (4, 26940)
    assert parsed.totals_status == "agree"
    assert found[0]["submitter_token"].startswith("acct-")
    for person in (wallet.SUBMITTER, "王小五"):
        assert person not in everything_in(parsed)


def test_fund_bill_headings_have_either_kind_of_parentheses() -> None:
    wide = [name.replace("(", "（").replace(")", "）") for name in wallet.FUND_HEADER]
    assert wide != wallet.FUND_HEADER
    parsed = fund_bill(wallet.fund_bill(header=wide), make.context())
    assert len(rows(parsed, "wechat_fund_bill")) == 4


def test_fund_bill_totals_are_compared_one_by_one() -> None:
    names = ["资金流水总笔数", "收入笔数", "收入金额", "支出笔数", "支出金额"]
    for name in names:
        parsed = fund_bill(wallet.fund_bill(**{name: "7"}), make.context())
        assert differing(parsed) == [name]
    assert refusal(fund_bill, wallet.fund_bill(资金流水总笔数="4.5")) == "wrong_total"
    assert refusal(fund_bill, wallet.fund_bill(收入金额="4.555")) == "wrong_total"


def changed_fund(position: int, **changes: str) -> bytes:
    """Return a fund bill with one row changed; `_` in a name stands for (元)."""
    given = wallet.fund_rows()
    given[position] |= {name.replace("_", "(元)"): value for name, value in changes.items()}
    return wallet.fund_bill(given)


@pytest.mark.parametrize(
    ("content", "line_number", "field", "reason_code"),
    [
        (changed_fund(1, 收支类型="冻结"), 3, "direction", "unknown_code"),
        (changed_fund(1, 收支类型=""), 3, "direction", "unknown_code"),
        (changed_fund(1, 收支金额_="-0.60"), 3, "amount", "wrong_sign"),
        (changed_fund(1, 收支金额_=""), 3, "amount", "not_an_amount"),
        (changed_fund(1, 账户结余_=""), 3, "balance", "not_an_amount"),
        (changed_fund(1, 资金流水单号="1900000109202600000000000001"), 3, "funds_flow_id",
         "duplicate_key"),
        (changed_fund(1, 资金流水单号=""), 3, "funds_flow_id", "missing_key"),
        (changed_fund(1, 记账时间="2026-09-25 00:00:00"), 3, "booked_at", "wrong_date"),
        (changed_fund(1, 记账时间="24.09.2026"), 3, "booked_at", "not_a_time"),
        (changed_fund(1, 账户结余_="1099.41"), 3, "balance", "balance_break"),
    ],
)  # fmt: skip
def test_fund_bill_bad_rows(content: bytes, line_number: int, field: str, reason_code: str) -> None:
    parsed = fund_bill(content, make.context())
    assert (line_number, field, reason_code) in codes(parsed)
    for person in (wallet.SUBMITTER, "王小五"):
        assert person not in everything_in(parsed)


def test_fund_bill_with_a_row_taken_out_is_no_chain() -> None:
    given = wallet.fund_rows()
    parsed = fund_bill(wallet.fund_bill([*given[:1], *given[2:]]), make.context())
    assert parsed.totals_status == "agree"
    assert (3, "balance", "balance_break") in codes(parsed)


def test_fund_bill_rows_may_stand_in_any_order() -> None:
    given = wallet.fund_rows()
    for ordered in (given[::-1], [given[2], given[0], given[3], given[1]]):
        assert rows(fund_bill(wallet.fund_bill(ordered), make.context()), "wechat_fund_bill")


def test_fund_bill_without_rows_and_bills_that_are_none() -> None:
    parsed = fund_bill(wallet.fund_bill([]), make.context())
    assert (parsed.row_count, parsed.is_good) == (0, True)
    assert refusal(fund_bill, wallet.fund_bill()[:-60]) in {"missing_totals", "wrong_encoding"}
    assert refusal(fund_bill, make.wechat_bill()) == "missing_header"
    without = [name for name in wallet.FUND_HEADER if name != "账户结余(元)"]
    with pytest.raises(UnreadableFileError, match="账户结余"):
        fund_bill(wallet.fund_bill(header=without), make.context())


# --- Alipay trade bill ----------------------------------------------------------------------------

ALIPAY_ROWS = [make.ALIPAY_PAYMENT, make.ALIPAY_REFUND]


def alipay(content: bytes, **name_parts: str) -> ParsedFile:
    """Parse an Alipay trade bill of the day."""
    return make.read(trade_bill.TradeBillReading, content, make.context(**name_parts))


@pytest.mark.parametrize(
    "content",
    [
        make.alipay_detail(),
        make.alipay_detail().decode("gb18030").encode("utf-8"),
        make.alipay_detail().decode("gb18030").encode("utf-8-sig"),
        make.alipay_detail().replace(b"\r\n", b"\n"),
        wallet.saved_by_excel(make.alipay_detail(), 25),
        wallet.saved_by_excel(make.alipay_detail(), 28),
        wallet.utf8_zipped({"x_业务明细.csv": make.alipay_detail()}),
        make.zipped({"x_业务明细.csv": make.alipay_detail()}),
        make.zipped({"x_业务明细(汇总).csv": b"", "x_业务明细.csv": make.alipay_detail()}),
        make.zipped({"x_业务明细.csv": make.alipay_detail(), "x_业务明细（汇总）.csv": b""}),
    ],
    ids=[
        "bare", "UTF-8", "UTF-8 with a mark", "LF", "padded", "padded beyond the header",
        "UTF-8 names", "GBK names", "summary first", "wide parentheses",
    ],
)  # fmt: skip
def test_one_alipay_bill_in_every_variant(content: bytes) -> None:
    parsed = alipay(content)
    assert rows(parsed, "alipay_trade_bill") == rows(alipay(make.alipay_zip()), "alipay_trade_bill")
    assert [row["merchant_received_minor"] for row in rows(parsed, "alipay_trade_bill")] == [
        9500,
        -2000,
    ]
    assert (parsed.totals_status, parsed.accounting_date) == ("agree", DAY)


def test_what_excel_pads_has_to_be_blank() -> None:
    text = wallet.saved_by_excel(make.alipay_detail(), 28).decode("gb18030")
    first, rest = text.split("2026092422001410000000000001", 1)
    record, rest = rest.split("\r\n", 1)
    spilled = f"{first}2026092422001410000000000001{record.removesuffix(',')},x\r\n{rest}"
    assert codes(alipay(spilled.encode("gb18030"))) == {(6, "", "wrong_column_count")}


@pytest.mark.parametrize("per_store", [False, True])
def test_the_summary_is_a_control_total(per_store: bool) -> None:
    summary = wallet.alipay_summary(per_store=per_store)
    parsed = alipay(wallet.alipay_zip(make.alipay_detail(), summary))
    compared = {total.name for total in parsed.totals if total.name.startswith("汇总")}
    assert len(compared) == 6
    assert parsed.totals_status == "agree"
    # What the list itself says is not counted twice with what the summary says.
    assert (parsed.declared_row_count, parsed.declared_total_minor) == (2, 7500)


@pytest.mark.parametrize(
    "name",
    [
        "交易订单总笔数",
        "退款订单总笔数",
        "订单金额（元）",
        "商家实收（元）",
        "商家优惠（元）",
        "服务费（元）",
    ],
)
@pytest.mark.parametrize("value", ["7", "", "many"])
def test_the_summarys_totals_are_compared_one_by_one(name: str, value: str) -> None:
    summary = wallet.alipay_summary(**{name: value})
    parsed = alipay(wallet.alipay_zip(make.alipay_detail(), summary))
    assert [re.sub(r"[（(].*", "", found) for found in differing(parsed)] == [
        "汇总 " + re.sub(r"（.*", "", name)
    ]


def test_two_summaries_or_details_are_not_one_bill() -> None:
    detail, summary = make.alipay_detail(), wallet.alipay_summary()
    for members in (
        {"a_业务明细.csv": detail, "b_业务明细.csv": detail},
        {
            "a_业务明细.csv": detail,
            "a_业务明细(汇总).csv": summary,
            "b_业务明细(汇总).csv": summary,
        },
        {"a_账务明细.csv": detail},
    ):
        assert (
            refusal(make.reader(trade_bill.TradeBillReading), make.zipped(members))
            == "missing_member"
        )


def test_a_name_that_says_zip_is_a_zip() -> None:
    context = FileContext("x.zip", DAY, make.FakeVault())
    assert refusal(make.reader(trade_bill.TradeBillReading), b"no zip at all", context) == "bad_zip"
    assert (
        refusal(make.reader(trade_bill.TradeBillReading), make.alipay_detail(), context)
        == "bad_zip"
    )


def test_a_list_of_another_kind_is_refused() -> None:
    assert (
        refusal(make.reader(trade_bill.TradeBillReading), wallet.account_detail()) == "wrong_list"
    )
    assert (
        refusal(make.reader(account_bill.AccountBillReading), make.alipay_detail()) == "wrong_list"
    )


def unionpay_alipay(**more: str) -> bytes:
    """Return a bill of the 29 columns that UnionPay passes on, in UTF-8."""
    given = [wallet.through_unionpay(row, **more) for row in ALIPAY_ROWS]
    assert len(wallet.UNIONPAY_ALIPAY_HEADER) == 29
    detail = make.alipay_detail(
        given, header=wallet.UNIONPAY_ALIPAY_HEADER, footer=make.alipay_footer(ALIPAY_ROWS)
    )
    return detail.decode("gb18030").encode()


def test_the_bill_that_unionpay_passes_on() -> None:
    parsed = alipay(unionpay_alipay())
    payment, refund = rows(parsed, "alipay_trade_bill")
    assert parsed.totals_status == "agree"
    assert payment["channel_order_id"] == "2026092422001410000000000001"
    assert refund["refund_request_id"] == "RF1"
    assert (payment["net_received_minor"], payment["instalment_count"]) == (9443, 3)
    assert (payment["merchant_identifier"], payment["trade_method"]) == ("M-4711", "扫码")
    # It has no column of shared profits; that is not 0.
    assert payment["profit_share_minor"] is None
    (direct, _) = rows(alipay(make.alipay_detail()), "alipay_trade_bill")
    assert (direct["profit_share_minor"], direct["net_received_minor"]) == (0, None)


@pytest.mark.parametrize("count", ["three", "-3", "2.5"])
def test_a_number_of_instalments_is_a_number(count: str) -> None:
    parsed = alipay(unionpay_alipay(花呗分期数=count))
    assert (6, "instalment_count", "not_a_number") in codes(parsed)


def unsigned(row: Mapping[str, str]) -> dict[str, str]:
    """Return a refund as a bill prints it that knows no signs."""
    return {**row, "订单金额（元）": "20.00", "商家实收（元）": "20.00"}


def test_refunds_without_sign_are_taken_where_the_bill_has_no_other() -> None:
    total = "#交易合计：2笔，商家实收共{}元，商家优惠共5.00元"
    one = [make.ALIPAY_PAYMENT, unsigned(make.ALIPAY_REFUND)]
    good = alipay(make.alipay_detail(one, footer=[total.format("115.00")]))
    assert len(rows(good, "alipay_trade_bill")) == 2
    both = [*ALIPAY_ROWS, unsigned(make.ALIPAY_REFUND)]
    mixed = alipay(make.alipay_detail(both, footer=[total.format("95.00").replace("2笔", "3笔")]))
    assert (8, "merchant_received", "wrong_sign") in codes(mixed)


def test_a_counterparty_that_alipay_did_not_mask_is_masked() -> None:
    given = [
        {**make.ALIPAY_PAYMENT, "对方账户": name}
        for name in (
            "**丰(138******00)",
            "王小五(13800138000)",
            "王*五(13800138000)",
            "王*",
            "王小五",
        )
    ]
    parsed = alipay(make.alipay_detail(given))
    masks = [row["counterparty_mask"] for row in rows(parsed, "alipay_trade_bill")]
    assert masks == ["**丰(138******00)", "王***", "王***", "王*", "王***"]


# --- Alipay account bill --------------------------------------------------------------------------


def account(content: bytes) -> ParsedFile:
    """Parse an Alipay account bill of the day."""
    return make.read(account_bill.AccountBillReading, content, make.context(account_id=make.PID))


def test_account_bill() -> None:
    content = wallet.alipay_zip(wallet.account_detail(), wallet.account_summary(), kind="账务明细")
    parsed = account(content)
    found = rows(parsed, "alipay_account_bill")
    assert [row["amount_minor"] for row in found] == [20000, -3000, -60, 10000]
    assert [row["balance_after_minor"] for row in found] == [126940, 106940, 109940, 110000]
    assert [row["line_number"] for row in found] == [6, 7, 8, 9]
    assert (parsed.totals_status, len(parsed.totals)) == ("agree", 9)
    assert (parsed.declared_row_count, parsed.declared_total_minor) == (4, 26940)
    assert found[0]["counterparty_token"].startswith("acct-")
    assert found[0]["counterparty_mask"] == "王***"
    assert "小五" not in everything_in(parsed)
    assert "example.com" not in everything_in(parsed)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("#支出合计：2笔", "#支出合计：3笔", "支出笔数"),
        ("共30.60元", "共30.61元", "支出金额"),
        ("#收入合计：2笔", "#收入合计：1笔", "收入笔数"),
        ("共300.00元", "共3000.00元", "收入金额"),
    ],
)
def test_account_bill_totals_are_compared_one_by_one(old: str, new: str, name: str) -> None:
    text = wallet.account_detail().decode("gb18030")
    assert old in text
    assert differing(account(text.replace(old, new).encode("gb18030"))) == [name]


@pytest.mark.parametrize(
    "name", ["收入笔数", "收入金额（+元）", "支出笔数", "支出金额（-元）", "总金额（元）"]
)
def test_account_bill_summary_is_compared_one_by_one(name: str) -> None:
    summary = wallet.account_summary(**{name: "7"})
    parsed = account(wallet.alipay_zip(wallet.account_detail(), summary, kind="账务明细"))
    assert differing(parsed) == [f"汇总 {name}"]
    negative = wallet.account_summary(**{"支出金额（-元）": "-30.60"})
    assert account(wallet.alipay_zip(wallet.account_detail(), negative, kind="账务明细")).is_good


def changed_account(**changes: str) -> bytes:
    """Return an account bill with its second line (−30.00) changed; `_` ends a name of yuan."""
    names = {"收入_": "收入金额（+元）", "支出_": "支出金额（-元）", "余额_": "账户余额（元）"}
    given = wallet.account_rows()
    given[1] |= {names.get(name, name): value for name, value in changes.items()}
    return wallet.account_detail(given)


@pytest.mark.parametrize(
    ("content", "field", "reason_code"),
    [
        (changed_account(收入_="30.00"), "expense", "ambiguous_amount"),
        (changed_account(支出_="-30.00"), "expense", "wrong_sign"),
        (changed_account(收入_="-30.00", 支出_=""), "income", "wrong_sign"),
        (changed_account(余额_=""), "balance", "not_an_amount"),
        (changed_account(余额_="1.00"), "balance", "balance_break"),
        (changed_account(账务流水号="54632446530004\t"), "ledger_entry_id", "duplicate_key"),
        (changed_account(账务流水号="\t"), "ledger_entry_id", "missing_key"),
        (changed_account(业务类型=""), "business_type", "missing_key"),
        (changed_account(发生时间="2026-09-25 00:00:00"), "booked_at", "wrong_date"),
    ],
)
def test_account_bill_bad_rows(content: bytes, field: str, reason_code: str) -> None:
    parsed = account(content)
    assert (7, field, reason_code) in codes(parsed)
    assert "小五" not in everything_in(parsed)


def test_what_goes_out_may_have_a_sign_or_be_blank() -> None:
    given = wallet.account_rows()
    for row in given:
        out = row["支出金额（-元）"]
        row["支出金额（-元）"] = f"-{out}" if out != "0.00" else ""
    found = rows(account(wallet.account_detail(given)), "alipay_account_bill")
    assert [row["amount_minor"] for row in found] == [20000, -3000, -60, 10000]


def test_balances_are_compared_in_a_whole_list_only() -> None:
    given = wallet.account_rows()
    cut = [*given[:1], *given[2:]]
    broken = account(wallet.account_detail(cut))
    assert broken.totals_status == "agree"
    assert codes(broken) == {
        (6, "balance", "balance_break"),
        (8, "balance", "balance_break"),
    }
    # The totals are of the whole: the list says itself that it is a part, and is refused for that.
    footer = ["#支出合计：2笔，共30.60元", "#收入合计：2笔，共300.00元"]
    part = account(wallet.account_detail(cut, footer=footer))
    assert (part.totals_status, codes(part)) == ("disagree", set())


def test_account_bill_of_newer_columns_and_of_unknown_ones() -> None:
    newer = [*wallet.ACCOUNT_HEADER, "业务基础订单号", "业务订单号", "业务账单来源", "业务描述"]
    given = [{**row, "业务订单号": "B1", "业务描述": "王小五"} for row in wallet.account_rows()]
    parsed = account(wallet.account_detail(given, header=newer))
    assert {row["business_order_id"] for row in rows(parsed, "alipay_account_bill")} == {"B1"}
    assert "小五" not in everything_in(parsed)
    for header, name in (
        ([*newer, "新列"], "新列"),
        ([n for n in newer if n != "账户余额（元）"], "账户余额"),
    ):
        with pytest.raises(UnreadableFileError, match=name):
            account(wallet.account_detail(given, header=header))


def test_account_bill_bad_files() -> None:
    for footer in ([], ["#支出合计：2笔，共30.60元"], ["#收入合计：2笔，共300.00元"]):
        content = wallet.account_detail(footer=footer)
        assert refusal(make.reader(account_bill.AccountBillReading), content) == "missing_totals"
    assert (
        refusal(
            make.reader(account_bill.AccountBillReading),
            wallet.account_detail()[:-300],
        )
        == "missing_end"
    )
    other_day = account(wallet.account_detail(day=date(2026, 9, 23)))
    assert (0, "", "wrong_date") in codes(other_day)
    context = make.context(account_id="2088000000000001")
    other = make.read(account_bill.AccountBillReading, wallet.account_detail(), context)
    assert codes(other) == {(0, "", "wrong_merchant")}


# --- QR gateway -----------------------------------------------------------------------------------


def qr(content: bytes, **name_parts: str) -> ParsedFile:
    """Parse a QR gateway bill of the day."""
    return make.read(qr_gateway_bill.GatewayBillReading, content, make.context(**name_parts))


def test_qr_gateway_bill() -> None:
    parsed = qr(wallet.qr_bill())
    payment, refund = rows(parsed, "unionpay_qr_gateway_bill")
    assert parsed.totals_status == "none_in_format"
    assert (payment["transaction_type"], refund["transaction_type"]) == ("purchase", "refund")
    assert (payment["amount_minor"], refund["refund_amount_minor"]) == (10000, 3000)
    assert payment["fee_rate"] == Decimal("0.00153")
    assert payment["acquiring_institution_id"] == "48379219"
    assert payment["forwarding_institution_id"] == "00049992"
    assert (payment["trace_number"], payment["transmission_time"]) == ("747302", "0924100001")
    assert payment["payer_token"].startswith("acct-")
    assert (payment["line_number"], refund["line_number"]) == (1, 2)
    for person in (make.PAYER, "小五", "13800000000"):
        assert person not in everything_in(parsed)


@pytest.mark.parametrize("place", [1, 2])
def test_qr_gateway_columns_by_heading(place: int) -> None:
    names = [column[place] for column in qr_gateway_bill.COLUMNS]
    order = wallet.QR_ORDER[::-1]
    content = wallet.qr_bill(header=names[::-1], order=order)
    assert [
        {**row, "line_number": row["line_number"] - 1}
        for row in rows(qr(content), "unionpay_qr_gateway_bill")
    ] == rows(qr(wallet.qr_bill()), "unionpay_qr_gateway_bill")
    with pytest.raises(UnreadableFileError, match="another"):
        qr(wallet.qr_bill(header=[*names[:-1], "another"]))


def test_qr_gateway_order_is_that_of_the_document() -> None:
    assert [column[1] for column in qr_gateway_bill.COLUMNS] == wallet.QR_ORDER


@pytest.mark.parametrize(
    ("fee", "fits"),
    [("0.13", False), ("0.14", False), ("0.15", True), ("0.16", True), ("0.17", False)],
)
def test_qr_gateway_fee_is_the_rates_to_within_a_fen(fee: str, fits: bool) -> None:
    """100.00 at 0.153 % is 0.153: 0.15 and 0.16 are within a fen, 0.14 is not."""
    row = {**wallet.QR_PAYMENT, "trans_fee": fee, "settle_amt": str(100 - Decimal(fee))}
    assert (codes(qr(wallet.qr_bill([row]))) == set()) is fits
    if not fits:
        assert codes(qr(wallet.qr_bill([row]))) == {(1, "fee", "wrong_fee")}


@given(
    amount=st.integers(0, bill_values.AMOUNT_MAX_MINOR),
    rate_millionths=st.integers(0, 1_000_000),
    off=st.integers(-3, 3),
)
def test_fee_fits_is_exact_for_any_amount(amount: int, rate_millionths: int, off: int) -> None:
    exact = Decimal(amount) * rate_millionths / 1_000_000
    fee = int(exact) + off
    answer = qr_gateway_bill.fee_fits(
        pl.Series([amount]),
        pl.Series([Decimal(rate_millionths) / 1_000_000], dtype=pl.Decimal(20, 8)),
        pl.Series([fee]),
    )
    assert answer.to_list() == [abs(exact - fee) <= 1]


def changed_qr(**changes: str) -> bytes:
    """Return a bill of a good row and a changed one."""
    second = {**wallet.QR_PAYMENT, "pl_order_no": "955160000020260924000000002"}
    return wallet.qr_bill([wallet.QR_PAYMENT, {**second, **changes}])


@pytest.mark.parametrize(
    ("content", "field", "reason_code"),
    [
        (changed_qr(trans_stat="支付失败"), "trade_state", "unknown_code"),
        (changed_qr(curr_cd="XXX"), "currency_code", "unknown_code"),
        (changed_qr(settle_amt="99.84"), "settlement_amount", "wrong_settlement"),
        (changed_qr(trans_amt=""), "amount", "not_an_amount"),
        (changed_qr(trans_amt="-100.00"), "amount", "wrong_sign"),
        (changed_qr(fee_rate="0.153"), "fee_rate", "not_a_rate"),
        (changed_qr(trans_stat="转入退款", refund_amt="1.00"), "platform_refund_id", "missing_key"),
        (changed_qr(pl_order_no=""), "platform_order_id", "missing_key"),
        (changed_qr(pl_order_no=wallet.QR_PAYMENT["pl_order_no"]), "platform_order_id",
         "duplicate_key"),
        (changed_qr(key_cup="48379219 00049992 7473020924100001"), "unionpay_key", "bad_key"),
        (changed_qr(key_cup="48379219   00049992   74730209241000"), "unionpay_key", "bad_key"),
        (changed_qr(key_cup="48379219   0004999A   7473020924100001"), "unionpay_key", "bad_key"),
        (changed_qr(trans_date_time="2026-09-25 00:00:00"), "transaction_at", "wrong_date"),
    ],
)  # fmt: skip
def test_qr_gateway_bad_rows(content: bytes, field: str, reason_code: str) -> None:
    parsed = qr(content)
    assert (2, field, reason_code) in codes(parsed)
    for person in (make.PAYER, "小五", "13800000000"):
        assert person not in everything_in(parsed)


def test_qr_gateway_rows_without_a_key_have_none() -> None:
    _, second = rows(qr(changed_qr(key_cup="")), "unionpay_qr_gateway_bill")
    assert (second["trace_number"], second["acquiring_institution_id"]) == (None, None)


def test_qr_gateway_with_a_coupon_is_not_computed() -> None:
    content = changed_qr(no_coupon_amt="10.00", settle_amt="89.85", actual_amt="90.00")
    assert len(rows(qr(content), "unionpay_qr_gateway_bill")) == 2


def test_qr_gateway_totals_are_compared_where_there_are_some() -> None:
    good = {"总交易单数": "2", "总交易额": "100.00", "总退款金额": "30.00"}
    assert qr(wallet.qr_bill(totals=good)).totals_status == "agree"
    for name in good:
        assert differing(qr(wallet.qr_bill(totals={**good, name: "7"}))) == [name]


def test_qr_gateway_bad_files() -> None:
    assert refusal(make.reader(qr_gateway_bill.GatewayBillReading), b"") == "empty_file"
    assert (
        refusal(
            make.reader(qr_gateway_bill.GatewayBillReading),
            wallet.qr_bill() + "中".encode()[:1],
        )
        == "wrong_encoding"
    )
    cut = qr(wallet.qr_bill()[:-120])
    assert codes(cut) == {(2, "", "wrong_column_count")}
    assert codes(qr(wallet.qr_bill(), end_date="20260930")) == {(0, "", "wrong_period")}
    assert qr(wallet.qr_bill(), end_date="20260924").is_good


def test_a_shifted_record_names_nobody() -> None:
    # One value too few: what stands in a hidden column's place is another column's.
    lines = wallet.qr_bill().decode("gbk").splitlines()
    for cut in range(lines[1].count(",`")):
        values = lines[1].split(",`")
        del values[cut]
        shifted = "\r\n".join([lines[0], ",`".join(values), *lines[2:]]) + "\r\n"
        (finding,) = parsed_by_name("20260924_20260924_ALL.csv", shifted.encode("gbk")).bad_rows
        assert finding.reason_code == "wrong_column_count"
        for person in (make.PAYER, wallet.COUNTERPARTY, wallet.SUBMITTER, "13800000000"):
            assert person not in finding.excerpt


# --- any bytes ------------------------------------------------------------------------------------

GOOD_FILES: dict[str, bytes] = {
    "1900000109All2026-09-24.csv": make.wechat_bill(),
    "1900000109All2026-09-24.csv.gz": wallet.gzipped(make.wechat_bill()),
    "1900000109Success2026-09-24.csv": SUCCESS_BILL,
    "1900000109Refund2026-09-24.csv": REFUND_BILL,
    "1900000109FundFlowBasic2026-09-24.csv": wallet.fund_bill(),
    f"{make.PID}0156_20260924.zip": wallet.alipay_zip(
        make.alipay_detail(), wallet.alipay_summary()
    ),
    f"{make.PID}0156_20260924_DETAILS.csv": unionpay_alipay(),
    f"{make.PID}0156_20260924_业务明细.csv": make.alipay_detail(),
    f"{make.PID}0156_20260924_账务明细.csv": wallet.account_detail(),
    "20260924_20260924_ALL.csv": wallet.qr_bill(),
}


def parsed_by_name(name: str, content: bytes) -> ParsedFile:
    """Parse as landing does."""
    found = recognise(name)
    assert found is not None
    return parse_file(content, found, make.FakeVault())


@pytest.mark.parametrize("name", GOOD_FILES)
def test_every_good_file_is_good(name: str) -> None:
    parsed = parsed_by_name(name, GOOD_FILES[name])
    assert not parsed.bad_rows
    assert parsed.is_good
    assert parsed.row_count > 0
    assert parsed.accounting_date == DAY


@hypothesis_settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(data=st.data())
def test_damaged_files_never_fail_a_parser_nor_name_a_person(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(GOOD_FILES)))
    content = bytearray(GOOD_FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = data.draw(st.integers(start, min(start + 40, len(content))))
        content[start:end] = data.draw(
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from([b"`", b",", b"\r\n", b"\n", b"#", b"\xff", b"-", b"\t", b"0"]),
            )
        )
        if not content:
            break
    parsed = parsed_by_name(name, bytes(content))
    assert "parser_failed" not in {row.reason_code for row in parsed.bad_rows}
    findings = repr(parsed.bad_rows) + repr(parsed.totals)
    for person in (make.PAYER, wallet.COUNTERPARTY, wallet.SUBMITTER, "13800000000"):
        assert person not in findings


yuan = st.integers(1, 10**7).map(lambda fen: f"{Decimal(fen).scaleb(-2):.2f}")


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(
    payments=st.lists(st.tuples(yuan, st.integers(0, 9).map(lambda fen: f"0.0{fen}")), max_size=8),
    refunds=st.lists(yuan, max_size=8),
    goods=st.text(
        st.characters(codec="utf-8", exclude_characters="\r\n\0`", exclude_categories=["Cs"]),
        max_size=12,
    ),
)
def test_any_wechat_day_reads_as_it_was_written(
    payments: Sequence[tuple[str, str]], refunds: Sequence[str], goods: str
) -> None:
    given_rows = [
        {**make.WECHAT_PAYMENT, "应结订单金额": amount, "订单金额": amount, "手续费": fee + "000",
         "商品名称": goods}
        for amount, fee in payments
    ] + [
        {**make.WECHAT_REFUND, "退款金额": amount, "申请退款金额": amount, "手续费": "0.00000"}
        for amount in refunds
    ]  # fmt: skip
    parsed = wechat(wallet.wechat_bill(given_rows))
    assert parsed.totals_status == "agree"
    found = rows(parsed, "wechat_trade_bill")
    assert [row["settlement_amount_minor"] for row in found[: len(payments)]] == [
        int(Decimal(amount) * 100) for amount, _ in payments
    ]
    assert [row["refund_amount_minor"] for row in found[len(payments) :]] == [
        int(Decimal(amount) * 100) for amount in refunds
    ]


changes = st.lists(
    st.integers(-(10**6), 10**6).filter(bool).map(lambda fen: f"{Decimal(fen).scaleb(-2):.2f}"),
    min_size=1,
    max_size=8,
)


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(given_changes=changes, order=st.randoms(use_true_random=False))
def test_a_whole_day_of_changes_is_a_chain_in_any_order(
    given_changes: list[str], order: Any
) -> None:
    fund, alipay_account = wallet.fund_rows(given_changes), wallet.account_rows(given_changes)
    order.shuffle(fund)
    order.shuffle(alipay_account)
    for parsed in (
        fund_bill(wallet.fund_bill(fund), make.context()),
        account(wallet.account_detail(alipay_account)),
    ):
        assert parsed.is_good, parsed.bad_rows
        assert parsed.counted_total_minor == sum(int(Decimal(c) * 100) for c in given_changes)


def breaks(amounts: Sequence[int], balances: Sequence[int], block_rows: int) -> list[int]:
    """Return the lines that break a chain of balances, read in blocks."""
    chain, findings = bill_values.BalanceChain(), Findings()
    for start in range(0, len(amounts), block_rows):
        rows = slice(start, start + block_rows)
        lines = range(start + 1, start + 1 + len(amounts[rows]))
        chain.add(pl.Series(amounts[rows]), pl.Series(balances[rows]), lines)
    chain.flag(findings)
    return [row.line_number for row in findings.bad_rows]


@pytest.mark.parametrize("block_rows", [1, 2, 3])
def test_one_wrong_balance_breaks_the_chain(block_rows: int) -> None:
    amounts, balances = [5, -2, 4], [15, 13, 17]
    assert breaks(amounts, balances, block_rows) == []
    for position in range(3):
        wrong = [b + (place == position) for place, b in enumerate(balances)]
        # The last one's balance is nobody's beginning: a chain alone cannot tell.
        assert breaks(amounts, wrong, block_rows), position
    assert breaks([], [], block_rows) == []


def test_a_blank_amount_is_zero_only_where_it_may_be() -> None:
    findings = Findings()
    texts = pl.DataFrame(
        {"a": [None, "1.00"], "b": [None, "2.00"]}, schema_overrides={"a": pl.String}
    )
    amounts = bill_values.amounts_in_fen(
        texts, ("a", "b"), findings.of_block(range(1, 3)), required=("b",)
    )
    assert amounts["a"].to_list() == [0, 100]
    assert [(row.line_number, row.field) for row in findings.bad_rows] == [(1, "b")]


# --- landing --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A home on a database of this module's own: landing commits."""
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database wallets")
    home = tmp_path_factory.mktemp("wallets")
    url = admin.rpartition("/")[0] + "/wallets"
    own = load_settings({"TIEOUT_HOME": str(home), "TIEOUT_DATABASE_URL": url})
    own.ensure_dirs()
    database.migrate(own)
    with database.connect(own) as connection:
        load_lists(connection)
    yield own
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop database wallets with (force)")


def put(settings: Settings, name: str, content: bytes) -> None:
    """Write a file into the inbox."""
    path: Path = settings.home / "inbox" / "x" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_every_bill_lands_and_no_record_of_the_day_is_there_twice(place: Settings) -> None:
    # One of each place: the others are the same bill in another form.
    others = {"1900000109All2026-09-24.csv.gz", f"{make.PID}0156_20260924_业务明细.csv"}
    files = {name: content for name, content in GOOD_FILES.items() if name not in others}
    files.pop(f"{make.PID}0156_20260924.zip")
    for name, content in files.items():
        put(place, name, content)
    report = landing.land(place)
    assert {file.file_name: file.status for file in report.files} == dict.fromkeys(files, "landed")
    counts = {
        "wechat_trade_bill": 2,
        "wechat_trade_bill_parts": 2,
        "wechat_fund_bill": 4,
        "alipay_trade_bill": 2,
        "alipay_account_bill": 4,
        "unionpay_qr_gateway_bill": 2,
    }
    with database.connect(place) as connection:
        for table, count in counts.items():
            found = connection.execute(f"select count(*) from raw.{table}").fetchone()
            assert found == (count,), table
        dump = "".join(
            str(row)
            for table in counts
            for row in connection.execute(f"select * from raw.{table}").fetchall()
        )
    assert "REF 00001" in dump
    for person in (make.PAYER, wallet.SUBMITTER, "小五", "13800000000", "example.com"):
        assert person not in dump

    # The same day once more, packed and unpacked: known, not counted again.
    for name in others | {f"{make.PID}0156_20260924.zip"}:
        put(place, name, GOOD_FILES[name])
    again = {file.file_name: file.status for file in landing.land(place).files}
    assert {name: again[name] for name in others} == dict.fromkeys(others, "conflict")
    with database.connect(place) as connection:
        found = connection.execute("select count(*) from raw.wechat_trade_bill").fetchone()
        assert found == (2,)


def test_a_day_of_the_old_form_and_a_day_without_bill_land(place: Settings) -> None:
    old = [
        {**row, "交易时间": row["交易时间"].replace("2026-09-24", "2026-09-26").replace("23", "26")}
        for row in (make.WECHAT_PAYMENT, make.WECHAT_REFUND)
    ]
    put(place, "1900000109All2026-09-26.csv", wallet.old_wechat_bill(old))
    put(place, "1900000109All2026-09-27.csv", wallet.NO_BILL)
    put(place, "1900000109All2026-09-28.csv", wallet.NO_BILL.replace(b"No Bill Exist", b"Wait"))
    found = {file.file_name[13:23]: file for file in landing.land(place).files}
    statuses = {day: found[day].status for day in ("2026-09-26", "2026-09-27", "2026-09-28")}
    assert list(statuses.values()) == ["landed", "landed", "quarantined"]
    assert "Wait" in str(found["2026-09-28"].reason)
