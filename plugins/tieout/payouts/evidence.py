"""Evidence of a payment date: what was decided, on what, by whom, what left and what was answered.

One signed archive an auditor can read without this program: CSV of the tables as they are, a
manifest with the sha256 of each, and an Ed25519 signature of the manifest. The same tables give the
same bytes. No account, name, card or token is in it: payees are named by id and version, files by
their hashes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tieout.core.errors import TieoutError
from tieout.core.private_files import write_private
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.payouts import chains
from tieout.payouts.store import Store

__all__ = ["CheckedArchive", "Evidence", "check", "public_key", "write"]

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "public_key.pem"
HEADS: Final = "chain_heads.json"
FORM: Final = 1
# A zip's own clock: the same tables give the same bytes.
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
_ARCHIVE_BYTES_MAX: Final = 512 * 1024**2

_COVERED: Final[LiteralString] = """
    select distinct seals.accounting_date
    from control.accounting_day_seals as seals
    where seals.payment_date = %(day)s
    union
    select distinct unnest(equation.accounting_dates)
    from gate.balance_equation as equation
    where equation.payment_date = %(day)s
"""
_TABLES: Final[Mapping[str, LiteralString]] = {
    "decisions.csv": """
        select decision_id, outcome, fingerprint, statements_covered, payout_amount_minor, detail,
            decided_by, decided_by_login, released_by_first, released_by_second, release_reason,
            release_id, decided_at
        from control.gate_decisions where payment_date = %(day)s order by decision_id""",
    "release_requests.csv": """
        select release_id, decision_id, reason, requested_by, signed_by_login, requested_at
        from control.gate_release_requests where payment_date = %(day)s order by release_id""",
    "decision_inputs.csv": """
        select inputs.decision_id, inputs.input_kind, inputs.input_key, inputs.content
        from control.gate_decision_inputs as inputs
        inner join control.gate_decisions as decisions
            on inputs.decision_id = decisions.decision_id
        where decisions.payment_date = %(day)s
        order by inputs.decision_id, inputs.input_kind, inputs.input_key""",
    "checks.csv": """
        select checks.*
        from gate.gate_checks as checks where checks.payment_date = %(day)s
        order by checks.check_name, checks.subject""",
    "equation.csv": """
        select equation.*
        from gate.balance_equation as equation where equation.payment_date = %(day)s
        order by equation.arrival_group_id""",
    "statements.csv": """
        select statements.*
        from settlement.settlement_statements as statements where statements.payment_date = %(day)s
        order by statements.statement_id""",
    "instructions.csv": """
        select instruction_id, statement_id, account_id, payee_id, payee_version, bank_code,
            currency_code, amount_minor, decision_id, created_at
        from payout.instructions where payment_date = %(day)s order by instruction_id""",
    "attempts.csv": """
        select attempts.attempt_id, attempts.instruction_id, attempts.attempt_no,
            attempts.end_to_end_id, attempts.batch_message_id, attempts.submitted_on
        from payout.attempts as attempts
        inner join payout.instructions as instructions
            on attempts.instruction_id = instructions.instruction_id
        where instructions.payment_date = %(day)s order by attempts.attempt_id""",
    "new_attempts.csv": """
        select grounds.attempt_id, grounds.previous_attempt_id, grounds.statement_id,
            grounds.paid_on, grounds.currency_code, grounds.amount_minor, grounds.payee_id,
            grounds.payee_version, grounds.previous_status, grounds.reason_code, grounds.policy,
            grounds.evidence, files.sha256 as evidence_sha256, grounds.evidence_line_number,
            grounds.requested_by, grounds.reason, grounds.decided_by_login, grounds.decided_at
        from payout.new_attempts as grounds
        inner join payout.instructions as instructions
            on grounds.statement_id = instructions.statement_id
        left join control.channel_files as files on grounds.evidence_file_id = files.file_id
        where instructions.payment_date = %(day)s order by grounds.attempt_id""",
    "holds.csv": """
        select holds.hold_id, holds.statement_id, holds.reason, holds.held_by,
            holds.held_by_login, holds.held_at, releases.reason as release_reason,
            releases.released_by, releases.released_by_login, releases.released_at
        from payout.payout_holds as holds
        inner join settlement.settlement_statements as statements
            on holds.statement_id = statements.statement_id
        left join payout.payout_hold_releases as releases on holds.hold_id = releases.hold_id
        where statements.payment_date = %(day)s order by holds.hold_id""",
    "explanations.csv": """
        select explanations.decision_id, explanations.arrival_group_id, explanations.candidate_no,
            explanations.currency_code, explanations.residual_minor, explanations.causes,
            explanations.confidence, explanations.explained_minor, explanations.rest_minor
        from gate.explanations as explanations where explanations.payment_date = %(day)s
        order by explanations.decision_id, explanations.arrival_group_id,
            explanations.candidate_no""",
    "events.csv": """
        select events.attempt_id, events.event_no, events.status, events.business_date,
            events.source_file_id, files.sha256 as source_sha256, events.reason_code,
            events.recorded_at
        from payout.attempt_events as events
        inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id
        inner join payout.instructions as instructions
            on attempts.instruction_id = instructions.instruction_id
        left join control.channel_files as files on events.source_file_id = files.file_id
        where instructions.payment_date = %(day)s
        order by events.attempt_id, events.event_no""",
    "payment_files.csv": """
        select batch_message_id, file_path, sha256, size_bytes, payment_count, amount_minor,
            currency_code, recorded_at
        from payout.outbox_files where payment_date = %(day)s order by batch_message_id""",
    "undone.csv": """
        select requests.undo_id, requests.reason, requests.requested_by,
            requests.signed_by_login as requested_by_login, requests.requested_at,
            approvals.approved_by, approvals.signed_by_login as approved_by_login,
            approvals.approved_at
        from payout.undo_requests as requests
        left join payout.undo_approvals as approvals on requests.undo_id = approvals.undo_id
        where requests.payment_date = %(day)s order by requests.undo_id""",
    "seals.csv": """
        select seals.accounting_date, seals.channel, seals.arrival_date, seals.sealed_at
        from control.accounting_day_seals as seals where seals.payment_date = %(day)s
        order by seals.accounting_date, seals.channel""",
    "files_in.csv": """
        select files.file_id, files.file_name, files.sha256, files.size_bytes, files.channel,
            files.file_kind, files.accounting_date, files.row_count, files.declared_row_count,
            files.declared_total_minor, files.counted_total_minor, files.totals_status,
            files.status, files.landed_at
        from control.channel_files as files
        where files.accounting_date in ("""
    + _COVERED
    + """) or (files.channel = 'bank' and files.accounting_date = %(day)s)
        order by files.accounting_date, files.channel, files.file_kind, files.file_id""",
    "approvals.csv": """
        select actions.action_id, actions.action_kind, actions.suspense_item_id,
            actions.second_item_id, actions.account_id, actions.effective_on, actions.reason,
            actions.requested_by, actions.signed_by_login as requested_by_login,
            actions.requested_at, approvals.approved_by,
            approvals.signed_by_login as approved_by_login, approvals.approved_at
        from reconciliation.actions as actions
        left join reconciliation.action_approvals as approvals
            on actions.action_id = approvals.action_id
        where actions.effective_on in ("""
    + _COVERED
    + ") order by actions.action_id",
    "chain_links.csv": """
        select chain, link_no, row_key, content_sha256, link_sha256, linked_at
        from control.chain_links where payment_date = %(day)s order by chain, link_no""",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """An archive that was written: where, of how many tables and rows, and signed by which key."""

    path: Path
    sha256: str
    tables: int
    rows: int
    key_sha256: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedArchive:
    """An archive that is as it was signed: its payment date, its files, its signing key."""

    payment_date: str
    files: int
    key_sha256: str
    findings: tuple[str, ...]


def write(settings: Settings, payment_date: date, path: Path) -> Evidence:
    """Write the evidence of a payment date, as `tieout_finance`, which sees no raw row.

    Args:
        settings: the home; its signing key is made where there is none.
        payment_date: a date of which the gate has decided.
        path: the archive; one that is there is replaced.

    Raises:
        TieoutError: the gate has not decided on the date: there is nothing to show.
    """
    verified = chains.verify(settings, payment_date)
    with connect(settings.acting_as("finance")) as connection:
        # One instant for all tables.
        connection.execute("set transaction isolation level repeatable read read only")
        members = {name: _table(connection, query, payment_date) for name, query in _TABLES.items()}
    if members["decisions.csv"][1] == 0:
        raise TieoutError(
            what=f"there is no evidence of {payment_date}",
            where="control.gate_decisions",
            why="the gate has not decided on it",
            next_step="tieout status lists the payment dates",
        )
    contents = {name: content for name, (content, _) in members.items()}
    heads = Store(settings.outbox_url).whole(chains.heads_path(payment_date))
    if heads is not None:
        contents[HEADS] = heads
    key = _signing_key(settings)
    public = _public_bytes(key.public_key())
    manifest = _manifest(payment_date, contents, verified.findings, public)
    contents[PUBLIC_KEY] = public
    contents[MANIFEST] = manifest
    contents[SIGNATURE] = base64.b64encode(key.sign(manifest)) + b"\n"
    archive = _zip(contents)
    write_private(path, archive)
    return Evidence(
        path=path,
        sha256=hashlib.sha256(archive).hexdigest(),
        tables=len(members),
        rows=sum(rows for _, rows in members.values()),
        key_sha256=hashlib.sha256(public).hexdigest(),
        findings=verified.findings,
    )


def check(path: Path, key: bytes) -> CheckedArchive:
    """Say whether an archive is as it was signed with a key; needs no database.

    Args:
        path: the archive.
        key: the public key (PEM) that the auditor was given another way.

    Raises:
        TieoutError: it cannot be read, another key signed it, or a file in it is another one.
    """
    contents = _contents(path)
    try:
        manifest = contents.pop(MANIFEST)
        signature = base64.b64decode(contents.pop(SIGNATURE), validate=False)
        public = serialization.load_pem_public_key(key)
        if not isinstance(public, Ed25519PublicKey):
            raise _not_evidence(path, "the key given is no Ed25519 public key")
        public.verify(signature, manifest)
        said = json.loads(manifest)
        expected = {str(name): str(each["sha256"]) for name, each in said["files"].items()}
    except (KeyError, ValueError) as error:
        raise _not_evidence(path, f"{type(error).__name__}: {error}") from error
    except InvalidSignature as error:
        raise _not_evidence(path, "its signature is not of this key") from error
    contents.pop(PUBLIC_KEY, None)
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if found != expected:
        other = sorted(
            name for name in {*found, *expected} if found.get(name) != expected.get(name)
        )
        raise _not_evidence(path, f"not what was signed: {', '.join(other)}")
    return CheckedArchive(
        payment_date=str(said["payment_date"]),
        files=len(found),
        key_sha256=hashlib.sha256(_public_bytes(public)).hexdigest(),
        findings=tuple(str(each) for each in said["findings"]),
    )


def public_key(settings: Settings) -> bytes:
    """Return the home's public key (PEM), by which its evidence is checked."""
    return _public_bytes(_signing_key(settings).public_key())


def _table(
    connection: psycopg.Connection[Any], query: LiteralString, day: date
) -> tuple[bytes, int]:
    """Return a query's rows as CSV (UTF-8, header, LF) and how many there are."""
    cursor = connection.execute(query, {"day": day})
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in cursor.description or ()])
    count = 0
    for row in cursor:
        writer.writerow([_text(value) for value in row])
        count += 1
    return stream.getvalue().encode(), count


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _manifest(
    payment_date: date, contents: Mapping[str, bytes], findings: tuple[str, ...], public: bytes
) -> bytes:
    said = {
        "form": FORM,
        "payment_date": payment_date.isoformat(),
        "key_sha256": hashlib.sha256(public).hexdigest(),
        "findings": list(findings),
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
    }
    return (json.dumps(said, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _zip(contents: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, contents[name])
    return stream.getvalue()


def _contents(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if len({info.filename for info in infos}) != len(infos):
                raise _not_evidence(path, "a name stands in it twice")
            if sum(info.file_size for info in infos) > _ARCHIVE_BYTES_MAX:
                raise _not_evidence(path, f"it unpacks to more than {_ARCHIVE_BYTES_MAX:,} bytes")
            return {info.filename: archive.read(info) for info in infos}
    except (OSError, zipfile.BadZipFile) as error:
        raise _not_evidence(path, str(error)) from error


def _signing_key(settings: Settings) -> Ed25519PrivateKey:
    """Return the home's key; the first call makes it (0600)."""
    path = settings.secrets_dir / "evidence_key.pem"
    if not path.exists():
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, made)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise _unusable_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable_key(path)
    return key


def _unusable_key(path: Path) -> TieoutError:
    return TieoutError(
        what="the key that signs evidence cannot be used",
        where=str(path),
        why="it is no Ed25519 private key in PEM",
        next_step="put back the key from its backup; a new one's public key goes to whoever checks "
        "the archives",
    )


def _public_bytes(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _not_evidence(path: Path, why: str) -> TieoutError:
    return TieoutError(
        what=f"{path.name} is not evidence that this key signed",
        where=str(path),
        why=why,
        next_step="ask for the archive and the public key again, each another way",
    )
