"""States of accounting dates as closes and payments would leave them, for tests of what follows."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg

PATH = ("open", "closed", "sealed")


def set_state(
    connection: psycopg.Connection[Any], day: date | str, state: str, *, close_count: int = 1
) -> None:
    """Move a date to a state by the steps the database allows."""
    connection.execute(
        "insert into control.accounting_days (accounting_date) values (%s) on conflict do nothing",
        [day],
    )
    row = connection.execute(
        "select state from control.accounting_days where accounting_date = %s", [day]
    ).fetchone()
    assert row is not None
    there, wanted = PATH.index(row[0]), PATH.index(state)
    steps = PATH[there + 1 : wanted + 1] if wanted > there else (state,)
    for step in steps:
        if step != row[0]:
            connection.execute(
                "update control.accounting_days set state = %s, close_count = %s"
                " where accounting_date = %s",
                [step, close_count, day],
            )


def seal(
    connection: psycopg.Connection[Any], day: date | str, channel: str, payment_date: date | str
) -> None:
    """Write a payment's seal without the gate's decision, for tests of what a seal does."""
    connection.execute("set local session_replication_role = replica")
    connection.execute(
        "insert into control.accounting_day_seals (accounting_date, channel, payment_date)"
        " values (%s, %s, %s)",
        [day, channel, payment_date],
    )
    connection.execute("set local session_replication_role = origin")


def forget_dates(connection: psycopg.Connection[Any]) -> None:
    """Empty the table, which only who switches the triggers off can do."""
    connection.execute("set local session_replication_role = replica")
    connection.execute("delete from control.accounting_days")
    connection.execute("set local session_replication_role = origin")
