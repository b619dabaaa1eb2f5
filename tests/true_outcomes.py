"""What a home computed of each record, and what the simulator played: the two have to be equal."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

from tieout import database
from tieout.core.settings import Settings

__all__ = ["computed_results", "file_ids", "inbox_files", "true_results"]


def inbox_files(settings: Settings) -> dict[str, str]:
    """Return the sha256 of each file by its path in the inbox."""
    inbox = Path(settings.inbox_url.removeprefix("file://"))
    found = {
        path.relative_to(inbox).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in inbox.rglob("*")
        if path.is_file()
    }
    assert found
    return found


def file_ids(settings: Settings) -> dict[str, str]:
    """Return the landed file's id by its path in the inbox."""
    with database.connect(settings) as connection:
        landed = connection.execute(
            "select sha256, file_id from control.channel_files where status = 'landed'"
        ).fetchall()
    id_of = dict(landed)
    return {
        path: id_of[sha256] for path, sha256 in inbox_files(settings).items() if sha256 in id_of
    }


def true_results(settings: Settings) -> Counter[tuple[str, ...]]:
    """Return the truth's rows: date, outcome, reason, channel, both records, both amounts."""
    ids = file_ids(settings)
    rows = []
    for path in sorted(settings.truth_dir.glob("2*/results.csv")):
        day = f"{path.parent.name[:4]}-{path.parent.name[4:6]}-{path.parent.name[6:]}"
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                file, line = row["channel_file"], row["channel_line"]
                rows.append(
                    (
                        day,
                        row["outcome"],
                        row["break_reason"],
                        row["channel"],
                        row["transaction_type"],
                        row["voucher_id"],
                        f"{ids[file]}:{line}" if file else "",
                        row["system_amount_minor"],
                        row["channel_amount_minor"],
                        row["opened_on"],
                    )
                )
    assert rows
    return Counter(rows)


def computed_results(settings: Settings) -> Counter[tuple[str, ...]]:
    """Return the same of what the home computed."""
    with database.connect(settings) as connection:
        rows = connection.execute(
            """
            select
                accounting_date, outcome, break_reason, channel, transaction_type,
                system_transaction_id, channel_record_id, system_amount_minor,
                channel_amount_minor, opened_on
            from reconciliation.reconciliation_results
            """
        ).fetchall()
    return Counter(tuple("" if value is None else str(value) for value in row) for row in rows)
