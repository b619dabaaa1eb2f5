"""What a person may decide about a file that did not land, or that should not have.

Each decision is appended to `control.file_decisions`; files and rows stay on record whatever is
decided. A release opens the date where it was closed, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl
import psycopg

from tieout import database
from tieout.channels.common.model import BadRow, Cutoffs, ParsedFile, Vault
from tieout.channels.registry import RecognisedFile, parse_file, recognise
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.files import archive, decryption, store_urls
from tieout.files.cutoffs import cutoffs
from tieout.files.report import ANSWER_KINDS, FileOutcome, LandingError
from tieout.files.senders import senders
from tieout.files.stores import FileBytes, find_files
from tieout.landing import manifest, payee_register
from tieout.landing.institutions import ANOTHER_INSTITUTION
from tieout.landing.land import hold_slot, is_sealed, parsed_file, store
from tieout.landing.register import RepeatedVouchersError, register_vouchers
from tieout.landing.row_spool import RowSpool
from tieout.landing.vault import SettingsVault

__all__ = ["Release", "good_rows", "reject", "release"]

NEXT_STEP_OF_REPEATS = "ask its sender; reject the file that has the vouchers wrongly"
REJECTABLE = frozenset({"quarantined", "conflict", "unrecognised", "landed", "version"})


@dataclass(frozen=True, slots=True)
class Release:
    """What a release did: the file, whose place it took, rows left out, dates opened."""

    outcome: FileOutcome
    replaced_file_id: str | None
    excluded_rows: tuple[BadRow, ...]
    reopened: tuple[date, ...]


def reject(settings: Settings, file_id: str, *, decided_by: str, reason: str) -> list[date]:
    """Set a file aside: it stays on record, does not count and blocks its date no longer.

    Returns:
        The dates that are to be closed again, where the file had landed for a closed one.

    Raises:
        LandingError: there is no such file, it is not one to be set aside, its date is paid, or no
            name or reason.
        days.DateBusyError, days.DateNotReadyError: its date cannot be opened now.
    """
    with database.connect(settings) as connection, connection.transaction():
        entry, _ = _held_entry(connection, file_id, decided_by=decided_by, reason=reason)
        if entry.status not in REJECTABLE:
            raise _not_possible(entry, "it was set aside before, or another took its place")
        reopened: list[date] = []
        if entry.status == "landed" and entry.booked_on is not None:
            _refuse_sealed(connection, entry, entry.booked_on)
            reopened = days.reopen(connection, entry.booked_on, None)
        note = f"rejected by {decided_by}: {reason}"
        manifest.set_status(connection, file_id, "refused", note)
        manifest.write_decision(
            connection,
            file_id,
            "reject",
            status_before=entry.status,
            status_after="refused",
            decided_by=decided_by,
            reason=reason,
            reopened=reopened,
        )
        return reopened


def release(settings: Settings, file_id: str, *, decided_by: str, reason: str) -> Release:
    """Let a file count that does not, in place of the slot's landed one where there is one.

    A file that was landed once takes its place back with its rows. Any other is parsed again under
    today's rules; of a date that was paid since it is kept as a version. Bad rows are left out only
    where the file without them is proved whole by its own totals; they stay in quarantine.

    Raises:
        LandingError: no such file, its date is paid, it is itself bad, or its bytes are gone.
        days.DateBusyError, days.DateNotReadyError: its date cannot be opened now.
    """
    with database.connect(settings) as connection, connection.transaction():
        entry, recognised = _held_entry(connection, file_id, decided_by=decided_by, reason=reason)
        if entry.status == "landed":
            raise _not_possible(entry, "it has landed; nothing holds it")
        if recognised is None and entry.file_kind in ANSWER_KINDS:
            return _release_report(
                connection, settings, entry, decided_by=decided_by, reason=reason
            )
        if recognised is None:
            raise _not_possible(
                entry,
                "no channel delivers a file of this name",
                "put it into the inbox under its right name and run `tieout land`",
            )
        others = manifest.files_of_slot(connection, recognised)
        landed = next((other for other in others if other.status == "landed"), None)
        dates = _dates(entry, recognised, landed)
        sealed = next((day for day in dates if is_sealed(connection, day)), None)
        if sealed is not None:
            return _release_version(
                connection, settings, entry, recognised, decided_by=decided_by, reason=reason
            )
        first = min(dates, default=None)
        reopened = days.reopen(connection, first, None) if first else []
        note = f"decided by {decided_by}: {reason}"
        if landed is not None:
            manifest.supersede(connection, [landed.file_id], f"replaced by {file_id}, {note}")
        excluded: tuple[BadRow, ...] = ()
        if entry.booked_on is not None:
            outcome = _put_back(connection, settings, entry, recognised, landed=landed, note=note)
        else:
            with RowSpool(settings.home) as rows:
                outcome, excluded = _land_again(connection, settings, entry, recognised, rows)
        manifest.write_decision(
            connection,
            file_id,
            "release",
            status_before=entry.status,
            status_after="landed",
            decided_by=decided_by,
            reason=reason,
            replaced=landed.file_id if landed else None,
            excluded_row_count=len({row.line_number for row in excluded}),
            reopened=reopened,
        )
        return Release(outcome, landed.file_id if landed else None, excluded, tuple(reopened))


def _release_report(
    connection: psycopg.Connection[Any],
    settings: Settings,
    entry: manifest.KnownFile,
    *,
    decided_by: str,
    reason: str,
) -> Release:
    """Let the next `tieout outcomes` read a status report from the bytes that are kept.

    In place of one that counted under its name, whose events stay: a status is never taken back.
    """
    if not archive.is_kept(settings, entry.sha256):
        raise _not_possible(
            entry, "its bytes are not kept", "put it into the inbox again: it is read from there"
        )
    row = connection.execute(
        """
        select others.file_id
        from control.channel_files as held
        inner join control.channel_files as others
            on held.slot = others.slot and others.status = 'landed'
        where held.file_id = %s
        """,
        [entry.file_id],
    ).fetchone()
    note = f"released by {decided_by}: {reason}; the next `tieout outcomes` reads it"
    if row is not None:
        manifest.supersede(connection, [row[0]], f"replaced by {entry.file_id}, {note}")
    manifest.set_status(connection, entry.file_id, "quarantined", note)
    manifest.write_decision(
        connection,
        entry.file_id,
        "release",
        status_before=entry.status,
        status_after="quarantined",
        decided_by=decided_by,
        reason=reason,
        replaced=row[0] if row is not None else None,
    )
    outcome = FileOutcome(
        entry.file_id, entry.file_name, "bank", entry.file_kind, None, "quarantined", 0, note
    )
    return Release(outcome, row[0] if row is not None else None, (), ())


def good_rows(
    content: bytes,
    file: RecognisedFile,
    parsed: ParsedFile,
    vault: Vault,
    *,
    cutoffs: Cutoffs | None = None,
) -> ParsedFile:
    """Return the file without its bad rows where its own totals hold for the rest.

    Only for text files of one line a row. Nothing is guessed: without totals, or with totals that
    count the bad rows, they prove nothing about the rest.

    Raises:
        ValueError: says why the rest is not proved.
    """
    numbers = sorted({row.line_number for row in parsed.bad_rows})
    if not numbers:
        raise ValueError(manifest.reason_of(parsed) or "nothing speaks against it")
    is_of_others = any(row.reason_code == ANOTHER_INSTITUTION for row in parsed.bad_rows)
    if numbers[0] < 1 or is_of_others or not file.file_name.endswith(".csv"):
        raise ValueError(f"bad as a whole: {manifest.reason_of(parsed)}")
    lines = content.split(b"\n")
    kept = [number for number in range(1, len(lines) + 1) if number not in set(numbers)]
    content = b"\n".join(lines[number - 1] for number in kept)
    rest = parse_file(content, file, vault, cutoffs=cutoffs)
    reason = manifest.reason_of(rest)
    if reason is None and rest.totals_status != "agree":
        reason = "its format has no totals"
    if reason is not None:
        raise ValueError(
            f"without its {len(numbers)} bad rows the file is not proved whole: {reason}"
        )
    return replace(rest, frames=_with_lines_of_the_file(rest, kept))


def _with_lines_of_the_file(rest: ParsedFile, kept: Sequence[int]) -> dict[str, pl.DataFrame]:
    """Return the frames with each row's line in the file as it came."""
    lines = pl.Series("line_number", kept, dtype=pl.Int32)
    return {
        table: frame.with_columns(lines.gather(frame["line_number"] - 1).alias("line_number"))
        if "line_number" in frame.columns
        else frame
        for table, frame in rest.frames.items()
    }


def _dates(
    entry: manifest.KnownFile, file: RecognisedFile, landed: manifest.KnownFile | None
) -> list[date]:
    """Return the dates whose rows change, in order.

    A bank's file that never landed is booked on the next open date: it changes no other.
    """
    booked = [known.booked_on for known in (entry, landed) if known and known.booked_on]
    return sorted(booked if file.channel == "bank" else [file.accounting_date, *booked])


def _release_version(
    connection: psycopg.Connection[Any],
    settings: Settings,
    entry: manifest.KnownFile,
    file: RecognisedFile,
    *,
    decided_by: str,
    reason: str,
) -> Release:
    """Keep a file of a date that was paid since as a version: nothing of the date changes."""
    if entry.status == "version":
        raise _not_possible(
            entry,
            f"{file.accounting_date} is paid and sealed: it is kept as a version",
            f"tieout restate {file.accounting_date}",
        )
    with RowSpool(settings.home) as rows:
        outcome, excluded = _land_again(connection, settings, entry, file, rows)
    manifest.write_decision(
        connection,
        entry.file_id,
        "release",
        status_before=entry.status,
        status_after=outcome.status,
        decided_by=decided_by,
        reason=reason,
        excluded_row_count=len({row.line_number for row in excluded}),
    )
    return Release(outcome, None, excluded, ())


def _refuse_sealed(
    connection: psycopg.Connection[Any], entry: manifest.KnownFile, day: date
) -> None:
    if is_sealed(connection, day):
        raise _not_possible(
            entry,
            f"{day} is paid and sealed; it takes no more files and gives none back",
            "book the difference by records of a later date; the file stays on record",
        )


def _put_back(
    connection: psycopg.Connection[Any],
    settings: Settings,
    entry: manifest.KnownFile,
    file: RecognisedFile,
    *,
    landed: manifest.KnownFile | None,
    note: str,
) -> FileOutcome:
    """Let the rows of a file that was landed before count again; they never left the tables."""
    reason = f"put back, {note}"
    if (file.channel, file.file_kind) == ("platform", "source_vouchers") and entry.row_count:
        try:
            register_vouchers(
                connection,
                entry.file_id,
                entry.booked_on or file.accounting_date,
                entry.row_count,
            )
        except RepeatedVouchersError as error:
            raise _not_possible(entry, error.reason, NEXT_STEP_OF_REPEATS) from None
    payees = _payees_of(connection, settings, entry, file)
    connection.execute(
        """
        update control.channel_files
        set status = 'landed', reason = %s, supersedes = %s
        where file_id = %s
        """,
        [reason, landed.file_id if landed else None, entry.file_id],
    )
    payee_register.register(
        connection, settings, entry.file_id, entry.booked_on or file.accounting_date, payees
    )
    return FileOutcome(
        entry.file_id,
        entry.file_name,
        file.channel,
        file.file_kind,
        file.accounting_date,
        "landed",
        entry.row_count or 0,
        reason,
    )


def _payees_of(
    connection: psycopg.Connection[Any],
    settings: Settings,
    entry: manifest.KnownFile,
    file: RecognisedFile,
) -> list[payee_register.Payee]:
    """Return the payees among the rows of a file that landed before; refuse changed versions."""
    if file.channel != "platform" or file.file_kind != "payees":
        return []
    day = entry.booked_on or file.accounting_date
    payees = payee_register.landed_payees(connection, entry.file_id, day)
    found = payee_register.contradictions(
        connection, settings, entry.file_id, payees, replaced_file_id=None
    )
    if found:
        raise _not_possible(entry, f"line {found[0].line_number}: {found[0].reason}")
    return payees


def _land_again(
    connection: psycopg.Connection[Any],
    settings: Settings,
    entry: manifest.KnownFile,
    file: RecognisedFile,
    rows: RowSpool,
) -> tuple[FileOutcome, tuple[BadRow, ...]]:
    """Parse a kept file under today's rules and land it, without rows it is proved without."""
    if decryption.says_unopened(entry.reason):
        raise _not_possible(
            entry,
            "what is kept of it is encrypted",
            "give the key that opens it, then `tieout land`",
        )
    content = _content(settings, entry)
    arrived = manifest.arrived_file(
        file, entry.file_url, FileBytes(content, entry.sha256, len(content))
    )
    in_force = cutoffs(connection)
    parsed = parsed_file(settings, arrived, rows, in_force)
    excluded: tuple[BadRow, ...] = ()
    if not parsed.is_good:
        excluded = parsed.bad_rows
        try:
            parsed = good_rows(content, file, parsed, SettingsVault(settings), cutoffs=in_force)
        except ValueError as error:
            raise _not_possible(entry, str(error)) from None
    changed = payee_register.checked(
        connection, settings, entry.file_id, parsed, replaced_file_id=None
    )
    if not changed.is_good:
        raise _not_possible(entry, str(manifest.reason_of(changed)))
    others = manifest.files_of_slot(connection, file)
    try:
        outcome = store(connection, settings, arrived, parsed, others=others)
    except RepeatedVouchersError as error:
        raise _not_possible(entry, error.reason, NEXT_STEP_OF_REPEATS) from None
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        # The message of the database may quote a row.
        name = error.diag.constraint_name or error.diag.column_name or type(error).__name__
        raise _not_possible(entry, f"a row does not fit the table: {name}") from None
    if outcome.status not in {"landed", "version"}:
        raise _not_possible(entry, outcome.reason or outcome.status)
    if excluded:
        manifest.quarantine_rows(connection, entry.file_id, excluded)
    return outcome, excluded


def _content(settings: Settings, entry: manifest.KnownFile) -> bytes:
    """Return the kept bytes; of a file that was too large to be copied, those in the inbox."""
    if archive.is_kept(settings, entry.sha256):
        return archive.read(settings, entry.sha256)
    url = store_urls.with_login(entry.file_url, [settings.inbox_url])
    for found in find_files([url]):
        read, _ = decryption.opened(settings, found.name, found.read(settings.max_file_bytes))
        if read.content is not None and read.sha256 == entry.sha256:
            return read.content
        if read.content is None:
            raise _not_possible(
                entry,
                f"it has {read.size_bytes:,} bytes, above TIEOUT_MAX_FILE_BYTES",
                "land it on a machine with more memory, or raise TIEOUT_MAX_FILE_BYTES",
            )
    if "[too_large]" in (entry.reason or ""):
        raise _not_possible(
            entry,
            "of a file that was too large only the beginning was read, which proves no whole",
            "raise TIEOUT_MAX_FILE_BYTES and close its date: it lands by itself",
        )
    raise _not_possible(entry, "its bytes are no longer kept")


def _held_entry(
    connection: psycopg.Connection[Any], file_id: str, *, decided_by: str, reason: str
) -> tuple[manifest.KnownFile, RecognisedFile | None]:
    """Return the file's row, and what its name says, once nobody else decides or lands its slot."""
    if not decided_by.strip() or not reason.strip():
        raise LandingError(
            what="a decision about a file needs a name and a reason",
            where=f"file {file_id}",
            why="both stay on record with the file",
            next_step="say who decides (--by), and why (--reason)",
        )
    named = recognise(_known(connection, file_id).file_name)
    recognised = None if named is None else senders(connection).channel_of(named)
    if recognised is None:
        days.lock_claims(connection)
    else:
        hold_slot(connection, recognised)
    # Another decision, or a landing, may have been waited for.
    return _known(connection, file_id), recognised


def _known(connection: psycopg.Connection[Any], file_id: str) -> manifest.KnownFile:
    entry = manifest.known_file(connection, file_id)
    if entry is None:
        raise LandingError(
            what=f"no file {file_id}",
            where="control.channel_files",
            why="no file of that id was seen",
            next_step="tieout quarantine list",
        )
    return entry


def _not_possible(
    entry: manifest.KnownFile,
    why: str,
    next_step: str = "ask the sender for a corrected file and land that",
) -> LandingError:
    return LandingError(
        what=f"{entry.file_name} is left as it is ({entry.status})",
        where=f"control.channel_files, file {entry.file_id}",
        why=why,
        next_step=next_step,
    )
