"""The forms of banks' CSV statements, as `bank_csv_layouts.toml` describes them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tieout.core.money import CURRENCY_EXPONENTS

__all__ = ["LAYOUTS_FILE", "Layout", "layouts", "layouts_of"]

LAYOUTS_FILE = Path(__file__).with_name("bank_csv_layouts.toml")

# What every layout has to have, one of each.
_NEEDED = (("booking_date",), ("debit_amount", "amount"), ("credit_amount", "amount"))


@dataclass(frozen=True, slots=True)
class Layout:
    """One bank's form, as the layouts file describes it."""

    name: str
    encodings: tuple[str, ...]
    delimiter: str
    is_ascending: bool
    date_formats: tuple[str, ...]
    currency_code: str
    trailer_starts: tuple[str, ...]
    return_pattern: str
    end_to_end_pattern: str
    payout_pattern: str
    organisation_pattern: str
    columns: Mapping[str, Sequence[str]]
    ignored: frozenset[str]
    marks: Mapping[str, int]
    currencies: Mapping[str, str]
    facts: Mapping[str, re.Pattern[str]]

    def positions(self, cells: Sequence[str]) -> dict[str, int] | None:
        """Return where our columns stand in a header line, or None where it is none."""
        found: dict[str, int] = {}
        for column, names in self.columns.items():
            position = next((cells.index(name) for name in names if name in cells), None)
            if position is not None:
                found[column] = position
        has_all = all(any(name in found for name in names) for names in _NEEDED)
        return found if has_all else None

    def unknown(self, cells: Sequence[str]) -> list[str]:
        """Return the header's columns that the layout does not name."""
        known = {name for names in self.columns.values() for name in names} | self.ignored | {""}
        return [cell for cell in cells if cell not in known]


def layouts_of(text: str) -> tuple[Layout, ...]:
    """Return the layouts a TOML text describes.

    Raises:
        ValueError: an order or a currency that is none.
    """
    return tuple(_layout(name, table) for name, table in tomllib.loads(text).items())


@cache
def layouts() -> tuple[Layout, ...]:
    """Return the layouts of the package's own file."""
    return layouts_of(LAYOUTS_FILE.read_text(encoding="utf-8"))


def _layout(name: str, table: Mapping[str, Any]) -> Layout:
    order = table["order"]
    if order not in {"ascending", "descending"}:
        raise ValueError(f"layout {name}: order is ascending or descending")
    unknown = {table["currency_code"], *table["currencies"].values()} - CURRENCY_EXPONENTS.keys()
    if unknown:
        raise ValueError(f"layout {name}: {sorted(unknown)} are no codes of ISO 4217")
    return Layout(
        name=name,
        encodings=tuple(table["encodings"]),
        delimiter=table["delimiter"],
        is_ascending=order == "ascending",
        date_formats=tuple(table["date_formats"]),
        currency_code=table["currency_code"],
        trailer_starts=tuple(table["trailer_starts"]),
        return_pattern=table["return_pattern"],
        end_to_end_pattern=table["end_to_end_pattern"],
        payout_pattern=table["payout_pattern"],
        organisation_pattern=table["organisation_pattern"],
        columns=table["columns"],
        ignored=frozenset(table["ignored"]["columns"]),
        marks=table.get("marks", {}),
        currencies=table["currencies"],
        facts={key: re.compile(pattern) for key, pattern in table["facts"].items()},
    )
