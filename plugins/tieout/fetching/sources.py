"""Which sources there are: a TOML file of the installation, without secrets."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from tieout.channels.registry import recognise
from tieout.core.settings import Settings
from tieout.fetching.report import FetchError
from tieout.files.decryption import plain_name

__all__ = [
    "Bill",
    "FileKind",
    "Source",
    "bill_of",
    "file_kind_of",
    "read_sources",
    "sources_path",
]

SOURCES_VARIABLE = "TIEOUT_SOURCES"
GIBIBYTE = 1024**3

SourceKind = Literal["store", "ticket", "wechat_bills", "alipay_bills"]
KINDS: tuple[SourceKind, ...] = ("store", "ticket", "wechat_bills", "alipay_bills")
# Schemes of stores. file: a mounted folder; memory: tests.
SCHEMES = ("file", "sftp", "s3", "memory")
SECRET_WORDS = re.compile(r"password|secret|private|token|passphrase|credential|api_?key")
# The bank's status reports are read by tieout.payouts; their name has no date.
PAIN002_NAME = re.compile(r"pain002_[A-Za-z0-9._-]+\.xml", re.ASCII)
AGENCY_ANSWER_NAME = re.compile(r"agency_answer_[A-Za-z0-9._-]+\.txt", re.ASCII)
HASH_TYPES = ("sha256", "sha1", "md5", "sha512")


@dataclass(frozen=True, slots=True, order=True)
class FileKind:
    """A kind of file a source owes: channel and kind, as `reference.expected_files` has them."""

    channel: str
    file_kind: str


@dataclass(frozen=True, slots=True)
class Bill:
    """One bill or ticket a source is asked for.

    `path` and the values of `parameters` may hold `{date:%Y-%m-%d}`; `inbox_name` names the file
    in the inbox, from the date and the connection's `merchant_id` or `account_id`.
    """

    inbox_name: str
    path: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def name(self, day: date, identifiers: Mapping[str, str]) -> str:
        """Return the file's name in the inbox for a date."""
        return self.inbox_name.format(date=day, **identifiers)


@dataclass(frozen=True, slots=True)
class Source:
    """One place files come from.

    `url` (stores) and `connection` say where; `days_back` how many earlier dates are looked at
    again; `attempts`, `timeout_seconds`, `transfer_seconds_max` and `bytes_max` bound a transfer;
    `settle_seconds` is the time between two looks at a file that may still grow.
    """

    name: str
    kind: SourceKind
    connection: str = ""
    url: str = ""
    files: frozenset[FileKind] = frozenset()
    bills: tuple[Bill, ...] = ()
    download_hosts: tuple[str, ...] = ()
    answer_fields: Mapping[str, str] = field(default_factory=dict)
    days_back: int = 0
    attempts: int = 4
    timeout_seconds: float = 30.0
    transfer_seconds_max: float = 3600.0
    bytes_max: int = 8 * GIBIBYTE
    settle_seconds: float = 2.0


def sources_path(settings: Settings, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file of sources: TIEOUT_SOURCES, else sources.toml in the home."""
    env = os.environ if environ is None else environ
    value = env.get(SOURCES_VARIABLE) or ""
    return Path(value).expanduser().absolute() if value else settings.home / "sources.toml"


def read_sources(path: Path) -> tuple[Source, ...]:
    """Return the sources of a file; none where the file is not there.

    Raises:
        FetchError: it cannot be read, holds a secret, or says what we do not understand.
    """
    if not path.exists():
        return ()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # A TOML error names line and column, not the line's text.
        raise _wrong(path, "", f"{type(error).__name__}: {error}"[:200]) from None
    unknown = sorted(set(content) - {"source"})
    entries = content.get("source", [])
    if unknown or not isinstance(entries, list):
        raise _wrong(path, "", f"only [[source]] tables are known, not {', '.join(unknown)}")
    sources = tuple(_source(path, number, entry) for number, entry in enumerate(entries, 1))
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(path, twice[0], "two sources have this name")
    return sources


def file_kind_of(file_name: str, day: date) -> tuple[FileKind, date] | None:
    """Return what a file of that name is and its date; a `.pgp` at its end does not count.

    A bank's answer to payouts has no date in its name: it counts for `day`.
    """
    name = plain_name(file_name)
    recognised = recognise(name)
    if recognised is not None:
        return FileKind(recognised.channel, recognised.file_kind), recognised.accounting_date
    if PAIN002_NAME.fullmatch(name):
        return FileKind("bank", "pain002"), day
    if AGENCY_ANSWER_NAME.fullmatch(name):
        return FileKind("bank", "agency_answer"), day
    return None


def bill_of(source: Source, bill: Bill, day: date, identifiers: Mapping[str, str]) -> FileKind:
    """Return which kind of file a bill is, by its name in the inbox.

    Raises:
        FetchError: landing would not recognise the name, or takes it for another date.
    """
    try:
        name = bill.name(day, identifiers)
    except (KeyError, IndexError, ValueError) as error:
        raise _wrong(None, source.name, f"inbox_name cannot be made: {error!r}") from None
    known = file_kind_of(name, day)
    if known is None or known[1] != day or "/" in name:
        raise _wrong(None, source.name, f"landing does not know a file named {name} of {day}")
    return known[0]


def _source(path: Path, number: int, entry: object) -> Source:
    if not isinstance(entry, dict):
        raise _wrong(path, f"number {number}", "it is no table")
    name = str(entry.get("name") or "")
    shown = name or f"number {number}"
    _refuse_secrets(path, shown, entry)
    kind = entry.get("kind")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name) or kind not in KINDS:
        raise _wrong(path, shown, f"it needs a name (a-z, 0-9, -) and a kind: {', '.join(KINDS)}")
    unknown = sorted(set(entry) - {"name", "kind", *_FIELDS})
    if unknown:
        raise _wrong(path, shown, f"unknown: {', '.join(unknown)}")
    values: dict[str, Any] = {}
    for key, read in _FIELDS.items():
        if key in entry:
            try:
                values[_RENAMED.get(key, key)] = read(entry[key])
            except (TypeError, ValueError, KeyError) as error:
                raise _wrong(path, shown, f"{key}: {error}") from None
    source = Source(name=name, kind=cast("SourceKind", kind), **values)
    problem = _problem(source)
    if problem:
        raise _wrong(path, shown, problem)
    return source


def _problem(source: Source) -> str:
    """Say what a source lacks, or nothing."""
    if source.kind == "store":
        return _store_problem(source)
    if not source.connection:
        return "it needs a connection"
    if not source.bills:
        return "it needs a [[source.bill]]"
    needs_path = source.kind != "alipay_bills"
    if needs_path and not all(bill.path.startswith("/") for bill in source.bills):
        return "each of its bills needs a path that starts with /"
    return ""


def _store_problem(source: Source) -> str:
    scheme = urlsplit(source.url).scheme
    if scheme not in SCHEMES:
        return f"url has to start with one of {', '.join(f'{name}://' for name in SCHEMES)}"
    if scheme in {"sftp", "s3"} and not source.connection:
        return f"a store of {scheme}:// needs a connection"
    return "" if source.files else "files is empty: what does the source owe?"


def _refuse_secrets(path: Path, shown: str, entry: Mapping[str, object]) -> None:
    for key, value in entry.items():
        if SECRET_WORDS.search(key.lower()):
            raise _wrong(path, shown, f"{key} looks like a secret; secrets are in the connection")
        if isinstance(value, str) and urlsplit(value).password:
            raise _wrong(path, shown, f"{key} holds a password; secrets are in the connection")


def _whole(value: object, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"a whole number of {least} or more is needed")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise ValueError("a number of seconds above 0 is needed")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("a list of texts is needed")
    return tuple(_text(item) for item in value)


def _file_kinds(value: object) -> frozenset[FileKind]:
    found = set()
    for text in _texts(value):
        channel, slash, file_kind = text.partition("/")
        if not slash or not channel or not file_kind:
            raise ValueError(f"{text!r} is not channel/kind")
        found.add(FileKind(channel, file_kind))
    return frozenset(found)


def _bills(value: object) -> tuple[Bill, ...]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError("[[source.bill]] tables are needed")
    return tuple(_bill(item) for item in value)


def _bill(item: Mapping[str, object]) -> Bill:
    unknown = sorted(set(item) - {"inbox_name", "path", "parameters"})
    if unknown or "inbox_name" not in item:
        raise ValueError(f"a bill has inbox_name, path, parameters; unknown: {unknown}")
    return Bill(
        _text(item["inbox_name"]),
        _text(item.get("path", "")),
        _mapping(item.get("parameters", {})),
    )


def _mapping(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("a table of texts is needed")
    return {str(key): _text(item) for key, item in value.items()}


def _answer_fields(value: object) -> dict[str, str]:
    fields = _mapping(value)
    unknown = sorted(set(fields) - {"url", "hash", "hash_type", "size"})
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    return fields


_FIELDS: Mapping[str, Callable[[Any], object]] = {
    "connection": _text,
    "url": _text,
    "files": _file_kinds,
    "bill": _bills,
    "download_hosts": _texts,
    "answer": _answer_fields,
    "days_back": _whole,
    "attempts": lambda value: _whole(value, 1),
    "timeout_seconds": _seconds,
    "transfer_seconds_max": _seconds,
    "bytes_max": lambda value: _whole(value, 1),
    "settle_seconds": _seconds,
}
_RENAMED = {"bill": "bills", "answer": "answer_fields"}


def _wrong(path: Path | None, shown: str, why: str) -> FetchError:
    where = f"{path}, source {shown}" if path else f"source {shown}"
    return FetchError(
        what="the list of sources is not understood",
        where=where if shown else str(path),
        why=why,
        next_step="correct it; docs/operations/sources.md shows one of each kind",
    )
