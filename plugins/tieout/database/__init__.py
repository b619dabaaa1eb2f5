"""The database of an installation: embedded or elsewhere, opened and migrated."""

from __future__ import annotations

from tieout.core.errors import DatabaseError
from tieout.database.connections import (
    airflow_url,
    connect,
    ensure_server,
    explained,
    has_administrator,
    has_table,
    insert,
    lost,
    make_airflow_database,
    make_logins,
    migrate,
    refusal,
    session_url,
    went_away,
    working_as,
)
from tieout.server.embedded import is_running, stop_server

__all__ = [
    "DatabaseError",
    "airflow_url",
    "connect",
    "ensure_server",
    "explained",
    "has_administrator",
    "has_table",
    "insert",
    "is_running",
    "lost",
    "make_airflow_database",
    "make_logins",
    "migrate",
    "refusal",
    "session_url",
    "stop_server",
    "went_away",
    "working_as",
]
