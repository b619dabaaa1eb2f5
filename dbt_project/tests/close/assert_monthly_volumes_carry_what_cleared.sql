-- What decides next month's tiers is all that cleared: of each account the month goes on from where
-- the date before left it, and what the date adds is what its clearing entries say. An account that
-- fell out of the table would price by the base for a month, or by another's volume.
{{ config(tags=['close']) }}

with volumes as (
    select
        accounting_date,
        account_id,
        currency_code,
        volume_month,
        opening_volume_minor,
        previous_volume_minor,
        month_volume_minor
    from {{ ref('monthly_volumes') }}
    where accounting_date in ({{ accounting_date() }}, {{ accounting_date() }} - 1)
),

entries as (
    select
        account_id,
        currency_code,
        sum(transaction_amount_minor) as cleared_minor
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
    group by account_id, currency_code
),

now as (
    select *
    from volumes
    where accounting_date = {{ accounting_date() }}
),

before as (
    select *
    from volumes
    where accounting_date = {{ accounting_date() }} - 1
),

compared as (
    select
        coalesce(now.account_id, before.account_id, entries.account_id) as account_id,
        coalesce(now.currency_code, before.currency_code, entries.currency_code)
            as currency_code,
        now.opening_volume_minor + now.previous_volume_minor as opening_minor,
        case
            when before.volume_month < {{ month_of(accounting_date()) }}
                then before.month_volume_minor
            else coalesce(before.month_volume_minor + before.previous_volume_minor, 0)
        end as carried_minor,
        now.month_volume_minor - now.opening_volume_minor as added_minor,
        coalesce(entries.cleared_minor, 0) as cleared_minor
    from now
    full join before
        on now.account_id = before.account_id and now.currency_code = before.currency_code
    full join entries
        on coalesce(now.account_id, before.account_id) = entries.account_id
        and coalesce(now.currency_code, before.currency_code) = entries.currency_code
)

select
    account_id,
    currency_code,
    opening_minor,
    carried_minor,
    added_minor,
    cleared_minor
from compared
where
    opening_minor is distinct from carried_minor
    or added_minor is distinct from cleared_minor
