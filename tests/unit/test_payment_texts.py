"""What a payment file can hold is said once: at the door, before the statements, by the writer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

import channel_files as make
import payment_world
from payment_world import ACCOUNTING_DATES, BANK_CODE, PAYMENT_DATE, World, decide, rename
from tieout import payouts
from tieout.channels.platform import csv_files
from tieout.core.errors import TieoutError
from tieout.core.payment_texts import LENGTH_MAX, why_unwritable
from tieout.payouts import pain001

DEBTOR = pain001.Debtor("示例支付有限公司", "6600100200300400", "999100000018", "示例银行")
PAYMENT = pain001.Payment(
    end_to_end_id="20260928-A000001-T1-CNY-1",
    amount_minor=123_456,
    currency_code="CNY",
    bank_code=BANK_CODE,
    bank_name="中国工商银行北京分行",
    account_number="6230000000000000001",
    account_name="测试商户000001有限公司",
    remittance_text="商户结算款",
)
BATCH = pain001.Batch("PO20260928-001-A1", PAYMENT_DATE, "CNY", DEBTOR, (PAYMENT,))
BAD_TEXTS = {
    "too long": "测" * 141,
    "control": "测试\x0b商户有限公司",
    "tab": "测试\t商户",
    "delete": "测试\x7f商户",
    "noncharacter": "测试\ufffe商户",
    "noncharacter of a higher plane": "测试\U0001ffff商户",
    "surrogate": "测试\ud800商户",
    "blank": "\u3000",
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_text_no_file_can_hold_is_told_without_it(text: str) -> None:
    why = why_unwritable("account_name", text)
    assert why is not None
    assert "account_name" in why
    assert "测试" not in why


def test_every_field_takes_its_longest_text() -> None:
    assert LENGTH_MAX
    for field, length in LENGTH_MAX.items():
        letter = "A" if field == "country_code" else "𠀀"
        assert why_unwritable(field, letter * length) is None
        assert f"has {length + 1} characters" in str(why_unwritable(field, "𠀀" * (length + 1)))


@given(st.text(min_size=1, max_size=140), st.sampled_from(pain001.MESSAGE_NAMES))
def test_what_is_writable_reads_back_as_it_was(text: str, message_name: str) -> None:
    batch = replace(
        BATCH,
        debtor=replace(DEBTOR, message_name=message_name),
        payments=(replace(PAYMENT, account_name=text, bank_name=text),),
    )
    if why_unwritable("account_name", text) is None:
        content = pain001.write(batch)
        assert pain001.read(content, "file").payments[0].account_name == text
        names = etree.fromstring(content).findall(".//{*}CdtrAgt//{*}Nm")
        assert [name.text for name in names] == [text]
    else:
        with pytest.raises(TieoutError, match="payment 20260928-A000001-T1-CNY-1"):
            pain001.write(batch)


@pytest.mark.parametrize("field", ["account_name", "bank_name", "remittance_text", "bank_code"])
def test_the_writer_names_the_payment_and_the_field(field: str) -> None:
    broken = replace(BATCH, payments=(replace(PAYMENT, **{field: "x" * 141}),))
    with pytest.raises(TieoutError, match=f"{PAYMENT.end_to_end_id}: {field} has 141 characters"):
        pain001.write(broken)


def test_a_sum_with_too_many_digits_is_not_written() -> None:
    payment = replace(PAYMENT, amount_minor=10**18)
    with pytest.raises(TieoutError, match="more than 18 digits"):
        pain001.write(replace(BATCH, payments=(payment,)))


# --- at the door ----------------------------------------------------------------------------------


def test_each_column_of_the_payment_file_is_looked_at() -> None:
    schema = json.loads(csv_files.SCHEMA_PATH.read_text(encoding="utf-8"))
    marked = {
        column["name"]
        for column in schema["file_kinds"]["payees"]["columns"]
        if column.get("in_payment_file")
    }
    address = {"town", "post_code", "street", "building"}
    assert marked == {"account_name", "account_number", "bank_code", "bank_name"} | address
    assert marked <= set(LENGTH_MAX)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("account_name", text) for name, text in BAD_TEXTS.items() if name != "surrogate"),
        ("bank_name", "行" * 141),
        ("bank_name", "示例\x1f银行"),
    ],
)
def test_a_payee_no_file_can_name_does_not_land(field: str, text: str) -> None:
    rows = [make.PAYEE, {**make.PAYEE, "payee_id": "P000002", field: text}]
    content = make.platform_file("payees", rows)
    parsed = make.platform_parsed(content, make.context(), file_kind="payees")
    found = [bad for bad in parsed.bad_rows if bad.reason_code == "unwritable"]
    if text.strip() != text:
        assert not parsed.is_good
        return
    assert [(bad.line_number, bad.field) for bad in found] == [(3, field)]
    assert "a payment file" in found[0].reason or "no payment file" in found[0].reason
    assert field == "bank_name" or text not in repr(parsed.bad_rows)


def test_the_longest_names_land() -> None:
    row = {**make.PAYEE, "account_name": "测" * 140, "bank_name": "行" * 140}
    content = make.platform_file("payees", [row])
    assert make.platform_parsed(content, make.context(), file_kind="payees").bad_rows == ()


# --- where it has landed already ------------------------------------------------------------------


def unwritable(world: World) -> list[tuple[object, ...]]:
    return world.rows(
        "select payment_date, payee_id, payee_version, reason from payout.unwritable_payees"
        " order by payee_id"
    )


def test_payees_no_file_can_name_are_found_before_the_statements(world: World) -> None:
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 0
    rename(world, "测" * 150)
    world.execute(
        "update raw.platform_payees set bank_name = %s where payee_id = 'P000002'", ["行" * 141]
    )
    for _ in range(2):
        assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 2
    assert unwritable(world) == [
        (
            PAYMENT_DATE,
            "P000001",
            1,
            "account_name has 150 characters; a payment file takes 1 to 140 of them",
        ),
        (
            PAYMENT_DATE,
            "P000002",
            1,
            "bank_name has 141 characters; a payment file takes 1 to 140 of them",
        ),
    ]
    rename(world, "测试")
    world.execute("update raw.platform_payees set bank_name = '行'")
    assert payouts.note_unwritable(world.settings, PAYMENT_DATE) == 0
    assert unwritable(world) == []


def test_only_the_snapshot_of_the_date_is_looked_at(world: World) -> None:
    rename(world, "测" * 150)
    assert payouts.note_unwritable(world.settings, ACCOUNTING_DATES[-1]) == 0
    assert payouts.note_unwritable(world.settings, date(2026, 12, 1)) == 0


@pytest.mark.parametrize("text", ["测" * 150, "测试\x0b商户有限公司"])
def test_nothing_is_attempted_that_no_file_can_hold(world: World, text: str) -> None:
    rename(world, text)
    decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    sealed: list[object] = []
    with pytest.raises(TieoutError, match=f"{payment_world.statement_id(1)}-1: account_name") as e:
        payouts.submit(world.settings, PAYMENT_DATE, seal=sealed.append)
    assert "测试" not in str(e.value)
    assert sealed == []
    assert world.value("select count(*) from payout.attempts") == 0
    assert world.files("payouts") == {}
