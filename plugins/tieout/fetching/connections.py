"""Secrets of sources: Airflow connections, and nothing else.

A connection is looked up as Airflow does it: a secrets backend, the environment variable
`AIRFLOW_CONN_<ID>`, then Airflow's database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tieout.fetching.report import FetchError

__all__ = ["Connection", "Connections", "airflow_connection"]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a source is and how to log in there. What is secret has no repr."""

    connection_id: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def text(self, name: str, default: str = "") -> str:
        """Return a value of the extra, as text."""
        value = self.extra.get(name)
        return default if value is None else str(value)

    def required(self, name: str) -> str:
        """Return a value of the extra.

        Raises:
            FetchError: it is not there.
        """
        value = self.text(name)
        if not value:
            raise self._incomplete(f"extra.{name}")
        return value

    def key_text(self, name: str) -> str:
        """Return a key in PEM or armor: the extra `name` itself, or the file `name`_file names.

        Raises:
            FetchError: neither is there, or the file cannot be read.
        """
        path = self.text(f"{name}_file")
        if not path:
            return self.required(name).replace("\\n", "\n")
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise self._incomplete(f"extra.{name}_file ({type(error).__name__})") from None

    def _incomplete(self, what: str) -> FetchError:
        return FetchError(
            what=f"the connection {self.connection_id} has no usable {what}",
            where=f"Airflow connection {self.connection_id}",
            why="a source cannot log in without it",
            next_step="complete the connection; docs/operations/sources.md shows one of each kind",
        )


Connections = Callable[[str], Connection]


def airflow_connection(connection_id: str) -> Connection:
    """Return a connection as Airflow knows it, inside a task or outside.

    Raises:
        FetchError: there is none of that id.
    """
    try:
        found = _find(connection_id)
    except Exception as error:
        # The error's own text may quote the connection.
        raise FetchError(
            what=f"there is no connection {connection_id}",
            where="Airflow's connections",
            why=f"Airflow does not know it, or cannot be asked ({type(error).__name__})",
            next_step=f"add it, or set AIRFLOW_CONN_{connection_id.upper()}",
        ) from None
    return Connection(
        connection_id,
        found.host or "",
        found.port,
        found.login or "",
        found.password or "",
        dict(found.extra_dejson),
    )


def _find(connection_id: str) -> Any:
    # A task has no access to Airflow's database: it asks its supervisor.
    if hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS"):
        from airflow.sdk import Connection as TaskConnection  # noqa: PLC0415  heavy

        return TaskConnection.get(connection_id)
    from airflow.models.connection import Connection as StoredConnection  # noqa: PLC0415  heavy

    return StoredConnection.get_connection_from_secrets(connection_id)
