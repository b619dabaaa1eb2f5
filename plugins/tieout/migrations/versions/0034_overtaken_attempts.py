"""No payment file holds a new attempt whose statement the bank has paid since.

Between a new attempt and its file a run may die, and the bank may pay what it had refused. Such an
attempt ends as `failed` before it left, and is in no file; a file that holds one is refused.
"""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

GUARD = """
create or replace function payout.guard_outbox_file() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    attempted record;
    overtaken record;
begin
    select
        count(*) as payment_count,
        coalesce(sum(instructions.amount_minor), 0) as amount_minor,
        min(instructions.currency_code) as lowest_currency,
        max(instructions.currency_code) as highest_currency,
        min(instructions.payment_date) as first_date,
        max(instructions.payment_date) as last_date
    into attempted
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        attempts.batch_message_id = new.batch_message_id
        and payout.latest_status(attempts.attempt_id) is distinct from 'failed';
    if attempted.payment_count <> new.payment_count
        or attempted.amount_minor <> new.amount_minor
        or attempted.lowest_currency is distinct from new.currency_code
        or attempted.highest_currency is distinct from new.currency_code
        or attempted.first_date is distinct from new.payment_date
        or attempted.last_date is distinct from new.payment_date
    then
        raise exception 'file % is not that of its attempts: % payments of % minor units',
            new.batch_message_id, attempted.payment_count, attempted.amount_minor
        using errcode = 'restrict_violation';
    end if;
    select attempts.attempt_id, earlier.attempt_id as earlier_id
    into overtaken
    from payout.attempts as attempts
    inner join payout.attempts as earlier
        on
            attempts.instruction_id = earlier.instruction_id
            and attempts.attempt_no > earlier.attempt_no
    where
        attempts.batch_message_id = new.batch_message_id
        and payout.latest_status(attempts.attempt_id) is distinct from 'failed'
        and coalesce(payout.latest_status(earlier.attempt_id), 'created')
        not in ('failed', 'returned')
    order by attempts.attempt_id, earlier.attempt_id
    limit 1;
    if found then
        raise exception 'file % holds attempt %, and % of the same statement may have paid',
            new.batch_message_id, overtaken.attempt_id, overtaken.earlier_id
        using errcode = 'restrict_violation';
    end if;
    return new;
end
$body$;
"""


def upgrade() -> None:
    """Have the guard look at the statement's earlier attempts, and at what ended before it left."""
    op.execute(GUARD)
