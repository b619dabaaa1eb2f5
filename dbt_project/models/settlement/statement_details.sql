{{ config(materialized='public_view', tags=['views']) }}

{#-
    What a merchant reads of each line of a statement (结算单逐笔明细): the entry as it was cleared,
    with the time, terminal and order number of its voucher. Nothing is stored. Both dates are
    partitions: a reader who names both reads these alone.
-#}
with statement_lines as (
    select
        payment_date,
        statement_id,
        entry_id,
        accounting_date
    from {{ ref('statement_lines') }}
),

clearing_entries as (
    select
        accounting_date,
        entry_id,
        clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        source_id,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        clearing_amount_minor,
        contract_id,
        fee_rule_id,
        clearing_session_no,
        transaction_currency_code,
        transaction_currency_amount_minor,
        exchange_rate
    from {{ ref('clearing_entries') }}
),

source_vouchers as (
    select
        accounting_date,
        voucher_id,
        transaction_at,
        terminal_id,
        merchant_order_id
    from {{ ref('stg_platform__source_vouchers') }}
),

-- What waited for its rate is no voucher of the date that cleared it.
late_conversions as (
    select
        accounting_date,
        voucher_id,
        transaction_at,
        terminal_id,
        merchant_order_id
    from {{ ref('currency_conversions') }}
    where voucher_date < accounting_date
),

final as (
    select
        statement_lines.payment_date,
        statement_lines.statement_id,
        statement_lines.accounting_date,
        statement_lines.entry_id,
        clearing_entries.clearing_session_type,
        clearing_entries.account_id,
        clearing_entries.merchant_id,
        clearing_entries.channel,
        clearing_entries.currency_code,
        clearing_entries.transaction_type,
        clearing_entries.source_id,
        coalesce(source_vouchers.transaction_at, late_conversions.transaction_at)
            as transaction_at,
        coalesce(source_vouchers.terminal_id, late_conversions.terminal_id) as terminal_id,
        coalesce(source_vouchers.merchant_order_id, late_conversions.merchant_order_id)
            as merchant_order_id,
        clearing_entries.transaction_amount_minor,
        clearing_entries.fee_amount_minor,
        clearing_entries.deducted_fee_amount_minor,
        clearing_entries.clearing_amount_minor,
        clearing_entries.contract_id,
        clearing_entries.fee_rule_id,
        clearing_entries.clearing_session_no,
        clearing_entries.transaction_currency_code,
        clearing_entries.transaction_currency_amount_minor,
        clearing_entries.exchange_rate
    from statement_lines
    inner join clearing_entries
        on statement_lines.accounting_date = clearing_entries.accounting_date
        and statement_lines.entry_id = clearing_entries.entry_id
    left join source_vouchers
        on clearing_entries.accounting_date = source_vouchers.accounting_date
        and clearing_entries.source_id = source_vouchers.voucher_id
        and clearing_entries.clearing_session_type = 'transaction'
    left join late_conversions
        on clearing_entries.accounting_date = late_conversions.accounting_date
        and clearing_entries.source_id = late_conversions.voucher_id
        and clearing_entries.clearing_session_type = 'transaction'
)

select * from final
