"""Pieces of SQL that the steps of a payment share: what they read has to be the same."""

from __future__ import annotations

from typing import Final

__all__ = ["ATTEMPTS_WITH_STATE", "PAYEE_SNAPSHOTS"]

# The payee's version is immutable, so any landed snapshot that has it will do; the newest one
# before `snapshots_before` (payment date, or a new attempt's day) is taken (snapshot_rank 1), to
# stay the same on a re-run. A statement's payee is of the latest snapshot before it: those of a
# month are enough.
PAYEE_SNAPSHOTS: Final = """
        select
            payees.payee_id,
            payees.payee_version,
            payees.bank_name,
            payees.account_number_mask,
            payees.account_number_ciphertext,
            payees.account_name_ciphertext,
            payees.town,
            payees.country_code,
            payees.post_code,
            payees.street_ciphertext,
            payees.building_ciphertext,
            row_number() over (
                partition by payees.payee_id, payees.payee_version
                order by payees.accounting_date desc, payees.file_id, payees.line_number
            ) as snapshot_rank
        from raw.platform_payees as payees
        inner join control.channel_files as files
            on payees.file_id = files.file_id
        where
            files.status = 'landed'
            and payees.accounting_date < %(snapshots_before)s
            and payees.accounting_date >= %(payment_date)s::date - 31
"""

# Each attempt with its instruction and its last event's status; no event, no status.
ATTEMPTS_WITH_STATE: Final = """
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    left join lateral (
        select events.status
        from payout.attempt_events as events
        where events.attempt_id = attempts.attempt_id
        order by events.event_no desc
        limit 1
    ) as latest_events
        on true
"""
