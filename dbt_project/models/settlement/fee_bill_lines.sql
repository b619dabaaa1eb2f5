{{ config(materialized='public_view', tags=['views']) }}

{#-
    The lines of the fee bills (手续费账单明细): each clearing entry with a fee billed apart, in the one
    bill that asks for it. Nothing is stored but which bill that is.
-#}
with billed_fees as (
    select
        accounting_date,
        entry_id,
        bill_no,
        fee_amount_minor
    from {{ source('fee_bills', 'billed_fees') }}
),

clearing_entries as (
    select
        accounting_date,
        entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        source_id,
        transaction_amount_minor,
        fee_rule_id
    from {{ ref('clearing_entries') }}
),

final as (
    select
        billed_fees.bill_no,
        billed_fees.accounting_date,
        billed_fees.entry_id,
        clearing_entries.account_id,
        clearing_entries.merchant_id,
        clearing_entries.channel,
        clearing_entries.currency_code,
        clearing_entries.transaction_type,
        clearing_entries.source_id,
        clearing_entries.transaction_amount_minor,
        clearing_entries.fee_rule_id,
        billed_fees.fee_amount_minor
    from billed_fees
    left join clearing_entries
        on billed_fees.accounting_date = clearing_entries.accounting_date
        and billed_fees.entry_id = clearing_entries.entry_id
)

select * from final
