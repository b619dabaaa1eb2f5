"""Lists of reference data in a database that dbt has not seen: landing asks for them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
import yaml
from psycopg import sql

from tieout.core.settings import PROJECT_DIR

__all__ = ["LANDING_LISTS", "load_lists"]

SEEDS = PROJECT_DIR / "dbt_project" / "seeds" / "reference"
# What is asked before the first file lands.
LANDING_LISTS = ("channels", "expected_files", "calendar_days")


def load_lists(connection: psycopg.Connection[Any], names: Iterable[str] = LANDING_LISTS) -> None:
    """Make tables of `reference` as dbt makes them of its seeds: same columns, types and rows."""
    for name in names:
        with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        assert rows, f"the list {name} is empty"
        types = _column_types(name)
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(types[column]))
            for column in header
        )
        table = sql.Identifier("reference", name)
        connection.execute(sql.SQL("create table {} ({})").format(table, columns))
        with connection.cursor().copy(sql.SQL("copy {} from stdin").format(table)) as copy:
            for row in rows:
                copy.write_row([value or None for value in row])
        connection.execute(sql.SQL("alter table {} owner to tieout_owner").format(table))
        connection.execute(
            sql.SQL(
                "grant select on {} to tieout_ingest, tieout_transform, tieout_gate,"
                " tieout_payout, tieout_finance"
            ).format(table)
        )


def _column_types(name: str) -> Mapping[str, Any]:
    for path in sorted(SEEDS.glob("*.yml")):
        for seed in yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]:
            if seed["name"] == name:
                found: Mapping[str, Any] = seed["config"]["column_types"]
                return found
    raise AssertionError(f"the seed {name} is described nowhere")
