"""The payment files: format, determinism, and what stands in them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from lxml import etree

from tieout.errors import TieoutError
from tieout.payouts import pain001
from tieout.payouts.amounts import decimal_text, minor_units

SCHEMA = Path("/work/shared/samples/schemas/pain.001.001.09.xsd")
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


@pytest.mark.skipif(not SCHEMA.exists(), reason="the public schema is not on this machine")
def test_a_file_is_valid_against_the_public_schema() -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
    schema.assertValid(etree.fromstring(pain001.write(BATCH)))


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
    ("text", "currency_code"), [("1.005", "CNY"), ("1e3", "CNY"), ("", "CNY"), ("1", "XXX")]
)
def test_an_unreadable_amount_raises(text: str, currency_code: str) -> None:
    with pytest.raises(TieoutError):
        minor_units(text, currency_code)
