-- No check of the gate (闸门检查) can be left out unnoticed: each has at least one row for the
-- payment date, and each expected arrival group has its row in both checks of its money.
{{ config(tags=['payment']) }}

with wanted_checks as (
    select
        check_name,
        'any' as subject
    from {{ ref('required_gate_checks') }}
),

wanted_groups as (
    select
        checks.check_name,
        arrival_groups.arrival_group_id as subject
    from {{ ref('int_calendar__arrival_groups') }} as arrival_groups
    cross join (
        values
        ('balance_equation_zero'),
        ('channel_receivable_zero'),
        ('payout_backed_by_arrival')
    ) as checks (check_name)
    where arrival_groups.arrival_date > {{ previous_payment_date() }}
        and arrival_groups.arrival_date <= {{ payment_date() }}
),

wanted as (
    select * from wanted_checks
    union
    select * from wanted_groups
),

gate_checks as (
    select
        check_name,
        subject
    from {{ ref('gate_checks') }}
    where payment_date = {{ payment_date() }}
)

select
    wanted.check_name,
    wanted.subject
from wanted
left join gate_checks
    on wanted.check_name = gate_checks.check_name
    and wanted.subject in ('any', gate_checks.subject)
where gate_checks.check_name is null
