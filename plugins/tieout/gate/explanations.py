"""Explains a failed gate: what it found is kept beside the decision and shown on its page."""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.database import connect, has_table
from tieout.explaining import Explanation, as_dict, explain, read_facts
from tieout.gate import data_docs
from tieout.gate.deciding import Decision

__all__ = ["explain_failure", "explanations"]

EQUATION = "gate.balance_equation"


def explain_failure(settings: Settings, decision: Decision) -> tuple[Explanation, ...]:
    """Explain the groups that do not close; keep it with the decision, once, and on its page."""
    found = explanations(settings, decision.payment_date)
    with connect(settings) as connection, connection.transaction():
        for one in found:
            if not one.is_closed:
                _store(connection, decision, one)
    data_docs.add_explanations(settings, f"gate_{decision.payment_date}", found)
    return found


def explanations(settings: Settings, payment_date: date) -> tuple[Explanation, ...]:
    """Explain each group of a payment date as its tables are now; nothing is written.

    Raises:
        TieoutError: the equation of the date was not computed yet.
    """
    with connect(settings) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read read only")
        facts = read_facts(connection, payment_date) if has_table(connection, EQUATION) else None
    if facts is None or not facts.groups:
        raise TieoutError(
            what=f"there is nothing to explain of {payment_date}",
            where=EQUATION,
            why="no arrival group of that payment date was computed",
            next_step=f"close the dates it pays, then `tieout pay {payment_date}`",
        )
    return explain(facts)


def _store(connection: psycopg.Connection[Any], decision: Decision, one: Explanation) -> None:
    told = as_dict(one)
    nothing = {"causes": [], "confidence": "none", "parts": []}
    for number, candidate in enumerate(told["candidates"] or [nothing], start=1):
        explained = sum(part["effect_minor"] for part in candidate["parts"])
        connection.execute(
            """
            insert into gate.explanations (
                decision_id,
                arrival_group_id,
                candidate_no,
                payment_date,
                currency_code,
                residual_minor,
                causes,
                confidence,
                explained_minor,
                rest_minor,
                parts
            )
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (decision_id, arrival_group_id, candidate_no) do nothing
            """,
            [
                decision.decision_id,
                one.group.arrival_group_id,
                number,
                decision.payment_date,
                one.group.currency_code,
                one.group.residual_minor,
                candidate["causes"],
                candidate["confidence"],
                explained,
                one.group.residual_minor - explained,
                Jsonb(candidate["parts"]),
            ],
        )
