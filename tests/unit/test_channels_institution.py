"""UnionPay's other institution files: agency clearing, issuer, UPI, FCP, INF and NCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from io import BytesIO
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
import institution_files as institution
from landing_world import count, own_database, place, put, query, statuses
from parts import examples
from samples_folder import SAMPLES, needs_samples
from tieout import landing
from tieout.channels.common.model import (
    FileContext,
    Findings,
    ParsedFile,
    UnreadableFileError,
)
from tieout.channels.registry import expected_name, parse_file, recognise
from tieout.channels.unionpay import acomn, fcp, upi_icomn
from tieout.channels.unionpay import institution_layouts as layouts
from tieout.channels.unionpay.fixed_width import FixedWidthBlock, Layout, fixed_width_blocks
from tieout.channels.unread import acoma, aerra, issuer, ncp
from tieout.channels.unread import inf as unionpay_inf
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.protection import tokens as secrets

__all__ = ["own_database", "place"]

DAY = make.DAY
Parse = Callable[[bytes, FileContext], ParsedFile]

# Our tables, and a good file of two rows for each.
GOOD: dict[str, tuple[Parse, bytes]] = {
    "unionpay_acoma": (make.reader(acoma.AcomaReading), institution.acoma() * 2),
    "unionpay_aerra": (make.reader(aerra.AerraReading), institution.aerra() * 2),
    "unionpay_icomn": (
        make.reader(issuer.TransactionsReading),
        institution.icomn() * 2,
    ),
    "unionpay_ierrn": (
        make.reader(issuer.AdjustmentsReading),
        institution.ierrn() * 2,
    ),
    "unionpay_ilfee": (
        make.reader(issuer.BrandFeesReading),
        institution.ilfee() * 2,
    ),
    "unionpay_upi_icomn": (
        make.reader(upi_icomn.UpiIcomnReading),
        institution.upi() * 2,
    ),
    "unionpay_fcp": (make.reader(fcp.FcpReading), institution.fcp() * 2),
    "unionpay_inf": (
        make.reader(unionpay_inf.AcceptedReading),
        institution.inf(institution.inf_detail(), institution.inf_detail()),
    ),
    "unionpay_ncp_comtrx": (
        make.reader(ncp.TransactionsReading),
        institution.ncp(institution.comtrx(), institution.comtrx()),
    ),
    "unionpay_ncp_errtrx": (
        make.reader(ncp.ErrorsReading),
        institution.ncp(institution.errtrx(), institution.errtrx()),
    ),
}


def rows(parsed: ParsedFile) -> list[dict[str, Any]]:
    """Return a good file's rows."""
    assert not parsed.bad_rows, parsed.bad_rows
    (frame,) = parsed.frames.values()
    return frame.to_dicts()


def codes(parsed: ParsedFile) -> set[tuple[int, str, str]]:
    """Return what speaks against a file: line, field, reason code."""
    return {(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows}


def everything_in(parsed: ParsedFile) -> str:
    """Return all a parser gave back, as text."""
    frames = [frame.write_json() for frame in parsed.frames.values()]
    return "\n".join([repr(parsed.bad_rows), repr(parsed.totals), *frames])


def refusal(parse: Parse, content: bytes, day: date | None = DAY) -> tuple[str, int]:
    """Return why a file as a whole is refused, and where."""
    with pytest.raises(UnreadableFileError) as caught:
        parse(content, make.context(day))
    return caught.value.reason_code, caught.value.line_number


# --- layouts --------------------------------------------------------------------------------------

# Length, and first bytes far apart, as docs/formats gives them.
PLACES: dict[str, tuple[Layout, int, dict[str, int]]] = {
    "ACOMA": (
        layouts.ACOMA,
        951,
        {"sender_clearing_institution_id": 300, "settlement_date": 328, "merchant_name": 336,
         "currency": 377, "merchant_fee": 391, "service_role_1_fee": 435,
         "service_role_9_fee": 611, "custom_fee_3": 641, "transfer_in_card_number": 651},
    ),
    # 545 of AERRN and four fields: 3, 9, 11 and 9.
    "AERRA 2017": (layouts.AERRA_2017, 581, {"card_product": 465, "merchant_fee": 550}),
    "AERRA 2020": (
        layouts.AERRA_2020,
        779,
        {"order_number": 499, "original_transaction_type": 546, "merchant_fee": 551},
    ),
    "ICOMN": (layouts.ICOMN, 500, {"network_fee": 218}),
    "IERRN": (layouts.IERRN, 545, {"original_amount": 337}),
    "ILFEE": (layouts.ILFEE, 460, {"brand_fee": 319}),
    "UPI": (
        layouts.UPI_ICOMN,
        681,
        {"transaction_amount": 62, "message_type": 75, "merchant_name": 117,
         "transaction_currency": 203, "settlement_amount": 215, "settlement_rate": 228,
         "settlement_date": 237, "exchange_date": 242, "billing_rate": 264, "fee_payable": 286,
         "signed_fee_1": 299, "signed_fee_2": 325},
    ),
    "FCP": (layouts.FCP, 309, {"amount": 4, "reason_code": 18, "transmission_time": 71}),
    "INF header": (layouts.INF_HEADER, 46, {"institution_id": 7, "batch_date": 18}),
    "INF detail": (
        layouts.INF_DETAIL,
        526,
        {"card_number": 7, "merchant_name": 128, "own_fee": 241, "application_cryptogram": 269,
         "transaction_date": 397, "card_expiry": 426, "card_product_id": 502},
    ),
    "COMTRX": (
        layouts.NCP_COMTRX,
        700,
        {"order_number": 87, "payer_account": 155, "agreement_number": 260, "payee_account": 331,
         "reserve_account": 378, "product_data": 422, "network_fee": 588,
         "participation_fee_payable": 614, "participation_fee_receivable": 630},
    ),
    # COMTRX less 41 for the order number, 9 more for the error; then 13 for the dispute fee.
    "ERRTRX": (
        layouts.NCP_ERRTRX,
        700,
        {"adjustment_code": 54, "original_transaction_id": 63, "sending_institution_id": 96,
         "dispute_fee": 582, "participation_fee_receivable": 595},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLACES))
def test_fields_lie_where_the_document_says(name: str) -> None:
    layout, length, places = PLACES[name]
    assert layout.length_bytes == length
    assert {field: layout.offsets[field] for field in places} == places


def test_an_open_end_takes_longer_records_and_others_do_not() -> None:
    short = Layout("short", {"a": 2, "b": 3})
    open_ended = Layout("open", {"a": 2, "b": 3}, is_open_ended=True)
    assert (short.length_bytes, short.fitted(6), short.fitted(9)) == (6, short, None)
    fitted = open_ended.fitted(9)
    assert fitted is not None
    assert (fitted.length_bytes, dict(fitted.widths)) == (9, {"a": 2, "b": 3, "unread_tail": 2})
    # One byte more has no room for a field behind its blank; fewer bytes are cut off.
    assert (open_ended.fitted(7), open_ended.fitted(5)) == (None, None)
    # A form of exactly the length goes before one that could be stretched to it.
    exact = Layout("exact", {"c": 9})
    assert only_block(b"123456789\n", (open_ended, exact)).layout is exact
    assert only_block(b"12 456 89\n", (open_ended,)).layout == fitted


def only_block(content: bytes, layouts: Sequence[Layout]) -> FixedWidthBlock:
    """Return a small file's records."""
    (block,) = fixed_width_blocks(BytesIO(content), layouts, Findings())
    return block


def test_fields_may_touch() -> None:
    touching = Layout("touching", {"a": 2, "b": 3}, separator_bytes=0)
    assert (touching.length_bytes, touching.offsets["b"], touching.separators) == (5, 2, [])
    file = only_block(b"abcde\n", (touching,))
    assert file.texts(["a", "b"]).rows() == [("ab", "cde")]
    assert not file.findings.of_file


def test_no_excerpt_shows_a_hidden_field() -> None:
    layout = Layout("x", {"a": 3, "secret": 9}, hidden_fields=frozenset({"secret"}))
    file = only_block("abc Zhang-3  \nfoo 陈陈     \n".encode("gb18030"), (layout,))
    (bad_row,) = file.findings.of_file.bad_rows
    assert (bad_row.reason_code, bad_row.excerpt) == ("wrong_encoding", "foo ****     ")
    assert file._excerpt(0) == "abc *******  "


# --- every kind -----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(GOOD))
def test_a_good_file_gives_its_rows(table: str) -> None:
    parse, content = GOOD[table]
    parsed = parse(content, make.context())
    assert set(parsed.frames) == {table}
    found = rows(parsed)
    # Behind a version, or a header.
    first = 2 if table.startswith(("unionpay_ncp", "unionpay_inf")) else 1
    assert [row["line_number"] for row in found] == [first, first + 1]
    assert (parsed.row_count, parsed.accounting_date) == (2, DAY)
    assert parsed.totals_status == "none_in_format"
    assert parsed.is_good


@pytest.mark.parametrize("table", sorted(GOOD))
def test_no_number_of_a_card_or_a_person_leaves_a_parser(table: str) -> None:
    parse, content = GOOD[table]
    parsed = parse(content, make.context())
    cut = parse_anyway(parse, content[:-30])
    for shown in (everything_in(parsed), cut):
        for secret in (make.CARD, *institution.ACCOUNTS, "13800138000", "示例商户"):
            assert secret not in shown
    if table not in {"unionpay_fcp", "unionpay_ncp_comtrx", "unionpay_ncp_errtrx"}:
        assert {row["card_mask"] for row in rows(parsed)} == {"621626*********0018"}
        assert {row["card_token"][:5] for row in rows(parsed)} == {"card-"}


def parse_anyway(parse: Parse, content: bytes) -> str:
    """Return what a parser says of a bad file, as text."""
    try:
        parsed = parse(content, make.context())
    except UnreadableFileError as error:
        return f"{error} {error.as_parsed_file()!r}"
    assert parsed.bad_rows
    return everything_in(parsed)


@pytest.mark.parametrize("table", sorted(GOOD))
def test_a_name_without_a_date_is_no_file(table: str) -> None:
    parse, content = GOOD[table]
    assert refusal(parse, content, None) == ("no_date", 0)


@pytest.mark.parametrize("table", sorted(set(GOOD) - {"unionpay_inf"}))
def test_a_file_without_records_is_a_day_without_any(table: str) -> None:
    parse, _ = GOOD[table]
    content = institution.VERSION if table.startswith("unionpay_ncp") else b""
    parsed = parse(content, make.context())
    assert (parsed.row_count, parsed.is_good) == (0, True)
    assert list(parsed.frames) == [table]


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_lines_may_end_in_lf_and_the_last_one_in_nothing(ending: bytes) -> None:
    for table, (parse, content) in GOOD.items():
        if table != "unionpay_inf":
            text = content.replace(b"\r\n", b"\n").removesuffix(b"\n") + ending
            assert len(rows(parse(text, make.context()))) == 2, table


# --- agency clearing ------------------------------------------------------------------------------


def test_acoma_has_the_columns_of_acomn_and_those_of_agency_clearing() -> None:
    (row,) = rows(make.read(acoma.AcomaReading, institution.acoma()))
    (same,) = rows(make.read(acomn.AcomnReading, make.acomn()))
    del same["order_number"]
    assert {name: row[name] for name in same} == same
    assert {name: row[name] for name in row if name not in same and row[name] not in {None, 0}} == {
        "sender_clearing_institution_id": "48379219",
        "receiver_clearing_institution_id": "90880051",
        "reversal_flag": "A",
        "clearing_session_number": "01",
        "automatic_discount_fee_minor": -1,
        "merchant_fee_minor": 60,
        "merchant_settlement_bank_id": "90880051",
        "settlement_bank_fee_minor": 4,
        "service_role_1_institution_id": "48379219",
        "service_role_1_fee_minor": -12,
        "service_role_9_institution_id": "48379220",
        "service_role_9_fee_minor": -13,
        "custom_fee_3_minor": 9,
    }


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"reversal_flag": "X"}, "reversal_flag", "unknown_code"),
        ({"void_flag": "R"}, "void_flag", "unknown_code"),
        ({"currency": "999"}, "currency", "unknown_code"),
        ({"currency": ""}, "currency", "unknown_code"),
        ({"settlement_date": "0923"}, "settlement_date", "wrong_date"),
        ({"settlement_date": ""}, "settlement_date", "wrong_date"),
        ({"merchant_fee": " 00000060"}, "merchant_fee", "missing_sign"),
        ({"merchant_fee": "X00000060"}, "merchant_fee", "unknown_sign"),
        ({"service_role_9_fee": "D0000006A"}, "service_role_9_fee", "not_a_number"),
        ({"processing_code": "990000"}, "processing_code", "unknown_code"),
        ({"trace_number": ""}, "trace_number", "missing_key"),
        ({"card_number": "12"}, "card_number", "not_a_card_number"),
    ],
)
def test_acoma_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    content = institution.acoma() + institution.acoma(**changes) + institution.acoma()
    assert codes(make.read(acoma.AcomaReading, content)) == {(2, field, reason_code)}


def test_acoma_of_new_year_knows_its_year_and_its_settlement_date() -> None:
    content = institution.acoma(transmission_time="1231233000", settlement_date="0101")
    (row,) = rows(make.read(acoma.AcomaReading, content, make.context(date(2027, 1, 1))))
    assert row["transmitted_at"].date() == date(2026, 12, 31)


def test_acoma_of_another_day_is_no_file_of_today() -> None:
    yesterday = institution.acoma(transmission_time="0923100000") * 25
    parsed = make.read(acoma.AcomaReading, yesterday)
    assert codes(parsed) == {(0, "transmission_time", "wrong_date")}


def test_the_record_s_length_says_which_form_an_aerra_has() -> None:
    (old,) = rows(make.read(aerra.AerraReading, institution.aerra_2017()))
    (new,) = rows(make.read(aerra.AerraReading, institution.aerra()))
    assert (old["form_year"], new["form_year"]) == (2017, 2020)
    for row in (old, new):
        assert row["original_transaction_type"] == "S22"
        assert (row["merchant_fee_minor"], row["settlement_bank_fee_minor"]) == (-7, 1)
        assert row["merchant_settlement_bank_id"] == "90880051"
        assert row["funds_effect_minor"] == 1200
    assert (old["order_number"], new["order_number"]) == (None, "订单20260920")
    assert (old["service_role_9_fee_minor"], new["service_role_9_fee_minor"]) == (None, -13)
    assert old["service_role_1_institution_id"] is None
    assert new["service_role_9_institution_id"] == "48379220"
    assert list(old) == list(new)


def test_aerra_s_end_may_be_longer_and_is_not_read() -> None:
    known = institution.aerra()[:779] + b"\r\n"
    assert len(rows(make.read(aerra.AerraReading, known * 2))) == 2
    other = known + institution.aerra()
    assert codes(make.read(aerra.AerraReading, other)) == {(2, "", "wrong_length")}
    mixed = institution.aerra() + institution.aerra_2017()
    assert codes(make.read(aerra.AerraReading, mixed)) == {(2, "", "wrong_length")}


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"adjustment_code": "E99"}, "adjustment_code", "unknown_code"),
        ({"merchant_fee": " 0000007"}, "merchant_fee", "missing_sign"),
        ({"service_role_1_fee": " 00000007"}, "service_role_1_fee", "missing_sign"),
        ({"transmission_time": "0925000000"}, "transmission_time", "implausible_date"),
        ({"amount": "-00000001200"}, "amount", "not_a_number"),
    ],
)
def test_aerra_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    content = institution.aerra() + institution.aerra(**changes)
    assert codes(make.read(aerra.AerraReading, content)) == {(2, field, reason_code)}


# --- the issuer's side ----------------------------------------------------------------------------


def test_the_issuer_s_files_have_the_values_of_the_acquirer_s() -> None:
    (transaction,) = rows(GOOD["unionpay_icomn"][0](institution.icomn(), make.context()))
    (same,) = rows(make.read(acomn.AcomnReading, make.acomn()))
    assert transaction == same
    (fee,) = rows(GOOD["unionpay_ilfee"][0](institution.ilfee(), make.context()))
    assert (fee["amount_minor"], fee["brand_fee_minor"]) == (10000, 2)


def test_the_issuer_s_transactions_are_known_in_the_form_of_34_fields() -> None:
    content = institution.icomn()[:299] + b"\r\n"
    (row,) = rows(make.read(issuer.TransactionsReading, content))
    assert (row["amount_minor"], row["order_number"]) == (10000, None)


@pytest.mark.parametrize("code", ["E22", "E23"])
def test_the_issuer_s_adjustments_have_no_direction(code: str) -> None:
    content = institution.ierrn(adjustment_code=code)
    (row,) = rows(make.read(issuer.AdjustmentsReading, content))
    assert row["amount_minor"] == 1200
    assert "funds_effect_minor" not in row


@pytest.mark.parametrize(
    ("parse", "content", "field", "reason_code"),
    [
        (
            make.reader(issuer.TransactionsReading),
            institution.icomn(response_code="51"),
            "response_code",
            "unknown_code",
        ),
        (
            make.reader(issuer.AdjustmentsReading),
            institution.ierrn(adjustment_code="E99"),
            "adjustment_code",
            "unknown_code",
        ),
        (
            make.reader(issuer.BrandFeesReading),
            institution.ilfee(brand_fee=" 00000000002"),
            "brand_fee",
            "missing_sign",
        ),
    ],
)
def test_the_issuer_s_bad_rows(parse: Parse, content: bytes, field: str, reason_code: str) -> None:
    assert codes(parse(content, make.context())) == {(1, field, reason_code)}


def test_the_issuer_s_file_of_another_day_is_no_file_of_today() -> None:
    for parse, one in (
        (make.reader(issuer.TransactionsReading), institution.icomn),
        (make.reader(issuer.BrandFeesReading), institution.ilfee),
    ):
        parsed = parse(one(transmission_time="0923100000") * 25, make.context())
        assert codes(parsed) == {(0, "transmission_time", "wrong_date")}


# --- UnionPay International -----------------------------------------------------------------------


def upi(**changes: str) -> ParsedFile:
    """Return a file of one good record and a changed one."""
    content = institution.upi() + institution.upi(**changes)
    return make.read(upi_icomn.UpiIcomnReading, content)


def test_upi_record() -> None:
    (row,) = rows(make.read(upi_icomn.UpiIcomnReading, institution.upi()))
    assert (row["transaction_currency_code"], row["transaction_amount_minor"]) == ("HKD", 32800)
    assert (row["currency_code"], row["settlement_amount_minor"]) == ("CNY", 27690)
    assert row["settlement_rate"] == Decimal("0.8442003")
    assert (row["billing_currency_code"], row["billing_amount_minor"]) == ("CNY", 27690)
    assert row["exchange_date"] == date(2026, 9, 23)
    assert row["transaction_type"] == "purchase"
    assert (row["fee_receivable_minor"], row["fee_payable_minor"]) == (0, 305)
    assert (row["signed_fee_1_minor"], row["signed_fee_2_minor"]) == (11, -12)
    assert row["transmitted_at"].astimezone(UTC) == datetime(2026, 9, 24, 8, 21, 52, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("78442003", "0.8442003"),
        ("68442003", "8.442003"),
        ("00000007", "7"),
        ("10000075", "7.5"),
        ("90000001", "0.000000001"),
        ("81234567", "0.01234567"),
    ],
)
def test_a_rate_s_first_digit_counts_its_decimals(text: str, rate: str) -> None:
    changes = {
        "settlement_rate": text,
        "transaction_amount": "0" * 12,
        "settlement_amount": "0" * 12,
    }
    parsed = upi(**changes, processing_code="300000")
    assert rows(parsed)[1]["settlement_rate"] == Decimal(rate)


@hypothesis_settings(max_examples=examples(60), deadline=None)
@given(
    amount=st.integers(1, 10**9 - 1),
    digits=st.integers(1, 10**7 - 1),
    decimals=st.integers(4, 9),
    gap=st.integers(-3, 3),
)
def test_the_settlement_amount_has_to_follow_from_the_rate_to_one_unit(
    amount: int, digits: int, decimals: int, gap: int
) -> None:
    """Against exact decimals, an arithmetic of its own."""
    exact = Decimal(amount) * Decimal(digits).scaleb(-decimals)
    stated = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP)) + gap
    if not 0 <= stated < 10**12:
        return
    parsed = upi(
        transaction_amount=f"{amount:012}",
        settlement_rate=f"{decimals}{digits:07}",
        settlement_amount=f"{stated:012}",
    )
    wrong = {(2, "settlement_amount", "wrong_exchange")}
    assert codes(parsed) == (wrong if abs(gap) > 1 else set())


def test_both_known_pairs_of_amounts_hold_and_two_units_more_do_not() -> None:
    for amount, settled in ((32800, 27690), (10000, 8442)):
        changes = {"transaction_amount": f"{amount:012}"}
        assert upi(**changes, settlement_amount=f"{settled:012}").is_good
        assert upi(**changes, settlement_amount=f"{settled + 1:012}").is_good
        assert upi(**changes, settlement_amount=f"{settled - 1:012}").is_good
        for wrong in (settled + 2, settled - 2):
            parsed = upi(**changes, settlement_amount=f"{wrong:012}")
            assert codes(parsed) == {(2, "settlement_amount", "wrong_exchange")}


def test_the_largest_amount_and_rate_do_not_overflow() -> None:
    largest = {"transaction_amount": "9" * 12, "settlement_rate": "09999999"}
    parsed = upi(**largest, settlement_amount="9" * 12)
    assert codes(parsed) == {(2, "settlement_amount", "wrong_exchange")}
    half = {"transaction_amount": "9" * 12, "settlement_rate": "75000000"}
    assert upi(**half, settlement_amount="500000000000").is_good


def test_minor_units_of_another_size_are_scaled_before_the_rate_applies() -> None:
    # 10,000 yen at 0.0480000 are 480.00 yuan.
    yen = {"transaction_currency": "392", "settlement_rate": "70480000"}
    assert upi(**yen, transaction_amount=f"{10000:012}", settlement_amount=f"{48000:012}").is_good
    back = {"settlement_currency": "392", "transaction_currency": "156"}
    rate = {"settlement_rate": "62083333"}  # 20.83333 would be 5 decimals; 2.083333 yen a yuan
    parsed = upi(**back, **rate, transaction_amount=f"{10000:012}", settlement_amount=f"{208:012}")
    assert parsed.is_good
    # Settled in two currencies, the amounts have no sum.
    assert parsed.counted_total_minor is None


def test_one_currency_needs_no_rate_and_two_do() -> None:
    same = {"transaction_currency": "156", "settlement_rate": "0" * 8}
    assert upi(**same, settlement_amount="000000032800").is_good
    assert codes(upi(**same)) == {(2, "settlement_amount", "wrong_exchange")}
    assert codes(upi(settlement_rate=" " * 8)) == {(2, "settlement_rate", "no_rate")}


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"transaction_currency": "999"}, "transaction_currency", "unknown_code"),
        ({"settlement_currency": "000"}, "settlement_currency", "unknown_code"),
        ({"billing_currency": "ABC"}, "billing_currency", "unknown_code"),
        ({"settlement_rate": "7844200"}, "settlement_rate", "not_a_rate"),
        ({"billing_rate": "7844200X"}, "billing_rate", "not_a_rate"),
        ({"settlement_date": "0923"}, "settlement_date", "wrong_date"),
        ({"exchange_date": "0931"}, "exchange_date", "not_a_date"),
        ({"exchange_date": ""}, "exchange_date", "not_a_date"),
        ({"exchange_date": "0925"}, "exchange_date", "implausible_date"),
        ({"exchange_date": "0820"}, "exchange_date", "implausible_date"),
        ({"processing_code": "990000"}, "processing_code", "unknown_code"),
        ({"response_code": "51"}, "response_code", "unknown_code"),
        ({"signed_fee_2": " 00000000012"}, "signed_fee_2", "missing_sign"),
        ({"transaction_amount": ""}, "transaction_amount", "not_a_number"),
        ({"transmission_time": "0925000000"}, "transmission_time", "implausible_date"),
        ({"merchant_id": ""}, "merchant_id", "missing_key"),
    ],
)
def test_upi_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    assert (2, field, reason_code) in codes(upi(**changes))
    assert {line for line, _, _ in codes(upi(**changes))} == {2}


def test_upi_s_dates_without_a_year_pass_new_year() -> None:
    content = institution.upi(
        transmission_time="1231230500", settlement_date="0101", exchange_date="1231"
    )
    (row,) = rows(make.read(upi_icomn.UpiIcomnReading, content, make.context(date(2027, 1, 1))))
    assert row["transmitted_at"].date() == date(2026, 12, 31)
    assert row["exchange_date"] == date(2026, 12, 31)


def test_fees_collected_and_paid() -> None:
    content = institution.fcp() + institution.fcp(
        adjustment_code="E30", amount="D000000000300", settlement_currency="344"
    )
    parsed = make.read(fcp.FcpReading, content)
    collected, paid = rows(parsed)
    assert (collected["adjustment_type"], collected["funds_effect_minor"]) == (
        "fee_collection",
        1200,
    )
    assert (paid["adjustment_type"], paid["funds_effect_minor"]) == ("funds_disbursement", -300)
    assert (collected["currency_code"], paid["currency_code"]) == ("CNY", "HKD")
    assert parsed.counted_total_minor is None
    assert (
        make.read(fcp.FcpReading, institution.fcp() * 2, make.context()).counted_total_minor == 2400
    )


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"adjustment_code": "E22"}, "adjustment_code", "unknown_code"),
        ({"amount": " 000000001200"}, "amount", "missing_sign"),
        ({"amount": "C000000000000"}, "amount", "no_amount"),
        ({"settlement_currency": ""}, "settlement_currency", "unknown_code"),
        ({"sending_institution_id": ""}, "sending_institution_id", "missing_key"),
        ({"transmission_time": "0724162152"}, "transmission_time", "implausible_date"),
        ({"blank": "x" * 19}, "", ""),
    ],
)
def test_fcp_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    parsed = make.read(
        fcp.FcpReading, institution.fcp() + institution.fcp(**changes), make.context()
    )
    assert codes(parsed) == ({(2, field, reason_code)} if reason_code else set())


# --- INF ------------------------------------------------------------------------------------------


def inf(*details: bytes, **others: Any) -> ParsedFile:
    """Return what becomes of a batch of accepted records."""
    return make.read(
        unionpay_inf.AcceptedReading, institution.inf(*details, **others), make.context()
    )


def test_an_offline_record_and_never_the_card_s_expiry() -> None:
    parsed = inf(institution.inf_detail())
    (row,) = rows(parsed)
    assert (row["batch_kind"], row["record_code"]) == ("accepted", "300")
    assert (row["amount_minor"], row["own_fee_minor"]) == (500, 6)
    assert (row["currency_code"], row["transaction_date"]) == ("CNY", DAY)
    assert (row["chip_response_code"], row["unionpay_serial_number"]) == ("Y1", "000165665")
    assert row["reason_code"] is None
    assert not {name for name in row if "expiry" in name or "cryptogram" in name}
    assert institution.EXPIRY not in everything_in(parsed)


def test_a_rejected_batch_has_records_of_its_own() -> None:
    content = institution.inf(
        b"0028000".ljust(49), institution.inf_detail(record_code="301"), b"0038000".ljust(90)
    )
    (row,) = rows(make.read(unionpay_inf.RejectedReading, content))
    assert (row["batch_kind"], row["record_code"], row["line_number"]) == ("rejected", "301", 3)
    # An accepted batch has none of them.
    assert refusal(make.reader(unionpay_inf.AcceptedReading), content) == (
        "unknown_record",
        2,
    )


def test_an_empty_batch_has_a_header_and_a_trailer() -> None:
    assert (inf().row_count, inf().is_good) == (0, True)
    assert refusal(make.reader(unionpay_inf.AcceptedReading), b"") == ("no_header", 0)
    assert refusal(make.reader(unionpay_inf.AcceptedReading), b"\r\n") == ("no_header", 0)


def test_one_line_end_may_follow_the_batch() -> None:
    content = institution.inf(institution.inf_detail())
    for ending in (b"\n", b"\r\n"):
        assert make.read(unionpay_inf.AcceptedReading, content + ending).is_good
    assert refusal(make.reader(unionpay_inf.AcceptedReading), content + b"\n\n") == (
        "unknown_record",
        4,
    )


def test_a_batch_that_does_not_begin_and_end_as_it_has_to() -> None:
    one = institution.inf_detail()
    whole = institution.inf(one)
    assert codes(inf(one, trailer=False)) == {(2, "", "no_trailer")}
    headless = make.read(unionpay_inf.AcceptedReading, whole[46:])
    assert (1, "", "no_header") in codes(headless)
    twice = make.read(unionpay_inf.AcceptedReading, whole + whole)
    assert codes(twice) == {(3, "", "misplaced_record"), (4, "", "misplaced_record")}
    for cut in (1, 41):
        assert refusal(make.reader(unionpay_inf.AcceptedReading), whole[:-cut])[0] in {
            "truncated",
            "unknown_record",
        }
    assert refusal(make.reader(unionpay_inf.AcceptedReading), whole[: 46 + 300]) == (
        "truncated",
        2,
    )
    other_segments = whole.replace(b"300A000", b"300B000")
    assert refusal(make.reader(unionpay_inf.AcceptedReading), other_segments) == (
        "unknown_record",
        2,
    )
    assert refusal(make.reader(unionpay_inf.AcceptedReading), whole[:46] + b"x" + whole[46:]) == (
        "unknown_record",
        2,
    )


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"amount": "0" * 12}, "amount", "no_amount"),
        ({"amount": "-00000000500"}, "amount", "not_a_number"),
        ({"currency": "   "}, "currency", "unknown_code"),
        ({"region_flag": "9"}, "region_flag", "unknown_code"),
        ({"transmission_time": "0931092152"}, "transmission_time", "not_a_time"),
        ({"transaction_date": "260926"}, "transaction_date", "not_a_date"),
        ({"transaction_date": "269999"}, "transaction_date", "not_a_date"),
        ({"transaction_date": ""}, "transaction_date", "not_a_date"),
        ({"own_fee": " 00000000006"}, "own_fee", "missing_sign"),
        ({"card_number": ""}, "card_number", "not_a_card_number"),
        ({"merchant_id": ""}, "merchant_id", "missing_key"),
        ({"terminal_id": "茶茶"}, "", "wrong_encoding"),
    ],
)
def test_inf_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    good = institution.inf_detail()
    found = codes(inf(good, institution.inf_detail(**changes)))
    assert (3, field, reason_code) in found
    assert {line for line, _, _ in found} == {3}


def test_the_batch_s_date_is_the_one_in_the_file_s_name() -> None:
    parsed = inf(institution.inf_detail(), day=date(2026, 9, 23))
    assert codes(parsed) == {(1, "batch_date", "wrong_date")}
    assert codes(inf(institution_id="")) == {(1, "institution_id", "missing_key")}


def test_an_offline_time_takes_the_year_that_is_not_in_the_future() -> None:
    times = {
        "1231233000": date(2026, 12, 31),
        "0101120000": date(2027, 1, 1),
        # The known record is a day later than its header.
        "0102235959": date(2027, 1, 2),
        "0103000000": date(2026, 1, 3),
    }
    content = institution.inf(
        *(institution.inf_detail(transmission_time=text) for text in times), day=date(2027, 1, 1)
    )
    parsed = make.read(unionpay_inf.AcceptedReading, content, make.context(date(2027, 1, 1)))
    assert [row["transmitted_at"].date() for row in rows(parsed)] == list(times.values())
    eve = institution.inf(
        institution.inf_detail(transmission_time="0101120000", transaction_date="270101"),
        day=date(2026, 12, 31),
    )
    (row,) = rows(make.read(unionpay_inf.AcceptedReading, eve, make.context(date(2026, 12, 31))))
    assert row["transmitted_at"].date() == date(2027, 1, 1)
    leap = institution.inf(
        institution.inf_detail(transmission_time="0229120000"), day=date(2026, 3, 1)
    )
    parsed = make.read(unionpay_inf.AcceptedReading, leap, make.context(date(2026, 3, 1)))
    assert (2, "transmission_time", "not_a_time") in codes(parsed)


@needs_samples
def test_the_real_batch_is_cut_off_before_its_trailer_and_reads_with_one() -> None:
    content = (SAMPLES / "unionpay_inf_offline" / "INF20032801B.tc300").read_bytes()
    context = make.context(date(2016, 4, 12))
    assert codes(make.read(unionpay_inf.AcceptedReading, content, context)) == {
        (2, "", "no_trailer")
    }
    whole = content + b"0018000".ljust(42)
    (row,) = rows(make.read(unionpay_inf.AcceptedReading, whole, context))
    assert (row["amount_minor"], row["own_fee_minor"], row["currency_code"]) == (500, 6, "CNY")
    assert row["transmitted_at"].astimezone(UTC) == datetime(2016, 4, 13, 2, 21, 19, tzinfo=UTC)
    assert row["card_mask"] == "622424******0052"
    assert row["merchant_id"] == "547269015200004"
    assert row["transaction_date"] == date(2016, 4, 13)
    # Its name says another date than its header.
    named = make.read(unionpay_inf.AcceptedReading, whole, make.context(date(2020, 3, 28)))
    assert (1, "batch_date", "wrong_date") in codes(named)


# --- NCP ------------------------------------------------------------------------------------------


def test_ncp_transactions_keep_tokens_of_accounts_and_agreements() -> None:
    content = institution.ncp(
        institution.comtrx(), institution.comtrx(transaction_code="2001", payer_account="")
    )
    payment, refund = rows(make.read(ncp.TransactionsReading, content))
    assert (payment["transaction_type"], refund["transaction_type"]) == ("debit_payment", "refund")
    assert payment["amount_minor"] == 10000
    assert (payment["order_number"], payment["channel_institution"]) == ("订单1", "渠道一")
    assert payment["original_transaction_id"] is None
    assert (payment["network_fee_minor"], payment["brand_fee_minor"]) == (3, 2)
    assert payment["participation_fee_payable_minor"] == 35
    assert payment["participation_fee_receivable_minor"] == 1
    tokens = [name for name in payment if name.endswith("_token")]
    assert len(tokens) == 4
    assert {payment[name][:5] for name in tokens} == {"acct-"}
    assert len({payment[name] for name in tokens}) == 4
    assert refund["payer_account_token"] is None
    assert refund["payee_account_token"] == payment["payee_account_token"]
    assert "product_data" not in payment


def test_ncp_errors() -> None:
    content = institution.ncp(institution.errtrx())
    (row,) = rows(make.read(ncp.ErrorsReading, content))
    assert (row["adjustment_code"], row["adjustment_type"]) == ("E23", "first_chargeback")
    assert (row["reason_code"], row["dispute_fee_minor"]) == ("4515", 50)
    # The two participation fees stand the other way round than in COMTRX.
    assert row["participation_fee_payable_minor"] == 35
    assert row["participation_fee_receivable_minor"] == 1
    assert "order_number" not in row


@pytest.mark.parametrize(
    ("changes", "field", "reason_code"),
    [
        ({"transaction_code": "1004"}, "transaction_code", "unknown_code"),
        ({"transaction_id": ""}, "transaction_id", "missing_key"),
        ({"settlement_date": "20260923"}, "settlement_date", "wrong_date"),
        ({"amount": "0" * 15}, "amount", "no_amount"),
        ({"amount": "-00000000010000"}, "amount", "not_a_number"),
        ({"brand_fee": " 00000000002"}, "brand_fee", "missing_sign"),
    ],
)
def test_ncp_bad_rows(changes: dict[str, str], field: str, reason_code: str) -> None:
    for parse, one in (
        (make.reader(ncp.TransactionsReading), institution.comtrx),
        (make.reader(ncp.ErrorsReading), institution.errtrx),
    ):
        parsed = parse(institution.ncp(one(), one(**changes)), make.context())
        assert (3, field, reason_code) in codes(parsed)
        assert {line for line, _, _ in codes(parsed)} == {3}
    unknown = institution.ncp(institution.errtrx(adjustment_code="E99"))
    parsed = make.read(ncp.ErrorsReading, unknown)
    assert codes(parsed) == {(2, "adjustment_code", "unknown_code")}


def test_no_excerpt_of_an_ncp_record_shows_any_of_an_account() -> None:
    bad = institution.ncp(institution.comtrx(transaction_code="1004"))
    (bad_row,) = make.read(ncp.TransactionsReading, bad).bad_rows
    assert bad_row.excerpt.startswith("1004 ")
    assert institution.ACCOUNTS[0][:6] not in bad_row.excerpt
    assert "*" * 19 in bad_row.excerpt


def test_an_ncp_file_begins_with_its_version() -> None:
    parse = make.reader(ncp.TransactionsReading)
    for version in (
        b"",
        b"\r\n",
        institution.comtrx(),
        "版本\r\n".encode("gb18030"),
        b"V" * 65 + b"\n",
    ):
        content = institution.ncp(institution.comtrx(), version=version)
        assert refusal(parse, content) == ("no_version", 1)
    assert refusal(parse, b"") == ("no_version", 1)


def test_ncp_records_are_as_long_as_the_first_and_no_shorter_than_700_bytes() -> None:
    parse = make.reader(ncp.TransactionsReading)
    longer = institution.comtrx().rstrip().ljust(900) + b"\r\n"
    assert len(rows(parse(institution.ncp(longer, longer), make.context()))) == 2
    mixed = parse(institution.ncp(longer, institution.comtrx()), make.context())
    assert codes(mixed) == {(3, "", "wrong_length")}
    short = institution.comtrx()[:699] + b"\r\n"
    assert codes(parse(institution.ncp(short), make.context())) == {(2, "", "wrong_length")}


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "slot"),
    [
        ("IND26092432ACOMA", "unionpay/acoma/2026-09-24"),
        ("IND26092432AERRA", "unionpay/aerra/2026-09-24"),
        ("IND26092401ICOMN", "unionpay/icomn/2026-09-24/file_number=01"),
        ("IND26092499IERRN", "unionpay/ierrn/2026-09-24/file_number=99"),
        ("IND26092499ILFEE", "unionpay/ilfee/2026-09-24/file_number=99"),
        ("IFD26092401ICOMN", "unionpay/upi_icomn/2026-09-24"),
        ("IND26092499FCP", "unionpay/fcp/2026-09-24/file_number=99/form=FCP/network=IND"),
        ("IND26092499AFCP", "unionpay/fcp/2026-09-24/file_number=99/form=AFCP/network=IND"),
        ("IFD26092401FCPN", "unionpay/fcp/2026-09-24/file_number=01/form=FCPN/network=IFD"),
        ("INF26092401B", "unionpay/inf_accepted/2026-09-24"),
        ("INF26092401R", "unionpay/inf_rejected/2026-09-24"),
        ("20260924_01_IS_COMTRX", "unionpay/ncp_comtrx/2026-09-24/file_number=01"),
        ("20260924_01_IS_ERRTRX", "unionpay/ncp_errtrx/2026-09-24/file_number=01"),
    ],
)
def test_names(name: str, slot: str) -> None:
    recognised = recognise(name)
    assert recognised is not None
    assert recognised.slot == slot
    assert expected_name(recognised.channel, recognised.file_kind, DAY).startswith(
        "unionpay/20260924/"
    )


@pytest.mark.parametrize(
    "name",
    ["IND26092401ACOMA", "IND26092499AERRA", "INF26092401C", "INF26092402B", "IND26092499XFCP",
     "20260924_01_IS_SUM", "20260924_IS_COMTRX", "IFD26092432ICOMN", "IND26099901ICOMN"],
)  # fmt: skip
def test_names_we_do_not_know(name: str) -> None:
    assert recognise(name) is None


# --- landing --------------------------------------------------------------------------------------


def test_every_kind_lands_into_its_own_table(place: Settings) -> None:
    day = institution.whole_day()
    for name, content in day:
        put(place, name, content)
    report = landing.land(place)
    assert not report.problems
    assert list(statuses(report).values()) == ["landed"] * len(day)
    for table in GOOD:
        assert count(place, table) == (2 if table == "unionpay_inf" else 1), table
    # None of them counts as a transaction of ours.
    for table in ("unionpay_acomn", "unionpay_aerrn", "unionpay_alfee"):
        assert count(place, table) == 0
    (found,) = query(
        place,
        "select settlement_rate, card_token, transmitted_at from raw.unionpay_upi_icomn",
    )
    assert found[0] == Decimal("0.8442003")
    assert found[1] == secrets.pan_token([make.CARD], settings=place)[0]
    assert found[2] == datetime(2026, 9, 24, 8, 21, 52, tzinfo=UTC)


def test_a_landed_day_holds_no_number_in_the_clear(place: Settings) -> None:
    for name, content in institution.whole_day():
        put(place, name, content)
    landing.land(place)
    shown = "".join(
        str(query(place, f"select string_agg(t::text, ' ') from raw.{table} as t"))
        for table in GOOD
    )
    assert make.CARD[-4:] in shown
    for secret in (make.CARD, *institution.ACCOUNTS, "13800138000", "示例商户"):
        assert secret not in shown


def test_no_model_reads_the_new_tables() -> None:
    """Their money may stand in ACOMN and AERRN once more: a model that reads one is a decision.

    FCP is read since a fee that stands in AERRN, too, counts once (docs/decisions/0072); UPI's
    ICOMN is a channel of its own (docs/decisions/0079).
    """
    models = list((PROJECT_DIR / "dbt_project" / "models").rglob("*.sql"))
    assert len(models) > 20
    for path in models:
        text = path.read_text(encoding="utf-8")
        for table in GOOD.keys() - {"unionpay_fcp", "unionpay_upi_icomn"}:
            assert f"'{table}'" not in text, (path.name, table)


def test_every_column_that_is_not_plain_has_a_comment(own_database: str) -> None:
    with psycopg.connect(own_database) as connection:
        described = connection.execute(
            "select c.relname, count(d.description), obj_description(c.oid) "
            "from pg_class as c inner join pg_attribute as a on a.attrelid = c.oid "
            "and a.attnum > 0 left join pg_description as d on d.objoid = c.oid "
            "and d.objsubid = a.attnum where c.relname = any(%s) "
            "and c.relnamespace = 'raw'::regnamespace group by c.relname, c.oid",
            [list(GOOD)],
        ).fetchall()
    assert len(described) == len(GOOD)
    for name, columns, table in described:
        assert table, name
        assert columns >= 8, name


# --- whatever comes -------------------------------------------------------------------------------

fuzzed = hypothesis_settings(
    max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
NAMED = dict(institution.whole_day())


def raw_parse(name: str, content: bytes) -> ParsedFile | UnreadableFileError:
    """Parse without the registry's net below: only a parser's own error is caught."""
    recognised = recognise(name)
    assert recognised is not None
    try:
        return make.read(recognised.parser, content)
    except UnreadableFileError as error:
        return error


def pieces(result: ParsedFile | UnreadableFileError) -> Iterator[str]:
    """Return what a person would be shown."""
    if isinstance(result, UnreadableFileError):
        yield str(result)
    else:
        yield everything_in(result)


def test_the_good_files_are_good() -> None:
    assert len(NAMED) == 11
    for name, content in NAMED.items():
        recognised = recognise(name)
        assert recognised is not None
        parsed = parse_file(content, recognised, make.FakeVault())
        assert parsed.is_good, (name, parsed.bad_rows)
        assert not parsed.masked, name


@fuzzed
@given(name=st.sampled_from(sorted(NAMED)), content=st.binary(max_size=1500))
def test_a_parser_never_fails_on_any_bytes(name: str, content: bytes) -> None:
    assert isinstance(raw_parse(name, content), ParsedFile | UnreadableFileError)


@fuzzed
@given(data=st.data(), name=st.sampled_from(sorted(NAMED)))
def test_a_damaged_file_fails_safely_and_shows_no_number(data: st.DataObject, name: str) -> None:
    content = bytearray(NAMED[name])
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    result = raw_parse(name, bytes(content)[: len(content) - cut])
    for shown in pieces(result):
        for secret in (make.CARD, *institution.ACCOUNTS):
            assert secret not in shown
