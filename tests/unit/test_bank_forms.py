"""What real banks send: long references, wrapped texts, other currencies, statements in one file.

Each is read as its bank means it, or refused by a finding that says what was found and what is
wanted, once a cause.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from mt940.models import Transactions
from mt940.tags import Tags

import bank_files as bank
import channel_files as make
from landing_world import own_database, query
from tieout import landing
from tieout.channels.common.amounts import amount_shown
from tieout.channels.common.model import ParsedFile
from tieout.channels.registry import parse_file, recognise
from tieout.core.money import CURRENCY_EXPONENTS, NUMERIC_CURRENCIES
from tieout.core.settings import Settings, load_settings
from tieout.landing.manifest import reason_of

__all__ = ["own_database"]

ACCOUNT = make.BANK_ACCOUNT
MT940_NAME = f"mt940_{ACCOUNT}_20260924_7.sta"
CAMT_NAME = f"camt053_{ACCOUNT}_20260924_1.xml"
CSV_NAME = f"bankcsv_{ACCOUNT}_20260924_1.csv"


def parse(text: str, name: str) -> ParsedFile:
    """Parse a file by its name."""
    recognised = recognise(name)
    assert recognised is not None
    return parse_file(text.encode(), recognised, make.FakeVault())


def mt940(
    *entries: str,
    opening: str = "C260923CNY100,00",
    closing: str = "C260924CNY110,50",
    number: str = "7/1",
    account: str = ACCOUNT,
) -> str:
    """Return a statement whose fields are given as they are written."""
    body = "".join(f"{entry}\n" for entry in entries)
    return f":20:S\n:25:{account}\n:28C:{number}\n:60F:{opening}\n{body}:62F:{closing}\n-\n"


def line_of(parsed: ParsedFile) -> dict[str, object]:
    """Return a good file's only line."""
    assert parsed.is_good, (parsed.bad_rows, parsed.totals)
    (line,) = parsed.frames["bank_statement_lines"].to_dicts()
    return line


def findings(parsed: ParsedFile) -> list[tuple[int, str, str]]:
    """Return line, field and code of each finding."""
    return [(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows]


# --- amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["10,50", "10,5", "000000000010,50", "10.50"])
def test_an_amount_in_a_form_that_is_exact(written: str) -> None:
    assert line_of(parse(mt940(f":61:260924C{written}NTRFNONREF"), MT940_NAME))["amount_minor"] == (
        1050
    )


@pytest.mark.parametrize(
    ("opening", "entry", "closing"),
    [
        # Every one of them would agree if each was read up to the character nobody knows.
        ("0,00", "1.234,56", "1.234,56"),
        ("100,", "12,000", "112,000"),
        ("100", "1'000", "1'100"),
        ("100.5", "10.5", "111.0"),
        ("100.250", "10.000", "110.250"),
        ("100,50-", "10,00-", "110,50-"),
        ("100,50CR", "10,00", "110,50CR"),
    ],
)
def test_an_amount_in_another_form_is_refused_and_never_cut(
    opening: str, entry: str, closing: str
) -> None:
    text = mt940(
        f":61:260924C{entry}NTRFNONREF",
        opening=f"C260923CNY{opening}",
        closing=f"C260924CNY{closing}",
    )
    parsed = parse(text, MT940_NAME)
    assert not parsed.frames
    assert not parsed.is_good
    assert parsed.bad_rows


def test_a_point_is_no_decimal_point_where_it_may_part_thousands() -> None:
    dinars = mt940(opening="C260923BHD1.234", closing="C260924BHD1.234")
    assert findings(parse(dinars, MT940_NAME)) == [(4, "60F", "not_an_amount"), (
        5, "62F", "not_an_amount")]  # fmt: skip
    commas = parse(dinars.replace("1.234", "1,234"), MT940_NAME)
    assert commas.frames["bank_statements"]["opening_balance_minor"].to_list() == [1234]


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (
            "截止日期: 20260924\n期初余额: 1,000.00\n期末余额: 1,999.00\n",
            ["opening_balance", "closing_balance"],
        ),
        ("截止日期: 20260924\n期初余额: 1 000.00\n期末余额: 1000.00\n", ["opening_balance"]),
        ("截止日期: 20260924 235959\n期初余额: 1.00\n期末余额: 1.00\n", ["statement_date"]),
    ],
)
def test_a_fact_of_a_bank_csv_is_read_to_its_end(head: str, names: list[str]) -> None:
    text = f"账号: {ACCOUNT}\n币种: 人民币\n{head}{bank.CSV_HEADER}\n"
    parsed = parse(text, CSV_NAME)
    assert findings(parsed) == [(0, name, "not_read_whole") for name in names]
    whole = f"账号: {ACCOUNT} 户名: 示例\n币种: 人民币 截止日期: 20260924\n" + (
        f"期初余额: 1.00 期末余额: 1.00\n{bank.CSV_HEADER}\n"
    )
    assert parse(whole, CSV_NAME).is_good


def test_a_row_with_one_comma_too_many_is_refused() -> None:
    cut = bank.bank_statement(
        [row.replace("2490.00", "2490,00") for row in bank.CSV_ROWS], encoding="utf-8"
    ).decode()
    assert (8, "", "wrong_length") in findings(parse(cut, CSV_NAME))
    all_with_one = bank.bank_statement(
        [f"{row}," for row in bank.CSV_ROWS], encoding="utf-8"
    ).decode()
    assert parse(all_with_one, CSV_NAME).is_good


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("20260923-A000003-T1-CNY-1", "20260923-A000003-T1-CNY-1"),
        ("退汇20260923-A000003-T1-CNY-1。", "20260923-A000003-T1-CNY-1"),
        ("20260923-A000003-T1-CNY-1A", None),
        ("X20260923-A000003-T1-CNY-1", None),
        ("20260923-A000003-T1-CNY-1-2", None),
    ],
)
def test_an_id_in_a_longer_token_is_not_that_id(text: str, found: str | None) -> None:
    rows = [row.replace("20260923-A000003-T1-CNY-1", text) for row in bank.CSV_ROWS]
    parsed = parse(bank.bank_statement(rows, encoding="utf-8").decode(), CSV_NAME)
    lines = parsed.frames["bank_statement_lines"].to_dicts()
    assert lines[2]["end_to_end_id"] == found
    # Whose it is need not be proved for a name to be masked.
    paid = bank.CSV_ROWS[1].replace("张三丰", "示例商贸有限公司").replace("代付", "转账")
    row = paid.replace("PAYOUT PO1", text)
    parsed = parse(
        bank.bank_statement([bank.CSV_ROWS[0], row], trailer="", encoding="utf-8").decode(),
        CSV_NAME,
    )
    shown = parsed.frames["bank_statement_lines"]["counterparty_name"].to_list()
    assert shown[1] == "示*******"


# --- references, numbers and texts of MT940 -------------------------------------------------------


def test_references_as_long_as_those_of_sepa() -> None:
    own, banks = "NL47INGB" + "9" * 27, "B" * 35
    line = line_of(parse(mt940(f":61:2609240924C10,50NTRF{own}//{banks}\nmore"), MT940_NAME))
    assert line["entry_reference"] == f"{own}//{banks}"
    assert line["remittance_text"] == "more"
    for part, text in (("own reference", f"{own}9"), ("bank's reference", f"{own}//{banks}B")):
        parsed = parse(mt940(f":61:2609240924C10,50NTRF{text}"), MT940_NAME)
        assert findings(parsed) == [(5, "61", "too_long")]
        assert f"the {part}" in parsed.bad_rows[0].reason
        assert "has 36 characters, 35 at most" in parsed.bad_rows[0].reason


def test_a_reference_filled_up_with_blanks_before_a_name() -> None:
    entry = ":61:260924C10,50N044121470966      W. Jansen van den Berg en Zonen"
    line = line_of(parse(mt940(entry), MT940_NAME))
    assert line["entry_reference"] == "121470966"
    assert line["remittance_text"] == "W. Jansen van den Berg en Zonen"


@pytest.mark.parametrize(
    ("number", "name", "stored"),
    [
        ("7", "7", 7),
        ("00007/001", "7", 7),
        ("26007/1", "7", 26007),
        ("2026007", "7", 2026007),
        ("26007/1", "26007", 26007),
        ("2626700007", "2626700007", 626700007),
    ],
)
def test_numbers_as_banks_write_them(number: str, name: str, stored: int) -> None:
    text = mt940(":61:260924C10,50NTRFNONREF", number=number)
    parsed = parse(text, f"mt940_{ACCOUNT}_20260924_{name}.sta")
    assert parsed.is_good, parsed.bad_rows
    (statement,) = parsed.frames["bank_statements"].to_dicts()
    assert statement["sequence_number"] == stored
    assert statement["statement_id"] == f"S-{int(number.split('/', maxsplit=1)[0])}"


@pytest.mark.parametrize("number", ["25007/1", "7a", "7/1/1", "8"])
def test_another_number_is_refused(number: str) -> None:
    parsed = parse(mt940(":61:260924C10,50NTRFNONREF", number=number), MT940_NAME)
    assert len(parsed.bad_rows) == 1
    assert not parsed.frames


@pytest.mark.parametrize("tag", ["08", "13", "20", "21", "25", "28", "61", "64", "65"])
def test_a_time_in_a_wrapped_text_is_text(tag: str) -> None:
    entry = (
        f":61:2609240924C10,50NTRFNONREF//B1\n:86: 106?00X?20SVWZ+CARD 24-09-2026T20\n"
        f":{tag}:08 UPSETTLE 20260924?32银联"
    )
    line = line_of(parse(mt940(entry), MT940_NAME))
    assert line["remittance_text"] == f"CARD 24-09-2026T20:{tag}:08 UPSETTLE 20260924"
    assert line["counterparty_name"] == "银联"
    assert line["bank_transaction_code"] == "NTRF/106"


def test_a_lone_dash_in_a_text_ends_no_message() -> None:
    entry = ":61:260924C10,50NTRFNONREF\n:86:first\n-\nsecond"
    assert line_of(parse(mt940(entry), MT940_NAME))["remittance_text"] == "first - second"
    cut = mt940(entry).partition(":62F:")[0] + "-\n"
    assert findings(parse(cut, MT940_NAME)) == [(1, "62", "missing_element")]


def test_a_message_without_an_end_before_it_begins_one() -> None:
    two = mt940(closing="C260924CNY100,00").replace("\n-\n", "\n") + mt940(
        closing="C260924CNY100,00", number="8"
    ).replace(":20:S", ":20:T")
    parsed = parse(two, "mt940_20260924_1.sta")
    assert parsed.frames["bank_statements"]["statement_id"].to_list() == ["S-7", "T-8"]


def test_a_keyword_ends_the_id_before_it() -> None:
    entry = ":61:260924C10,50NTRFNONREF\n:86:166?00X?20EREF+E1?21MREF+M1?22SVWZ+rent"
    line = line_of(parse(mt940(entry), MT940_NAME))
    assert (line["end_to_end_id"], line["remittance_text"]) == ("E1", "rent")


def test_the_letter_of_another_currency_is_refused() -> None:
    assert parse(mt940(":61:260924CY10,50NTRFNONREF"), MT940_NAME).is_good
    other = parse(mt940(":61:260924CR10,50NTRFNONREF"), MT940_NAME)
    assert findings(other) == [(5, "61", "wrong_currency")]


def test_a_field_of_the_header_twice_is_refused() -> None:
    twice = mt940(":61:260924C10,50NTRFNONREF").replace(":28C:", f":25:{ACCOUNT}1\n:28C:")
    assert findings(parse(twice, MT940_NAME)) == [(3, "25", "stated_twice")]


def test_another_reader_reads_the_same_amounts() -> None:
    """The library mt-940 reads documented forms as we do; what it cuts is not among them."""
    entry = ":61:2609240924RD10,50NTRFNONREF//B1"
    found = Tags.STATEMENT.value.parse(Transactions(), entry.removeprefix(":61:"))
    line = line_of(parse(mt940(entry), MT940_NAME))
    assert found["amount"] == "10,50"
    assert line["amount_minor"] == 1050
    assert found["bank_reference"] == line["entry_reference"] == "B1"


# --- currencies -----------------------------------------------------------------------------------


def test_currencies_are_those_of_iso_4217() -> None:
    assert len(CURRENCY_EXPONENTS) > 150
    assert len(NUMERIC_CURRENCIES) == len(CURRENCY_EXPONENTS)
    assert [CURRENCY_EXPONENTS[code] for code in ("CNY", "JPY", "MYR", "BHD", "CLF", "VND")] == [
        2, 0, 2, 3, 4, 0,
    ]  # fmt: skip
    assert (NUMERIC_CURRENCIES["048"], NUMERIC_CURRENCIES["156"]) == ("BHD", "CNY")
    assert not {"XXX", "XAU", "CNH"} & CURRENCY_EXPONENTS.keys()
    assert amount_shown(-123_456, "CNY") == "-1,234.56 CNY"
    assert amount_shown(5, "BHD") == "0.005 BHD"
    assert amount_shown(1000, "JPY") == "1,000 JPY"


def test_an_unknown_currency_is_one_finding() -> None:
    entries = [":61:260924C1,00NTRFNONREF"] * 8
    text = mt940(*entries, opening="C260923XXX100,00", closing="C260924XXX108,00")
    parsed = parse(text, MT940_NAME)
    assert findings(parsed) == [(4, "60F", "unknown_currency")]
    assert not parsed.totals
    ringgit = parse(text.replace("XXX", "MYR"), MT940_NAME)
    assert ringgit.is_good
    inside = bank.OPEN + bank.bal("CLBD", "108.00") + bank.ntry("1.00") * 8
    camt = bank.document(bank.stmt(inside)).decode().replace('"CNY"', '"XXX"')
    unknown = parse(camt, CAMT_NAME)
    assert findings(unknown) == [(0, "", "unknown_currency")]
    assert "'XXX'" in unknown.bad_rows[0].reason
    assert not unknown.totals
    assert parse(camt.replace('"XXX"', '"BHD"'), CAMT_NAME).is_good
    entries = bank.ntry("1.00").replace("CNY", "XXX") * 8
    balances = bank.OPEN + bank.bal("CLBD", "108.00")
    of_entries = parse(bank.document(bank.stmt(balances + entries)).decode(), CAMT_NAME)
    assert findings(of_entries) == [(1, "Ntry", "unknown_currency")]


# --- camt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "element", ["", "<LglSeqNb>2026267</LglSeqNb>", "<ElctrncSeqNb>2626700007</ElctrncSeqNb>"]
)
def test_a_statement_without_a_number_lands_by_its_name(element: str) -> None:
    content = bank.document(bank.stmt(bank.OPEN + bank.bal("CLBD", "130.00") + bank.ntry("30.00")))
    text = content.decode().replace("<ElctrncSeqNb>1</ElctrncSeqNb>", element)
    name = {"": "3", "<L": "2026267", "<E": "2626700007"}[element[:2]]
    parsed = parse(text, f"camt053_{ACCOUNT}_20260924_{name}.xml")
    assert parsed.is_good, parsed.bad_rows
    (number,) = parsed.frames["bank_statements"]["sequence_number"]
    assert number == {"": 3, "<L": 2026267, "<E": 626700007}[element[:2]]


def test_statements_without_numbers_in_one_file_keep_their_order() -> None:
    def page(opening: str, closing: str) -> str:
        balances = bank.bal("OPBD", opening) + bank.bal("CLBD", closing)
        return bank.stmt(balances + bank.ntry("30.00")).replace(
            "<ElctrncSeqNb>1</ElctrncSeqNb>", ""
        )

    text = bank.document(page("100.00", "130.00"), page("130.00", "160.00")).decode()
    parsed = parse(text, "camt053_20260924_2.xml")
    assert parsed.is_good, parsed.bad_rows
    assert parsed.frames["bank_statements"]["sequence_number"].to_list() == [2001, 2002]


@pytest.mark.parametrize(
    ("before", "after", "finding", "says"),
    [
        (
            "<Dt><Dt>2026-09-24</Dt></Dt></Bal><Ntry>",
            "<Dt><Dt>2026-09-24T00:00:00.000000000</Dt></Dt></Bal><Ntry>",
            (0, "statement_date", "not_a_date"),
            "Dt/Dt is '2026-09-24T00:00:00.000000000'; it has to be a day (2026-09-24)",
        ),
        (
            "<BookgDt><Dt>2026-09-24</Dt>",
            "<BookgDt><DtTm>2026-09-24 10:00</DtTm>",
            (3, "BookgDt", "not_a_date"),
            "entry 1 (Ntry): BookgDt/DtTm is '2026-09-24 10:00'; it has to be a time",
        ),
        (
            '<Amt Ccy="CNY">30.00</Amt>',
            '<Amt Ccy="CNY">1,030.00</Amt>',
            (3, "Ntry", "not_an_amount"),
            "entry 1 (Ntry): '1,030.00' is no exact amount in CNY; it has to be digits",
        ),
        (
            '<Amt Ccy="CNY">30.00</Amt>',
            '<Amt Ccy="CNY">3<b/>0.00</Amt>',
            (3, "Ntry", "not_an_amount"),
            "'3 0.00' is no exact amount",
        ),
        ("<Sts>BOOK", "<Sts>BOOKED", (3, "Sts", "unknown_code"), "Sts is 'BOOKED'"),
        (
            "</BookgDt>",
            "</BookgDt><RvslInd>yes</RvslInd>",
            (3, "RvslInd", "unknown_code"),
            "RvslInd is 'yes'; it has to be true or false",
        ),
    ],
)
def test_a_finding_says_what_was_found_and_what_is_wanted(
    before: str, after: str, finding: tuple[int, str, str], says: str
) -> None:
    body = bank.OPEN + bank.bal("CLBD", "130.00") + bank.ntry("30.00")
    text = bank.document(bank.stmt(body)).decode()
    assert text.count(before) == 1
    # The line of the XML, and not the number of the entry.
    parsed = parse(text.replace(before, after).replace("<Ntry>", "\n\n<Ntry>"), CAMT_NAME)
    assert findings(parsed) == [finding]
    assert says in parsed.bad_rows[0].reason
    assert not parsed.totals or finding[2] in {"not_a_date", "unknown_code"}


def test_a_total_that_differs_is_told_in_the_currency() -> None:
    parsed = parse(mt940(":61:260924C1234,00NTRFNONREF"), MT940_NAME)
    assert reason_of(parsed) == ("total closing_balance 7/1 says 110.50 CNY, counted 1,334.00 CNY")


def test_a_wrong_name_says_both_masked() -> None:
    parsed = parse(mt940(":61:260924C10,50NTRFNONREF", account="6600100200300499"), MT940_NAME)
    assert reason_of(parsed) == (
        "line 1: bank_account_id: inside is the account ************0499, in the name "
        "************0400 [wrong_name]"
    )


# --- several statements in one file ---------------------------------------------------------------

OTHER = "6600100200300418"
DELIVERY = (
    mt940(":61:260923C10,50NTRFNONREF//A1", opening="C260922CNY100,00", closing="C260923CNY110,50")
    + mt940(":61:260924C1,00NTRFNONREF//A2", opening="C260923CNY110,50", closing="C260924CNY111,50",
            number="8/1")
    + mt940(":61:260924C2,00NTRFNONREF//A3", opening="C260923CNY5,00", closing="C260924CNY7,00",
            account=f"999/{OTHER}CNY", number="3")
)  # fmt: skip


def test_several_statements_under_the_name_of_one_are_one_finding() -> None:
    parsed = parse(DELIVERY, MT940_NAME)
    assert findings(parsed) == [(0, "", "several_statements")]
    assert "deliver it as mt940_<yyyymmdd>_<n>.sta" in parsed.bad_rows[0].reason


@pytest.fixture
def place(own_database: str, tmp_path: Path) -> Settings:
    """A home with an empty database."""
    given = {"TIEOUT_HOME": str(tmp_path), "TIEOUT_DATABASE_URL": own_database}
    settings = load_settings(given)
    settings.ensure_dirs()
    return settings


def land(place: Settings, name: str, text: str) -> dict[str, str]:
    """Put a file into the inbox, land it alone, and return each file's outcome."""
    path = place.home / "inbox" / name
    path.write_bytes(text.encode())
    report = landing.land(place, paths=[str(path)])
    return {file.file_name: file.status for file in report.files}


def of_accounts(digits: str) -> tuple[str, str, str]:
    """Return the delivery of two other accounts, and them: the tests share a database."""
    delivery, account, other = (
        text.replace("66001002003", f"660010020{digits}") for text in (DELIVERY, ACCOUNT, OTHER)
    )
    return delivery, account, other


def test_each_statement_of_a_delivery_lands_as_a_file_of_its_own(place: Settings) -> None:
    delivery, account, other = of_accounts("11")
    names = [
        f"mt940_{account}_20260923_7.sta",
        f"mt940_{account}_20260924_8.sta",
        f"mt940_{other}_20260924_3.sta",
    ]
    assert land(place, "mt940_20260924_1.sta", delivery) == dict.fromkeys(names, "landed")
    # A longer delivery of other line ends: what is known is known, what is new lands.
    more = mt940(
        opening="C260924CNY111,50", closing="C260925CNY111,50", number="9", account=account
    )
    again = land(place, "mt940_20260925_1.sta", (delivery + more).replace("\n", "\r\n"))
    new = f"mt940_{account}_20260925_9.sta"
    assert again == {**dict.fromkeys(names, "already_landed"), new: "landed"}
    rows = query(
        place,
        "select files.accounting_date, lines.statement_date, lines.entry_reference "
        "from raw.bank_statement_lines as lines "
        "inner join control.channel_files as files on lines.file_id = files.file_id "
        "where lines.bank_account_id in (%s, %s) order by lines.entry_reference",
        account,
        other,
    )
    assert rows == [
        (date(2026, 9, 23), date(2026, 9, 23), "A1"),
        (date(2026, 9, 24), date(2026, 9, 24), "A2"),
        (date(2026, 9, 24), date(2026, 9, 24), "A3"),
    ]
    urls = query(place, "select distinct split_part(file_url, '/', -1) from control.channel_files")
    assert (f"mt940_20260924_1.sta#{names[0]}",) in urls


def test_one_bad_statement_holds_no_other_of_its_delivery(place: Settings) -> None:
    delivery, account, _ = of_accounts("12")
    bad = f"mt940_{account}_20260924_8.sta"
    outcomes = land(place, "mt940_20260924_1.sta", delivery.replace("111,50\n-", "111,51\n-"))
    assert outcomes[bad] == "quarantined"
    assert sorted(outcomes.values()) == ["landed", "landed", "quarantined"]
    assert land(place, "mt940_20260924_2.sta", delivery)[bad] == "landed"


def test_a_delivery_that_cannot_be_cut_is_held_whole(place: Settings) -> None:
    delivery, _, _ = of_accounts("13")
    name = "mt940_20260924_1.sta"
    assert land(place, name, delivery.replace(":28C:8/1\n", "")) == {name: "quarantined"}
    reasons = query(place, "select reason from control.quarantined_rows")
    assert "lacks :25:, :28C:, :60F: or :62F:" in str(reasons)
    # The bank's next delivery of the name takes its place; nothing blocks the date any more.
    assert set(land(place, name, delivery).values()) == {"landed"}
    assert query(place, "select 1 from control.channel_files where status = 'quarantined'") == []


def test_a_statement_after_the_last_date_waits(place: Settings) -> None:
    delivery, account, _ = of_accounts("14")
    path = place.home / "inbox" / "mt940_20260923_1.sta"
    path.write_bytes(delivery.encode())
    report = landing.land(place, through_date=date(2026, 9, 23))
    assert [file.file_name for file in report.files] == [f"mt940_{account}_20260923_7.sta"]
