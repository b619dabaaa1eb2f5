"""Days that somebody lies about: a small acquirer's home, copied for each attack; what came of it.

A template home is simulated once: its first date is closed, paid and answered, the files of the
next two dates lie in the inbox. Each attack gets a copy of the home and of its database, changes
files (or rows) there, and lets the steps of a close and of a payment run. All of it is the
product's own code (`closing`, `paying`, `outcomes`, landing, Great Expectations, payouts), with two
shortcuts: what dbt sends to the database is recorded once on an honest copy, and sent again to the
copies; and no page of Data Docs is written there (docs/decisions/0045-attacks-on-a-fast-path.md).
Nothing here knows a table the product does not show to people; amounts come from the payment files
in the outbox.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import psycopg
from lxml import etree

import prepared_homes
from database_copies import copied
from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings, load_settings
from tieout.dates import days
from tieout.runs import answers, closing, paying, steps, transform
from tieout.simulator import sample

SEED = 7
DAYS = 3
TRANSACTIONS = 60
MERCHANTS = 8
# A Monday and the two days after it: each is paid on the next day.
FIRST = date(2026, 9, 21)
DAY = FIRST + timedelta(days=1)  # the date that is attacked
PAYMENT = DAY + timedelta(days=1)
NEXT_DAY, NEXT_PAYMENT = PAYMENT, PAYMENT + timedelta(days=1)
OWNER = "attacks"
CLOSE_STEPS = (
    "ready", "claim", "fetch", "land", "complete", "build", "check", "publish", "release",
)  # fmt: skip
PAY_STEPS = (
    "ready", "claim", "land_bank", "build", "gate", "agreed", "instruct", "submit", "publish",
    "release",
)  # fmt: skip
OUTCOME_STEPS = ("ready", "claim", "land", "apply", "send", "build", "publish", "release")
RUNS: Mapping[str, tuple[ModuleType, Sequence[str]]] = {
    days.ACCOUNTING_CLOSE: (closing, CLOSE_STEPS),
    days.SETTLEMENT_PAYOUT: (paying, PAY_STEPS),
    days.PAYOUT_OUTCOMES: (answers, OUTCOME_STEPS),
}
# What dbt asks only to write the next statement, and what nothing computed depends on. To put a
# partition in is a question by its form.
_NOT_REPLAYED = re.compile(
    r"\s*(/\*.*?\*/)?\s*(select(?!\s+control\.swap_partition)|comment on|begin|commit)\b",
    re.I | re.S,
)
# dbt writes the database's name into each statement.
_DATABASE = '"<<database>>"'
_NAMESPACE = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}
_RECORDED = "recorded.pickle"
_COPIED = ("inbox", "outbox", "secrets", "archive", "truth", "sample.json")


# --- the SQL of a day, recorded once ------------------------------------------------------------


@dataclass
class Node:
    """A model or a test of dbt, and the statements it sent, in order."""

    name: str
    statements: list[str] = field(default_factory=list)

    @property
    def is_test(self) -> bool:
        """Whether it is a test: its only statement counts what does not hold."""
        return self.name.startswith("test.")


Recording = dict[tuple[str, ...], list[Node]]


@contextmanager
def recording(into: Recording) -> Iterator[None]:
    """Run dbt as ever, one node after the other, and note what each node sends."""
    from dbt.adapters.sql.connections import SQLConnectionManager

    real_run, real_query = transform.run_dbt, SQLConnectionManager.add_query
    nodes: dict[str, Node] = {}
    database_of: list[str] = []

    def add_query(manager: Any, text: str, *arguments: Any, **named: Any) -> Any:
        name = str(manager.get_thread_connection().name)
        if name.startswith(("model.", "test.")):
            node = nodes.setdefault(name, Node(name))
            if node.is_test or not _NOT_REPLAYED.match(text):
                node.statements.append(text.replace(f'"{database_of[0]}"', _DATABASE))
        return real_query(manager, text, *arguments, **named)

    def run_dbt(
        settings: Settings, arguments: list[str], dates: Mapping[str, str]
    ) -> transform.BuildReport:
        nodes.clear()
        database_of[:] = [urlsplit(database.ensure_server(settings)).path.lstrip("/")]
        report = real_run(settings, [*arguments, "--threads", "1"], dates)
        into[_key(arguments, dates)] = [
            replace(node, statements=_without_transactions(node)) for node in nodes.values()
        ]
        return report

    SQLConnectionManager.add_query = add_query  # type: ignore[method-assign]
    transform.run_dbt = run_dbt
    try:
        yield
    finally:
        SQLConnectionManager.add_query = real_query  # type: ignore[method-assign]
        transform.run_dbt = real_run


@contextmanager
def replaying(recorded: Recording) -> Iterator[None]:
    """Send the recorded statements wherever the product would start dbt; dbt where none are."""
    real_run = transform.run_dbt

    def run_dbt(
        settings: Settings, arguments: list[str], dates: Mapping[str, str]
    ) -> transform.BuildReport:
        nodes = recorded.get(_key(arguments, dates))
        if nodes is None:
            return real_run(settings, arguments, dates)
        failures = _replay(settings, nodes)
        models = sum(not node.is_test for node in nodes)
        return transform.BuildReport(
            " ".join(arguments), models, len(nodes) - models, 0.0, failures
        )

    transform.run_dbt = run_dbt
    try:
        with _without_pages():
            yield
    finally:
        transform.run_dbt = real_run


@contextmanager
def _without_pages() -> Iterator[None]:
    """Let the gate look and decide, and write no page of what it saw: nobody reads an attack's."""
    from great_expectations.data_context import AbstractDataContext

    real = AbstractDataContext.build_data_docs
    AbstractDataContext.build_data_docs = lambda *_, **__: {}  # type: ignore[method-assign]
    try:
        yield
    finally:
        AbstractDataContext.build_data_docs = real  # type: ignore[method-assign]


def _key(arguments: Sequence[str], dates: Mapping[str, str]) -> tuple[str, ...]:
    return (*arguments, *(f"{name}={value}" for name, value in sorted(dates.items())))


def _without_transactions(node: Node) -> list[str]:
    if not node.is_test:
        return node.statements
    return [text for text in node.statements if not re.match(r"\s*(begin|commit)\b", text, re.I)]


def _replay(settings: Settings, nodes: Sequence[Node]) -> tuple[transform.BuildFailure, ...]:
    """Run each node in a transaction of its own; stop at the first that fails, as a build does."""
    with database.connect(settings, autocommit=True) as connection:
        # As dbt's profile says.
        connection.execute(f"set role tieout_{settings.role or 'owner'}")  # type: ignore[call-overload]
        for node in nodes:
            try:
                with connection.transaction():
                    message = _run_node(connection, node)
            except psycopg.Error as error:
                message = str(error)
            if message:
                kind, _, name = node.name.partition(".")
                return (transform.BuildFailure(name.removeprefix("tieout."), kind, message),)
    return ()


def _run_node(connection: psycopg.Connection[Any], node: Node) -> str:
    for text in node.statements:
        here = text.replace(_DATABASE, f'"{connection.info.dbname}"')
        cursor = connection.execute(here)  # type: ignore[call-overload]
    if not node.is_test:
        return ""
    row = cursor.fetchone()
    assert row is not None, f"{node.name} counted nothing"
    failures, _, should_error = row
    return f"[{failures} rows]" if should_error else ""


# --- the template and its copies ----------------------------------------------------------------


@dataclass(frozen=True)
class Template:
    """The home everything is copied from, and the recorded SQL of the dates after its first."""

    settings: Settings
    recorded: Recording


def build_template(home: Path, prepared: Path) -> None:
    """Simulate, close, pay and answer the first date; record the next two on an honest copy.

    Leaves a stopped home, and the recording in it, for each worker to `open_template` a copy of.
    """
    settings = prepared_homes.copy(prepared, home)
    try:
        recorded = _build(settings)
    finally:
        database.stop_server(settings)
    (home / _RECORDED).write_bytes(pickle.dumps(recorded))


def open_template(home: Path) -> Template:
    """Start the server of a copied template."""
    settings = load_settings({"TIEOUT_HOME": str(home)})
    prepared_homes.start_carelessly(settings)
    return Template(settings, pickle.loads((home / _RECORDED).read_bytes()))


def _build(settings: Settings) -> Recording:
    prepared_homes.start_carelessly(settings)
    _simulate(settings)
    world = World(settings)
    world.must(world.close(FIRST))
    approve_first_list(settings)
    world.must(world.pay(DAY))
    world.evening(DAY)
    recorded: Recording = {}
    template = Template(settings, recorded)
    with copy_of(template, settings.home.with_name("recorded")) as honest, recording(recorded):
        for day in (DAY, NEXT_DAY):
            honest.must(honest.close(day))
            honest.must(honest.pay(day + timedelta(days=1)))
            honest.evening(day + timedelta(days=1))
    return recorded


def approve_first_list(settings: Settings) -> None:
    """Give what two people give once, before the first payment, so that an honest day is paid.

    Everything that the product asks of people before an ordinary day belongs here.
    """
    sample.approve_first_list(settings, lambda _: None)


def _simulate(settings: Settings) -> None:
    from tieout.simulator import simulate

    options = sample.SampleOptions(
        seed=SEED, first=FIRST, days=DAYS, transactions=TRANSACTIONS, merchants=MERCHANTS
    )
    simulate(
        settings.inbox_url.removeprefix("file://"), SEED, FIRST, DAYS, TRANSACTIONS, MERCHANTS, [],
        settings.truth_dir, deliver_through=DAY,
    )  # fmt: skip
    sample.note_sample(settings, options)


@contextmanager
def copy_of(template: Template, home: Path) -> Iterator[World]:
    """Give an attack a home and a database of its own."""
    name = f"attack_{re.sub(r'[^a-z0-9]', '_', home.name.lower())}_{_next_number()}"
    with copied(template.settings, home, name) as settings:
        for entry in _COPIED:
            origin, target = template.settings.home / entry, home / entry
            if origin.is_dir():
                shutil.copytree(origin, target, dirs_exist_ok=True)
            elif origin.exists():
                shutil.copy2(origin, target)
        try:
            with replaying(template.recorded):
                yield World(settings)
        finally:
            shutil.rmtree(home, ignore_errors=True)


_numbers = iter(range(1, 1_000_000))


def _next_number() -> int:
    return next(_numbers)


# --- what an attack does and sees ---------------------------------------------------------------


@dataclass(frozen=True)
class Payment:
    """One credit transfer of a payment file: whose statement, to which account, how much (fen)."""

    end_to_end_id: str
    account_id: str
    account_number: str
    name: str
    amount_minor: int


@dataclass(frozen=True)
class Run:
    """How a run ended: the step that failed and what it said; both empty where it went through."""

    kind: str
    day: date
    failed_step: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the run went through."""
        return not self.failed_step


@dataclass
class World:
    """A copy of the template in the hands of somebody who lies."""

    settings: Settings

    # What people run.

    def close(self, day: date) -> Run:
        """Close an accounting date."""
        return self._run(days.ACCOUNTING_CLOSE, day)

    def pay(self, day: date) -> Run:
        """Pay a payment date."""
        sample.bank_morning(self.settings, day)
        return self._run(days.SETTLEMENT_PAYOUT, day)

    def read_outcomes(self, day: date) -> Run:
        """Read what the bank said in the evening."""
        return self._run(days.PAYOUT_OUTCOMES, day)

    def evening(self, day: date) -> None:
        """Let the simulated bank answer the payment date, and read it."""
        from tieout.simulator import bank_answers

        bank_answers.answer(self.settings, day)
        self.must(self.read_outcomes(day))

    def close_and_pay(self, day: date = DAY) -> Run:
        """Close a date and pay it on the next; return the run that failed, or the payment's."""
        closed = self.close(day)
        return self.pay(day + timedelta(days=1)) if closed.ok else closed

    def must(self, run: Run) -> None:
        """Demand that a run went through."""
        assert run.ok, f"{run.kind} of {run.day} failed at {run.failed_step}: {run.message}"

    def _run(self, kind: str, day: date) -> Run:
        module, names = RUNS[kind]
        name = names[0]
        try:
            for name in names[:-1]:
                reason = self.step(module, kind, day, name)
                if name == "ready" and isinstance(reason, str):
                    return Run(kind, day, "ready", reason)
        except TieoutError as error:
            return Run(kind, day, name, str(error))
        except (psycopg.Error, days.NothingToDo, ValueError) as error:
            return Run(kind, day, name, f"{type(error).__name__}: {error}")
        finally:
            days.release(self.settings, kind, day, OWNER)
        return Run(kind, day)

    def step(
        self, module: ModuleType, kind: str, day: date, name: str, *, waits: bool = False
    ) -> object:
        """Run one step of a run; of the scheduler's, which may wait, or of a command's."""
        function: Callable[[steps.Step], object] = getattr(module, name)
        settings = self.settings.acting_as(steps.role_of(kind, name))
        return function(steps.Step(settings, kind, day, OWNER, name, datetime.now(UTC), waits))

    # Where things lie.

    @property
    def inbox(self) -> Path:
        """The inbox as a folder."""
        return Path(self.settings.inbox_url.removeprefix("file://"))

    @property
    def outbox(self) -> Path:
        """The outbox as a folder."""
        return Path(self.settings.outbox_url.removeprefix("file://"))

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with database.connect(self.settings) as connection:
            return connection.execute(query, parameters).fetchall()

    def execute(self, query: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement and commit it."""
        with database.connect(self.settings) as connection:
            connection.execute(query, parameters)

    # What came of it.

    def payments(self, payment_date: date | None = None) -> list[Payment]:
        """Return what the payment files in the outbox order the bank to pay."""
        folder = "*" if payment_date is None else f"{payment_date:%Y%m%d}"
        found = []
        for path in sorted(self.outbox.glob(f"payouts/{folder}/pain001_*.xml")):
            for line in etree.parse(path).iterfind(".//p:CdtTrfTxInf", _NAMESPACE):
                found.append(_payment(line))
        return found

    def payment_files(self, payment_date: date) -> dict[str, str]:
        """Return the sha256 of each payment file of a date, by its name."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.outbox.glob(f"payouts/{payment_date:%Y%m%d}/pain001_*")
        }

    def paid(self, payment_date: date | None = None) -> dict[str, int]:
        """Return the sum ordered for each account."""
        totals: dict[str, int] = {}
        for payment in self.payments(payment_date):
            totals[payment.account_id] = totals.get(payment.account_id, 0) + payment.amount_minor
        return totals

    def total_paid(self, payment_date: date | None = None) -> int:
        """Return the sum of all payment files."""
        return sum(self.paid(payment_date).values())

    def quarantine(self) -> list[str]:
        """Return the reason of each file or row that a person has to look at."""
        reasons = self.rows(
            "select status || ' ' || file_name || ': ' || coalesce(reason, '')"
            " from control.channel_files"
            " where status in ('quarantined', 'conflict', 'refused') order by 1"
        )
        return [str(reason) for (reason,) in reasons]


def _payment(line: Any) -> Payment:
    def text(path: str) -> str:
        return str(line.findtext(path, namespaces=_NAMESPACE) or "")

    identifier = text("p:PmtId/p:EndToEndId")
    amount = text("p:Amt/p:InstdAmt")
    whole, _, cents = amount.partition(".")
    return Payment(
        end_to_end_id=identifier,
        account_id=identifier.split("-")[1],
        account_number=text("p:CdtrAcct/p:Id/p:Othr/p:Id") or text("p:CdtrAcct/p:Id/p:IBAN"),
        name=text("p:Cdtr/p:Nm"),
        amount_minor=int(whole) * 100 + int(cents.ljust(2, "0") or 0),
    )


# --- what people are told -----------------------------------------------------------------------

# Tables whose rows are for people to act on, whatever they are called: found in the catalogue.
_TOLD = re.compile(
    r"refus|quarantin|conflict|finding|hold|held|withh|unexplained|unclassified|suspend|waiting"
    r"|pending|change|unconfirmed|doubt|challeng|dispute"
)
# Columns that differ between two homes that say the same, as do ids made of a file and a line.
_SAYS_NOTHING = (
    "file_id", "line_number", "file_url", "sha256", "size_bytes", "landed_at", "created_at",
    "decided_at", "recorded_at", "account_number_ciphertext", "account_name_ciphertext",
)  # fmt: skip
_TOLD_SCHEMAS = ("control", "reconciliation", "clearing", "settlement", "gate", "payout", "ledger")


@dataclass(frozen=True)
class Outcome:
    """How an attacked day ended: what was paid to whom, what ended the run, and who was told.

    What is told is counted: a second open item of the same amount says as much as the first.
    """

    run: Run | None
    paid: Mapping[str, int]
    account_numbers: Mapping[str, frozenset[str]]
    told: Counter[str]

    @property
    def total(self) -> int:
        """The sum paid, fen."""
        return sum(self.paid.values())

    def heard(self, honest: Outcome) -> bool:
        """Whether a person was told anything that an honest day does not tell."""
        return (self.run is not None and not self.run.ok) or bool(self.told - honest.told)

    def gains(self, honest: Outcome) -> dict[str, int]:
        """How much more than on the honest day was paid, by account; empty where nobody gained."""
        return {
            account: amount - honest.paid.get(account, 0)
            for account, amount in self.paid.items()
            if amount > honest.paid.get(account, 0)
        }

    def misdirected(self, honest: Outcome) -> dict[str, frozenset[str]]:
        """Bank accounts that were paid and are not the ones the account was paid to before."""
        found = {
            account: numbers - honest.account_numbers.get(account, frozenset())
            for account, numbers in self.account_numbers.items()
        }
        return {account: numbers for account, numbers in found.items() if numbers}

    def summary(self, honest: Outcome) -> str:
        """One line for the table of what an attack did."""
        if self.run is not None and not self.run.ok:
            why = self.run.message.split("why: ")[-1].splitlines()[0].strip()
            end = f"{self.run.failed_step} stopped it: {why[:150]}"
        else:
            end = "paid"
        told = sorted((self.told - honest.told).elements())
        gains = {account: amount / 100 for account, amount in self.gains(honest).items()}
        return (
            f"{end}; total {self.total / 100:.2f} (honest {honest.total / 100:.2f}),"
            f" gains {gains},"
            f" elsewhere {len(self.misdirected(honest))}, told {len(told)}: {told[:4]}"
        )


def outcome_of(world: World, run: Run | None, payment_date: date = PAYMENT) -> Outcome:
    """Return how a payment date ended."""
    numbers: dict[str, set[str]] = {}
    for payment in world.payments():
        numbers.setdefault(payment.account_id, set()).add(payment.account_number)
    return Outcome(
        run=run,
        paid=world.paid(payment_date),
        account_numbers={account: frozenset(found) for account, found in numbers.items()},
        told=Counter(_told(world)),
    )


def _told(world: World) -> Iterator[str]:
    """Say what lies before people: held files, open items, withheld statements, listed rows."""
    yield from world.quarantine()
    with database.connect(world.settings) as connection:
        tables = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema = any(%s) order by 1",
            [list(_TOLD_SCHEMAS)],
        ).fetchall()
        for (table,) in tables:
            # A partition has its date at the end of its name; the parent has its rows.
            if _TOLD.search(table.partition(".")[2]) and not re.search(r"_\d{8}$", table):
                rows = connection.execute(
                    "select md5(regexp_replace((to_jsonb(t) - %s::text[])::text,"
                    f" '[0-9a-f]{{16,}}(:[0-9]+)?', '', 'g')) from {table} as t",
                    [list(_SAYS_NOTHING)],
                )
                yield from (f"{table} {digest[:12]}" for (digest,) in rows.fetchall())
        for query in (
            "select 'open item ' || concat_ws(' ', accounting_date, side, channel, amount_minor,"
            " transaction_type) from reconciliation.suspense_items"
            " where status in ('in_doubt', 'one_sided')",
            "select 'statement ' || concat_ws(' ', payment_date, account_id, payable_status)"
            " from settlement.settlement_statements where payable_status = 'withheld'",
            "select 'freeze ' || concat_ws(' ', payment_date, freeze_id, contradiction)"
            " from settlement.freezes where contradiction is not null",
        ):
            yield from (str(text) for (text,) in connection.execute(query).fetchall())
