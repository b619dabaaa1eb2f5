-- Each arrival group (到账组) that the payment date expects has its row in the three checks of its
-- money, so that none is left out unnoticed. That each check has a row at all, Great Expectations
-- and the database see for themselves.
{{ config(tags=['payment']) }}

with wanted as (
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

gate_checks as (
    select
        check_name,
        subject
    from {{ ref('gate_checks') }}
    where payment_date = {{ payment_date() }}
)

select distinct
    wanted.check_name,
    wanted.subject
from wanted
left join gate_checks
    on wanted.check_name = gate_checks.check_name
    and wanted.subject = gate_checks.subject
where gate_checks.check_name is null
