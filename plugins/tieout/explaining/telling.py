"""An explanation in words: lines for an error or a log, and a form for JSON and the database."""

from __future__ import annotations

from typing import Any

from tieout.core.money import decimal_text
from tieout.explaining.causes import CAUSES
from tieout.explaining.facts import Row
from tieout.explaining.ranking import Candidate, Explanation, Part

__all__ = ["amount", "as_dict", "candidate_dict", "identity", "places", "told"]

_ROWS_TOLD = 3


def told(found: tuple[Explanation, ...], candidates_told: int = 3) -> list[str]:
    """Return lines about the groups that do not close: the identity, then the first candidates."""
    lines = []
    for one in found:
        if one.is_closed:
            continue
        lines.append(f"{one.group.arrival_group_id}: {identity(one)}")
        lines += [f"  {_candidate_text(one, some)}" for some in one.candidates[:candidates_told]]
        if not one.candidates:
            lines.append("  no cause is named: nothing that is known fits it")
    return lines


def identity(one: Explanation) -> str:
    """``residual -1.00 CNY = mismatched_pair -1.00 + rest 0.00``."""
    code = one.group.currency_code
    parts = [f"{part.cause_id} {decimal_text(part.effect_minor, code)}" for part in one.named]
    rest = f"rest {decimal_text(one.rest_minor, code)}"
    return f"residual {amount(one, one.group.residual_minor)} = {' + '.join([*parts, rest])}"


def amount(one: Explanation, minor: int) -> str:
    """Return an amount of a group with its currency."""
    return f"{decimal_text(minor, one.group.currency_code)} {one.group.currency_code}"


def places(part: Part) -> str:
    """Return the first rows of a part: file and line where they are known, else table and id."""
    shown = [row.place or f"{row.table} {row.row_id}" for row in part.rows[:_ROWS_TOLD]]
    more = len(part.rows) - len(shown)
    text = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"{text} (or one of {len(part.alike)} alike)" if part.alike else text


def _candidate_text(one: Explanation, candidate: Candidate) -> str:
    parts = "; and ".join(
        f"{part.cause_id} {amount(one, part.effect_minor)}: {CAUSES[part.cause_id].title}, "
        f"{places(part)}"
        for part in candidate.parts
    )
    return f"{candidate.confidence}: {parts}"


def as_dict(one: Explanation) -> dict[str, Any]:
    """Return an explanation for JSON; amounts are integers in minor units."""
    return {
        "arrival_group_id": one.group.arrival_group_id,
        "channel": one.group.channel,
        "currency_code": one.group.currency_code,
        "arrival_date": one.group.arrival_date.isoformat(),
        "residual_minor": one.group.residual_minor,
        "named": [_part_dict(part) for part in one.named],
        "rest_minor": one.rest_minor,
        "open_beside": one.open_beside,
        "candidates": [candidate_dict(candidate) for candidate in one.candidates],
    }


def candidate_dict(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate for JSON."""
    return {
        "causes": list(candidate.causes),
        "confidence": candidate.confidence,
        "parts": [_part_dict(part) for part in candidate.parts],
    }


def _part_dict(part: Part) -> dict[str, Any]:
    cause = CAUSES[part.cause_id]
    return {
        "cause": part.cause_id,
        "title": cause.title,
        "title_zh": cause.title_zh,
        "effect_minor": part.effect_minor,
        "rows": [_row_dict(row) for row in part.rows],
        "alike": [[_row_dict(row) for row in rows] for rows in part.alike],
        "next_step": cause.next_step,
    }


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "table": row.table,
        "id": row.row_id,
        "file": row.file_name,
        "line": row.line_number,
        "amount_minor": row.amount_minor,
    }
