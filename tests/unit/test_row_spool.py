"""Rows wait between parser and database in bounded memory, and come back as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import polars.testing
import pytest

from tieout.landing.row_spool import RowSpool, row_blocks

ROWS = 1_000


def block(number: int) -> pl.DataFrame:
    """Return rows of every type that raw tables have."""
    return pl.DataFrame(
        {
            "line_number": pl.Series(range(number * ROWS, (number + 1) * ROWS), dtype=pl.Int32),
            "amount_minor": [-number, None] * (ROWS // 2),
            "remark": ["收单", None] * (ROWS // 2),
            "booked_on": [date(2026, 9, 24)] * ROWS,
            "booked_at": [datetime(2026, 9, 24, tzinfo=UTC)] * ROWS,
            "is_late": [True, None] * (ROWS // 2),
        }
    )


@pytest.mark.parametrize("memory_bytes_max", [0, 100_000, 1 << 30], ids=["disk", "both", "memory"])
def test_rows_come_back_as_they_were(memory_bytes_max: int, tmp_path: Path) -> None:
    with RowSpool(tmp_path, memory_bytes_max=memory_bytes_max) as rows:
        for number in range(5):
            rows.add({"one": block(number), "other": block(number).head(number)})
        assert set(rows) == {"one", "other"}
        expected = pl.concat(block(number) for number in range(5))
        # Read twice, and two tables in turns: places in the file are each block's own.
        for _ in range(2):
            for mine, theirs in zip(rows.blocks("one"), rows.blocks("other"), strict=True):
                assert len(mine) == ROWS
                assert len(theirs) < ROWS
        polars.testing.assert_frame_equal(rows["one"], expected)
        assert len(rows["other"]) == 10
        is_on_disk = rows._file is not None
    assert is_on_disk == (memory_bytes_max < 1 << 30)
    assert not list(tmp_path.iterdir())


def test_an_empty_block_says_that_the_table_is_there(tmp_path: Path) -> None:
    with RowSpool(tmp_path) as rows:
        rows.add({"one": block(0).clear()})
        rows.add({"one": block(0).clear()})
        assert [len(found) for found in row_blocks(rows, "one")] == [0]
        assert rows["one"].schema == block(0).schema


def test_a_spool_on_disk_has_no_name_and_its_block_is_out_of_memory(tmp_path: Path) -> None:
    with RowSpool(tmp_path, memory_bytes_max=0) as rows:
        rows.add({"one": block(0)})
        assert not list(tmp_path.iterdir())
        assert not any(isinstance(kept, pl.DataFrame) for kept in rows._blocks["one"])
