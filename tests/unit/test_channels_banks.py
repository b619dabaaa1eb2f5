"""The bank's files as banks really send them: camt.053, camt.054, MT940, bank CSV."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lxml import etree

import channel_files as make
from bank_files import (
    CSV_HEAD,
    CSV_HEADER,
    CSV_ROWS,
    CSV_TRAILER,
    DAY,
    ISO,
    MT940,
    OPEN,
    PARTIES,
    PAYEE_ACCOUNT,
    RETURN,
    bal,
    bank_statement,
    batch,
    code,
    detail,
    document,
    notification,
    ntry,
    stmt,
    zipped,
)
from parts import examples
from samples_folder import SAMPLES, needs_samples
from tieout.channels.bank import (
    bank_csv,
    bank_csv_layouts,
    camt053,
    camt054,
    mt940,
)
from tieout.channels.bank.texts import remittance_shown
from tieout.channels.common import packed_files, safe_xml
from tieout.channels.common.model import FileContext, ParsedFile, UnreadableFileError
from tieout.channels.registry import parse_file, recognise

SWISS = "http://www.six-interbank-clearing.com/de/"

Parser = Callable[[bytes, FileContext], ParsedFile]


def rows(parsed: ParsedFile, table: str) -> list[dict[str, Any]]:
    """Return a good file's rows."""
    assert parsed.is_good, (parsed.bad_rows, parsed.totals)
    return parsed.frames[table].to_dicts()


def codes(parsed: ParsedFile) -> set[tuple[int, str, str]]:
    """Return what speaks against a file: line, field, reason code."""
    return {(row.line_number, row.field, row.reason_code) for row in parsed.bad_rows}


def everything_in(parsed: ParsedFile) -> str:
    """Return all a parser gave back, as text."""
    frames = [frame.write_json() for frame in parsed.frames.values()]
    return "\n".join([repr(parsed.bad_rows), repr(parsed.totals), *frames])


# --- camt.053, written element by element -----------------------------------------------------


def parse(content: bytes, day: date | None = DAY, **name_parts: str) -> ParsedFile:
    """Parse a camt.053."""
    return make.read(camt053.Camt053Reading, content, make.context(day, **name_parts))


@pytest.mark.parametrize(
    "namespace",
    [
        *(f"{ISO}camt.053.001.{version}" for version in camt053.VERSIONS),
        f"{SWISS}camt.053.001.04.ch.02.xsd",
        "urn:swift:xsd:camt.053.001.02",
        None,
    ],
)
def test_versions_and_namespaces_that_banks_use(namespace: str | None) -> None:
    content = document(stmt(OPEN + bal("CLBD", "130.00") + ntry("30.00")), namespace=namespace)
    (line,) = rows(parse(content), "bank_statement_lines")
    assert line["amount_minor"] == 3000


@pytest.mark.parametrize(
    "content",
    [
        document(stmt(""), namespace=f"{ISO}camt.053.001.01"),
        document(stmt(""), namespace=f"{ISO}camt.053.001.09"),
        document(stmt(""), namespace=f"{ISO}other.053.001.02"),
        document(stmt(""), namespace=f"{ISO}camt.053.002.02"),
        document(stmt(""), namespace=f"urn:example:{ISO}camt.053.001.02"),
        document(stmt(""), namespace=f"{SWISS}camt.054.001.04.ch.02.xsd"),
        document(stmt(""), namespace=None, message="BkToCstmrDbtCdtNtfctn"),
        b"<BkToCstmrStmt/>",
    ],
)
def test_another_message_or_version_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        parse(content)
    assert caught.value.reason_code == "unknown_version"


def test_a_document_in_an_envelope_is_read() -> None:
    inner = document(stmt(OPEN + bal("CLBD", "100.00")))
    assert parse(b"<Envelope><AppHdr/>" + inner + b"</Envelope>").is_good


def test_the_entry_status_is_a_text_or_a_code() -> None:
    as_code = ntry("30.00").replace("<Sts>BOOK</Sts>", "<Sts><Cd>BOOK</Cd></Sts>")
    proprietary = ntry("30.00").replace("<Sts>BOOK</Sts>", "<Sts><Prtry>OK</Prtry></Sts>")
    version_8 = f"{ISO}camt.053.001.08"
    good = document(stmt(OPEN + bal("CLBD", "130.00") + as_code), namespace=version_8)
    assert parse(good).is_good
    bad = document(stmt(OPEN + bal("CLBD", "100.00") + proprietary), namespace=version_8)
    assert codes(parse(bad)) == {(1, "Sts", "unknown_code")}


def test_amounts_that_xml_allows() -> None:
    entries = "".join(ntry(text) for text in (".50", "1.", "2", "+3.00", "4.50000"))
    lines = rows(
        parse(document(stmt(OPEN + bal("CLBD", "111.00") + entries))), "bank_statement_lines"
    )
    assert [line["amount_minor"] for line in lines] == [50, 100, 200, 300, 450]
    for text in (".", "", "1,00", "1e2", "0.001", "NaN", "１.00"):
        parsed = parse(document(stmt(OPEN + bal("CLBD", "100.00") + ntry(text))))
        assert codes(parsed) == {(1, "Ntry", "not_an_amount")}, text


def test_a_reversal_never_turns_the_sign() -> None:
    for flag in ("true", "1", "false"):
        reversal = ntry("30.00", "DBIT").replace("<Sts>", f"<RvslInd>{flag}</RvslInd><Sts>")
        content = document(stmt(OPEN + bal("CLBD", "70.00") + reversal))
        (line,) = rows(parse(content), "bank_statement_lines")
        assert (line["amount_minor"], line["is_reversal"]) == (-3000, flag != "false")


def one_entry(inside: str, amount: str = "30.00") -> ParsedFile:
    """Parse a statement of one debit."""
    closing = str(100 - Decimal(amount))
    return parse(document(stmt(OPEN + bal("CLBD", closing) + ntry(amount, "DBIT", inside=inside))))


@pytest.mark.parametrize(
    ("inside", "finding"),
    [
        (batch(count="3000"), None),  # a legal summary: a batch without its details
        (batch(count="2", total="30.00"), None),
        (batch(detail("10.00"), detail("20.00"), count="2", total="30.00"), None),
        (batch(detail("30.00"), count="7"), None),  # one detail may stand for a whole batch
        (
            batch(detail("10.00"), count="1") + batch(detail("5.00"), detail("15.00"), count="2"),
            None,
        ),
        (batch(detail("40.00"), detail("10.00", sign="CRDT"), count="2"), None),
        (batch(detail("10.00"), total="10.00") + batch(detail("20.00"), total="20"), None),
        (batch(detail("10.00")) + batch(detail("20.00"), total="10"), ("TtlAmt", "wrong_total")),
        (batch(detail("10.00"), detail("20.00"), count="3"), ("NbOfTxs", "wrong_total")),
        (batch(detail("10.00"), detail("20.00"), total="31.00"), ("TtlAmt", "wrong_total")),
        (batch(detail("10.00"), detail("19.99")), ("TxDtls", "wrong_total")),
        (batch(detail("10.00"), detail()), ("TxDtls", "not_an_amount")),
        (batch(detail(), detail()), ("TxDtls", "not_an_amount")),
        (batch(detail("10.00"), detail("20.00", currency="USD")), ("TxDtls", "not_an_amount")),
        (batch(detail("29.00")), ("TxDtls", "wrong_total")),
    ],
)
def test_batches(inside: str, finding: tuple[str, str] | None) -> None:
    parsed = one_entry(inside)
    assert {(field, code) for _, field, code in codes(parsed)} == ({finding} if finding else set())
    assert parsed.is_good == (finding is None)


def charge(amount: str, sign: str = "") -> str:
    """Return Chrgs of .02."""
    indicator = f"<CdtDbtInd>{sign}</CdtDbtInd>" if sign else ""
    return f'<Chrgs><Amt Ccy="CNY">{amount}</Amt>{indicator}</Chrgs>'


def records(*amounts: str) -> str:
    """Return Chrgs of .04 and later: one Chrgs with records."""
    inside = "".join(
        f'<Rcrd><Amt Ccy="CNY">{amount}</Amt><CdtDbtInd>DBIT</CdtDbtInd></Rcrd>'
        for amount in amounts
    )
    return f'<Chrgs><TtlChrgsAndTaxAmt Ccy="CNY">9</TtlChrgsAndTaxAmt>{inside}</Chrgs>'


@pytest.mark.parametrize(
    ("inside", "charged"),
    [
        (charge("1.00") + batch(detail("29.00")), -100),
        (records("0.40", "0.60") + batch(detail("29.00")), -100),
        (batch(detail("29.00", inside=charge("1.00"))), -100),
        # Stated twice, of the entry and of its only detail: taken once.
        (charge("1.00") + batch(detail("29.00", inside=charge("1.00"))), -100),
        (charge("1.00") + batch(detail("30.00")), -100),  # told, but not part of the amount
        (charge("2.00", "CRDT") + batch(detail("32.00")), 200),
        (batch(detail("30.00")), None),
    ],
)
def test_charges_are_told_and_may_be_the_difference(inside: str, charged: int | None) -> None:
    parsed = one_entry(inside)
    (line,) = rows(parsed, "bank_statement_lines")
    assert (line["amount_minor"], line["charge_amount_minor"]) == (-3000, charged)


def test_charges_explain_no_other_difference() -> None:
    parsed = one_entry(charge("1.00") + batch(detail("28.00")))
    assert codes(parsed) == {(1, "TxDtls", "wrong_total")}


@pytest.mark.parametrize("reversal", ["", "<RvslInd>false</RvslInd>", "<RvslInd>true</RvslInd>"])
@pytest.mark.parametrize(
    ("inside", "is_return", "reason"),
    [
        (code("RRTN") + batch(detail("30.00", reference="E1")), True, None),
        (batch(detail("30.00", reference="E1", inside=code("RRTN"))), True, None),
        (batch(detail("30.00", reference="E1", inside=RETURN)), True, "AC01"),
        (code("ESCT") + batch(detail("30.00", reference="E1")), False, None),
    ],
)
def test_a_return_is_known_by_its_code_or_its_reason(
    reversal: str, inside: str, is_return: bool, reason: str | None
) -> None:
    inside = inside.replace("</TxDtls>", f"{PARTIES}</TxDtls>")
    parsed = parse(
        document(stmt(OPEN + bal("CLBD", "130.00") + ntry("30.00", inside=reversal + inside)))
    )
    (line,) = rows(parsed, "bank_statement_lines")
    (found,) = rows(parsed, "bank_statement_line_details")
    assert line["is_return"] is is_return
    assert (found["end_to_end_id"], found["return_reason_code"]) == ("E1", reason)
    # A credit's other side is its debtor; that of a return is the payee, who is masked.
    assert line["counterparty_name"] == ("张**" if is_return else "示例支付有限公司")
    assert (line["counterparty_account_token"] is not None) is is_return
    assert PAYEE_ACCOUNT not in everything_in(parsed)
    assert "张三丰" not in everything_in(parsed)


@pytest.mark.parametrize(
    ("text", "is_payee", "shown"),
    [
        ("UPSETTLE 20260924 898310059990001", False, "UPSETTLE 20260924 898310059990001"),
        (f"卡{make.CARD}退款", False, f"卡{make.CARD}退款"),  # the guard of every text sees it
        (f"卡{make.CARD}退款", True, "卡621626*********0018退款"),
        (f";{make.CARD}=3012201?", True, "***"),
        ("6216261000000000017", True, "***************0017"),
        ("PAYOUT PO20260928-001-A1", True, "PAYOUT PO20260928-001-A1"),
        ("to 6600 1002 0030 0400", True, "to ***************0400"),
        (None, True, None),
    ],
)
def test_no_card_or_payee_account_stays_in_a_remittance(
    text: str | None, is_payee: bool, shown: str | None
) -> None:
    assert remittance_shown(text, is_payee=is_payee) == shown


def test_structured_references_stand_in_for_a_free_text() -> None:
    strd = "<Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd>"
    for inside, expected in (
        (f"<RmtInf><Ustrd>a</Ustrd><Ustrd>b</Ustrd>{strd}</RmtInf>", "a b"),
        (f"<RmtInf>{strd}</RmtInf><AddtlTxInf>c</AddtlTxInf>", "RF18"),
        ("<RmtInf/><AddtlTxInf>c</AddtlTxInf>", "c"),
    ):
        parsed = one_entry(f"<NtryDtls>{detail('30.00', inside=inside)}</NtryDtls>")
        assert rows(parsed, "bank_statement_lines")[0]["remittance_text"] == expected


# --- balances, summaries and pages --------------------------------------------------------------


@pytest.mark.parametrize(
    ("balances", "reason_code"),
    [
        (bal("PRCD", "100.00") + bal("CLBD", "130.00"), None),
        (bal("OPAV", "100.00") + bal("CLAV", "130.00"), "missing_balance"),
        (bal("OPBD", "100.00") + bal("ITBD", "130.00"), "missing_balance"),
        (bal("ITBD", "100.00") + bal("CLBD", "130.00"), "missing_balance"),
        (bal("OPBD", "100.00") + bal("CLBD", "130.00") + bal("CLBD", "130.00"), None),
        (
            bal("OPBD", "100.00") + bal("CLBD", "130.00") + bal("CLBD", "130.01"),
            "several_balances",
        ),
        (bal("OPBD", "100.00") + bal("CLBD", "x"), "not_an_amount"),
    ],
)
def test_which_balances_prove_a_statement(balances: str, reason_code: str | None) -> None:
    parsed = parse(document(stmt(balances + ntry("30.00"))))
    assert (reason_code in {code for _, _, code in codes(parsed)}) == (reason_code is not None)
    assert parsed.is_good == (reason_code is None)


@pytest.mark.parametrize(
    ("summary", "disagrees"),
    [
        ("<TtlNtries><NbOfNtries>2</NbOfNtries><Sum>50.00</Sum></TtlNtries>", []),
        ("<TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries>", ["TtlNtries count"]),
        ("<TtlNtries><Sum>50.01</Sum></TtlNtries>", ["TtlNtries sum"]),
        ("<TtlNtries><Sum>x</Sum></TtlNtries>", ["TtlNtries sum"]),
        (
            "<TtlNtries><TtlNetNtryAmt>10.00</TtlNetNtryAmt><CdtDbtInd>CRDT</CdtDbtInd>"
            "</TtlNtries>",
            [],
        ),
        (
            "<TtlNtries><TtlNetNtry><Amt>10.00</Amt><CdtDbtInd>DBIT</CdtDbtInd></TtlNetNtry>"
            "</TtlNtries>",
            ["TtlNtries net"],
        ),
        ("<TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>30</Sum></TtlCdtNtries>", []),
        ("<TtlCdtNtries><Sum>31</Sum></TtlCdtNtries>", ["TtlCdtNtries sum"]),
        (
            "<TtlDbtNtries><NbOfNtries>2</NbOfNtries><Sum>20</Sum></TtlDbtNtries>",
            ["TtlDbtNtries count"],
        ),
    ],
)
def test_each_stated_total_is_compared(summary: str, disagrees: list[str]) -> None:
    body = OPEN + bal("CLBD", "110.00") + f"<TxsSummry>{summary}</TxsSummry>"
    parsed = parse(document(stmt(body + ntry("30.00") + ntry("20.00", "DBIT"))))
    assert not parsed.bad_rows
    assert len(parsed.totals) > 1
    assert [total.name for total in parsed.totals if not total.agrees] == disagrees


def test_a_summary_may_count_what_is_not_booked_yet() -> None:
    def read(count: int) -> ParsedFile:
        summary = f"<TxsSummry><TtlNtries><NbOfNtries>{count}</NbOfNtries></TtlNtries></TxsSummry>"
        body = OPEN + bal("CLBD", "130.00") + summary
        return parse(document(stmt(body + ntry("30.00") + ntry("5.00", state="PDNG"))))

    assert [read(count).totals_status for count in (0, 1, 2, 3)] == [
        "disagree", "agree", "agree", "disagree",
    ]  # fmt: skip


def page(number: int, *, last: bool) -> str:
    """Return StmtPgntn."""
    return f"<StmtPgntn><PgNb>{number}</PgNb><LastPgInd>{str(last).lower()}</LastPgInd></StmtPgntn>"


PAGE_1 = stmt(OPEN + bal("ITBD", "130.00") + ntry("30.00"), head=page(1, last=False))
PAGE_2 = stmt(
    bal("ITBD", "130.00") + bal("ITBD", "125.00") + ntry("5.00", "DBIT"), head=page(2, last=False)
)
PAGE_3 = stmt(bal("ITBD", "125.00") + bal("CLBD", "126.00") + ntry("1.00"), head=page(3, last=True))


def test_pages_become_one_statement() -> None:
    parsed = parse(document(PAGE_1, PAGE_2, PAGE_3))
    (statement,) = rows(parsed, "bank_statements")
    assert statement["opening_balance_minor"] == 10000
    assert statement["closing_balance_minor"] == 12600
    assert statement["entry_count"] == 3
    assert [total.name for total in parsed.totals] == [
        "interim_balance 1", "interim_balance 2", "closing_balance",
    ]  # fmt: skip
    assert parsed.declared_total_minor == parsed.counted_total_minor == 2600


def test_pages_that_repeat_the_statements_balances() -> None:
    both = OPEN + bal("CLBD", "125.00")
    first = stmt(both + ntry("30.00"), head=page(1, last=False))
    second = stmt(both + ntry("5.00", "DBIT"), head=page(2, last=True))
    parsed = parse(document(first, second))
    assert len(rows(parsed, "bank_statements")) == 1
    assert not parse(document(first, second.replace("5.00", "5.01"))).is_good


@pytest.mark.parametrize(
    ("pages", "reason_code"),
    [
        ((PAGE_1, PAGE_2), "missing_page"),
        ((PAGE_2, PAGE_3), "missing_page"),
        ((PAGE_1, PAGE_3), "broken_pages"),
        ((PAGE_1, PAGE_2.replace("130.00", "130.01", 1), PAGE_3), "broken_pages"),
        ((PAGE_1, PAGE_2.replace(make.BANK_ACCOUNT, "6600100200300499"), PAGE_3), "broken_pages"),
        ((PAGE_1, PAGE_3.replace("125.00", "130.00", 1)), "broken_pages"),
        ((PAGE_3,), "missing_page"),
    ],
)
def test_a_page_that_is_missing_or_does_not_follow(pages: Sequence[str], reason_code: str) -> None:
    parsed = parse(document(*pages))
    assert reason_code in {code for _, _, code in codes(parsed)}
    assert not parsed.frames


def test_an_interim_balance_that_is_wrong() -> None:
    wrong = (PAGE_1.replace("130.00", "131.00"), PAGE_2.replace("130.00", "131.00"), PAGE_3)
    parsed = parse(document(*wrong))
    assert [total.name for total in parsed.totals if not total.agrees] == ["interim_balance 1"]


def test_a_page_of_a_message_of_several_files_is_refused() -> None:
    header = "<MsgPgntn><PgNb>1</PgNb><LastPgInd>false</LastPgInd></MsgPgntn>"
    whole = stmt(OPEN + bal("CLBD", "100.00"))
    assert (0, "", "missing_page") in codes(parse(document(whole, header=header)))


def test_several_accounts_in_one_file() -> None:
    other = "6600100200300418"
    content = document(
        stmt(OPEN + bal("CLBD", "130.00") + ntry("30.00"), number=7),
        stmt(bal("OPBD", "5.00") + bal("CLBD", "4.00") + ntry("1.00", "DBIT"), account=other),
    )
    recognised = recognise("camt053_20260924_3.xml")
    assert recognised is not None
    parsed = parse_file(content, recognised, make.FakeVault())
    lines = rows(parsed, "bank_statement_lines")
    assert [(line["bank_account_id"], line["line_number"]) for line in lines] == [
        (make.BANK_ACCOUNT, 1), (other, 2),
    ]  # fmt: skip
    assert [row["sequence_number"] for row in parsed.frames["bank_statements"].to_dicts()] == [7, 1]
    # Under a name that promises one account, the other one is a finding.
    one = recognise(f"camt053_{other}_20260924_1.zip")
    assert one is not None
    assert (0, "bank_account_id", "wrong_name") in codes(
        parse_file(zipped(a=content), one, make.FakeVault())
    )


# --- what must not hurt ---------------------------------------------------------------------------


def test_a_zip_holds_one_xml() -> None:
    content = document(stmt(OPEN + bal("CLBD", "100.00")))
    assert parse(zipped(a=content)).is_good
    for bad, reason_code in (
        (zipped(a=content, b=content), "several_members"),
        (zipped(), "several_members"),
        (zipped(a=content)[:-30], "bad_zip"),
        (zipped(a=b"no xml"), "not_xml"),
    ):
        with pytest.raises(UnreadableFileError) as caught:
            parse(bad)
        assert caught.value.reason_code == reason_code


def test_a_zip_that_points_outside_or_explodes() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../a.xml", b"<a/>")
    for bad in (buffer.getvalue(), zipped(a=b" " * (8 * 1024 * 1024))):
        with pytest.raises(UnreadableFileError) as caught:
            packed_files.only_member(BytesIO(bad))
        assert caught.value.reason_code == "unsafe_zip"


BILLION = (
    "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(
        f"<!ENTITY {name} '{f'&{before};' * 10}'>"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)


@pytest.mark.parametrize(
    ("content", "reason_code"),
    [
        (BILLION.encode() + b"<Document>&i;</Document>", None),
        (BILLION.encode() + b"<Document x='&i;'/>", None),
        (b"<!DOCTYPE d SYSTEM 'http://127.0.0.1:9/x'><Document/>", "unsafe_xml"),
        (
            b"<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Document>&a;</Document>",
            "unsafe_xml",
        ),
        (b"<!DOCTYPE d [<!ENTITY % p SYSTEM 'file:///etc/passwd'>%p;]><Document/>", None),
        (b"<a>" * 300 + b"</a>" * 300, "not_xml"),
        (b"<Document>&nothing;</Document>", "not_xml"),
        (b"<Document><a>" + b"x" * 11_000_000 + b"</a></Document>", "not_xml"),
    ],
)
@pytest.mark.parametrize("way", ["root", "packed_root", "zipped", "elements"])
def test_attacks_on_the_xml_reader(content: bytes, reason_code: str | None, way: str) -> None:
    """A whole message and one read as it comes are refused alike."""
    with pytest.raises(UnreadableFileError) as caught:
        read_xml(content, way)
    assert caught.value.reason_code in ({reason_code} if reason_code else {"unsafe_xml", "not_xml"})
    assert "root:" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def read_xml(content: bytes, way: str) -> list[str]:
    """Read XML one of the ways, to the names of its elements."""
    if way == "elements":
        found = safe_xml.elements(BytesIO(content))
        return [element.tag for event, element in found if event == "start"]
    if way == "zipped":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("a.xml", content)
        return [element.tag for element in safe_xml.packed_root(buffer.getvalue()).iter()]
    return [element.tag for element in getattr(safe_xml, way)(content).iter()]


@pytest.mark.parametrize("way", ["root", "packed_root", "zipped", "elements"])
def test_the_xml_reader_takes_what_is_well_formed(way: str) -> None:
    content = b"<?xml version='1.0'?><!-- c --><?p i?><a><!-- c --><b>t</b><?p i?><c/></a>"
    assert read_xml(content, way) == ["a", "b", "c"]
    assert len(read_xml(b"<a>" * 200 + b"</a>" * 200, way)) == 200


def test_a_file_larger_than_any_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_xml, "BYTES_MAX", 10)
    for read in (safe_xml.root, safe_xml.packed_root):
        with pytest.raises(UnreadableFileError) as caught:
            read(b"<Document/>")
        assert caught.value.reason_code == "too_large"


ENTRIES = st.lists(
    st.tuples(st.integers(0, 10**12), st.booleans(), st.sampled_from(["BOOK", "PDNG", "INFO"])),
    max_size=12,
)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(opening=st.integers(-(10**12), 10**12), entries=ENTRIES, error=st.integers(-2, 2))
def test_balances_hold_exactly_when_the_booked_entries_fill_them(
    opening: int, entries: Sequence[tuple[int, bool, str]], error: int
) -> None:
    def yuan(minor: int) -> tuple[str, str]:
        return str(Decimal(abs(minor)).scaleb(-2)), "CRDT" if minor >= 0 else "DBIT"

    booked = [amount if plus else -amount for amount, plus, state in entries if state == "BOOK"]
    closing = opening + sum(booked) + error
    texts = [yuan(amount if plus else -amount) for amount, plus, _ in entries]
    body = "".join(
        ntry(text, sign, state=state)
        for (text, sign), (_, _, state) in zip(texts, entries, strict=True)
    )
    (first, first_sign), (last, last_sign) = yuan(opening), yuan(closing)
    balances = bal("OPBD", first, sign=first_sign) + bal("CLBD", last, sign=last_sign)
    parsed = parse(document(stmt(balances + body)))
    assert not parsed.bad_rows
    assert parsed.is_good == (error == 0)
    assert parsed.frames["bank_statement_lines"]["amount_minor"].to_list() == booked


GOOD_054 = document("<Ntfctn><Id>N1</Id></Ntfctn>", message="BkToCstmrDbtCdtNtfctn")


@hypothesis_settings(deadline=None, max_examples=examples(60))
@given(data=st.data())
def test_a_damaged_message_is_good_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = data.draw(
        st.sampled_from([document(PAGE_1, PAGE_2, PAGE_3), notification(), zipped(a=GOOD_054)])
    )
    at = data.draw(st.integers(0, len(content) - 1))
    junk = data.draw(st.binary(max_size=8))
    damaged = content[:at] + junk + content[at + data.draw(st.integers(0, 30)) :]
    for parser in (make.reader(camt053.Camt053Reading), make.reader(camt054.Camt054Reading)):
        assert outcome(damaged, parser)


# --- camt.054 -------------------------------------------------------------------------------------


def parse_054(content: bytes, **name_parts: str) -> ParsedFile:
    """Parse a camt.054."""
    return make.read(camt054.Camt054Reading, content, make.context(DAY, **name_parts))


@pytest.mark.parametrize("version", camt054.VERSIONS)
def test_a_returned_payout_is_notified(version: str) -> None:
    content = notification(version=version)
    recognised = recognise(f"camt054_{make.BANK_ACCOUNT}_20260924_12.xml")
    assert recognised is not None
    parsed = parse_file(content, recognised, make.FakeVault())
    (entry,) = rows(parsed, "bank_notification_entries")
    (found,) = rows(parsed, "bank_notification_details")
    assert (entry["amount_minor"], entry["is_return"], entry["entry_state"]) == (3000, True, "BOOK")
    assert (found["end_to_end_id"], found["return_reason_code"]) == ("20260924-A1", "AC01")
    assert (entry["bank_account_id"], entry["notification_date"]) == (make.BANK_ACCOUNT, DAY)
    assert PAYEE_ACCOUNT not in everything_in(parsed)
    assert "张三丰" not in everything_in(parsed)
    # Nothing of it stands where the gate looks for arrivals.
    assert set(parsed.frames) == {"bank_notification_entries", "bank_notification_details"}


def test_a_notification_keeps_every_state_and_details_without_amounts() -> None:
    body = ntry("30.00", inside=f"<NtryDtls>{detail()}{detail()}</NtryDtls>") + ntry(
        "5.00", "DBIT", state="PDNG"
    )
    parsed = parse_054(notification(body.replace(f"<BookgDt><Dt>{DAY}</Dt></BookgDt>", "")))
    entries = rows(parsed, "bank_notification_entries")
    assert [entry["entry_state"] for entry in entries] == ["BOOK", "PDNG"]
    assert [entry["booking_date"] for entry in entries] == [None, None]
    assert parsed.frames["bank_notification_details"]["amount_minor"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (("<Sts>BOOK</Sts>", "<Sts>DONE</Sts>"), (1, "Sts", "unknown_code")),
        (("<Ccy>CNY</Ccy>", "<Ccy>USD</Ccy>"), (0, "", "wrong_currency")),
        (("<Id>N1</Id>", ""), (0, "notification_id", "missing_element")),
        ((make.BANK_ACCOUNT, "6600100200300499"), (0, "bank_account_id", "wrong_name")),
        (("<NbOfTxs>1</NbOfTxs>", "<TtlAmt Ccy='CNY'>1</TtlAmt>"), (1, "TtlAmt", "wrong_total")),
        (
            (
                '<Amt Ccy="CNY">30.00</Amt><CdtDbtInd>CRDT',
                '<Amt Ccy="CNY">31.00</Amt><CdtDbtInd>CRDT',
            ),
            (1, "TxDtls", "wrong_total"),
        ),
        ((f"<BookgDt><Dt>{DAY}", "<BookgDt><Dt>2026-02-30"), (1, "BookgDt", "not_a_date")),
    ],
)
def test_a_notification_that_is_wrong(
    change: tuple[str, str], finding: tuple[int, str, str]
) -> None:
    text = notification().decode()
    assert change[0] in text
    parsed = parse_054(text.replace(*change).encode(), bank_account_id=make.BANK_ACCOUNT)
    assert finding in codes(parsed)
    assert not parsed.frames


def test_a_notification_is_of_the_day_it_was_made() -> None:
    recognised = recognise(f"camt054_{make.BANK_ACCOUNT}_20260925_1.xml")
    assert recognised is not None
    parsed = parse_file(notification(), recognised, make.FakeVault())
    assert {code for _, _, code in codes(parsed)} == {"wrong_date"}
    own_time = notification(head="<CreDtTm>2026-09-24T17:00:00Z</CreDtTm>")
    assert parse_file(own_time, recognised, make.FakeVault()).is_good


@pytest.mark.parametrize(
    "content", [document(stmt("")), document(), notification()[:-20], b"", zipped()]
)
def test_what_is_no_notification_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        parse_054(content)


def test_an_empty_message_is_a_finding() -> None:
    empty = document(namespace=f"{ISO}camt.054.001.04", message="BkToCstmrDbtCdtNtfctn")
    assert codes(parse_054(empty)) == {(0, "", "missing_element")}


# --- MT940 ----------------------------------------------------------------------------------------

MT942 = """\
:20:A
:25:6600100200300400
:28C:7/1
:34F:CNYD0,00
:13D:2609241730+0800
:61:2609240924D30,00NTRFNONREF
:90D:1CNY30,00
-
"""


def test_mt940_tokens_masks_and_repeated_texts() -> None:
    parsed = make.read(mt940.Mt940Reading, MT940.encode())
    first, second = rows(parsed, "bank_statement_lines")
    assert first["counterparty_account_token"].startswith("acct-")
    assert first["remittance_text"] == "to ***************0017"
    assert PAYEE_ACCOUNT not in everything_in(parsed)
    assert "张三丰" not in everything_in(parsed)
    assert second["remittance_text"] == "first line second line"
    assert second["counterparty_account_token"] is None


def test_mt940_pages_that_are_not_numbered() -> None:
    unnumbered = MT940.replace(":28C:7/1", ":28:00007/00")
    assert make.read(mt940.Mt940Reading, unnumbered.encode()).is_good
    later = make.read(mt940.Mt940Reading, MT940.replace(":28C:7/1", ":28C:7/2").encode())
    assert (1, "28C", "missing_page") in codes(later)


def test_mt942_is_refused_by_name() -> None:
    with pytest.raises(UnreadableFileError) as caught:
        make.read(mt940.Mt940Reading, MT942.encode())
    assert (caught.value.reason_code, caught.value.line_number) == ("interim_report", 4)


# --- bank CSV -------------------------------------------------------------------------------------

CSV_NAME = f"bankcsv_{make.BANK_ACCOUNT}_20260924_1.csv"


def parse_csv(content: bytes, name: str = CSV_NAME) -> ParsedFile:
    """Parse a bank CSV by its name."""
    recognised = recognise(name)
    assert recognised is not None
    return parse_file(content, recognised, make.FakeVault())


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-8-sig"])
def test_a_bank_csv(encoding: str) -> None:
    parsed = parse_csv(bank_statement(encoding=encoding))
    (statement,) = rows(parsed, "bank_statements")
    assert statement == {
        "line_number": 4,
        "statement_id": f"{make.BANK_ACCOUNT}-20260924-1",
        "bank_account_id": make.BANK_ACCOUNT,
        "statement_date": DAY,
        "sequence_number": 1,
        "currency_code": "CNY",
        "opening_balance_minor": 100_000,
        "closing_balance_minor": 250_000,
        "entry_count": 5,
    }
    lines = parsed.frames["bank_statement_lines"]
    assert dict(lines.schema) == camt053.LINE_SCHEMA
    assert lines["line_number"].to_list() == [5, 6, 7, 8, 9]
    assert lines["amount_minor"].to_list() == [150_000, -20_050, 20_050, -1_000, 1_000]
    assert lines["is_reversal"].to_list() == [False] * 4 + [True]
    assert lines["is_return"].to_list() == [False, False, True, False, False]
    assert lines["end_to_end_id"].to_list()[2] == "20260923-A000003-T1-CNY-1"
    assert lines["booking_date"].to_list() == [DAY] * 5
    assert lines["counterparty_name"].to_list() == [
        "中国银联股份有限公司",
        "张**",
        "李*",
        None,
        None,
    ]
    assert lines["remittance_text"][0] == "UPSETTLE 20260924"
    assert lines["remittance_text"][3] == "手续费"
    tokens = lines["counterparty_account_token"].to_list()
    assert tokens[1] == tokens[2] != tokens[0]
    assert tokens[3] is None
    for secret in (PAYEE_ACCOUNT, "张三丰", "李四", "6600100200300999"):
        assert secret not in everything_in(parsed)
    assert len(parsed.totals) == 5


def test_a_bank_csv_of_a_day_without_movement() -> None:
    head = CSV_HEAD + "期末余额：,1000.00\r\n"
    parsed = parse_csv(bank_statement((), head=head, trailer=""))
    (statement,) = rows(parsed, "bank_statements")
    assert statement["entry_count"] == 0
    unknown = parse_csv(bank_statement((), trailer=""))
    assert codes(unknown) == {(0, "", "missing_balance")}


def change(line: int, before: str, after: str) -> list[str]:
    """Return the rows with one of them changed."""
    assert before in CSV_ROWS[line]
    return [
        row.replace(before, after, 1) if number == line else row
        for number, row in enumerate(CSV_ROWS)
    ]


def changed_head(before: str, after: str) -> bytes:
    """Return a statement whose lines above the header are changed."""
    assert before in CSV_HEAD
    return bank_statement(head=CSV_HEAD.replace(before, after))


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (bank_statement(change(1, "2299.50", "2299.51")), (6, "balance", "broken_balance")),
        (bank_statement(CSV_ROWS[:1] + CSV_ROWS[2:]), (6, "balance", "broken_balance")),
        (bank_statement(CSV_ROWS[1:]), (5, "balance", "broken_balance")),
        (bank_statement(change(1, "-,", "1.00,")), (6, "amount", "not_an_amount")),
        (bank_statement(change(1, "200.50", "")), (6, "amount", "not_an_amount")),
        (bank_statement(change(1, "200.50", "200.505")), (6, "debit_amount", "not_an_amount")),
        (bank_statement(change(0, "1,500.00", "15,00.00")), (5, "credit_amount", "not_an_amount")),
        (bank_statement(change(1, "2299.50", "")), (6, "balance", "missing_value")),
        (bank_statement(change(1, "20260924", "20260931")), (6, "booking_date", "not_a_date")),
        (bank_statement(change(1, "20260924", "20260925")), (6, "booking_date", "wrong_date")),
        (bank_statement(change(1, ",PAYOUT", ",x,PAYOUT")), (6, "", "wrong_length")),
        (bank_statement(change(1, ",PAYOUT PO1", "")), (6, "", "wrong_length")),
        (bank_statement(trailer=CSV_TRAILER + CSV_ROWS[0] + "\n"), (12, "", "after_the_end")),
        (changed_head("0400", "0499"), (0, "bank_account_id", "wrong_name")),
        (changed_head("20260924", "20260925"), (0, "statement_date", "wrong_date")),
        (changed_head("20260924", "2026"), (0, "statement_date", "not_a_date")),
        (changed_head("人民币", "日元"), (0, "currency", "unknown_code")),
        (changed_head("期初", "期初余额：1.00\r\n期初"), (0, "opening_balance", "several_values")),
        (changed_head("1,000.00", "10,00.00"), (0, "opening_balance", "not_an_amount")),
        (bank_statement(header=CSV_HEADER.replace("附言", "新列")), (4, "", "unknown_column")),
        (bank_statement(header=CSV_HEADER + ",摘要"), (4, "", "unknown_column")),
        (bank_statement(header="a,b"), (0, "", "unknown_layout")),
        (bank_statement() + b"\xff\xff", (0, "", "unknown_layout")),
        (bank_statement(change(1, "代付", '"代"付')), (6, "", "bad_csv")),
        (b"", (0, "", "unknown_layout")),
    ],
)  # fmt: skip
def test_a_bank_csv_that_is_wrong(content: bytes, finding: tuple[int, str, str]) -> None:
    parsed = parse_csv(content)
    assert finding in codes(parsed)
    assert not parsed.frames
    assert "张三丰" not in everything_in(parsed)


@pytest.mark.parametrize(
    ("before", "after", "total"),
    [
        ("借方合计笔数：,3", "借方合计笔数：,2", "debit_count"),
        (",200.50", ",200.51", "debit_sum"),
        ("贷方合计笔数：,2", "贷方合计笔数：,3", "credit_count"),
        ("贷方合计笔数：,2", "贷方合计笔数：,x2", "credit_count"),
        ("1700.50", "1700.05", "credit_sum"),
    ],
)
def test_the_totals_of_a_bank_csv(before: str, after: str, total: str | None) -> None:
    trailer = CSV_TRAILER.replace(before, after)
    assert trailer != CSV_TRAILER
    parsed = parse_csv(bank_statement(trailer=trailer))
    assert [each.name for each in parsed.totals if not each.agrees] == [total]
    assert not parsed.is_good


def test_a_closing_balance_that_is_not_the_last_lines() -> None:
    parsed = parse_csv(bank_statement(head=CSV_HEAD + "期末余额：,2500.01\r\n"))
    assert [each.name for each in parsed.totals if not each.agrees] == ["closing_balance"]


def test_a_company_that_is_paid_is_a_payee_and_masked() -> None:
    body = change(1, "张三丰", "示例商贸有限公司")
    for text in ("PAYOUT PO1", "20260924-A000003-T1-CNY-1"):
        row = body[1].replace("代付", "转账").replace("PAYOUT PO1", text)
        parsed = parse_csv(bank_statement([body[0], row], trailer=""))
        assert rows(parsed, "bank_statement_lines")[1]["counterparty_name"] == "示*******"
    row = body[1].replace("代付", "转账").replace("PAYOUT PO1", "rent")
    parsed = parse_csv(bank_statement([body[0], row], trailer=""))
    assert rows(parsed, "bank_statement_lines")[1]["counterparty_name"] == "示例商贸有限公司"


OTHER_LAYOUT = """
[other]
encodings = ["utf-8"]
delimiter = "|"
order = "descending"
date_formats = ["%d.%m.%Y"]
currency_code = "CNY"
trailer_starts = ["END"]
return_pattern = "RETURN"
end_to_end_pattern = "E[0-9]+"
payout_pattern = "^PAY"
organisation_pattern = "LTD"
[other.columns]
booking_date = ["date"]
amount = ["amount"]
mark = ["side"]
balance = ["balance"]
counterparty_name = ["name"]
[other.ignored]
columns = ["x"]
[other.marks]
"Dr" = -1
"Cr" = 1
[other.currencies]
[other.facts]
"""


def test_a_layout_is_data() -> None:
    (layout,) = bank_csv_layouts.layouts_of(OTHER_LAYOUT)
    text = (
        "date|amount|side|balance|name|x\n"
        "24.09.2026|5.00|Dr|6.00|Some Body|\n24.09.2026|1|Cr|11.00|A LTD|\n"
    )
    context = make.context(DAY, bank_account_id=make.BANK_ACCOUNT)
    parsed = make.read(
        partial(bank_csv.BankCsvReading, known_layouts=[layout]), text.encode(), context
    )
    (statement,) = rows(parsed, "bank_statements")
    assert statement["opening_balance_minor"] == 1000
    assert statement["closing_balance_minor"] == 600
    lines = parsed.frames["bank_statement_lines"]
    assert lines["amount_minor"].to_list() == [-500, 100]
    assert lines["counterparty_name"].to_list() == ["S********", "A LTD"]
    unknown = make.read(
        partial(bank_csv.BankCsvReading, known_layouts=[layout]),
        text.replace("Dr", "??").encode(),
        context,
    )
    assert (2, "mark", "unknown_code") in codes(unknown)
    with pytest.raises(UnreadableFileError) as caught:
        make.read(
            partial(bank_csv.BankCsvReading, known_layouts=[layout, layout]), text.encode(), context
        )
    assert caught.value.reason_code == "unknown_layout"


def test_every_shipped_layout_is_whole() -> None:
    assert len(bank_csv_layouts.layouts()) >= 1
    columns = {
        "booking_date", "value_date", "entry_reference", "bank_account_id", "currency",
        "debit_amount", "credit_amount", "amount", "mark", "balance", "counterparty_account",
        "counterparty_name", "summary", "remittance_text",
    }  # fmt: skip
    for layout in bank_csv_layouts.layouts():
        assert set(layout.columns) <= columns
        assert set(layout.marks.values()) == {-1, 1}


@hypothesis_settings(deadline=None)
@given(
    opening=st.integers(-(10**12), 10**12),
    amounts=st.lists(st.integers(-(10**11), 10**11).filter(bool), min_size=1, max_size=20),
    wrong=st.one_of(st.none(), st.integers(0, 19)),
)
def test_running_balances_hold_or_the_line_is_named(
    opening: int, amounts: Sequence[int], wrong: int | None
) -> None:
    def yuan(minor: int) -> str:
        return f"{Decimal(minor).scaleb(-2):.2f}"

    running, body = opening, []
    for number, amount in enumerate(amounts):
        running += amount
        shown = running + (1 if number == wrong else 0)
        sides = f"{yuan(-amount)}," if amount < 0 else f",{yuan(amount)}"
        body.append(f"20260924,T,{sides},{yuan(shown)},,,收款,x")
    head = CSV_HEAD.replace('"1,000.00"', yuan(opening))
    parsed = parse_csv(bank_statement(body, head=head, trailer=""))
    is_wrong = wrong is not None and wrong < len(amounts)
    if is_wrong:
        assert (5 + (wrong or 0), "balance", "broken_balance") in codes(parsed)
    else:
        lines = rows(parsed, "bank_statement_lines")
        assert [line["amount_minor"] for line in lines] == list(amounts)


@hypothesis_settings(deadline=None, max_examples=examples(80))
@given(data=st.data())
def test_a_damaged_bank_csv_is_good_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = bank_statement()
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:at] + data.draw(st.binary(max_size=8)) + content[at + 5 :]
    parsed = parse_csv(damaged)
    assert "parser_failed" not in {code for _, _, code in codes(parsed)}


# --- real files -----------------------------------------------------------------------------------

# file -> what becomes of it: "good", or the codes of what speaks against it.
GENKGO_MINIMAL = "mixed_currencies, total closing_balance"
OUTCOMES_053 = {
    "genkgo__camt053.v2.minimal.ultimate.xml": GENKGO_MINIMAL,
    "genkgo__camt053.v2.minimal.xml": GENKGO_MINIMAL,
    "genkgo__camt053.v2.with-account-name.xml": "missing_balance",
    "genkgo__camt053.v2.with-party-ids.xml": GENKGO_MINIMAL,
    "genkgo__camt053.v2.wrong.xml": "missing_element",
    "genkgo__camt053.v3.xml": f"{GENKGO_MINIMAL}, wrong_total",
    "genkgo__camt053.v4.xml": "missing_page, mixed_currencies, total closing_balance",
    "moov__FI_camt_053_sample.xml.xml": "good",
    "moov__statement_1.xml": "missing_balance",
    "oca__test-camt053": "total closing_balance",
    "oca__test-camt053-no-ntry": "good",
    "oca__test-camt053.zip": "several_members",
    "pyiso20022__gs_camt053_001_02.xml": (
        "total TtlCdtNtries count, total TtlCdtNtries sum, total TtlDbtNtries sum, "
        "total TtlNtries count, total TtlNtries net, total TtlNtries sum, "
        "total closing_balance, wrong_currency"
    ),
}
OUTCOMES_054 = {
    "genkgo__camt054.v2.with-account-name.xml": "good",
    "genkgo__camt054.v2.xml": "good",
    "genkgo__camt054.v4.xml": "wrong_total",
    "genkgo__camt054.v8-with-UETR.xml": "good",
    "genkgo__camt054.v8-with-financial-institution.xml": "good",
    "moov__FI_camt_054_sample.xml.xml": "total TtlNtries net",
    "oca__test-camt054": "good",
    "oca__test-sepa-camt-unpaid-invalid.xml": "unknown_version",
    "oca__test-sepa-camt-unpaid.zip": "good",
}
# Pieces of statements, each of one field or two: what a page needs is missing.
PIECE = "missing_element"
OUTCOMES_940 = {
    "betterplace__amount_formats": "stated_twice",
    "betterplace__currency_in_25": PIECE,
    "betterplace__empty_86": PIECE,
    "betterplace__empty_entry_date": PIECE,
    "betterplace__empty_line": PIECE,
    "betterplace__missing_crlf_at_end": PIECE,
    "betterplace__sepa_mt9401": "good",
    "betterplace__sepa_snippet": "total closing_balance 4/1",
    "betterplace__sepa_snippet_broken": "not_a_statement_line",
    "cmxl__account_balance_credit": PIECE,
    "cmxl__account_balance_debit": PIECE,
    "cmxl__account_identification_iban": PIECE,
    "cmxl__account_identification_legacy": PIECE,
    "cmxl__available_balance": PIECE,
    "cmxl__closing_balance": PIECE,
    "cmxl__reference": PIECE,
    "cmxl__statement_details": PIECE,
    "cmxl__statement_line": PIECE,
    "cmxl__statement_number": PIECE,
    "jejik__generic": "good",
    "jejik__ing": "total closing_balance 0/1",
    "jejik__knab": "total closing_balance 999/1",
    "jejik__postfinance": "total closing_balance 999/2",
    "jejik__rabobank": "total closing_balance 0/0",
    "jejik__sns": "good",
    "jejik__triodos": "total closing_balance 1/1",
    "mBank__mt940": "good",
    "mBank__mt942": "interim_report",
    "self-provided__details_60-63": "total closing_balance 0/1",
    "self-provided__empty_non_swift": PIECE,
    "self-provided__gv_codes": PIECE,
    "self-provided__invalid_statement": "no_mt940",
    "self-provided__long_statement_number": "good",
    "self-provided__malformed_details": "total closing_balance 0/1",
    "self-provided__mt942": "interim_report",
    "self-provided__overly_long_details": "total closing_balance 0/1",
    "self-provided__raiffeisen-cmi": "total closing_balance 72/1",
    "self-provided__sparkassen": PIECE,
    "self-provided__transaction_details_wrapped": "not_a_date",
    "self-provided__whitespace": "total closing_balance 0/1",
}


def outcome(content: bytes, parser: Parser) -> str:
    """Return "good", or the sorted codes and totals that speak against a file."""
    try:
        parsed = parser(content, make.context(None))
    except UnreadableFileError as error:
        return error.reason_code
    wrong = {row.reason_code for row in parsed.bad_rows}
    wrong |= {f"total {total.name}" for total in parsed.totals if not total.agrees}
    return ", ".join(sorted(wrong)) or "good"


def samples(folder: str) -> dict[str, bytes]:
    """Return the samples of a folder by name."""
    found = {
        path.name: path.read_bytes()
        for path in sorted((SAMPLES / folder).iterdir())
        if path.is_file() and path.name != "SOURCES.md"
    }
    assert found
    return found


@needs_samples
def test_what_becomes_of_every_real_camt053() -> None:
    outcomes = {
        name: outcome(content, make.reader(camt053.Camt053Reading))
        for name, content in samples("camt053").items()
    }
    assert outcomes == OUTCOMES_053


@needs_samples
def test_what_becomes_of_every_real_camt054() -> None:
    found = samples("camt054")
    expected = {name: OUTCOMES_054.get(name, "good") for name in found}
    assert OUTCOMES_054.keys() <= found.keys()
    assert len(found) == 18
    assert {
        name: outcome(content, make.reader(camt054.Camt054Reading))
        for name, content in found.items()
    } == expected


@needs_samples
def test_what_becomes_of_every_real_mt940() -> None:
    found = {
        name.removeprefix("wolph__").removesuffix(".sta"): outcome(
            content, make.reader(mt940.Mt940Reading)
        )
        for name, content in samples("mt940").items()
    }
    assert found == OUTCOMES_940


@needs_samples
@pytest.mark.parametrize(
    ("folder", "parser"),
    [
        ("camt053", make.reader(camt053.Camt053Reading)),
        ("camt054", make.reader(camt054.Camt054Reading)),
    ],
)
def test_figures_are_those_another_program_reads(folder: str, parser: Parser) -> None:
    compared = 0
    for path in sorted((SAMPLES / folder / "expected").glob("*.json")):
        theirs = json.loads(path.read_text())["getEntries"]
        parsed = parser((SAMPLES / folder / f"{path.stem}.xml").read_bytes(), make.context(None))
        if not parsed.row_count:  # refused before its entries: it has no balances
            continue
        assert parsed.row_count == len(theirs)
        amounts = [int(entry["getAmount"]["getAmount"]) for entry in theirs]
        if parsed.counted_total_minor is not None:
            assert parsed.counted_total_minor == sum(amounts), path.name
            compared += 1
        if parsed.frames:
            entries = parsed.frames["bank_notification_entries"]
            assert entries["amount_minor"].to_list() == amounts
            assert entries["detail_count"].to_list() == [
                len(entry["getTransactionDetails"]) for entry in theirs
            ]
            compared += 1
    assert compared >= 4


@needs_samples
def test_the_real_return() -> None:
    (name,) = [name for name in samples("camt054") if "returns" in name]
    parsed = make.read(camt054.Camt054Reading, samples("camt054")[name], make.context(None))
    (entry,) = rows(parsed, "bank_notification_entries")
    (found,) = rows(parsed, "bank_notification_details")
    assert (entry["amount_minor"], entry["is_return"], entry["is_reversal"]) == (40000, True, False)
    assert (found["end_to_end_id"], found["return_reason_code"]) == ("EndToEndId-004-01-01", "AC01")


@needs_samples
def test_our_fixtures_fit_the_official_schemas() -> None:
    """What the tests above read is what the standard allows, at least in its shape."""
    schema = etree.XMLSchema(etree.parse(str(SAMPLES / "schemas" / "camt.053.001.02.xsd")))
    two = document(
        stmt(OPEN + bal("CLBD", "130.00") + ntry("30.00", inside=code("RRTN"))).replace(
            "<ElctrncSeqNb>1</ElctrncSeqNb>",
            "<ElctrncSeqNb>1</ElctrncSeqNb><CreDtTm>2026-09-24T09:00:00</CreDtTm>",
        )
    )
    schema.assertValid(etree.fromstring(two))
