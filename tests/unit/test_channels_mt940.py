"""MT940: pages, signs, amounts and lines of the file; what does not add up, and real samples."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import channel_files as make
from samples_folder import SAMPLES, needs_samples
from tieout.channels.bank import mt940
from tieout.channels.bank.camt053 import DETAILS_TABLE, LINES_TABLE, STATEMENTS_TABLE
from tieout.channels.common.model import ParsedFile, UnreadableFileError
from tieout.channels.registry import parse_file, recognise
from tieout.simulator import bank

MT940_SAMPLES = SAMPLES / "mt940"
DAY = date(2026, 9, 28)
ACCOUNT = "6600100200300418"
NAME = f"mt940_{ACCOUNT}_20260928_7.sta"
ALIPAY = "支付宝（中国）网络技术有限公司"

ONE_PAGE = f"""\
:20:2026092800007
:25:999100000018/{ACCOUNT}CNY
:28C:7/1
:60F:C260925CNY75200,
:61:2609280928D2641,31NMSCNONREF//2026092810001
:86:820?00?20SVWZ+ALIPAYFEE 2026W39?32{ALIPAY}
:61:2609270928RD100,5NTRFOWNREF
:86:reversal of a charge
:12:11 is a time of day, not a field
:61:260928RC0,5NTRFNONREF
:86:159?00RETOURE?20EREF+20260928-A000003-T1-CNY-?211?22KREF+M1?23SVWZ+back?32Wang Xiaoming
:62F:C260928CNY72658,69
-
"""
TWO_PAGES = f"""\
{{1:F01BANKCNBJAXXX0000000000}}{{2:O9400000}}{{4:
:20:A
:25:{ACCOUNT}
:28C:7/1
:60F:D260925CNY10,00
:61:2609280928C4,00NTRFNONREF
:62M:D260928CNY6,00
-}}
{{1:F01BANKCNBJAXXX0000000000}}{{4:
:20:A
:25:{ACCOUNT}
:28C:7/2
:60M:D260928CNY6,00
:61:2609280928D1,00NTRFNONREF
:62F:D260928CNY7,00
-}}
"""


def parse(text: str | bytes, name: str = NAME) -> ParsedFile:
    recognised = recognise(name)
    assert recognised is not None
    content = text if isinstance(text, bytes) else text.encode()
    return parse_file(content, recognised, make.FakeVault())


def findings(parsed: ParsedFile) -> list[tuple[int, str, str]]:
    return [(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows]


def test_a_statement_with_all_signs() -> None:
    parsed = parse(ONE_PAGE)
    assert parsed.is_good, parsed.bad_rows
    statement = parsed.frames[STATEMENTS_TABLE].row(0, named=True)
    assert statement == {
        "line_number": 1,
        "statement_id": "2026092800007-7",
        "bank_account_id": ACCOUNT,
        "statement_date": DAY,
        "sequence_number": 7,
        "currency_code": "CNY",
        "opening_balance_minor": 7_520_000,
        "closing_balance_minor": 7_265_869,
        "entry_count": 3,
    }
    lines = parsed.frames[LINES_TABLE]
    assert lines["line_number"].to_list() == [5, 7, 10]
    assert lines["amount_minor"].to_list() == [-264_131, 10_050, -50]
    assert lines["is_reversal"].to_list() == [False, True, True]
    assert lines["is_return"].to_list() == [False, False, True]
    assert lines["booking_date"].to_list() == [DAY] * 3
    assert lines["value_date"].to_list() == [DAY, DAY - timedelta(days=1), DAY]
    assert lines["entry_reference"].to_list() == ["2026092810001", "OWNREF", None]
    assert lines["remittance_text"].to_list() == [
        "ALIPAYFEE 2026W39",
        "reversal of a charge :12:11 is a time of day, not a field",
        "back",
    ]
    assert lines["end_to_end_id"].to_list() == [None, None, "20260928-A000003-T1-CNY-1"]
    assert lines["batch_message_id"].to_list() == [None, None, "M1"]
    assert lines["counterparty_name"][0] == ALIPAY
    # The other side of a payout is a person or a shop: masked.
    assert "Xiaoming" not in str(lines["counterparty_name"][2])
    assert lines["bank_transaction_code"].to_list() == ["NMSC/820", "NTRF", "NTRF/159"]
    assert parsed.frames[DETAILS_TABLE].is_empty()


def test_pages_are_one_statement() -> None:
    parsed = parse(TWO_PAGES)
    assert parsed.is_good, parsed.bad_rows
    statement = parsed.frames[STATEMENTS_TABLE].row(0, named=True)
    assert (statement["opening_balance_minor"], statement["closing_balance_minor"]) == (-1000, -700)
    assert statement["entry_count"] == 2
    assert parsed.frames[LINES_TABLE]["line_number"].to_list() == [6, 14]
    assert [total.name for total in parsed.totals] == ["closing_balance 7/1", "closing_balance 7/2"]
    assert parsed.declared_total_minor == parsed.counted_total_minor == 300


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((":62F:C260928CNY72658,69", ":62M:C260928CNY72658,69"), (1, "62F", "missing_balance")),
        ((":60F:C260925CNY75200,", ":60M:C260925CNY75200,"), (1, "60", "missing_page")),
        ((":28C:7/1", ":28C:7/2"), (1, "28C", "missing_page")),
        ((":28C:7/1", ":28C:8/1"), (1, "sequence_number", "wrong_name")),
        (("D2641,31N", "D2641,315N"), (5, "61", "not_an_amount")),
        (("D2641,31N", "X2641,31N"), (5, "61", "not_a_statement_line")),
        ((":86:159?", ":86:15?"), (11, "86", "not_structured")),
        ((":61:2609280928D", ":61:2602300230D"), (5, "61", "not_a_date")),
        (("C260925CNY75200,", "C260925XXX75200,"), (4, "60F", "unknown_currency")),
        (("C260925CNY75200,", "C260925CNY75200,001"), (4, "60F", "not_an_amount")),
        (("C260928CNY72658", "C260929CNY72658"), (1, "statement_date", "wrong_date")),
        ((f"{ACCOUNT}CNY", "6600100200300400"), (1, "bank_account_id", "wrong_name")),
        ((":62F:C260928CNY72658,69\n", ""), (1, "62", "missing_element")),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    change: tuple[str, str], expected: tuple[int, str, str]
) -> None:
    assert change[0] in ONE_PAGE
    parsed = parse(ONE_PAGE.replace(*change, 1))
    assert expected in findings(parsed)
    assert not parsed.frames


def test_a_line_that_is_missing_breaks_the_balance() -> None:
    short = ONE_PAGE.replace(":61:2609270928RD100,5NTRFOWNREF\n:86:reversal of a charge\n", "")
    parsed = parse(short)
    assert not parsed.bad_rows
    assert parsed.totals_status == "disagree"
    assert [(total.declared, total.counted) for total in parsed.totals] == [(7_265_869, 7_255_819)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (":60M:D260928CNY6,00", ":60M:D260928CNY6,01"),
        (":28C:7/2", ":28C:7/3"),
        (":28C:7/2", ":28C:8/2"),
    ],
)
def test_a_page_that_does_not_continue_the_one_before(before: str, after: str) -> None:
    parsed = parse(TWO_PAGES.replace(before, after))
    assert (10, "28C", "broken_pages") in findings(parsed)


@pytest.mark.parametrize("content", [b"", b"\x00:20:A", b"\xff\xff\xff", b"no field at all\n"])
def test_a_file_that_is_no_mt940(content: bytes) -> None:
    parsed = parse(content)
    assert next(row.reason_code for row in parsed.bad_rows) in {"no_mt940", "bad_encoding"}


def test_an_excerpt_shows_no_account_number() -> None:
    parsed = parse(ONE_PAGE.replace("D2641,31NMSCNONREF//2026092810001", f"X9,9N{ACCOUNT}"))
    assert parsed.bad_rows
    assert not any(ACCOUNT in row.excerpt for row in parsed.bad_rows)


@given(
    opening=st.integers(-(10**12), 10**12),
    lines=st.lists(
        st.tuples(
            st.integers(-(10**11), 10**11).filter(bool),
            st.text("支付宝AB 0123456789/(),.-", min_size=1, max_size=80).map(
                lambda text: "".join(text.split()) or "x"
            ),
        ),
        max_size=12,
    ),
)
def test_what_the_simulated_bank_writes_is_read_back(
    opening: int, lines: Sequence[tuple[int, str]]
) -> None:
    written = [bank.BankLine(amount, ALIPAY, text) for amount, text in lines]
    content = bank.statement_mt940(bank.FEE_ACCOUNT_ID, DAY, 7, opening, written)
    parsed = parse(content)
    assert parsed.is_good, parsed.bad_rows
    statement = parsed.frames[STATEMENTS_TABLE].row(0, named=True)
    assert statement["opening_balance_minor"] == opening
    assert statement["closing_balance_minor"] == opening + sum(amount for amount, _ in lines)
    read = parsed.frames[LINES_TABLE]
    pairs = list(zip(read["amount_minor"], read["remittance_text"], strict=True))
    assert pairs == [(amount, text) for amount, text in lines]
    rows = content.decode().split("\r\n")
    assert all(rows[number - 1].startswith(":61:") for number in read["line_number"])


@pytest.mark.parametrize("raw", ["12,3", "12,30", "12.30", "12,", "012,3"])
def test_amounts_are_exact(raw: str) -> None:
    parsed = parse(ONE_PAGE.replace("RD100,5", f"RD{raw}"))
    assert parsed.totals[0].counted - parsed.totals[0].declared == -10_050 + (
        1200 if raw == "12," else 1230
    )


@needs_samples
@pytest.mark.parametrize(
    ("name", "rows", "totals"),
    [
        ("betterplace__sepa_mt9401", 97, "agree"),
        ("jejik__generic", 2, "agree"),
        ("jejik__sns", 2, "agree"),
        ("jejik__triodos", 2, "disagree"),
        ("self-provided__overly_long_details", 1, "disagree"),
    ],
)
def test_real_statements(name: str, rows: int, totals: str) -> None:
    content = (MT940_SAMPLES / f"wolph__{name}.sta").read_bytes()
    parsed = make.read(mt940.Mt940Reading, content, make.context(None))
    assert (parsed.row_count, parsed.totals_status) == (rows, totals)
    assert not parsed.bad_rows


@needs_samples
def test_no_real_file_makes_the_parser_fail() -> None:
    files = sorted(MT940_SAMPLES.glob("*.sta"))
    assert len(files) > 30
    for path in files:
        try:
            parsed = make.read(mt940.Mt940Reading, path.read_bytes(), make.context(None))
        except UnreadableFileError:
            continue
        assert parsed.bad_rows or parsed.totals


CHARGED = ONE_PAGE.replace(
    ":61:260928RC0,5NTRFNONREF\n", ":61:260928C0,5NTRFNONREF{extra}\n"
).replace("72658,69", "72659,69")


@pytest.mark.parametrize(
    ("extra", "text", "charge"),
    [
        ("\n/OCMT/CNY5,5//CHGS/CNY5,00/", "SVWZ+back", -500),
        ("", "SVWZ+back /CHGS/CNY5,00/", -500),
        ("", "SVWZ+back?24COAM+5,00", -500),
        ("", "SVWZ+back?24COAM+CNY0,5", -50),
        ("", "SVWZ+back?24OAMT+5,5?25COAM+5", None),
        ("", "SVWZ+back", None),
        ("\n/CHGS/USD5,00/", "SVWZ+back", None),
        ("\n/CHGS/CNY5,00.1/", "SVWZ+back", None),
        ("\n/CHGS/CNY5,001/", "SVWZ+back", None),
        ("", "SVWZ+back?24COAM+five", None),
    ],
)
def test_the_charge_of_a_return_is_read_where_it_is_stated(
    extra: str, text: str, charge: int | None
) -> None:
    parsed = parse(CHARGED.format(extra=extra).replace("SVWZ+back", text))
    assert parsed.bad_rows == ()
    line = parsed.frames[LINES_TABLE].row(2, named=True)
    assert (line["is_return"], line["amount_minor"]) == (True, 50)
    assert line["charge_amount_minor"] == charge
    assert line["end_to_end_id"] == "20260928-A000003-T1-CNY-1"
