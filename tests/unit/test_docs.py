"""The documents say what is there: links, commands, targets, tables, terms, timetable, examples.

Each check first shows that it has found something to check. The computed tables are rebuilt here,
empty, from their contracts, so that PostgreSQL itself reads the examples.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.main import get_command

PROJECT_DIR = Path(__file__).resolve().parents[2]
DOCS_DIR = PROJECT_DIR / "docs"
MODELS_DIR = PROJECT_DIR / "dbt_project" / "models"
SEEDS_DIR = PROJECT_DIR / "dbt_project" / "seeds" / "reference"

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
SQL_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A schema, a table and perhaps a column, as the documents write them.
PLACE = re.compile(r"^[a-z_]+\.[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)?$")
SCHEMAS = frozenset(
    {
        "raw", "control", "reference", "staging", "intermediate", "reconciliation", "ledger",
        "clearing", "settlement", "gate", "payout",
    }
)  # fmt: skip

# The tokens of the domain's word list: each has to stand in the glossary.
DOMAIN_TOKENS = (
    "clearing", "settlement", "accounting_date", "cutoff", "source_voucher", "accounting_voucher",
    "catch_up_posting", "reconciliation", "matched", "one_sided", "in_doubt", "resolved",
    "suspense_posting", "suspense_release", "overage", "shortage", "clearing_session",
    "clearing_record", "settlement_session", "settlement_statement", "gross", "net",
    "separate_billing", "adjustment", "credit_adjustment", "debit_adjustment", "chargeback",
    "representment", "retrieval_request", "manual_refund", "void", "reversal", "refund",
    "channel_cost", "brand_fee", "fee_collection", "funds_disbursement", "recovery_fee",
    "client_reserve", "advance", "payout", "payout_return", "bank_journal",
)  # fmt: skip


# --- what there is ------------------------------------------------------------------------------


@cache
def documents() -> tuple[Path, ...]:
    """Return every Markdown file that is ours."""
    return (
        *(PROJECT_DIR / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted(DOCS_DIR.rglob("*.md")),
    )


@cache
def text_of(path: Path) -> str:
    """Return a document's text."""
    return path.read_text(encoding="utf-8")


@cache
def models() -> dict[str, dict[str, Any]]:
    """Return the dbt models by `schema.name`: their YAML, with `sql` the text of the file."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(MODELS_DIR.rglob("*.yml")):
        for model in (yaml.safe_load(text_of(path)) or {}).get("models", []):
            sql = text_of(path.with_name(f"{model['name']}.sql"))
            domain = path.relative_to(MODELS_DIR).parts[0]
            schema = re.search(r"schema='(\w+)'", sql)
            found[f"{schema[1] if schema else domain}.{model['name']}"] = {**model, "sql": sql}
    return found


@cache
def seeds() -> dict[str, list[dict[str, str]]]:
    """Return the seeds' rows by `reference.name`."""
    found = {}
    for path in sorted(SEEDS_DIR.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found[f"reference.{path.stem}"] = list(csv.DictReader(file))
    return found


def columns_of(model: dict[str, Any]) -> list[str]:
    """Return a model's described columns."""
    return [column["name"] for column in model.get("columns", [])]


def primary_key_of(model: dict[str, Any]) -> list[str]:
    """Return the columns of a model's primary key."""
    for constraint in model.get("constraints", []):
        if constraint["type"] == "primary_key":
            return list(constraint["columns"])
    return []


@pytest.fixture(scope="module")
def program_tables(settings: Any) -> dict[str, set[str]]:
    """The migrated tables: columns by `schema.table`."""
    from tieout import database

    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select
                table_schema || '.' || table_name as name,
                column_name
            from information_schema.columns
            where table_schema in (
                'raw', 'control', 'payout', 'reconciliation', 'clearing', 'settlement', 'gate'
            )
            """
        ).fetchall()
    found: dict[str, set[str]] = {}
    for name, column in rows:
        found.setdefault(name, set()).add(column)
    assert "control.channel_files" in found
    return found


# --- links --------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(path: Path, text: str) -> list[str]:
    """Return the relative links of a document that lead nowhere."""
    broken = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file_part, _, anchor = target.partition("#")
        linked = (path.parent / file_part).resolve() if file_part else path
        if not linked.exists() or (
            anchor and linked.suffix == ".md" and anchor not in anchors(text_of(linked))
        ):
            broken.append(target)
    return broken


def test_there_are_documents() -> None:
    assert len(documents()) > 40
    assert all(path.is_file() for path in documents())


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, text_of(path)) == []


def test_the_documents_link_one_another() -> None:
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in documents()
        for target in LINK.findall(text_of(path))
        if not re.match(r"[a-z]+:", target) and target.partition("#")[0]
    }
    assert len(linked) > 30
    top = {PROJECT_DIR / name for name in ("README.md",)}
    assert {path for path in documents() if path not in linked} <= top


def test_a_broken_link_is_found() -> None:
    readme = PROJECT_DIR / "README.md"
    assert broken_links(readme, "[a](docs/none.md) [b](docs/glossary.md#none)") == [
        "docs/none.md",
        "docs/glossary.md#none",
    ]


def test_no_document_names_a_registry() -> None:
    pattern = re.compile(r"https?://[^\s)]*(pypi|mirror|registry|artifactory|nexus)", re.IGNORECASE)
    assert [path.name for path in documents() if pattern.search(text_of(path))] == []


# --- commands -----------------------------------------------------------------------------------


def make_targets() -> set[str]:
    """Return the Makefile's targets that `make help` shows."""
    return set(re.findall(r"^([a-z-]+):.*## ", text_of(PROJECT_DIR / "Makefile"), re.MULTILINE))


def cli_commands() -> dict[str, set[str]]:
    """Return the options of each command of `tieout`."""
    from tieout.commands.cli import app

    group = get_command(app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        # The options of `tieout suspense list` and its like are those of `suspense` here.
        under = getattr(command, "commands", {})
        found[name] = {
            option
            for one in (command, *under.values())
            for parameter in one.params
            for option in parameter.opts
        }
    return found


def test_named_make_targets_exist() -> None:
    named = {
        target
        for path in documents()
        for target in re.findall(r"(?:`|^    |\n)make ([a-z-]+)\b", text_of(path))
    }
    assert {"close", "test", "ui"} <= named
    assert named <= make_targets()


def test_the_readme_lists_every_make_target() -> None:
    assert len(make_targets()) >= 10
    for target in sorted(make_targets()):
        assert f"`make {target}`" in text_of(PROJECT_DIR / "README.md")


def test_named_commands_and_options_exist() -> None:
    commands = cli_commands()
    named: dict[str, set[str]] = {}
    for path in documents():
        for line in re.findall(r"(?<!from )\btieout ([a-z][^`|\n]*)", text_of(path)):
            words = line.split()
            is_command = words[0] in commands or re.match(r"[a-z-]+$", words[0])
            # "tieout is a …" in prose is no command: only what stands in code is.
            if not is_command or f"tieout {line}" not in _code(text_of(path)):
                continue
            options = {
                word.partition("=")[0].rstrip(",)") for word in words if word.startswith("--")
            }
            named.setdefault(words[0].rstrip(",;.)\"'"), set()).update(options)
    assert {"url", "close", "pay", "status"} <= set(named)
    for command, options in named.items():
        assert command in commands
        assert options <= commands[command]


def test_the_readme_lists_every_command() -> None:
    for command in cli_commands():
        assert f"`tieout {command}" in text_of(PROJECT_DIR / "README.md")


def _code(text: str) -> str:
    """Return what stands in code spans and code blocks."""
    blocks = re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"^ {4}.*$", text, re.MULTILINE)
    return "\n".join([*blocks, *CODE_SPAN.findall(text)])


def test_named_settings_are_read_by_the_program() -> None:
    named = {
        name for path in documents() for name in re.findall(r"\bTIEOUT_[A-Z_]+\b", text_of(path))
    }
    program = "\n".join(
        text_of(path)
        for folder, pattern in (
            ("plugins", "*.py"),
            ("dbt_project", "*.sql"),
            ("dbt_project", "*.yml"),
            ("plugins", "*.yml"),
            (".", "docker-compose*.yml"),
        )
        for path in sorted((PROJECT_DIR / folder).rglob(pattern) if folder != "." else
                           PROJECT_DIR.glob(pattern))
    )  # fmt: skip
    assert "TIEOUT_HOME" in named
    assert {name for name in named if name not in program} == set()


# --- DAGs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dags(settings: Any) -> Iterator[dict[str, Any]]:
    """The project's DAGs by id, imported from their files."""
    from tieout.runs import airflow_home

    with pytest.MonkeyPatch.context() as patch:
        for name, value in airflow_home.environment(settings).items():
            patch.setenv(name, value)
        found = {}
        for path in sorted((PROJECT_DIR / "dags").glob("*.py")):
            namespace: dict[str, Any] = {"__name__": f"docs_{path.stem}", "__doc__": None}
            exec(compile(text_of(path), str(path), "exec"), namespace)
            found[namespace["DAG"].dag_id] = namespace["DAG"]
        yield found


def table_after(text: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table after a line, without its headings; code marks removed."""
    part = text[text.index(heading) + len(heading) :].lstrip("\n")
    rows = []
    for line in part.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


TIMETABLE = DOCS_DIR / "operations" / "dag-timetable.md"


def test_the_timetable_lists_the_dags(dags: dict[str, Any]) -> None:
    text = text_of(TIMETABLE)
    listed = table_after(text, text[: text.index("| DAG | schedule")])
    assert len(dags) >= 4
    expected = {
        (
            dag_id,
            dag.timetable.expression,
            str(dag.timetable.timezone),
            dag.default_args["owner"],
            str(dag.max_active_runs),
        )
        for dag_id, dag in dags.items()
    }
    assert {(row[0], row[1], "Asia/Shanghai", row[4], row[5]) for row in listed} == expected
    for row in listed:
        minute, hours = row[1].split()[:2]
        if minute.startswith("*/"):
            assert f"every {minute[2:]} minutes" in row[2]
            minute = "0"
        for hour in hours.split("-"):
            assert f"{int(hour):02d}:{int(minute):02d}" in row[2]


def test_the_timetable_lists_the_tasks_in_order(dags: dict[str, Any]) -> None:
    listed = table_after(text_of(TIMETABLE), "## Tasks, in order")
    expected = []
    for dag_id in dict.fromkeys(row[0] for row in listed):
        for task in dags[dag_id].topological_sort():
            if hasattr(task, "poke_interval"):
                shown = f"{_limit(timedelta(seconds=task.timeout))} in all"
            else:
                shown = _limit(task.execution_timeout)
            expected.append((dag_id, task.task_id, shown, str(task.retries)))
    assert {row[0] for row in listed} == set(dags)
    assert len(expected) > 20
    assert [(row[0], row[1], row[3], row[4]) for row in listed] == expected


def _limit(limit: timedelta) -> str:
    minutes = int(limit.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


# --- terms --------------------------------------------------------------------------------------


def glossary_rows() -> list[dict[str, str]]:
    """Return the glossary's rows, from every table of six columns."""
    rows = []
    for line in text_of(DOCS_DIR / "glossary.md").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 6 and CODE_SPAN.fullmatch(cells[1]):
            rows.append(
                dict(
                    zip(
                        ("zh", "token", "definition", "not", "network", "where"), cells, strict=True
                    )
                )
            )
    return rows


def test_the_glossary_has_every_term_once() -> None:
    tokens = [row["token"].strip("`") for row in glossary_rows()]
    assert len(tokens) > 60
    assert len(tokens) == len(set(tokens))
    assert [token for token in DOMAIN_TOKENS if token not in tokens] == []


def test_the_glossary_is_bilingual_and_complete() -> None:
    for row in glossary_rows():
        assert re.search(r"[\u4e00-\u9fff]", row["zh"]), row
        assert row["definition"].endswith("."), row
        assert all(row.values()), row


def unknown_place(place: str, program_tables: dict[str, set[str]]) -> bool:
    """Say whether a `schema.table` or `schema.table.column` does not exist."""
    parts = place.split(".")
    table = ".".join(parts[:2])
    if table in seeds():
        known = set(seeds()[table][0]) if seeds()[table] else set()
    elif table in models():
        known = set(columns_of(models()[table]))
    elif table in program_tables:
        known = program_tables[table]
    else:
        return True
    return len(parts) == 3 and parts[2] not in known


def value_is_known(place: str, value: str, program_tables: dict[str, set[str]]) -> bool:
    """Say whether a column can hold a value, as its seed, its model or its migration writes it."""
    table, _, column = place.rpartition(".")
    if table in seeds():
        return any(row[column] == value for row in seeds()[table])
    if table in models():
        model = models()[table]
        return f"'{value}'" in model["sql"] or f"'{value}'" in yaml.safe_dump(
            model.get("constraints", []), width=10_000
        ).replace("''", "'")
    migrations = PROJECT_DIR / "plugins" / "tieout" / "migrations" / "versions"
    return table in program_tables and any(
        f"'{value}'" in text_of(path) for path in migrations.glob("*.py")
    )


def test_where_a_term_is_used_exists(program_tables: dict[str, set[str]]) -> None:
    wrong = []
    place_count = value_count = 0
    for row in glossary_rows():
        used = re.findall(r"`([^`]+)`(?: = `([^`]+)`)?", row["where"])
        assert used, row
        for place, value in used:
            place_count += 1
            assert PLACE.match(place), (place, row["token"])
            if unknown_place(place, program_tables):
                wrong.append(place)
            elif value:
                value_count += 1
                if not value_is_known(place, value, program_tables):
                    wrong.append(f"{place} = {value}")
    assert place_count > 80
    assert value_count > 20
    assert wrong == []


def test_a_wrong_place_is_found(program_tables: dict[str, set[str]]) -> None:
    assert unknown_place("ledger.none", program_tables)
    assert unknown_place("ledger.journal_entries.none", program_tables)
    assert not value_is_known(
        "reconciliation.suspense_items.status", "no_such_value", program_tables
    )


def banned_words() -> list[re.Pattern[str]]:
    """Return the words of the glossary's last table; `*` stands for any letters."""
    text = text_of(DOCS_DIR / "glossary.md")
    part = text[text.index("## Words we do not use") :]
    words = [
        word
        for line in part.splitlines()
        if line.startswith("| `")
        for word in CODE_SPAN.findall(line.split("|")[1])
    ]
    return [re.compile(re.escape(word).replace(r"\*", "[a-z_0-9]*")) for word in words]


def test_banned_words_are_no_names(program_tables: dict[str, set[str]]) -> None:
    names = set(program_tables) | set(seeds()) | set(models())
    names = {name.partition(".")[2] for name in names}
    names |= {column for columns in program_tables.values() for column in columns}
    names |= {column for rows in seeds().values() for row in rows[:1] for column in row}
    names |= {column for model in models().values() for column in columns_of(model)}
    names |= {
        value
        for rows in seeds().values()
        for row in rows
        for value in row.values()
        if value and re.fullmatch(r"[a-z_]+", value)
    }
    for model in models().values():
        constraints = yaml.safe_dump(model.get("constraints", []))
        names |= set(re.findall(r"'+([a-z_]+)'+", constraints))
    words = banned_words()
    assert len(words) > 15
    assert len(names) > 300
    assert sorted(name for name in names if any(word.fullmatch(name) for word in words)) == []


def test_the_seed_translates_disputes_as_the_glossary_does() -> None:
    chinese = {row["token"].strip("`"): row["zh"] for row in glossary_rows()}
    rows = seeds()["reference.adjustment_types"]
    shared = [row for row in rows if row["adjustment_type"] in chinese]
    assert len(shared) > 5
    for row in shared:
        assert row["adjustment_type_zh"] == chinese[row["adjustment_type"]]


# --- tables and examples ------------------------------------------------------------------------

# Helpers that finance does not read.
NOT_LISTED = re.compile(r"^(staging|intermediate)\.|\.int_")
TABLES = DOCS_DIR / "tables.md"


def listed_tables() -> dict[str, list[str]]:
    """Return the tables of `docs/tables.md` and the key each states."""
    found = {}
    for name, key in re.findall(
        r"^### `([a-z_.]+)` [^\n]+\n\nKey: ([^\n]+)\.\n", text_of(TABLES), re.MULTILINE
    ):
        found[name] = CODE_SPAN.findall(key)
    return found


def listed_views() -> list[str]:
    """Return the views of `docs/tables.md`, which have no key."""
    return re.findall(
        r"^### `([a-z_.]+)` [^\n]+ \(view\)\n\nOne row [^\n]+\n", text_of(TABLES), re.MULTILINE
    )


def test_every_public_table_is_listed_with_its_key() -> None:
    listed = {name: model for name, model in models().items() if not NOT_LISTED.search(name)}
    views = {name for name, model in listed.items() if "materialized='view'" in model["sql"]}
    public = {name: model for name, model in listed.items() if name not in views}
    assert len(public) >= 20
    assert len(views) >= 4
    assert set(listed_views()) == views
    assert set(listed_tables()) == set(public)
    for name, key in listed_tables().items():
        assert key == primary_key_of(public[name]), name


def examples() -> list[tuple[str, str]]:
    """Return every SQL example of the documents, with the document's name."""
    found = []
    for path in documents():
        text = text_of(path)
        blocks = SQL_BLOCK.findall(text)
        # Runbooks indent theirs.
        blocks += re.findall(
            r"(?:^ {4,}(?:select|with)\b[^\n]*\n(?:^ {4,}[^\n]*\n)*)", text, re.MULTILINE
        )
        for block in blocks:
            found += [
                (path.name, statement.strip())
                for statement in block.split(";")
                if re.match(r"\s*(select|with)\b", statement)
            ]
    return found


@pytest.fixture(scope="module")
def empty_tables(settings: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees every computed table, empty, made from its contract; rolled back."""
    from tieout import database

    with database.connect(settings) as connection:
        for name, model in models().items():
            columns = [column for column in model.get("columns", []) if column.get("data_type")]
            if not columns:
                columns = [{"name": name, "data_type": "text"} for name in columns_of(model)]
            if not columns:
                continue
            shown = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in columns)
            connection.execute(f"create schema if not exists {name.partition('.')[0]}")
            connection.execute(f"create table if not exists {name} ({shown})")  # type: ignore[arg-type]
        try:
            yield connection
        finally:
            connection.rollback()


def test_there_are_examples() -> None:
    names = [name for name, _ in examples()]
    assert names.count("tables.md") >= len(listed_tables())
    assert len(set(names)) > 4


@pytest.mark.parametrize(("name", "statement"), examples())
def test_an_example_fits_the_tables(
    empty_tables: psycopg.Connection[Any], name: str, statement: str
) -> None:
    with empty_tables.transaction():
        empty_tables.execute(f"explain {statement}")  # type: ignore[arg-type]


def test_places_named_in_the_documents_exist(program_tables: dict[str, set[str]]) -> None:
    named = {
        (path.name, span)
        for path in documents()
        for span in CODE_SPAN.findall(text_of(path))
        if PLACE.match(span) and span.partition(".")[0] in SCHEMAS
    }
    allowed = {"gate.release"}
    assert len(named) > 60
    assert (
        sorted(
            (name, span)
            for name, span in named
            if span not in allowed and unknown_place(span, program_tables)
        )
        == []
    )


def test_named_paths_exist() -> None:
    pattern = re.compile(r"^(dags|plugins|dbt_project|expectations|tests|docs|bin)/[\w./-]*$")
    named = {
        span
        for path in documents()
        for span in CODE_SPAN.findall(text_of(path))
        if pattern.match(span)
    }
    assert len(named) > 15
    assert sorted(span for span in named if not (PROJECT_DIR / span).exists()) == []


def test_named_modules_exist() -> None:
    named = {
        span
        for path in documents()
        for span in CODE_SPAN.findall(text_of(path))
        if re.fullmatch(r"tieout(\.[a-z_0-9]+)+", span)
    }
    assert len(named) > 10
    missing = []
    for span in named:
        parts = span.split(".")
        folder = PROJECT_DIR / "plugins"
        whole = folder.joinpath(*parts)
        owner = folder.joinpath(*parts[:-1])
        is_module = whole.is_dir() or whole.with_suffix(".py").is_file()
        sources = [owner.with_suffix(".py"), owner / "__init__.py"]
        is_name = any(
            re.search(rf"\b{parts[-1]}\b", text_of(source))
            for source in sources
            if source.is_file()
        )
        if not (is_module or is_name):
            missing.append(span)
    assert sorted(missing) == []


# --- the gate -------------------------------------------------------------------------------------


def test_the_equation_is_described_as_it_is_computed() -> None:
    from tieout.gate.expectation_suites import EQUATION_TERMS

    text = text_of(DOCS_DIR / "architecture.md")
    rows = table_after(text, "has its own source:")
    assert len(EQUATION_TERMS) == 12
    described = [
        (row[0].split("`")[0].strip(), 1 if row[1] == "+" else -1, row[0].split("`")[-1].strip())
        for row in rows
    ]
    assert [(term, sign) for term, sign, _ in described] == [
        (term, sign) for term, sign, _ in EQUATION_TERMS
    ]
    for (_, _, shown), (_, _, chinese) in zip(described, EQUATION_TERMS, strict=True):
        assert shown.startswith(chinese)


def test_the_runbook_names_every_check_of_the_gate() -> None:
    from tieout.gate.expectation_suites import REQUIRED_GATE_CHECKS

    text = text_of(DOCS_DIR / "runbooks" / "gate-failed.md")
    rows = table_after(text, "one that is missing did not hold.")
    assert len(REQUIRED_GATE_CHECKS) > 10
    assert {row[0].split("`")[0] for row in rows} == set(REQUIRED_GATE_CHECKS)


def test_the_gate_s_tables_are_written_from_the_seeds(tmp_path: Path) -> None:
    script = PROJECT_DIR / "bin" / "gate-docs"
    subprocess.run([sys.executable, script, "--check"], check=True)
    for name in ("bin/gate-docs", "docs", "dbt_project/seeds"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT_DIR / name).is_dir():
            shutil.copytree(PROJECT_DIR / name, target)
        else:
            shutil.copy(PROJECT_DIR / name, target)
    seed = tmp_path / "dbt_project" / "seeds" / "reference" / "equation_terms.csv"
    seed.write_text(text_of(seed).replace("clearing,12,-1", "clearing,12,1"), encoding="utf-8")
    command = [sys.executable, tmp_path / "bin" / "gate-docs"]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    assert "docs/architecture.md" in stale.stdout
    subprocess.run(command, check=True)
    assert "| `clearing` 清算金额 | + |" in text_of(tmp_path / "docs" / "architecture.md")


# --- decisions and runbooks -----------------------------------------------------------------------


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    folder = DOCS_DIR / "decisions"
    names = sorted(path.name for path in folder.glob("0*.md"))
    assert len(names) >= 11
    assert [name[:4] for name in names] == [f"{no:04d}" for no in range(1, len(names) + 1)]
    for name in names:
        text = text_of(folder / name)
        title = text.splitlines()[0].removeprefix(f"# {name[:4]} ")
        assert f"[{name[:4]}]({name}) | {title} |" in text_of(folder / "README.md")
        assert "Status: " in text


def test_error_texts_lead_to_documents_that_exist() -> None:
    named = set()
    for folder, patterns in (("plugins", ("*.py",)), ("dbt_project", ("*.sql", "*.yml"))):
        for pattern in patterns:
            for path in (PROJECT_DIR / folder).rglob(pattern):
                named |= set(re.findall(r"docs/[a-z0-9_/-]+(?:\.md)?", text_of(path)))
    named = {
        name.rstrip("/")
        for name in named
        if not name.startswith(("docs/dbt", "docs/data-docs", "docs/gx"))
    }
    assert len(named) >= 3
    assert sorted(name for name in named if not (PROJECT_DIR / name).exists()) == []


def test_runbooks_quote_words_the_program_says() -> None:
    folder = DOCS_DIR / "runbooks"
    program = "\n".join(
        text_of(path)
        for source in ("plugins", "dbt_project")
        for pattern in ("*.py", "*.sql")
        for path in (PROJECT_DIR / source).rglob(pattern)
    )
    rows = table_after(text_of(folder / "README.md"), "of the installation concerned.")
    assert len(rows) == len(list(folder.glob("*.md"))) - 1
    quoted_count = 0
    for alert, link in rows:
        page = " ".join(text_of(folder / LINK.findall(link)[0]).split())
        for quoted in re.findall(r'"([^"]+)"', alert):
            quoted_count += 1
            for words in (part.strip() for part in quoted.split("…") if part.strip()):
                assert words in program, (link, words)
                assert words in page, (link, words)
    assert quoted_count > 8
