"""The simulated bank: its own books, and the statements it sends: camt.053 of the client reserve,
MT940 of the fee account and, where it has one, of own funds.

The bank's state is one JSON file beside the truth. Statements are sent in order and each opens
with the closing balance of the one sent before, so the chain of balances never breaks, whether
payouts happen in between, late or never. A statement is written once and never rewritten. No
clock is read: creation times follow from the statement's date and number.

Formats: camt.053.001.08 (ISO 20022 BankToCustomerStatementV08), and SWIFT MT940 with a structured
`:86:`. The fee account and own funds send a statement only when they move.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tieout.core.errors import TieoutError
from tieout.files.store import Store

BANK_ACCOUNT_ID = "6600100200300400"
FEE_ACCOUNT_ID = "6600100200300418"
OWN_FUNDS_ACCOUNT_ID = "6600100200300426"
CURRENCY_CODE = "CNY"
ACCOUNT_OWNER = "示例支付有限公司客户备付金"
SERVICER_NAME = "示例备付金存管银行"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


@dataclass(frozen=True)
class BankLineDetail:
    """One transaction inside a bank line; the amounts of a line's details add up to the line."""

    amount_minor: int
    end_to_end_id: str | None = None
    counterparty_name: str | None = None
    remittance_text: str | None = None
    return_reason_code: str | None = None


@dataclass(frozen=True)
class BankLine:
    """One booked entry; ``amount_minor`` in fen, positive = credit to our account.

    ``kind`` and ``about`` are for the truth: what the line is, and of which arrival group, batch,
    payout or period.
    """

    amount_minor: int
    counterparty_name: str
    remittance_text: str
    details: tuple[BankLineDetail, ...] = ()
    batch_message_id: str | None = None
    is_return: bool = False
    kind: str = "unclassified"
    about: str = ""


Plan = Sequence[tuple[date, Sequence[BankLine], int]]


def exists(truth_dir: Path) -> bool:
    """Say whether a simulated bank keeps its books beside ``truth_dir``."""
    return _state_path(truth_dir).exists()


def open_books(
    truth_dir: Path,
    fingerprint: str,
    opening_balance_minor: int,
    planned: Plan,
    *,
    fee_opening_minor: int = 0,
    fee_planned: Plan = (),
    own_funds_opening_minor: int = 0,
    own_funds_planned: Plan | None = None,
    returns_per_batch: int = 0,
) -> None:
    """Open the bank's books, or keep them where the same simulation opened them before.

    Args:
        truth_dir: Folder of the truth; the books lie in ``bank/state.json`` in it.
        fingerprint: Names the simulation's arguments.
        opening_balance_minor: Balance before the first statement, fen.
        planned: Per arrival date: the date, its lines, and by how much its opening balance is
            shifted (an injected gap; 0 in an honest bank).
        fee_opening_minor: Balance of the fee account before its first statement, fen.
        fee_planned: The same for the fee account.
        own_funds_opening_minor: Balance of own funds before their first statement, fen.
        own_funds_planned: The same for own funds; None: the bank keeps no such account.
        returns_per_batch: How many payouts of each payment file come back.

    Raises:
        TieoutError: another simulation's books lie there.
    """
    if exists(truth_dir):
        require_same_simulation(truth_dir, fingerprint)
        return
    state = {
        "fingerprint": fingerprint,
        "returns_per_batch": returns_per_batch,
        **_account(BANK_ACCOUNT_ID, "camt053", opening_balance_minor, planned),
        "fee_account": _account(FEE_ACCOUNT_ID, "mt940", fee_opening_minor, fee_planned),
    }
    if own_funds_planned is not None:
        state["own_funds"] = _account(
            OWN_FUNDS_ACCOUNT_ID, "mt940", own_funds_opening_minor, own_funds_planned
        )
    _save(truth_dir, state)


def _account(
    bank_account_id: str, statement_format: str, opening_minor: int, planned: Plan
) -> dict[str, Any]:
    """Return the books of one account before its first statement."""
    return {
        "bank_account_id": bank_account_id,
        "format": statement_format,
        "currency_code": CURRENCY_CODE,
        "opening_balance_minor": opening_minor,
        "planned": [
            _planned(day, lines, shift)
            for day, lines, shift in sorted(planned, key=lambda plan: plan[0])
        ],
        "sent": [],
    }


def _planned(day: date, lines: Sequence[BankLine], shift: int = 0) -> dict[str, Any]:
    return {
        "statement_date": day.isoformat(),
        "opening_shift_minor": shift,
        "lines": [asdict(line) for line in lines],
    }


def require_same_simulation(truth_dir: Path, fingerprint: str) -> None:
    """Refuse a second, different simulation into the same folders.

    Raises:
        TieoutError: the books there belong to a simulation with other arguments.
    """
    if exists(truth_dir) and _load(truth_dir)["fingerprint"] != fingerprint:
        raise TieoutError(
            what="another simulation already lives here",
            where=str(truth_dir),
            why="its bank has sent statements that do not belong to the simulation asked for now",
            next_step="use a new TIEOUT_HOME, or remove the old inbox and truth folders first",
        )


def deliver(inbox: Path | str, truth_dir: Path, through: date) -> list[str]:
    """Send the morning statement of every arrival date up to ``through`` not sent yet.

    Returns:
        Paths of the statements written, relative to the inbox; empty when nothing was due.
    """
    state = _load(truth_dir)
    written = []
    for account in _accounts(state):
        for plan in account["planned"]:
            day = date.fromisoformat(plan["statement_date"])
            if day > through or _last_sent_date(account) >= day:
                continue
            lines = [_line_from_json(line) for line in plan["lines"]]
            shift = int(plan["opening_shift_minor"])
            written.append(_send(inbox, account, day, lines, opening_shift_minor=shift))
    if written:
        _save(truth_dir, state)
    return written


def _accounts(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the books of each account the bank keeps."""
    kept = [state, state["fee_account"], state.get("own_funds")]
    return [account for account in kept if account is not None]


def transfer_own_money(
    inbox: Path | str, truth_dir: Path, on: date, text: str, reserve_amount_minor: int
) -> list[str]:
    """Move money between the client reserve and own funds; return the two statements, once a text.

    ``text`` is what both lines say; ``reserve_amount_minor``, in fen, what the reserve receives.
    A bank that keeps no own funds does nothing.
    """
    if "own_funds" not in _load(truth_dir):
        return []
    return [
        write_statement(
            inbox,
            truth_dir,
            on,
            [BankLine(amount, ACCOUNT_OWNER, text, kind="own_transfer", about=text)],
            text,
            account_name=name,
        )
        for name, amount in ((None, reserve_amount_minor), ("own_funds", -reserve_amount_minor))
    ]


def write_statement(
    inbox: Path | str,
    truth_dir: Path,
    on: date,
    lines: Sequence[BankLine],
    reference: str | None = None,
    *,
    account_name: str | None = None,
) -> str:
    """Send the evening statement of ``on`` with ``lines``; return its path relative to the inbox.

    Mornings up to ``on`` go out first. Lines answered after later statements went out are booked on
    the last date sent, as a bank would. ``reference`` (for instance a payment file's message id)
    makes the call idempotent: a second call writes nothing and returns the first path. The
    statement is the reserve's, or that of the ``fee_account`` or of ``own_funds``.
    """
    deliver(inbox, truth_dir, on)
    state = _load(truth_dir)
    account = state if account_name is None else state[account_name]
    for sent in account["sent"]:
        if reference is not None and sent["reference"] == reference:
            return str(sent["path"])
    path = _send(inbox, account, max(on, _last_sent_date(account)), lines, reference=reference)
    _save(truth_dir, state)
    return path


def plan_morning(truth_dir: Path, day: date, lines: Sequence[BankLine], reference: str) -> None:
    """Have the reserve's next morning statement, of ``day``, carry ``lines`` too; once a reference.

    Where that morning is sent already, the lines come with the first one after it.
    """
    state = _load(truth_dir)
    known = state.setdefault("planned_references", [])
    if reference in known:
        return
    known.append(reference)
    last = _last_sent_date(state)
    later = [
        plan
        for plan in state["planned"]
        if date.fromisoformat(plan["statement_date"]) >= day
        and date.fromisoformat(plan["statement_date"]) > last
    ]
    if later and (later[0]["statement_date"] == day.isoformat() or last >= day):
        later[0]["lines"] += [asdict(line) for line in lines]
    else:
        state["planned"].append(_planned(max(day, last + timedelta(days=1)), lines))
        state["planned"].sort(key=lambda plan: plan["statement_date"])
    _save(truth_dir, state)


def chosen_returns(truth_dir: Path, end_to_end_ids: Sequence[str]) -> list[str]:
    """Return which payouts of a payment file come back, in an order nobody can guess."""
    state = _load(truth_dir)
    ranked = sorted(
        end_to_end_ids,
        key=lambda each: hashlib.sha256(f"{state['fingerprint']}/{each}".encode()).hexdigest(),
    )
    return ranked[: int(state["returns_per_batch"])]


def closing_balance(truth_dir: Path) -> int:
    """Return the account's balance after the last statement sent, fen."""
    return _balance(_load(truth_dir))


def statement_xml(
    day: date, sequence_number: int, opening_minor: int, lines: Sequence[BankLine]
) -> bytes:
    """Return one camt.053.001.08 document: a statement that adds up from opening to closing."""
    stamp = f"{day:%Y%m%d}"
    statement_id = f"{BANK_ACCOUNT_ID}-{stamp}-{sequence_number}"
    created = f"{day.isoformat()}T{'08:00:00' if sequence_number == 1 else '21:00:00'}+08:00"
    closing_minor = opening_minor + sum(line.amount_minor for line in lines)
    entries = "".join(
        _entry_xml(day, f"{stamp}{sequence_number}{number:06d}", line)
        for number, line in enumerate(lines, start=1)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="{NAMESPACE}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>{statement_id}</MsgId><CreDtTm>{created}</CreDtTm></GrpHdr>\n"
        f"<Stmt><Id>{statement_id}</Id><ElctrncSeqNb>{sequence_number}</ElctrncSeqNb>"
        f"<CreDtTm>{created}</CreDtTm>"
        f"<Acct><Id><Othr><Id>{BANK_ACCOUNT_ID}</Id></Othr></Id><Ccy>{CURRENCY_CODE}</Ccy>"
        f"<Ownr><Nm>{ACCOUNT_OWNER}</Nm></Ownr>"
        f"<Svcr><FinInstnId><Nm>{SERVICER_NAME}</Nm></FinInstnId></Svcr></Acct>\n"
        f"{_balance_xml('OPBD', day, opening_minor)}\n"
        f"{_balance_xml('CLBD', day, closing_minor)}\n"
        f"{entries}</Stmt></BkToCstmrStmt></Document>\n"
    )
    return text.encode("utf-8")


def statement_mt940(
    bank_account_id: str,
    day: date,
    sequence_number: int,
    opening_minor: int,
    lines: Sequence[BankLine],
) -> bytes:
    """Return one MT940 message of an account that adds up from opening to closing."""
    closing_minor = opening_minor + sum(line.amount_minor for line in lines)
    text = [
        f":20:{day:%Y%m%d}{sequence_number:05d}",
        f":25:{bank_account_id}",
        f":28C:{sequence_number}/1",
        f":60F:{_mt940_balance(day, opening_minor)}",
    ]
    for number, line in enumerate(lines, start=1):
        mark = "C" if line.amount_minor >= 0 else "D"
        reference = f"{day:%Y%m%d}{sequence_number}{number:06d}"
        text.append(
            f":61:{day:%y%m%d}{day:%m%d}{mark}{_mt940_amount(line.amount_minor)}NMSCNONREF"
            f"//{reference}"
        )
        purpose = _chunks(f"SVWZ+{line.remittance_text}")
        parts = [f"?{20 + place}{part}" for place, part in enumerate(purpose)]
        parts += [
            f"?{32 + place}{part}" for place, part in enumerate(_chunks(line.counterparty_name))
        ]
        details = f":86:820?00{''.join(parts)}"
        text += [details[start : start + 65] for start in range(0, len(details), 65)]
    text += [f":62F:{_mt940_balance(day, closing_minor)}", "-", ""]
    return "\r\n".join(text).encode("utf-8")


def _chunks(text: str) -> list[str]:
    return [text[start : start + 27] for start in range(0, len(text), 27)]


def _mt940_amount(amount_minor: int) -> str:
    size = abs(amount_minor)
    return f"{size // 100},{size % 100:02d}"


def _mt940_balance(day: date, amount_minor: int) -> str:
    mark = "C" if amount_minor >= 0 else "D"
    return f"{mark}{day:%y%m%d}{CURRENCY_CODE}{_mt940_amount(amount_minor)}"


def statement_path(day: date, sequence_number: int) -> str:
    """Return the inbox path of a statement of the client reserve."""
    name = f"camt053_{BANK_ACCOUNT_ID}_{day:%Y%m%d}_{sequence_number}.xml"
    return f"bank/{day:%Y%m%d}/{name}"


def mt940_path(bank_account_id: str, day: date, sequence_number: int) -> str:
    """Return the inbox path of a statement in MT940."""
    return f"bank/{day:%Y%m%d}/mt940_{bank_account_id}_{day:%Y%m%d}_{sequence_number}.sta"


def _send(
    inbox: Path | str,
    state: dict[str, Any],
    day: date,
    lines: Sequence[BankLine],
    *,
    reference: str | None = None,
    opening_shift_minor: int = 0,
) -> str:
    """Write the account's next statement and note it in its ``state`` (the caller saves it)."""
    opening = _balance(state) + opening_shift_minor
    if state["format"] == "mt940":
        # MT940 numbers the statements of an account, camt.053 here those of a date.
        sequence_number = len(state["sent"]) + 1
        path = mt940_path(state["bank_account_id"], day, sequence_number)
        content = statement_mt940(state["bank_account_id"], day, sequence_number, opening, lines)
    else:
        of_day = [sent for sent in state["sent"] if sent["statement_date"] == day.isoformat()]
        sequence_number = len(of_day) + 1
        path = statement_path(day, sequence_number)
        content = statement_xml(day, sequence_number, opening, lines)
    Store(str(inbox)).write(path, content)
    state["sent"].append(
        {
            "statement_date": day.isoformat(),
            "sequence_number": sequence_number,
            "path": path,
            "reference": reference,
            "opening_balance_minor": opening,
            "closing_balance_minor": opening + sum(line.amount_minor for line in lines),
            # What each line really is: the truth beside the inbox.
            "lines": [
                {
                    "entry_reference": f"{day:%Y%m%d}{sequence_number}{number:06d}",
                    "kind": line.kind,
                    "about": line.about,
                    "amount_minor": line.amount_minor,
                    "payouts": [
                        detail.end_to_end_id for detail in line.details if detail.end_to_end_id
                    ],
                }
                for number, line in enumerate(lines, start=1)
            ],
        }
    )
    return path


def _balance(state: dict[str, Any]) -> int:
    """Return the closing balance of the last statement sent, else the opening one."""
    if state["sent"]:
        return int(state["sent"][-1]["closing_balance_minor"])
    return int(state["opening_balance_minor"])


def _last_sent_date(state: dict[str, Any]) -> date:
    """Return the date of the last statement sent; a date before all others if there is none."""
    if state["sent"]:
        return date.fromisoformat(state["sent"][-1]["statement_date"])
    return date.min


def _line_from_json(line: dict[str, Any]) -> BankLine:
    """Return the planned line as it was given to ``open_books``."""
    details = tuple(BankLineDetail(**detail) for detail in line["details"])
    return BankLine(**{**line, "details": details})


def _state_path(truth_dir: Path) -> Path:
    return Path(truth_dir) / "bank" / "state.json"


def _load(truth_dir: Path) -> dict[str, Any]:
    """Return the bank's books.

    Raises:
        TieoutError: there is no simulated bank.
    """
    path = _state_path(truth_dir)
    if not path.exists():
        raise TieoutError(
            what="there is no simulated bank",
            where=str(path),
            why="no simulation was written into this home",
            next_step="run `tieout simulate` first; a real bank's files need no simulated bank",
        )
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state


def _save(truth_dir: Path, state: dict[str, Any]) -> None:
    path = _state_path(truth_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state, ensure_ascii=False, indent=1), encoding="utf-8")
    partial.replace(path)


def _amount_xml(amount_minor: int) -> str:
    """Return the unsigned amount and its direction, as camt writes them."""
    size = abs(amount_minor)
    direction = "CRDT" if amount_minor >= 0 else "DBIT"
    return (
        f'<Amt Ccy="{CURRENCY_CODE}">{size // 100}.{size % 100:02d}</Amt>'
        f"<CdtDbtInd>{direction}</CdtDbtInd>"
    )


def _balance_xml(code: str, day: date, amount_minor: int) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount_xml(amount_minor)}"
        f"<Dt><Dt>{day.isoformat()}</Dt></Dt></Bal>"
    )


def _transaction_code_xml(line: BankLine) -> str:
    """Return the ISO bank transaction code: received, issued or returned credit transfers."""
    if line.is_return:
        family, sub_family = "ICDT", "RRTN"
    elif line.batch_message_id is not None:
        family, sub_family = "ICDT", "DMCT"
    elif line.amount_minor >= 0:
        family, sub_family = "RCDT", "DMCT"
    else:
        family, sub_family = "IDDT", "PMDD"
    return (
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd>"
        f"<SubFmlyCd>{sub_family}</SubFmlyCd></Fmly></Domn></BkTxCd>"
    )


def _detail_xml(line: BankLine, detail: BankLineDetail) -> str:
    """Return one TxDtls; what the detail leaves out is taken from its line."""
    name = escape(detail.counterparty_name or line.counterparty_name)
    # The counterparty of money received is its debtor, of money paid its creditor.
    party = "Dbtr" if detail.amount_minor >= 0 and not line.is_return else "Cdtr"
    end_to_end_id = escape(detail.end_to_end_id or "NOTPROVIDED")
    remittance = escape(detail.remittance_text or line.remittance_text)
    returned = (
        f"<RtrInf><Rsn><Cd>{escape(detail.return_reason_code)}</Cd></Rsn></RtrInf>"
        if detail.return_reason_code
        else ""
    )
    return (
        f"<TxDtls><Refs><EndToEndId>{end_to_end_id}</EndToEndId></Refs>"
        f"{_amount_xml(detail.amount_minor)}"
        f"<RltdPties><{party}><Pty><Nm>{name}</Nm></Pty></{party}></RltdPties>"
        f"<RmtInf><Ustrd>{remittance}</Ustrd></RmtInf>{returned}</TxDtls>\n"
    )


def _entry_xml(day: date, entry_reference: str, line: BankLine) -> str:
    """Return one Ntry with its details.

    Raises:
        ValueError: the details do not add up to the line.
    """
    details = line.details or (BankLineDetail(line.amount_minor),)
    if sum(detail.amount_minor for detail in details) != line.amount_minor:
        raise ValueError(f"details of bank line {entry_reference} do not add up to it")
    batch = (
        f"<Btch><MsgId>{escape(line.batch_message_id)}</MsgId>"
        f"<NbOfTxs>{len(details)}</NbOfTxs></Btch>"
        if line.batch_message_id is not None
        else ""
    )
    return (
        f"<Ntry><NtryRef>{entry_reference}</NtryRef>{_amount_xml(line.amount_minor)}"
        "<RvslInd>false</RvslInd><Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{day.isoformat()}</Dt></BookgDt><ValDt><Dt>{day.isoformat()}</Dt></ValDt>"
        f"<AcctSvcrRef>{entry_reference}</AcctSvcrRef>{_transaction_code_xml(line)}"
        f"<NtryDtls>{batch}{''.join(_detail_xml(line, detail) for detail in details)}</NtryDtls>"
        f"<AddtlNtryInf>{escape(line.remittance_text)}</AddtlNtryInf></Ntry>\n"
    )
