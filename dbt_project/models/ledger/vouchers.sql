{{ config(materialized='public_view', tags=['views']) }}

{#-
    The vouchers of a date as a finance system numbers them (会计凭证): of each kind of event, from 1
    without a gap, one currency each (docs/domain.md#numbered-vouchers). Each posting belongs to
    one. Nothing is stored: the order is of what the vouchers are called, so the same postings have
    the same numbers, and those of a sealed date never change. A filter on the date reads that date.
-#}
with postings as (
    select
        accounting_date,
        posting_id,
        voucher_id,
        event_type,
        source_id,
        currency_code,
        amount_minor,
        is_catch_up
    from {{ ref('postings') }}
),

source_vouchers as (
    select
        accounting_date,
        voucher_id,
        transaction_type
    from {{ ref('stg_platform__source_vouchers') }}
),

-- What waited for its rate is no voucher of the date that booked it.
late_conversions as (
    select
        accounting_date,
        voucher_id,
        transaction_type
    from {{ ref('currency_conversions') }}
    where voucher_date < accounting_date
),

kinds_of_postings as (
    select
        postings.*,
        {{ voucher_kind('postings.event_type') }} as voucher_kind
    from postings
),

grouped as (
    select
        accounting_date,
        voucher_kind,
        voucher_id,
        currency_code,
        min(case when voucher_kind = 'transaction' then source_id end) as source_voucher_id,
        count(*) as posting_count,
        cast(sum(amount_minor) as bigint) as amount_minor,
        bool_or(is_catch_up) as is_catch_up
    from kinds_of_postings
    group by accounting_date, voucher_kind, voucher_id, currency_code
),

numbered as (
    select
        grouped.*,
        row_number() over (
            partition by grouped.accounting_date
            order by
                case grouped.voucher_kind
                    when 'opening' then 1
                    when 'transaction' then 2
                    when 'channel' then 3
                    when 'suspense' then 4
                    when 'adjustment' then 5
                    when 'fee' then 6
                    when 'decision' then 7
                    when 'bank' then 8
                    when 'payout' then 9
                    when 'advance' then 10
                end,
                grouped.voucher_id collate "C",
                grouped.currency_code collate "C"
        ) as voucher_no
    from grouped
),

final as (
    select
        numbered.accounting_date,
        numbered.voucher_no,
        numbered.voucher_kind,
        numbered.voucher_id,
        numbered.currency_code,
        numbered.source_voucher_id,
        coalesce(source_vouchers.transaction_type, late_conversions.transaction_type)
            as transaction_type,
        numbered.posting_count,
        numbered.amount_minor,
        numbered.is_catch_up
    from numbered
    left join source_vouchers
        on numbered.accounting_date = source_vouchers.accounting_date
        and numbered.source_voucher_id = source_vouchers.voucher_id
    left join late_conversions
        on numbered.accounting_date = late_conversions.accounting_date
        and numbered.source_voucher_id = late_conversions.voucher_id
)

select * from final
