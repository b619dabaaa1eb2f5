{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What each account cleared in the month before T's, which decides its tiers, and in T's own month
    up to the date before (docs/domain.md#volume-tiers). Read from T-1's partition alone. One row an
    account and currency.

    The month before is known where all of it was ours: it began on our first accounting date or
    later, or the account's first contract did. Else the books lack a part of it, and what they have
    is no volume.
-#}
with before as (
    select
        account_id,
        currency_code,
        volume_month,
        previous_volume_minor,
        month_volume_minor
    from {{ monthly_volumes_relation() }}
    where accounting_date = {{ accounting_date() }} - 1
    union all
    -- A home of before kept no volumes: its first close adds the two months up, once.
    select
        records.account_id,
        records.currency_code,
        {{ month_of(accounting_date() ~ ' - 1') }} as volume_month,
        coalesce(
            sum(records.transaction_amount_minor) filter (
                where records.accounting_date < {{ month_of(accounting_date() ~ ' - 1') }}
            ), 0
        ) as previous_volume_minor,
        coalesce(
            sum(records.transaction_amount_minor) filter (
                where records.accounting_date >= {{ month_of(accounting_date() ~ ' - 1') }}
            ), 0
        ) as month_volume_minor
    from {{ clearing_records_relation() }} as records
    where records.accounting_date >= {{ month_before(accounting_date() ~ ' - 1') }}
        and records.accounting_date < {{ accounting_date() }}
        and not exists (
            select 1
            from {{ monthly_volumes_relation() }} as kept
            where kept.accounting_date = {{ accounting_date() }} - 1
        )
    group by records.account_id, records.currency_code
),

accounts as (
    select
        account_id,
        min(effective_from) as first_effective_from
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
    group by account_id
),

currencies as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

operating_window as (
    select min(first_accounting_date) as first_accounting_date
    from {{ ref('stg_platform__operating_window') }}
    where snapshot_date = {{ accounting_date() }}
),

grain as (
    select
        accounts.account_id,
        currencies.currency_code
    from accounts
    cross join currencies
    union
    select
        account_id,
        currency_code
    from before
),

final as (
    select
        grain.account_id,
        grain.currency_code,
        {{ month_of(accounting_date()) }} as volume_month,
        case
            when before.volume_month = {{ month_of(accounting_date()) }}
                then before.previous_volume_minor
            when before.volume_month = {{ month_before(accounting_date()) }}
                then before.month_volume_minor
            else 0
        end as previous_volume_minor,
        coalesce(
            {{ month_before(accounting_date()) }} >= operating_window.first_accounting_date
            or accounts.first_effective_from >= operating_window.first_accounting_date,
            false
        ) as is_previous_known,
        case
            when before.volume_month = {{ month_of(accounting_date()) }}
                then before.month_volume_minor
            else 0
        end as opening_volume_minor
    from grain
    cross join operating_window
    left join before
        on grain.account_id = before.account_id
        and grain.currency_code = before.currency_code
    left join accounts on grain.account_id = accounts.account_id
)

select * from final
