"""The embedded server against a real one: rights, restarts, crashes, races, other servers."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tieout import database
from tieout.core.settings import Settings, load_settings
from tieout.server import account as server_account
from tieout.server import embedded
from tieout.server.account import NAME, NOBODY

STARTER = """
import sys, time
from tieout import database
from tieout.core.settings import load_settings
print(database.ensure_server(load_settings({"TIEOUT_HOME": sys.argv[1]})), flush=True)
time.sleep(float(sys.argv[2]))
"""


def postmaster(settings: Settings) -> int:
    pid = embedded._postmaster_pid(settings.pg_dir / "data")
    assert pid is not None
    return pid


def run_starter(settings: Settings, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(settings.home), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )


def write_row(settings: Settings) -> None:
    with database.connect(settings) as connection:
        connection.execute("create table kept as select 42 as answer")


def read_row(settings: Settings) -> int:
    with database.connect(settings) as connection:
        row = connection.execute("select answer from kept").fetchone()
    assert row is not None
    return int(row[0])


def test_start_stop_and_restart_keep_data_and_address(new_home: Settings) -> None:
    assert not database.is_running(new_home)
    url = database.ensure_server(new_home)
    assert database.is_running(new_home)
    write_row(new_home)
    assert database.stop_server(new_home)
    assert not database.stop_server(new_home)
    assert not database.is_running(new_home)
    log = (new_home.pg_dir / "server.log").read_text()
    assert "received fast shutdown request" in log
    assert log.rstrip().endswith("database system is shut down")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert database.ensure_server(new_home) == url
    assert read_row(new_home) == 42


def test_a_second_call_finds_the_same_server_at_once(new_home: Settings) -> None:
    url = database.ensure_server(new_home)
    pid = postmaster(new_home)
    began = time.monotonic()
    assert database.ensure_server(new_home) == url
    assert time.monotonic() - began < 0.5
    assert postmaster(new_home) == pid


def test_it_answers_only_here_and_only_with_the_password(new_home: Settings) -> None:
    parts = urlsplit(database.ensure_server(new_home))
    assert parts.hostname == "127.0.0.1"
    assert parts.path == "/tieout"
    wrong = f"postgresql://tieout:wrong@127.0.0.1:{parts.port}/tieout"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    with database.connect(new_home) as connection:
        shown = dict(
            connection.execute(
                "select name, setting from pg_settings where name = any(%s)",
                [
                    [
                        "listen_addresses",
                        "unix_socket_directories",
                        "fsync",
                        "full_page_writes",
                        "synchronous_commit",
                        "data_checksums",
                        "password_encryption",
                    ]
                ],
            ).fetchall()
        )
    assert shown == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
    }


def test_sessions_are_in_utc_and_text_is_utf8_in_byte_order(new_home: Settings) -> None:
    with database.connect(new_home) as connection:
        row = connection.execute(
            "select current_setting('timezone'), current_setting('server_encoding'), 'B' < 'a'"
        ).fetchone()
    assert row == ("UTC", "UTF8", True)


def test_the_address_and_password_are_the_owners_only(new_home: Settings) -> None:
    database.ensure_server(new_home)
    path = new_home.pg_dir / "server.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert new_home.pg_dir.stat().st_mode & 0o777 == 0o700
    password = json.loads(path.read_text())["password"]
    assert len(password) >= 32
    command_line = Path(f"/proc/{postmaster(new_home)}/cmdline").read_bytes()
    assert password.encode() not in command_line
    assert password not in (new_home.pg_dir / "server.log").read_text()


def test_under_a_private_folder_it_runs_unprivileged_and_widens_nothing(tmp_path: Path) -> None:
    """As root the server has its own account, which may not even enter the folder above."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    settings = load_settings({"TIEOUT_HOME": str(private / "home")})
    above = [private, *private.parents]
    before = [folder.stat().st_mode for folder in above]
    try:
        database.ensure_server(settings)
        write_row(settings)
        database.stop_server(settings)
        database.ensure_server(settings)
        assert read_row(settings) == 42
        expected = pwd.getpwnam(NAME).pw_uid if os.geteuid() == 0 else os.geteuid()
        assert Path(f"/proc/{postmaster(settings)}").stat().st_uid == expected
        assert expected not in {0, NOBODY}
        assert [folder.stat().st_mode for folder in above] == before
        assert private.stat().st_uid == settings.home.stat().st_uid == os.geteuid()
        assert (settings.pg_dir / "data").stat().st_mode & 0o777 == 0o700
    finally:
        database.stop_server(settings)


def reached_by(uid: int, paths: list[str], pid: int) -> list[str]:
    """Return what a process of that user can open, and whether it may signal the process."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        reached = []
        try:
            if uid:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            for path in paths:
                with contextlib.suppress(OSError):
                    os.close(os.open(path, os.O_RDONLY))
                    reached.append(path)
            with contextlib.suppress(PermissionError):
                os.kill(pid, 0)
                reached.append("a signal")
            os.write(write_end, json.dumps(reached).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(said)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_process_as_nobody_reaches_no_file_of_the_server(new_home: Settings) -> None:
    database.ensure_server(new_home)
    pid = postmaster(new_home)

    home, process = new_home.home, Path(f"/proc/{pid}")
    paths = [
        *(process / "cwd" / name for name in (".", "base", "global/pg_control", "pg_hba.conf")),
        *(process / name for name in ("fd", "environ", "root/etc")),
        *(home / name for name in ("pg", "pg/data", "pg/server.json", "pg/server.log", "secrets")),
    ]
    names = [str(path) for path in paths]
    # The test looks where something is: root reaches all of it.
    assert reached_by(0, names, pid) == [*names, "a signal"]
    assert reached_by(NOBODY, names, pid) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_home_that_nobody_owned_is_taken_over(new_home: Settings) -> None:
    database.ensure_server(new_home)
    write_row(new_home)
    database.stop_server(new_home)
    data = new_home.pg_dir / "data"
    outside = new_home.home / "outside"
    outside.write_text("of root")
    (data / "link").symlink_to(outside)
    paths = [data, *data.rglob("*")]
    assert len(paths) > 500
    for path in paths:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    assert read_row(new_home) == 42
    account = pwd.getpwnam(NAME)
    assert {path.lstat().st_uid for path in [data, *data.rglob("*")]} == {account.pw_uid}
    assert outside.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_a_home_of_somebody_else_is_left_alone(new_home: Settings) -> None:
    database.ensure_server(new_home)
    database.stop_server(new_home)
    data = new_home.pg_dir / "data"
    account = pwd.getpwnam(NAME).pw_uid
    for path, says in ((data, "belongs to uid 4242"), (data / "base", "base in .* uid 4242")):
        os.chown(data, NOBODY, NOBODY)
        os.chown(path, 4242, 4242)
        with pytest.raises(database.DatabaseError, match="no account of its own") as caught:
            database.ensure_server(new_home)
        assert re.search(says, caught.value.why)
        os.chown(path, account, account)


def entry(name: str, uid: int, shell: str = "/usr/sbin/nologin", gid: int = 900) -> Any:
    return pwd.struct_passwd((name, "x", uid, gid, "", "/nonexistent", shell))


@pytest.mark.parametrize(
    ("own", "says"),
    [
        pytest.param(entry(NAME, 900), None, id="its own"),
        pytest.param(entry(NAME, 34), "shares its uid 34 with backup", id="another's uid"),
        pytest.param(entry(NAME, 0), "has the uid 0", id="root"),
        pytest.param(entry(NAME, NOBODY), "has the uid 65534", id="nobody"),
        pytest.param(entry(NAME, 900, gid=0), "gid 0", id="the group root"),
        pytest.param(entry(NAME, 900, "/bin/bash"), "can log in", id="a login"),
        pytest.param(entry(NAME, 900, ""), "can log in", id="the default shell"),
    ],
)
def test_the_account_is_nobody_elses(own: pwd.struct_passwd, says: str | None) -> None:
    reason = server_account.why_shared(own, [entry("backup", 34), own])
    assert reason == says if says is None else says in (reason or "")


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        pytest.param((), "no useradd or adduser", id="no program"),
        pytest.param(("useradd",), "could not be made", id="it does not work"),
    ],
)
def test_without_an_account_of_its_own_it_says_why(
    new_home: Settings, monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(embedded, "_is_root", lambda: True)
    monkeypatch.setattr(server_account, "NAME", "tieout-pg-no-such")
    monkeypatch.setattr("shutil.which", lambda tool, **_: "/bin/false" if tool in tools else None)
    with pytest.raises(database.DatabaseError, match="no account of its own") as caught:
        database.ensure_server(new_home)
    assert says in caught.value.why
    assert "useradd --system" in caught.value.next_step
    assert not (new_home.pg_dir / "data").exists()


def test_a_killed_server_recovers_what_was_committed(new_home: Settings) -> None:
    database.ensure_server(new_home)
    write_row(new_home)
    pid = postmaster(new_home)
    os.kill(pid, signal.SIGKILL)
    assert read_row(new_home) == 42
    assert postmaster(new_home) != pid


def test_a_killed_server_that_nobody_reaps_does_not_block_the_next(new_home: Settings) -> None:
    """Its parent lives and does not wait for it: a zombie, whose pid file looks alive."""
    parent = run_starter(new_home, 120)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("postgresql://")
        write_row(new_home)
        pid = postmaster(new_home)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, "the killed server did not become a zombie"
            time.sleep(0.05)
        assert (new_home.pg_dir / "data" / "postmaster.pid").exists()
        assert read_row(new_home) == 42
        assert postmaster(new_home) != pid
    finally:
        parent.kill()
        parent.communicate()


def test_a_server_that_nobody_reaps_is_stopped_all_the_same(new_home: Settings) -> None:
    parent = run_starter(new_home, 120)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("postgresql://")
        began = time.monotonic()
        assert database.stop_server(new_home)
        assert time.monotonic() - began < 20
        assert not database.is_running(new_home)
    finally:
        parent.kill()
        parent.communicate()


def test_a_pid_file_that_names_a_stranger_does_not_block(new_home: Settings) -> None:
    """After a reboot the number may belong to any process: here, to this test."""
    database.ensure_server(new_home)
    write_row(new_home)
    pid_file = new_home.pg_dir / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    database.stop_server(new_home)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not database.is_running(new_home)
    assert not database.stop_server(new_home)
    assert read_row(new_home) == 42


def test_two_homes_run_at_once_and_know_nothing_of_each_other(
    new_home: Settings, tmp_path: Path
) -> None:
    other = load_settings({"TIEOUT_HOME": str(tmp_path / "other home 二")})
    try:
        first, second = database.ensure_server(new_home), database.ensure_server(other)
        assert urlsplit(first).port != urlsplit(second).port
        write_row(new_home)
        with (
            database.connect(other) as connection,
            pytest.raises(psycopg.errors.UndefinedTable),
        ):
            connection.execute("select answer from kept")
        database.stop_server(other)
        assert read_row(new_home) == 42
    finally:
        database.stop_server(other)


def test_processes_that_race_start_one_server(new_home: Settings) -> None:
    starters = [run_starter(new_home, 0) for _ in range(4)]
    answers = [starter.communicate(timeout=120)[0].strip() for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0, 0]
    assert set(answers) == {database.ensure_server(new_home)}
    started = (new_home.pg_dir / "server.log").read_text().count("starting PostgreSQL")
    assert started == 1


def test_a_taken_port_is_replaced(new_home: Settings) -> None:
    port = urlsplit(database.ensure_server(new_home)).port
    write_row(new_home)
    database.stop_server(new_home)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert urlsplit(database.ensure_server(new_home)).port != port
        assert read_row(new_home) == 42


def test_an_interrupted_first_start_is_made_good(new_home: Settings) -> None:
    new_home.ensure_dirs()
    half = new_home.pg_dir / "data.new-1234"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    database.ensure_server(new_home)
    assert not half.exists()


def test_a_first_start_that_died_before_its_databases_is_made_good(new_home: Settings) -> None:
    """The server is up, the process that started it is gone: the next call completes its work."""
    new_home.ensure_dirs()
    embedded._start(new_home.pg_dir)
    assert database.is_running(new_home)
    write_row(new_home)
    assert read_row(new_home) == 42


def test_a_named_server_that_is_not_there_is_an_error_not_another_one(
    new_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_PG_BIN", str(tmp_path))
    with pytest.raises(database.DatabaseError) as caught:
        database.ensure_server(new_home)
    assert str(tmp_path) in str(caught.value)
    assert "TIEOUT_DATABASE_URL" in caught.value.next_step


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("without_wheel")
def test_without_the_wheel_the_systems_server_is_taken(new_home: Settings) -> None:
    """Where the system has one; else the error names every place that was looked at."""
    majors = [
        int(path.parent.parent.name)
        for path in embedded.DEBIAN_ROOT.glob("*/bin/postgres")
        if path.parent.parent.name.isdigit()
    ]
    if max(majors, default=0) >= embedded.MINIMUM_MAJOR:
        with database.connect(new_home) as connection:
            assert connection.info.server_version // 10_000 == max(majors)
        database.migrate(new_home)
        return
    with pytest.raises(database.DatabaseError) as caught:
        database.ensure_server(new_home)
    assert "not installed" in caught.value.why
    assert "/usr/lib/postgresql" in caught.value.where


@pytest.mark.usefixtures("without_wheel")
def test_no_server_at_all_is_a_clear_error(
    new_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "DEBIAN_ROOT", tmp_path)
    with pytest.raises(database.DatabaseError) as caught:
        database.ensure_server(new_home)
    assert caught.value.what == "no PostgreSQL to start"
    assert "apt-get install postgresql" in caught.value.next_step


def test_data_of_another_version_is_not_touched(new_home: Settings) -> None:
    data = new_home.pg_dir / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(database.DatabaseError) as caught:
        database.ensure_server(new_home)
    assert "the data is of 9" in caught.value.why
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_server_that_dies_at_once_says_why(
    new_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = embedded._server_settings
    monkeypatch.setattr(
        embedded, "_server_settings", lambda *given: {**good(*given), "max_connections": "none"}
    )
    with pytest.raises(database.DatabaseError) as caught:
        database.ensure_server(new_home)
    assert "max_connections" in caught.value.why
    assert str(new_home.pg_dir / "server.log") in caught.value.where


# --- a server of somebody else ------------------------------------------------------------------


@pytest.fixture
def external(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home without a server that uses a database of the session's server."""
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database outside")
    url = admin.rpartition("/")[0] + "/outside"
    given = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_DATABASE_URL": url}
    yield load_settings(given)
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in ("outside", "outside_airflow"):
            connection.execute(f"drop database if exists {name} with (force)")


def test_an_external_database_is_used_and_nothing_is_started(external: Settings) -> None:
    assert database.ensure_server(external) == external.external_database_url
    assert database.migrate(external)
    assert not database.migrate(external)
    assert not database.is_running(external)
    assert not database.stop_server(external)
    assert not external.pg_dir.exists()
    with database.connect(external) as connection:
        assert connection.info.dbname == "outside"


def test_airflow_gets_a_database_of_its_own_beside_it(external: Settings) -> None:
    url = database.airflow_url(external)
    assert url.startswith("postgresql+psycopg2://")
    assert url.endswith("/outside_airflow")
    assert database.airflow_url(external) == url
    with psycopg.connect(url.replace("+psycopg2", "")) as connection:
        assert connection.info.dbname == "outside_airflow"


def test_airflows_database_may_be_named(tmp_path: Path) -> None:
    given = {
        "TIEOUT_HOME": str(tmp_path),
        "TIEOUT_DATABASE_URL": "postgresql://h/d",
        "TIEOUT_AIRFLOW_DATABASE_URL": "postgresql://h/meta",
    }
    assert database.airflow_url(load_settings(given)) == "postgresql+psycopg2://h/meta"


def test_the_embedded_server_has_airflows_database(settings: Settings) -> None:
    url = database.airflow_url(settings)
    assert url.endswith("/airflow")
    with psycopg.connect(url.replace("+psycopg2", "")) as connection:
        assert connection.info.dbname == "airflow"


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    url = f"postgresql://me:a-password@127.0.0.1:{port}/books"
    settings = load_settings({"TIEOUT_HOME": str(tmp_path), "TIEOUT_DATABASE_URL": url})
    with pytest.raises(database.DatabaseError) as caught:
        database.connect(settings)
    assert caught.value.where == f"127.0.0.1:{port}/books"
    assert "a-password" not in str(caught.value)


KILL_AND_ASK = """
import os, signal, sys
from tieout import database
from tieout.commands import cli, overview
from tieout.server import embedded
from tieout.core.settings import load_settings

def kill_and_ask(console, settings, first=None, last=None):
    with database.connect(settings) as connection:
        os.kill(embedded._postmaster_pid(settings.pg_dir / "data"), signal.SIGKILL)
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        try:
            connection.execute("select 1")
        except Exception as error:
            raise RuntimeError("as Airflow and dbt wrap it") from error

overview.print_week = kill_and_ask
sys.argv = ["tieout", "status"]
cli.main()
"""


def test_a_server_killed_while_a_command_works_is_told_in_four_lines(new_home: Settings) -> None:
    database.migrate(new_home)
    done = subprocess.run(
        [sys.executable, "-c", KILL_AND_ASK],
        env={**os.environ, "TIEOUT_HOME": str(new_home.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "tieout: the database went away while the command worked"
    assert len(lines) == 4
    assert "run the same command again" in lines[-1]


def test_only_a_lost_server_is_told_as_one() -> None:
    assert database.lost(ValueError("x")) is None
    looped = ValueError("x")
    looped.__context__ = RuntimeError("y")
    looped.__context__.__context__ = looped
    assert database.lost(looped) is None
    assert database.lost(psycopg.errors.UndefinedTable("x")) is None
    from sqlalchemy.exc import OperationalError

    wrapped = OperationalError("select secret", {}, psycopg.OperationalError("gone\nmore"))
    told = database.lost(wrapped)
    assert told is not None
    assert told.why == "gone"


def test_a_forked_process_knows_the_server_as_alive(new_home: Settings) -> None:
    """Its parent started it: taken for dead, it would be started again beside itself."""
    url = database.ensure_server(new_home)
    server = postmaster(new_home)
    assert server in embedded._children
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            code = int(database.ensure_server(new_home) != url)
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (postmaster(new_home), database.ensure_server(new_home)) == (server, url)
