"""Keys that stand in several records of one file, wherever its blocks end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.channels.common.model import Findings

__all__ = ["RepeatedKeys"]

_LINE = "line_number"
_IS_FREE = "may_repeat"


class RepeatedKeys:
    """Collects the keys of a file's records and flags those that stand in several.

    Of a file only its keys are held until its end. A key without a value in any part of it is none.
    """

    def __init__(self) -> None:
        self._keys: list[pl.DataFrame] = []

    def add(
        self,
        keys: pl.DataFrame,
        line_numbers: Sequence[int] | npt.NDArray[np.int64],
        *,
        may_repeat: pl.Series | None = None,
    ) -> None:
        """Add the keys (one column a part) of records and the lines these stand in.

        What `may_repeat` says may have the key of an earlier one; others may not have its key.
        """
        lines = pl.Series(_LINE, np.asarray(line_numbers, dtype=np.int64))
        free = pl.lit(False) if may_repeat is None else may_repeat
        self._keys.append(keys.with_columns(lines, free.alias(_IS_FREE)).drop_nulls())

    def flag(
        self, findings: Findings, field: str, reason: str, *, with_first: bool = False
    ) -> None:
        """Flag each record whose key another one has: all but the first, or all.

        The reason is followed by the lines of the first two.
        """
        if not self._keys:
            return
        keys = pl.concat(self._keys)
        parts = [name for name in keys.columns if name not in {_LINE, _IS_FREE}]
        repeated = keys.filter(pl.struct(parts).is_duplicated()).sort(_LINE, maintain_order=True)
        if repeated.is_empty():
            return
        lines = pl.col(_LINE)
        repeated = repeated.with_columns(
            lines.first().over(parts).alias("first"),
            lines.slice(1, 1).first().over(parts).alias("second"),
            pl.int_range(pl.len()).over(parts).alias("ordinal"),
        )
        repeated = repeated.filter(~pl.col(_IS_FREE))
        if not with_first:
            repeated = repeated.filter(pl.col("ordinal") > 0)
        first, second = repeated["first"].to_list(), repeated["second"].to_list()
        findings.of_block(repeated[_LINE].to_list()).flag(
            np.ones(len(repeated), dtype=bool),
            field,
            "duplicate_key",
            lambda position: f"{reason} (lines {first[position]} and {second[position]})",
        )
