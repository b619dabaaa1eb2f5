"""Seventy payouts in files of ten: one debit a file, three that come back, paid again by people.

The same at its full size, with the books of a week: tests/integration/test_funds.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import payment_world
import payouts_again
from payment_world import ACCOUNTING_DATES, PAYMENT_DATE, PAYOUTS_MINOR, World
from payouts_again import NEXT_DAY, line, statement
from tieout import database, payouts
from tieout.commands import payouts as command
from tieout.commands import shared
from tieout.payouts import pain001
from tieout.payouts.batches import ReadBatch
from tieout.simulator import bank_answers

PAYOUTS = 70
PER_FILE = 10
RETURNED = (7, 33, 70)  # of three files
BALANCE_MINOR = payouts_again.BALANCE_MINOR


def amount_minor(number: int) -> int:
    """Return what statement ``number`` pays; no two are the same."""
    return PAYOUTS_MINOR[number - 1] if number <= len(PAYOUTS_MINOR) else 10_000 + 7 * number


def end_to_end_id(number: int) -> str:
    return f"{payment_world.statement_id(number)}-1"


@pytest.fixture
def seventy(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world with as many payees and statements, decided; its bank takes ten a file."""
    database.make_logins(world.settings)
    monkeypatch.setattr(shared, "home", lambda: world.settings)
    world.execute("update reference.payout_rails set payments_per_file = %s", (PER_FILE,))
    day = ACCOUNTING_DATES[-1]
    (file_id,) = (
        row[0]
        for row in world.rows(
            "select file_id from control.channel_files where file_kind = 'payees'"
        )
    )
    # The world's fourth statement is below its minimum; it is paid here.
    world.execute("delete from settlement.settlement_statements where payout_amount_minor = 0")
    for number in range(4, PAYOUTS + 1):
        payment_world.payee_row(
            world,
            file_id,
            day,
            number + 1,
            payee_id=f"P{number:06d}",
            account_id=f"A{number:06d}",
            account_number=f"62300000000{number:08d}",
            account_name=f"测试商户{number:06d}有限公司",
        )
        world.execute(
            "insert into settlement.settlement_statements (payment_date, statement_id, account_id,"
            " settlement_session_type, settlement_session_no, accounting_dates, settlement_mode,"
            " currency_code, transaction_count, transaction_amount_minor, fee_amount_minor,"
            " settlement_amount_minor, adjustment_amount_minor, advance_amount_minor,"
            " previous_unsettled_amount_minor, frozen_amount_minor, payout_amount_minor,"
            " carried_forward_amount_minor, payee_id, payee_version, payable_status)"
            " values (%s, %s, %s, 'transaction', 1, %s, 'net', 'CNY', 2, %s, 10, %s, 0, 0, 0, 0,"
            " %s, 0, %s, 1, 'payable')",
            (
                PAYMENT_DATE,
                payment_world.statement_id(number),
                f"A{number:06d}",
                list(ACCOUNTING_DATES),
                amount_minor(number) + 10,
                amount_minor(number),
                amount_minor(number),
                f"P{number:06d}",
            ),
        )
    payouts_again.submit(world)
    return world


def batches(world: World) -> list[ReadBatch]:
    """Read the payment files in the outbox, in the order of their names."""
    return [pain001.read(content, name) for name, content in world.files("payouts").items()]


def answer(world: World, files: list[ReadBatch]) -> None:
    """Have the bank execute each file: a report that says so, and one debit on its statement."""
    folder: Path = world.inbox / "bank" / f"{PAYMENT_DATE:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    for batch in files:
        report = bank_answers.status_report(batch, PAYMENT_DATE, {})
        (folder / f"pain002_{batch.message_id}.xml").write_bytes(report)
        line(world, -batch.control_sum_minor, PAYMENT_DATE, None, batch=batch.message_id)


def counts(world: World) -> dict[str, int]:
    return dict(
        world.rows(
            "select payout.latest_status(attempt_id), count(*) from payout.attempts group by 1"
        )
    )


def test_one_debit_a_file_and_what_comes_back_is_paid_again_by_people(seventy: World) -> None:
    files = batches(seventy)
    assert [batch.payment_count for batch in files] == [PER_FILE] * (PAYOUTS // PER_FILE)
    total_minor = sum(amount_minor(number) for number in range(1, PAYOUTS + 1))
    assert sum(batch.control_sum_minor for batch in files) == total_minor
    paid_ids = [payment.end_to_end_id for batch in files for payment in batch.payments]
    assert sorted(paid_ids) == sorted(end_to_end_id(number) for number in range(1, PAYOUTS + 1))

    answer(seventy, files)
    debited_minor = seventy.value(
        "select -sum(amount_minor) from raw.bank_statement_lines where amount_minor < 0"
    )
    statement(seventy, PAYMENT_DATE, closing=BALANCE_MINOR - debited_minor)
    evening = payouts.apply_reports(seventy.settings, through_date=PAYMENT_DATE)
    assert evening.problems == ()
    assert counts(seventy) == {"paid": PAYOUTS}
    assert debited_minor == total_minor

    # The morning's statement brings three back, one by one.
    for number in RETURNED:
        line(
            seventy, amount_minor(number), NEXT_DAY, end_to_end_id(number), is_return=True,
            reason="AB05",
        )  # fmt: skip
    returned_minor = sum(amount_minor(number) for number in RETURNED)
    opening = BALANCE_MINOR - total_minor
    statement(seventy, NEXT_DAY, opening=opening, closing=opening + returned_minor)
    assert payouts.apply_reports(seventy.settings, through_date=NEXT_DAY).problems == ()
    assert counts(seventy) == {"paid": PAYOUTS - len(RETURNED), "returned": len(RETURNED)}
    # What the bank kept is what was paid.
    (kept,) = seventy.rows(
        "select sum(instructions.amount_minor) from payout.attempts"
        " inner join payout.instructions using (instruction_id)"
        " where payout.latest_status(attempts.attempt_id) = 'paid'"
    )
    assert kept == (-seventy.value("select sum(amount_minor) from raw.bank_statement_lines"),)

    before = set(seventy.files("payouts"))
    for number in RETURNED:
        done = CliRunner().invoke(
            command.app,
            [
                "retry", payment_world.statement_id(number), "--by", "Zhou Min", "--reason",
                "the payee's bank was down", "--on", str(NEXT_DAY),
            ],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    again = [
        payment
        for name, content in seventy.files("payouts").items()
        if name not in before
        for payment in pain001.read(content, name).payments
    ]
    assert sorted((one.end_to_end_id, one.amount_minor) for one in again) == [
        (f"{payment_world.statement_id(number)}-2", amount_minor(number)) for number in RETURNED
    ]
    # Nobody who was paid is paid again.
    refused = CliRunner().invoke(
        command.app,
        ["retry", payment_world.statement_id(1), "--by", "Zhou Min", "--reason", "r", "--on",
         str(NEXT_DAY)],
    )  # fmt: skip
    assert refused.exit_code == 1
    assert counts(seventy) == {
        "paid": PAYOUTS - len(RETURNED), "returned": len(RETURNED), "submitted": len(RETURNED),
    }  # fmt: skip
