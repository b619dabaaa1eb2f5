"""Land files: each whole or not at all, each in one transaction, each once.

A file for a date that is closed opens the date again, in the same transaction. A second file of a
slot takes the place of the first by itself only where `_why_not_by_itself` finds nothing against
it; else it is a conflict, which a person decides (`corrections`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import psycopg

from tieout import database
from tieout.channels.bank.mt940_delivery import statements_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import Cutoffs, ParsedFile, file_problem
from tieout.channels.registry import FileReading, RecognisedFile, recognise
from tieout.core.progress import say
from tieout.core.settings import Settings
from tieout.dates import days
from tieout.files import archive, decryption, store_urls
from tieout.files.cutoffs import cutoffs
from tieout.files.expected import correctable_kinds
from tieout.files.report import ANSWER_KINDS, FileOutcome, FileStatus, LandingReport
from tieout.files.senders import senders
from tieout.files.stores import (
    FileBytes,
    FileGoneError,
    FoundFile,
    IrregularEntry,
    IrregularError,
    find_entries,
)
from tieout.landing import manifest, payee_register
from tieout.landing.carried import carry_approved, carry_late
from tieout.landing.copying import copy_frames, copy_version, lock_for_transaction
from tieout.landing.institutions import unless_of_another_institution
from tieout.landing.register import (
    REGISTERED_TABLE,
    RepeatedVouchersError,
    register_vouchers,
)
from tieout.landing.row_spool import RowSpool
from tieout.landing.vault import SettingsVault

__all__ = ["hold_slot", "is_sealed", "land", "parsed_file", "store"]

# A sender has several channels, and the file's name is of none of them.
UNKNOWN_ACCOUNT = "unknown_account"

# Files other parts of Tieout read: the bank's answers to payouts.
_OTHERS = tuple(f"{kind}_" for kind in ANSWER_KINDS)
# Who is on record where no person decided.
BY_ITSELF = "tieout"


@dataclass(frozen=True, slots=True)
class _Landing:
    """One call of `land`: when it began (the database's clock), for which run, and the rules."""

    settings: Settings
    owner: str | None
    began_at: datetime
    correctable: frozenset[tuple[str, str]]
    cutoffs: Cutoffs


def land(
    settings: Settings,
    *,
    through_date: date | None = None,
    channels: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    paths: Sequence[str] | None = None,
    owner: str | None = None,
) -> LandingReport:
    """Land every file of the inbox that is not landed yet; safe to repeat and to run twice at once.

    Args:
        settings: the home; its inbox is searched unless `paths` are given.
        through_date: leave alone files whose date (in their name) lies after it.
        channels: only these channels.
        kinds: only these kinds of file.
        paths: files, folders or URLs to land instead of the inbox.
        owner: the run that lands them, which may hold the date whose files change.

    Returns:
        What became of each file. Nothing of a file that is quarantined, refused, in conflict or
        waiting is in the raw tables.

    Raises:
        LandingError: a store cannot be read. Files landed before that stay landed.
    """
    database.migrate(settings)
    with database.connect(settings, autocommit=True) as connection:
        known_senders = senders(connection)
    found, irregular = find_entries(list(paths) if paths is not None else [settings.inbox_url])
    unknown: list[FoundFile] = []
    wanted: list[tuple[RecognisedFile, FoundFile]] = []
    for file in found:
        recognised = recognise(decryption.plain_name(file.name))
        if recognised is not None:
            recognised = known_senders.channel_of(recognised)
            if _is_wanted(recognised, through_date, channels, kinds):
                wanted.append((recognised, file))
        elif not file.name.startswith(_OTHERS):
            unknown.append(file)
    wanted.sort(key=lambda pair: (pair[0].accounting_date, pair[0].slot, pair[1].url))
    with database.connect(settings, autocommit=True) as connection:
        payee_register.adopt(connection, settings)
        began_at = manifest.clock(connection)
        landing = _Landing(
            settings, owner, began_at, correctable_kinds(settings), cutoffs(connection)
        )
        carry_approved(connection, settings, owner)
        outcomes: list[FileOutcome] = []
        # Files of paid dates need not be read again and again for years.
        sealed = manifest.sealed_files(connection)
        for day, files in itertools.groupby(wanted, key=lambda pair: pair[0].accounting_date):
            of_day: list[FileOutcome] = []
            for recognised, file in files:
                known = _sealed(sealed, file)
                with _left_where_gone(file, irregular):
                    if known is not None:
                        of_day.append(_known_outcome(recognised, known))
                    elif recognised.is_cut_on_landing:
                        of_day += _land_delivery(
                            connection, landing, recognised, file, through_date
                        )
                    else:
                        of_day.append(_land_one(connection, landing, recognised, file))
            _say_day(day, of_day)
            outcomes += of_day
        strangers: list[FileOutcome] = []
        for file in unknown:
            with _left_where_gone(file, irregular):
                strangers.append(_unrecognised(connection, settings, file))
        strangers += [_irregular(connection, entry) for entry in irregular]
        for outcome in strangers:
            say(f"not landed: {outcome}")
        if any(outcome.status == "landed" for outcome in outcomes):
            # Every model joins its rows with the list of files; autovacuum may come too late.
            connection.execute(
                "select control.analyze(array['control.channel_files'::regclass,"
                " 'control.voucher_register'::regclass])"
            )
    return LandingReport((*strangers, *outcomes))


def _sealed(
    sealed: Mapping[tuple[str, int | None, str | None], manifest.KnownFile], file: FoundFile
) -> manifest.KnownFile | None:
    """Return the landed file of a sealed date that a found file is, by what its store says."""
    urls = (file.url, store_urls.without_host(file.url))
    found = (sealed.get((url, file.size_bytes, file.version)) for url in urls)
    return next((known for known in found if known is not None), None)


@contextmanager
def _left_where_gone(file: FoundFile, irregular: list[IrregularEntry]) -> Iterator[None]:
    """Go on without a file that its sender renamed, took away or exchanged since it was found."""
    try:
        yield
    except FileGoneError:
        name = masked_excerpt(file.name)
        say(f"not landed: {name} is gone since the inbox was searched; looked for at the next time")
    except IrregularError:
        irregular.append(IrregularEntry(file.url, file.name, "something else since it was found"))


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
    connection: psycopg.Connection[Any],
    landing: _Landing,
    recognised: RecognisedFile,
    file: FoundFile,
) -> FileOutcome:
    arrived, unopened = _opened(landing, recognised, file)
    return _land_arrived(connection, landing, arrived, file.name, unopened)


def _opened(
    landing: _Landing, recognised: RecognisedFile, file: FoundFile
) -> tuple[manifest.ArrivedFile, ParsedFile | None]:
    """Read a file; return it with the refusal of one that could not be opened."""
    read, unopened = decryption.opened(
        landing.settings, file.name, file.read(landing.settings.max_file_bytes)
    )
    return manifest.arrived_file(recognised, file.url, read, file), unopened


def _land_delivery(
    connection: psycopg.Connection[Any],
    landing: _Landing,
    recognised: RecognisedFile,
    file: FoundFile,
    through_date: date | None,
) -> list[FileOutcome]:
    """Land each statement of a delivery as the file it would have been by itself.

    A delivery that cannot be opened or cut is held as a whole, under its own name.
    """
    arrived, unopened = _opened(landing, recognised, file)
    if unopened is not None or arrived.content is None:
        return [_land_arrived(connection, landing, arrived, file.name, unopened)]
    delivery = statements_of(io.BytesIO(arrived.content))
    if delivery.bad_rows:
        refused = ParsedFile({}, 0, None, bad_rows=delivery.bad_rows)
        return [_land_arrived(connection, landing, arrived, file.name, refused)]
    _set_uncut_aside(connection, arrived)
    outcomes: list[FileOutcome] = []
    for statement in delivery.statements:
        part = recognise(statement.file_name)
        # The name was made to be one of ours.
        assert part is not None, statement.file_name
        if through_date is not None and part.accounting_date > through_date:
            continue
        content = statement.content
        part_read = FileBytes(content, hashlib.sha256(content).hexdigest(), len(content))
        url = f"{file.url}#{statement.file_name}"
        part_arrived = manifest.arrived_file(part, url, part_read, file)
        outcomes.append(_land_arrived(connection, landing, part_arrived, statement.file_name, None))
    return outcomes


def _set_uncut_aside(connection: psycopg.Connection[Any], arrived: manifest.ArrivedFile) -> None:
    """Let a delivery of the same name block no more that could not be cut: this one can."""
    with connection.transaction():
        hold_slot(connection, arrived.file)
        uncut = [
            other.file_id
            for other in manifest.files_of_slot(connection, arrived.file)
            if other.status == "quarantined"
        ]
        manifest.supersede(connection, uncut, f"cut into its statements: {arrived.file_id}")


def _land_arrived(
    connection: psycopg.Connection[Any],
    landing: _Landing,
    arrived: manifest.ArrivedFile,
    found_name: str,
    refused: ParsedFile | None,
) -> FileOutcome:
    """Land a file whose bytes are read; `refused` says why it was not looked into, where it was."""
    known = manifest.known_file(connection, arrived.file_id)
    # Quarantined bytes are looked at again: what kept them out may have been a rule of ours.
    if known is not None and known.status != "quarantined":
        manifest.found_again(connection, arrived)
        if decryption.plain_name(found_name) != found_name:
            _set_unopened_aside(connection, arrived)
        if known.status == "superseded":
            return _sent_back(connection, landing.settings, arrived)
        return _known_outcome(arrived.file, known)
    with RowSpool(landing.settings.home) as rows:
        parsed = refused or parsed_file(landing.settings, arrived, rows, landing.cutoffs)
        try:
            return _land_parsed(connection, landing, arrived, parsed)
        except RepeatedVouchersError as error:
            return _repeats(connection, landing.settings, arrived, parsed, error)
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            # The database's own checks are the last net. Its message may quote the row: only the
            # name of what was violated is kept.
            return _land_parsed(connection, landing, arrived, _refused_by_database(error))
        except (days.DateBusyError, days.DateNotReadyError) as error:
            # Its sender may put another into its place meanwhile.
            _keep(landing.settings, arrived)
            reason = f"waits for the next landing: {error.what} ({error.why})"
            return _outcome(arrived.file, arrived.file_id, "waiting", parsed.row_count, reason)


def _set_unopened_aside(connection: psycopg.Connection[Any], arrived: manifest.ArrivedFile) -> None:
    """Let what lay there and could not be opened block no more: it is opened now, and known."""
    with connection.transaction():
        hold_slot(connection, arrived.file)
        unopened = [
            other.file_id
            for other in manifest.files_of_slot(connection, arrived.file)
            if other.status == "quarantined"
            and store_urls.is_same_place(other.file_url, arrived.url)
            and decryption.says_unopened(other.reason)
        ]
        manifest.supersede(connection, unopened, f"opened since: {arrived.file_id}")


def _sent_back(
    connection: psycopg.Connection[Any], settings: Settings, arrived: manifest.ArrivedFile
) -> FileOutcome:
    """Ask a person where a sender puts a file back that its own correction had replaced.

    The earlier version beside the correction is what the correction left there, and says nothing.
    """
    with connection.transaction():
        hold_slot(connection, arrived.file)
        others = manifest.files_of_slot(connection, arrived.file)
        known = next(other for other in others if other.file_id == arrived.file_id)
        landed = next((other for other in others if other.status == "landed"), None)
        is_back = (
            known.status == "superseded"
            and landed is not None
            and store_urls.is_same_place(landed.file_url, arrived.url)
            and manifest.was_corrected(connection, arrived.file_id)
        )
        if landed is None or not is_back:
            return _known_outcome(arrived.file, known)
        _keep(settings, arrived)
        reason = (
            f"its sender has put it back in the place of {landed.file_name} ({landed.file_id}), "
            "which had corrected it"
        )
        status: FileStatus = "conflict"
        if is_sealed(connection, landed.booked_on or arrived.file.accounting_date):
            status, reason = "refused", f"{reason}; the date is paid and sealed"
        manifest.set_status(connection, arrived.file_id, status, reason)
        return _outcome(arrived.file, arrived.file_id, status, known.row_count or 0, reason)


def _unless_landed_elsewhere(
    connection: psycopg.Connection[Any], arrived: manifest.ArrivedFile, parsed: ParsedFile
) -> ParsedFile:
    """Refuse records that have landed as another file: they would count twice.

    Some formats have no date inside (disputes of UnionPay), and the number in a bank file's name
    need not be in it. The platform's snapshots may stay the same from day to day, and so do files
    without records.
    """
    if not (parsed.is_good and parsed.row_count) or arrived.file.channel == "platform":
        return parsed
    other = manifest.landed_elsewhere(connection, arrived, parsed)
    if other is None:
        return parsed
    day, file_name = other
    is_same_date = day == arrived.file.accounting_date
    code = "same_as_another_file" if is_same_date else "same_as_another_date"
    reason = f"the same records have landed as the file {file_name} of {day}"
    return replace(parsed, bad_rows=(file_problem(code, reason),))


def parsed_file(
    settings: Settings, arrived: manifest.ArrivedFile, rows: RowSpool, cutoffs: Cutoffs
) -> ParsedFile:
    """Parse a file into the spool, or say why it is not read; `frames` is the spool."""
    if not arrived.file.is_of_a_channel:
        parts = ", ".join(f"{name}={value}" for name, value in arrived.file.name_parts.items())
        problem = file_problem(
            UNKNOWN_ACCOUNT,
            f"reference.channel_senders has no row of {arrived.file.channel} "
            f"{arrived.file.file_kind} with {parts or 'a name that says no account'}",
        )
        return ParsedFile({}, 0, None, bad_rows=(problem,))
    if arrived.content is not None:
        reading = FileReading(arrived.file, SettingsVault(settings), cutoffs=cutoffs)
        for frames in reading.blocks(io.BytesIO(arrived.content)):
            rows.add(frames)
        parsed = replace(reading.finish(), frames=rows)
        return unless_of_another_institution(settings, arrived.file, parsed)
    problem = file_problem(
        "too_large",
        f"it has {arrived.size_bytes:,} bytes; {settings.max_file_bytes:,} is the most this "
        "machine takes (TIEOUT_MAX_FILE_BYTES); its bytes are not copied",
    )
    return ParsedFile({}, 0, None, bad_rows=(problem,))


def _land_parsed(
    connection: psycopg.Connection[Any],
    landing: _Landing,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
) -> FileOutcome:
    with connection.transaction():
        hold_slot(connection, arrived.file)
        known = manifest.known_file(connection, arrived.file_id)
        if known is not None and known.status != "quarantined":
            return _known_outcome(arrived.file, known)
        parsed = _unless_landed_elsewhere(connection, arrived, parsed)
        others = manifest.files_of_slot(connection, arrived.file)
        landed = next((other for other in others if other.status == "landed"), None)
        parsed = payee_register.checked(
            connection,
            landing.settings,
            arrived.file_id,
            parsed,
            replaced_file_id=landed.file_id if landed else None,
        )
        # What is inside a file that was not opened may well be what has landed.
        if landed is None or decryption.is_refusal(parsed):
            return store(
                connection, landing.settings, arrived, parsed, others=others, owner=landing.owner
            )
        if is_sealed(connection, landed.booked_on or arrived.file.accounting_date):
            return _keep_version(
                connection, landing.settings, arrived, parsed, landed=landed, owner=landing.owner
            )
        against = _why_not_by_itself(landing, arrived, parsed, landed)
        if against is not None:
            return _conflict(
                connection, landing.settings, arrived, parsed, landed=landed, against=against
            )
        return _correct(connection, landing, arrived, parsed, others=others, landed=landed)


def _why_not_by_itself(
    landing: _Landing,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    landed: manifest.KnownFile,
) -> str | None:
    """Say what speaks against taking a second file for a correction, or None where nothing does.

    Being wrong here would change what is paid, so each doubt leaves it to a person.
    """
    reason = manifest.reason_of(parsed)
    is_same = landed.rows_digest is not None and landed.rows_digest == manifest.rows_digest(parsed)
    # In the place of the first the sender has put the second; elsewhere the store has to say so.
    is_newer = store_urls.is_same_place(landed.file_url, arrived.url) or (
        arrived.changed_at is not None and arrived.changed_at > landed.landed_at
    )
    doubts = {
        f"and it is itself bad: {reason}": reason is not None,
        "and files of this kind are corrected by people only (reference.expected_files)": (
            arrived.file.channel,
            arrived.file.file_kind,
        )
        not in landing.correctable,
        "and its format has no totals that would prove it whole": parsed.totals_status != "agree",
        "with the same records: nothing would change": is_same,
        f"and it has {parsed.row_count} rows where {landed.row_count} have landed": (
            parsed.row_count * 2 < (landed.row_count or 0)
        ),
        "and both came together: which of them is newer is not known": (
            landed.landed_at >= landing.began_at
        ),
        "and nothing says that it is the newer one": not is_newer,
    }
    return next((doubt for doubt, is_held in doubts.items() if is_held), None)


def _correct(
    connection: psycopg.Connection[Any],
    landing: _Landing,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    *,
    others: Sequence[manifest.KnownFile],
    landed: manifest.KnownFile,
) -> FileOutcome:
    """Land the sender's correction in place of the landed file; both stay on record."""
    reopened = days.reopen(
        connection,
        landed.booked_on or arrived.file.accounting_date,
        landing.owner,
    )
    manifest.supersede(connection, [landed.file_id], f"corrected by {arrived.file_id}")
    outcome = store(
        connection, landing.settings, arrived, parsed, others=others, owner=landing.owner
    )
    before, after = landed.row_count or 0, parsed.row_count
    reason = f"a correction of {landed.file_name} ({landed.file_id}): {before} rows, now {after}"
    if reopened:
        reason += f"; to be closed again: {', '.join(map(str, reopened))}"
    manifest.write_decision(
        connection,
        arrived.file_id,
        "correct",
        status_before=None,
        status_after=outcome.status,
        decided_by=BY_ITSELF,
        reason=reason,
        replaced=landed.file_id,
        reopened=reopened,
    )
    return _outcome(arrived.file, arrived.file_id, outcome.status, parsed.row_count, reason)


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
    owner: str | None = None,
) -> FileOutcome:
    """Put a file into its place, which holds no landed file; inside the caller's transaction.

    Of a sealed date it is kept as a version, whatever the place holds.

    The caller holds the place (`hold_slot`). A good file for a date that is closed opens it.

    Raises:
        days.DateBusyError, days.DateNotReadyError: the date cannot be opened now.
        RepeatedVouchersError: a voucher of it is on record already; nothing may be kept.
    """
    parsed = _unless_opened_before(connection, arrived, parsed)
    reason = manifest.reason_of(parsed)
    if reason is not None:
        _keep(settings, arrived)
        manifest.write_entry(connection, arrived, parsed, status="quarantined", reason=reason)
        manifest.quarantine_rows(connection, arrived.file_id, parsed.bad_rows)
        return _outcome(arrived.file, arrived.file_id, "quarantined", parsed.row_count, reason)
    is_banks = arrived.file.channel == "bank"
    landed_one = next((other for other in others if other.status == "landed"), None)
    day = (landed_one and landed_one.booked_on) or arrived.file.accounting_date
    if (landed_one or not is_banks) and is_sealed(connection, day):
        return _keep_version(connection, settings, arrived, parsed, landed=landed_one, owner=owner)
    booked_on = manifest.booking_date(connection, arrived.file)
    reopened = days.admit_file(connection, booked_on, owner, is_banks=is_banks)
    replaced = [other.file_id for other in others if other.status in {"quarantined", "superseded"}]
    landed = [other.file_id for other in others if other.status == "landed"]
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
    if REGISTERED_TABLE in parsed.frames and parsed.row_count:
        register_vouchers(connection, arrived.file_id, booked_on, parsed.row_count)
    connection.execute("delete from control.quarantined_rows where file_id = %s", [arrived.file_id])
    manifest.write_entry(
        connection,
        arrived,
        parsed,
        status="landed",
        booked_on=booked_on,
        supersedes=next(
            (file_id for file_id in (*landed, *replaced) if file_id != arrived.file_id), None
        ),
        digest=manifest.rows_digest(parsed),
    )
    payees = payee_register.parsed_payees(parsed)
    payee_register.register(connection, settings, arrived.file_id, booked_on, payees)
    if reopened:
        reason = f"came after the close; to be closed again: {', '.join(map(str, reopened))}"
        manifest.write_decision(
            connection,
            arrived.file_id,
            "late",
            status_before=None,
            status_after="landed",
            decided_by=BY_ITSELF,
            reason=reason,
            reopened=reopened,
        )
    return _outcome(arrived.file, arrived.file_id, "landed", parsed.row_count, reason)


def _unless_opened_before(
    connection: psycopg.Connection[Any], arrived: manifest.ArrivedFile, parsed: ParsedFile
) -> ParsedFile:
    """Refuse opening balances of another date than the first: they would be money from nowhere.

    The first date is the first that was closed; before any close, what the operating window says.
    """
    if arrived.file.file_kind != "opening_balances" or not parsed.is_good:
        return parsed
    row = connection.execute(
        """
        select coalesce(
            (
                select min(accounting_date) from control.accounting_days
                where state in ('closed', 'sealed')
            ),
            (
                select windows.first_accounting_date
                from raw.platform_operating_window as windows
                inner join control.channel_files as files
                    on windows.file_id = files.file_id and files.status = 'landed'
                order by windows.accounting_date desc, files.file_id asc
                limit 1
            )
        )
        """
    ).fetchone()
    first = None if row is None else row[0]
    if first is None or arrived.file.accounting_date == first:
        return parsed
    reason = f"opening balances are of the first accounting date, {first}, and of no other"
    return replace(parsed, bad_rows=(file_problem("not_the_first_date", reason),))


def _keep(settings: Settings, arrived: manifest.ArrivedFile) -> None:
    """Keep the bytes of a file that does not land; one that is too large stays where it is."""
    if arrived.content is not None:
        archive.keep(settings, arrived.sha256, arrived.content)


def _keep_version(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    *,
    landed: manifest.KnownFile | None,
    owner: str | None,
) -> FileOutcome:
    """Keep a file of a sealed date with its rows, where no close reads them: for a restatement.

    One that is itself bad is refused, its bytes are kept. Vouchers that no date has are landed with
    the first open one: nothing late is lost, and nothing of the sealed date changes.

    Raises:
        days.DateBusyError, days.DateNotReadyError: a run works on the open date.
    """
    day = (landed and landed.booked_on) or arrived.file.accounting_date
    _keep(settings, arrived)
    against = manifest.reason_of(parsed)
    if against is not None:
        reason = f"{day} is paid and sealed, and the file is itself bad: {against}"
        manifest.write_entry(connection, arrived, parsed, status="refused", reason=reason)
        manifest.quarantine_rows(connection, arrived.file_id, parsed.bad_rows)
        return _outcome(arrived.file, arrived.file_id, "refused", parsed.row_count, reason)
    copy_version(connection, parsed.frames, file_id=arrived.file_id, accounting_date=day)
    corrected = f" of {landed.file_name} ({landed.file_id})" if landed else ""
    reason = (
        f"{day} is paid and sealed: kept as a version{corrected}, nothing of the date changes; "
        f"`tieout restate {day}` says what would"
    )
    manifest.write_entry(
        connection,
        arrived,
        parsed,
        status="version",
        reason=reason,
        supersedes=landed.file_id if landed else None,
        digest=manifest.rows_digest(parsed),
    )
    if REGISTERED_TABLE in parsed.frames and parsed.row_count:
        carried = carry_late(
            connection,
            settings,
            version_file_id=arrived.file_id,
            file_name=arrived.file.file_name,
            sealed_date=day,
            owner=owner,
        )
        if carried is not None:
            reason += f"; {carried.row_count} vouchers that came late stand on {carried.booked_on}"
            manifest.set_status(connection, arrived.file_id, "version", reason)
    return _outcome(arrived.file, arrived.file_id, "version", parsed.row_count, reason)


def _conflict(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    *,
    landed: manifest.KnownFile,
    against: str,
) -> FileOutcome:
    reason = (
        f"other bytes than {landed.file_name} ({landed.file_id}), which has landed for this date, "
        f"{against}"
    )
    _keep(settings, arrived)
    manifest.write_entry(connection, arrived, parsed, status="conflict", reason=reason)
    manifest.quarantine_rows(connection, arrived.file_id, parsed.bad_rows)
    return _outcome(arrived.file, arrived.file_id, "conflict", parsed.row_count, reason)


def _repeats(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arrived: manifest.ArrivedFile,
    parsed: ParsedFile,
    error: RepeatedVouchersError,
) -> FileOutcome:
    """Hold a file with vouchers that are on record already: nothing of it, nor of its try, is kept.

    It stays a conflict until a person sets aside this file, or the one that has them.
    """
    with connection.transaction():
        hold_slot(connection, arrived.file)
        _keep(settings, arrived)
        manifest.write_entry(connection, arrived, parsed, status="conflict", reason=error.reason)
        rows = [repeat.as_bad_row() for repeat in error.repeats]
        manifest.quarantine_rows(connection, arrived.file_id, rows)
    return _outcome(arrived.file, arrived.file_id, "conflict", parsed.row_count, error.reason)


def hold_slot(connection: psycopg.Connection[Any], file: RecognisedFile) -> None:
    """Let nobody else land or decide for the file's place until the transaction ends.

    Nor may a claim begin: what is asked of the date's state and what is changed are one decision.
    Always in this order, so that no two wait for one another.
    """
    lock_for_transaction(connection, f"tieout/landing/{file.slot}")
    days.lock_claims(connection)


def is_sealed(connection: psycopg.Connection[Any], accounting_date: date) -> bool:
    """Say whether a date is paid."""
    row = connection.execute(
        """
        select 1
        from control.accounting_days
        where accounting_date = %s
            and state = 'sealed'
        """,
        [accounting_date],
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
    "unrecognised": "unrecognised",
    "version": "version",
}


def _known_outcome(file: RecognisedFile, known: manifest.KnownFile) -> FileOutcome:
    return _outcome(
        file,
        known.file_id,
        _STATUS_OF_KNOWN[known.status],
        known.row_count or 0,
        known.reason,
    )


def _unrecognised(
    connection: psycopg.Connection[Any], settings: Settings, file: FoundFile
) -> FileOutcome:
    reason = "no channel or platform delivers a file of this name"
    read = file.read(settings.max_file_bytes)
    if read.content is not None:
        archive.keep(settings, read.sha256, read.content)
    # A name can hold anything, a card number too.
    name, url = masked_excerpt(file.name), masked_excerpt(file.url)
    known = manifest.write_unrecognised(connection, name, url, read, reason)
    status = _STATUS_OF_KNOWN[known.status]
    return FileOutcome(known.file_id, name, None, None, None, status, 0, known.reason)


def _irregular(connection: psycopg.Connection[Any], entry: IrregularEntry) -> FileOutcome:
    """Put on record what is no file; nothing of it is opened, so nothing of it is kept."""
    reason = f"it is {entry.kind}, not a regular file; it was not opened"
    name, url = masked_excerpt(entry.name), masked_excerpt(entry.url)
    # No bytes were read: the hash is of what is known of it, so that it is on record once.
    known_of_it = hashlib.sha256(f"not opened: {entry.kind}\n{entry.url}".encode()).hexdigest()
    read = FileBytes(None, known_of_it, 0)
    known = manifest.write_unrecognised(connection, name, url, read, reason)
    status = _STATUS_OF_KNOWN[known.status]
    return FileOutcome(known.file_id, name, None, None, None, status, 0, known.reason)


def _say_day(day: date, files: Sequence[FileOutcome]) -> None:
    """Say what a date got, if anything, and each file that needs a person."""
    landed = [file for file in files if file.status == "landed"]
    if landed:
        say(f"landed {day}: {len(landed)} files, {sum(file.row_count for file in landed)} rows")
    for file in landed:
        if file.reason:
            say(f"landed: {file}")
    report = LandingReport(tuple(files))
    for file in report.versions:
        say(f"kept: {file}")
    for file in report.problems:
        say(f"not landed: {file}")
