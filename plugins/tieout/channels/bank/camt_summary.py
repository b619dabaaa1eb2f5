"""The summary of entries (TxsSummry) of camt.053 and camt.054: what it states, what we count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tieout.channels.bank.iso20022 import Element, decimal_minor, text_of
from tieout.channels.common.model import ControlTotal

__all__ = ["CountedEntries", "declared_figures"]


@dataclass(slots=True)
class EntryFigures:
    """Counts and sums of signed amounts, added one by one."""

    count: int = 0
    credit_count: int = 0
    credit_sum: int = 0
    debit_count: int = 0
    debit_sum: int = 0

    def add(self, amount: int) -> None:
        """Count one amount."""
        self.count += 1
        if amount > 0:
            self.credit_count += 1
            self.credit_sum += amount
        elif amount < 0:
            self.debit_count += 1
            self.debit_sum -= amount

    @property
    def net(self) -> int:
        """The sum of the amounts."""
        return self.credit_sum - self.debit_sum

    def by_name(self) -> dict[str, int]:
        """Return them under the names of TxsSummry."""
        return {
            "TtlNtries count": self.count,
            "TtlNtries sum": self.credit_sum + self.debit_sum,
            "TtlNtries net": self.net,
            "TtlCdtNtries count": self.credit_count,
            "TtlCdtNtries sum": self.credit_sum,
            "TtlDbtNtries count": self.debit_count,
            "TtlDbtNtries sum": self.debit_sum,
        }


@dataclass(slots=True)
class CountedEntries:
    """The booked entries of a statement or notification, and all of them."""

    booked: EntryFigures = field(default_factory=EntryFigures)
    every: EntryFigures = field(default_factory=EntryFigures)

    def add(self, amount: int, *, is_booked: bool) -> None:
        """Count one entry."""
        self.every.add(amount)
        if is_booked:
            self.booked.add(amount)

    def totals(
        self, declared: Mapping[str, int | None], currency_code: str | None
    ) -> list[ControlTotal]:
        """Return each figure a bank states beside ours; a count has no currency.

        A bank may count entries that are not booked as well: the reading is taken that more figures
        fit. A statement's balances prove the booked ones anyway.
        """
        readings = (self.booked.by_name(), self.every.by_name())
        counted = max(readings, key=lambda figures: len(declared.items() & figures.items()))
        return [
            ControlTotal(
                name, value, counted[name], None if name.endswith(" count") else currency_code
            )
            for name, value in declared.items()
        ]


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
