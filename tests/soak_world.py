"""Histories of payouts under a bank that lies and a process that dies: `bin/soak` plays them.

A history is one statement from the passed gate to the end of its payouts. A wave is one payment
date in a database of its own: hundreds of histories, closed, gated and paid by the product's own
steps (`paying`, `answers`), with the shortcut of the attacks for dbt
(docs/decisions/0045-attacks-on-a-fast-path.md). The bank is `soak_bank.Bank`: plain Python that
knows which money really left and came back. What is drawn: what becomes of each payment, of each
status report, of each day's statement, of the morning's arrivals, and the moment at which a
process or the server dies. In the end `soak_ends` compares the product's books with the truth.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

import attack_world
import builds
import kept_connections
import prepared_homes
import server_deaths
import soak_draws
import soak_ends
from attack_world import Recording, Template, World
from soak_bank import Bank
from soak_draws import FIRST, LAST, PAYMENT, Draws
from tieout import database, payouts
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings, load_settings
from tieout.dates import days
from tieout.decisions import payouts as people
from tieout.files import store as file_store
from tieout.payouts import batches, submission
from tieout.runs import answers, paying, steps, transform
from tieout.simulator import sample

__all__ = [
    "Wave",
    "apart",
    "build_template",
    "open_template",
    "play",
    "play_killed",
    "play_plain",
    "server_cpu_seconds",
]

SEED = 11
PAYMENTS_PER_FILE = 4
READING = ("ready", "claim", "land", "apply", "send", "publish")
PAYING = ("ready", "claim", "land_bank", "build", "gate", "instruct", "submit")
# What an accident may cut off: these move money, the others only look.
PAYING_CUT = ("instruct", "submit")
READING_CUT = ("land", "apply", "send")
TRIES = 12
CHILD_SECONDS = 240  # dbt on a machine with other work to do
CUT_OFF, TOLD = 2, 3  # exit codes of a child: it failed; it told people of problems
_SIZE = "statements.txt"


# --- the template ---------------------------------------------------------------------------------


def build_template(home: Path, prepared: Path, merchants: int) -> None:
    """Simulate and close one date with so many merchants; record what dbt sends for its payment.

    Leaves a stopped home, with the recording in it.
    """
    settings = prepared_homes.copy(prepared, home)
    recorded: Recording = {}
    try:
        prepared_homes.start_carelessly(settings)
        _simulate(settings, merchants)
        world = World(settings)
        world.must(world.close(FIRST))
        attack_world.approve_first_list(settings)
        template = Template(settings, recorded)
        with (
            attack_world.copy_of(template, home.with_name(f"{home.name}-recorded")) as honest,
            attack_world.recording(recorded),
        ):
            honest.must(honest.pay(PAYMENT))
            ((size,),) = honest.rows("select count(*) from payout.instructions")
            build_books(honest)
    finally:
        database.stop_server(settings)
    (home / attack_world._RECORDED).write_bytes(pickle.dumps(recorded))
    (home / _SIZE).write_text(str(size), encoding="utf-8")


def open_template(home: Path) -> Template:
    """Start the server of a template."""
    return attack_world.open_template(home)


def size_of(home: Path) -> int:
    """Return how many statements a wave of a template pays."""
    return int((home / _SIZE).read_text(encoding="utf-8"))


def _simulate(settings: Settings, merchants: int) -> None:
    from tieout.simulator import simulate
    from tieout.simulator.engine import Funds

    options = sample.SampleOptions(
        seed=SEED, first=FIRST, days=1, transactions=6 * merchants, merchants=merchants,
        every_merchant=True,
    )  # fmt: skip
    simulate(
        settings.inbox_url.removeprefix("file://"), SEED, FIRST, 1, options.transactions,
        merchants, [], settings.truth_dir, deliver_through=FIRST, funds=Funds(every_merchant=True),
    )  # fmt: skip
    sample.note_sample(settings, options)


def _raise_limits(world: World) -> None:
    """Let a day repeat as many payments as a wave refuses: the limits have tests of their own."""
    world.execute(
        "update reference.payout_retry_limits set day_attempt_limit = 100000,"
        " day_amount_limit_minor = 1000000000000000"
    )


def build_books(world: World) -> None:
    """Compute the books of the payment date, then of the last day, as if none lay between."""
    settings = world.settings.acting_as("transform")
    builds.outcomes(settings, PAYMENT)
    with builds.leased(settings, days.PAYOUT_OUTCOMES, LAST) as owner:
        report = transform.run_dbt(
            settings,
            ["build", "--select", "tag:outcomes"],
            {
                "TIEOUT_PAYMENT_DATE": LAST.isoformat(),
                "TIEOUT_PREVIOUS_PAYMENT_DATE": PAYMENT.isoformat(),
                days.OWNER_VARIABLE: owner,
            },
        )
    if not report.success:
        raise TieoutError(
            what="the books of the last day do not hold",
            where="dbt tag:outcomes",
            why="\n".join(map(str, report.failures)),
            next_step="look at the wave",
        )


# --- accidents ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accident:
    """What happens to a run: at which of its requests or writes, and of which kind."""

    kind: str
    place: int


@contextmanager
def _broken_store(accident: Accident) -> Iterator[None]:
    """Let one write of the outbox fail: half of it is there, or nothing is."""
    count = 0
    real_write, real_name = file_store.Store.write_hidden, file_store.Store._give_its_name
    number = errno.ENOSPC if accident.kind == "full_disk" else errno.EACCES

    def is_it(store: Any) -> bool:
        nonlocal count
        if "outbox" not in store.root:
            return False
        count += 1
        return count == accident.place

    def write_hidden(self: Any, path: str, content: bytes) -> None:
        if is_it(self):
            if accident.kind == "full_disk":
                real_write(self, path, content[: len(content) // 2])
            raise OSError(number, os.strerror(number), path)
        real_write(self, path, content)

    def give_its_name(self: Any, path: str) -> None:
        if is_it(self):
            raise OSError(number, os.strerror(number), path)
        real_name(self, path)

    file_store.Store.write_hidden = write_hidden  # type: ignore[method-assign]
    file_store.Store._give_its_name = give_its_name  # type: ignore[method-assign]
    try:
        yield
    finally:
        file_store.Store.write_hidden = real_write  # type: ignore[method-assign]
        file_store.Store._give_its_name = real_name  # type: ignore[method-assign]


@contextmanager
def _dying_process(accident: Accident) -> Iterator[None]:
    """Kill this process, without any chance to tidy up, at a request or a write."""
    count = 0
    real_wait = psycopg.Connection.wait
    real_write, real_name = file_store.Store.write_hidden, file_store.Store._give_its_name

    def step() -> bool:
        nonlocal count
        count += 1
        return count == accident.place

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(connection: Any, generator: Any, *arguments: Any, **named: Any) -> Any:
        is_it = step()
        if is_it and accident.place % 2:
            die()
        found = real_wait(connection, generator, *arguments, **named)
        if is_it:
            die()
        return found

    def write_hidden(self: Any, path: str, content: bytes) -> None:
        if step():
            real_write(self, path, content[: len(content) // 2])
            die()
        real_write(self, path, content)

    def give_its_name(self: Any, path: str) -> None:
        is_it = step()
        if is_it and accident.place % 2:
            die()
        real_name(self, path)
        if is_it:
            die()

    psycopg.Connection.wait = wait  # type: ignore[method-assign, assignment]
    file_store.Store.write_hidden = write_hidden  # type: ignore[method-assign]
    file_store.Store._give_its_name = give_its_name  # type: ignore[method-assign]
    try:
        yield
    finally:
        psycopg.Connection.wait = real_wait  # type: ignore[method-assign]
        file_store.Store.write_hidden = real_write  # type: ignore[method-assign]
        file_store.Store._give_its_name = real_name  # type: ignore[method-assign]


def _forked(action: Callable[[], None]) -> int:
    """Start a child of this process that does one thing; return its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.alarm(CHILD_SECONDS)
        action()
        code = 0
    except answers.OutcomeError:
        code = TOLD
    except (TieoutError, psycopg.Error, OSError, days.NothingToDo):
        traceback.print_exc()
        code = CUT_OFF
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(child: int) -> int:
    """Wait for a child; return its exit code, or minus the signal that killed it."""
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


# --- a wave ---------------------------------------------------------------------------------------


@dataclass
class Wave:
    """One payment date with its histories, what happened to it, and what was found in the end."""

    number: int
    draws: Draws
    statements: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    taken_away: set[str] = field(default_factory=set)  # files that a person knows never left
    accidents: Counter[str] = field(default_factory=Counter)
    cut_steps: Counter[str] = field(default_factory=Counter)
    drawn: list[tuple[int, str, str, str]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    daily: list[str] = field(default_factory=list)
    ends: list[soak_ends.End] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the program without its server; not counted with kills

    @property
    def first_history(self) -> int:
        """The number of the wave's first history."""
        return self.draws.first_history


def play(template: Template, home: Path, wave: Wave) -> Wave:
    """Play a wave to its end in a copy of the template; what it found is in it."""
    if wave.draws.has_kills:
        with apart(1, home.with_name(f"{home.name}.log")) as process:
            return process.submit(play_killed, template.settings.home, home, wave).result()
    began, used = time.monotonic(), time.process_time()
    with (
        attack_world.copy_of(template, home) as world,
        kept_connections.kept(),
        _not_waiting_for_the_disk(),
    ):
        # What dbt has parsed once; only a date that is built again needs it.
        shutil.copytree(template.settings.dbt_dir, world.settings.dbt_dir, dirs_exist_ok=True)
        _Player(world, wave).play()
    wave.seconds = time.monotonic() - began
    wave.cpu_seconds = time.process_time() - used
    return wave


def play_plain(template_home: Path, home: Path, wave: Wave) -> Wave:
    """Play a wave without kills on the server of a template, which another process has started."""
    return play(_template_of(template_home), home, wave)


def _template_of(home: Path) -> Template:
    recorded = pickle.loads((home / attack_world._RECORDED).read_bytes())
    return Template(load_settings({"TIEOUT_HOME": str(home)}), recorded)


def server_cpu_seconds(settings: Settings) -> float:
    """Return what the server of a home has used so far, its sessions that ended included."""
    pid = (settings.pg_dir / "data" / "postmaster.pid").read_text().splitlines()[0]
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            values = stat.read_text().rpartition(")")[2].split()
            if stat.parent.name == pid:
                ticks += sum(map(int, values[11:15]))
            elif values[1] == pid:
                ticks += sum(map(int, values[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def apart(count: int, log: Path) -> Iterator[ProcessPoolExecutor]:
    """Give so many processes for waves, each one after the other; ``log``: what they say.

    Runs of waves with kills are forked from theirs, so nothing else is played there: no fork
    survives the threads of Polars.
    """
    with ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), initializer=_prepare_apart, initargs=(log,)
    ) as process:
        try:
            yield process
        except BaseException:
            process.shutdown(wait=False, cancel_futures=True)
            if log.exists():
                print(log.read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)
            raise


def _prepare_apart(log: Path) -> None:
    """Send what the process and its children say to a file, and import what is heavy once."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    _import_what_is_heavy()


def _import_what_is_heavy() -> None:
    """Import once what each child would import for itself; nothing of it is used here."""
    import great_expectations  # noqa: F401
    from lxml import etree  # noqa: F401

    from tieout import fetching, gate, landing  # noqa: F401
    from tieout.channels import registry  # noqa: F401


def play_killed(template_home: Path, home: Path, wave: Wave) -> Wave:
    """Play a wave on a server of its own, in this process; see `apart`."""
    began = time.monotonic()
    template = _template_of(template_home)
    with (
        server_deaths.own_server(template, home) as settings,
        attack_world.replaying(template.recorded),
        _not_waiting_for_the_disk(),
    ):
        _Player(World(settings), wave).play()
    wave.seconds = time.monotonic() - began
    return wave


@contextmanager
def _not_waiting_for_the_disk() -> Iterator[None]:
    """Leave what is written to the kernel, as the tests' servers do: no power is cut here."""
    real = os.fsync
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


_RUN_DBT = transform.run_dbt


@contextmanager
def _dbt_itself() -> Iterator[None]:
    """Let dbt build a date that was built before: what was recorded is right for the first time."""
    replayed, transform.run_dbt = transform.run_dbt, _RUN_DBT
    try:
        yield
    finally:
        transform.run_dbt = replayed


@contextmanager
def _small_files() -> Iterator[None]:
    """Let a payment file hold four payments, so that a wave has many files to be lied about."""
    real = batches.PAYMENTS_PER_FILE_MAX
    for module in (batches, submission):
        module.PAYMENTS_PER_FILE_MAX = PAYMENTS_PER_FILE  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in (batches, submission):
            module.PAYMENTS_PER_FILE_MAX = real  # type: ignore[attr-defined]


class _Player:
    """Lets the days of a wave pass: the bank acts, the product runs, people decide."""

    def __init__(self, world: World, wave: Wave) -> None:
        self.world = world
        self.wave = wave
        self.draws = wave.draws
        self.random = random.Random(f"{wave.draws.seed}/{wave.number}/accidents")
        self.bank = Bank(world, wave.draws)

    def play(self) -> None:
        """Pay the date, let the evenings pass, and look at what is left."""
        self.pay()
        _raise_limits(self.world)
        self.wave.statements = self.bank.statements = self._statements()
        for place, day in enumerate(soak_draws.EVENINGS):
            self.bank.fetch(day)
            self.bank.evening(day, place)
            self.read(day)
            if day in soak_draws.PEOPLE_ON:
                self.people_decide(day)
            self.bank.fetch(day)
        try:
            build_books(self.world)
        except TieoutError as error:
            self.wave.violations.append(f"wave {self.wave.number}: no books: {error}")
        self.wave.violations += self.bank.violations
        self.wave.drawn = self.bank.kinds
        self.wave.reports = list(self.bank.how_reported.values())
        self.wave.daily = [self.draws.statement(place) for place in range(soak_draws.DONE_BY)]
        soak_ends.compare(self.world, self.bank, self.wave)

    def _statements(self) -> list[str]:
        rows = self.world.rows(
            "select statement_id, amount_minor from payout.instructions"
            " where payment_date = %s order by statement_id",
            [PAYMENT],
        )
        self.bank.owed = {str(statement): int(amount) for statement, amount in rows}
        assert rows, "nothing is paid in this wave"
        return [str(statement) for statement, _ in rows]

    # --- the product's runs -----------------------------------------------------------------------

    def pay(self) -> None:
        """Pay the date; where its arrivals do not tie, it must not be paid before they do."""
        self.bank.morning()
        kind = days.SETTLEMENT_PAYOUT
        if self.draws.arrival != "ties":
            self._is_not_paid("as they came")
            if self.draws.has_kills:
                self._cut_off_while_it_does_not_tie()
            self.bank.correct_morning()
            if self.draws.arrival != "cut":
                self._is_not_paid("are corrected, and no person has said so")
                self._a_person_says_which_is_true()
        with _small_files():
            for name in PAYING:
                if name == "build" and self.draws.arrival not in {"ties", "cut"}:
                    with _dbt_itself():
                        self.step(paying, kind, PAYMENT, name, can_be_cut=False)
                    continue
                self.step(paying, kind, PAYMENT, name, can_be_cut=name in PAYING_CUT)
        days.release(self.world.settings, kind, PAYMENT, attack_world.OWNER)

    def _is_not_paid(self, when: str) -> None:
        """Pay while the arrivals do not tie: it is refused for that, and nothing is ordered."""
        if self.draws.has_kills:
            refused = _ended(_forked(self._pay_whole)) == TOLD
        else:
            refused = False
            try:
                self._pay_whole()
            except answers.OutcomeError:
                refused = True
        found = [] if refused else ["the run was not refused for them"]
        self._note_early(when, [*found, *self._ordered()])

    def _ordered(self) -> list[str]:
        """Say what is ordered or decided to be."""
        found = []
        if self.world.payment_files(PAYMENT):
            found.append("payment files lie in the outbox")
        ((count,),) = self.world.rows(
            "select count(*) from payout.instructions where payment_date = %s", [PAYMENT]
        )
        if count:
            found.append(f"{count} statements are instructed")
        return found

    def _note_early(self, when: str, found: Sequence[str]) -> None:
        self.wave.violations += [
            f"wave {self.wave.number}: arrivals {self.draws.arrival}, {when}: {text}"
            for text in found
        ]

    def _cut_off_while_it_does_not_tie(self) -> None:
        """Cut off the step that refuses, three times over; then go on as if it had not refused."""
        name = "land_bank" if self.draws.arrival == "cut" else "gate"
        kind = days.SETTLEMENT_PAYOUT
        self._run_in_child(paying, kind, PAYMENT, "claim")
        for _ in range(3):
            place = int(60 ** self.random.random()) or 1
            accident = Accident(self.random.choice(soak_draws.DEATHS), place)
            self.wave.accidents[accident.kind] += 1
            came = self._cut(paying, kind, PAYMENT, name, accident)
            self.wave.cut_steps[f"{accident.kind} in {name}, which refuses"] += came
        found = []
        for forced in (name, "instruct", "submit"):
            code = _ended(_forked(partial(self._run, paying, kind, PAYMENT, forced)))
            if code != CUT_OFF:
                found.append(f"{forced} was not refused, but ended with {code}")
        days.release(self.world.settings, kind, PAYMENT, attack_world.OWNER)
        self._note_early("forced on after cuts", [*found, *self._ordered()])

    def _a_person_says_which_is_true(self) -> None:
        from tieout.landing import corrections

        rows = self.world.rows(
            "select file_id from control.channel_files"
            " where status = 'conflict' and file_kind = 'camt053'"
        )

        def release() -> None:
            for (file_id,) in rows:
                corrections.release(
                    self.world.settings, file_id, decided_by="Li", reason="the bank says so"
                )

        assert rows, "no corrected statement waits for a person"
        if not self.draws.has_kills:
            release()
        elif _ended(_forked(release)):
            raise AssertionError("the corrected statement could not be released")

    def _pay_whole(self) -> None:
        """Run the payment of the date; raise an OutcomeError where its money keeps it from it."""
        run = self.world.pay(PAYMENT)
        assert run.ok or run.failed_step in {"land_bank", "gate"}, f"{run}"
        if not run.ok:
            raise answers.OutcomeError(
                what="the date is not paid", where=run.failed_step, why=run.message, next_step=""
            )

    def read(self, day: date) -> None:
        """Read an evening's answers; what is not understood is told, and the run goes on.

        A run that is given up ends there, as the timetable's does: no later step is done before
        the next evening.
        """
        for name in READING:
            is_done = True
            with suppress(answers.OutcomeError):
                is_done = self.step(
                    answers, days.PAYOUT_OUTCOMES, day, name, can_be_cut=name in READING_CUT
                )
            if not is_done:
                break
            if name == "apply":
                self.wave.violations += soak_ends.overdue(self.world, self.bank, day)
        days.release(self.world.settings, days.PAYOUT_OUTCOMES, day, attack_world.OWNER)
        self.wave.told += [
            str(text)
            for (text,) in self.world.rows(
                "select problem from payout.outcome_problems where run_date = %s", [day]
            )
        ]

    def step(self, module: Any, kind: str, day: date, name: str, *, can_be_cut: bool) -> bool:
        """Run a step after the accidents that are drawn for it; return whether it came to its end.

        A run of the answers may be given up: the next evening's makes up for it.
        """
        is_calm = day in soak_draws.EVENINGS[soak_draws.CALM_FROM :]
        if can_be_cut and self.draws.has_kills and not is_calm:
            for accident in self._accidents(name):
                self.wave.accidents[accident.kind] += 1
                came = self._cut(module, kind, day, name, accident)
                self.wave.cut_steps[f"{accident.kind} in {name}"] += came
                if self.random.random() < 0.5:
                    # The bank is quicker than the one who starts it again.
                    self.bank.fetch(day)
            if module is answers and self.random.random() < 0.3:
                self.wave.cut_steps[f"{name} not done before the next evening"] += 1
                return False
        if self.draws.has_kills:
            self._run_in_child(module, kind, day, name)
        else:
            self._run(module, kind, day, name)
        return True

    def _run_in_child(self, module: Any, kind: str, day: date, name: str) -> None:
        """Run a step to its end in a child, as often as a server that comes back needs."""
        for _ in range(TRIES):
            code = _ended(_forked(lambda: self._run(module, kind, day, name)))
            if code in {0, TOLD}:
                return
        raise AssertionError(f"{name} of {day} does not go through: code {code}")

    def _accidents(self, name: str) -> list[Accident]:
        """Draw what happens to a step; to a submission, which writes most, each fault of a disk."""
        drawn = [self._accident(name) for _ in range(self.random.choice((1, 1, 2)))]
        if name == "submit":
            drawn += [
                Accident(kind, self.random.randrange(1, 12))
                for kind in soak_draws.ACCIDENTS
                if kind not in soak_draws.DEATHS
            ]
            self.random.shuffle(drawn)
        return drawn

    def _accident(self, name: str) -> Accident:
        # What writes nothing into the outbox meets no full disk there.
        writes = name in {"submit", "send"}
        kind = self.random.choice(soak_draws.ACCIDENTS if writes else soak_draws.DEATHS)
        if kind in ("full_disk", "unwritable_outbox"):
            return Accident(kind, self.random.randrange(1, 12 if name == "submit" else 3))
        # Most steps send some twenty requests, a submission hundreds.
        top = 220 if name in ("submit", "send", "apply") else 25
        return Accident(kind, int(top ** self.random.random()) or 1)

    def _cut(self, module: Any, kind: str, day: date, name: str, accident: Accident) -> bool:
        """Let an accident happen to a step; return whether its moment came."""
        settings = self.world.settings
        run = partial(self._run, module, kind, day, name)
        if accident.kind == "server":

            def serverless() -> None:
                is_answered = accident.place % 2 == 0
                with server_deaths.dying_in_psycopg(
                    settings, accident.place, is_answered=is_answered
                ) as death:
                    try:
                        run()
                    finally:
                        if death.came:
                            os._exit(CUT_OFF)

            return _ended(_forked(serverless)) == CUT_OFF
        if accident.kind == "process":

            def dying() -> None:
                with _dying_process(accident):
                    run()

            return _ended(_forked(dying)) == -signal.SIGKILL
        if accident.kind == "two_runs":
            two = [_forked(run), _forked(run)]
            codes = [_ended(child) for child in two]
            if not set(codes) <= {0, CUT_OFF, TOLD}:
                self.wave.violations.append(f"two runs of {name} at once ended with {codes}")
            return True

        def failing() -> None:
            with _broken_store(accident):
                run()

        return _ended(_forked(failing)) == CUT_OFF

    def _run(self, module: Any, kind: str, day: date, name: str) -> None:
        function = getattr(module, name)
        settings = self.world.settings.acting_as(steps.role_of(kind, name))
        # In the evening, when the bank's answers are due.
        now = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=15)
        function(steps.Step(settings, kind, day, attack_world.OWNER, name, now))

    # --- people -----------------------------------------------------------------------------------

    def people_decide(self, day: date) -> None:
        """Have people try to pay again what waits for them, as far as their history says so."""
        settings = self.world.settings
        for payout in people.open_payouts(settings, day):
            if payout.state not in ("failed", "returned"):
                continue
            if not self.draws.person_acts(self.bank.history_of(payout.statement_id)):
                continue
            try:
                if payout.policy == "stop":
                    people.hold(settings, payout.statement_id, by="Zhou", reason="looked at it")
                    people.release(settings, payout.statement_id, by="Wu", reason="it is owed")
                payouts.pay_again(
                    settings, payout.statement_id, day, by="Li", reason="the bank confirmed"
                )
            except payouts.NotPaidAgainError as error:
                self.wave.refusals[payout.statement_id] = error.refusal
        try:
            payouts.put_out_again(settings)
        except TieoutError as error:
            self.take_prepared_away(error)

    def take_prepared_away(self, error: TieoutError) -> None:
        """Do what the runbook says of a file that holds an overtaken payment and never left."""
        root = self.world.settings.outbox_url.removeprefix("file://")
        paths = [Path(url.removeprefix("file://")) for url in error.where.split("; ")]
        for path in paths:
            assert "has been paid since" in error.why, error
            assert path.is_relative_to(root), error
            assert not path.exists(), error
            Path(file_store.hidden(str(path))).unlink()
            self.wave.taken_away.add(path.name)
        payouts.put_out_again(self.world.settings)


def waves(seed: int, histories: int, sizes: tuple[int, int], kills_percent: int) -> Iterator[Draws]:
    """Yield what is drawn for each wave of a run; ``sizes``: histories of a plain one, of a killed.

    The share of histories with kills is at least what is asked for, from the first wave on.
    """
    first = killed = 0
    turns: Counter[bool] = Counter()
    while first < histories:
        has_kills = kills_percent > 0 and killed * 100 <= kills_percent * first
        size = sizes[has_kills]
        yield Draws(seed, turns.total(), first, has_kills, turn=turns[has_kills])
        first += size
        killed += size if has_kills else 0
        turns[has_kills] += 1


def stories(wave: Wave, history: int) -> Sequence[str]:
    """Return the story of one history of a wave."""
    return [end.story for end in wave.ends if end.history == history]
