"""The register of vouchers: each id once over all dates, written with the file that brings it.

A file whose status changes from landed loses its rows in the register by a trigger; the rows of a
sealed date cannot change (migration 0013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from tieout.channels.common.model import BadRow

__all__ = ["REGISTERED_TABLE", "RepeatedVoucher", "RepeatedVouchersError", "register_vouchers"]

REGISTERED_TABLE = "platform_source_vouchers"
REPEATS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class RepeatedVoucher:
    """A row of a file whose voucher id stands in another row: of another date, or of the file."""

    voucher_id: str
    line_number: int
    accounting_date: date
    file_name: str
    file_id: str
    other_line_number: int
    is_same_content: bool

    @property
    def other(self) -> str:
        """Name the row that has the id already."""
        content = "the same content" if self.is_same_content else "other content"
        return (
            f"line {self.other_line_number} of {self.file_name} ({self.file_id}) of "
            f"{self.accounting_date}, with {content}"
        )

    def as_bad_row(self) -> BadRow:
        """Return the row as what keeps the file from landing."""
        return BadRow(
            self.line_number,
            "voucher_id",
            "repeated_voucher",
            f"voucher {self.voucher_id} stands in {self.other}",
        )


class RepeatedVouchersError(Exception):
    """A file brings vouchers that are on record already; it must not land."""

    def __init__(self, count: int, repeats: Sequence[RepeatedVoucher]) -> None:
        """Keep how many rows repeat and the first of them, in the order of their lines."""
        super().__init__(f"{count} repeated vouchers")
        self.count = count
        self.repeats = tuple(repeats)

    @property
    def reason(self) -> str:
        """Say which voucher was where already."""
        first = self.repeats[0]
        return (
            f"{self.count} of its vouchers are on record already, the first in line "
            f"{first.line_number}: {first.voucher_id} stands in {first.other}. A voucher counts "
            "once, over all dates"
        )


def register_vouchers(
    connection: psycopg.Connection[Any], file_id: str, booked_on: date, row_count: int
) -> None:
    """Register a file's vouchers, whose rows are in the raw table; inside the caller's transaction.

    Raises:
        RepeatedVouchersError: an id is on record already. The transaction must not be kept.
    """
    row = connection.execute(
        "select control.register_vouchers(%s, %s)", [file_id, booked_on]
    ).fetchone()
    assert row is not None
    if row[0] == row_count:
        return
    repeats = connection.execute(
        """
        select
            arrived.voucher_id,
            arrived.line_number,
            registered.accounting_date,
            coalesce(files.file_name, 'this file'),
            registered.file_id,
            registered.line_number,
            registered.content_hash = control.voucher_content_hash(arrived)
        from raw.platform_source_vouchers as arrived
        -- One index probe a row, however many dates there are.
        cross join lateral (
            select register.*
            from control.voucher_register as register
            where register.source = 'platform' and register.voucher_id = arrived.voucher_id
            limit 1
        ) as registered
        left join control.channel_files as files on registered.file_id = files.file_id
        where arrived.accounting_date = %s
            and arrived.file_id = %s
            and (registered.file_id, registered.line_number)
                is distinct from (arrived.file_id, arrived.line_number)
        order by arrived.line_number
        limit %s
        """,
        [booked_on, file_id, REPEATS_SHOWN],
    ).fetchall()
    raise RepeatedVouchersError(row_count - row[0], [RepeatedVoucher(*each) for each in repeats])
