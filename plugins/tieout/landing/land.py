"""Land files: each whole or not at all, each in one transaction, each once."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

import psycopg

from tieout import database
from tieout.channels.model import ParsedFile, file_problem
from tieout.channels.registry import RecognisedFile, parse_file, recognise
from tieout.landing import archive, manifest
from tieout.landing.copying import copy_frames, lock_for_transaction
from tieout.landing.report import FileOutcome, FileStatus, LandingReport
from tieout.landing.stores import FoundFile, find_files
from tieout.landing.vault import SettingsVault
from tieout.progress import say
from tieout.settings import Settings

__all__ = ["land", "store"]

# Files other parts of Tieout read: the bank's answers to payouts.
_OTHERS = ("pain002_",)


def land(
    settings: Settings,
    *,
    through_date: date | None = None,
    channels: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    paths: Sequence[str] | None = None,
) -> LandingReport:
    """Land every file of the inbox that is not landed yet; safe to repeat and to run twice at once.

    Args:
        settings: the home; its inbox is searched unless `paths` are given.
        through_date: leave alone files whose date (in their name) lies after it.
        channels: only these channels.
        kinds: only these kinds of file.
        paths: files, folders or URLs to land instead of the inbox.

    Returns:
        What became of each file. Nothing of a file that is quarantined, refused or in conflict is
        in the raw tables.

    Raises:
        LandingError: a store cannot be read. Files landed before that stay landed.
    """
    database.migrate(settings)
    found = find_files(list(paths) if paths is not None else [settings.inbox_url])
    outcomes: list[FileOutcome] = []
    wanted: list[tuple[RecognisedFile, FoundFile]] = []
    for file in found:
        recognised = recognise(file.name)
        if recognised is not None:
            if _is_wanted(recognised, through_date, channels, kinds):
                wanted.append((recognised, file))
        elif not file.name.startswith(_OTHERS):
            outcomes.append(_unrecognised(file))
    wanted.sort(key=lambda pair: (pair[0].accounting_date, pair[0].slot, pair[1].url))
    for outcome in outcomes:
        say(f"not landed: {outcome}")
    with database.connect(settings, autocommit=True) as connection:
        # Files of paid dates need not be read again and again for years.
        sealed = manifest.sealed_files(connection)
        for day, files in itertools.groupby(wanted, key=lambda pair: pair[0].accounting_date):
            of_day = [
                _outcome(recognised, known.file_id, "already_landed", known.row_count or 0)
                if (known := sealed.get((file.url, file.size_bytes or -1))) is not None
                else _land_one(
                    connection,
                    settings,
                    manifest.arrived_file(recognised, file.url, file.read()),
                )
                for recognised, file in files
            ]
            _say_day(day, of_day)
            outcomes += of_day
    return LandingReport(tuple(outcomes))


def _is_wanted(
    file: RecognisedFile,
    through_date: date | None,
    channels: Collection[str] | None,
    kinds: Collection[str] | None,
) -> bool:
    return (
        (through_date is None or file.accounting_date <= through_date)
        and (channels is None or file.channel in channels)
        and (kinds is None or file.file_kind in kinds)
    )


def _land_one(
    connection: psycopg.Connection[Any], settings: Settings, arrived: manifest.ArrivedFile
) -> FileOutcome:
    known = manifest.known_file(connection, arrived.file_id)
    # Quarantined bytes are looked at again: what kept them out may have been a rule of ours.
    if known is not None and known.status != "quarantined":
        return _known_outcome(arrived, known)
    parsed = parse_file(arrived.content, arrived.file, SettingsVault(settings))
    try:
        return _land_parsed(connection, settings, arrived, parsed)
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        # The database's own checks are the last net. Its message may quote the row: only the name
        # of what was violated is kept.
        return _land_parsed(connection, settings, arrived, _refused_by_database(error))


def _land_parsed(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
) -> FileOutcome:
    with connection.transaction():
        lock_for_transaction(connection, f"tieout/landing/{arrived.file.slot}")
        known = manifest.known_file(connection, arrived.file_id)
        if known is not None and known.status != "quarantined":
            return _known_outcome(arrived, known)
        others = manifest.files_of_slot(connection, arrived.file)
        landed = [other for other in others if other.status == "landed"]
        if landed:
            return _conflict(connection, settings, arrived, landed[0])
        return store(connection, settings, arrived, parsed, others=others)


def _refused_by_database(error: psycopg.Error) -> ParsedFile:
    names = (error.diag.table_name, error.diag.constraint_name or error.diag.column_name)
    violated = ".".join(name for name in names if name) or type(error).__name__
    problem = file_problem("database_check", f"a row does not fit the table: {violated}")
    return ParsedFile({}, 0, None, bad_rows=(problem,))


def store(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    *,
    others: Sequence[manifest.KnownFile],
) -> FileOutcome:
    """Put a file into its place, which holds no landed file; inside the caller's transaction."""
    reason = manifest.reason_of(parsed)
    if reason is not None:
        archive.keep(settings, arrived.sha256, arrived.content)
        manifest.write_entry(connection, arrived, parsed, status="quarantined", reason=reason)
        manifest.quarantine_rows(connection, arrived.file_id, parsed.bad_rows)
        return _outcome(arrived.file, arrived.file_id, "quarantined", parsed.row_count, reason)
    if _is_sealed(connection, arrived.file):
        reason = f"{arrived.file.accounting_date} is paid and sealed; it takes no more files"
        archive.keep(settings, arrived.sha256, arrived.content)
        manifest.write_entry(connection, arrived, parsed, status="refused", reason=reason)
        return _outcome(arrived.file, arrived.file_id, "refused", parsed.row_count, reason)
    booked_on = manifest.booking_date(connection, arrived.file)
    replaced = [other.file_id for other in others if other.status in {"quarantined", "superseded"}]
    manifest.supersede(
        connection,
        [other.file_id for other in others if other.status == "quarantined"],
        f"replaced by {arrived.file_id}",
    )
    for masked in parsed.masked:
        say(
            f"masked in {arrived.file.file_name}: {masked.kind} in {masked.row_count} texts of "
            f"{masked.field}, the first in line {masked.first_line_number}"
        )
    copy_frames(connection, parsed.frames, file_id=arrived.file_id, accounting_date=booked_on)
    connection.execute("delete from control.quarantined_rows where file_id = %s", [arrived.file_id])
    manifest.write_entry(
        connection,
        arrived,
        parsed,
        status="landed",
        booked_on=booked_on,
        supersedes=next((file_id for file_id in replaced if file_id != arrived.file_id), None),
    )
    return _outcome(arrived.file, arrived.file_id, "landed", parsed.row_count)


def _conflict(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    landed: manifest.KnownFile,
) -> FileOutcome:
    reason = (
        f"other bytes than {landed.file_name} ({landed.file_id}), which has landed for this date"
    )
    archive.keep(settings, arrived.sha256, arrived.content)
    manifest.write_entry(connection, arrived, None, status="conflict", reason=reason)
    return _outcome(arrived.file, arrived.file_id, "conflict", 0, reason)


def _is_sealed(connection: psycopg.Connection[Any], file: RecognisedFile) -> bool:
    """Say whether the file's date is paid. A bank's file goes to the next open date instead."""
    if file.channel == "bank":
        return False
    row = connection.execute(
        """
        select 1
        from control.accounting_days
        where accounting_date = %s
            and state = 'sealed'
        """,
        [file.accounting_date],
    ).fetchone()
    return row is not None


def _outcome(
    file: RecognisedFile,
    file_id: str,
    status: FileStatus,
    row_count: int,
    reason: str | None = None,
) -> FileOutcome:
    return FileOutcome(
        file_id,
        file.file_name,
        file.channel,
        file.file_kind,
        file.accounting_date,
        status,
        row_count,
        reason,
    )


_STATUS_OF_KNOWN: dict[str, FileStatus] = {
    "landed": "already_landed",
    "quarantined": "quarantined",
    "conflict": "conflict",
    "refused": "refused",
    "superseded": "superseded",
}


def _known_outcome(arrived: manifest.ArrivedFile, known: manifest.KnownFile) -> FileOutcome:
    return _outcome(
        arrived.file,
        arrived.file_id,
        _STATUS_OF_KNOWN[known.status],
        known.row_count or 0,
        known.reason,
    )


def _unrecognised(file: FoundFile) -> FileOutcome:
    reason = "no channel or platform delivers a file of this name"
    return FileOutcome("", file.name, None, None, None, "unrecognised", 0, reason)


def _say_day(day: date, files: Sequence[FileOutcome]) -> None:
    """Say what a date got, if anything, and each file that needs a person."""
    landed = [file for file in files if file.status == "landed"]
    if landed:
        say(f"landed {day}: {len(landed)} files, {sum(file.row_count for file in landed)} rows")
    for file in LandingReport(tuple(files)).problems:
        say(f"not landed: {file}")
