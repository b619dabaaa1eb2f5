{{ config(materialized='ephemeral') }}

{#- The ledger's receivable of each group ends at 0. -#}
with arrival_groups as (
    select
        accounting_date,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

receivable_postings as (
    select
        accounting_date,
        case 'channel_receivable' when debit_account then debit_subledger_id
            else credit_subledger_id
        end as arrival_group_id,
        case 'channel_receivable' when debit_account then amount_minor else -amount_minor end
            as amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and 'channel_receivable' in (debit_account, credit_account)
),

match_lines as (
    select
        side,
        arrival_group_id,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }} and item_kind = 'channel_arrival'
),

expected_groups as (
    select
        arrival_group_id,
        count(*) as date_count
    from arrival_groups
    group by arrival_group_id
),

-- The bank's lines of the group against what the closes of its dates booked as receivable.
group_postings as (
    select
        arrival_groups.arrival_group_id,
        sum(receivable_postings.amount_minor) as booked_amount_minor
    from arrival_groups
    inner join receivable_postings
        on arrival_groups.arrival_group_id = receivable_postings.arrival_group_id
        and arrival_groups.accounting_date = receivable_postings.accounting_date
    group by arrival_groups.arrival_group_id
),

group_lines as (
    select
        arrival_group_id,
        sum(amount_minor) as arrived_amount_minor
    from match_lines
    where side = 'bank'
    group by arrival_group_id
),

receivable_checks as (
    select
        expected_groups.arrival_group_id as subject,
        coalesce(group_postings.booked_amount_minor, 0)
        = coalesce(group_lines.arrived_amount_minor, 0) as holds,
        'receivable booked (应收渠道清算款) ' || coalesce(group_postings.booked_amount_minor, 0)
        || ', arrived (到账) ' || coalesce(group_lines.arrived_amount_minor, 0) as detail,
        cast(
            coalesce(group_postings.booked_amount_minor, 0)
            - coalesce(group_lines.arrived_amount_minor, 0) as text
        ) as measured,
        '0' as expected
    from expected_groups
    left join group_postings on expected_groups.arrival_group_id = group_postings.arrival_group_id
    left join group_lines on expected_groups.arrival_group_id = group_lines.arrival_group_id
),

final as (
    {{ check_rows('channel_receivable_zero', ['receivable_checks']) }}
)

select * from final
