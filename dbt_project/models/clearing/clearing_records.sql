{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

with clearing_entries as (
    select
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        account_id,
        clearing_session_type,
        clearing_session_no,
        currency_code,
        count(*) as transaction_count,
        sum(transaction_amount_minor) as transaction_amount_minor,
        sum(fee_amount_minor) as fee_amount_minor,
        sum(deducted_fee_amount_minor) as deducted_fee_amount_minor,
        sum(clearing_amount_minor) as clearing_amount_minor
    from clearing_entries
    group by account_id, clearing_session_type, clearing_session_no, currency_code
)

select * from final
