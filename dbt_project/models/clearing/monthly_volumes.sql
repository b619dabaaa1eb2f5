{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    What each account has cleared in T's month up to T, and in the month before: the sum of its
    clearing records, sales less what was given back. Each close rolls it forward from the date
    before; the first close of a month hands the month over. It decides the tiers of the month to
    come (docs/domain.md#volume-tiers).
-#}
with volumes as (
    select
        account_id,
        currency_code,
        volume_month,
        previous_volume_minor,
        is_previous_known,
        opening_volume_minor
    from {{ ref('int_pricing__volumes') }}
),

records as (
    select
        account_id,
        currency_code,
        sum(transaction_amount_minor) as transaction_amount_minor
    from {{ ref('clearing_records') }}
    where accounting_date = {{ accounting_date() }}
    group by account_id, currency_code
),

-- An account clears under a contract, so it has a volume; one that had none would fail its row.
final as (
    select
        {{ accounting_date() }} as accounting_date,
        coalesce(volumes.account_id, records.account_id) as account_id,
        coalesce(volumes.currency_code, records.currency_code) as currency_code,
        volumes.volume_month,
        volumes.previous_volume_minor,
        volumes.is_previous_known,
        volumes.opening_volume_minor,
        coalesce(records.transaction_amount_minor, 0) as cleared_volume_minor,
        volumes.opening_volume_minor + coalesce(records.transaction_amount_minor, 0)
            as month_volume_minor
    from volumes
    full join records
        on volumes.account_id = records.account_id
        and volumes.currency_code = records.currency_code
)

select * from final
