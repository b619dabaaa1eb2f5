"""Files of the bank for tests, made element by element: camt.053, camt.054, MT940, bank CSV."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date

import channel_files as make

DAY = make.DAY


ISO = "urn:iso:std:iso:20022:tech:xsd:"


PAYEE_ACCOUNT = "6222020200112230017"


def zipped(**members: bytes) -> bytes:
    """Return a ZIP of members named `name.xml`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.xml", content)
    return buffer.getvalue()


def amt(amount: str, sign: str = "CRDT", currency: str = "CNY") -> str:
    """Return Amt and CdtDbtInd."""
    return f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'


def bal(code: str, amount: str, *, sign: str = "CRDT", day: date = DAY) -> str:
    """Return a Bal."""
    kind = f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    return f"<Bal>{kind}{amt(amount, sign)}<Dt><Dt>{day}</Dt></Dt></Bal>"


def ntry(amount: str, sign: str = "CRDT", *, inside: str = "", state: str = "BOOK") -> str:
    """Return a Ntry with the status as text, as in .02 to .04."""
    return (
        f"<Ntry>{amt(amount, sign)}<Sts>{state}</Sts><BookgDt><Dt>{DAY}</Dt></BookgDt>"
        f"{inside}</Ntry>"
    )


def stmt(
    body: str, *, account: str = make.BANK_ACCOUNT, number: int = 1, head: str = "", tail: str = ""
) -> str:
    """Return a Stmt."""
    return (
        f"<Stmt><Id>S{number}</Id>{head}<ElctrncSeqNb>{number}</ElctrncSeqNb>"
        f"<Acct><Id><Othr><Id>{account}</Id></Othr></Id></Acct>{body}{tail}</Stmt>"
    )


def document(
    *statements: str,
    namespace: str | None = f"{ISO}camt.053.001.02",
    header: str = "",
    message: str = "BkToCstmrStmt",
) -> bytes:
    """Return a Document of Stmts (or Ntfctns)."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return (
        f"<Document{attribute}><{message}><GrpHdr><MsgId>M</MsgId>"
        f"<CreDtTm>{DAY}T09:00:00+08:00</CreDtTm>{header}</GrpHdr>"
        f"{''.join(statements)}</{message}></Document>"
    ).encode()


OPEN = bal("OPBD", "100.00")


def detail(
    amount: str = "",
    *,
    sign: str = "",
    reference: str = "",
    inside: str = "",
    currency: str = "CNY",
) -> str:
    """Return a TxDtls in the form of .02: the amount in AmtDtls, without a sign of its own."""
    written = f'<AmtDtls><TxAmt><Amt Ccy="{currency}">{amount}</Amt></TxAmt></AmtDtls>'
    indicator = f"<CdtDbtInd>{sign}</CdtDbtInd>" if sign else ""
    refs = f"<Refs><EndToEndId>{reference}</EndToEndId></Refs>" if reference else ""
    return f"<TxDtls>{refs}{written if amount else ''}{indicator}{inside}</TxDtls>"


def batch(*details: str, count: str = "", total: str = "") -> str:
    """Return a NtryDtls with Btch."""
    number = f"<NbOfTxs>{count}</NbOfTxs>" if count else ""
    amount = f'<TtlAmt Ccy="CNY">{total}</TtlAmt>' if total else ""
    return f"<NtryDtls><Btch>{number}{amount}</Btch>{''.join(details)}</NtryDtls>"


def code(sub_family: str) -> str:
    """Return a BkTxCd of the payments domain."""
    return (
        "<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd>"
        f"<SubFmlyCd>{sub_family}</SubFmlyCd></Fmly></Domn></BkTxCd>"
    )


RETURN = "<RtrInf><Rsn><Cd>AC01</Cd></Rsn></RtrInf>"


PARTIES = (
    "<RltdPties><Dbtr><Nm>示例支付有限公司</Nm></Dbtr><Cdtr><Nm>张三丰</Nm></Cdtr>"
    f"<CdtrAcct><Id><Othr><Id>{PAYEE_ACCOUNT}</Id></Othr></Id></CdtrAcct></RltdPties>"
)


def notification(body: str = "", *, head: str = "", version: str = "04") -> bytes:
    """Return a camt.054 with a returned payout unless another body is given."""
    returned = code("RRTN") + batch(
        detail("30.00", reference="20260924-A1", inside=RETURN + PARTIES), count="1"
    )
    inside = (
        f"<Ntfctn><Id>N1</Id>{head}<Acct><Id><Othr><Id>{make.BANK_ACCOUNT}</Id></Othr></Id>"
        f"<Ccy>CNY</Ccy></Acct>{body or ntry('30.00', inside=returned)}</Ntfctn>"
    )
    namespace = f"{ISO}camt.054.001.{version}"
    return document(inside, namespace=namespace, message="BkToCstmrDbtCdtNtfctn")


MT940 = f"""\
:20:A
:25:{make.BANK_ACCOUNT}
:28C:7/1
:60F:C260924CNY100,00
:61:2609240924D30,00NTRFNONREF
:86:159?00RETURN?20EREF+E1?21SVWZ+to {PAYEE_ACCOUNT}?31{PAYEE_ACCOUNT}?32张三丰
:61:2609240924C1,00NTRFNONREF
:86:first line
:86:second line
:62F:C260924CNY71,00
-
"""


CSV_HEADER = "交易日期,交易流水号,借方发生额,贷方发生额,余额,对方账号,对方户名,摘要,附言"


CSV_HEAD = (
    f"账号：,{make.BANK_ACCOUNT},户名：示例支付有限公司\r\n"
    '币种：,人民币,截止日期：20260924\r\n期初余额：,"1,000.00"\r\n'
)


CSV_ROWS = (
    '20260924,T1,,"1,500.00","2,500.00",="6600100200300999",中国银联股份有限公司,收款,'
    "UPSETTLE 20260924",
    "20260924,T2,200.50,-,2299.50,6222020200112230017,张三丰,代付,PAYOUT PO1",
    "20260924,T3,,200.50,2500.00,6222020200112230017,李四,退汇,20260923-A000003-T1-CNY-1",
    "2026-09-24,T4,10.00,,2490.00,,,手续费,",
    "20260924,T5,-10.00,,2500.00,,,手续费,冲正",
)


# A negative number in the column of debits (红字) lowers that column's sum.
CSV_TRAILER = (
    "借方合计笔数：,3,借方合计金额：,200.50\r\n贷方合计笔数：,2,贷方合计金额：,1700.50\r\n"
)


def bank_statement(
    body: Sequence[str] = CSV_ROWS,
    *,
    head: str = CSV_HEAD,
    header: str = CSV_HEADER,
    trailer: str = CSV_TRAILER,
    encoding: str = "gb18030",
) -> bytes:
    """Return a statement in the likely layout."""
    lines = "".join(f"{line}\r\n" for line in (header, *body))
    return f"{head}{lines}{trailer}".encode(encoding)
