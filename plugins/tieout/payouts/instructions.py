"""Instructions: one for each payable statement of a payment date that passed the gate.

The rows come from SQL, and the database's trigger compares the stored fingerprint of the decision
with the statements as they are now. Nothing here can pay a date that did not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from tieout.core.errors import TieoutError
from tieout.core.money import amount_text, decimal_text
from tieout.core.settings import Settings
from tieout.database import connect


@dataclass(frozen=True)
class InstructReport:
    """What ``instruct`` did: rows added now, rows of the date, and their sum per currency."""

    payment_date: date
    created_count: int
    instruction_count: int
    amounts_minor: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Say it in one line for people."""
        sums = ", ".join(
            f"{decimal_text(amount, code)} {code}" for code, amount in self.amounts_minor
        )
        return (
            f"{self.payment_date}: {self.instruction_count} payout instructions"
            f" ({self.created_count} new), {sums or 'nothing to pay'}"
        )


_DECISION = """
    select outcome
    from control.gate_decisions
    where payment_date = %(payment_date)s
    order by decision_id desc
    limit 1
"""

_UNINSTRUCTED = """
    select
        count(*) as statement_count,
        min(statements.statement_id) as first_statement_id
    from settlement.settlement_statements as statements
    where
        statements.payment_date = %(payment_date)s
        and statements.payable_status = 'payable'
        and statements.payout_amount_minor > 0
        and not exists (
            select 1
            from payout.instructions as present
            where present.statement_id = statements.statement_id
        )
"""

# An instruction whose statement no longer says the same: somebody rebuilt a date that was being
# paid.
_CHANGED = """
    select
        instructions.statement_id,
        instructions.amount_minor as instructed_minor,
        statements.payout_amount_minor as stated_minor,
        instructions.currency_code
    from payout.instructions as instructions
    left join settlement.settlement_statements as statements
        on
            instructions.statement_id = statements.statement_id
            and instructions.payment_date = statements.payment_date
    where
        instructions.payment_date = %(payment_date)s
        and (
            statements.payout_amount_minor is distinct from instructions.amount_minor
            or statements.currency_code is distinct from instructions.currency_code
            or statements.payee_id is distinct from instructions.payee_id
            or statements.payee_version is distinct from instructions.payee_version
        )
    order by instructions.statement_id
"""

_TOTALS = """
    select
        currency_code,
        count(*) as instruction_count,
        sum(amount_minor)::bigint as amount_minor
    from payout.instructions
    where payment_date = %(payment_date)s
    group by currency_code
    order by currency_code
"""


def instruct(settings: Settings, payment_date: date) -> InstructReport:
    """Write the instructions of ``payment_date``; a second run adds none.

    Raises:
        TieoutError: the latest decision did not pass, the statements changed since, or an
            instruction no longer equals its statement.
    """
    parameters: dict[str, object] = {"payment_date": payment_date}
    with connect(settings) as connection, connection.transaction():
        lock_payment_date(connection, payment_date)
        _decision_that_pays(connection, payment_date)
        try:
            row = connection.execute("select payout.instruct(%(payment_date)s)", parameters)
            created_count = int((row.fetchone() or (0,))[0])
        except psycopg.errors.RestrictViolation as error:
            raise TieoutError(
                what=f"the database refuses the payout instructions of {payment_date}",
                where="payout.instructions",
                why=str(error.diag.message_primary),
                next_step=f"run `tieout pay {payment_date}` again: the gate decides anew",
            ) from error
        changed = connection.execute(_CHANGED, parameters).fetchall()
        if changed:
            raise _changed(payment_date, changed)
        totals = connection.execute(_TOTALS, parameters).fetchall()
    return InstructReport(
        payment_date=payment_date,
        created_count=created_count,
        instruction_count=sum(int(row[1]) for row in totals),
        amounts_minor=tuple((str(row[0]), int(row[2])) for row in totals),
    )


def refuse_uninstructed(connection: psycopg.Connection[Any], payment_date: date) -> None:
    """Raise unless the gate lets the date be paid and all that is payable is instructed.

    Submission asks it before the first attempt: with `instruct` marked as done in Airflow it would
    find nothing to pay, and the date would be sealed with its merchants unpaid.

    Raises:
        TieoutError: the latest decision did not pass, or payable statements have no instruction.
    """
    _decision_that_pays(connection, payment_date)
    found = connection.execute(_UNINSTRUCTED, {"payment_date": payment_date}).fetchone()
    if found is not None and found[0]:
        raise TieoutError(
            what=f"{found[0]} payable statements of {payment_date} have no payout instruction",
            where="payout.instructions",
            why=f"statement {found[1]} is the first; to seal the date would leave them unpaid",
            next_step=f"run `tieout pay {payment_date}`, which writes the instructions first",
        )


def _decision_that_pays(connection: psycopg.Connection[Any], payment_date: date) -> None:
    """Raise unless the date's latest decision is one that pays."""
    decision = connection.execute(_DECISION, {"payment_date": payment_date}).fetchone()
    if decision is None or decision[0] not in ("passed", "released"):
        raise TieoutError(
            what=f"payment date {payment_date} may not be paid",
            where="control.gate_decisions",
            why=(
                "the gate has not decided on it"
                if decision is None
                else f"its latest gate decision is {decision[0]}"
            ),
            next_step=f"run `tieout pay {payment_date}` and read what the gate says",
        )


def lock_payment_date(connection: psycopg.Connection[Any], payment_date: date) -> None:
    """Hold the payouts of a payment date until the transaction ends: one writer at a time."""
    connection.execute("select control.lock_payment_date(%s)", (payment_date,))


def _changed(payment_date: date, rows: list[tuple[Any, ...]]) -> TieoutError:
    first = rows[0]
    return TieoutError(
        what=f"{len(rows)} payout instructions of {payment_date} differ from their statements",
        where="payout.instructions",
        why=(
            f"statement {first[0]}: instructed {amount_text(int(first[1]), str(first[3]))}, "
            + (
                "no statement says so any more"
                if first[2] is None
                else f"stated {amount_text(int(first[2]), str(first[3]))}"
            )
        ),
        next_step=(
            "find out who rebuilt the statements of a date that was being paid; while nothing has "
            f"left, two people undo it: tieout undo-payment ask {payment_date} --by NAME "
            "--reason TEXT"
        ),
    )
