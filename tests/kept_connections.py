"""Connections that outlive their use: a wave of hundreds of histories logs in once for each role.

The program opens a connection for each piece of work, and a new session plans every function of the
database anew. Here what is closed is put back as new (`reset`, no role, no lock, no temporary
table) and given to whoever asks next for the same login. A session that is lost, or was left in
the middle of something, is closed as ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from tieout.database import connections

__all__ = ["kept"]

_AS_NEW = (
    "reset session authorization; reset role; reset all; select pg_advisory_unlock_all();"
    " discard temp; unlisten *"
)


class _Kept(psycopg.Connection[Any]):
    """A connection that its pool takes back when it is closed."""

    pool: list[_Kept] | None = None
    is_out = True

    def close(self) -> None:
        """Give it back as new, or close it where that cannot be."""
        if not self.is_out:
            return
        self.is_out = False
        idle = psycopg.pq.TransactionStatus.IDLE
        if self.closed or self.pool is None or self.info.transaction_status != idle:
            super().close()
            return
        try:
            self.autocommit = True
            self.row_factory = tuple_row
            self.execute(_AS_NEW)
        except psycopg.Error:
            super().close()
            return
        self.pool.append(self)

    def end(self) -> None:
        """Close it in earnest."""
        super().close()


@contextmanager
def kept() -> Iterator[None]:
    """Keep what the program closes meanwhile, for its next use."""
    real = connections.open_url
    pools: dict[str, list[_Kept]] = defaultdict(list)

    def open_url(url: str, **named: Any) -> psycopg.Connection[Any]:
        if set(named) - {"autocommit"}:
            return real(url, **named)
        pool = pools[url]
        while pool:
            found = pool.pop()
            if not found.closed:
                found.autocommit = named.get("autocommit", False)
                found.is_out = True
                return found
        connection = _Kept.connect(url, **named)
        connection.pool = pool
        return connection

    connections.open_url = open_url
    try:
        yield
    finally:
        connections.open_url = real
        for pool in pools.values():
            for connection in pool:
                connection.end()
