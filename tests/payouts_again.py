"""What the bank says of payouts, as rows: for tests of payments that are paid again."""

from __future__ import annotations

from datetime import date, timedelta

import payment_world
from payment_world import ACCOUNT_NAMES, ACCOUNT_NUMBERS, PAYMENT_DATE, PAYOUTS_MINOR, World
from tieout import payouts

RESERVE = "6600100200300400"
NEXT_DAY = PAYMENT_DATE + timedelta(days=1)
BALANCE_MINOR = 50_000_000


def submit(world: World) -> None:
    """Decide, instruct and put out the world's three payments."""
    payment_world.decide(world)
    payouts.instruct(world.settings, PAYMENT_DATE)
    payouts.submit(world.settings, PAYMENT_DATE)


def attempt_id(number: int = 1, attempt_no: int = 1) -> str:
    """Return the id of an attempt of the world's statement ``number``."""
    return f"A-{payment_world.statement_id(number)}-{attempt_no}"


def event(
    world: World, attempt: str, status: str, day: date = PAYMENT_DATE, reason: str | None = None
) -> None:
    """Append an event to an attempt."""
    world.execute(
        "insert into payout.attempt_events (attempt_id, event_no, status, business_date,"
        " reason_code) select %(id)s, coalesce(max(event_no), 0) + 1, %(status)s, %(day)s,"
        " %(reason)s from payout.attempt_events where attempt_id = %(id)s",
        {"id": attempt, "status": status, "day": day, "reason": reason},
    )


def statement(
    world: World,
    day: date,
    sequence: int = 1,
    *,
    opening: int = BALANCE_MINOR,
    closing: int = BALANCE_MINOR,
    status: str = "landed",
) -> str:
    """Land a statement of the client-reserve account without lines; return its file."""
    file_id = payment_world.file_row(
        world,
        "bank",
        "camt053",
        day,
        file_name=f"camt053_{RESERVE}_{day:%Y%m%d}_{sequence}_{opening}.xml",
        status=status,
    )
    payment_world.partition(world, "bank_statements", day)
    world.execute(
        "insert into raw.bank_statements values (%s, 1, %s, %s, %s, %s, %s, 'CNY', %s, %s, 0)",
        (file_id, day, f"S{day}-{sequence}", RESERVE, day, sequence, opening, closing),
    )
    return file_id


def line(
    world: World,
    amount_minor: int,
    day: date,
    end_to_end_id: str | None,
    *,
    is_return: bool = False,
    reason: str | None = None,
    batch: str | None = None,
    account: str = RESERVE,
    currency: str = "CNY",
) -> str:
    """Land one bank line, with a detail where a payment is named; return its file."""
    file_id = payment_world.file_row(
        world,
        "bank",
        "camt053",
        day,
        file_name=f"lines_{day}_{end_to_end_id}_{amount_minor}_{is_return}_{batch}_{account}"
        f"_{currency}",
    )
    for table in ("bank_statement_lines", "bank_statement_line_details"):
        payment_world.partition(world, table, day)
    world.execute(
        "insert into raw.bank_statement_lines (file_id, line_number, accounting_date,"
        " statement_id, bank_account_id, statement_date, booking_date, currency_code,"
        " amount_minor, is_reversal, is_return, detail_count, batch_message_id)"
        " values (%s, 7, %s, 'S', %s, %s, %s, %s, %s, false, %s, %s, %s)",
        (
            file_id,
            day,
            account,
            day,
            day,
            currency,
            amount_minor,
            is_return,
            0 if end_to_end_id is None else 1,
            batch,
        ),
    )
    if end_to_end_id is not None:
        world.execute(
            "insert into raw.bank_statement_line_details (file_id, line_number, accounting_date,"
            " detail_number, amount_minor, end_to_end_id, return_reason_code)"
            " values (%s, 7, %s, 1, %s, %s, %s)",
            (file_id, day, amount_minor, end_to_end_id, reason),
        )
    return file_id


def fail(world: World, number: int = 1, reason: str | None = "AM04") -> None:
    """Have the bank refuse a payment, and its statements prove that the day is over."""
    event(world, attempt_id(number), "failed", reason=reason)


def prove_day(world: World) -> str:
    """Land the statements of the payment date and of the morning after; return the latter."""
    statement(world, PAYMENT_DATE)
    return statement(world, NEXT_DAY)


def come_back(world: World, number: int = 1, reason: str | None = "AC04") -> str:
    """Have the bank pay and return a payment; return the file with the credit."""
    amount = PAYOUTS_MINOR[number - 1]
    identifier = f"{payment_world.statement_id(number)}-1"
    line(world, -amount, PAYMENT_DATE, identifier)
    file_id = line(world, amount, NEXT_DAY, identifier, is_return=True, reason=reason)
    event(world, attempt_id(number), "paid")
    event(world, attempt_id(number), "returned", NEXT_DAY, reason)
    statement(world, NEXT_DAY)
    return file_id


def payee(
    world: World,
    number: int = 1,
    *,
    version: int = 2,
    confirmation: str = "two_people",
    day: date = PAYMENT_DATE,
    account_number: str = "6230000000000007777",
) -> None:
    """Deliver a snapshot of the payees of ``day`` in which one has another version."""
    file_id = payment_world.file_row(world, "platform", "payees", day)
    payment_world.partition(world, "platform_payees", day)
    for other in (1, 2, 3):
        is_new = other == number
        payment_world.payee_row(
            world,
            file_id,
            day,
            other + 1,
            payee_id=f"P{other:06d}",
            account_id=f"A{other:06d}",
            account_number=account_number if is_new else ACCOUNT_NUMBERS[other - 1],
            account_name=ACCOUNT_NAMES[other - 1],
            version=version if is_new else 1,
            confirmation=confirmation if is_new else "first_date_list",
        )
