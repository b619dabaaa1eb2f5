"""Parsers: what is in a good file, and what keeps a bad one out. No database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
from parts import examples
from samples_folder import SAMPLES, needs_samples
from tieout.channels.alipay import trade_bill
from tieout.channels.bank import camt053
from tieout.channels.common import amounts
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import Cutoffs, Findings, ParsedFile, UnreadableFileError
from tieout.channels.platform import csv_files
from tieout.channels.registry import RecognisedFile, parse_file, recognise
from tieout.channels.unionpay import acomn, aerrn, alfee
from tieout.channels.unionpay.layouts import ACOMN, ACOMN_34, AERRN, ALFEE
from tieout.channels.wechat import trade_bill as wechat_trade_bill

DAY = make.DAY


def rows(parsed: ParsedFile, table: str) -> list[dict[str, Any]]:
    """Return a good file's rows."""
    assert not parsed.bad_rows, parsed.bad_rows
    return parsed.frames[table].to_dicts()


def codes(parsed: ParsedFile) -> set[tuple[int, str, str]]:
    """Return what speaks against a file: line, field, reason code."""
    return {(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows}


def everything_in(parsed: ParsedFile) -> str:
    """Return all a parser gave back, as text."""
    frames = [frame.write_json() for frame in parsed.frames.values()]
    return "\n".join([repr(parsed.bad_rows), repr(parsed.totals), *frames])


# --- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0.29", 29),  # 0.29 * 100 as a float is 28.999999999999996
        ("1", 100),
        ("1.1", 110),
        ("-0.02000", -2),
        ("+3.50", 350),
        ("123456789012345.67", 12_345_678_901_234_567),
        ("0.005", None),
        ("1,000.00", None),
        ("1e3", None),
        (".5", None),
        ("5.", None),
        ("", None),
        (" 5", None),
        ("５.00", None),
        ("5.00\n", None),
        ("1234567890123456", None),
    ],
)
def test_yuan_become_fen_exactly_or_not_at_all(text: str, minor: int | None) -> None:
    assert amounts.minor_units_of(text) == minor
    frame = pl.DataFrame({"amount": [text]}).select(amounts.minor_units(pl.col("amount")))
    assert frame.item() == minor


@given(fen=st.integers(-(10**17) + 1, 10**17 - 1), zeros=st.integers(0, 6))
def test_every_amount_of_fen_survives_being_printed_in_yuan(fen: int, zeros: int) -> None:
    text = f"{Decimal(fen).scaleb(-2):.2f}" + "0" * zeros
    column = pl.DataFrame({"amount": [text]}).select(amounts.minor_units(pl.col("amount")))
    assert amounts.minor_units_of(text) == fen
    assert column.item() == fen


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(text=st.text(alphabet="0123456789.+-e ,٣", max_size=12))
def test_column_and_single_amount_agree_on_any_text(text: str) -> None:
    column = pl.DataFrame({"amount": [text]}).select(amounts.minor_units(pl.col("amount")))
    assert column.item() == amounts.minor_units_of(text)


def test_an_amount_in_another_currency_has_its_own_digits() -> None:
    assert amounts.minor_units_of("2700", exponent=0) == 2700
    assert amounts.minor_units_of("2700.5", exponent=0) is None


# --- real samples ---------------------------------------------------------------------------------


def test_layouts_have_the_lengths_of_the_document() -> None:
    lengths = [layout.length_bytes for layout in (ACOMN, ACOMN_34, AERRN, ALFEE)]
    assert lengths == [500, 299, 545, 460]
    # First bytes by docs/formats, fields far apart.
    assert (ACOMN.offsets["network_fee"], ACOMN.offsets["reserved"]) == (218, 369)
    assert (AERRN.offsets["original_amount"], AERRN.offsets["merchant_name"]) == (337, 410)
    assert (ALFEE.offsets["brand_fee"], ALFEE.offsets["reserved_2"]) == (319, 361)


@needs_samples
def test_real_acomn() -> None:
    content = (SAMPLES / "unionpay_acomn" / "IND18080301ACOMN").read_bytes()
    parsed = make.read(acomn.AcomnReading, content, make.context(date(2018, 8, 3)))
    (row,) = rows(parsed, "unionpay_acomn")
    assert row["transaction_type"] == "purchase"
    assert row["amount_minor"] == 100
    assert (row["interchange_payable_minor"], row["network_fee_minor"]) == (7, 3)
    assert row["transmitted_at"].astimezone(UTC) == datetime(2018, 8, 3, 8, 21, 52, tzinfo=UTC)
    assert row["card_mask"] == "621626*********0018"
    assert row["order_number"] == "SZUP032018080316215228025551"
    assert parsed.totals_status == "none_in_format"


@needs_samples
def test_real_acomn_in_the_form_of_34_fields() -> None:
    content = (SAMPLES / "unionpay_acomn" / "IND18080301ACOMN").read_bytes()[:299] + b"\n"
    (row,) = rows(
        make.read(acomn.AcomnReading, content, make.context(date(2018, 8, 3))),
        "unionpay_acomn",
    )
    assert (row["amount_minor"], row["order_number"]) == (100, None)


@needs_samples
def test_real_alfee() -> None:
    content = (SAMPLES / "unionpay_alfee" / "IND20102399ALFEE").read_bytes()
    (row,) = rows(
        make.read(alfee.AlfeeReading, content, make.context(date(2020, 10, 23))),
        "unionpay_alfee",
    )
    assert (row["amount_minor"], row["brand_fee_minor"]) == (31975, 6)
    assert row["trace_number"] == "787693"


@needs_samples
@pytest.mark.parametrize(
    ("name", "day", "amount", "fee", "rate"),
    [
        ("wx_all_v3doc_20220321.csv", date(2022, 3, 21), 1, 0, "0.009"),
        ("wx_all_wxjava.csv", date(2019, 7, 25), 600, 4, "0.006"),
    ],
)
def test_real_wechat_rows_and_that_their_cut_totals_disagree(
    name: str, day: date, amount: int, fee: int, rate: str
) -> None:
    content = (SAMPLES / "wechat_tradebill" / name).read_bytes()
    parsed = make.read(wechat_trade_bill.WechatTradeReading, content, make.context(None))
    (row,) = rows(parsed, "wechat_trade_bill")
    assert parsed.accounting_date == day
    assert (row["settlement_amount_minor"], row["fee_minor"]) == (amount, fee)
    assert row["fee_rate"] == Decimal(rate)
    # The totals are of the whole bill, of which the document quotes one row.
    assert parsed.totals_status == "disagree"


@needs_samples
def test_real_alipay_with_its_own_totals() -> None:
    folder = SAMPLES / "alipay_trade"
    zipped = (folder / "20887226827483540156_20260605.constructed.zip").read_bytes()
    day = date(2026, 6, 5)
    parsed = make.read(
        trade_bill.TradeBillReading, zipped, make.context(day, account_id="2088722682748354")
    )
    assert [row["merchant_received_minor"] for row in rows(parsed, "alipay_trade_bill")] == [
        1,
        990,
        2,
    ]
    assert parsed.totals_status == "agree"
    assert parsed.declared_total_minor == 993
    assert [row["line_number"] for row in rows(parsed, "alipay_trade_bill")] == [6, 7, 8]
    empty = (folder / "trade_detail_empty_test.csv").read_bytes()
    assert make.read(trade_bill.TradeBillReading, empty, make.context(day)).row_count == 0


@needs_samples
def test_real_camt053_where_the_balances_hold_and_where_they_are_artificial() -> None:
    statuses = {}
    files = [path for path in (SAMPLES / "camt053").iterdir() if "<Document" in head(path)]
    assert len(files) >= 8
    for path in files:
        try:
            parsed = make.read(camt053.Camt053Reading, path.read_bytes(), make.context(None))
        except UnreadableFileError as error:
            statuses[path.name] = error.reason_code
        else:
            statuses[path.name] = parsed.totals_status if parsed.totals else "no balance"
    assert statuses["moov__FI_camt_053_sample.xml.xml"] == "agree"
    assert statuses["oca__test-camt053-no-ntry"] == "agree"
    assert statuses["genkgo__camt053.v2.wrong.xml"] == "no balance"
    assert statuses["genkgo__camt053.v4.xml"] == "disagree"


def head(path: Path) -> str:
    """Return a file's first characters, nothing of a folder."""
    return path.read_bytes()[:2000].decode(errors="replace") if path.is_file() else ""


@needs_samples
def test_real_camt053_entries() -> None:
    content = (SAMPLES / "camt053" / "moov__FI_camt_053_sample.xml.xml").read_bytes()
    parsed = make.read(camt053.Camt053Reading, content, make.context(None))
    lines = parsed.frames["bank_statement_lines"]
    assert not parsed.bad_rows
    assert lines["amount_minor"].sum() == 2307500 - 943017
    assert lines["currency_code"].unique().to_list() == ["EUR"]


# --- UnionPay -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "transaction_type", "amount_minor"),
    [
        ({}, "purchase", 10000),
        ({"message_type": "0220"}, "purchase", 10000),
        ({"message_type": "0420"}, "reversal", -10000),
        ({"processing_code": "200000"}, "void", -10000),
        ({"processing_code": "200000", "message_type": "0220"}, "refund", -10000),
        (
            {"processing_code": "200000", "message_type": "0220", "pos_condition_code": "69"},
            "refund",
            -10000,
        ),
        (
            {"processing_code": "030000", "message_type": "0100", "pos_condition_code": "06"},
            "pre_authorisation",
            0,
        ),
        ({"pos_condition_code": "06"}, "preauth_completion", 10000),
        ({"processing_code": "300000", "amount": "0" * 12}, "balance_inquiry", 0),
    ],
)
def test_acomn_types_and_signs(
    changes: dict[str, str], transaction_type: str, amount_minor: int
) -> None:
    (row,) = rows(
        make.read(acomn.AcomnReading, make.acomn(**changes)),
        "unionpay_acomn",
    )
    assert (row["transaction_type"], row["amount_minor"]) == (transaction_type, amount_minor)


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"processing_code": "990000"}, "processing_code", "unknown_code"),
        ({"processing_code": "290000"}, "processing_code", "unknown_code"),
        ({"message_type": "0800"}, "processing_code", "unknown_code"),
        ({"message_type": "0420", "processing_code": "200000"}, "processing_code", "unknown_code"),
        ({"pos_condition_code": "77"}, "processing_code", "unknown_code"),
        ({"response_code": "51"}, "response_code", "unknown_code"),
        ({"region_flag": "7"}, "region_flag", "unknown_code"),
        ({"amount": "-00000010000"}, "amount", "not_a_number"),
        ({"amount": "       10000"}, "amount", "not_a_number"),
        ({"amount": " " * 12}, "amount", "not_a_number"),
        ({"amount": "0" * 12}, "amount", "no_amount"),
        ({"network_fee": "X00000000003"}, "network_fee", "unknown_sign"),
        ({"network_fee": "D0000000000A"}, "network_fee", "not_a_number"),
        (
            {"network_fee": " 00000000003", "processing_code": "200000"},
            "network_fee",
            "missing_sign",
        ),
        ({"transmission_time": "0931162152"}, "transmission_time", "not_a_time"),
        ({"transmission_time": "0924256152"}, "transmission_time", "not_a_time"),
        ({"transmission_time": "0925000000"}, "transmission_time", "implausible_date"),
        ({"transmission_time": "0724162152"}, "transmission_time", "implausible_date"),
        ({"trace_number": ""}, "trace_number", "missing_key"),
        ({"merchant_id": ""}, "merchant_id", "missing_key"),
        ({"card_number": "621626"}, "card_number", "not_a_card_number"),
        ({"card_number": ""}, "card_number", "not_a_card_number"),
        ({"terminal_id": "茶茶"}, "", "wrong_encoding"),
    ],
)
def test_acomn_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    content = make.acomn() + make.acomn(**changes) + make.acomn()
    parsed = make.read(acomn.AcomnReading, content)
    assert (2, field, reason_code) in codes(parsed)
    assert {line for line, _, _ in codes(parsed)} <= {0, 2}


def test_fee_signs_and_a_blank_sign() -> None:
    values = {"D00000000003": 3, "C00000000003": -3, " 00000000003": 3, " " * 12: 0}
    content = b"".join(make.acomn(network_fee=text) for text in values)
    found = rows(make.read(acomn.AcomnReading, content), "unionpay_acomn")
    assert [row["network_fee_minor"] for row in found] == list(values.values())


def test_the_year_comes_from_the_settlement_date_and_december_in_january_is_last_years() -> None:
    content = make.acomn(transmission_time="1231230500") + make.acomn(
        transmission_time="0101100000"
    )
    parsed = make.read(acomn.AcomnReading, content, make.context(date(2027, 1, 1)))
    times = [row["transmitted_at"].date() for row in rows(parsed, "unionpay_acomn")]
    assert times == [date(2026, 12, 31), date(2027, 1, 1)]


def test_the_29th_of_february_is_a_day_of_leap_years_only() -> None:
    content = make.acomn(transmission_time="0229100000")
    assert rows(
        make.read(acomn.AcomnReading, content, make.context(date(2028, 2, 29))),
        "unionpay_acomn",
    )
    other_year = make.read(acomn.AcomnReading, content, make.context(date(2027, 3, 1)))
    assert (1, "transmission_time", "not_a_time") in codes(other_year)


@pytest.mark.parametrize(
    ("content", "line_number", "reason_code"),
    [
        (make.acomn() + make.acomn()[:250], 2, "wrong_length"),
        (make.acomn()[:-3] + b"\r\n" + make.acomn(), 1, "wrong_length"),
        (make.acomn().replace(b" 000000010000 ", b"0000000010000 "), 1, "misaligned"),
        (make.acomn() + b"\r\n" + make.acomn(), 2, "wrong_length"),
        (
            make.acomn(order_number="茶").replace("茶".encode("gb18030"), "茶".encode()),
            1,
            "wrong_length",
        ),
    ],
    ids=["cut off", "one byte short", "shifted", "blank line", "UTF-8 in place of GBK"],
)
def test_acomn_bad_forms(content: bytes, line_number: int, reason_code: str) -> None:
    parsed = make.read(acomn.AcomnReading, content)
    assert (line_number, "", reason_code) in codes(parsed)


def test_chinese_takes_two_bytes_a_character_and_moves_no_field() -> None:
    content = make.aerrn(merchant_name="示例商户有限责任公司北京分公司第一门店") * 2
    found = rows(make.read(aerrn.AerrnReading, content), "unionpay_aerrn")
    assert [row["original_amount_minor"] for row in found] == [10000, 10000]


def test_lines_may_end_in_lf_and_the_last_one_in_nothing() -> None:
    content = make.acomn().replace(b"\r\n", b"\n") + make.acomn().rstrip(b"\r\n")
    assert len(rows(make.read(acomn.AcomnReading, content), "unionpay_acomn")) == 2


def test_an_empty_file_is_a_day_without_transactions() -> None:
    for parser in (
        acomn.AcomnReading,
        aerrn.AerrnReading,
        alfee.AlfeeReading,
    ):
        parsed = make.read(parser, b"")
        assert (parsed.row_count, parsed.is_good, parsed.accounting_date) == (0, True, DAY)


def test_yesterdays_file_under_todays_name_is_no_file_of_today() -> None:
    yesterday = b"".join(make.acomn(transmission_time=f"0923{hour:02}0000") for hour in range(22))
    parsed = make.read(acomn.AcomnReading, yesterday)
    assert codes(parsed) == {(0, "transmission_time", "wrong_date")}
    # After the cut at 23:00 they would be today's.
    late = b"".join(make.acomn(transmission_time=f"092323{minute:02}00") for minute in range(22))
    assert rows(make.read(acomn.AcomnReading, late), "unionpay_acomn")


def test_every_known_adjustment_code_has_its_direction() -> None:
    codes_of_money = aerrn.ADJUSTMENT_CODES
    content = b"".join(make.aerrn(adjustment_code=code) for code in codes_of_money)
    found = rows(make.read(aerrn.AerrnReading, content), "unionpay_aerrn")
    effects = {row["adjustment_code"]: row["funds_effect_minor"] for row in found}
    assert len(effects) == len(codes_of_money)
    # By the acquirer's side of docs/formats, written out again.
    receives = {"E05", "E20", "E22", "E24", "E31", "E75", "E82"}
    pays = {"E23", "E25", "E29", "E30", "E32", "E73", "E74", "E81", "E84"}
    expected = {
        code: 1200 if code in receives else -1200 if code in pays else 0 for code in codes_of_money
    }
    assert effects == expected
    assert found[0]["original_settlement_date"] == date(2026, 9, 20)


@pytest.mark.parametrize("code", ["E99", "S22", "E26", ""])
def test_an_unknown_adjustment_code_is_a_bad_row(code: str) -> None:
    parsed = make.read(aerrn.AerrnReading, make.aerrn(adjustment_code=code), make.context())
    assert (1, "adjustment_code", "unknown_code") in codes(parsed)


def test_an_original_of_december_lies_in_last_year() -> None:
    content = make.aerrn(original_settlement_date="1230", transmission_time="0105090001")
    (row,) = rows(
        make.read(aerrn.AerrnReading, content, make.context(date(2027, 1, 5))),
        "unionpay_aerrn",
    )
    assert row["original_settlement_date"] == date(2026, 12, 30)


def test_a_brand_fee_needs_its_sign() -> None:
    content = make.alfee() + make.alfee(brand_fee="C00000000002")
    found = rows(make.read(alfee.AlfeeReading, content), "unionpay_alfee")
    assert [row["brand_fee_minor"] for row in found] == [2, -2]
    parsed = make.read(alfee.AlfeeReading, make.alfee(brand_fee=" 00000000002"), make.context())
    assert codes(parsed) == {(1, "brand_fee", "missing_sign")}


# --- WeChat ---------------------------------------------------------------------------------------


def test_wechat_bill() -> None:
    parsed = make.read(wechat_trade_bill.WechatTradeReading, make.wechat_bill())
    payment, refund = rows(parsed, "wechat_trade_bill")
    assert parsed.totals_status == "agree"
    assert (payment["transaction_type"], refund["transaction_type"]) == ("purchase", "refund")
    assert (payment["settlement_amount_minor"], refund["refund_amount_minor"]) == (10000, 3000)
    assert (payment["fee_minor"], refund["fee_minor"]) == (60, -18)
    assert payment["payer_token"].startswith("acct-")
    assert make.PAYER not in everything_in(parsed)
    assert [payment["line_number"], refund["line_number"]] == [2, 3]


def wechat(base: dict[str, str] = make.WECHAT_PAYMENT, **changes: str) -> bytes:
    """Return a bill of one good row and one changed row."""
    return make.wechat_bill([make.WECHAT_PAYMENT, {**base, **changes}])


@pytest.mark.parametrize(
    ("content", "field", "reason_code"),
    [
        (wechat(交易状态="CLOSED"), "trade_state", "unknown_code"),
        (wechat(交易类型="TELEPATHY"), "trade_type", "unknown_code"),
        (wechat(货币种类="XXX"), "currency_code", "unknown_code"),
        (wechat(make.WECHAT_REFUND, 退款状态="FAIL"), "refund_state", "unknown_code"),
        (wechat(make.WECHAT_REFUND, 微信退款单号="0"), "channel_refund_id", "missing_key"),
        (wechat(make.WECHAT_REFUND, 手续费="0.18000"), "fee", "wrong_sign"),
        (wechat(make.WECHAT_REFUND, 退款金额="-30.00"), "refund_amount", "wrong_sign"),
        (wechat(手续费="-0.60000"), "fee", "wrong_sign"),
        (wechat(订单金额="-100.00"), "order_amount", "wrong_sign"),
        (wechat(手续费="0.605001"), "fee", "not_an_amount"),
        (wechat(订单金额="0.00"), "order_amount", "no_amount"),
        (wechat(费率="0.60"), "fee_rate", "not_a_rate"),
        (wechat(交易时间="2026-09-25 00:00:00"), "transaction_at", "wrong_date"),
        (wechat(交易时间="2026-09-01 10:00:00"), "transaction_at", "wrong_date"),
        (wechat(交易时间="24/09/2026"), "transaction_at", "not_a_time"),
        (wechat(微信订单号=""), "channel_order_id", "missing_key"),
    ],
)
def test_wechat_bad_rows(content: bytes, field: str, reason_code: str) -> None:
    parsed = make.read(wechat_trade_bill.WechatTradeReading, content)
    assert (3, field, reason_code) in codes(parsed)
    assert make.PAYER not in everything_in(parsed)


def test_wechat_totals_are_compared_one_by_one() -> None:
    names = ["总交易单数", *make.WECHAT_TOTALS]
    for name in names:
        parsed = make.read(
            wechat_trade_bill.WechatTradeReading, make.wechat_bill(**{name: "777"}), make.context()
        )
        assert parsed.totals_status == "disagree", name
        assert [total.name for total in parsed.totals if not total.agrees] == [name]


def test_wechat_late_records_are_taken_and_another_days_bill_is_not() -> None:
    late = {**make.WECHAT_PAYMENT, "交易时间": "2026-09-23 23:59:00"}
    mixed = make.read(
        wechat_trade_bill.WechatTradeReading,
        make.wechat_bill([make.WECHAT_PAYMENT, late]),
        make.context(),
    )
    assert len(rows(mixed, "wechat_trade_bill")) == 2
    other = make.read(
        wechat_trade_bill.WechatTradeReading, make.wechat_bill([late] * 3), make.context()
    )
    assert codes(other) == {(0, "transaction_at", "wrong_date")}


def test_wechat_columns_may_move_but_not_change() -> None:
    moved = [*reversed(make.WECHAT_HEADER)]
    assert rows(
        make.read(
            wechat_trade_bill.WechatTradeReading, make.wechat_bill(header=moved), make.context()
        ),
        "wechat_trade_bill",
    )
    for header in (
        [name for name in make.WECHAT_HEADER if name != "费率"],
        [name for name in make.WECHAT_HEADER if name != "退款状态"],
        [*make.WECHAT_HEADER, "新列"],
    ):
        with pytest.raises(UnreadableFileError, match=r"费率|退款状态|新列"):
            make.read(
                wechat_trade_bill.WechatTradeReading,
                make.wechat_bill(header=header),
                make.context(),
            )


def test_wechat_bill_without_rows_is_a_bill() -> None:
    parsed = make.read(wechat_trade_bill.WechatTradeReading, make.wechat_bill([]))
    assert (parsed.row_count, parsed.totals_status, parsed.is_good) == (0, "agree", True)


@pytest.mark.parametrize("cut", [4, 40, 100, 200, 700])
def test_wechat_bill_cut_off_anywhere_is_refused(cut: int) -> None:
    result = raw_parse("1900000109All2026-09-24.csv", make.wechat_bill()[:-cut])
    if isinstance(result, ParsedFile):
        assert result.totals_status == "disagree"
    else:
        assert result.reason_code in {
            "missing_totals",
            "wrong_totals_columns",
            "wrong_total",
            "wrong_encoding",
        }


def test_wechat_bill_without_its_last_line_end_is_whole() -> None:
    assert make.read(
        wechat_trade_bill.WechatTradeReading, make.wechat_bill()[:-2], make.context()
    ).is_good


# --- Alipay ---------------------------------------------------------------------------------------


def test_alipay_bill() -> None:
    parsed = make.read(
        trade_bill.TradeBillReading, make.alipay_zip(), make.context(account_id=make.PID)
    )
    payment, refund = rows(parsed, "alipay_trade_bill")
    assert parsed.totals_status == "agree"
    assert parsed.accounting_date == DAY
    assert payment["channel_order_id"] == "2026092422001410000000000001"  # the TAB is gone
    assert (payment["merchant_received_minor"], refund["merchant_received_minor"]) == (9500, -2000)
    assert (payment["service_fee_minor"], refund["service_fee_minor"]) == (-57, 12)
    assert (payment["line_number"], refund["refund_request_id"]) == (6, "RF1")


def alipay(base: dict[str, str] = make.ALIPAY_PAYMENT, **changes: str) -> bytes:
    """Return a bill of one good row and one changed row; `_` in a name stands for brackets."""
    changed = {
        name.replace("_元", "（元）").replace("_请", "/请"): v for name, v in changes.items()
    }
    unknown = set(changed) - set(make.ALIPAY_HEADER)
    assert not unknown, unknown
    return make.alipay_zip(make.alipay_detail([make.ALIPAY_PAYMENT, {**base, **changed}]))


@pytest.mark.parametrize(
    ("content", "field", "reason_code"),
    [
        (alipay(业务类型="转账"), "business_type", "unknown_code"),
        (alipay(商家实收_元="-95.00"), "merchant_received", "wrong_sign"),
        (alipay(make.ALIPAY_REFUND, 商家实收_元="20.00"), "merchant_received", "wrong_sign"),
        (alipay(服务费_元="0.57"), "service_fee", "wrong_sign"),
        (alipay(make.ALIPAY_REFUND, 服务费_元="-0.12"), "service_fee", "wrong_sign"),
        (alipay(make.ALIPAY_REFUND, 退款批次号_请求号=""), "refund_request_id", "missing_key"),
        (alipay(商家实收_元="95.005"), "merchant_received", "not_an_amount"),
        (alipay(完成时间="2026-09-25 00:00:01"), "finished_at", "wrong_date"),
        (alipay(支付宝交易号=""), "channel_order_id", "missing_key"),
        (alipay(备注="一,二"), "", "wrong_column_count"),
    ],
)
def test_alipay_bad_rows(content: bytes, field: str, reason_code: str) -> None:
    parsed = make.read(trade_bill.TradeBillReading, content)
    assert (7, field, reason_code) in codes(parsed)


def test_alipay_totals_are_compared_one_by_one() -> None:
    rows_given = [make.ALIPAY_PAYMENT, make.ALIPAY_REFUND]
    good = make.alipay_footer(rows_given)
    for old, new in (
        ("1笔", "2笔"),
        ("95.00", "95.01"),
        ("-20.00", "-20.01"),
        ("5.00元", "5.01元"),
    ):
        footer = [line.replace(old, new) for line in good]
        assert footer != good
        detail = make.alipay_detail(rows_given, footer=footer)
        parsed = make.read(trade_bill.TradeBillReading, detail)
        assert parsed.totals_status == "disagree", new


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [
        (make.alipay_zip()[:-30], "bad_zip"),
        (make.zipped({"a.csv": b"x"}), "missing_member"),
        (make.zipped({"../x_业务明细.csv": b"x"}), "unsafe_zip"),
        (make.zipped({"/etc/x_业务明细.csv": b"x"}), "unsafe_zip"),
        (make.zipped({"x_业务明细.csv": b"0" * 3_000_000}), "unsafe_zip"),
        (make.zipped({f"{n}.csv": b"" for n in range(20)}), "unsafe_zip"),
        (make.zipped({"x_业务明细.csv": make.alipay_detail()[:-400]}), "missing_end"),
        (make.zipped({"x_业务明细.csv": make.alipay_detail(footer=[])}), "missing_totals"),
        (make.zipped({"x_业务明细.csv": "业务".encode() + b"\xff\n"}), "wrong_encoding"),
        (
            make.zipped({"x_业务明细.csv": make.alipay_detail(header=make.ALIPAY_HEADER[1:])}),
            "wrong_columns",
        ),
    ],
)
def test_alipay_bad_files(content: bytes, reason_code: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        make.read(trade_bill.TradeBillReading, content)
    assert caught.value.reason_code == reason_code


def test_alipay_bill_of_another_day_or_account() -> None:
    other_day = make.read(
        trade_bill.TradeBillReading, make.alipay_zip(day=date(2026, 9, 23)), make.context()
    )
    assert (0, "", "wrong_date") in codes(other_day)
    other = make.read(
        trade_bill.TradeBillReading,
        make.alipay_zip(),
        make.context(account_id="2088000000000001"),
    )
    assert (0, "", "wrong_merchant") in codes(other)


# --- camt.053 -------------------------------------------------------------------------------------

ARRIVAL = make.Entry("1500.00", (("1500.00", "", "中国银联股份有限公司"),))
BATCH = make.Entry(
    "-30.00",
    (("-10.00", "E1", "张三丰"), ("-20.00", "E2", "李四")),
    text="PAYOUT M1",
    batch="M1",
)
RETURN = make.Entry(
    "10.00",
    (("10.00", "E1", "张三丰"),),
    text="RETURN",
    extra="<RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf>",
)


def test_camt053() -> None:
    content = make.camt053([ARRIVAL, BATCH, RETURN])
    name = {"bank_account_id": make.BANK_ACCOUNT, "sequence": "1"}
    parsed = make.read(camt053.Camt053Reading, content, make.context(**name))
    arrival, batch, returned = rows(parsed, "bank_statement_lines")
    assert parsed.totals_status == "agree"
    assert (arrival["amount_minor"], arrival["counterparty_name"]) == (
        150000,
        "中国银联股份有限公司",
    )
    assert (batch["amount_minor"], batch["detail_count"]) == (-3000, 2)
    assert (batch["batch_message_id"], batch["remittance_text"]) == ("M1", "PAYOUT M1")
    assert (returned["is_return"], returned["end_to_end_id"]) == (True, "E1")
    details = rows(parsed, "bank_statement_line_details")
    assert [row["amount_minor"] for row in details] == [150000, -1000, -2000, 1000]
    assert details[3]["return_reason_code"] == "AC01"
    # Payees are people; channels are companies, recognised by name.
    assert "张三丰" not in everything_in(parsed)
    (statement,) = rows(parsed, "bank_statements")
    assert (statement["opening_balance_minor"], statement["closing_balance_minor"]) == (
        100000,
        248000,
    )


def test_camt053_counts_booked_entries_only() -> None:
    pending = make.Entry("99.00", (("99.00", "", "某人"),), state="PDNG")
    parsed = make.read(camt053.Camt053Reading, make.camt053([pending, ARRIVAL]))
    (line,) = rows(parsed, "bank_statement_lines")
    assert (line["amount_minor"], line["line_number"]) == (150000, 2)


def test_a_negative_arrival_keeps_the_channels_name() -> None:
    debit = make.Entry("-15.00", (("-15.00", "", "中国银联股份有限公司"),))
    (line,) = rows(make.read(camt053.Camt053Reading, make.camt053([debit])), "bank_statement_lines")
    assert (line["amount_minor"], line["counterparty_name"]) == (-1500, "中国银联股份有限公司")


def test_camt053_that_does_not_add_up() -> None:
    assert (
        make.read(camt053.Camt053Reading, make.camt053(closing="2500.01")).totals_status
        == "disagree"
    )
    wrong_details = make.Entry("30.00", (("10.00", "", "a"), ("19.99", "", "b")))
    parsed = make.read(camt053.Camt053Reading, make.camt053([wrong_details]))
    assert codes(parsed) == {(1, "TxDtls", "wrong_total")}


@pytest.mark.parametrize(
    ("name_parts", "day", "field"),
    [
        ({"bank_account_id": "1"}, DAY, "bank_account_id"),
        ({"sequence": "2"}, DAY, "sequence_number"),
        ({}, date(2026, 9, 25), "statement_date"),
    ],
)
def test_camt053_has_to_be_what_its_name_says(
    name_parts: dict[str, str], day: date, field: str
) -> None:
    parsed = make.read(camt053.Camt053Reading, make.camt053(), make.context(day, **name_parts))
    assert {found for _, found, _ in codes(parsed)} == {field}


BOMB = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
FILE_ENTITY = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [
        (make.camt053(prologue=BOMB), "unsafe_xml"),
        (make.camt053(prologue=FILE_ENTITY).replace(b"UPSETTLE", b"&a;"), "unsafe_xml"),
        (make.camt053()[:-60], "not_xml"),
        (b"", "not_xml"),
        (make.camt053(namespace="urn:example"), "unknown_version"),
        (make.camt053(namespace=make.CAMT_08.replace("053", "054")), "unknown_version"),
        (make.camt053().replace("中国".encode(), b"\xd6\xd0\xb9\xfa"), "not_xml"),
    ],
)
def test_camt053_bad_files(content: bytes, reason_code: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        make.read(camt053.Camt053Reading, content)
    assert caught.value.reason_code == reason_code
    assert "root:" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "reason_code"),
    [
        ("<Cd>BOOK</Cd>", "<Cd>DONE</Cd>", "unknown_code"),
        ('<Amt Ccy="CNY">1500.00<', '<Amt Ccy="CNY">1500.005<', "not_an_amount"),
        ('<Amt Ccy="CNY">1500.00<', '<Amt Ccy="XXX">1500.00<', "unknown_currency"),
        ('<Amt Ccy="CNY">1500.00<', '<Amt Ccy="CNY">-1500.00<', "wrong_sign"),
        ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<CdtDbtInd>UP</CdtDbtInd><Sts>", "wrong_sign"),
        ("<BookgDt><Dt>2026-09-24</Dt></BookgDt>", "", "missing_value"),
    ],
)
def test_camt053_bad_entries(old: str, new: str, reason_code: str) -> None:
    text = make.camt053().decode()
    assert old in text
    parsed = make.read(camt053.Camt053Reading, text.replace(old, new).encode())
    assert reason_code in {code for _, _, code in codes(parsed)}


# --- platform -------------------------------------------------------------------------------------


def vouchers(*changes: dict[str, str], **options: Any) -> bytes:
    """Return a file of one good voucher and one a change."""
    changed = [{**make.VOUCHER, "voucher_id": f"V{i}", **c} for i, c in enumerate(changes, start=2)]
    return make.platform_file("source_vouchers", [make.VOUCHER, *changed], **options)


IN_DOLLARS = {
    "currency_code": "USD",
    "settlement_currency_code": "CNY",
    "quoted_exchange_rate": "7.12340000",
}


def parse_vouchers(content: bytes, day: date | None = DAY) -> ParsedFile:
    """Parse source vouchers."""
    return make.platform_parsed(content, make.context(day), file_kind="source_vouchers")


def test_source_vouchers() -> None:
    refund = {
        "transaction_type": "refund",
        "amount_minor": "-2500",
        "original_voucher_id": "V1",
        "original_transaction_at": "2026-09-20T10:00:00.123+08:00",
        "original_amount_minor": "10000",
        "original_refunded_before_minor": "0",
        "merchant_order_id": 'M "1", 茶',
    }
    parsed = parse_vouchers(vouchers(refund))
    first, second = rows(parsed, "platform_source_vouchers")
    assert parsed.totals_status == "agree"
    assert (parsed.declared_row_count, parsed.declared_total_minor) == (2, 7500)
    assert (first["amount_minor"], second["amount_minor"]) == (10000, -2500)
    assert second["merchant_order_id"] == 'M "1", 茶'
    assert (first["line_number"], second["line_number"]) == (2, 3)
    assert first["original_voucher_id"] is None
    assert first["is_late_order"] is False
    assert "accounting_date" not in first  # landing adds it


@pytest.mark.parametrize(
    ("change", "field", "reason_code"),
    [
        ({"amount_minor": "-1"}, "amount_minor", "wrong_sign"),
        ({"amount_minor": "0"}, "amount_minor", "wrong_sign"),
        ({"amount_minor": "100.00"}, "amount_minor", "not_a_bigint"),
        ({"amount_minor": "99999999999999999999"}, "amount_minor", "not_a_bigint"),
        (
            {"transaction_type": "refund", "original_voucher_id": "V0"},
            "amount_minor",
            "wrong_sign",
        ),
        (
            {"transaction_type": "refund", "amount_minor": "-1"},
            "original_voucher_id",
            "missing_value",
        ),
        ({"transaction_type": "gift"}, "transaction_type", "unknown_code"),
        ({"transaction_status": "pending"}, "transaction_status", "unknown_code"),
        ({"channel": "paypal"}, "channel", "unknown_code"),
        ({"currency_code": "XXX"}, "currency_code", "unknown_code"),
        ({"merchant_id": ""}, "merchant_id", "missing_value"),
        (
            {"trace_number": "", "retrieval_reference_number": ""},
            "trace_number",
            "missing_value",
        ),
        (
            {"channel": "wechat", "channel_order_id": "", "merchant_order_id": ""},
            "channel_order_id",
            "missing_value",
        ),
        ({"trace_number": "12345"}, "trace_number", "wrong_form"),
        ({"card_token": make.CARD}, "card_token", "card_number"),
        ({"voucher_id": "V1"}, "voucher_id", "duplicate_key"),
        ({"accounting_date": "2026-09-25"}, "accounting_date", "wrong_date"),
        ({"accounting_date": "24.09.2026"}, "accounting_date", "not_a_date"),
        ({"transaction_at": "2026-09-24T23:00:00+08:00"}, "transaction_at", "outside_window"),
        ({"transaction_at": "2026-09-23T22:59:59+08:00"}, "transaction_at", "outside_window"),
        ({"transaction_at": "2026-09-24T15:00:00Z"}, "transaction_at", "outside_window"),
        ({"transaction_at": "2026-09-24 10:00:00"}, "transaction_at", "not_a_timestamptz"),
        ({"is_late_order": "no"}, "is_late_order", "not_a_boolean"),
        ({"terminal_id": " 1"}, "terminal_id", "not_a_text"),
        ({**IN_DOLLARS, "quoted_exchange_rate": ""}, "quoted_exchange_rate", "missing_value"),
        ({"quoted_exchange_rate": "7.12"}, "quoted_exchange_rate", "missing_value"),
        ({**IN_DOLLARS, "quoted_exchange_rate": "0"}, "quoted_exchange_rate", "wrong_sign"),
        ({**IN_DOLLARS, "quoted_exchange_rate": "-7.12"}, "quoted_exchange_rate", "wrong_sign"),
        ({**IN_DOLLARS, "quoted_exchange_rate": "7e0"}, "quoted_exchange_rate", "not_a_numeric"),
        (
            {**IN_DOLLARS, "settlement_currency_code": "USD"},
            "settlement_currency_code",
            "same_currency",
        ),
        (
            {**IN_DOLLARS, "settlement_currency_code": "ZZZ"},
            "settlement_currency_code",
            "unknown_code",
        ),
    ],
)
def test_bad_source_vouchers(change: dict[str, str], field: str, reason_code: str) -> None:
    parsed = parse_vouchers(vouchers(change, trailer="#rows=2;amount_minor_sum=0\n"))
    assert (3, field, reason_code) in codes(parsed)
    assert make.CARD not in everything_in(parsed)


def test_a_foreign_voucher_keeps_its_rate_as_written() -> None:
    parsed = parse_vouchers(vouchers(IN_DOLLARS))
    assert not parsed.bad_rows
    domestic, foreign = rows(parsed, "platform_source_vouchers")
    assert (domestic["settlement_currency_code"], domestic["quoted_exchange_rate"]) == (None, None)
    assert (foreign["currency_code"], foreign["settlement_currency_code"]) == ("USD", "CNY")
    assert str(foreign["quoted_exchange_rate"]) == "7.12340000"


def test_another_reference_stands_in_for_the_channel_s_own() -> None:
    without = [
        {"trace_number": "", "retrieval_reference_number": "260924000123"},
        {"channel": "wechat", "channel_order_id": "", "merchant_order_id": "M1"},
    ]
    parsed = parse_vouchers(vouchers(*without))
    assert not parsed.bad_rows
    assert [row["trace_number"] for row in rows(parsed, "platform_source_vouchers")][1] is None


def test_the_platforms_day_runs_from_23_to_23_and_late_orders_come_later() -> None:
    inside = ["2026-09-23T23:00:00+08:00", "2026-09-24T22:59:59+08:00", "2026-09-24T14:59:59Z"]
    parsed = parse_vouchers(vouchers(*({"transaction_at": text} for text in inside)))
    assert len(rows(parsed, "platform_source_vouchers")) == 4
    late = {"transaction_at": "2026-09-20T10:00:00+08:00", "is_late_order": "true"}
    assert parse_vouchers(vouchers(late)).is_good


def test_a_platform_with_other_cutoffs_has_other_days() -> None:
    """Each channel's vouchers by its own cutoff; the ordinary one where none is named."""
    cutoffs = Cutoffs(platform={"unionpay": 22 * 60, "wechat": 23 * 60})
    context = replace(make.context(DAY), cutoffs=cutoffs)

    def found(channel: str, at: str) -> set[tuple[int, str, str]]:
        content = vouchers({"channel": channel, "transaction_at": at})
        return codes(make.platform_parsed(content, context, file_kind="source_vouchers"))

    outside = (3, "transaction_at", "outside_window")
    assert outside in found("unionpay", "2026-09-24T22:00:00+08:00")
    assert outside not in found("unionpay", "2026-09-23T22:00:00+08:00")
    assert outside in found("unionpay", "2026-09-23T21:59:59+08:00")
    for channel in ("wechat", "alipay"):
        assert outside not in found(channel, "2026-09-24T22:59:59+08:00")
        assert outside in found(channel, "2026-09-24T23:00:00+08:00")


def test_a_unionpay_with_another_cutoff_has_other_days() -> None:
    """Yesterday's file under today's name, where the day ends at half past midnight."""
    times = [f"0924{hour:02}0000" for hour in range(1, 9)]
    content = b"".join(
        make.acomn(trace_number=f"{number:06}", transmission_time=text)
        for number, text in enumerate(times, start=1)
    )
    for minutes, is_good in ((23 * 60, True), (30, False)):
        context = replace(make.context(DAY), cutoffs=Cutoffs(channel={"unionpay": minutes}))
        parsed = make.read(acomn.AcomnReading, content, context)
        assert ("wrong_date" not in {row.reason_code for row in parsed.bad_rows}) is is_good


@pytest.mark.parametrize(
    "trailer", ["#rows=3;amount_minor_sum=10000\n", "#rows=1;amount_minor_sum=10001\n",
                "#rows=1;amount_minor_sum=\n", "#rows=1;amount_minor_sum=-\n"],
)  # fmt: skip
def test_a_trailer_that_disagrees(trailer: str) -> None:
    assert parse_vouchers(vouchers(trailer=trailer)).totals_status == "disagree"


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [
        (vouchers(trailer=""), "missing_trailer"),
        (vouchers()[:-30], "missing_trailer"),
        (b"", "missing_trailer"),
        (b"#rows=0;amount_minor_sum=0\n", "missing_header"),
        (vouchers(header=[*make.VOUCHER]), "wrong_columns"),
        (vouchers().replace(b"voucher_id", b"voucher_no", 1), "wrong_columns"),
        (vouchers().replace(b"V1,", b"V\xff,"), "wrong_encoding"),
        (vouchers().replace(b"V1,", b"V\0,"), "wrong_encoding"),
    ],
)
def test_bad_platform_files(content: bytes, reason_code: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        parse_vouchers(content)
    assert caught.value.reason_code == reason_code


@pytest.mark.parametrize(
    ("old", "new", "reason_code"),
    [
        (b"V1,", b"V1,,", "wrong_column_count"),
        (b"V1,", b"", "wrong_column_count"),
        (b"V1,", b'"V1,', "broken_quotes"),
        (b"V1,", b'V"1",', "broken_quotes"),
    ],
)
def test_malformed_lines(old: bytes, new: bytes, reason_code: str) -> None:
    parsed = parse_vouchers(vouchers().replace(old, new))
    assert codes(parsed) == {(2, "", reason_code)}


BOOKED = {
    "accounting_voucher_id": "B1",
    "accounting_date": "2026-09-24",
    "source_voucher_id": "V1",
    "account_id": "A000001",
    "currency_code": "CNY",
    "amount_minor": "10000",
    "booked_at": "2026-09-24T10:15:31+08:00",
}


def parse_booked(*fees: str, header: list[str] | None = None) -> ParsedFile:
    """Parse accounting vouchers that state these fees."""
    given = [
        {**BOOKED, "accounting_voucher_id": f"B{number}", "fee_minor": fee}
        for number, fee in enumerate(fees, start=1)
    ]
    content = make.platform_file("accounting_vouchers", given, header=header)
    return make.platform_parsed(content, make.context(), file_kind="accounting_vouchers")


@pytest.mark.parametrize("header", [None, ["fee_minor", *BOOKED]])
def test_the_platform_may_state_the_fee_it_booked(header: list[str] | None) -> None:
    parsed = parse_booked("55", "-7", "0", "", header=header)
    stated = [row["fee_minor"] for row in rows(parsed, "platform_accounting_vouchers")]
    assert stated == [55, -7, 0, None]
    assert codes(parse_booked("0.55", header=header)) == {(2, "fee_minor", "not_a_bigint")}


def test_a_file_may_leave_the_fee_out_and_nothing_else() -> None:
    for fees in ((), ("", "")):
        parsed = parse_booked(*fees, header=[*BOOKED])
        landed = rows(parsed, "platform_accounting_vouchers")
        assert [row["fee_minor"] for row in landed] == [None] * len(fees)
        assert codes(parsed) == set()
    for name in BOOKED:
        with pytest.raises(UnreadableFileError, match=f"lacks column: {name}"):
            parse_booked("55", header=[other for other in BOOKED if other != name])


FREEZE = {
    "freeze_id": "Z000001",
    "account_id": "A000003",
    "currency_code": "CNY",
    "amount_minor": "30000",
    "reason_code": "court_order",
    "effective_from": "2026-09-24",
    "effective_to": "",
}
ORDER = {"freeze_kind": "judicial", "order_number": "(2026) 1", "issued_by": "a court"}


def parse_freeze(header: list[str] | None = None, **values: str) -> ParsedFile:
    """Parse a file of one freeze."""
    content = make.platform_file("freezes", [{**FREEZE, **values}], header=header)
    return make.platform_parsed(content, make.context(), file_kind="freezes")


def test_a_freeze_may_state_its_order_and_what_was_released() -> None:
    (bare,) = rows(parse_freeze([*FREEZE]), "platform_freezes")
    assert (bare["freeze_kind"], bare["released_amount_minor"]) == (None, None)
    parsed = parse_freeze(**ORDER, released_amount_minor="30000")
    assert codes(parsed) == set()
    (row,) = rows(parsed, "platform_freezes")
    assert (row["order_number"], row["released_amount_minor"]) == ("(2026) 1", 30_000)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"freeze_kind": "urgent"}, ("freeze_kind", "unknown_code")),
        ({**ORDER, "order_number": ""}, ("order_number", "missing_value")),
        ({**ORDER, "issued_by": ""}, ("issued_by", "missing_value")),
        ({"settlement_session_type": "night"}, ("settlement_session_type", "unknown_code")),
        ({"released_amount_minor": "-1"}, ("released_amount_minor", "wrong_sign")),
        ({"released_amount_minor": "30001"}, ("released_amount_minor", "above_amount")),
        ({"freeze_id": "P:1"}, ("freeze_id", "wrong_form")),
    ],
)
def test_a_freeze_that_says_what_nobody_knows_is_kept_out(
    values: dict[str, str], found: tuple[str, str]
) -> None:
    assert codes(parse_freeze(**values)) == {(2, *found)}


def test_payees_are_stored_protected_only() -> None:
    content = make.platform_file("payees", [make.PAYEE])
    parsed = make.platform_parsed(content, make.context(), file_kind="payees")
    (row,) = rows(parsed, "platform_payees")
    assert row["account_number_mask"] == "*" * 15 + "0017"
    assert row["account_name_mask"] == "张**"
    assert row["account_number_ciphertext"].startswith("cipher-")
    assert row["account_number_token"].startswith("acct-")
    assert row["account_name_token"].startswith("acct-")
    assert {"account_number", "account_name"}.isdisjoint(row)
    for change in (
        {"bank_code": "102100000014"},
        {"payee_version": "x"},
        {"account_number": "1-2"},
    ):
        content = make.platform_file("payees", [{**make.PAYEE, **change}])
        bad = make.platform_parsed(content, make.context(), file_kind="payees")
        assert bad.bad_rows
        text = everything_in(bad)
        assert make.ACCOUNT_NUMBER not in text
        assert make.ACCOUNT_NAME not in text
    broken = make.platform_file("payees", [make.PAYEE]).replace(b",active", b",,active")
    text = everything_in(make.platform_parsed(broken, make.context(), file_kind="payees"))
    assert make.ACCOUNT_NAME not in text


def test_opening_balances_balance_and_the_window_is_one_row() -> None:
    balances = [
        {"ledger_account": "a", "subledger_id": "x", "currency_code": "CNY", "balance_minor": "5"},
        {"ledger_account": "b", "subledger_id": "x", "currency_code": "CNY", "balance_minor": "-4"},
    ]
    content = make.platform_file("opening_balances", balances)
    parsed = make.platform_parsed(content, make.context(), file_kind="opening_balances")
    assert codes(parsed) == {(0, "", "not_balanced")}
    window = {"first_accounting_date": "2026-09-24", "last_accounting_date": ""}
    for given_rows, good in (([window], True), ([], False)):
        content = make.platform_file("operating_window", given_rows)
        parsed = make.platform_parsed(content, make.context(), file_kind="operating_window")
        assert parsed.is_good is good


def test_every_platform_kind_can_be_empty_or_says_why_not() -> None:
    kinds = csv_files.file_kinds()
    assert len(kinds) == 9
    for kind in kinds:
        parsed = make.platform_parsed(make.platform_file(kind, []), make.context(), file_kind=kind)
        assert parsed.is_good is (kind != "operating_window"), kind


def test_what_proves_nothing_counts_against_a_row() -> None:
    findings = Findings()
    findings.of_block(range(10, 13)).flag(pl.Series([True, None, False]), "field", "code", "reason")
    assert [row.line_number for row in findings.bad_rows] == [10, 11]


def test_a_file_of_garbage_does_not_fill_the_quarantine() -> None:
    findings = Findings()
    findings.of_block(range(1, 5001)).flag(pl.Series([True] * 5000), "field", "code", "reason")
    assert len(findings.bad_rows) == 1001
    assert findings.bad_rows[-1].reason == "4000 more rows for the same reason"


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("source_vouchers_20260924.csv", "platform/source_vouchers/2026-09-24"),
        ("IND26092401ACOMN", "unionpay/acomn/2026-09-24"),
        ("IND26092401ACOM", "unionpay/acomn/2026-09-24"),
        ("IND26092499AERRN", "unionpay/aerrn/2026-09-24"),
        ("IND26092499ALFEE", "unionpay/alfee/2026-09-24"),
        (
            "1900000109All2026-09-24.csv",
            "wechat/trade_bill/2026-09-24/channel_merchant_id=1900000109",
        ),
        (
            "20880000000000000156_20260924.zip",
            "alipay/trade_bill/2026-09-24/account_id=2088000000000000",
        ),
        (
            "camt053_6600100200300400_20260924_2.xml",
            "bank/camt053/2026-09-24/bank_account_id=6600100200300400/sequence=2",
        ),
        (
            "mt940_6600100200300418_20260924_17.sta",
            "bank/mt940/2026-09-24/bank_account_id=6600100200300418/sequence=17",
        ),
    ],
)
def test_names(name: str, slot: str) -> None:
    recognised = recognise(name)
    assert recognised is not None
    assert recognised.slot == slot


@pytest.mark.parametrize(
    "name",
    ["IND26093101ACOMN", "IND26092401ACOMN.bak", "readme.txt", "vouchers_20260924.csv",
     "pain002_M1.xml", "source_vouchers_２０２６0924.csv", "xIND26092401ACOMN"],
)  # fmt: skip
def test_names_we_do_not_know(name: str) -> None:
    assert recognise(name) is None


# --- whatever comes -------------------------------------------------------------------------------

Parser = Callable[[bytes], ParsedFile]
MT940 = f"""\
:20:S1
:25:{make.BANK_ACCOUNT}
:28C:1/1
:60F:C260924CNY100,00
:61:2609240924D12,50NTRFNONREF//B1
:86:820?20EREF+E1?21SVWZ+PAYOUT M1?32{make.PAYER}
:62F:C260924CNY87,50
-
""".encode()
GOOD_FILES = {
    "IND26092401ACOMN": make.acomn() * 3,
    "IND26092499AERRN": make.aerrn() * 3,
    "IND26092499ALFEE": make.alfee() * 3,
    "1900000109All2026-09-24.csv": make.wechat_bill(),
    f"{make.PID}0156_20260924.zip": make.alipay_zip(),
    f"camt053_{make.BANK_ACCOUNT}_20260924_1.xml": make.camt053([ARRIVAL, BATCH, RETURN]),
    f"mt940_{make.BANK_ACCOUNT}_20260924_1.sta": MT940,
    "source_vouchers_20260924.csv": vouchers({}),
    "payees_20260924.csv": make.platform_file("payees", [make.PAYEE]),
}


def raw_parse(name: str, content: bytes) -> ParsedFile | UnreadableFileError:
    """Parse without the registry's net below: only a parser's own error is caught."""
    recognised = recognise(name)
    assert isinstance(recognised, RecognisedFile)
    context = make.context(recognised.accounting_date, **recognised.name_parts)
    try:
        return make.read(recognised.parser, content, context)
    except UnreadableFileError as error:
        return error


def test_the_good_files_are_good() -> None:
    for name, content in GOOD_FILES.items():
        recognised = recognise(name)
        assert recognised is not None
        parsed = parse_file(content, recognised, make.FakeVault())
        assert parsed.is_good, (name, parsed.bad_rows)
        assert parsed.row_count > 0


fuzzed = hypothesis_settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@fuzzed
@given(name=st.sampled_from(sorted(GOOD_FILES)), content=st.binary(max_size=600))
def test_a_parser_never_fails_on_any_bytes(name: str, content: bytes) -> None:
    assert isinstance(raw_parse(name, content), ParsedFile | UnreadableFileError)


@fuzzed
@given(data=st.data(), name=st.sampled_from(sorted(GOOD_FILES)))
def test_a_damaged_file_fails_safely_and_shows_no_number(data: st.DataObject, name: str) -> None:
    content = bytearray(GOOD_FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        action = data.draw(st.sampled_from(["change", "cut", "insert", "end"]))
        if action == "change":
            content[position] = data.draw(st.integers(0, 255))
        elif action == "cut":
            del content[position : position + data.draw(st.integers(1, 30))]
        elif action == "insert":
            content[position:position] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            del content[position:]
        if not content:
            break
    result = raw_parse(name, bytes(content))
    text = everything_in(result) if isinstance(result, ParsedFile) else str(result)
    for secret in (make.CARD, make.PAYER, make.ACCOUNT_NUMBER):
        assert secret not in text


@given(digits=st.from_regex(r"\A[0-9]{13,19}\Z"), around=st.text(max_size=20))
def test_an_excerpt_hides_the_middle_of_a_card_number(digits: str, around: str) -> None:
    grouped = " ".join(digits[i : i + 4] for i in range(0, len(digits), 4))
    for text in (f"{around},{digits},{around}", f"{around},{grouped},{around}"):
        shown = masked_excerpt(text)
        assert digits not in shown.replace(" ", "")
        assert grouped not in shown
