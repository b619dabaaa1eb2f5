"""How the stores of TIEOUT_INBOX and TIEOUT_OUTBOX are opened, wherever they are, and shown.

The library behind ``sftp://`` asks for no proof of who a server is unless it is told to. Here it
is told: the server's key has to be in the file TIEOUT_SSH_KNOWN_HOSTS names, else in
``~/.ssh/known_hosts``. We log in with the key in the file TIEOUT_SSH_KEY names, else with those in
``~/.ssh``, or with the password in the URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

__all__ = [
    "is_elsewhere",
    "is_same_place",
    "open_url",
    "root_of",
    "shown_url",
    "url_of",
    "why_not_reached",
    "with_login",
    "without_host",
]

KNOWN_HOSTS_VARIABLE = "TIEOUT_SSH_KNOWN_HOSTS"
KEY_VARIABLE = "TIEOUT_SSH_KEY"
SCHEMES = ("sftp://", "ssh://")


def open_url(url: str) -> tuple[Any, str]:
    """Return the file system behind a URL, and the path in it."""
    options = _ssh_options() if url.startswith(SCHEMES) else {}
    file_system, root = fsspec.core.url_to_fs(url, **options)
    return file_system, str(root)


def root_of(url: str) -> str:
    """Return the path of a URL in its file system, which is not reached."""
    protocol, _ = fsspec.core.split_protocol(url)
    kind = fsspec.get_filesystem_class(protocol or "file")
    root = str(kind._strip_protocol(url))  # fsspec's own name for it
    return root.rstrip("/") or "/"


def url_of(store_url: str, path: str) -> str:
    """Return the URL of a path in the file system of a store's URL: with its host, no login."""
    protocol, _ = fsspec.core.split_protocol(store_url)
    host = _host_of(store_url)
    slash = "/" if host and not path.startswith("/") else ""
    return f"{protocol or 'file'}://{host}{slash}{path}"


def _host_of(url: str) -> str:
    """Return host and port of a server's URL. What stands there in others is part of the path."""
    return urlsplit(url).netloc.rpartition("@")[2] if url.startswith(SCHEMES) else ""


def shown_url(url: str) -> str:
    """Return a URL as people may see it: it may carry a password before its host."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return url
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def why_not_reached(error: Exception) -> str:
    """Return what a store elsewhere raised, in words that can hold no login: never its own text."""
    name = type(error).__name__
    if name == "HostKeyNotVerifiable":
        return f"the server's key is not the one that is expected of it ({name})"
    if isinstance(error, PermissionError) or name == "PermissionDenied":
        return f"the login, or the right to read or write, is refused ({name})"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def is_elsewhere(url: str) -> bool:
    """Say whether a store's URL names another machine, or a service; nothing is reached."""
    protocol, _ = fsspec.core.split_protocol(url)
    return (protocol or "file") not in {"file", "local", "memory"}


def is_same_place(recorded: str, url: str) -> bool:
    """Say whether a URL on record is the place of a file; versions before kept no SFTP host."""
    return recorded in {url, without_host(url)}


def without_host(url: str) -> str:
    """Return the URL as versions before kept it: of SFTP without the host."""
    host = _host_of(url)
    return url.replace(f"://{host}", "://", 1) if host else url


def with_login(url: str, stores: Iterable[str]) -> str:
    """Return a URL on record as it can be opened, with the login (and host) of a store of ours.

    The login goes to the host of its own store only. A URL without a host is of a version before:
    it is looked for at the store whose folder it is in.
    """
    if not url.startswith(SCHEMES):
        return url
    path = urlsplit(url).path
    for store in stores:
        is_ours = store.startswith(SCHEMES) and _host_of(url) in {"", _host_of(store)}
        if is_ours and path.startswith(f"{urlsplit(store).path.rstrip('/')}/"):
            return f"{store.partition('://')[0]}://{urlsplit(store).netloc}{path}"
    return url


def _ssh_options() -> dict[str, Any]:
    known_hosts = os.environ.get(KNOWN_HOSTS_VARIABLE) or "~/.ssh/known_hosts"
    options: dict[str, Any] = {
        "known_hosts": str(Path(known_hosts).expanduser()),
        "agent_path": None,
        "config": [],
    }
    key = os.environ.get(KEY_VARIABLE)
    if key:
        options["client_keys"] = [key]
    return options
