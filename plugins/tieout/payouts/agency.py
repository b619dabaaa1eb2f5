"""The agency-payout batch (代付批量文件): the layout of Chanpay's T11101, out, and its answer, in.

How sure each field is: docs/formats/agency-payout.md. Fields are parted by ``|&|``, which also ends
each line; the first line has the totals, the last says that the file is whole. What is wrong in an
answer is told with its line; an answer that is not understood whole counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from tieout.channels.bank.texts import remittance_shown
from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text, minor_units
from tieout.core.payment_texts import why_unwritable
from tieout.payouts import batches
from tieout.payouts.batches import Batch, Payment, ReadBatch, ReadPayment
from tieout.payouts.reports import StatusReport, TransactionStatus
from tieout.payouts.states import State

__all__ = [
    "BATCH_STATES",
    "DETAIL_STATES",
    "LAYOUT",
    "read",
    "read_answer",
    "why_payment_unwritable",
    "write",
    "written_lines",
]

LAYOUT: Final = "T11101"
SEPARATOR: Final = "|&|"
LINE_END: Final = "\r\n"
FIRST: Final = "S"
LAST: Final = "E"
UNKNOWN_TEXT: Final = "00"
"""What the layout wants where a text is not known."""
CURRENT_ACCOUNT: Final = "00"
FIELD_COUNT: Final = 18
ANSWER_FIELD_COUNT: Final = 7

LENGTH_MAX: Final[Mapping[str, int]] = {
    "end_to_end_id": 40,
    "bank_name": 60,
    "account_number": 32,
    "account_name": 60,
    "bank_code": 12,
    "remittance_text": 140,
}
"""Characters of each text, where the layout takes fewer than pain.001 or its own number of them."""

BATCH_STATES: Final[Mapping[str, State | None]] = {
    "0000": "accepted",
    "0001": None,
    "0002": "failed",
    "0003": None,
}
"""What the code of a whole batch means for payments without a line of their own: accepted, partly,
all failed, in process."""

DETAIL_STATES: Final[Mapping[str, State]] = {
    "000000": "paid",
    "111111": "failed",
    "000002": "accepted",
    "000004": "accepted",
    # Each of these may have been paid, or may still be: the bank is asked, nothing is sent again.
    "000001": "unknown",
    "000005": "unknown",
    "000006": "unknown",
    "000010": "unknown",
    "000050": "unknown",
    "900001": "unknown",
    "900002": "unknown",
    "900003": "unknown",
}
"""What a payment's code means. Only 111111 says that it failed."""

# Where the agency gives no reason of its own, its code is the reason.
_TOLD: Final = frozenset({"failed", "unknown"})
_BATCH_STATUSES: Final = frozenset({"D", "S"})


def write(batch: Batch) -> bytes:
    """Return the file's bytes: UTF-8, CRLF, no line end after the last line.

    Raises:
        TieoutError: what `batches.check` refuses, a text the layout cannot hold, or an account
            without our number at the agency.
    """
    batches.check(batch, why_payment_unwritable)
    customer = batch.debtor.customer_id
    for field, text in (("customer_id", customer), ("account_name", batch.debtor.name)):
        why = why_unwritable("account_name", text)
        if why is not None or _breaks_a_line(text):
            raise batches.unwritable(batch, f"{field} of the paying account cannot stand in it")
    total = decimal_text(
        sum(payment.amount_minor for payment in batch.payments), batch.currency_code
    )
    lines = [[FIRST, customer, batch.debtor.name, str(len(batch.payments)), total]]
    lines += [_line(number, payment) for number, payment in enumerate(batch.payments, start=1)]
    return written_lines([*lines, [LAST]])


def written_lines(lines: Sequence[Sequence[str]]) -> bytes:
    """Return lines of fields as bytes: the separator after each field, the last one too."""
    return LINE_END.join("".join(text + SEPARATOR for text in fields) for fields in lines).encode()


def _line(number: int, payment: Payment) -> list[str]:
    unknown = UNKNOWN_TEXT
    return [
        str(number),
        payment.end_to_end_id,
        payment.bank_name,
        CURRENT_ACCOUNT,
        payment.account_number,
        payment.account_name,
        unknown,  # province
        unknown,  # city
        payment.bank_name,
        payment.bank_code,
        unknown,  # clearing bank
        payment.currency_code,
        decimal_text(payment.amount_minor, payment.currency_code),
        "",  # kind of identity document, which we never have
        unknown,  # its number
        unknown,  # mobile phone
        payment.remittance_text,
        unknown,  # use
    ]


def why_payment_unwritable(payment: Payment) -> str | None:
    """Say which text of a payment the layout cannot hold, or None; never the text itself."""
    for field, text in batches.texts_of_payment(payment).items():
        length_max = LENGTH_MAX[field]
        why = why_unwritable(field, text)
        if why is not None:
            return why
        if len(text) > length_max:
            return f"{field} has {len(text)} characters; an agency-payout file takes {length_max}"
        if _breaks_a_line(text):
            return f"{field} has {SEPARATOR}, which parts the fields of an agency-payout file"
    return None


def _breaks_a_line(text: str) -> bool:
    """Say whether a text would end its field: with the mark that follows it, too."""
    return SEPARATOR in text + SEPARATOR[:-1]


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lines:
    """A file's lines of fields between its first and its last; ``header`` is the first's."""

    header: list[str]
    details: list[list[str]]


def read(content: bytes, source: str) -> ReadBatch:
    """Read a payment file of ours; its name has the message id, which the layout has no field for.

    Raises:
        TieoutError: it is not whole, or its count and total are not its payments'.
    """
    lines = _lines(content, source, header_fields=5, detail_fields=FIELD_COUNT)
    payments = []
    for number, fields in enumerate(lines.details, start=1):
        if fields[0] != str(number):
            raise _wrong(source, number + 1, f"sequence {fields[0]!r} instead of {number}")
        payments.append(
            ReadPayment(
                end_to_end_id=fields[1],
                amount_minor=_amount(fields[12], fields[11], source, number + 1),
                currency_code=fields[11],
                bank_code=fields[9],
                account_number=fields[4],
                account_name=fields[5],
            )
        )
    currencies = {payment.currency_code for payment in payments}
    if len(currencies) != 1:
        raise _wrong(source, 1, f"it has payments in {sorted(currencies)}: one currency expected")
    (currency_code,) = currencies
    total_minor = sum(payment.amount_minor for payment in payments)
    _check_totals(source, lines.header[3:5], len(payments), total_minor, currency_code)
    message_id = PurePosixPath(source).stem.removeprefix("agency_payout_")
    return ReadBatch(
        message_name=LAYOUT,
        message_id=message_id,
        payment_information_id=message_id,
        requested_on=None,
        debtor_account_id=None,
        currency_code=currency_code,
        payment_count=len(payments),
        control_sum_minor=total_minor,
        payments=tuple(payments),
    )


def read_answer(content: bytes, source: str) -> StatusReport:
    """Read an answer: the batch's code, and a line for each payment it says anything of.

    Raises:
        TieoutError: it is empty or cut, its totals are not its lines', a code is not known, a
            payment stands in it twice, or the batch's code and a payment's contradict each other.
    """
    lines = _lines(content, source, header_fields=8, detail_fields=ANSWER_FIELD_COUNT)
    _, _, message_id, status, batch_code, currency_code, *totals = lines.header
    if not message_id:
        raise _wrong(source, 1, "it does not say which batch it answers")
    if status not in _BATCH_STATUSES:
        raise _wrong(source, 1, f"batch status {status[:4]!r} is not a known code")
    if batch_code not in BATCH_STATES:
        raise _wrong(source, 1, f"batch code {batch_code[:8]!r} is not a known code")
    transactions = [
        _transaction(fields, source, number) for number, fields in enumerate(lines.details, start=1)
    ]
    _refuse_contradictions(transactions, batch_code, currency_code, source)
    total_minor = sum(line.amount_minor or 0 for line in transactions)
    _check_totals(source, totals, len(transactions), total_minor, currency_code)
    return StatusReport(
        message_id=f"{LAYOUT}-{message_id}",
        created_on=None,
        original_message_id=message_id,
        original_payment_count=None,
        group_status_code=batch_code,
        group_state=BATCH_STATES[batch_code],
        group_reason_code=None,
        transactions=tuple(transactions),
    )


def _transaction(fields: list[str], source: str, number: int) -> TransactionStatus:
    sequence, identifier, amount, currency_code, code, reason_code, text = fields
    line = number + 1
    if sequence != str(number):
        raise _wrong(source, line, f"sequence {sequence[:12]!r} instead of {number}")
    if not identifier:
        raise _wrong(source, line, "it does not say which payment it is about")
    if code not in DETAIL_STATES:
        raise _wrong(source, line, f"payment code {code[:8]!r} is not a known code")
    return TransactionStatus(
        end_to_end_id=identifier,
        status_code=code,
        state=DETAIL_STATES[code],
        reason_code=reason_code or (code if DETAIL_STATES[code] in _TOLD else None),
        detail=remittance_shown(text or None, is_payee=True),
        amount_minor=_amount(amount, currency_code, source, line),
        currency_code=currency_code,
    )


def _refuse_contradictions(
    transactions: Sequence[TransactionStatus], batch_code: str, currency_code: str, source: str
) -> None:
    seen: set[str] = set()
    for number, line in enumerate(transactions, start=2):
        if line.end_to_end_id in seen:
            raise _wrong(source, number, "its payment stands in the file twice")
        seen.add(line.end_to_end_id)
        if line.currency_code != currency_code:
            raise _wrong(source, number, "its currency is not the batch's")
        if batch_code == "0002" and line.state != "failed":
            raise _wrong(
                source, number, f"the batch failed (0002), the payment has {line.status_code}"
            )


def _lines(content: bytes, source: str, *, header_fields: int, detail_fields: int) -> _Lines:
    """Part a file into its fields.

    Raises:
        TieoutError: it is empty, no UTF-8, has no first or last line, or a line has another number
            of fields.
    """
    if not content:
        raise _wrong(source, 1, "the file is empty")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _wrong(source, line, "it is not UTF-8") from None
    rows = text.removesuffix(LINE_END).split(LINE_END)
    parted = []
    for number, row in enumerate(rows, start=1):
        if not row.endswith(SEPARATOR) or "\n" in row:
            raise _wrong(source, number, f"it does not end with {SEPARATOR} and CRLF: cut, or not")
        parted.append(row.split(SEPARATOR)[:-1])
    first, last = parted[0], parted[-1]
    if first[0] != FIRST or len(first) != header_fields:
        raise _wrong(source, 1, f"the first line is not {FIRST} with {header_fields} fields")
    if last != [LAST] or len(parted) == 1:
        raise _wrong(source, len(parted), f"the last line is not {LAST}: the file is cut")
    details = parted[1:-1]
    for number, fields in enumerate(details, start=2):
        if len(fields) != detail_fields:
            raise _wrong(source, number, f"{len(fields)} fields instead of {detail_fields}")
    return _Lines(first, details)


def _check_totals(
    source: str, stated: Sequence[str], count: int, total_minor: int, currency_code: str
) -> None:
    stated_count, stated_total = stated
    if stated_count != str(count):
        raise _wrong(source, 1, f"it states {stated_count[:12]!r} payments and has {count}")
    stated_minor = _amount(stated_total, currency_code, source, 1)
    if stated_minor != total_minor:
        raise _wrong(
            source,
            1,
            f"it states {decimal_text(stated_minor, currency_code)} and has"
            f" {decimal_text(total_minor, currency_code)}",
        )


def _amount(text: str, currency_code: str, source: str, line: int) -> int:
    try:
        return minor_units(text, currency_code)
    except TieoutError as error:
        raise _wrong(source, line, error.why) from None


def _wrong(source: str, line: int, why: str) -> TieoutError:
    return TieoutError(
        what=f"agency-payout file {source} cannot be used",
        where=f"{source}, line {line}",
        why=f"line {line}: {why}",
        next_step=(
            "ask the bank or agency what it means; the payouts concerned keep their state until "
            "then, and nothing is sent again"
        ),
    )
