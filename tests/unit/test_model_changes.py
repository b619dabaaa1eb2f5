"""The change log's table of model changes is what the contracts and the migrations say.

A contract table changes under people who read it: who adds a column, changes a key or writes a
migration has to say so in CHANGELOG.md, or a test here fails.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROJECT_DIR = Path(__file__).resolve().parents[2]
MODELS_DIR = PROJECT_DIR / "dbt_project" / "models"
MIGRATIONS_DIR = PROJECT_DIR / "plugins" / "tieout" / "migrations" / "versions"
HEADING = "### Model changes"
CODE_SPAN = re.compile(r"`([^`]+)`")


@cache
def section() -> str:
    """Return the change log's section on model changes."""
    text = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
    part = text[text.index(HEADING) + len(HEADING) :]
    return part[: part.index("\n### ")]


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of the section's table with these headings."""
    part = section()[section().index(heading) :]
    rows = []
    for line in part.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@cache
def contracts() -> dict[str, dict[str, Any]]:
    """Return the models with an enforced contract, by `schema.name`."""
    found = {}
    for path in sorted(MODELS_DIR.rglob("*.yml")):
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", []):
            if not ((model.get("config") or {}).get("contract") or {}).get("enforced"):
                continue
            sql = path.with_name(f"{model['name']}.sql").read_text(encoding="utf-8")
            schema = re.search(r"schema='(\w+)'", sql)
            name = schema[1] if schema else path.relative_to(MODELS_DIR).parts[0]
            found[f"{name}.{model['name']}"] = model
    return found


def key_of(model: dict[str, Any]) -> list[str]:
    """Return the columns of a model's primary key."""
    for constraint in model.get("constraints") or []:
        if constraint["type"] == "primary_key":
            return list(constraint["columns"])
    return []


def listed_models() -> dict[str, tuple[list[str], int, list[str]]]:
    """Return of each model that is listed its grain, its number of columns, and those added."""
    return {
        CODE_SPAN.findall(model)[0]: (
            CODE_SPAN.findall(grain),
            int(count),
            CODE_SPAN.findall(changes),
        )
        for model, grain, count, changes, _ in rows_below("| model | grain |")
    }


def test_each_contract_table_is_listed_with_its_grain_and_number_of_columns() -> None:
    assert len(contracts()) > 35
    expected = {name: (key_of(model), len(model["columns"])) for name, model in contracts().items()}
    assert {name: (grain, count) for name, (grain, count, _) in listed_models().items()} == expected


def test_columns_that_were_added_are_there() -> None:
    added = [
        (name, column) for name, (_, _, columns) in listed_models().items() for column in columns
    ]
    assert len(added) > 25
    known = {
        (name, column["name"]) for name, model in contracts().items() for column in model["columns"]
    }
    assert [one for one in added if one not in known] == []


def migrations() -> list[str]:
    """Return the names of the migrations, without their ending, in order."""
    return sorted(path.stem for path in MIGRATIONS_DIR.glob("[0-9]*.py"))


def test_each_migration_is_listed_in_order() -> None:
    assert len(migrations()) >= 24
    assert [row[0] for row in rows_below("| migration | tables |")] == migrations()


def test_tables_of_a_migration_are_those_it_names() -> None:
    """A table stands in the text of its migration by its whole name, or made of a list there."""
    wrong = []
    count = 0
    for migration, tables, _, _ in rows_below("| migration | tables |"):
        text = (MIGRATIONS_DIR / f"{migration}.py").read_text(encoding="utf-8")
        for table in CODE_SPAN.findall(tables):
            count += 1
            schema, _, name = table.partition(".")
            if not (table in text or (schema == "raw" and (not name or name in text))):
                wrong.append((migration, table))
    assert count > 45
    assert wrong == []


def test_numbers_of_migrations_in_the_text_exist() -> None:
    text = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
    numbers = set(re.findall(r"(?:migrates? \(|[Mm]igration )(\d{4})\b", text))
    assert len(numbers) > 5
    assert numbers - {name[:4] for name in migrations()} == set()
