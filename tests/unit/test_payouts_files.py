"""The payment files: format, determinism, and what stands in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from lxml import etree

from samples_folder import SAMPLES, needs_samples
from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text, minor_units
from tieout.payouts import pain001, pain002
from tieout.simulator import bank_answers

SCHEMA = SAMPLES / "schemas" / "pain.001.001.09.xsd"
DEBTOR = pain001.Debtor(
    "示例支付有限公司客户备付金", "6600100200300400", "999100000018", "示例银行"
)
PAYMENT = pain001.Payment(
    end_to_end_id="20260928-A000001-T1-CNY-1",
    amount_minor=123_456,
    currency_code="CNY",
    bank_code="102100000018",
    bank_name="中国工商银行北京分行",
    account_number="6230000000000000001",
    account_name="测试商户000001有限公司",
    remittance_text="商户结算款 settlement 20260928-A000001-T1-CNY",
)
BATCH = pain001.Batch(
    message_id="PO20260928-001-A1",
    payment_date=date(2026, 9, 28),
    currency_code="CNY",
    debtor=DEBTOR,
    payments=(PAYMENT, replace(PAYMENT, end_to_end_id="20260928-A000002-T1-CNY-1", amount_minor=5)),
)


def of_version(name: str) -> pain001.Batch:
    """Return the batch for a bank that takes that version."""
    return replace(BATCH, debtor=replace(DEBTOR, message_name=name))


def test_a_file_reads_back_as_it_was_written() -> None:
    content = pain001.write(BATCH)
    read = pain001.read(content, "file")
    assert read.message_id == "PO20260928-001-A1"
    assert read.requested_on == date(2026, 9, 28)
    assert read.debtor_account_id == "6600100200300400"
    assert (read.payment_count, read.control_sum_minor) == (2, 123_461)
    assert [payment.end_to_end_id for payment in read.payments] == [
        "20260928-A000001-T1-CNY-1",
        "20260928-A000002-T1-CNY-1",
    ]
    assert pain001.write(BATCH) == content


@needs_samples
@pytest.mark.parametrize("name", pain001.MESSAGE_NAMES)
def test_a_file_is_valid_against_the_public_schema(name: str) -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA.with_name(f"{name}.xsd"))))
    schema.assertValid(etree.fromstring(pain001.write(of_version(name))))


ADDRESS = pain001.Address("北京", "CN", "示例大街", "1", "100000")
ADDRESSES = {
    "whole": (ADDRESS, ["StrtNm", "BldgNb", "PstCd", "TwnNm", "Ctry"]),
    "least": (pain001.Address("北京", "CN"), ["TwnNm", "Ctry"]),
}


@pytest.mark.parametrize("name", pain001.MESSAGE_NAMES)
@pytest.mark.parametrize("of_payee", ADDRESSES)
def test_an_address_is_structured_and_after_the_name(name: str, of_payee: str) -> None:
    address, elements = ADDRESSES[of_payee]
    batch = replace(of_version(name), payments=(replace(PAYMENT, address=address),))
    content = pain001.write(batch)
    (creditor,) = etree.fromstring(content).findall(".//{*}Cdtr")
    assert [etree.QName(part).localname for part in creditor] == ["Nm", "PstlAdr"]
    assert [etree.QName(part).localname for part in creditor[1]] == elements
    assert b"AdrLine" not in content
    assert pain001.read(content, "file").payments[0].account_name == PAYMENT.account_name


@needs_samples
@pytest.mark.parametrize("name", pain001.MESSAGE_NAMES)
@pytest.mark.parametrize("of_payee", ADDRESSES)
def test_an_address_is_valid_against_the_public_schema(name: str, of_payee: str) -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA.with_name(f"{name}.xsd"))))
    payment = replace(PAYMENT, address=ADDRESSES[of_payee][0])
    schema.assertValid(
        etree.fromstring(pain001.write(replace(of_version(name), payments=(payment,))))
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"country_code": "CHN"}, "country_code has 3 characters"),
        ({"country_code": "cn"}, "two capital letters"),
        ({"country_code": "C"}, "two capital letters"),
        ({"town": "市" * 36}, "town has 36 characters"),
        ({"town": " "}, "town is empty"),
        ({"street": "街" * 71}, "street has 71 characters"),
        ({"building": "1" * 17}, "building has 17 characters"),
        ({"post_code": "1" * 17}, "post_code has 17 characters"),
    ],
)
def test_an_address_no_file_can_hold_is_not_written(change: dict[str, str], words: str) -> None:
    payment = replace(PAYMENT, address=replace(ADDRESS, **change))
    with pytest.raises(TieoutError, match=words):
        pain001.write(replace(BATCH, payments=(payment,)))


def test_a_bank_that_wants_an_address_gets_no_payment_without() -> None:
    debtor = replace(DEBTOR, is_address_wanted=True)
    with pytest.raises(TieoutError, match="structured address"):
        pain001.write(replace(BATCH, debtor=debtor))


@pytest.mark.parametrize("name", pain001.MESSAGE_NAMES)
def test_every_version_reads_back_with_the_same_payments(name: str) -> None:
    content = pain001.write(of_version(name))
    assert f"xsd:{name}".encode() in content
    read = pain001.read(content, "file")
    assert read.message_name == name
    assert read == replace(pain001.read(pain001.write(BATCH), "file"), message_name=name)
    report = bank_answers.status_report(read, date(2026, 9, 28), {})
    assert f"<OrgnlMsgNmId>{name}<".encode() in report


def test_another_version_is_neither_written_nor_read() -> None:
    with pytest.raises(TieoutError, match="payment_message"):
        pain001.write(of_version("pain.001.001.08"))
    content = pain001.write(BATCH).replace(b"pain.001.001.09", b"pain.001.001.08")
    with pytest.raises(TieoutError, match=r"pain\.001\.001\.09 or"):
        pain001.read(content, "file")


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (replace(BATCH, payments=()), "0 payments"),
        (replace(BATCH, payments=(PAYMENT,) * 2), "twice"),
        (replace(BATCH, payments=(replace(PAYMENT, amount_minor=0),)), "above zero"),
        (replace(BATCH, payments=(replace(PAYMENT, currency_code="USD"),)), "another currency"),
        (replace(BATCH, message_id="x" * 36), "35"),
        (replace(BATCH, payments=(replace(PAYMENT, account_number="1" * 35),)), "34"),
        (
            replace(
                BATCH,
                payments=tuple(
                    replace(PAYMENT, end_to_end_id=f"id-{number}") for number in range(3_001)
                ),
            ),
            "3001 payments",
        ),
    ],
)
def test_a_wrong_batch_is_not_written(broken: pain001.Batch, word: str) -> None:
    with pytest.raises(TieoutError) as error:
        pain001.write(broken)
    assert word in str(error.value)
    assert "623000" not in str(error.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"<NbOfTxs>2</NbOfTxs>", b"<NbOfTxs>3</NbOfTxs>"),
        (b"<CtrlSum>1234.61</CtrlSum>", b"<CtrlSum>1234.62</CtrlSum>"),
        (b">0.05</InstdAmt>", b">0.06</InstdAmt>"),
        (b"pain.001.001.09", b"pain.001.001.03"),
        (b"<EndToEndId>", b"<Endtoendid>"),
    ],
)
def test_a_changed_file_does_not_read(before: bytes, after: bytes) -> None:
    content = pain001.write(BATCH)
    assert before in content
    with pytest.raises(TieoutError):
        pain001.read(content.replace(before, after), "file")


def test_payments_do_not_show_account_data() -> None:
    assert "623000" not in repr(BATCH)
    assert "测试商户" not in repr(BATCH)
    assert "623000" not in repr(pain001.read(pain001.write(BATCH), "file"))


@pytest.mark.parametrize(
    ("amount_minor", "currency_code", "text"),
    [(0, "CNY", "0.00"), (5, "CNY", "0.05"), (-5, "CNY", "-0.05"), (123, "JPY", "123")],
)
def test_amounts_go_both_ways(amount_minor: int, currency_code: str, text: str) -> None:
    assert decimal_text(amount_minor, currency_code) == text
    assert minor_units(text, currency_code) == amount_minor


@pytest.mark.parametrize(
    ("text", "currency_code", "why"),
    [
        ("1.005", "CNY", "finer than one minor unit"),
        ("1.5", "JPY", "finer than one minor unit"),
        ("1e3", "CNY", "not a plain decimal"),
        ("1 0", "CNY", "not a plain decimal"),
        ("５", "CNY", "not a plain decimal"),
        ("1234567890123456", "CNY", "at most 15 digits"),
        ("", "CNY", "not a plain decimal"),
        ("1", "XXX", "powers of ten"),
    ],
)
def test_an_unreadable_amount_raises(text: str, currency_code: str, why: str) -> None:
    with pytest.raises(TieoutError, match=why):
        minor_units(text, currency_code)


# The order in which the public schema's sequences want what we write (pain.001.001.09). It holds
# where the schema itself is not at hand, and says which rule a change would break.
SEQUENCES = {
    "GrpHdr": ["MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty"],
    "PmtInf": [
        "PmtInfId",
        "PmtMtd",
        "BtchBookg",
        "NbOfTxs",
        "CtrlSum",
        "ReqdExctnDt",
        "Dbtr",
        "DbtrAcct",
        "DbtrAgt",
        "ChrgBr",
        "CdtTrfTxInf",
        "CdtTrfTxInf",
    ],
    "CdtTrfTxInf": ["PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf"],
    "PmtId": ["InstrId", "EndToEndId"],
    "DbtrAcct": ["Id", "Ccy"],
    "FinInstnId": ["ClrSysMmbId", "Nm"],
    "ClrSysMmbId": ["ClrSysId", "MmbId"],
}


def test_elements_stand_in_the_order_of_the_schema() -> None:
    root = etree.fromstring(pain001.write(BATCH))
    found = {name: root.findall(f".//{{*}}{name}") for name in SEQUENCES}
    assert all(found.values())
    for name, elements in found.items():
        for element in elements:
            assert [etree.QName(child).localname for child in element] == SEQUENCES[name]


@needs_samples
@pytest.mark.parametrize("rejects", [{}, {"20260928-A000001-T1-CNY-1": "AC01"}])
@pytest.mark.parametrize("silent", [frozenset(), frozenset({"20260928-A000002-T1-CNY-1"})])
def test_the_simulated_answers_are_valid_against_the_public_schema(
    rejects: dict[str, str], silent: frozenset[str]
) -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA.with_name("pain.002.001.10.xsd"))))
    batch = pain001.read(pain001.write(BATCH), "file")
    report = bank_answers.status_report(batch, date(2026, 9, 28), rejects, silent)
    schema.assertValid(etree.fromstring(report))


REAL_REPORTS = SAMPLES / "pain002"


@needs_samples
@pytest.mark.parametrize(
    ("name", "original", "group", "reason"),
    [
        ("moov__pain002-epo_p_0_0_0_2018031510491259.xml", "MsgId-001", "accepted", None),
        ("moov__pain002-epo_p_0_0_0_2018032614401842.xml", "MsgId-005", "failed", "AM10"),
        (
            "moov__pain002-chdd-cor1_p_ch2909000000250094239_1110097483_0_2018031317221082.xml",
            "MsgId-CHDD-Musterfile",
            "accepted",
            None,
        ),
    ],
)
def test_real_reports_on_a_whole_file_read(
    name: str, original: str, group: str, reason: str | None
) -> None:
    report = pain002.read((REAL_REPORTS / name).read_bytes(), name)
    assert report.original_message_id == original
    assert (report.group_state, report.group_reason_code) == (group, reason)
    assert report.transactions == ()


@needs_samples
def test_a_real_report_on_single_payments_reads() -> None:
    name = "moov__pain002-epo_p_ch2909000000250094239_1109800799_0_2018032612092784.xml"
    report = pain002.read((REAL_REPORTS / name).read_bytes(), name)
    assert [(line.state, line.reason_code) for line in report.transactions] == [("failed", "AC01")]


@needs_samples
@pytest.mark.parametrize(
    "name", ["moov__invalid_pain_v11.xml", "oca__test-sepa-pain-unpaid-invalid.xml"]
)
def test_a_real_report_that_is_broken_does_not_read(name: str) -> None:
    with pytest.raises(TieoutError, match=r"not a pain\.002"):
        pain002.read((REAL_REPORTS / name).read_bytes(), name)
