"""A restatement: a sealed date computed beside what was paid, compared, and kept with its rows.

    begin -> build -> keep

The database makes the schemas and gives them their names (`control.begin_restatement()`,
`control.keep_restatement()`); dbt fills them with the models of a close. Nothing that is sealed
changes. A run that is cut off leaves schemas that have no name yet, and a row that says `building`;
the next one drops the first and marks the second (docs/decisions/0063-restatements.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from tieout import database
from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.runs import transform

__all__ = [
    "AccountSum",
    "Difference",
    "Restatement",
    "RestatementError",
    "Waiting",
    "differences",
    "latest",
    "restate",
    "restatements",
    "sums",
    "waiting",
]

# A run each hour: what fails so often fails for a reason that another hour does not mend.
TRIES_MAX = 5


class RestatementError(TieoutError):
    """A date cannot be restated."""


@dataclass(frozen=True, slots=True)
class Restatement:
    """A computation of a sealed date beside the sealed one; counts are None until it is kept.

    `findings` are invariants of a close that its rows do not hold.
    """

    restatement_id: int
    accounting_date: date
    restatement_no: int
    state: str
    asked_by: str
    began_at: datetime
    failure: str | None
    findings: list[str]
    only_sealed_count: int | None
    only_restated_count: int | None
    changed_count: int | None
    file_names: list[str]

    @property
    def difference_count(self) -> int:
        """Return how many rows differ."""
        counts = (self.only_sealed_count, self.only_restated_count, self.changed_count)
        return sum(count or 0 for count in counts)

    def schema(self, name: str) -> str:
        """Return the schema that holds its rows of a schema of the sealed ones."""
        return f"restate_{self.accounting_date:%Y%m%d}_{self.restatement_no}_{name}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sealed date with a version that no kept restatement has read, and what was tried since."""

    accounting_date: date
    try_count: int
    failure: str | None

    @property
    def is_given_up(self) -> bool:
        """Say whether a person has to restate it: it has failed too often by itself."""
        return self.try_count >= TRIES_MAX

    def __str__(self) -> str:
        """Say what waits, what failed last, and who tries again."""
        day = self.accounting_date
        said = f"a version of {day} has come that no restatement has read: tieout restate {day}"
        if self.try_count == 0:
            return said
        again = (
            f"given up after {self.try_count} tries"
            if self.is_given_up
            else f"try {self.try_count} of {TRIES_MAX} failed, the next run tries again"
        )
        return f"{said} ({again}: {self.failure or 'it was cut off'})"


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs: only sealed, only restated, or of one key with other values."""

    difference_no: int
    table_name: str
    row_key: dict[str, Any]
    kind: str
    changed_columns: list[str]
    sealed_row: dict[str, Any] | None
    restated_row: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class AccountSum:
    """What an account was cleared and would be, minor units, + to the merchant."""

    account_id: str
    clearing_session_type: str
    currency_code: str
    sealed_amount_minor: int
    restated_amount_minor: int
    difference_minor: int


_RESTATEMENTS = """
    select
        restatements.restatement_id, restatements.accounting_date, restatements.restatement_no,
        restatements.state, restatements.asked_by, restatements.began_at, restatements.failure,
        restatements.findings,
        restatements.only_sealed_count, restatements.only_restated_count,
        restatements.changed_count,
        array(
            select files.file_name
            from control.restatement_files as read_files
            inner join control.channel_files as files on read_files.file_id = files.file_id
            where read_files.restatement_id = restatements.restatement_id
            order by files.file_name, files.file_id
        ) as file_names
    from control.restatements
"""


def restate(settings: Settings, day: date, *, asked_by: str) -> Restatement:
    """Compute a sealed date from what has come since, beside what was paid; keep and return it.

    Raises:
        RestatementError: the date is not sealed, another restatement is being computed, or the
            versions cannot be computed: nothing but the reason is kept then.
    """
    with _alone(settings.acting_as("transform")) as connection:
        restatement_id = _begin(connection, day, asked_by)
        try:
            findings = transform.build_restatement(settings, day)
            connection.execute(
                "select control.keep_restatement(%s, %s)", [restatement_id, list(findings)]
            )
        except (TieoutError, psycopg.Error) as error:
            if connection.closed:
                raise
            why = error.why if isinstance(error, TieoutError) else str(error)
            connection.execute("select control.fail_restatement(%s, %s)", [restatement_id, why])
            raise
    return _one(settings, restatement_id)


@contextmanager
def _alone(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """Hold the restatement's lock for the block: the session's, so that a crash gives it back."""
    with database.connect(settings, autocommit=True) as connection:
        row = connection.execute(
            "select pg_try_advisory_lock(hashtextextended('tieout.restatement', 0))"
        ).fetchone()
        if row is None or not row[0]:
            raise RestatementError(
                what="another restatement is being computed",
                where="control.restatements",
                why="one at a time: each has the schemas restate_work_* for itself",
                next_step="try again when it has ended: tieout restate list",
            )
        yield connection


def _begin(connection: psycopg.Connection[Any], day: date, asked_by: str) -> int:
    try:
        row = connection.execute(
            "select control.begin_restatement(%s, %s)", [day, asked_by]
        ).fetchone()
    except psycopg.errors.RestrictViolation as error:
        raise database.refusal(
            RestatementError,
            f"{day} is not restated",
            error,
            where="control.accounting_days",
            next_step="tieout status",
        ) from error
    assert row is not None
    return int(row[0])


def restatements(settings: Settings, day: date | None = None) -> list[Restatement]:
    """Return the restatements, of one date or all, in the order of dates and numbers."""
    return _read(
        settings,
        "where %(day)s::date is null or accounting_date = %(day)s"
        " order by accounting_date, restatement_no",
        {"day": day},
    )


def latest(settings: Settings, day: date) -> Restatement:
    """Return the newest restatement of a date that is kept.

    Raises:
        RestatementError: there is none.
    """
    kept = [one for one in restatements(settings, day) if one.state == "kept"]
    if not kept:
        raise RestatementError(
            what=f"{day} has no restatement",
            where="control.restatements",
            why="none was computed, or none could be",
            next_step=f"tieout restate {day}",
        )
    return kept[-1]


def _one(settings: Settings, restatement_id: int) -> Restatement:
    (found,) = _read(settings, "where restatement_id = %(id)s", {"id": restatement_id})
    return found


def _read(settings: Settings, condition: str, values: dict[str, object]) -> list[Restatement]:
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Restatement)) as cursor,
    ):
        return cursor.execute(_RESTATEMENTS + condition, values).fetchall()


def differences(
    settings: Settings, restatement_id: int, *, table_name: str | None = None
) -> list[Difference]:
    """Return row by row what differs, in the order of tables and keys."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Difference)) as cursor,
    ):
        return cursor.execute(
            """
            select
                difference_no, table_name, row_key, kind, changed_columns, sealed_row, restated_row
            from control.restatement_differences
            where restatement_id = %(id)s
                and (%(table)s::text is null or table_name = %(table)s)
            order by difference_no
            """,
            {"id": restatement_id, "table": table_name},
        ).fetchall()


def sums(settings: Settings, restatement_id: int) -> list[AccountSum]:
    """Return what accounts were cleared and would be, where that differs."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(AccountSum)) as cursor,
    ):
        return cursor.execute(
            """
            select
                account_id, clearing_session_type, currency_code, sealed_amount_minor,
                restated_amount_minor, difference_minor
            from control.restatement_sums
            where restatement_id = %s
            order by account_id, clearing_session_type, currency_code
            """,
            [restatement_id],
        ).fetchall()


def waiting(settings: Settings) -> list[Waiting]:
    """Return the sealed dates for which a version has come that no kept restatement has read."""
    with (
        database.connect(settings) as connection,
        connection.cursor(row_factory=class_row(Waiting)) as cursor,
    ):
        return cursor.execute(
            """
            select
                unread.accounting_date,
                count(tried.restatement_id) as try_count,
                (array_agg(tried.failure order by tried.restatement_id desc))[1] as failure
            from (
                select accounting_date, max(landed_at) as landed_at
                from control.unread_versions
                group by accounting_date
            ) as unread
            -- A new version begins anew; what is being computed counts as tried, if it was cut off.
            left join control.restatements as tried
                on unread.accounting_date = tried.accounting_date
                and tried.state <> 'kept'
                and tried.began_at >= unread.landed_at
            group by unread.accounting_date
            order by unread.accounting_date
            """
        ).fetchall()
