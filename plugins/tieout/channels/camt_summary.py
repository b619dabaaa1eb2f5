"""The summary of entries (TxsSummry) of camt.053 and camt.054: what it states, what we count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.channels.iso20022 import Element, decimal_minor, text_of
from tieout.channels.model import ControlTotal

__all__ = ["declared_figures", "figures_of", "summary_totals"]


def figures_of(
    declared: Mapping[str, int | None], booked: Sequence[int], every: Sequence[int]
) -> dict[str, int]:
    """Return our counts and sums of signed amounts, under the names of `declared_figures`.

    A bank may count entries that are not booked as well: the reading is taken that more figures
    fit. A statement's balances prove the booked ones anyway.
    """
    readings = (_figures(booked), _figures(every))
    return max(readings, key=lambda figures: len(declared.items() & figures.items()))


def _figures(amounts: Sequence[int]) -> dict[str, int]:
    """Return counts and sums of signed amounts, under the names of TxsSummry."""
    credits = [amount for amount in amounts if amount > 0]
    debits = [-amount for amount in amounts if amount < 0]
    return {
        "TtlNtries count": len(amounts),
        "TtlNtries sum": sum(credits) + sum(debits),
        "TtlNtries net": sum(amounts),
        "TtlCdtNtries count": len(credits),
        "TtlCdtNtries sum": sum(credits),
        "TtlDbtNtries count": len(debits),
        "TtlDbtNtries sum": sum(debits),
    }


def declared_figures(summary: Element, exponent: int) -> dict[str, int | None]:
    """Return what TxsSummry states; None for a figure that cannot be read.

    Version .02 writes TtlNetNtryAmt beside its CdtDbtInd, later ones TtlNetNtry/Amt.
    """
    declared: dict[str, int | None] = {}
    for name in ("TtlNtries", "TtlCdtNtries", "TtlDbtNtries"):
        count, total = text_of(summary, f"{name}/NbOfNtries"), text_of(summary, f"{name}/Sum")
        if count is not None:
            declared[f"{name} count"] = decimal_minor(count, exponent=0)
        if total is not None:
            declared[f"{name} sum"] = decimal_minor(total, exponent=exponent)
    for amount_path, sign_path in (
        ("TtlNtries/TtlNetNtryAmt", "TtlNtries/CdtDbtInd"),
        ("TtlNtries/TtlNetNtry/Amt", "TtlNtries/TtlNetNtry/CdtDbtInd"),
    ):
        net, indicator = text_of(summary, amount_path), text_of(summary, sign_path)
        if net is not None and indicator in {"CRDT", "DBIT"}:
            amount = decimal_minor(net, exponent=exponent)
            is_debit = indicator == "DBIT"
            declared["TtlNtries net"] = -amount if is_debit and amount is not None else amount
    return declared


def summary_totals(
    declared: Mapping[str, int | None], counted: Mapping[str, int], currency_code: str | None
) -> list[ControlTotal]:
    """Return each figure a bank states beside ours; a count has no currency."""
    return [
        ControlTotal(name, value, counted[name], None if name.endswith(" count") else currency_code)
        for name, value in declared.items()
    ]
