"""Status reports in both versions, their real samples, and what banks put into them."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lxml import etree

from parts import examples
from samples_folder import SAMPLES, needs_samples
from tieout.core.errors import TieoutError
from tieout.payouts import pain001, pain002, rails

ISO = "urn:iso:std:iso:20022:tech:xsd:pain.002.001."
SWISS = "http://www.six-interbank-clearing.com/de/pain.002.001.03.ch.02.xsd"
LINE = (
    "<TxInfAndSts><OrgnlInstrId>E1</OrgnlInstrId><OrgnlEndToEndId>E1</OrgnlEndToEndId>"
    "<TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC01</Cd></Rsn>"
    "<AddtlInf>account 6222020200112230017 is closed</AddtlInf></StsRsnInf></TxInfAndSts>"
)


def information(status: str = "", lines: str = "", number: int = 1) -> str:
    """Return an OrgnlPmtInfAndSts."""
    code = f"<PmtInfSts>{status}</PmtInfSts>" if status else ""
    identifier = f"<OrgnlPmtInfId>P{number}</OrgnlPmtInfId>"
    return f"<OrgnlPmtInfAndSts>{identifier}{code}{lines}</OrgnlPmtInfAndSts>"


def report(
    body: str = "", *, group: str = "", count: str = "2", namespace: str = f"{ISO}10"
) -> bytes:
    """Return a pain.002."""
    number = f"<OrgnlNbOfTxs>{count}</OrgnlNbOfTxs>" if count else ""
    status = f"<GrpSts>{group}</GrpSts>" if group else ""
    return (
        f'<Document xmlns="{namespace}"><CstmrPmtStsRpt><GrpHdr><MsgId>R1</MsgId>'
        "<CreDtTm>2026-09-28T20:00:00+08:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts>"
        "<OrgnlMsgId>M1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{number}{status}</OrgnlGrpInfAndSts>{body}</CstmrPmtStsRpt></Document>"
    ).encode()


VERSIONS = [f"{ISO}03", f"{ISO}10", SWISS]


@pytest.mark.parametrize("namespace", VERSIONS)
@pytest.mark.parametrize("code", sorted(pain002.GROUP_STATES))
def test_a_group_status_alone_is_of_all_payments(namespace: str, code: str) -> None:
    read = pain002.read(report(group=code, namespace=namespace), "f")
    assert (read.group_state, read.transactions) == (pain002.GROUP_STATES[code], ())
    assert (read.group_state == "failed") == (code == "RJCT")
    assert read.original_payment_count == 2


@pytest.mark.parametrize("namespace", VERSIONS)
def test_a_rejected_payment(namespace: str) -> None:
    content = report(information("PART", LINE), group="PART", namespace=namespace)
    read = pain002.read(content, "f")
    (line,) = read.transactions
    assert (line.end_to_end_id, line.state, line.reason_code) == ("E1", "failed", "AC01")
    assert read.group_state is None
    # A bank that repeats an account number does not get it into our tables.
    assert line.detail == "account ***************0017 is closed"


@needs_samples
@pytest.mark.parametrize("version", ["03", "10"])
def test_our_reports_fit_the_official_schemas(version: str) -> None:
    schema = etree.XMLSchema(etree.parse(str(SAMPLES / "schemas" / f"pain.002.001.{version}.xsd")))
    content = report(information("PART", LINE), group="PART", namespace=f"{ISO}{version}")
    schema.assertValid(etree.fromstring(content))


def test_a_bank_may_repeat_the_instruction_id_only() -> None:
    line = LINE.replace("<OrgnlEndToEndId>E1</OrgnlEndToEndId>", "")
    (read,) = pain002.read(report(information(lines=line)), "f").transactions
    assert read.end_to_end_id == "E1"
    nameless = line.replace("<OrgnlInstrId>E1</OrgnlInstrId>", "")
    with pytest.raises(TieoutError, match="neither"):
        pain002.read(report(information(lines=nameless)), "f")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (report(group="ACFC"), "ACFC"),  # an external code of .10 that this page does not list
        (report(information("WHAT")), "WHAT"),
        (report(information(lines=LINE.replace("RJCT", "DONE"))), "DONE"),
        (report(information(lines=LINE.replace("<TxSts>RJCT</TxSts>", ""))), "TxSts"),
        (report(information("ACCP") + information("RJCT", number=2)), "differ"),
        (report(count="two"), "OrgnlNbOfTxs"),
        (report(count="²"), "OrgnlNbOfTxs"),
        (report(namespace=f"{ISO}10x"), "namespace"),
        (report(namespace="urn:iso:std:iso:20022:tech:xsd:pain.008.001.02"), "namespace"),
        (report()[:-30], "not_xml"),
        (b"<!DOCTYPE d [<!ENTITY a 'x'>]>" + report(), "unsafe_xml"),
        (b"<!DOCTYPE d SYSTEM 'file:///etc/passwd'>" + report(), "unsafe_xml"),
        (b"", "not_xml"),
    ],
)
def test_a_report_that_cannot_be_used(content: bytes, why: str) -> None:
    with pytest.raises(TieoutError, match=why):
        pain002.read(content, "f")


def test_two_payment_informations_of_one_status_are_one() -> None:
    body = information("RJCT") + information("RJCT", number=2)
    assert pain002.read(report(body), "f").group_state == "failed"


def test_a_report_may_come_in_a_zip() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.xml", report(group="RJCT"))
    assert pain002.read(buffer.getvalue(), "f").group_state == "failed"
    assert rails.RAILS["pain001"].is_answer("pain002_M1.zip")


# --- real files -----------------------------------------------------------------------------------

# file -> group state, then (end-to-end id, state, reason) of each payment; text: why it is refused
OUTCOMES: dict[str, tuple[object, ...] | str] = {
    "moov__invalid_pain_v11.xml": "namespace",
    "moov__pain002-chdd-cor1_p_ch2909000000250094239_1110097483_0_2018031317221082.xml": (
        "accepted",
    ),
    "moov__pain002-epo_p_0_0_0_2018031510491259.xml": ("accepted",),
    "moov__pain002-epo_p_0_0_0_2018032614401842.xml": ("failed",),
    "moov__pain002-epo_p_ch2909000000250094239_1109800799_0_2018032612092784.xml": (
        "failed",
        ("EndToEndId-006-01-01", "failed", "AC01"),
    ),
    "oca__test-sepa-pain-unpaid-invalid.xml": "namespace",
    "oca__test-sepa-pain-unpaid.zip": (
        None,
        ("E2EID1", "failed", "AC01"),
        ("E2EID2", "failed", "MS02"),
        ("E2EID3", "failed", "MD06"),
        ("E2EID4", "failed", "AM04"),
    ),
}


@needs_samples
def test_what_becomes_of_every_real_report() -> None:
    found = {path.name: path for path in (SAMPLES / "pain002").iterdir() if path.suffix != ".md"}
    assert set(found) == set(OUTCOMES)
    for name, path in found.items():
        expected = OUTCOMES[name]
        if isinstance(expected, str):
            with pytest.raises(TieoutError, match=expected):
                pain002.read(path.read_bytes(), name)
        else:
            read = pain002.read(path.read_bytes(), name)
            lines = [
                (line.end_to_end_id, line.state, line.reason_code) for line in read.transactions
            ]
            assert (read.group_state, *lines) == expected, name


@needs_samples
def test_other_peoples_payment_files_are_not_taken_for_ours() -> None:
    """We write .09 and read it back to compare; nothing else is ever read as a payment file."""
    paths = [path for path in (SAMPLES / "pain001").glob("*.xml") if ".09" not in path.name]
    assert len(paths) >= 5
    for path in paths:
        with pytest.raises(TieoutError):
            pain001.read(path.read_bytes(), path.name)


@hypothesis_settings(deadline=None, max_examples=examples(60))
@given(data=st.data())
def test_a_damaged_report_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = report(information("PART", LINE), group="PART")
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = content[:at] + data.draw(st.binary(max_size=8)) + content[at + 3 :]
    try:
        read = pain002.read(damaged, "f")
    except TieoutError:
        return
    assert read.message_id
