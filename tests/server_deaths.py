"""A home whose PostgreSQL is its own, to be killed, and the moments at which it is.

The server of the attacks' template is shared, and may lose its last commits; what is killed here
keeps them, and is started again by nobody but the product.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

import prepared_homes
from attack_world import Template
from tieout import database
from tieout.core.settings import Settings

__all__ = ["Death", "dying_in_dbt", "dying_in_psycopg", "kill_server", "own_server"]

# Longer than it takes to see that the statement is there and to kill the server.
_ASLEEP = "; select pg_sleep(60)"
_WAIT_SECONDS = 30


@contextmanager
def own_server(template: Template, home: Path) -> Iterator[Settings]:
    """Give an attack a copy of the template's home with a server of its own.

    In this process it does not wait for the disk, which takes seconds after each death: what a
    killed server wrote is the kernel's. A command of its own process starts it as ever.
    """
    is_running = (template.settings.pg_dir / "data" / "postmaster.pid").exists()
    if is_running:
        database.stop_server(template.settings)
    settings = prepared_homes.copy(template.settings.home, home)
    if is_running:
        prepared_homes.start_carelessly(template.settings)
    with prepared_homes.server_options({"fsync": "off"}):
        try:
            database.ensure_server(settings)
            yield settings
        finally:
            database.stop_server(settings)
            shutil.rmtree(home, ignore_errors=True)


def kill_server(settings: Settings) -> None:
    """Kill this home's postmaster and its children, and nobody else."""
    pid = int((settings.pg_dir / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGSTOP)  # it starts no child while they are counted
    children = _children(pid)
    for number in (pid, *children):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


@dataclass
class Death:
    """Whether the moment came, and what the server was asked in it."""

    came: bool = False
    asked: str = ""
    _once: threading.Lock = field(default_factory=threading.Lock)

    def is_first(self, asked: str) -> bool:
        """Say, once, that the moment has come."""
        with self._once:
            if self.came:
                return False
            self.came, self.asked = True, " ".join(asked.split())
            return True


@contextmanager
def dying_in_dbt(settings: Settings, node: str, statement: str) -> Iterator[Death]:
    """Kill the server when a node of dbt has sent a statement like this, in its transaction.

    The statement is followed by a sleep in the same request: it is done, and its transaction open,
    when the server dies. After a `commit` the server dies without any sleep.
    """
    from dbt.adapters.sql.connections import SQLConnectionManager

    real = SQLConnectionManager.add_query
    death = Death()

    def add_query(manager: Any, text: str, *arguments: Any, **named: Any) -> Any:
        name = str(manager.get_thread_connection().name)
        is_it = name.endswith(f".{node}") and re.search(statement, text, re.I)
        if not is_it or not death.is_first(text):
            return real(manager, text, *arguments, **named)
        if text.strip().lower() == "commit":
            answer = real(manager, text, *arguments, **named)
            kill_server(settings)
            return answer
        killer = threading.Thread(target=_kill_when_asleep, args=[settings])
        killer.start()
        try:
            return real(manager, text.rstrip().rstrip(";") + _ASLEEP, *arguments, **named)
        finally:
            killer.join()

    SQLConnectionManager.add_query = add_query  # type: ignore[method-assign]
    try:
        yield death
    finally:
        SQLConnectionManager.add_query = real  # type: ignore[method-assign]


def _kill_when_asleep(settings: Settings) -> None:
    """Kill the server once a session of it sleeps; kill it in any case, or the test would wait."""
    deadline = time.monotonic() + _WAIT_SECONDS
    with database.connect(settings, autocommit=True) as connection:
        while time.monotonic() < deadline:
            asleep = connection.execute(
                "select 1 from pg_stat_activity where wait_event = 'PgSleep'"
            ).fetchone()
            if asleep is not None:
                break
            time.sleep(0.01)
        with suppress(psycopg.OperationalError):
            kill_server(settings)


@contextmanager
def dying_in_psycopg(settings: Settings, number: int, *, is_answered: bool) -> Iterator[Death]:
    """Kill the server at a number of this program's requests, those of all connections counted.

    It dies before the request reaches it, or after it did what it was asked and before the answer
    arrives: a commit then holds that the program knows nothing of.
    """
    real = psycopg.Connection.wait
    death = Death()
    sent = 0

    def wait(connection: Any, generator: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent != number:
            return real(connection, generator, *arguments, **named)
        death.is_first(f"request {number}")
        if is_answered:
            real(connection, generator, *arguments, **named)
            kill_server(settings)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        kill_server(settings)
        return real(connection, generator, *arguments, **named)

    psycopg.Connection.wait = wait  # type: ignore[method-assign, assignment]
    try:
        yield death
    finally:
        psycopg.Connection.wait = real  # type: ignore[method-assign]
