"""The agency-payout layout: written, read back, and its answers, wrong in every way we know."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples_folder import SAMPLES, needs_samples
from tieout.core.errors import TieoutError
from tieout.payouts import agency, rails
from tieout.payouts.batches import Batch, Debtor, Payment
from tieout.simulator import bank_answers

SOURCE = "payouts/20260928/agency_payout_PO20260928-001-A1.txt"
DEBTOR = Debtor(
    "示例支付有限公司",
    "6600100200300400",
    "999100000018",
    "示例银行",
    rail="agency_payout",
    customer_id="200000400059",
)
PAYMENT = Payment(
    end_to_end_id="20260928-A000001-T1-CNY-1",
    amount_minor=123_456,
    currency_code="CNY",
    bank_code="102100000017",
    bank_name="中国工商银行北京支行",
    account_number="6230000000000000001",
    account_name="测试商户000001有限公司",
    remittance_text="商户结算款",
)
SECOND = replace(PAYMENT, end_to_end_id="20260928-A000002-T1-CNY-1", amount_minor=5)
BATCH = Batch("PO20260928-001-A1", date(2026, 9, 28), "CNY", DEBTOR, (PAYMENT, SECOND))


def answer(*lines: str, head: str = "", count: int | None = None, total: str = "0.00") -> bytes:
    """Return an answer of these lines; `head` is its first line, else one of their number."""
    number = len(lines) if count is None else count
    first = head or f"S|&|200000400059|&|PO20260928-001-A1|&|S|&|0001|&|CNY|&|{number}|&|{total}|&|"
    return "\r\n".join([first, *lines, "E|&|"]).encode()


def line(number: int, code: str, reason: str = "", amount: str = "0.05", id_: str = "") -> str:
    return f"{number}|&|{id_ or f'P{number}'}|&|{amount}|&|CNY|&|{code}|&|{reason}|&||&|"


def test_a_file_has_the_layout_and_reads_back() -> None:
    content = agency.write(BATCH)
    first, one, _, last = content.decode().split("\r\n")
    assert first == "S|&|200000400059|&|示例支付有限公司|&|2|&|1234.61|&|"
    assert one == (
        "1|&|20260928-A000001-T1-CNY-1|&|中国工商银行北京支行|&|00|&|6230000000000000001|&|"
        "测试商户000001有限公司|&|00|&|00|&|中国工商银行北京支行|&|102100000017|&|00|&|CNY|&|"
        "1234.56|&||&|00|&|00|&|商户结算款|&|00|&|"
    )
    assert last == "E|&|"
    read = agency.read(content, SOURCE)
    assert (read.message_id, read.payment_count) == ("PO20260928-001-A1", 2)
    assert read.control_sum_minor == 123_461
    assert [payment.account_number for payment in read.payments] == ["6230000000000000001"] * 2
    assert "623000" not in repr(read)


@needs_samples
def test_a_real_file_has_the_fields_we_write() -> None:
    """The public sample reads; its identity documents and accounts are not ours to write."""
    content = (SAMPLES / "payout_chanpay" / "T11101.txt").read_bytes()
    read = agency.read(content, "T11101.txt")
    assert (read.payment_count, read.control_sum_minor) == (2, 30_124)
    assert {payment.bank_code for payment in read.payments} == {"102100009980"}


TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("|&"), min_size=1)


@given(TEXTS.filter(lambda text: len(text) <= 60))
def test_a_name_reads_back_as_it_was_or_is_refused(name: str) -> None:
    payment = replace(PAYMENT, account_name=name)
    batch = replace(BATCH, payments=(payment,))
    if agency.why_payment_unwritable(payment) is None:
        (read,) = agency.read(agency.write(batch), SOURCE).payments
        assert read.account_name == name
    else:
        with pytest.raises(TieoutError):
            agency.write(batch)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (replace(BATCH, payments=(replace(PAYMENT, account_name="商" * 61),)), "takes 60"),
        (replace(BATCH, payments=(replace(PAYMENT, account_number="1" * 33),)), "takes 32"),
        (replace(BATCH, payments=(replace(PAYMENT, account_name="a|&|b"),)), "parts the fields"),
        (replace(BATCH, payments=(replace(PAYMENT, account_name="a|&"),)), "parts the fields"),
        (replace(BATCH, payments=(replace(PAYMENT, account_name="a\nb"),)), r"U\+000A"),
        (replace(BATCH, debtor=replace(DEBTOR, customer_id="")), "customer_id"),
        (replace(BATCH, debtor=replace(DEBTOR, name="a|&|")), "account_name of the paying"),
        (replace(BATCH, debtor=replace(DEBTOR, payments_per_file_max=1)), "takes 1 to 1"),
        (replace(BATCH, debtor=replace(DEBTOR, payment_minor_max=123_455)), "123455 at most"),
        (replace(BATCH, debtor=replace(DEBTOR, is_address_wanted=True)), "structured address"),
    ],
)
def test_what_the_agency_does_not_take_is_not_written(broken: Batch, words: str) -> None:
    with pytest.raises(TieoutError, match=words) as error:
        agency.write(broken)
    assert "623000" not in str(error.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("S|&|", "T|&|"),
        ("|&|2|&|1234.61", "|&|3|&|1234.61"),
        ("|&|2|&|1234.61", "|&|2|&|1234.62"),
        ("|&|0.05|&|", "|&|0.06|&|"),
        ("\r\nE|&|", ""),
        ("|&|0.05|&|", "|&|0.05|&||&|"),
        ("\r\n2|&|", "\r\n3|&|"),
    ],
)
def test_a_changed_file_does_not_read(before: str, after: str) -> None:
    text = agency.write(BATCH).decode()
    assert before in text
    with pytest.raises(TieoutError, match=r"line \d"):
        agency.read(text.replace(before, after).encode(), SOURCE)


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("000000", "paid"),
        ("111111", "failed"),
        ("000002", "accepted"),
        ("000004", "accepted"),
        ("000001", "unknown"),
        ("000005", "unknown"),
        ("000006", "unknown"),
        ("000010", "unknown"),
        ("000050", "unknown"),
        ("900001", "unknown"),
        ("900002", "unknown"),
        ("900003", "unknown"),
    ],
)
def test_only_one_code_says_that_a_payment_failed(code: str, state: str) -> None:
    """The vendor's document: unknown and timeout are no failures, nothing is sent again."""
    assert len(agency.DETAIL_STATES) == 12
    report = agency.read_answer(answer(line(1, code, "AC01"), total="0.05"), "a.txt")
    (found,) = report.transactions
    assert (found.state, found.reason_code, found.amount_minor) == (state, "AC01", 5)
    (bare,) = agency.read_answer(answer(line(1, code), total="0.05"), "a.txt").transactions
    assert bare.reason_code == (code if state in ("failed", "unknown") else None)


@pytest.mark.parametrize(
    ("code", "state"), [("0000", "accepted"), ("0001", None), ("0002", "failed"), ("0003", None)]
)
def test_an_answer_without_lines_is_an_acknowledgement(code: str, state: str | None) -> None:
    head = f"S|&|200000400059|&|PO20260928-001-A1|&|D|&|{code}|&|CNY|&|0|&|0.00|&|"
    report = agency.read_answer(answer(head=head), "a.txt")
    assert report.original_message_id == "PO20260928-001-A1"
    assert (report.group_state, report.transactions) == (state, ())


GOOD = answer(line(1, "000000"), line(2, "111111", "AC01"), total="0.10")


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"", 1, "empty"),
        (b"\r\n", 1, "cut, or not"),
        (GOOD[:-4], 3, "cut"),
        (GOOD[: GOOD.rindex(b"\r\n")], 3, "the file is cut"),
        (GOOD[:-1], 4, "cut, or not"),
        (GOOD.replace(b"\r\n", b"\n"), 1, "CRLF"),
        (GOOD.replace(b"P1", b"\xff\xfe"), 2, "not UTF-8"),
        (GOOD.replace(b"|&|000000|&|", b"|&|000099|&|"), 2, "'000099' is not a known code"),
        (GOOD.replace(b"|&|0001|&|", b"|&|0009|&|"), 1, "'0009' is not a known code"),
        (GOOD.replace(b"|&|S|&|", b"|&|X|&|"), 1, "'X' is not a known code"),
        (GOOD.replace(b"|&|2|&|0.10", b"|&|3|&|0.10"), 1, "states '3' payments and has 2"),
        (GOOD.replace(b"|&|0.10|&|", b"|&|0.11|&|"), 1, "states 0.11 and has 0.10"),
        (GOOD.replace(b"|&|P2|&|", b"|&|P1|&|"), 3, "twice"),
        (GOOD.replace(b"|&|P2|&|", b"|&||&|"), 3, "which payment"),
        (GOOD.replace(b"\r\n2|&|", b"\r\n7|&|"), 3, "instead of 2"),
        (GOOD.replace(b"|&|0.05|&|CNY|&|111111", b"|&|0.05|&|USD|&|111111"), 3, "currency"),
        (GOOD.replace(b"|&|0.05|&|CNY|&|000000", b"|&|x|&|CNY|&|000000"), 2, "plain decimal"),
        (GOOD.replace(b"|&|AC01", b"|&|AC01|&|more"), 3, "fields instead of 7"),
        (GOOD.replace(b"|&|0001|&|", b"|&|0002|&|"), 2, "the batch failed"),
        (GOOD.replace(b"|&|PO20260928-001-A1|&|", b"|&||&|"), 1, "which batch"),
    ],
)
def test_a_wrong_answer_counts_for_nothing_and_names_its_line(
    content: bytes, where: int, words: str
) -> None:
    assert content != GOOD
    with pytest.raises(TieoutError, match=words) as error:
        agency.read_answer(content, "bank/20260928/agency_answer_A.txt")
    assert error.value.why.startswith(f"line {where}: ")


def test_the_simulated_agency_answers_in_this_layout() -> None:
    read = agency.read(agency.write(BATCH), SOURCE)
    content = bank_answers.agency_answer(read, {SECOND.end_to_end_id: "AC01"})
    report = agency.read_answer(content, "a.txt")
    assert [(item.end_to_end_id, item.state) for item in report.transactions] == [
        (PAYMENT.end_to_end_id, "paid"),
        (SECOND.end_to_end_id, "failed"),
    ]
    silent = bank_answers.agency_answer(read, {}, frozenset({PAYMENT.end_to_end_id}))
    assert agency.read_answer(silent, "a.txt").group_state is None


def test_each_file_name_is_of_one_rail() -> None:
    assert set(rails.RAILS) == {"pain001", "agency_payout"}
    for name, rail in rails.RAILS.items():
        found = rails.paying(rail.file_name("PO1"))
        assert found is not None
        assert (found.name, found.message_id(rail.file_name("PO1"))) == (name, "PO1")
    assert rails.paying(".pain001_PO1.xml.part") is None
    assert rails.paying("chain_heads.json") is None
    with pytest.raises(TieoutError, match="no rail fax"):
        rails.of("fax")
