{{ config(materialized='ephemeral') }}

{#-
    What a source voucher that the close of T takes in books: the sale or what undoes one, and its
    fee, with the voucher's own file and line. An amount below zero swaps the two sides of its rule.
-#}
with priced_vouchers as (
    select
        voucher_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        fee_amount_minor,
        settlement_mode,
        file_id,
        line_number,
        transaction_currency_code,
        transaction_amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
),

accounting_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id,
        is_catch_up
    from {{ ref('accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

event_kinds as (
    select 'transaction' as event_type, 'TX:T:' as posting_prefix
    union all
    select 'merchant_fee' as event_type, 'FEE:T:' as posting_prefix
),

-- Without an arrival group what the channel owes has no sub-ledger, which the contract refuses.
final as (
    select
        event_kinds.event_type,
        case event_kinds.event_type
            when 'transaction' then 'sale'
            else priced_vouchers.settlement_mode
        end as posting_case,
        event_kinds.posting_prefix || priced_vouchers.voucher_id as posting_id,
        accounting_vouchers.accounting_voucher_id as voucher_id,
        priced_vouchers.voucher_id as source_id,
        'file_line' as source_kind,
        priced_vouchers.channel,
        priced_vouchers.settlement_mode,
        -- A transaction is booked as it was made; conversion is an event of its own.
        case event_kinds.event_type
            when 'transaction' then coalesce(
                priced_vouchers.transaction_currency_code, priced_vouchers.currency_code
            )
            else priced_vouchers.currency_code
        end as currency_code,
        case event_kinds.event_type
            when 'transaction' then coalesce(
                priced_vouchers.transaction_amount_minor, priced_vouchers.amount_minor
            )
            else priced_vouchers.fee_amount_minor
        end as amount_minor,
        priced_vouchers.account_id,
        arrival_groups.arrival_group_id,
        cast(null as text) as bank_account_id,
        accounting_vouchers.is_catch_up,
        priced_vouchers.file_id,
        priced_vouchers.line_number,
        cast(null as text) as decision_id
    from priced_vouchers
    inner join accounting_vouchers
        on priced_vouchers.voucher_id = accounting_vouchers.source_voucher_id
    left join arrival_groups
        on priced_vouchers.channel = arrival_groups.channel
        and priced_vouchers.currency_code = arrival_groups.currency_code
    cross join event_kinds
)

select * from final
