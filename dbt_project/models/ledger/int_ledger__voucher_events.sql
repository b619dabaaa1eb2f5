{{ config(materialized='ephemeral') }}

{#-
    What a source voucher of T books: the sale or what undoes one, and its fee, with the voucher's
    own file and line. An amount below zero swaps the two sides of its rule.
-#}
with clearing_entries as (
    select
        entry_id,
        account_id,
        channel,
        currency_code,
        source_id,
        transaction_amount_minor,
        fee_amount_minor,
        settlement_mode,
        arrival_group_id
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }} and clearing_session_type = 'transaction'
),

accounting_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id,
        is_catch_up
    from {{ ref('accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

source_vouchers as (
    select
        voucher_id,
        file_id,
        line_number
    from {{ ref('int_vouchers__accepted') }}
),

event_kinds as (
    select 'transaction' as event_type, 'TX:' as posting_prefix
    union all
    select 'merchant_fee' as event_type, 'FEE:' as posting_prefix
),

final as (
    select
        event_kinds.event_type,
        case event_kinds.event_type
            when 'transaction' then 'sale'
            else clearing_entries.settlement_mode
        end as posting_case,
        event_kinds.posting_prefix || clearing_entries.entry_id as posting_id,
        accounting_vouchers.accounting_voucher_id as voucher_id,
        clearing_entries.source_id,
        'file_line' as source_kind,
        clearing_entries.channel,
        clearing_entries.settlement_mode,
        clearing_entries.currency_code,
        case event_kinds.event_type
            when 'transaction' then clearing_entries.transaction_amount_minor
            else clearing_entries.fee_amount_minor
        end as amount_minor,
        clearing_entries.account_id,
        clearing_entries.arrival_group_id,
        cast(null as text) as bank_account_id,
        accounting_vouchers.is_catch_up,
        source_vouchers.file_id,
        source_vouchers.line_number,
        cast(null as text) as decision_id
    from clearing_entries
    inner join accounting_vouchers
        on clearing_entries.source_id = accounting_vouchers.source_voucher_id
    left join source_vouchers on clearing_entries.source_id = source_vouchers.voucher_id
    cross join event_kinds
)

select * from final
