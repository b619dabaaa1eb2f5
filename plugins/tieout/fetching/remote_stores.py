"""Stores files are fetched from: a folder, SFTP, S3-compatible.

An SFTP server has to prove who it is: its key stands in the connection (`host_key`, as in
`known_hosts` without the name) or in a known_hosts file; nothing turns this check off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tieout.fetching.connections import Connection
from tieout.fetching.inbox import CHUNK_BYTES, Receiver
from tieout.fetching.report import FetchError, TransientFetchError
from tieout.fetching.sources import Source
from tieout.files import store_urls
from tieout.files.store import Entry, Store

__all__ = ["RemoteFile", "RemoteStore", "open_store"]

SSH_PORT = 22
KEEPALIVE_SECONDS = 15
# Their names, because the libraries are imported only where they are used: wrong logins and wrong
# host keys stay wrong, and trying again may lock an account.
LASTING_ERRORS = frozenset(
    {
        "HostKeyNotVerifiable",
        "PermissionDenied",
        "PermissionError",
        "KeyImportError",
        "NoCredentialsError",
        "NotADirectoryError",
        "IsADirectoryError",
        "ValueError",
        "ParamValidationError",
    }
)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as a store lists it. Two that are not equal are not the same state of a file."""

    path: str
    size_bytes: int
    modified: float | None
    tag: str
    _store: Store = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Return the name without folders."""
        return PurePosixPath(self.path).name


class RemoteStore:
    """One store, open."""

    def __init__(self, url: str, filesystem: Any, root: str, shown: str) -> None:
        self._url = url
        self._filesystem = filesystem
        self._root = root
        self.shown = shown

    def files(self, day: date) -> list[RemoteFile]:
        """Return the files below the store's folder (for that date), in order of their paths.

        Hidden files and those still being written (`.part`, `.tmp` …) are left out; a folder that
        is not there has none.

        Raises:
            TransientFetchError, FetchError: the store does not answer, or refuses us.
        """
        store = self._store(day)
        with self._errors():
            try:
                found = store.entries()
            except FileNotFoundError:
                return []
        return [
            _remote_file(store, entry)
            for entry in sorted(found, key=lambda entry: entry.path)
            if entry.kind is None and entry.is_finished
        ]

    def _store(self, day: date) -> Store:
        root = self._root.format(date=day)
        return Store(self._url, file_system=self._filesystem, root=root)

    def again(self, file: RemoteFile) -> RemoteFile | None:
        """Look at a file once more; None when it is gone, or no regular file any more."""
        with self._errors():
            entry = file._store.look(file.path)
        return None if entry is None or entry.kind else _remote_file(file._store, entry)

    def copy(self, file: RemoteFile, receiver: Receiver) -> None:
        """Write the file's bytes.

        Raises:
            TransientFetchError: it broke off, or has another size than was listed.
        """
        with self._errors(), file._store.opened(file.path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                receiver.write(chunk)
        if receiver.size_bytes != file.size_bytes:
            raise TransientFetchError(
                what="a file came with another size than its store lists",
                where=f"{self.shown}, {file.name}",
                why=f"{receiver.size_bytes:,} bytes came, {file.size_bytes:,} are listed",
                next_step="fetch again; nothing of it was kept",
            )

    def close(self) -> None:
        """Close the connection of a store that has one; others close theirs themselves."""
        Store(self._url, file_system=self._filesystem, root=self._root).close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with store_errors(self.shown):
            yield


def open_store(source: Source, connection: Connection | None) -> RemoteStore:
    """Open a source's store.

    Raises:
        TransientFetchError: it does not answer.
        FetchError: it refuses us, or we it.
    """
    parts = urlsplit(source.url)
    shown = f"source {source.name} ({parts.scheme}://{connection.host if connection else ''})"
    with store_errors(shown):
        if parts.scheme == "sftp" and connection is not None:
            return RemoteStore(source.url, _sftp(source, connection), parts.path or "/", shown)
        if parts.scheme == "s3" and connection is not None:
            root = f"{parts.netloc}{parts.path}"
            return RemoteStore(source.url, _s3(source, connection), root, shown)
        filesystem, root = store_urls.open_url(source.url)
        shown = f"source {source.name} ({store_urls.shown_url(source.url)})"
        return RemoteStore(source.url, filesystem, root, shown)


@contextmanager
def store_errors(shown: str) -> Iterator[None]:
    """Turn what a store's library raises into our errors; their texts may hold names and keys."""
    try:
        yield
    except FetchError:
        raise
    except Exception as error:
        name = type(error).__name__
        lasting = name in LASTING_ERRORS or "AccessDenied" in str(error) or "Forbidden" in name
        kind = FetchError if lasting else TransientFetchError
        raise kind(
            what="a source does not let us in" if lasting else "a source does not answer",
            where=shown,
            why=store_urls.why_not_reached(error),
            next_step="see docs/runbooks/source-not-answering.md",
        ) from None


def _sftp(source: Source, connection: Connection) -> Any:
    import asyncssh  # noqa: PLC0415  heavy
    from sshfs import SSHFileSystem  # noqa: PLC0415  heavy

    if connection.text("no_host_key_check").lower() == "true":
        raise FetchError(
            what="an SFTP source has no proof of who it is",
            where=f"Airflow connection {connection.connection_id}",
            why="no_host_key_check is true: anybody between could send us a file",
            next_step="put the server's key into the extra host_key instead",
        )
    options: dict[str, Any] = {
        "port": connection.port or SSH_PORT,
        "username": connection.login,
        "known_hosts": _known_hosts(connection),
        "connect_timeout": source.timeout_seconds,
        "login_timeout": source.timeout_seconds,
        "keepalive_interval": KEEPALIVE_SECONDS,
        # Only what the connection says: no key, agent or setting of the account we run in.
        "agent_path": None,
        "config": [],
        "client_keys": None,
    }
    if connection.password:
        options["password"] = connection.password
    if connection.text("private_key") or connection.text("private_key_file"):
        key = connection.key_text("private_key")
        passphrase = connection.text("private_key_passphrase") or None
        options["client_keys"] = [asyncssh.import_private_key(key, passphrase)]
    elif connection.text("key_file"):
        options["client_keys"] = [connection.text("key_file")]
        if connection.text("private_key_passphrase"):
            options["passphrase"] = connection.text("private_key_passphrase")
    return SSHFileSystem(connection.host, skip_instance_cache=True, **options)


def _known_hosts(connection: Connection) -> Any:
    """Return what asyncssh checks the server's key against; () is ~/.ssh/known_hosts."""
    import asyncssh  # noqa: PLC0415  heavy

    if connection.text("host_key"):
        host = connection.host
        if connection.port not in {None, SSH_PORT}:
            host = f"[{host}]:{connection.port}"
        return asyncssh.import_known_hosts(f"{host} {connection.text('host_key')}\n")
    return connection.text("known_hosts_file") or ()


def _s3(source: Source, connection: Connection) -> Any:
    from s3fs import S3FileSystem  # noqa: PLC0415  heavy

    client: dict[str, Any] = {}
    if connection.text("region_name"):
        client["region_name"] = connection.text("region_name")
    return S3FileSystem(
        key=connection.login or None,
        secret=connection.password or None,
        token=connection.text("session_token") or None,
        endpoint_url=connection.text("endpoint_url") or None,
        client_kwargs=client,
        config_kwargs={
            "connect_timeout": source.timeout_seconds,
            "read_timeout": source.timeout_seconds,
            "retries": {"max_attempts": 1},
        },
        skip_instance_cache=True,
    )


def _remote_file(store: Store, entry: Entry) -> RemoteFile:
    info = entry.info
    changed = info.get("mtime", info.get("LastModified", info.get("created")))
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return RemoteFile(
        entry.path,
        int(entry.size_bytes or 0),
        float(changed) if isinstance(changed, int | float) else None,
        str(info.get("ETag") or ""),
        store,
    )
