"""UnionPay's merchant files, their ZIP and report, merchant totals, and files packed as .Z."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
import unionpay_files as union
from landing_world import count, own_database, place, put, query
from parts import examples
from samples_folder import SAMPLES, needs_samples
from tieout import landing
from tieout.channels.common import packed_files
from tieout.channels.common.card_numbers import find_card_numbers
from tieout.channels.common.model import FileContext, ParsedFile, UnreadableFileError
from tieout.channels.registry import expected_name, parse_file, recognise
from tieout.channels.unionpay import institution_layouts, layouts
from tieout.channels.unionpay.fixed_width import Layout
from tieout.channels.unionpay.layouts import ZM, ZME, ZPSUM, ZSUM
from tieout.channels.unread import merchant_files, summaries
from tieout.channels.unread.merchant_report import read_report
from tieout.core.settings import PROJECT_DIR, Settings

__all__ = ["own_database", "place"]

DAY = make.DAY
ZIP_NAME = f"{union.MERCHANT}_{DAY:%Y%m%d}.zip"
ZM_NAME = f"INN{DAY:%y%m%d}88ZM_{union.MERCHANT}"
ZME_NAME = f"INN{DAY:%y%m%d}88ZME_{union.MERCHANT}"
ZSUM_NAME, ZPSUM_NAME = f"INO{DAY:%y%m%d}32ZSUM", f"INO{DAY:%y%m%d}99ZPSUM"
ACOMN_NAME = f"IND{DAY:%y%m%d}01ACOMN"


def parse(name: str, content: bytes) -> ParsedFile:
    """Parse a file as landing does, by its name."""
    recognised = recognise(name)
    assert recognised is not None, name
    return parse_file(content, recognised, make.FakeVault())


def rows(parsed: ParsedFile, table: str) -> list[dict[str, Any]]:
    """Return a good file's rows."""
    assert parsed.is_good, (parsed.bad_rows, parsed.totals)
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


# --- names and layouts ----------------------------------------------------------------------------


def test_layouts_have_the_lengths_of_the_document() -> None:
    assert [layout.length_bytes for layout in (ZM, ZME, ZSUM, ZPSUM)] == [607, 339, 339, 686]
    # First bytes by docs/formats, fields far apart.
    first_bytes: list[tuple[Mapping[str, int], dict[str, int]]] = [
        (
            ZM.offsets,
            {
                "query_id": 87,
                "merchant_fee": 166,
                "transaction_kind": 215,
                "merchant_id": 293,
                "net_amount": 374,
                "instalment_fee": 458,
                "reserved": 509,
            },
        ),
        (ZME.offsets, {"original_amount": 113, "settlement_amount": 140, "reserved": 204}),
        (ZSUM.offsets, {"amount": 97, "fee": 111, "net_amount": 125, "reserved": 139}),
        (
            ZPSUM.offsets,
            {
                "account_number": 189,
                "account_name": 222,
                "amount": 319,
                "settlement_total": 398,
                "credited_amount": 470,
                "reserved": 488,
            },
        ),
    ]
    for offsets, expected in first_bytes:
        assert {name: offsets[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "file_kind"),
    [
        (ZIP_NAME, "merchant_zm"),
        (ZM_NAME, "merchant_zm"),
        (f"{ZM_NAME}.txt", "merchant_zm"),
        (ZM_NAME.replace("88ZM", "01ZM"), "merchant_zm"),
        (ZME_NAME, "merchant_zme"),
        (ZSUM_NAME, "zsum"),
        (ZPSUM_NAME, "zpsum"),
        (f"{ZPSUM_NAME}.Z", "zpsum"),
        (f"{ACOMN_NAME}.Z", "acomn"),
        (f"IND{DAY:%y%m%d}99AERRN.Z", "aerrn"),
        (f"IND{DAY:%y%m%d}99ALFEE.Z", "alfee"),
    ],
)
def test_a_name_says_kind_and_day(name: str, file_kind: str) -> None:
    found = recognise(name)
    assert found is not None
    assert (found.channel, found.file_kind, found.accounting_date) == ("unionpay", file_kind, DAY)
    assert expected_name("unionpay", file_kind, DAY)


@pytest.mark.parametrize(
    "name",
    [
        f"RD2010{DAY:%y%m%d}01_{union.MERCHANT}",
        f"RNM2000{DAY:%y%m%d}_{union.MERCHANT}.txt",
        f"{union.MERCHANT}_{DAY:%Y%m%d}.zip.Z",
        f"{ACOMN_NAME}.z",
        f"INN26099988ZM_{union.MERCHANT}",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert recognise(name) is None


def test_a_zip_and_its_bare_zm_are_one_place_and_so_are_packed_and_unpacked() -> None:
    def slots(*names: str) -> set[str]:
        return {found.slot for name in names if (found := recognise(name)) is not None}

    assert len(slots(ZIP_NAME, ZM_NAME, ZM_NAME.replace("88ZM", "00ZM"))) == 1
    assert len(slots(ACOMN_NAME, f"{ACOMN_NAME}.Z")) == 1
    assert len(slots(ZM_NAME, ZME_NAME)) == 2
    assert len(slots(ZM_NAME, ZM_NAME.replace(union.MERCHANT, "802310000000018"))) == 2


# --- the real sample ------------------------------------------------------------------------------


@needs_samples
def test_the_real_zip_sums_up_to_its_report() -> None:
    name = "802310048993424_20150905.zip"
    parsed = parse(name, (SAMPLES / "unionpay_merchant_zm" / name).read_bytes())
    found = rows(parsed, "unionpay_zm")
    assert len(found) == 8
    assert {(total.name, total.declared, total.counted) for total in parsed.totals} == {
        (f"{breakdown} {figure}", value, value)
        for breakdown in ("交易类型", "卡性质")
        for figure, value in (
            ("交易笔数", 8),
            ("交易金额", 1322700),
            ("费用", 7936),
            ("资金清算差额", 1314764),
        )
    }
    assert [row["merchant_fee_minor"] for row in found[:3]] == [2861, 503, 59]
    assert {row["transaction_type"] for row in found} == {"purchase"}
    # Settled on the 5th, transmitted on the 6th: UnionPay's own demo.
    assert {row["transmitted_at"].date() for row in found} == {date(2015, 9, 6)}
    assert {(row["card_token"], row["card_mask"]) for row in found} == {(None, "622609******0048")}


@needs_samples
def test_the_real_zm_by_itself_has_nothing_that_proves_it() -> None:
    name = "INN15090588ZM_802310048993424"
    content = (SAMPLES / "unionpay_merchant_zm" / name).read_bytes()
    parsed = parse(name, content)
    assert len(rows(parsed, "unionpay_zm")) == 8
    assert parsed.totals_status == "none_in_format"
    assert codes(parse(name.replace("993424", "993425"), content)) == {
        (line, "merchant_id", "wrong_merchant") for line in range(1, 9)
    }


# --- ZM -------------------------------------------------------------------------------------------


def test_amounts_are_the_merchants() -> None:
    sale, refund = rows(parse(ZM_NAME, union.zm() + union.zm(**union.ZM_REFUND)), "unionpay_zm")
    names = ("amount_minor", "merchant_fee_minor", "settlement_amount_minor", "net_amount_minor")
    assert [sale[name] for name in names] == [10000, 60, 9940, 9940]
    assert [refund[name] for name in names] == [-3000, -18, -2982, -2982]
    assert (sale["transaction_type"], refund["transaction_type"]) == ("purchase", "refund")
    assert refund["original_query_id"] == union.ZM_REFUND["original_query_id"]
    assert (sale["original_trace_number"], sale["sub_merchant_id"]) == (None, None)
    assert [sale["line_number"], refund["line_number"]] == [1, 2]
    assert (sale["query_id"], sale["merchant_order_id"]) == ("202609241122031906248", "M-1")


def test_people_and_card_numbers_are_not_kept() -> None:
    content = union.zm(card_number=make.CARD) + union.zm(**union.ZM_SECOND, card_number="")
    parsed = parse(ZM_NAME, content)
    unmasked, blank = rows(parsed, "unionpay_zm")
    assert unmasked["card_mask"] == "621626*********0018"
    assert unmasked["card_token"].startswith("card-")
    assert (blank["card_token"], blank["card_mask"]) == (None, None)
    bad = parse(ZM_NAME, union.zm(card_number=make.CARD, transaction_kind="99"))
    cut = parse(ZM_NAME, union.zm(card_number=make.CARD)[:400] + b"\r\n")
    # What an excerpt shows is the beginning of a line.
    named = parse(ZM_NAME, union.zm(bill_number="QWXYZ", transaction_kind="99"))
    middle = parse(ZM_NAME, union.zm()[250:])
    assert all(part.bad_rows for part in (bad, cut, named, middle))
    for text in map(everything_in, (parsed, bad, cut, named, middle)):
        assert make.CARD not in text
        assert union.PHONE not in text
        assert "张三" not in text
        assert "QW" not in text


def test_a_card_number_in_an_order_is_masked_and_a_merchant_s_code_is_not() -> None:
    # By Luhn and range it could be a card's: codes of merchants are built otherwise.
    group = "378282246310005"
    assert list(find_card_numbers(group))
    content = union.zm(merchant_order_id=make.CARD, group_merchant_id=group)
    parsed = parse(ZM_NAME, content)
    (row,) = rows(parsed, "unionpay_zm")
    assert row["merchant_order_id"].startswith("621626*********0018~")
    assert row["group_merchant_id"] == group
    assert [masked.field for masked in parsed.masked] == ["merchant_order_id"]


def test_only_merchant_files_may_have_masked_card_numbers() -> None:
    masked = {"card_number": "621626******0018"}
    assert codes(parse(ACOMN_NAME, make.acomn(**masked))) == {
        (1, "card_number", "not_a_card_number")
    }
    assert parse(ZM_NAME, union.zm(**masked)).is_good


def test_half_a_character_at_the_end_of_a_field_is_not_paired_with_the_next_record() -> None:
    first, second = union.zm(), union.zm(**union.ZM_SECOND)
    start = ZM.offsets["sub_merchant_name"]
    half = b"A" * 31 + "茶".encode("gb18030")[:1]
    first = first[:start] + half + first[start + 32 :]
    # The second record's first byte would be the other half.
    second = second[:start] + "茶".encode("gb18030")[1:] + b"A" * 31 + second[start + 32 :]
    assert codes(parse(ZM_NAME, first + second)) == {(1, "sub_merchant_name", "wrong_encoding")}
    assert parse(ZM_NAME, union.zm() + union.zm(**union.ZM_SECOND)).is_good


def test_a_group_s_file_has_records_of_its_merchants() -> None:
    content = union.zm(merchant_id="802310000000099", group_merchant_id=union.MERCHANT)
    assert rows(parse(ZM_NAME, content), "unionpay_zm")


def test_an_empty_file_is_a_day_without_transactions() -> None:
    for name in (ZM_NAME, ZME_NAME, ZSUM_NAME, ZPSUM_NAME):
        assert (parse(name, b"").row_count, parse(name, b"").is_good) == (0, True)


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"transaction_kind": "99"}, "transaction_kind", "unknown_code"),
        ({"transaction_kind": ""}, "transaction_kind", "unknown_code"),
        ({"trace_number": ""}, "trace_number", "missing_key"),
        ({"merchant_id": "802310000000099"}, "merchant_id", "wrong_merchant"),
        ({"merchant_id": ""}, "merchant_id", "missing_key"),
        ({"amount": "000000000000"}, "amount", "no_amount"),
        ({"amount": "-00000010000"}, "amount", "not_a_number"),
        ({"merchant_fee": "X000000000060"}, "merchant_fee", "unknown_sign"),
        ({"merchant_fee": " 000000000060"}, "merchant_fee", "missing_sign"),
        ({"settlement_amount": "D000000009940"}, "settlement_amount", "wrong_sign"),
        ({"settlement_amount": "C000000009941"}, "settlement_amount", "wrong_settlement"),
        ({"transmission_time": "0931112203"}, "transmission_time", "not_a_time"),
        ({"transmission_time": "0926112203"}, "transmission_time", "implausible_date"),
        ({"transmission_time": "0801112203"}, "transmission_time", "implausible_date"),
        ({"card_number": "62162600000000x"}, "card_number", "not_a_card_number"),
    ],
)
def test_zm_bad_rows(changes: Mapping[str, str], field: str, reason_code: str) -> None:
    content = union.zm() + union.zm(**{**union.ZM_SECOND, **sale_of_100(), **changes})
    assert (2, field, reason_code) in codes(parse(ZM_NAME, content))


def sale_of_100() -> dict[str, str]:
    """Return the amounts of the first record, for the second one."""
    names = ("amount", "merchant_fee", "settlement_amount", "net_amount")
    return {name: union.ZM_VALUES[name] for name in names}


def test_the_same_transaction_twice_is_a_finding() -> None:
    assert codes(parse(ZM_NAME, union.zm() + union.zm())) == {(2, "query_id", "duplicate_key")}
    blank = union.zm(query_id="") + union.zm(query_id="")
    assert len(rows(parse(ZM_NAME, blank), "unionpay_zm")) == 2


def test_what_a_discount_a_split_or_instalments_do_is_not_computed() -> None:
    for changes in (
        {"discount_amount": "C000000000100"},
        {"split_amount": "C000000000100"},
        {"instalment_fee": "D00000000100"},
    ):
        content = union.zm(settlement_amount="C000000009840", **changes)
        assert rows(parse(ZM_NAME, content), "unionpay_zm")


def test_yesterday_s_file_under_today_s_name() -> None:
    yesterday = f"{DAY - timedelta(days=1):%m%d}101010"
    assert (0, "transmission_time", "wrong_date") in codes(
        parse(ZM_NAME, union.zm(transmission_time=yesterday))
    )


def test_the_day_behind_31_december_is_of_the_next_year() -> None:
    name = ZM_NAME.replace(f"{DAY:%y%m%d}", "261231")
    content = union.zm(transmission_time="1231112203") + union.zm(
        **{**union.ZM_SECOND, "transmission_time": "0101001500"}
    )
    found = rows(parse(name, content), "unionpay_zm")
    assert [row["transmitted_at"].date() for row in found] == [
        date(2026, 12, 31),
        date(2027, 1, 1),
    ]


# --- ZME ------------------------------------------------------------------------------------------


def test_zme() -> None:
    (row,) = rows(parse(ZME_NAME, union.zme()), "unionpay_zme")
    assert (row["adjustment_code"], row["adjustment_type"]) == ("E23", "first_chargeback")
    assert (row["amount_minor"], row["original_amount_minor"]) == (10000, 10000)
    assert (row["merchant_fee_minor"], row["settlement_amount_minor"]) == (-60, -9940)
    assert row["original_settlement_date"] == date(2026, 9, 20)


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"adjustment_code": "E99"}, "adjustment_code", "unknown_code"),
        ({"merchant_id": "802310000000099"}, "merchant_id", "wrong_merchant"),
        ({"original_settlement_date": "0231"}, "original_settlement_date", "not_a_date"),
        ({"settlement_amount": " 000000009940"}, "settlement_amount", "missing_sign"),
        ({"acquiring_institution_id": ""}, "acquiring_institution_id", "missing_key"),
    ],
)
def test_zme_bad_rows(changes: Mapping[str, str], field: str, reason_code: str) -> None:
    assert (1, field, reason_code) in codes(parse(ZME_NAME, union.zme(**changes)))


# --- the ZIP --------------------------------------------------------------------------------------


def test_a_zip_is_proved_by_its_report() -> None:
    parsed = parse(ZIP_NAME, union.merchant_zip(errors=union.zme()))
    assert len(rows(parsed, "unionpay_zm")) == 2
    assert len(rows(parsed, "unionpay_zme")) == 1
    assert (parsed.totals_status, len(parsed.totals), parsed.row_count) == ("agree", 8, 3)
    assert (parsed.declared_row_count, parsed.declared_total_minor) == (2, 29820)


def test_a_zip_of_a_day_without_transactions() -> None:
    parsed = parse(ZIP_NAME, union.merchant_zip(b"", rd=union.report({})))
    assert (parsed.row_count, parsed.totals_status, parsed.is_good) == (0, "agree", True)


def test_a_refund_lowers_what_the_report_says() -> None:
    content = union.zm() + union.zm(**union.ZM_REFUND)
    netted = union.report({"自助消费": (1, 10000, 60, 9940), "退货": (1, -3000, -18, -2982)})
    assert parse(ZIP_NAME, union.merchant_zip(content, rd=netted)).totals_status == "agree"
    figures = read_report(BytesIO(netted)).totals[0]
    assert (figures.record_count, figures.amount_minor) == (2, 7000)
    assert (figures.fee_minor, figures.net_minor) == (42, 6958)


@pytest.mark.parametrize(
    ("total", "names"),
    [
        ((3, 30000, 180, 29820), ["交易类型 交易笔数", "卡性质 交易笔数"]),
        ((2, 30001, 180, 29820), ["交易类型 交易金额", "卡性质 交易金额"]),
        ((2, 30000, 181, 29820), ["交易类型 费用", "卡性质 费用"]),
        ((2, 30000, 180, 29819), ["交易类型 资金清算差额", "卡性质 资金清算差额"]),
    ],
)
def test_each_total_of_the_report_counts(total: union.Figures, names: list[str]) -> None:
    report = union.report({"自助消费": total})
    parsed = parse(ZIP_NAME, union.merchant_zip(rd=report))
    assert (differing(parsed), parsed.bad_rows, parsed.is_good) == (names, (), False)


def test_a_report_whose_rows_are_not_its_total() -> None:
    report = union.report(total=(2, 30000, 180, 29820), cards={"借记卡": (1, 10000, 60, 9940)})
    parsed = parse(ZIP_NAME, union.merchant_zip(rd=report))
    assert [row.reason for row in parsed.bad_rows] == [
        "in the report RD the rows by 卡性质 are not its total"
    ]
    # Only the first of both tables: the second one's total does not stand for it.
    unreadable = union.report().replace("总计  ".encode("gb18030"), b"x", 1)
    parsed = parse(ZIP_NAME, union.merchant_zip(rd=unreadable))
    assert {row.reason_code for row in parsed.bad_rows} == {"missing_totals"}
    fraction = union.report().replace(b" 300.00", b"300.001")
    parsed = parse(ZIP_NAME, union.merchant_zip(rd=fraction))
    assert {row.reason_code for row in parsed.bad_rows} == {"wrong_report"}


def refused(**changes: Any) -> set[str]:
    """Return the reason codes for which a ZIP is refused."""
    parsed = parse(ZIP_NAME, union.merchant_zip(**changes))
    assert not parsed.is_good
    assert not parsed.frames
    return {row.reason_code for row in parsed.bad_rows}


def test_bad_zips() -> None:
    other_day = DAY + timedelta(days=1)
    assert refused(rd=b"-") == {"missing_member"}
    assert refused(transactions=b"-") == {"missing_member"}
    second = {f"INN{DAY:%y%m%d}01ZM_{union.MERCHANT}": union.zm()}
    assert refused(**second) == {"missing_member"}
    assert refused(rd=union.report(day=other_day)) == {"wrong_date"}
    assert refused(rd=union.report(merchant="802310000000099")) == {"wrong_merchant"}
    assert refused(rd=union.report()[:400]) == {"missing_totals"}
    assert refused(rd=b"nothing") == {"wrong_report"}
    assert refused(rd=union.report().replace(b"20260924", b"20260931")) == {"wrong_report"}
    assert refused(rd=b"\xff\xff") == {"wrong_encoding"}
    assert "wrong_date" in refused(day=other_day)
    misnamed = {
        f"INN{other_day:%y%m%d}88ZM_{union.MERCHANT}": union.zm() + union.zm(**union.ZM_SECOND)
    }
    assert refused(transactions=b"-", **misnamed) == {"wrong_date"}
    assert refused(merchant="802310000000099") == {"wrong_merchant"}
    (bad,) = parse(ZIP_NAME, union.merchant_zip(union.zm(transaction_kind="99"))).bad_rows
    assert (bad.line_number, bad.reason.startswith("member ZM: ")) == (1, True)
    errors = union.merchant_zip(errors=union.zme() + union.zme(adjustment_code="E99"))
    (bad,) = parse(ZIP_NAME, errors).bad_rows
    assert (bad.line_number, bad.reason.startswith("member ZME: ")) == (2, True)


def test_a_zip_that_is_none_or_unsafe() -> None:
    cases = {
        b"": "bad_zip",
        union.zm(): "bad_zip",
        union.merchant_zip()[:-40]: "bad_zip",
        union.merchant_zip(**{"../x": b"x"}): "unsafe_zip",
        union.merchant_zip(x=b"0" * 9_000_000): "unsafe_zip",
    }
    for content, reason_code in cases.items():
        assert codes(parse(ZIP_NAME, content)) == {(0, "", reason_code)}


# --- ZSUM, ZPSUM ----------------------------------------------------------------------------------


def test_zsum() -> None:
    other = union.zsum(merchant_id="802310000000025", fee="C000000000001")
    first, second = rows(parse(ZSUM_NAME, union.zsum() + other), "unionpay_zsum")
    names = ("amount_minor", "fee_minor", "net_amount_minor")
    assert [first[name] for name in names] == [10000, -60, 9940]
    assert second["fee_minor"] == 1
    assert parse(ZSUM_NAME, union.zsum() + other).totals_status == "none_in_format"


def test_zpsum_keeps_neither_account_nor_names() -> None:
    parsed = parse(ZPSUM_NAME, union.zpsum())
    (row,) = rows(parsed, "unionpay_zpsum")
    assert (row["transaction_count"], row["adjustment_count"]) == (12, 1)
    assert (row["fee_minor"], row["adjustment_amount_minor"]) == (-60, -100)
    assert (row["settlement_total_minor"], row["credited_amount_minor"]) == (9841, 9841)
    assert (row["bank_name"], row["bank_code"]) == ("中国银行北京分行", "104100000004")
    assert row["second_bank_code"] is None
    assert row["account_number_token"].startswith("acct-")
    assert row["account_number_mask"] == "***************0017"
    bad = parse(ZPSUM_NAME, union.zpsum(amount="X000000010000"))
    cut = parse(ZPSUM_NAME, union.zpsum()[:300])
    assert bad.bad_rows
    assert cut.bad_rows
    for text in map(everything_in, (parsed, bad, cut)):
        assert make.ACCOUNT_NUMBER not in text
        assert make.ACCOUNT_NUMBER[:10] not in text
        assert make.ACCOUNT_NAME not in text


@pytest.mark.parametrize(
    ("content", "field", "reason_code"),
    [
        (union.zsum() * 2, "merchant_id", "duplicate_key"),
        (union.zsum() + union.zsum(merchant_id=""), "merchant_id", "missing_key"),
        (union.zsum() + union.zsum(amount=" 000000000001"), "amount", "missing_sign"),
        (union.zsum() + union.zsum(amount="-000000000001"), "amount", "unknown_sign"),
        (union.zsum() + union.zsum()[:-30], "", "wrong_length"),
    ],
)
def test_zsum_bad_rows(content: bytes, field: str, reason_code: str) -> None:
    assert (2, field, reason_code) in codes(parse(ZSUM_NAME, content))


def test_zpsum_has_one_line_a_merchant_and_code() -> None:
    content = union.zpsum() + union.zpsum(code_2="0002")
    assert len(rows(parse(ZPSUM_NAME, content), "unionpay_zpsum")) == 2
    assert codes(parse(ZPSUM_NAME, union.zpsum() * 2)) == {(2, "merchant_id", "duplicate_key")}


# --- .Z -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "table"),
    [
        (ACOMN_NAME, make.acomn() + make.acomn(trace_number="000002"), "unionpay_acomn"),
        (f"IND{DAY:%y%m%d}99AERRN", make.aerrn(), "unionpay_aerrn"),
        (f"IND{DAY:%y%m%d}99ALFEE", make.alfee(), "unionpay_alfee"),
        (ZSUM_NAME, union.zsum(), "unionpay_zsum"),
        (ZPSUM_NAME, union.zpsum(), "unionpay_zpsum"),
    ],
)
def test_a_file_packed_by_compress_has_the_same_rows(name: str, content: bytes, table: str) -> None:
    plain = rows(parse(name, content), table)
    assert plain
    assert rows(parse(f"{name}.Z", union.compressed(content)), table) == plain
    # Told by the bytes: some senders leave the ending off.
    assert rows(parse(name, union.compressed(content)), table) == plain


def test_the_tests_pack_as_compress_does() -> None:
    content = bytes(range(256)) * 300
    answer = subprocess.run(
        ["gzip", "-dc"], input=union.compressed(content), stdout=subprocess.PIPE, check=True
    )
    assert answer.stdout == content


def test_bad_z_files() -> None:
    packed = union.compressed(make.acomn() * 20)
    cases: dict[bytes, str] = {
        b"": "bad_compress",
        make.acomn(): "bad_compress",
        packed[:2]: "bad_compress",
        packed[:2] + b"\x9f" + packed[3:]: "bad_compress",
        packed[:3] + b"\xff" * 40: "bad_compress",
        packed[: len(packed) // 2]: "wrong_length",
    }
    for content, reason_code in cases.items():
        parsed = parse(f"{ACOMN_NAME}.Z", content)
        assert reason_code in {row.reason_code for row in parsed.bad_rows}, content[:9]
    assert parse(f"{ACOMN_NAME}.Z", union.compressed(b"")).is_good


def test_a_z_file_unpacks_to_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_files, "RATIO_APPLIES_FROM_BYTES", 1000)
    monkeypatch.setattr(packed_files, "UNPACKED_BYTES_MAX", 1000)
    assert packed_files.uncompressed(BytesIO(union.compressed(b"x" * 1000))).read() == b"x" * 1000
    with pytest.raises(UnreadableFileError) as caught:
        packed_files.uncompressed(BytesIO(union.compressed(b"x" * 1001)))
    assert caught.value.reason_code == "unsafe_compress"


def test_a_bomb_is_refused() -> None:
    bomb = union.compressed(b"\0" * 3_000_000)
    assert len(bomb) < 5_000
    assert codes(parse(f"{ACOMN_NAME}.Z", bomb)) == {(0, "", "unsafe_compress")}


@given(content=st.binary(max_size=3000))
@hypothesis_settings(max_examples=examples(100), deadline=None)
def test_what_is_packed_comes_back(content: bytes) -> None:
    assert packed_files.uncompressed(BytesIO(union.compressed(content))).read() == content


# --- any bytes ------------------------------------------------------------------------------------

Mutation = tuple[int, int, bytes]
GOOD_FILES: Mapping[str, bytes] = {
    ZIP_NAME: union.merchant_zip(errors=union.zme()),
    ZM_NAME: union.zm() + union.zm(**union.ZM_SECOND),
    ZME_NAME: union.zme(),
    ZSUM_NAME: union.zsum(),
    ZPSUM_NAME: union.zpsum(),
    f"{ACOMN_NAME}.Z": union.compressed(make.acomn() * 3),
}


@given(
    name=st.sampled_from(sorted(GOOD_FILES)),
    changes=st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=40)), max_size=4
    ),
)
@hypothesis_settings(
    max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
def test_whatever_the_bytes_are_the_parser_does_not_fail(
    name: str, changes: list[Mutation]
) -> None:
    content = GOOD_FILES[name]
    for start, length, piece in changes:
        content = content[:start] + piece + content[start + length :]
    parsed = parse(name, content)
    assert "parser_failed" not in {row.reason_code for row in parsed.bad_rows}
    if parsed.is_good and parsed.frames:
        assert parsed.row_count == sum(map(len, parsed.frames.values()))


@given(changes=st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=9)), max_size=3))
@hypothesis_settings(max_examples=examples(200), deadline=None)
def test_whatever_the_report_says_the_parser_does_not_fail(
    changes: list[tuple[int, bytes]],
) -> None:
    content = union.report()
    for start, piece in changes:
        content = content[:start] + piece + content[start + len(piece) :]
    parsed = parse(ZIP_NAME, union.merchant_zip(rd=content))
    assert "parser_failed" not in {row.reason_code for row in parsed.bad_rows}


AMOUNTS = st.integers(1, 10**9)


@given(sales=st.lists(st.tuples(AMOUNTS, st.booleans()), min_size=1, max_size=20))
@hypothesis_settings(max_examples=examples(50), deadline=None)
def test_any_sales_and_refunds_sum_up_to_their_report(sales: list[tuple[int, bool]]) -> None:
    content, total = b"", [0, 0, 0, 0]
    for number, (amount, is_refund) in enumerate(sales):
        fee = amount * 6 // 1000
        paid, received = ("C", "D") if is_refund else ("D", "C")
        settled = f"{received}{amount - fee:012}"
        content += union.zm(
            trace_number=f"{number:06}",
            query_id=f"20260924112203{number:06}8",
            amount=f"{amount:012}",
            merchant_fee=f"{paid}{fee:012}",
            settlement_amount=settled,
            net_amount=settled,
            transaction_kind="04" if is_refund else "01",
        )
        sign = -1 if is_refund else 1
        figure = (1, sign * amount, sign * fee, sign * (amount - fee))
        total = [before + value for before, value in zip(total, figure, strict=True)]
    figures = (total[0], total[1], total[2], total[3])
    report = union.report({"自助消费": figures})
    parsed = parse(ZIP_NAME, union.merchant_zip(content, rd=report))
    assert (parsed.is_good, parsed.totals_status) == (True, "agree")
    assert parsed.declared_total_minor == figures[3]


# --- landing --------------------------------------------------------------------------------------

COUNTS: Mapping[str, tuple[str, int]] = {
    ZIP_NAME: ("unionpay_zm", 2),
    ZSUM_NAME: ("unionpay_zsum", 1),
    ZPSUM_NAME: ("unionpay_zpsum", 1),
    f"{ACOMN_NAME}.Z": ("unionpay_acomn", 3),
}


def test_every_file_lands_into_its_table(place: Settings) -> None:
    for name in COUNTS:
        put(place, name, GOOD_FILES[name])
    report = landing.land(place)
    assert {file.file_name: file.status for file in report.files} == dict.fromkeys(
        COUNTS, "landed"
    ), report.problems
    for table, number in (*COUNTS.values(), ("unionpay_zme", 1)):
        assert count(place, table) == number, table
    statuses = query(
        place, "select file_kind, totals_status from control.channel_files order by file_kind"
    )
    assert statuses == [
        ("acomn", "none_in_format"),
        ("merchant_zm", "agree"),
        ("zpsum", "none_in_format"),
        ("zsum", "none_in_format"),
    ]
    dump = " ".join(
        str(row)
        for table in ("unionpay_zm", "unionpay_zme", "unionpay_zsum", "unionpay_zpsum")
        for row in query(place, f"select * from raw.{table}")
    )
    for secret in (make.ACCOUNT_NUMBER, make.ACCOUNT_NAME, union.PHONE, make.CARD, "张三"):
        assert secret not in dump


def test_a_bare_zm_beside_its_zip_is_a_conflict_and_does_not_count_twice(place: Settings) -> None:
    put(place, ZIP_NAME, GOOD_FILES[ZIP_NAME])
    landing.land(place)
    put(place, ZM_NAME, GOOD_FILES[ZM_NAME])
    (outcome,) = [file for file in landing.land(place).files if file.file_name == ZM_NAME]
    assert outcome.status == "conflict"
    assert count(place, "unionpay_zm") == 2


def test_packed_and_unpacked_are_one_place(place: Settings) -> None:
    put(place, f"{ACOMN_NAME}.Z", GOOD_FILES[f"{ACOMN_NAME}.Z"])
    landing.land(place)
    put(place, ACOMN_NAME, make.acomn() * 3)
    (outcome,) = [file for file in landing.land(place).files if file.file_name == ACOMN_NAME]
    assert (outcome.status, count(place, "unionpay_acomn")) == ("conflict", 3)


def test_no_model_reads_the_new_tables() -> None:
    models = list((PROJECT_DIR / "dbt_project" / "models").rglob("*.sql"))
    assert len(models) > 20
    text = "\n".join(path.read_text(encoding="utf-8") for path in models)
    assert "unionpay_acomn" in text
    for table in ("unionpay_zm", "unionpay_zme", "unionpay_zsum", "unionpay_zpsum"):
        assert table not in text


def test_every_column_of_the_new_tables_is_described(place: Settings) -> None:
    found = query(
        place,
        "select c.relname, a.attname, col_description(c.oid, a.attnum) from pg_class as c "
        "inner join pg_attribute as a on a.attrelid = c.oid "
        "where c.relnamespace = 'raw'::regnamespace and c.relname = any(%s) and a.attnum > 0 "
        "and a.attname not in ('file_id', 'line_number', 'accounting_date')",
        ["unionpay_zm", "unionpay_zme", "unionpay_zsum", "unionpay_zpsum"],
    )
    assert len(found) > 80
    assert [row[:2] for row in found if not row[2]] == []


def test_the_parsers_by_themselves_need_a_date() -> None:
    parsers: list[Callable[[bytes, FileContext], ParsedFile]] = [
        make.reader(merchant_files.ZmReading),
        make.reader(merchant_files.ZmeReading),
        make.reader(summaries.MerchantTotalsReading),
        make.reader(summaries.FundTransfersReading),
    ]
    for parser in parsers:
        with pytest.raises(UnreadableFileError) as caught:
            parser(b"", make.context(None))
        assert caught.value.reason_code == "no_date"


# --- layouts --------------------------------------------------------------------------------------

# Written from the layouts as they were before they shared runs of fields, and changed with them
# only: layout, first byte, bytes and name of each field, and what is said of the layout and it.
LAYOUTS_FILE = Path(__file__).parents[1] / "unionpay_layouts.txt"


def layout_lines() -> list[str]:
    """Return a line a layout and a line a field."""
    lines = []
    for module in (layouts, institution_layouts):
        for constant in module.__all__:
            layout = getattr(module, constant)
            if not isinstance(layout, Layout):
                continue
            is_open = ", open-ended" if layout.is_open_ended else ""
            lines.append(f"{constant} = {layout.name}: {layout.length_bytes} bytes{is_open}")
            marks = {
                "gbk": layout.gbk_fields, "card": layout.card_fields, "hidden": layout.hidden_fields
            }  # fmt: skip
            for name, width in layout.widths.items():
                marked = " ".join(mark for mark, names in marks.items() if name in names)
                line = f"{constant} {layout.offsets[name]} {width} {name} {marked}"
                lines.append(line.strip())
    return lines


def test_each_layout_has_the_fields_it_had() -> None:
    recorded = LAYOUTS_FILE.read_text(encoding="utf-8").splitlines()
    assert len(recorded) > 400
    assert layout_lines() == recorded
