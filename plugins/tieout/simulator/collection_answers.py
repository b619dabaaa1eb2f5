"""The simulated bank's answers to direct debits of fee bills (pain.008), with what is true of them.

For each file of a day: a status report in the inbox's folder ``collections``, and an evening
statement of the fee account with a line a debit. A file is answered once; nothing is read from a
clock. Each debit is paid, unless ``truth/bank/collections.json`` names it otherwise (tests and
drills write it):

    {"FB00000001C01": "part", "FB00000002C01": "silent", "FB00000003C01": "AM04",
     "FB00000004C01": "paid_on_paper", "FB00000005C01": "paid_silently",
     "FB00000006C01": "returned", "FB00000007C01": "returned MD06"}

``part`` brings half of it; ``silent`` is neither answered nor paid; ``paid_silently`` is paid
without an answer; ``paid_on_paper`` is reported as settled, and no money comes; ``returned`` is
paid and taken back, with the reason behind it, in the statement of the next day that is answered;
anything else is a reason of refusal. What each debit was is kept in
``truth/bank/collections_answered.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final

from tieout.billing import pain008
from tieout.billing.pain008 import ReadDebit
from tieout.core.settings import Settings
from tieout.files.store import Store
from tieout.payouts.batches import ReadBatch, ReadPayment
from tieout.simulator import bank
from tieout.simulator.bank_answers import status_report

__all__ = ["answer", "report"]

RETURNED: Final = "returned"
KINDS: Final = frozenset({"paid", "part", "silent", "paid_on_paper", "paid_silently"})
_SETTLED: Final = frozenset({"paid", "part", "paid_silently"})
_UNANSWERED: Final = frozenset({"silent", "paid_silently"})
MERCHANT_NAME: Final = "示例商户"


def answer(settings: Settings, day: date) -> int:
    """Report on the day's files and book what is paid of them; return how many files are new.

    In a home without a simulated bank nothing happens.
    """
    if not bank.exists(settings.truth_dir):
        return 0
    known = _treatments(settings)
    _take_back(settings, day, known)
    for _, debits in _files(settings, day):
        lines = [
            bank.BankLine(
                amount_minor=_settled_minor(debit, known),
                counterparty_name=MERCHANT_NAME,
                remittance_text=f"FEEBILL {debit.end_to_end_id}",
            )
            for debit in debits
            if _kind(debit, known) in _SETTLED or _is_returned(debit, known)
        ]
        if lines:
            bank.write_statement(
                settings.inbox_url,
                settings.truth_dir,
                day,
                lines,
                debits[0].message_id,
                account_name="fee_account",
            )
    return report(settings, day)


def report(settings: Settings, day: date) -> int:
    """Write the status report of each of the day's files; return how many are new."""
    known = _treatments(settings)
    inbox = Store(settings.inbox_url)
    count = 0
    for path, debits in _files(settings, day):
        name = path.rpartition("/")[2].replace("pain008", "pain002")
        answer_path = f"collections/{day:%Y%m%d}/{name}"
        if inbox.exists(answer_path):
            continue
        kinds = {debit.end_to_end_id: _kind(debit, known) for debit in debits}
        rejects = {
            debit.end_to_end_id: _kind(debit, known)
            for debit in debits
            if _kind(debit, known) not in KINDS and not _is_returned(debit, known)
        }
        silent = frozenset(each for each, kind in kinds.items() if kind in _UNANSWERED)
        _keep_truth(settings, kinds)
        if silent != kinds.keys():
            inbox.write(answer_path, status_report(_as_batch(debits), day, rejects, silent))
            count += 1
    return count


def _take_back(settings: Settings, day: date, known: Mapping[str, str]) -> None:
    """Book what merchants' banks take back on ``day`` of the debits of earlier files, once each."""
    outbox = Store(settings.payment_files_url)
    for folder in sorted(outbox.folders("collections")):
        if folder >= f"{day:%Y%m%d}":
            continue
        for _, debits in _files(settings, date.fromisoformat(folder)):
            lines = [
                bank.BankLine(
                    amount_minor=-debit.amount_minor,
                    counterparty_name=MERCHANT_NAME,
                    remittance_text=_kind(debit, known).replace(
                        RETURNED, f"FEEBILL RETURN {debit.end_to_end_id}"
                    ),
                )
                for debit in debits
                if _is_returned(debit, known)
            ]
            if lines:
                bank.write_statement(
                    settings.inbox_url,
                    settings.truth_dir,
                    day,
                    lines,
                    f"{debits[0].message_id}-RETURNED",
                    account_name="fee_account",
                )


def _files(settings: Settings, day: date) -> Iterator[tuple[str, tuple[ReadDebit, ...]]]:
    outbox = Store(settings.payment_files_url)
    folder = f"collections/{day:%Y%m%d}"
    for name in outbox.names(folder):
        if name.startswith("pain008_"):
            with outbox.opened(f"{folder}/{name}") as stream:
                yield f"{folder}/{name}", pain008.read(stream.read(), name)


def _as_batch(debits: tuple[ReadDebit, ...]) -> ReadBatch:
    """Return debits as what a status report is written from."""
    first = debits[0]
    return ReadBatch(
        message_name=pain008.MESSAGE_NAME,
        message_id=first.message_id,
        payment_information_id=first.message_id,
        requested_on=None,
        debtor_account_id=None,
        currency_code=first.currency_code,
        payment_count=len(debits),
        control_sum_minor=sum(debit.amount_minor for debit in debits),
        payments=tuple(
            ReadPayment(
                debit.end_to_end_id,
                debit.amount_minor,
                debit.currency_code,
                bank_code="",
                account_number=debit.account_number,
                account_name="",
            )
            for debit in debits
        ),
    )


def _kind(debit: ReadDebit, known: Mapping[str, str]) -> str:
    return known.get(debit.end_to_end_id, "paid")


def _is_returned(debit: ReadDebit, known: Mapping[str, str]) -> bool:
    return _kind(debit, known).partition(" ")[0] == RETURNED


def _settled_minor(debit: ReadDebit, known: Mapping[str, str]) -> int:
    half = _kind(debit, known) == "part"
    return max(debit.amount_minor // 2, 1) if half else debit.amount_minor


def _treatments(settings: Settings) -> dict[str, str]:
    return _read(settings.truth_dir / "bank" / "collections.json")


def _keep_truth(settings: Settings, kinds: Mapping[str, str]) -> None:
    path = settings.truth_dir / "bank" / "collections_answered.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_read(path), **kinds}, indent=1, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    read: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return read
