"""What people decided about bank lines and terms is an input of the gate, too.

The decisions about open items were; a line taken, or terms approved, after the gate had looked
would otherwise have changed what it stands on without voiding it.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

DECISIONS = r"""
create function control.gate_input_decisions(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    with lines as (
        select
            'control.bank_line_decisions' as input_key,
            decisions.decision_id as decision_no,
            format(
                '%s|%s|%s|%s|%s|%s|%s',
                decisions.decision_id,
                decisions.file_id,
                decisions.line_number,
                decisions.amount_minor,
                decisions.taken_as,
                to_char(decisions.effective_on, 'YYYY-MM-DD'),
                approvals.approved_by
            ) as line
        from control.bank_line_decisions as decisions
        inner join control.bank_line_approvals as approvals
            on decisions.decision_id = approvals.decision_id
        where
            decisions.effective_on >= control.first_paid_date(wanted_payment_date)
            and decisions.effective_on <= wanted_payment_date
        union all
        select
            'control.term_approvals' as input_key,
            approvals.approval_id as decision_no,
            format(
                '%s|%s|%s|%s|%s|%s|%s|%s',
                approvals.approval_id,
                approvals.subject,
                approvals.decision,
                to_char(approvals.effective_on, 'YYYY-MM-DD'),
                approvals.list_sha256,
                approvals.reference_sha256,
                approvals.approved_by_first,
                approvals.approved_by_second
            ) as line
        from control.term_approvals as approvals
        where
            approvals.subject in ('first_date_list', 'reference_data')
            or (
                approvals.effective_on >= control.first_paid_date(wanted_payment_date)
                and approvals.effective_on <= wanted_payment_date
            )
    )

    select
        'people' as input_kind,
        keys.input_key,
        encode(
            sha256(
                convert_to(
                    coalesce(string_agg(lines.line, E'\n' order by lines.decision_no), ''), 'UTF8'
                )
            ),
            'hex'
        ) as content
    from (
        values
        ('control.bank_line_decisions'),
        ('control.term_approvals')
    ) as keys (input_key)
    left join lines on keys.input_key = lines.input_key
    group by keys.input_key
$body$;
comment on function control.gate_input_decisions(date) is
'What people decided about bank lines and terms, as a gate of the date reads it (闸门输入).';

create or replace function control.gate_inputs(wanted_payment_date date)
returns table (input_kind text, input_key text, content text)
language sql
stable
set search_path = pg_catalog
as $body$
    select * from control.gate_input_files(wanted_payment_date)
    union all
    select * from control.gate_input_closes(wanted_payment_date)
    union all
    select * from control.gate_input_people(wanted_payment_date)
    union all
    select * from control.gate_input_decisions(wanted_payment_date)
    union all
    select * from control.gate_input_reference()
$body$;
"""


def upgrade() -> None:
    """Let the gate's inputs hold these decisions; older decisions keep what they stored."""
    op.execute(DECISIONS)
