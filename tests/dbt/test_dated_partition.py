"""The materialization `dated_partition`, on a project of one small model with the real macro."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from day_states import seal
from tieout import database
from tieout.core.settings import PROJECT_DIR, Settings, load_settings
from tieout.runs import transform
from tieout.runs.transform import BuildReport

pytestmark = pytest.mark.slow

FIRST = "2026-09-24"
SECOND = "2026-09-25"
# Dates of the tests that seal them.
SEALED = "2026-09-21"
PAID = "2026-09-22"

PROJECT = """
name: tieout
version: "1.0.0"
config-version: 2
profile: tieout
model-paths: [models]
macro-paths: [macros]
flags: {send_anonymous_usage_stats: false}
vars: {business_time_zone: Asia/Shanghai}
models:
  tieout: {+schema: probe, +persist_docs: {relation: true, columns: true}}
"""
MODEL = """
{{ config(materialized='dated_partition', partition_by='accounting_date') }}
select
    accounting_date,
    probe_id,
    amount_minor,
    note
from probe.inputs
where built_on = {{ accounting_date() }}
"""
CONTRACT = """
models:
  - name: probes
    description: "Probes."
    config: {contract: {enforced: true}}
    constraints:
      - {type: primary_key, columns: [accounting_date, probe_id]}
      - {type: check, name: probes_amount, expression: "amount_minor >= 0"}
    columns:
      - {name: accounting_date, data_type: date, constraints: [{type: not_null}]}
      - {name: probe_id, data_type: text, constraints: [{type: not_null}]}
      - {name: amount_minor, data_type: bigint, constraints: [{type: not_null}]}
      - {name: note, data_type: text}
"""
BUILD_IN_A_PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from tieout.runs import transform
from tieout.core.settings import load_settings
url, project, home, day = sys.argv[1:]
settings = replace(
    load_settings({"TIEOUT_HOME": home}), project_dir=Path(project), external_database_url=url
)
report = transform.run_dbt(settings, ["run"], {"TIEOUT_ACCOUNTING_DATE": day})
sys.exit("\\n".join(map(str, report.failures)) or 0)
"""


@dataclass(frozen=True)
class Probe:
    """A dbt project of one model in a database of its own schema."""

    settings: Settings

    def change(self, name: str, text: str) -> Probe:
        """Return the same database under a project with another model file."""
        number = len(list(self.settings.project_dir.parent.iterdir()))
        folder = self.settings.project_dir.parent / f"project-{number}"
        shutil.copytree(self.settings.project_dir, folder)
        (folder / "dbt_project" / "models" / name).write_text(text)
        return Probe(replace(self.settings, project_dir=folder))

    def put(self, day: str, *rows: tuple[object, ...]) -> None:
        """Replace what the model reads for a date: probe_id, amount, and the row's own date."""
        with database.connect(self.settings) as connection:
            connection.execute("delete from probe.inputs where built_on = %s", [day])
            for probe_id, amount, *own_date in rows:
                connection.execute(
                    "insert into probe.inputs values (%s, %s, %s, %s, 'x')",
                    [day, own_date[0] if own_date else day, probe_id, amount],
                )

    def build(self, day: str) -> BuildReport:
        """Build the model for a date."""
        return transform.run_dbt(self.settings, ["run"], {"TIEOUT_ACCOUNTING_DATE": day})

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with database.connect(self.settings) as connection:
            return connection.execute(text).fetchall()

    def partition(self, day: str) -> tuple[int, bytes]:
        """Return a date's partition: the file it lies in, and its rows' bytes as they lie."""
        table = f"probe.probes_{day.replace('-', '')}"
        with database.connect(self.settings) as connection:
            (row,) = connection.execute(
                f"select pg_relation_filenode('{table}'::regclass)::bigint"
            ).fetchall()
            with connection.cursor().copy(f"copy {table} to stdout") as copy:
                return row[0], b"".join(bytes(part) for part in copy)

    def tables(self) -> set[str]:
        """Return the tables of the schema, the attached partitions marked with a plus."""
        return {
            name + ("+" if attached else "")
            for name, attached in self.query(
                "select relname, relispartition from pg_class"
                " where relnamespace = 'probe'::regnamespace and relkind in ('r', 'p')"
            )
        }


@pytest.fixture(scope="module")
def own_database(settings: Settings) -> Iterator[str]:
    """A database of this module's own, because a sealed date cannot be taken back."""
    parts = urlsplit(database.ensure_server(settings))
    admin = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database probe_tests")
    yield urlunsplit(parts._replace(path="/probe_tests"))
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop database probe_tests (force)")


@pytest.fixture(scope="module")
def project(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """The project, which dbt parses once."""
    place = tmp_path_factory.mktemp("probe")
    folder = place / "projects" / "project" / "dbt_project"
    (folder / "models").mkdir(parents=True)
    real = PROJECT_DIR / "dbt_project"
    shutil.copytree(real / "macros" / "materializations", folder / "macros" / "materializations")
    for name in ("dates.sql", "schemas.sql"):
        shutil.copy(real / "macros" / name, folder / "macros" / name)
    shutil.copy(real / "profiles.yml", folder / "profiles.yml")
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "models" / "probes.sql").write_text(MODEL)
    (folder / "models" / "probes.yml").write_text(CONTRACT)
    own = replace(
        load_settings({"TIEOUT_HOME": str(place / "home")}),
        project_dir=folder.parent,
        external_database_url=own_database,
    )
    own.ensure_dirs()
    database.migrate(own)
    with database.connect(own) as connection:
        connection.execute(
            "insert into control.accounting_days (accounting_date)"
            " select generate_series(date '2026-09-20', date '2026-09-30', '1 day')::date"
            " on conflict do nothing"
        )
    return Probe(own)


@pytest.fixture
def probe(project: Probe) -> Iterator[Probe]:
    """The project over an empty schema."""
    with database.connect(project.settings) as connection:
        connection.execute("create schema probe authorization tieout_owner")
        connection.execute("set role tieout_owner")
        connection.execute(
            "create table probe.inputs (built_on date, accounting_date date, probe_id text,"
            " amount_minor numeric, note text)"
        )
    try:
        yield project
    finally:
        with database.connect(project.settings) as connection:
            connection.execute("drop schema probe cascade")


def test_a_run_replaces_its_date_with_the_same_bytes_and_no_other(probe: Probe) -> None:
    probe.put(FIRST, ("b", 2), ("a", 1))
    probe.put(SECOND, ("c", 3))
    assert probe.build(FIRST).success
    assert probe.build(SECOND).success
    first_bytes = probe.partition(FIRST)[1]
    assert first_bytes == b"2026-09-24\ta\t1\tx\n2026-09-24\tb\t2\tx\n"

    # The same inputs in another order: the same bytes, in the order of the key.
    probe.put(FIRST, ("a", 1), ("b", 2))
    before = probe.partition(SECOND)
    assert probe.build(FIRST).success
    assert probe.partition(FIRST)[1] == first_bytes
    assert probe.partition(SECOND) == before

    # Other inputs of one date: that date's rows, all of them, and no other's.
    probe.put(FIRST, ("z", 26))
    probe.put(SECOND, ("y", 25))
    assert probe.build(FIRST).success
    assert probe.partition(FIRST)[1] == b"2026-09-24\tz\t26\tx\n"
    assert probe.partition(SECOND) == before
    assert probe.tables() == {"inputs", "probes", "probes_20260924+", "probes_20260925+"}
    assert probe.query("select count(*) from probe.probes") == [(2,)]


def test_an_empty_date_has_an_empty_partition(probe: Probe) -> None:
    assert probe.build(FIRST).success
    assert probe.partition(FIRST)[1] == b""
    assert probe.tables() == {"inputs", "probes", "probes_20260924+"}


def test_a_build_says_how_many_rows_each_model_made(probe: Probe) -> None:
    probe.put(FIRST, ("a", 1), ("b", 2))
    with_view = probe.change("shown.sql", "{{ config(materialized='view') }} select 1 as one")
    report = with_view.build(FIRST)
    runs = {run.name: (run.status, run.rows) for run in report.model_runs}
    assert runs == {"probe.probes": ("success", 2), "probe.shown": ("success", None)}
    assert all(0 < run.seconds <= report.seconds for run in report.model_runs)

    probe.put(FIRST, ("a", -1))
    (run,) = probe.build(FIRST).model_runs
    assert (run.name, run.status, run.rows) == ("probe.probes", "error", None)
    assert str(run).endswith(" s  error")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        pytest.param([("a", -1)], "probes_amount", id="a check"),
        pytest.param([("a", "1.5")], "amount_minor", id="a fraction of a minor unit"),
        pytest.param([("a", None)], "amount_minor", id="a missing amount"),
        pytest.param([("a", 1), ("a", 2)], "pkey", id="a key twice"),
        pytest.param([("a", 1, SECOND)], "partition constraint", id="a row of another date"),
        pytest.param([("a", 1, None)], "accounting_date", id="a row without a date"),
    ],
)
def test_what_breaks_the_contract_leaves_the_old_partition(
    probe: Probe, rows: list[tuple[object, ...]], says: str
) -> None:
    probe.put(FIRST, ("old", 7))
    assert probe.build(FIRST).success
    before = probe.partition(FIRST)
    tables = probe.tables()

    probe.put(FIRST, *rows)
    report = probe.build(FIRST)
    assert not report.success
    assert says in report.failures[0].message
    assert probe.partition(FIRST) == before
    assert probe.tables() == tables

    # And the next good run goes through.
    probe.put(FIRST, ("new", 8))
    assert probe.build(FIRST).success
    assert probe.partition(FIRST)[1] == b"2026-09-24\tnew\t8\tx\n"


def _other_type(contract: str) -> str:
    return contract.replace("name: note, data_type: text", "name: note, data_type: date")


def _more_columns(contract: str) -> str:
    return contract + "      - {name: other, data_type: text}\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        pytest.param("probes.yml", _more_columns(CONTRACT), "other is missing", id="query lacks"),
        pytest.param(
            "probes.sql",
            MODEL.replace("    note\n", "    note,\n    1 as more\n"),
            "more is not in the contract",
            id="query has more",
        ),
        pytest.param("probes.yml", _other_type(CONTRACT), "note is", id="another type"),
        pytest.param(
            "probes.yml",
            CONTRACT.replace("contract: {enforced: true}", "tags: [x]"),
            "needs an enforced contract",
            id="no contract",
        ),
        pytest.param(
            "probes.sql",
            MODEL.replace(", partition_by='accounting_date'", ""),
            "partition_by",
            id="no partition",
        ),
    ],
)
def test_a_query_that_is_not_its_contract_is_refused(
    probe: Probe, name: str, text: str, says: str
) -> None:
    report = probe.change(name, text).build(FIRST)
    assert not report.success
    assert says in report.failures[0].message
    assert probe.tables() == {"inputs"}


def test_a_contract_that_changed_under_the_table_is_refused(probe: Probe) -> None:
    probe.put(FIRST, ("a", 1))
    assert probe.build(FIRST).success
    before = probe.partition(FIRST)
    changed = probe.change("probes.yml", _more_columns(CONTRACT)).change(
        "probes.sql", MODEL.replace("    note\n", "    note,\n    'y' as other\n")
    )
    report = changed.build(FIRST)
    assert not report.success
    assert "Migrate the table" in report.failures[0].message
    assert probe.partition(FIRST) == before


def test_a_run_without_a_date_is_refused(probe: Probe) -> None:
    report = transform.run_dbt(probe.settings, ["run"], {"TIEOUT_ACCOUNTING_DATE": "yesterday"})
    assert not report.success
    assert "not a date" in report.failures[0].message


@pytest.mark.parametrize(
    ("day", "says"),
    [
        pytest.param("", "not a date", id="none"),
        pytest.param("1970-01-01", "stands for no date", id="the placeholder of setup"),
        pytest.param("2026-02-30", "out of range", id="no day of the calendar"),
        pytest.param("2026-10-01", "is not known: no close of it was started", id="unknown"),
    ],
)
def test_a_date_that_is_none_is_refused(probe: Probe, day: str, says: str) -> None:
    probe.put("2026-10-01", ("a", 1))
    report = probe.build(day)
    assert not report.success
    assert says in report.failures[0].message
    assert probe.tables() == {"inputs"}


@pytest.mark.parametrize("flag", ["--empty", "--sample=1 day"])
def test_a_run_of_no_rows_is_refused(probe: Probe, flag: str) -> None:
    probe.put(FIRST, ("a", 1))
    assert probe.build(FIRST).success
    before = probe.partition(FIRST)
    report = transform.run_dbt(probe.settings, ["run", flag], {"TIEOUT_ACCOUNTING_DATE": FIRST})
    assert not report.success
    assert f"is not built with {flag.partition('=')[0]}" in report.failures[0].message
    assert probe.partition(FIRST) == before


def changes(key: str, day: str) -> list[str]:
    """Every kind of statement that would change the rows of a date, by partition and by parent."""
    partition = f"probe.probes_{day.replace('-', '')}"
    row = f"values ('{day}', 'z', 1, 'forged')"
    return [
        f"insert into {partition} {row}",
        f"insert into probe.probes {row}",
        f"update {partition} set note = 'forged'",
        f"update probe.probes set note = 'forged' where {key} = '{day}'",
        f"update probe.probes set {key} = '{day}' where {key} = '{FIRST}'",
        f"update probe.probes set {key} = '{FIRST}', probe_id = 'q' where {key} = '{day}'",
        f"delete from {partition}",
        f"delete from probe.probes where {key} = '{day}'",
        f"truncate {partition}",
        "truncate probe.probes",
        f"merge into probe.probes using (values (1)) as one (n) on {key} = '{day}'"
        " when matched then delete",
    ]


def assert_it_stays(probe: Probe, key: str, day: str, says: str) -> None:
    """Neither a build nor a statement changes the date; another date changes as before."""
    before = probe.partition(day)
    probe.put(day, ("other", 2))
    report = transform.run_dbt(probe.settings, ["run"], {f"TIEOUT_{key.upper()}": day})
    assert not report.success
    assert f"is not computed: {says}" in report.failures[0].message
    for statement in changes(key, day):
        with (
            database.connect(probe.settings) as connection,
            pytest.raises(psycopg.errors.RestrictViolation, match=says),
        ):
            connection.execute(statement)
    assert probe.partition(day) == before
    report = transform.run_dbt(probe.settings, ["run"], {f"TIEOUT_{key.upper()}": FIRST})
    assert report.success
    with database.connect(probe.settings) as connection:
        changed = connection.execute("update probe.probes set note = 'y' where probe_id = 'first'")
        assert changed.rowcount == 1


def test_a_sealed_date_stays_as_it_is(probe: Probe) -> None:
    probe.put(SEALED, ("a", 1))
    probe.put(FIRST, ("first", 1))
    assert probe.build(SEALED).success
    assert probe.build(FIRST).success
    with database.connect(probe.settings) as connection:
        for state in ("closed", "sealed"):
            connection.execute(
                "update control.accounting_days set state = %s where accounting_date = %s",
                [state, SEALED],
            )
    assert_it_stays(probe, "accounting_date", SEALED, f"accounting date {SEALED} is sealed")


def test_the_statements_of_a_paid_date_stay_and_what_tells_of_it_goes_on(probe: Probe) -> None:
    by_payment = MODEL.replace("accounting_date", "payment_date").replace(
        "    payment_date,\n", "    accounting_date as payment_date,\n"
    )
    paying = probe.change("probes.yml", CONTRACT.replace("accounting_date", "payment_date"))
    paying = paying.change("probes.sql", by_payment)
    paying.put(PAID, ("a", 1))
    paying.put(FIRST, ("first", 1))
    for day in (PAID, FIRST):
        report = transform.run_dbt(paying.settings, ["run"], {"TIEOUT_PAYMENT_DATE": day})
        assert report.success, report.failures
    with database.connect(paying.settings) as connection:
        for state in ("closed", "sealed"):
            connection.execute(
                "update control.accounting_days set state = %s where accounting_date = %s",
                [state, "2026-09-20"],
            )
        seal(connection, "2026-09-20", "unionpay", PAID)
    assert_it_stays(paying, "payment_date", PAID, f"payment date {PAID} is paid")

    # The bank's matches and the payouts' status are of the payment date, too, and go on.
    told = paying.change(
        "probes.sql",
        by_payment.replace("'payment_date')", "'payment_date', tags=['outcomes'])"),
    )
    with database.connect(told.settings) as connection:
        connection.execute("drop table probe.probes")
    for rows in ([("a", 1)], [("b", 2)]):
        told.put(PAID, *rows)
        report = transform.run_dbt(told.settings, ["run"], {"TIEOUT_PAYMENT_DATE": PAID})
        assert report.success, report.failures
    assert told.query("select probe_id from probe.probes") == [("b",)]


def test_a_payment_date_before_every_accounting_date_is_refused(probe: Probe) -> None:
    changed = probe.change("probes.yml", CONTRACT.replace("accounting_date", "payment_date"))
    changed = changed.change("probes.sql", MODEL.replace("accounting_date", "payment_date"))
    report = transform.run_dbt(changed.settings, ["run"], {"TIEOUT_PAYMENT_DATE": "2026-09-20"})
    assert not report.success
    assert "pays nothing" in report.failures[0].message


def test_setup_makes_the_table_without_a_partition(probe: Probe) -> None:
    dates = {"TIEOUT_PARENTS_ONLY": "yes", "TIEOUT_ACCOUNTING_DATE": "1970-01-01"}
    assert transform.run_dbt(probe.settings, ["run"], dates).success
    assert probe.tables() == {"inputs", "probes"}
    assert probe.query("select obj_description('probe.probes'::regclass)") == [("Probes.",)]


def test_the_table_is_described_when_it_is_made_and_by_the_setup(probe: Probe) -> None:
    """A date that makes the table describes it; the next ones leave that to the setup."""
    described = "select obj_description('probe.probes'::regclass)"
    probe.put(FIRST, ("a", 1))
    probe.put(SECOND, ("b", 2))
    assert probe.build(FIRST).success
    assert probe.query(described) == [("Probes.",)]
    with database.connect(probe.settings) as connection:
        connection.execute("comment on table probe.probes is 'Another text.'")
    assert probe.build(SECOND).success
    assert probe.query(described) == [("Another text.",)]
    dates = {"TIEOUT_PARENTS_ONLY": "yes", "TIEOUT_ACCOUNTING_DATE": "1970-01-01"}
    assert transform.run_dbt(probe.settings, ["run"], dates).success
    assert probe.query(described) == [("Probes.",)]


def test_builds_of_different_dates_at_once(probe: Probe, tmp_path: Path) -> None:
    """All start on a table that does not exist yet, and build side by side."""
    dates = (FIRST, SECOND, "2026-09-26")
    for day in dates:
        probe.put(day, *[(f"{day}-{number:04}", number) for number in range(2_000)])
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                BUILD_IN_A_PROCESS,
                str(probe.settings.external_database_url),
                str(probe.settings.project_dir),
                str(tmp_path / f"home-{day}"),
                day,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for day in dates
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    counts = probe.query(
        "select accounting_date::text, count(*), sum(amount_minor) from probe.probes"
        " group by 1 order by 1"
    )
    assert counts == [(day, 2_000, 1_999_000) for day in dates]
    assert probe.tables() == {"inputs", "probes"} | {
        f"probes_{day.replace('-', '')}+" for day in dates
    }
