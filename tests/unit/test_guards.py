"""Lines that say whose a file is, of when and how much: in a form we know, or the file waits."""

from __future__ import annotations

from decimal import Decimal

import pytest

import channel_files as make
import institution_files as institution
import unionpay_files as union
import wallet_files as wallet
from tieout.channels.common.model import ParsedFile
from tieout.channels.registry import parse_file, recognise

DAY = make.DAY
ALIPAY = f"{make.PID}0156_{DAY:%Y%m%d}_业务明细.csv"
ACCOUNT = f"{make.PID}0156_{DAY:%Y%m%d}_账务明细.csv"
WECHAT = f"{make.WECHAT_PAYMENT['商户号']}All{DAY}.csv"
VOUCHERS = f"source_vouchers_{DAY:%Y%m%d}.csv"


def parsed(file_name: str, content: bytes) -> ParsedFile:
    """Parse a file as landing does, by its name."""
    file = recognise(file_name)
    assert file is not None
    return parse_file(content, file, make.FakeVault())


def codes(file: ParsedFile) -> list[tuple[int, str, str]]:
    return [(row.line_number, row.field, row.reason_code) for row in file.bad_rows]


def gbk(content: bytes, old: str, new: str) -> bytes:
    """Return a GBK text with one part changed."""
    text = content.decode("gb18030")
    assert text.count(old) == 1, old
    return text.replace(old, new).encode("gb18030")


# --- Alipay: whose, of when, how much -------------------------------------------------------------

HEAD = f"#账号：[{make.PID}0156]"
BILLS = {ALIPAY: make.alipay_detail(), ACCOUNT: wallet.account_detail()}


@pytest.mark.parametrize("name", BILLS)
@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (f"#账号:[{make.PID}0156]", []),  # with an ASCII colon, it is as sure
        ("#账号:[20889999999999990156]", [(0, "", "wrong_merchant")]),
        ("#账号：[20889999999999990156]", [(0, "", "wrong_merchant")]),
        ("", [(0, "", "unknown_head")]),
        (f"#账号：{make.PID}0156", [(2, "", "unknown_head")]),
        (f"#账号：[{make.PID}0156]x", [(2, "", "unknown_head")]),
        (f"#账号：[{make.PID}0156，20889999999999990156]", [(2, "", "unknown_head")]),
        (f"{HEAD}\r\n#账号：[20889999999999990156]", [(2, "", "unknown_head")]),
        (f"#商户账号：[{make.PID}0156]", [(2, "", "unknown_head")]),
    ],
)
def test_whose_alipay_bill_it_is_has_to_be_known(
    name: str, line: str, outcome: list[tuple[int, str, str]]
) -> None:
    found = parsed(name, gbk(BILLS[name], HEAD, line))
    assert codes(found) == outcome
    assert not found.frames or not outcome
    for row in found.bad_rows:
        assert "20889999999999990156" not in row.reason


def test_a_head_that_is_not_understood_is_quoted_and_says_what_is_wanted() -> None:
    (row,) = parsed(ALIPAY, gbk(BILLS[ALIPAY], HEAD, "#账号 = 甲")).bad_rows
    assert row.reason == (
        "the bill does not say whose bill it is in the form `#账号：[…]`, once; found: #账号 = 甲"
    )
    (row,) = parsed(ALIPAY, gbk(BILLS[ALIPAY], HEAD, "#支付宝")).bad_rows
    assert row.reason.endswith("no line above the list says it")


@pytest.mark.parametrize("name", BILLS)
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("#起始日期：[", "#起始日期=[", "unknown_head"),
        ("   终止日期：[", "   截止日期：[", "unknown_head"),
        ("25日 00:00:00]", "25日 00:00:00] 起", "unknown_head"),
        ("[2026年09月25日 00:00:00]", "[2026年09月26日 00:00:00]", "wrong_period"),
        ("[2026年09月24日 00:00:00]", "[2026年09月24日]", "wrong_period"),
    ],
)
def test_the_period_of_alipays_bill_has_to_be_known(
    name: str, old: str, new: str, code: str
) -> None:
    found = parsed(name, gbk(BILLS[name], old, new))
    assert [row.reason_code for row in found.bad_rows] == [code]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (ALIPAY, "商家优惠共5.00元", "商家优惠共5.00元，另有退款"),
        (ALIPAY, "#退款合计：1笔", "#退款 合计：1笔"),
        (ALIPAY, "#退款合计：1笔", "#退款合计：1条"),
        (ALIPAY, "#退款合计：1笔", "退款合计：1笔"),
        (ALIPAY, "商家实收共95.00元", "商家实收共95.00.00元"),
        (ALIPAY, "#导出时间", "#交易合计：1笔，商家实收共95.00元，商家优惠共5.00元\r\n#导出时间"),
        (ACCOUNT, "共300.00元", "共300.00元整"),
        (ACCOUNT, "#收入合计：2笔", "#收入合计：２笔"),
        (ACCOUNT, "#导出时间", "导出时间"),
    ],
)
def test_a_line_of_alipays_totals_in_another_form_is_no_line_of_totals(
    name: str, old: str, new: str
) -> None:
    found = parsed(name, gbk(BILLS[name], old, new))
    assert [row.reason_code for row in found.bad_rows] == ["unknown_totals"]
    assert found.bad_rows[0].line_number > 6


def test_a_comment_below_the_list_that_states_no_total_is_left_alone() -> None:
    assert parsed(ALIPAY, gbk(BILLS[ALIPAY], "#导出时间", "#说明\r\n#导出时间")).is_good


def test_a_summary_of_which_nothing_is_understood_is_no_proof() -> None:
    summary = wallet.encoded(["#支付宝业务汇总查询", "门店编号,笔数", "合计,2"])
    packed = wallet.alipay_zip(make.alipay_detail(), summary)
    found = parsed(f"{make.PID}0156_{DAY:%Y%m%d}.zip", packed)
    assert [row.reason_code for row in found.bad_rows] == ["wrong_summary"]
    assert "found: 门店编号, 笔数" in found.bad_rows[0].reason


# --- WeChat: fees below a fen, totals -------------------------------------------------------------


def fees(*printed: str, total: str | None = None) -> ParsedFile:
    """Return a bill of sales of 1.00 with these fees, whose total is theirs if not given."""
    rows = [
        {
            **make.WECHAT_PAYMENT,
            "微信订单号": f"42000012026092400000000000{number:02}",
            "手续费": fee,
        }
        for number, fee in enumerate(printed)
    ]
    stated = {} if total is None else {"手续费总金额": total}
    return parsed(WECHAT, make.wechat_bill(rows, **stated))


@pytest.mark.parametrize(
    ("printed", "fen"),
    [
        ("0.00020", 0),
        ("0.00499", 0),
        ("0.00500", 1),
        ("0.03600", 4),
        ("0.60", 60),
        ("12345678901.23456", None),  # no fee is above ten billion yuan
        ("0.000001", None),
        ("0.0002０", None),
        ("0.00020元", None),
        ("1,000.00", None),
    ],
)
def test_a_fee_is_settled_to_the_fen_half_up(printed: str, fen: int | None) -> None:
    if fen is None:
        row = {**make.WECHAT_PAYMENT, "手续费": "0.60001"}
        bill = make.wechat_bill([row], 手续费总金额="0.60").replace(b"0.60001", printed.encode())
        assert codes(parsed(WECHAT, bill)) in (
            [(2, "fee", "not_an_amount")],
            [(2, "fee", "implausible_amount")],
        )
        return
    found = fees(printed)
    assert found.is_good, found.bad_rows
    assert found.frames["wechat_trade_bill"]["fee_minor"].to_list() == [fen]


def test_a_refunds_fee_is_rounded_as_the_sales_was() -> None:
    back = {**make.WECHAT_REFUND, "手续费": "-0.00500"}
    found = parsed(WECHAT, make.wechat_bill([{**make.WECHAT_PAYMENT, "手续费": "0.00500"}, back]))
    assert found.is_good, found.bad_rows
    assert found.frames["wechat_trade_bill"]["fee_minor"].to_list() == [1, -1]


@pytest.mark.parametrize(
    ("total", "is_good"),
    [
        ("0.01200", True),  # as printed
        ("0.02", True),  # as settled: twice 0.006, each 0.01
        ("0.01", False),  # the sum rounded: not what was settled
        ("0.01201", False),
        ("0.01999", False),
    ],
)
def test_the_total_of_fees_is_of_the_printed_or_of_the_settled_ones(
    total: str, is_good: bool
) -> None:
    found = fees("0.00600", "0.00600", total=total)
    assert found.is_good is is_good
    if is_good:
        (fee_total,) = [each for each in found.totals if each.name.startswith("手续费总金额")]
        assert fee_total.declared == fee_total.counted


def test_printed_fees_of_any_size_are_summed_exactly() -> None:
    printed = ["99999999.99999", "0.00001", "0.12345"]
    found = fees(*printed)
    assert found.is_good, (found.bad_rows, found.totals)
    (fee_total,) = [each for each in found.totals if "fen / 1000" in each.name]
    assert fee_total.counted == int(sum(map(Decimal, printed)) * 100_000)


def padded(headings: str, values: str) -> bytes:
    lines = make.wechat_bill().decode("utf-8-sig").removesuffix("\r\n").split("\r\n")
    lines[-2] += headings
    lines[-1] += values
    return "".join(f"{line}\r\n" for line in lines).encode()


def test_totals_that_a_program_padded_are_read() -> None:
    usual = parsed(WECHAT, make.wechat_bill())
    for padding in (",,,,", ", , ,\t"):
        found = parsed(WECHAT, padded(padding, padding))
        assert found.is_good, found.bad_rows
        assert found.totals == usual.totals


@pytest.mark.parametrize(
    ("headings", "values", "said"),
    [
        (",,", ",", "7 headings and 2 commas behind them, 7 values and 1"),
        (",新列", ",`0.00", "unknown 新列"),
        (",手续费总金额", ",`0.00", "twice 手续费总金额, 手续费总金额"),
        ("", ",`0.00", "7 headings and 0 commas behind them, 8 values and 0"),
    ],
)
def test_a_message_about_totals_says_what_is_the_matter(
    headings: str, values: str, said: str
) -> None:
    (row,) = parsed(WECHAT, padded(headings, values)).bad_rows
    assert row.reason_code == "wrong_totals_columns"
    assert said in row.reason
    assert "missing" not in row.reason


def test_a_total_that_cannot_be_read_is_quoted() -> None:
    (row,) = parsed(WECHAT, make.wechat_bill(退款总金额="三十元")).bad_rows
    assert row.reason_code == "wrong_total"
    assert "退款总金额" in row.reason
    assert "'三十元'" in row.reason
    (row,) = parsed(WECHAT, make.wechat_bill()[:-3].rsplit(b"\n", 1)[0] + b"\n1,2\n").bad_rows
    assert row.reason_code == "missing_totals"
    assert "'1,2'" in row.reason


def test_yen_have_no_fen() -> None:
    yen = {**make.WECHAT_PAYMENT, "货币种类": "JPY"}
    assert codes(parsed(WECHAT, make.wechat_bill([yen]))) == [(2, "currency_code", "unknown_code")]


# --- a line end inside a value --------------------------------------------------------------------


@pytest.mark.parametrize("goods", ["茶\r\n两杯", '"茶\n两杯"', "茶\n\n,两杯"])
def test_a_goods_name_with_a_line_end_is_one_record(goods: str) -> None:
    rows = [{**make.WECHAT_PAYMENT, "商品名称": goods}, make.WECHAT_REFUND]
    found = parsed(WECHAT, make.wechat_bill(rows))
    assert found.is_good, found.bad_rows
    usual = parsed(WECHAT, make.wechat_bill())
    kept = found.frames["wechat_trade_bill"]
    assert kept.drop("line_number").equals(usual.frames["wechat_trade_bill"].drop("line_number"))
    assert kept["line_number"].to_list() == [2, 3 + goods.count("\n")]


def test_a_line_that_is_no_rest_of_a_record_is_lost_nowhere() -> None:
    lines = make.wechat_bill().decode().split("\r\n")
    stray = "\r\n".join([*lines[:2], "a stray line", *lines[2:]])
    assert codes(parsed(WECHAT, stray.encode())) == [(3, "", "wrong_column_count")]


def test_a_vouchers_value_with_a_line_end_is_told_once() -> None:
    content = make.platform_file("source_vouchers", [{**make.VOUCHER, "terminal_id": "a\nb"}])
    assert codes(parsed(VOUCHERS, content)) == [(2, "", "broken_quotes")]


# --- the platform's values ------------------------------------------------------------------------


def test_an_empty_value_in_quotes_is_no_value() -> None:
    content = make.platform_file("source_vouchers", [make.VOUCHER])
    assert content.count(b",00001001,") == 1
    found = parsed(VOUCHERS, content.replace(b",00001001,", b',"",'))
    assert found.frames["platform_source_vouchers"]["terminal_id"].to_list() == [None]
    assert codes(parsed(VOUCHERS, content.replace(b"\nV1,", b'\n"",'))) == [
        (2, "voucher_id", "missing_value")
    ]


@pytest.mark.parametrize("value", ["2026-09-24T10:15:60+08:00", "yesterday"])
def test_a_time_that_is_none_is_told_once_with_what_was_found(value: str) -> None:
    content = make.platform_file("source_vouchers", [{**make.VOUCHER, "transaction_at": value}])
    (row,) = parsed(VOUCHERS, content).bad_rows
    assert (row.field, row.reason_code) == ("transaction_at", "not_a_timestamptz")
    assert repr(value) in row.reason


# --- UnionPay -------------------------------------------------------------------------------------

ZM_ZIP = f"{union.MERCHANT}_{DAY:%Y%m%d}.zip"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (f"商户代码:{union.MERCHANT}", f"商户代码:{union.MERCHANT}-2", "wrong_report"),
        (f"商户代码:{union.MERCHANT}", f"商户:{union.MERCHANT}", "wrong_report"),
        (f"清算日期:{DAY:%Y%m%d}", f"清算日期:{DAY:%Y%m%d}01", "wrong_report"),
        ("商户名称:", f"清算日期:{DAY:%Y%m}25 商户名称:", "wrong_report"),
        ("清算币种:人民币", "清算币种:港币", "wrong_currency"),
        ("清算币种:人民币", "清算币种:人民币元", "wrong_currency"),
        ("清算币种:人民币", "币种:人民币", "wrong_currency"),
    ],
)
def test_the_report_says_whose_of_when_and_in_what_in_full(old: str, new: str, code: str) -> None:
    report = gbk(union.report(), old, new)
    assert [row.reason_code for row in parsed(ZM_ZIP, union.merchant_zip(rd=report)).bad_rows] == [
        code
    ]


@pytest.mark.parametrize("value", ["09 4", " 924", "924 ", "9-24"])
def test_a_date_without_a_year_is_four_digits(value: str) -> None:
    record = make.aerrn(original_settlement_date=value)
    assert ("original_settlement_date", "not_a_date") in {
        (row.field, row.reason_code) for row in parsed("IND26092499AERRN", record).bad_rows
    }


@pytest.mark.parametrize("value", ["26 924", "2609 4"])
def test_a_chips_date_is_six_digits(value: str) -> None:
    batch = institution.inf(institution.inf_detail(transaction_date=value))
    assert codes(parsed("INF26092401B", batch)) == [(2, "transaction_date", "not_a_date")]


def test_a_sign_in_front_of_nothing_is_what_is_left_of_an_amount() -> None:
    found = parsed("IND26092401ACOMN", make.acomn(network_fee="D"))
    assert codes(found) == [(1, "network_fee", "not_a_number")]
    assert "found 'D" in found.bad_rows[0].reason


@pytest.mark.parametrize(
    ("key", "is_good"),
    [
        ("48379219   00049992   7473020924162152", True),
        ("48379219000000499920007473020924162152", True),
        ("4837921900 00049992   7473020924162152", True),
        ("48379219    00049992  7473020924162152", False),
        ("48379219 0000049992   7473020924162152", False),
        ("483792190000004999207 473020924162152 ", False),
    ],
)
def test_the_gateways_key_has_its_parts_where_they_have_to_be(key: str, is_good: bool) -> None:
    bill = wallet.qr_bill()
    known = "48379219   00049992   "
    text = bill.decode("gb18030")
    at = text.index(known)
    changed = text[:at] + key + text[at + 38 :]
    found = parsed(f"{DAY:%Y%m%d}_{DAY:%Y%m%d}_ALL.csv", changed.encode("gb18030"))
    assert (not found.bad_rows) is is_good, found.bad_rows
