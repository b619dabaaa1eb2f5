"""The expectation suites, for three boundaries: landing, close, gate. Read from `.sql` files.

A check is one file below ``expectations/<suite>/``: a header of comments, then a query for one date
that returns a row for each thing that is wrong, so a check passes by returning nothing. Missing
data must fail: every suite has checks that return a row when nothing is there to check. Amounts are
compared inside SQL, as integers, and leave it as text, because what leaves goes through JSON.

A query returns, under these names, what a sentence for people is made of: ``subject`` (which
channel, account, file…), ``term`` (what of it), ``amount_minor`` (text or null), ``currency_code``
(text or null), ``detail`` (a sentence). Its only parameter is the date, ``:day``.

Which checks there are stands here, not in the folder: a file that is gone, or one more, is an error
and never a gate that checks less (docs/decisions/0054-the-gate-is-a-folder-of-checks.md).
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Final

from psycopg import sql

from tieout.core.errors import TieoutError
from tieout.core.settings import PROJECT_DIR

EXPECTATIONS_DIR: Final = Path(str(files("tieout").joinpath("expectations")))
"""The Great Expectations context and the checks; inside the package, so that both ship with it."""

KINDS: Final = frozenset({"presence", "arithmetic", "agreement", "finding"})
ANY_TERM: Final = "*"
_FIELDS: Final = ("id", "kind", "severity", "subject", "terms", "english", "chinese")
_FIELD: Final = re.compile(r"-- ([a-z]+): (\S.*)")
# Texts, quoted names and comments are left alone; what else begins with one colon is a parameter.
_SKIPPED_OR_PARAMETER: Final = re.compile(
    r"""'(?:[^']|'')*'|"[^"]*"|--[^\n]*|/\*.*?\*/|::|:([a-z_]+)\b""", re.DOTALL
)
_SEEDS: Final = "dbt_project/seeds/reference"


@dataclass(frozen=True)
class Rule:
    """One check: what its header says, the query of its breaks, and the whole file's text."""

    name: str
    kind: str
    severity: str
    subject: str
    terms: tuple[str, ...]
    english: str
    chinese: str
    query: str
    text: str

    @property
    def description(self) -> str:
        """The text Data Docs show."""
        return f"{self.english} · {self.chinese}"

    def query_for(self, day: date) -> str:
        """Return the query for one date, as PostgreSQL runs it."""
        literal = sql_date(day)
        return _SKIPPED_OR_PARAMETER.sub(
            lambda found: found.group() if found.group(1) is None else literal, self.query
        )


@dataclass(frozen=True)
class Suite:
    """The checks of one folder, on one table (asset) at one boundary."""

    name: str
    asset: str
    rules: tuple[Rule, ...]


def sql_date(day: date) -> str:
    """Return a date as SQL, with its type; the driver quotes it."""
    return sql.Literal(day).as_string(None)


def for_great_expectations(query: str) -> str:
    r"""Return a query so that Great Expectations sends to the database just what it says.

    The library puts it through ``str.format`` (braces) and SQLAlchemy (``:name``), and wants to see
    its ``{batch}``, which stands in a comment: a check names its tables itself.
    """
    escaped = query.replace("{", "{{").replace("}", "}}").replace(":", r"\:")
    return f"{escaped.strip()}\n/* {{batch}} */"


def load_suite(name: str, asset: str, checks: Iterable[str], folder: Path) -> Suite:
    """Read the checks of one suite from its folder.

    Raises:
        TieoutError: a file is missing, empty, not in the list, or not as a check has to be.
    """
    wanted = tuple(checks)
    found = {path.stem for path in folder.glob("*.sql")}
    for problem, names in (
        ("is missing", set(wanted) - found),
        ("is in the folder and in no list", found - set(wanted)),
    ):
        if names:
            raise _unusable(folder / f"{min(names)}.sql", f"it {problem}")
    if not wanted or len(set(wanted)) != len(wanted):
        raise _unusable(folder, "its list is empty, or names a check twice")
    return Suite(name, asset, tuple(_read(folder / f"{check}.sql", asset) for check in wanted))


def _read(path: Path, asset: str) -> Rule:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    header, start = _header(lines)
    if tuple(header) != _FIELDS:
        raise _unusable(path, f"its header is not: {', '.join(_FIELDS)}, each once in that order")
    rule = Rule(
        name=header["id"],
        kind=header["kind"],
        severity=header["severity"],
        subject=header["subject"],
        terms=tuple(term.strip() for term in header["terms"].split(",")),
        english=header["english"],
        chinese=header["chinese"],
        query="\n".join(lines[start:]).strip(),
        text=text,
    )
    why = _why_unusable(rule, path.stem, asset)
    if why:
        raise _unusable(path, why)
    return rule


def _header(lines: list[str]) -> tuple[dict[str, str], int]:
    """Return the fields above the first empty line, and where that is; indented lines go on."""
    header: dict[str, str] = {}
    name = ""
    for number, line in enumerate(lines):
        field = _FIELD.fullmatch(line)
        if field:
            name = field.group(1)
            # A field that stands twice makes the order wrong, and so the header.
            name = f"{name} again" if name in header else name
            header[name] = field.group(2).strip()
        elif name and line.startswith("--     "):
            header[name] += " " + line.removeprefix("--").strip()
        else:
            return header, number
    return header, len(lines)


def _why_unusable(rule: Rule, stem: str, asset: str) -> str | None:
    parameters = {found.group(1) for found in _SKIPPED_OR_PARAMETER.finditer(rule.query)} - {None}
    checks = (
        (rule.name != stem, "its id is not the file's name"),
        (rule.kind not in KINDS, f"its kind is none of {', '.join(sorted(KINDS))}"),
        # One that fails and lets pass would be no check; the gate knows no lesser one.
        (rule.severity != "critical", "its severity is not critical"),
        (rule.subject.rpartition(".")[2] != asset, f"its subject is not the suite's table {asset}"),
        (not rule.query, "it has no query"),
        (rule.subject not in rule.query, "its query does not read its subject"),
        (parameters != {"day"}, "its query has to have the parameter :day, and no other"),
    )
    return next((why for is_so, why in checks if is_so), None)


def _unusable(path: Path, why: str) -> TieoutError:
    return TieoutError(
        what="an expectation suite is not usable",
        where=str(path),
        why=why,
        next_step="mend the file, or the list in tieout.gate.expectation_suites; a damaged "
        "installation is installed anew",
    )


def _seed(name: str) -> tuple[Mapping[str, str], ...]:
    """Return the rows of a seed, which dbt loads into ``reference``."""
    path = Path(os.environ.get("TIEOUT_PROJECT_DIR") or PROJECT_DIR) / _SEEDS / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = tuple(csv.DictReader(stream))
    keys = [next(iter(row.values())) for row in rows]
    if not keys or len(set(keys)) != len(keys):
        raise TieoutError(
            what=f"the seed {name} is not usable",
            where=str(path),
            why="it is empty, or a name stands in it twice",
            next_step="correct the seed; each name stands in it once",
        )
    return rows


EQUATION_TERMS: Final = tuple(
    (row["term"], int(row["sign"]), row["term_zh"]) for row in _seed("equation_terms")
)
"""The terms of the balance equation with their sign in the residual (left side minus right)."""

REQUIRED_GATE_CHECKS: Final = tuple(row["check_name"] for row in _seed("required_gate_checks"))
"""Checks that need a row for the payment date. A check that is not there did not hold."""


def _suite(name: str, asset: str, *checks: str) -> Suite:
    return load_suite(name, asset, checks, EXPECTATIONS_DIR / name)


LANDING: Final = _suite(
    "landing",
    "channel_files",
    "every_expected_file_is_landed",
    "control_totals_agree",
    "no_file_is_waiting_for_a_person",
)
CLOSE: Final = _suite(
    "close",
    "trial_balance",
    "trial_balance_is_zero",
    "suspense_rolls_forward",
    "every_source_voucher_is_posted",
)
GATE_EQUATION: Final = _suite(
    "gate_equation",
    "balance_equation",
    "every_arrival_group_is_there",
    "no_term_is_missing",
    "residual_is_zero",
    "residual_adds_up",
    "bank_arrival_is_there",
    "no_unexpected_arrival",
)
GATE_CHECKS: Final = _suite(
    "gate_checks", "gate_checks", "every_check_was_made", "every_check_holds"
)
GATE_STATEMENTS: Final = _suite(
    "gate_statements", "settlement_statements", "statements_are_there", "statements_roll"
)

GATE_SUITES: Final = (GATE_EQUATION, GATE_CHECKS, GATE_STATEMENTS)
LANDING_SUITES: Final = (LANDING,)
CLOSE_SUITES: Final = (LANDING, CLOSE)
ALL_SUITES: Final = (LANDING, CLOSE, *GATE_SUITES)
