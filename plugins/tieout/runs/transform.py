"""Runs dbt: the models that compute a close, a payment date and its outcomes.

dbt runs inside this process (``dbtRunner``), so that a week of closes imports and parses it once.
The business date reaches the models through the environment, never through ``--vars``: a changed
variable would make dbt parse the whole project again for every date
(docs/decisions/0004-date-by-environment.md).
One process runs one dbt build at a time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tieout.core.errors import DatabaseError, TieoutError
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.database import connect, has_administrator, has_table, session_url, went_away
from tieout.dates.days import OWNER_VARIABLE
from tieout.dates.workdays import previous_working_day

__all__ = [
    "BuildFailure",
    "BuildReport",
    "ModelRun",
    "build_close",
    "build_docs",
    "build_outcomes",
    "build_payment",
    "build_restatement",
    "run_dbt",
    "seed",
]

SAMPLE_ROWS = 5
# What `control.begin_restatement()` puts in front of a schema's name while it is computed.
BESIDE = "restate_work_"
_SOURCES_BESIDE = ("raw", "control")
_CONTROL_BESIDE = ("channel_files", "voucher_register")
# What PostgreSQL and its client say where the server is gone; dbt keeps the words, not the error.
_LOST_WORDS = (
    "server closed the connection",
    "connection to server at",
    "terminating connection",
    "the database system is",
    "connection already closed",
)
# Models render their date even where a run builds no date.
_EPOCH = {
    "TIEOUT_ACCOUNTING_DATE": "1970-01-01",
    "TIEOUT_PAYMENT_DATE": "1970-01-01",
    "TIEOUT_PREVIOUS_PAYMENT_DATE": "1970-01-01",
}
# What dbt parses under, whatever date is built on whatever server. It keeps what it parsed, and
# parses anew all that has seen another value: everything for another port, half for another date.
# Only the database's name stands in what it parses, so that is the home's.
_PARSING = {
    **_EPOCH,
    "TIEOUT_DBT_HOST": "none",
    "TIEOUT_DBT_PORT": "1",
    "TIEOUT_DBT_USER": "none",
    "TIEOUT_DBT_ROLE": "none",
    "DBT_ENV_SECRET_TIEOUT_PASSWORD": "none",
}
_MADE_BY_SETUP = ("reference.channels", "control.setups")
# The manifest is that of the project, not of the date: `seed` writes it.
_NO_MANIFEST = "--no-write-json"
_ONE_BUILD_AT_A_TIME = threading.Lock()
_manifests: dict[tuple[str, str], Any] = {}


@dataclass(frozen=True, slots=True)
class BuildFailure:
    """One model or test that did not hold: its name, what it protects, and a few of its rows."""

    name: str
    kind: str
    message: str
    rows: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = "".join(f"\n    {row}" for row in self.rows)
        return f"{self.kind} {self.name}: {self.message}{shown}"


@dataclass(frozen=True, slots=True)
class ModelRun:
    """One model or seed of a build, with the rows its table got; None for a view or a failure."""

    name: str
    status: str
    rows: int | None
    seconds: float

    def __str__(self) -> str:
        rows = "-" if self.rows is None else f"{self.rows:,}"
        ended = "" if self.status == "success" else f"  {self.status}"
        return f"{self.name:<56} {rows:>12} rows {self.seconds:>9.2f} s{ended}"


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What one dbt build did. ``seconds`` is wall time; models stand in the order they ended."""

    selection: str
    models: int
    tests: int
    seconds: float
    failures: tuple[BuildFailure, ...]
    model_runs: tuple[ModelRun, ...] = ()

    @property
    def success(self) -> bool:
        """Every model was built and every test held."""
        return not self.failures


def seed(settings: Settings, *, force: bool = False) -> BuildReport:
    """Load the reference data, create tables, and views before and behind them; once a version.

    The owner's work, whoever calls. The database keeps which version is loaded; a process that
    knows no administrator only asks for it.

    Raises:
        DatabaseError: another version is loaded, and this process may not load its own.
    """
    wanted = _setup_fingerprint(settings)
    loaded = _loaded_setup(settings)
    if wanted == loaded and not force:
        return BuildReport("tag:setup", 0, 0, 0.0, ())
    if not has_administrator(settings):
        raise DatabaseError(
            what="the database is not set up for this version of the program",
            where="control.setups",
            why=f"its reference data and models are {wanted[:12]}; what is loaded is "
            f"{loaded[:12] if loaded else 'none'}, and no administrator is known here",
            next_step="run the install job: tieout install, where TIEOUT_DATABASE_URL is set "
            "(docker compose up tieout-migrate)",
        )
    settings = settings.acting_as(None)
    # Tests on views alone would be picked with them, but they need the date of a run.
    report = run_dbt(
        settings,
        ["build", "--select", "tag:setup", "--exclude", "tag:close", "tag:payment", "tag:outcomes"],
        {},
    )
    _raise_on_failure(report, "the reference data could not be loaded")
    tables = run_dbt(
        settings,
        ["run", "--select", "config.materialized:dated_partition", "tag:views"],
        {"TIEOUT_PARENTS_ONLY": "yes", **_EPOCH},
    )
    _raise_on_failure(tables, "the tables could not be created")
    with connect(settings) as connection:
        connection.execute("set local role tieout_owner")
        connection.execute("insert into control.setups (setup_sha256) values (%s)", [wanted])
    return report


def build_close(settings: Settings, accounting_date: date, owner: str) -> BuildReport:
    """Compute the accounting date's partition of every table of the close.

    Args:
        settings: the installation.
        accounting_date: the date.
        owner: who holds the date's lease; the database asks it of whoever puts a partition in.

    Raises:
        TieoutError: a model failed or an invariant does not hold; nothing half-built is left, since
            each table's partition is swapped in whole.
    """
    settings = settings.acting_as("transform")
    with connect(settings) as connection:
        # The partitions point at the date's row; the close itself moves its state.
        connection.execute(
            "insert into control.accounting_days (accounting_date, state) values (%s, 'open')"
            " on conflict (accounting_date) do nothing",
            [accounting_date],
        )
    report = run_dbt(
        settings,
        ["build", "--select", "tag:close"],
        {"TIEOUT_ACCOUNTING_DATE": accounting_date.isoformat(), OWNER_VARIABLE: owner},
    )
    _list_models(report, f"the close of {accounting_date}")
    return _raise_on_failure(report, f"the close of {accounting_date} could not be computed")


def build_payment(settings: Settings, payment_date: date, owner: str) -> BuildReport:
    """Compute the statements, the balance equation and the gate's checks of ``payment_date``."""
    settings = settings.acting_as("transform")
    report = run_dbt(
        settings,
        ["build", "--select", "tag:payment"],
        {**_payment_environment(payment_date), OWNER_VARIABLE: owner},
    )
    _list_models(report, f"the payment date {payment_date}")
    return _raise_on_failure(report, f"the payment date {payment_date} could not be computed")


def build_outcomes(settings: Settings, payment_date: date, owner: str) -> BuildReport:
    """Compute what became of the payouts of ``payment_date``, and match its evening statement."""
    settings = settings.acting_as("transform")
    report = run_dbt(
        settings,
        ["build", "--select", "tag:outcomes"],
        {**_payment_environment(payment_date), OWNER_VARIABLE: owner},
    )
    _list_models(report, f"the outcomes of {payment_date}")
    return _raise_on_failure(report, f"the outcomes of {payment_date} could not be computed")


def build_restatement(settings: Settings, accounting_date: date) -> tuple[str, ...]:
    """Compute a sealed date beside its sealed rows, by the models of a close.

    `control.begin_restatement()` has made the schemas; nothing that is sealed is touched, whatever
    comes of it.

    Returns:
        The invariants of a close that the rows do not hold: with them the date would not close.

    Raises:
        TieoutError: a model failed.
    """
    settings = settings.acting_as("transform")
    dates = {"TIEOUT_ACCOUNTING_DATE": accounting_date.isoformat(), "TIEOUT_RESTATEMENT": "yes"}
    report = run_dbt(settings, ["run"], dates, is_beside=True)
    _list_models(report, f"the restatement of {accounting_date}")
    _raise_on_failure(report, f"{accounting_date} could not be restated")
    # A test of the payment may look at nothing but what a close reads, too.
    of_payments = ["--exclude", "tag:payment", "tag:outcomes"]
    tests = run_dbt(settings, ["test", *of_payments], dates, is_beside=True)
    for failure in tests.failures:
        _raise_if_lost(failure.message)
    return tuple(map(str, tests.failures))


def build_docs(settings: Settings) -> Path:
    """Write the dbt docs as one self-contained page; return its path."""
    if not has_administrator(settings):
        settings = settings.acting_as("transform")
    report = run_dbt(
        settings,
        ["docs", "generate", "--static"],
        _EPOCH,
    )
    _raise_on_failure(report, "the dbt docs could not be written")
    target = settings.docs_dir / "dbt" / "index.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(settings.dbt_dir / "target" / "static_index.html", target)
    return target


def run_dbt(
    settings: Settings,
    arguments: list[str],
    dates: Mapping[str, str],
    *,
    is_beside: bool = False,
) -> BuildReport:
    """Run one dbt command in this process against the home's database.

    Args:
        settings: the installation; its role makes what is made, the owner where it has none.
        arguments: dbt's command and its options, without paths.
        dates: environment variables with the business dates of the run, and who runs it.
        is_beside: build what a close builds in the schemas of a restatement.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  dbt takes seconds to import

    url = session_url(settings)
    role = f"tieout_{settings.role or 'owner'}"
    project = str(settings.project_dir / "dbt_project")
    paths = [
        "--project-dir",
        project,
        "--profiles-dir",
        project,
        "--target-path",
        str(settings.dbt_dir / "target"),
        "--log-path",
        str(settings.dbt_dir / "logs"),
        # What went wrong is in the report, and what dbt says of it in its log file.
        "--log-level",
        "none",
        "--log-level-file",
        "warn",
        "--no-use-colors",
    ]
    if arguments[0] == "build" or (arguments[0] == "test" and is_beside):
        paths += ["--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"]
    if arguments[0] == "build" or is_beside:
        paths += [_NO_MANIFEST]
    with (
        _ONE_BUILD_AT_A_TIME,
        _environment({**_connection_environment(url), "TIEOUT_DBT_ROLE": role, **dates}),
        _without_walking_the_stack(),
        _without_events_nobody_reads(),
    ):
        started = time.monotonic()
        key = (project, str(settings.dbt_dir))
        if key not in _manifests:
            with _environment(_PARSING):
                parse = ["parse", _NO_MANIFEST, *_without_build_options(paths)]
                parsed = dbtRunner().invoke(parse)
            if not parsed.success:
                raise _dbt_error("parse", parsed.exception)
            _manifests[key] = parsed.result
        # A run resolves references inside the manifest it is given: it gets a copy.
        manifest = _manifests[key].deepcopy()
        if is_beside:
            arguments = [*arguments, "--select", *_moved_beside(manifest)]
        outcome = dbtRunner(manifest=manifest).invoke([*arguments, *paths])
        seconds = time.monotonic() - started
    return _report(settings, " ".join(arguments), outcome, seconds)


def _moved_beside(manifest: Any) -> list[str]:
    """Move what a close reads and builds into the schemas of a restatement; return a selection.

    The models of a close, the views before them, the landed rows and the list of files. Reference
    data, people's decisions and payments are read where they are. The names of schemas are part of
    what dbt parsed, and half the project would be parsed anew for others.
    """
    wanted = [key for key, node in manifest.nodes.items() if "close" in node.tags]
    seen: set[str] = set()
    while wanted:
        key = wanted.pop()
        if key not in seen:
            seen.add(key)
            # Seeds and sources depend on nothing.
            found = getattr(manifest.nodes.get(key), "depends_on", None)
            wanted += getattr(found, "nodes", [])
    selection = ["tag:close"]
    for key in sorted(seen):
        node = manifest.nodes.get(key) or manifest.sources[key]
        kind = node.resource_type.value
        is_read = kind == "source" and node.schema in _SOURCES_BESIDE
        if is_read and node.schema == "control" and node.identifier not in _CONTROL_BESIDE:
            continue
        if kind == "model" and "close" not in node.tags:
            # What payments left is state of the dates before, like all that is sealed.
            if node.config.materialized != "view":
                continue
            selection.append(node.name)
        if kind == "model" or is_read:
            real, node.schema = node.schema, f"{BESIDE}{node.schema}"
            node.relation_name = (node.relation_name or "").replace(
                f'"{real}"', f'"{node.schema}"', 1
            )
    return selection


@contextmanager
def _without_walking_the_stack() -> Iterator[None]:
    """Keep dbt from asking, thirteen times a run, which module asks it for a flag's value.

    It reads the source of every frame of the stack, and for each looks through all modules that
    were imported: seconds under Airflow, for a word in an event that nobody reads.
    """
    from dbt_common.behavior_flags import BehaviorFlagRendered  # noqa: PLC0415

    real = BehaviorFlagRendered._default_source
    BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]
    try:
        yield
    finally:
        BehaviorFlagRendered._default_source = staticmethod(real)  # type: ignore[method-assign]


@contextmanager
def _without_events_nobody_reads() -> Iterator[None]:
    """Keep dbt from making a message of each event that its log file leaves out.

    Thousands a build, an eighth of the processor's time: it asks for the level after the message
    is made, with the time, the thread and all fields as text.
    """
    from dbt_common.events.base_types import EventLevel  # noqa: PLC0415
    from dbt_common.events.event_manager import EventManager  # noqa: PLC0415

    real = EventManager.fire_event
    left_out = {EventLevel.DEBUG, EventLevel.TEST, EventLevel.INFO}

    def fire_event(
        manager: EventManager, event: Any, level: Any = None, *rest: Any, **named: Any
    ) -> None:
        if (level or event.level_tag()) not in left_out:
            real(manager, event, level, *rest, **named)

    EventManager.fire_event = fire_event  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        EventManager.fire_event = real  # type: ignore[method-assign]


def _without_build_options(paths: list[str]) -> list[str]:
    return [*paths[: paths.index("--no-use-colors") + 1]]


def _report(settings: Settings, selection: str, outcome: Any, seconds: float) -> BuildReport:
    if outcome.exception is not None:
        _raise_if_lost(str(outcome.exception))
        raise _dbt_error(selection, outcome.exception)
    results = getattr(outcome.result, "results", None) or []
    failures = tuple(
        _failure(settings, result)
        for result in results
        if str(result.status) in ("error", "fail", "runtime error")
    )
    if not outcome.success and not failures:
        raise _dbt_error(selection, None)
    kinds = [str(getattr(result.node, "resource_type", "")) for result in results]
    return BuildReport(
        selection=selection,
        models=sum(kind in ("model", "seed") for kind in kinds),
        tests=kinds.count("test"),
        seconds=round(seconds, 3),
        failures=failures,
        model_runs=tuple(
            _model_run(result)
            for result, kind in zip(results, kinds, strict=True)
            if kind in ("model", "seed")
        ),
    )


def _model_run(result: Any) -> ModelRun:
    """Turn a dbt result into what the log says of it; PostgreSQL counts no rows for a view: -1."""
    rows = int(result.adapter_response.get("rows_affected", -1))
    is_table = result.node.config.materialized != "view" and str(result.status) == "success"
    return ModelRun(
        name=f"{result.node.schema}.{result.node.name}",
        status=str(result.status),
        rows=rows if is_table and rows >= 0 else None,
        seconds=float(result.execution_time),
    )


def _list_models(report: BuildReport, what: str) -> None:
    """Say in the run's log how long each model took and how many rows it made, failed ones too."""
    head = f"dbt built {what}: {report.models} models, {report.tests} tests, {report.seconds:.1f} s"
    # One text, so that what another process writes into the same log does not stand in between.
    say("\n".join([head, *(f"  {run}" for run in report.model_runs)]))


def _failure(settings: Settings, result: Any) -> BuildFailure:
    """Turn a dbt result into our own words, with a few rows of a test that found some."""
    kind = str(result.node.resource_type)
    message = " ".join(str(result.message or "").split())
    rows: tuple[str, ...] = ()
    if kind == "test" and str(result.status) == "fail" and result.node.compiled_code:
        message = f"{result.node.description or message} [{result.failures} rows]"
        rows = _sample_rows(settings, result.node.compiled_code)
    return BuildFailure(name=str(result.node.name), kind=kind, message=message, rows=rows)


def _sample_rows(settings: Settings, compiled_code: str) -> tuple[str, ...]:
    """The first rows a failed test found; a test selects keys and amounts, never card numbers."""
    with connect(settings) as connection:
        # The text is dbt's own compiled test, not input.
        cursor = connection.execute(f"select * from ({compiled_code}) as found limit {SAMPLE_ROWS}")
        names = [column.name for column in cursor.description or ()]
        return tuple(
            ", ".join(f"{name}={value}" for name, value in zip(names, row, strict=True))
            for row in cursor.fetchall()
        )


def _raise_on_failure(report: BuildReport, what: str) -> BuildReport:
    if report.success:
        return report
    for failure in report.failures:
        _raise_if_lost(failure.message)
    raise TieoutError(
        what=what,
        where=f"dbt {report.selection}",
        why="\n".join(str(failure) for failure in report.failures),
        next_step="correct the input the message names, land it again, and close the date again",
    )


def _raise_if_lost(words: str) -> None:
    """Raise what says that the server went away, where dbt's words say so.

    It carries the cause that Airflow tries again for; the inputs are not at fault.
    """
    said = [line for line in words.splitlines() if any(lost in line for lost in _LOST_WORDS)]
    if said:
        raise went_away(said[0]) from ConnectionError(said[0])


def _dbt_error(selection: str, exception: BaseException | None) -> TieoutError:
    return TieoutError(
        what="dbt could not run",
        where=f"dbt {selection}",
        why=str(exception) if exception is not None else "no result; see the home's dbt/logs",
        next_step="read the home's dbt/logs/dbt.log",
    )


def _payment_environment(payment_date: date) -> dict[str, str]:
    return {
        "TIEOUT_PAYMENT_DATE": payment_date.isoformat(),
        "TIEOUT_PREVIOUS_PAYMENT_DATE": previous_working_day(payment_date).isoformat(),
    }


def _connection_environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "TIEOUT_DBT_HOST": parts.hostname or "127.0.0.1",
        "TIEOUT_DBT_PORT": str(parts.port or 5432),
        "TIEOUT_DBT_USER": unquote(parts.username or ""),
        "TIEOUT_DBT_DBNAME": parts.path.lstrip("/"),
        "DBT_ENV_SECRET_TIEOUT_PASSWORD": unquote(parts.password or ""),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the block, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _setup_fingerprint(settings: Settings) -> str:
    """A hash over the seeds and models: what `tag:setup` is built from."""
    digest = hashlib.sha256()
    project = settings.project_dir / "dbt_project"
    for folder in ("seeds", "models", "macros"):
        for path in sorted((project / folder).rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(project).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _loaded_setup(settings: Settings) -> str | None:
    """Return the fingerprint of what was set up last; None where its tables are not there."""
    with connect(settings) as connection:
        if not all(has_table(connection, name) for name in _MADE_BY_SETUP):
            return None
        row = connection.execute(
            "select setup_sha256 from control.setups order by setup_id desc limit 1"
        ).fetchone()
    return None if row is None else str(row[0])
