"""A corrected file after the close, by the command line: opened, said, closed again in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import served_home, tieout
from .test_end_to_end import query

pytestmark = pytest.mark.timeout(1200)

VOUCHERS = "platform/20260924/source_vouchers_20260924.csv"


def test_a_correction_opens_its_date_and_the_next_close_begins_with_it(
    prepared_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with served_home(prepared_home, home) as settings:
        done = tieout(home, "simulate", "--transactions", "60", "--merchants", "10")
        assert done.returncode == 0, done.stderr
        done = tieout(home, "close", "2026-09-24")
        assert done.returncode == 0, done.stderr
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
