"""The simulated bank's answers: it reads our payment files, reports on them, and books the debits.

For each payment file of a payment date: an answer of its rail in the inbox (pain.002.001.10, or an
agency's answer file), and an evening statement with one debit for the batch. A bank that took a
pain.001 has the payments below it; one that took an agency's file names the batch alone. A file is
answered once, whatever its name; nothing is read from a clock.

``truth/bank/answers.json`` may name end-to-end ids the bank treats otherwise (tests and drills
write it; the sample week has none):

    {"reject": {"20260928-A000001-T1-CNY-1": "AC01"},
     "silent": ["20260928-A000002-T1-CNY-1"],
     "return": {"20260928-A000003-T1-CNY-1": "AC04"},
     "debit_twice": ["2026-09-28"], "return_twice": ["20260928-A000003-T1-CNY-1"],
     "inquiry": {"20260928-A000002-T1-CNY-1": "paid"}}

A rejected payment is not debited; a silent one is neither answered nor debited, until an inquiry
asks about it: then it is paid, or refused with the reason given. A returned one is paid and comes
back the same evening. A bank that errs debits each batch of a date twice, or gives a
returned payment back twice, in a second statement of the same evening. Where the simulation was
told that payouts of each batch come back, they do so in the three ways of life: in a line of its
own the same evening, several in one line with details, and in a line of its own on the next working
morning.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import date
from typing import Final

from lxml import etree

from tieout.core.money import decimal_text
from tieout.core.settings import Settings
from tieout.dates.workdays import next_working_day
from tieout.files.store import Store
from tieout.payouts import agency, rails
from tieout.payouts.batches import ReadBatch, ReadPayment
from tieout.simulator import bank

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
ANSWERED_TIME_OF_DAY: Final = "16:00:00+08:00"
AGENCY_CUSTOMER_ID: Final = "200000000000"
PAYER_NAME: Final = "示例支付有限公司"
# Creditor account closed.
DEFAULT_RETURN_REASON: Final = "AC04"


@dataclass(frozen=True)
class AnswersReport:
    """What the simulated bank did for one payment date."""

    payment_date: date
    files_answered: int
    files_known: int
    settled_count: int
    settled_amount_minor: int
    rejected_count: int
    delivered: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one line for people."""
        if not self.files_answered:
            return f"{self.payment_date}: nothing new to answer ({self.files_known} files known)"
        settled = decimal_text(self.settled_amount_minor, bank.CURRENCY_CODE)
        return (
            f"{self.payment_date}: {self.files_answered} payment files answered,"
            f" {self.settled_count} payments settled ({settled} {bank.CURRENCY_CODE}),"
            f" {self.rejected_count} rejected"
        )


@dataclass(frozen=True)
class _Treatment:
    """Payments the bank does not simply pay, by end-to-end id."""

    rejects: dict[str, str]
    silent: frozenset[str]
    returns: dict[str, str]
    debited_twice: frozenset[date]
    returned_twice: frozenset[str]
    inquiries: dict[str, str]


def answer(settings: Settings, payment_date: date) -> AnswersReport:
    """Answer every payment file of ``payment_date``, then send the mornings up to the next one.

    In a home without a simulated bank nothing happens.

    Raises:
        TieoutError: a payment file is not what the bank can read; it answers none of that file.
    """
    truth_dir = settings.truth_dir
    if not bank.exists(truth_dir):
        return AnswersReport(payment_date, 0, 0, 0, 0, 0, ())
    treatment = _treatment(settings)
    answered = known = settled = settled_minor = rejected = 0
    for path in _payment_files(settings, payment_date):
        batch = _read(settings, path)
        report_path = _answer_path(batch, payment_date, batch.message_id)
        if Store(settings.inbox_url).exists(report_path):
            known += 1
            continue
        paid = [
            payment
            for payment in batch.payments
            if payment.end_to_end_id not in treatment.rejects
            and payment.end_to_end_id not in treatment.silent
        ]
        _book(settings, payment_date, batch, paid, treatment)
        # The report is written last: it marks the file as answered.
        report = _answer(batch, payment_date, treatment.rejects, treatment.silent)
        Store(settings.inbox_url).write(report_path, report)
        answered += 1
        settled += len(paid)
        settled_minor += sum(payment.amount_minor for payment in paid)
        rejected += sum(payment.end_to_end_id in treatment.rejects for payment in batch.payments)
    for batch, asked in _asked(settings, payment_date, treatment):
        paid = [
            payment for payment in asked if treatment.inquiries[payment.end_to_end_id] == "paid"
        ]
        refusals = {
            payment.end_to_end_id: treatment.inquiries[payment.end_to_end_id]
            for payment in asked
            if payment not in paid
        }
        name = f"INQ-{batch.message_id}"
        report_path = _answer_path(batch, payment_date, name)
        if Store(settings.inbox_url).exists(report_path):
            known += 1
            continue
        if paid:
            bank.write_statement(
                settings.inbox_url,
                truth_dir,
                payment_date,
                [_debit(batch, paid)],
                f"{name}/{payment_date}",
            )
        others = frozenset(payment.end_to_end_id for payment in batch.payments) - {
            payment.end_to_end_id for payment in asked
        }
        report = _answer(batch, payment_date, refusals, others, report_id=name)
        Store(settings.inbox_url).write(report_path, report)
        answered += 1
        settled += len(paid)
        settled_minor += sum(payment.amount_minor for payment in paid)
        rejected += len(refusals)
    delivered = bank.deliver(settings.inbox_url, truth_dir, next_working_day(payment_date))
    return AnswersReport(
        payment_date=payment_date,
        files_answered=answered,
        files_known=known,
        settled_count=settled,
        settled_amount_minor=settled_minor,
        rejected_count=rejected,
        delivered=tuple(delivered),
    )


def _read(settings: Settings, path: str) -> ReadBatch:
    rail = rails.paying(path.rpartition("/")[2])
    assert rail is not None, "only payment files are looked at"
    with Store(settings.payment_files_url).opened(path) as stream:
        return rail.read(stream.read(), path)


def _answer_path(batch: ReadBatch, day: date, name: str) -> str:
    folder = f"bank/{day:%Y%m%d}"
    if batch.message_name == agency.LAYOUT:
        return f"{folder}/agency_answer_{name}.txt"
    return f"{folder}/pain002_{name}.xml"


def _answer(
    batch: ReadBatch,
    answered_on: date,
    rejects: dict[str, str],
    silent: frozenset[str],
    *,
    report_id: str | None = None,
) -> bytes:
    if batch.message_name == agency.LAYOUT:
        return agency_answer(batch, rejects, silent)
    return status_report(batch, answered_on, rejects, silent, report_id=report_id)


def agency_answer(
    batch: ReadBatch, rejects: dict[str, str], silent: frozenset[str] = frozenset()
) -> bytes:
    """Return the agency's answer to a payment file: the batch's code, then each payment's."""
    reported = [payment for payment in batch.payments if payment.end_to_end_id not in silent]
    is_whole = len(reported) == batch.payment_count
    rejected_count = sum(payment.end_to_end_id in rejects for payment in reported)
    lines = [
        [
            str(number),
            payment.end_to_end_id,
            decimal_text(payment.amount_minor, payment.currency_code),
            payment.currency_code,
            "111111" if payment.end_to_end_id in rejects else "000000",
            rejects.get(payment.end_to_end_id, ""),
            "",
        ]
        for number, payment in enumerate(reported, start=1)
    ]
    total = decimal_text(sum(item.amount_minor for item in reported), batch.currency_code)
    # 0000 would say that the silent ones were accepted.
    code = "0000" if is_whole and not rejected_count else "0001"
    head = [
        agency.FIRST,
        AGENCY_CUSTOMER_ID,
        batch.message_id,
        "S" if is_whole else "D",
        code,
        batch.currency_code,
        str(len(reported)),
        total,
    ]
    return agency.written_lines([head, *lines, [agency.LAST]])


def status_report(
    batch: ReadBatch,
    answered_on: date,
    rejects: dict[str, str],
    silent: frozenset[str] = frozenset(),
    *,
    report_id: str | None = None,
) -> bytes:
    """Return the pain.002.001.10 for a payment file: the group, then each payment on its own."""
    document = etree.Element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE})
    report = _add(document, "CstmrPmtStsRpt")
    header = _add(report, "GrpHdr")
    _add(header, "MsgId", f"SR-{report_id or batch.message_id}")
    _add(header, "CreDtTm", f"{answered_on.isoformat()}T{ANSWERED_TIME_OF_DAY}")
    group = _add(report, "OrgnlGrpInfAndSts")
    _add(group, "OrgnlMsgId", batch.message_id)
    _add(group, "OrgnlMsgNmId", batch.message_name)
    _add(group, "OrgnlNbOfTxs", str(batch.payment_count))
    _add(group, "OrgnlCtrlSum", decimal_text(batch.control_sum_minor, batch.currency_code))
    reported = [payment for payment in batch.payments if payment.end_to_end_id not in silent]
    rejected_count = sum(payment.end_to_end_id in rejects for payment in batch.payments)
    # PART says nothing of payments without a line of their own; ACCP would accept the silent ones.
    _add(
        group, "GrpSts", "PART" if rejected_count or len(reported) < batch.payment_count else "ACCP"
    )
    if not reported:
        return _bytes(document)
    information = _add(report, "OrgnlPmtInfAndSts")
    _add(information, "OrgnlPmtInfId", batch.payment_information_id)
    for payment in reported:
        line = _add(information, "TxInfAndSts")
        _add(line, "OrgnlInstrId", payment.end_to_end_id)
        _add(line, "OrgnlEndToEndId", payment.end_to_end_id)
        reason_code = rejects.get(payment.end_to_end_id)
        _add(line, "TxSts", "RJCT" if reason_code else "ACSC")
        if reason_code:
            reason = _add(line, "StsRsnInf")
            _add(_add(reason, "Rsn"), "Cd", reason_code)
        amount = _add(
            _add(_add(line, "OrgnlTxRef"), "Amt"),
            "InstdAmt",
            decimal_text(payment.amount_minor, payment.currency_code),
        )
        amount.set("Ccy", payment.currency_code)
    return _bytes(document)


def _book(
    settings: Settings,
    payment_date: date,
    batch: ReadBatch,
    paid: list[ReadPayment],
    treatment: _Treatment,
) -> None:
    """Book one debit for the batch, and what comes back; each once, by its reference."""
    debit = _debit(batch, paid)
    if paid:
        bank.write_statement(
            settings.inbox_url, settings.truth_dir, payment_date, [debit], batch.message_id
        )
    returned = [payment for payment in paid if payment.end_to_end_id in treatment.returns]
    evening = [_return_line([payment], treatment.returns) for payment in returned]
    chosen = bank.chosen_returns(
        settings.truth_dir,
        [payment.end_to_end_id for payment in paid if payment not in returned],
    )
    of_batch = [payment for payment in paid if payment.end_to_end_id in set(chosen)]
    alone, together, later = of_batch[::3], of_batch[1::3], of_batch[2::3]
    evening += [_return_line([payment], {}) for payment in alone]
    if together:
        evening.append(_return_line(together, {}))
    reference = f"{batch.message_id}/returns"
    if evening:
        bank.write_statement(
            settings.inbox_url, settings.truth_dir, payment_date, evening, reference
        )
    errors = [
        _return_line([payment], treatment.returns)
        for payment in returned
        if payment.end_to_end_id in treatment.returned_twice
    ]
    if paid and payment_date in treatment.debited_twice:
        errors.append(debit)
    if errors:
        bank.write_statement(
            settings.inbox_url,
            settings.truth_dir,
            payment_date,
            errors,
            f"{batch.message_id}/errors",
        )
    if later:
        bank.plan_morning(
            settings.truth_dir,
            next_working_day(payment_date),
            [_return_line([payment], {}) for payment in later],
            f"{reference}/later",
        )


def _debit(batch: ReadBatch, paid: list[ReadPayment]) -> bank.BankLine:
    """Return the debit of a batch; its payments below it, but for an agency's batch."""
    named = () if batch.message_name == agency.LAYOUT else tuple(paid)
    return bank.BankLine(
        amount_minor=-sum(payment.amount_minor for payment in paid),
        counterparty_name=PAYER_NAME,
        remittance_text=f"PAYOUT {batch.message_id}",
        details=tuple(
            bank.BankLineDetail(
                amount_minor=-payment.amount_minor,
                end_to_end_id=payment.end_to_end_id,
                counterparty_name=payment.account_name,
                remittance_text=f"PAYOUT {batch.message_id}",
            )
            for payment in named
        ),
        batch_message_id=batch.message_id,
        kind="payout_debit",
        about=batch.message_id,
    )


def _asked(
    settings: Settings, day: date, treatment: _Treatment
) -> list[tuple[ReadBatch, list[ReadPayment]]]:
    """Return the batches that inquiries of a day are about, with the payments it answers now."""
    outbox = Store(settings.outbox_url)
    asked: dict[tuple[str, str], set[str]] = {}
    for name in outbox.names(f"inquiries/{day:%Y%m%d}"):
        with outbox.opened(f"inquiries/{day:%Y%m%d}/{name}") as stream:
            rows = csv.DictReader(io.StringIO(stream.read().decode()))
            for row in rows:
                if row["end_to_end_id"] in treatment.inquiries:
                    batch = (row["submitted_on"].replace("-", ""), row["message_id"])
                    asked.setdefault(batch, set()).add(row["end_to_end_id"])
    found = []
    for (folder, message_id), identifiers in sorted(asked.items()):
        batch_read = _read(settings, _path_of(settings, f"payouts/{folder}", message_id))
        found.append(
            (
                batch_read,
                [item for item in batch_read.payments if item.end_to_end_id in identifiers],
            )
        )
    return found


def _return_line(payments: list[ReadPayment], reasons: dict[str, str]) -> bank.BankLine:
    """Return the credit of payouts that came back: of one in its name, of several with details."""
    first = payments[0]
    is_one = len(payments) == 1
    text = f"RETURN {first.end_to_end_id}" if is_one else f"RETURN {len(payments)} PAYOUTS"
    return bank.BankLine(
        amount_minor=sum(payment.amount_minor for payment in payments),
        counterparty_name=first.account_name if is_one else PAYER_NAME,
        remittance_text=text,
        details=tuple(
            bank.BankLineDetail(
                amount_minor=payment.amount_minor,
                end_to_end_id=payment.end_to_end_id,
                counterparty_name=payment.account_name,
                remittance_text=f"RETURN {payment.end_to_end_id}",
                return_reason_code=reasons.get(payment.end_to_end_id, DEFAULT_RETURN_REASON),
            )
            for payment in payments
        ),
        is_return=True,
        kind="payout_return",
        about=first.end_to_end_id if is_one else "",
    )


def _treatment(settings: Settings) -> _Treatment:
    path = settings.truth_dir / "bank" / "answers.json"
    stated = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return _Treatment(
        rejects=dict(stated.get("reject", {})),
        silent=frozenset(stated.get("silent", [])),
        returns=dict(stated.get("return", {})),
        debited_twice=frozenset(map(date.fromisoformat, stated.get("debit_twice", []))),
        returned_twice=frozenset(stated.get("return_twice", [])),
        inquiries=dict(stated.get("inquiry", {})),
    )


def _payment_files(settings: Settings, payment_date: date) -> list[str]:
    folder = f"payouts/{payment_date:%Y%m%d}"
    names = Store(settings.payment_files_url).names(folder)
    return [f"{folder}/{name}" for name in names if rails.paying(name) is not None]


def _path_of(settings: Settings, folder: str, message_id: str) -> str:
    """Return the path of a batch's file, whatever its rail."""
    names = {rail.file_name(message_id) for rail in rails.RAILS.values()}
    (found,) = names & set(Store(settings.payment_files_url).names(folder))
    return f"{folder}/{found}"


def _add(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    element.text = text
    return element


def _bytes(document: etree._Element) -> bytes:
    etree.indent(document, space="  ")
    return bytes(etree.tostring(document, xml_declaration=True, encoding="UTF-8")) + b"\n"
