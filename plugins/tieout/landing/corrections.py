"""What a person may decide about a file that did not land, or that should not have."""

from __future__ import annotations

from typing import Any

import psycopg

from tieout import database
from tieout.channels.registry import parse_file, recognise
from tieout.landing import archive, manifest
from tieout.landing.copying import lock_for_transaction
from tieout.landing.land import store
from tieout.landing.report import FileOutcome, LandingError
from tieout.landing.vault import SettingsVault
from tieout.settings import Settings

__all__ = ["accept_instead", "dismiss"]


def dismiss(settings: Settings, file_id: str, *, decided_by: str, reason: str) -> None:
    """Set aside a quarantined or conflicting file: kept on record, it blocks its date no longer.

    Raises:
        LandingError: there is no such file, or no reason.
    """
    with database.connect(settings) as connection:
        entry = _entry(connection, file_id, decided_by=decided_by, reason=reason)
        if entry.status not in {"quarantined", "conflict"}:
            raise _not_possible(entry, "only a quarantined or conflicting file can be dismissed")
        connection.execute(
            "update control.channel_files set status = 'refused', reason = %s where file_id = %s",
            [f"dismissed by {decided_by}: {reason}", file_id],
        )


def accept_instead(
    settings: Settings, file_id: str, *, decided_by: str, reason: str
) -> FileOutcome:
    """Land a file in conflict in place of the one that landed, whose rows then no longer count.

    The date has to be open or closed, not sealed; it has to be closed again afterwards.

    Raises:
        LandingError: no such file, the date is sealed, or the file is itself bad.
    """
    with database.connect(settings) as connection, connection.transaction():
        entry = _entry(connection, file_id, decided_by=decided_by, reason=reason)
        if entry.status != "conflict":
            raise _not_possible(entry, "only a file in conflict can take another's place")
        arrived = _arrived(connection, settings, entry)
        lock_for_transaction(connection, f"tieout/landing/{arrived.file.slot}")
        others = manifest.files_of_slot(connection, arrived.file)
        landed = [other.file_id for other in others if other.status == "landed"]
        manifest.supersede(
            connection, landed, f"replaced by {file_id}, decided by {decided_by}: {reason}"
        )
        others = manifest.files_of_slot(connection, arrived.file)
        parsed = parse_file(arrived.content, arrived.file, SettingsVault(settings))
        outcome = store(connection, settings, arrived, parsed, others=others)
        if outcome.status != "landed":
            raise _not_possible(entry, outcome.reason or outcome.status)
        return outcome


def _entry(
    connection: psycopg.Connection[Any], file_id: str, *, decided_by: str, reason: str
) -> manifest.KnownFile:
    if not decided_by.strip() or not reason.strip():
        raise LandingError(
            what="a correction needs a name and a reason",
            where=f"file {file_id}",
            why="both stay on record with the file",
            next_step="say who decides, and why",
        )
    entry = manifest.known_file(connection, file_id)
    if entry is None:
        raise LandingError(
            what=f"no file {file_id}",
            where="control.channel_files",
            why="no file of that id was seen",
            next_step="select file_id, file_name, status from control.channel_files",
        )
    return entry


def _arrived(
    connection: psycopg.Connection[Any], settings: Settings, entry: manifest.KnownFile
) -> manifest.ArrivedFile:
    row = connection.execute(
        "select file_url, sha256 from control.channel_files where file_id = %s", [entry.file_id]
    ).fetchone()
    recognised = recognise(entry.file_name)
    if row is None or recognised is None or not archive.is_kept(settings, row[1]):
        raise _not_possible(entry, "its bytes are no longer kept")
    return manifest.arrived_file(recognised, row[0], archive.read(settings, row[1]))


def _not_possible(entry: manifest.KnownFile, why: str) -> LandingError:
    return LandingError(
        what=f"{entry.file_name} is left as it is ({entry.status})",
        where=f"control.channel_files, file {entry.file_id}",
        why=why,
        next_step="ask the sender for a corrected file and land that",
    )
