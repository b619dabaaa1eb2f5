{{ config(materialized='ephemeral') }}

{#-
    What converting a foreign voucher books (外币兑换), with the voucher's own file and line. What the
    channel owes goes over at the rate of its record, what we owe the merchant at the rate that the
    platform quoted; the exchange difference (汇兑差额) between the two arises and is passed on to the
    merchant, who is settled by the record. So the exchange account ends each date at zero in every
    currency.
-#}
with priced_vouchers as (
    select
        voucher_id,
        account_id,
        settlement_mode,
        amount_minor
    from {{ ref('int_pricing__priced_vouchers') }}
    where transaction_currency_code is not null
),

conversions as (
    select
        voucher_id,
        channel,
        transaction_currency_code,
        transaction_amount_minor,
        currency_code,
        settlement_amount_minor,
        quoted_amount_minor,
        exchange_difference_minor,
        file_id,
        line_number
    from {{ ref('currency_conversions') }}
    where accounting_date = {{ accounting_date() }}
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

-- The receivable by the channel's file, the payable by the platform's rate, the rest by both.
final as (
    select
        event_kinds.event_type,
        event_kinds.posting_case,
        event_kinds.posting_prefix || conversions.voucher_id as posting_id,
        accounting_vouchers.accounting_voucher_id as voucher_id,
        conversions.voucher_id as source_id,
        'file_line' as source_kind,
        conversions.channel,
        priced_vouchers.settlement_mode,
        event_kinds.currency_code,
        event_kinds.amount_minor,
        priced_vouchers.account_id,
        arrival_groups.arrival_group_id,
        cast(null as text) as bank_account_id,
        accounting_vouchers.is_catch_up,
        conversions.file_id,
        conversions.line_number,
        cast(null as text) as decision_id
    from conversions
    inner join priced_vouchers on conversions.voucher_id = priced_vouchers.voucher_id
    inner join accounting_vouchers
        on conversions.voucher_id = accounting_vouchers.source_voucher_id
    left join arrival_groups
        on conversions.channel = arrival_groups.channel
        and conversions.currency_code = arrival_groups.currency_code
    cross join lateral (
        values
            (
                'currency_conversion', 'receivable_out', 'CXO:R:',
                conversions.transaction_currency_code, conversions.transaction_amount_minor
            ),
            (
                'currency_conversion', 'receivable_in', 'CXI:R:',
                conversions.currency_code, conversions.settlement_amount_minor
            ),
            (
                'currency_conversion', 'payable_out', 'CXO:P:',
                conversions.transaction_currency_code, conversions.transaction_amount_minor
            ),
            (
                'currency_conversion', 'payable_in', 'CXI:P:',
                conversions.currency_code, conversions.quoted_amount_minor
            ),
            (
                'exchange_difference', 'arisen', 'XD:A:',
                conversions.currency_code, conversions.exchange_difference_minor
            ),
            (
                'exchange_difference', 'passed_on', 'XD:M:',
                conversions.currency_code, conversions.exchange_difference_minor
            )
    ) as event_kinds (event_type, posting_case, posting_prefix, currency_code, amount_minor)
)

select * from final
