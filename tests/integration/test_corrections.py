"""A corrected file after the close, by the command line: opened, said, closed again in order.

The date has two transaction sessions and one for fees billed apart, so that each close again shows
that what was frozen stays.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tieout import database

from .conftest import served_home, tieout
from .test_end_to_end import query

pytestmark = pytest.mark.timeout(1200)

SCHEDULE = """
update reference.clearing_session_schedule set cutoff_minutes = 720
where clearing_session_type = 'transaction';
insert into reference.clearing_session_schedule
values ('transaction', 2, null, '2020-01-01', null), ('service_fee', 1, null, '2020-01-01', null)
"""
SESSIONS = """
select clearing_session_type, clearing_session_no, is_frozen,
    entry_count > 0 or clearing_session_type <> 'transaction'
from clearing.clearing_sessions where accounting_date = '2026-09-24' order by 1, 2
"""
# Entries at noon or later in session 1, earlier ones in session 2, and fees that no session has.
ASTRAY = """
select
    count(*) filter (where (clearing_session_no = 1) <> is_morning),
    count(*) filter (
        where (fees.entry_id is null) <> (fee_amount_minor = deducted_fee_amount_minor)
    )
from clearing.clearing_entries as entries
inner join (
    select voucher_id, transaction_at < '2026-09-24 12:00+08' as is_morning
    from staging.stg_platform__source_vouchers
    where transaction_at >= '2026-09-23 23:00+08'
) as vouchers on entries.source_id = vouchers.voucher_id
left join (select entry_id from clearing.service_fee_entries) as fees
    on entries.entry_id = fees.entry_id
where accounting_date = '2026-09-24' and clearing_session_type = 'transaction'
"""
NUMBERS = """
select entry_id, clearing_session_no from clearing.clearing_entries
where accounting_date = '2026-09-24' order by 1
"""
VOUCHERS = "platform/20260924/source_vouchers_20260924.csv"


def test_a_correction_opens_its_date_and_the_next_close_begins_with_it(
    prepared_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with served_home(prepared_home, home) as settings:
        done = tieout(home, "simulate", "--transactions", "60", "--merchants", "10")
        assert done.returncode == 0, done.stderr
        with database.connect(settings) as connection:
            connection.execute(SCHEDULE)
        done = tieout(home, "close", "2026-09-24")
        assert done.returncode == 0, done.stderr
        frozen = [
            ("adjustment", 1, False, True),
            ("service_fee", 1, False, True),
            ("transaction", 1, True, True),
            ("transaction", 2, False, True),
        ]
        assert query(settings, SESSIONS) == frozen
        assert query(settings, ASTRAY) == [(0, 0)]
        numbers = query(settings, NUMBERS)
        path = home / "inbox" / VOUCHERS
        # Another terminal changes no amount, so the date still ties out.
        text = path.read_text(encoding="utf-8")
        header, first, rest = text.split("\n", 2)
        column = header.split(",").index("terminal_id")
        cells = first.split(",")
        assert cells[column]
        cells[column] = "99999999"
        path.write_text("\n".join([header, ",".join(cells), rest]), encoding="utf-8")

        landed = tieout(home, "land", str(path))
        assert landed.returncode == 0, landed.stderr
        assert "to be closed again: 2026-09-24" in landed.stderr
        status = tieout(home, "status")
        assert "to be closed again: 2026-09-24 because of" in " ".join(status.stdout.split())

        # Asked for the 25th only: the opened date comes first.
        done = tieout(home, "close", "2026-09-25")
        assert done.returncode == 0, done.stderr + done.stdout
        assert "closed 2 dates" in done.stderr
        states = "select state, close_count from control.accounting_days order by accounting_date"
        assert query(settings, states) == [("closed", 2), ("closed", 1)]

        # A correction that the close itself finds: its date is closed again, then the asked one.
        cells[column] = "88888888"
        path.write_text("\n".join([header, ",".join(cells), rest]), encoding="utf-8")
        done = tieout(home, "close", "2026-09-26")
        assert done.returncode == 0, done.stderr + done.stdout
        assert "opened by a late or corrected file: 2026-09-24, 2026-09-25" in done.stderr
        assert query(settings, states) == [("closed", 3), ("closed", 2), ("closed", 1)]
        assert query(settings, SESSIONS) == frozen
        assert query(settings, NUMBERS) == numbers
        listed = tieout(home, "sessions", "list", "--from", "2026-09-24")
        assert "12 sessions, 3 of them frozen" in listed.stderr, listed.stdout + listed.stderr
