"""How the stores of TIEOUT_INBOX and TIEOUT_OUTBOX are opened, wherever they are.

The library behind ``sftp://`` asks for no proof of who a server is unless it is told to. Here it
is told: the server's key has to be in the file TIEOUT_SSH_KNOWN_HOSTS names, else in
``~/.ssh/known_hosts``. We log in with the key in the file TIEOUT_SSH_KEY names, else with those in
``~/.ssh``, or with the password in the URL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec

__all__ = ["open_url"]

KNOWN_HOSTS_VARIABLE = "TIEOUT_SSH_KNOWN_HOSTS"
KEY_VARIABLE = "TIEOUT_SSH_KEY"
SCHEMES = ("sftp://", "ssh://")


def open_url(url: str) -> tuple[Any, str]:
    """Return the file system behind a URL, and the path in it."""
    options = _ssh_options() if url.startswith(SCHEMES) else {}
    file_system, root = fsspec.core.url_to_fs(url, **options)
    return file_system, str(root)


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
