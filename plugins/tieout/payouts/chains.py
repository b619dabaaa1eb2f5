"""Hash chains of what was decided and paid: their heads beside the payment files, and the proof.

Each decision, instruction, attempt, new attempt's evidence and payee, event, payment file and
undone payout is a link of the chain of its kind and payment date (`control.chain_links`, written by
the database at commit). The head of each chain goes into the folder of the payment files before a
file gets its name there, so that who owns the database cannot make another history without being
seen. `verify` computes every link again, in Python and from the rows themselves: it uses no
function of the database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, LiteralString

import psycopg

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.payouts.store import Store

__all__ = ["ChainReport", "heads_path", "verify", "write_heads"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A chain: its rows' fields in the order of the links, and where the rows of a date are.

    `row` is the alias of a row in `source`. `undone` has the rows that two people have undone, as
    JSON in the alias `old`. The first `key_length` fields are the key.
    """

    row: LiteralString
    fields: tuple[LiteralString, ...]
    source: LiteralString
    undone: LiteralString | None = None
    key_length: int = 1


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` looked at and what it found; no `findings`: history is as it was written."""

    payment_dates: int
    links: int
    files_of_heads: int
    findings: tuple[str, ...]


_Link = tuple[int, str, str, str]  # number, key of the row, sha256 of its content, and of the link

_OF_UNDONE: Final[LiteralString] = """
    from payout.undone_payouts as undone
    inner join payout.undo_approvals as approvals on undone.undo_id = approvals.undo_id
"""
_KINDS: Final[Mapping[str, _Kind]] = {
    "decisions": _Kind(
        row="decisions",
        fields=(
            "decision_id",
            "payment_date",
            "outcome",
            "fingerprint",
            "statements_covered",
            "payout_amount_minor",
            "detail",
            "decided_by",
            "released_by_first",
            "released_by_second",
            "release_reason",
            "decided_by_login",
            "release_id",
            "decided_at",
        ),
        source="from control.gate_decisions as decisions where decisions.payment_date = %(day)s",
    ),
    "instructions": _Kind(
        row="instructions",
        fields=(
            "instruction_id",
            "statement_id",
            "payment_date",
            "account_id",
            "payee_id",
            "payee_version",
            "account_number_token",
            "account_name_token",
            "bank_code",
            "currency_code",
            "amount_minor",
            "decision_id",
            "created_at",
        ),
        source="from payout.instructions as instructions where instructions.payment_date = %(day)s",
        undone=_OF_UNDONE + "cross join lateral (select undone.instruction as old) as kept",
    ),
    "attempts": _Kind(
        row="attempts",
        fields=(
            "attempt_id",
            "instruction_id",
            "attempt_no",
            "end_to_end_id",
            "batch_message_id",
            "submitted_on",
        ),
        source="from payout.attempts as attempts inner join payout.instructions as instructions"
        " on attempts.instruction_id = instructions.instruction_id"
        " where instructions.payment_date = %(day)s",
        undone=_OF_UNDONE + "cross join lateral (select undone.attempt as old) as kept",
    ),
    "new_attempts": _Kind(
        row="grounds",
        fields=(
            "attempt_id",
            "previous_attempt_id",
            "statement_id",
            "paid_on",
            "currency_code",
            "amount_minor",
            "payee_id",
            "payee_version",
            "account_number_token",
            "account_name_token",
            "bank_code",
            "previous_status",
            "reason_code",
            "policy",
            "evidence",
            "evidence_file_id",
            "evidence_line_number",
            "requested_by",
            "reason",
            "decided_by_login",
            "decided_at",
        ),
        source="from payout.new_attempts as grounds inner join payout.instructions as instructions"
        " on grounds.statement_id = instructions.statement_id"
        " where instructions.payment_date = %(day)s",
    ),
    "events": _Kind(
        row="events",
        fields=(
            "attempt_id",
            "event_no",
            "status",
            "business_date",
            "source_file_id",
            "reason_code",
            "detail",
            "recorded_at",
        ),
        source="from payout.attempt_events as events"
        " inner join payout.attempts as attempts on events.attempt_id = attempts.attempt_id"
        " inner join payout.instructions as instructions"
        " on attempts.instruction_id = instructions.instruction_id"
        " where instructions.payment_date = %(day)s",
        undone=_OF_UNDONE + "cross join lateral jsonb_array_elements(undone.events) as kept (old)",
        key_length=2,
    ),
    "files": _Kind(
        row="files",
        fields=(
            "batch_message_id",
            "payment_date",
            "file_path",
            "sha256",
            "size_bytes",
            "payment_count",
            "amount_minor",
            "currency_code",
            "recorded_at",
        ),
        source="from payout.outbox_files as files where files.payment_date = %(day)s",
    ),
    "undone": _Kind(
        row="undone",
        fields=(
            "undo_id",
            "instruction_id",
            "statement_id",
            "end_to_end_id",
            "payee_id",
            "payee_version",
            "currency_code",
            "amount_minor",
        ),
        source=_OF_UNDONE + "where approvals.payment_date = %(day)s",
        key_length=2,
    ),
}


def heads_path(payment_date: date) -> str:
    """Return where a payment date's heads lie in the outbox."""
    return f"payouts/{payment_date:%Y%m%d}/chain_heads.json"


def write_heads(connection: psycopg.Connection[Any], payment_date: date, outbox: Store) -> None:
    """Write the heads of a payment date's chains beside its payment files.

    Raises:
        TieoutError: the chains do not go on from the heads that lie there.
    """
    kept = outbox.whole(heads_path(payment_date))
    other = [] if kept is None else list(_other_heads(connection, outbox, payment_date, kept))
    if other:
        raise TieoutError(
            what=f"what was decided and paid on {payment_date} is not what it was",
            where=outbox.url_of(heads_path(payment_date)),
            why="; ".join(other),
            next_step="pay nothing; tieout verify names the rows; find out who changed them",
        )
    rows = connection.execute(
        "select chain, link_no, link_sha256 from control.chain_heads(%s)", [payment_date]
    ).fetchall()
    content = {
        "payment_date": payment_date.isoformat(),
        "chains": {name: {"links": number, "head_sha256": head} for name, number, head in rows},
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    outbox.replace(heads_path(payment_date), text.encode())


def verify(settings: Settings, payment_date: date | None = None) -> ChainReport:
    """Compute every link again, and compare it with the rows and with the heads in the outbox.

    Args:
        settings: the home; the work is done as `tieout_finance`, which writes nothing.
        payment_date: only this one; without it, every payment date that has a link or a row.
    """
    outbox = Store(settings.outbox_url)
    findings: list[str] = []
    links = files = 0
    with connect(settings.acting_as("finance")) as connection:
        days = [payment_date] if payment_date else _payment_dates(connection)
        for day in days:
            for name, kind in _KINDS.items():
                chain = _chain(connection, name, day)
                links += len(chain)
                found = [*_broken(name, day, chain), *_differing(connection, kind, day, chain)]
                findings += [f"{day} {name}: {text}" for text in found]
            kept = outbox.whole(heads_path(day))
            files += kept is not None
            if kept is not None:
                other = _other_heads(connection, outbox, day, kept)
                findings += [f"{day} {text}" for text in other]
            elif _has_left_with_heads(connection, day):
                where = outbox.url_of(heads_path(day))
                findings.append(f"{day} {where} is gone, which left with the payment files")
    return ChainReport(len(days), links, files, tuple(findings))


def _payment_dates(connection: psycopg.Connection[Any]) -> list[date]:
    rows = connection.execute(
        """
        select payment_date from control.chain_links
        union
        select payment_date from control.gate_decisions
        union
        select payment_date from payout.instructions
        union
        select payment_date from payout.outbox_files
        order by payment_date
        """
    ).fetchall()
    return [row[0] for row in rows]


def _has_left_with_heads(connection: psycopg.Connection[Any], day: date) -> bool:
    """Say whether a file of the date was linked as it was recorded, not by a later upgrade."""
    row = connection.execute(
        "select 1 from payout.outbox_files as files inner join control.chain_links as links"
        " on links.chain = 'files' and links.row_key = files.batch_message_id"
        " where files.payment_date = %s and links.linked_at = files.recorded_at limit 1",
        [day],
    ).fetchone()
    return row is not None


def _chain(connection: psycopg.Connection[Any], name: str, day: date) -> list[_Link]:
    rows = connection.execute(
        "select link_no, row_key, content_sha256, link_sha256 from control.chain_links"
        " where chain = %s and payment_date = %s order by link_no",
        [name, day],
    ).fetchall()
    return [(int(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in rows]


def _broken(name: str, day: date, chain: Sequence[_Link]) -> Iterator[str]:
    """Yield the first fault of the links among themselves: after it, none follows."""
    before = ""
    for expected_no, (link_no, key, content, sha256) in enumerate(chain, start=1):
        if link_no != expected_no:
            yield f"link {expected_no} is missing before that of {key}"
            return
        if _sha256(f"{name}|{day:%Y-%m-%d}|{before}|{content}") != sha256:
            yield f"link {link_no} ({key}) does not follow from the one before it"
            return
        before = sha256


def _differing(
    connection: psycopg.Connection[Any], kind: _Kind, day: date, chain: Sequence[_Link]
) -> Iterator[str]:
    """Yield the rows that are not what their links say, and the links whose rows are gone."""
    of_row = [_of_row(kind.row, name) for name in kind.fields]
    present = dict(_rows(connection, kind, of_row, kind.source, day))
    undone: set[tuple[str, str]] = set()
    if kind.undone is not None:
        of_json = [_of_json(name) for name in kind.fields]
        # The last of the kept events says who undid it, and was no row.
        where: LiteralString = " where approvals.payment_date = %(day)s and " + of_json[0]
        undone = set(_rows(connection, kind, of_json, kind.undone + where + " is not null", day))
    linked: dict[str, str] = {}
    for _, key, content, _ in chain:
        if key in linked and (key, linked[key]) not in undone:
            yield f"{key} was written twice"
        linked[key] = content
    for key, content in present.items():
        if key not in linked:
            yield f"{key} has no link: it was written past the functions of the database"
        elif linked[key] != content:
            yield f"{key} was changed after it was written"
    for key, content in linked.items():
        if key not in present and (key, content) not in undone:
            yield f"{key} was written and is gone"


def _of_row(row: LiteralString, name: LiteralString) -> LiteralString:
    if name.endswith("_at"):
        return _time(row + "." + name)
    return row + "." + name + "::text"


def _of_json(name: LiteralString) -> LiteralString:
    if name.endswith("_at"):
        return _time("(kept.old ->> '" + name + "')::timestamptz")
    return "kept.old ->> '" + name + "'"


def _time(instant: LiteralString) -> LiteralString:
    return "to_char(" + instant + " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"


def _rows(
    connection: psycopg.Connection[Any],
    kind: _Kind,
    expressions: Sequence[LiteralString],
    source: LiteralString,
    day: date,
) -> Iterator[tuple[str, str]]:
    """Yield key and content hash of each row."""
    query: LiteralString = "select " + ", ".join(expressions) + " " + source
    for row in connection.execute(query, {"day": day}):
        yield "/".join(row[: kind.key_length]), _sha256(json.dumps(row, ensure_ascii=False))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _other_heads(
    connection: psycopg.Connection[Any], outbox: Store, day: date, kept: bytes
) -> Iterator[str]:
    """Yield the chains that do not go on from the heads that left with the payment files."""
    try:
        said = {
            str(name): (int(head["links"]), str(head["head_sha256"]))
            for name, head in json.loads(kept)["chains"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        yield f"{outbox.url_of(heads_path(day))} cannot be read"
        return
    for name, (links, head) in sorted(said.items()):
        row = connection.execute(
            "select count(*), max(link_sha256) filter (where link_no = %(links)s)"
            " from control.chain_links"
            " where chain = %(name)s and payment_date = %(day)s and link_no <= %(links)s",
            {"name": name, "day": day, "links": links},
        ).fetchone()
        if links < 1 or row != (links, head):
            yield (
                f"{name}: the payment files left with link {links}, {head[:16]}; "
                "the database has another history"
            )
