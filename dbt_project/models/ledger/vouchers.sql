{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    The vouchers of T as a finance system numbers them (会计凭证): of each kind of event, from 1
    without a gap, one currency each (docs/domain.md#numbered-vouchers). Each posting belongs to
    one. The order is of what the vouchers are called, so the same postings have the same numbers.
-#}
with postings as (
    select
        posting_id,
        voucher_id,
        event_type,
        source_id,
        currency_code,
        amount_minor,
        is_catch_up
    from {{ ref('postings') }}
    where accounting_date = {{ accounting_date() }}
),

priced_vouchers as (
    select
        voucher_id,
        transaction_type
    from {{ ref('int_pricing__priced_vouchers') }}
),

kinds_of_postings as (
    select
        postings.*,
        {{ voucher_kind('postings.event_type') }} as voucher_kind
    from postings
),

grouped as (
    select
        voucher_kind,
        voucher_id,
        currency_code,
        min(case when voucher_kind = 'transaction' then source_id end) as source_voucher_id,
        count(*) as posting_count,
        sum(amount_minor) as amount_minor,
        bool_or(is_catch_up) as is_catch_up
    from kinds_of_postings
    group by voucher_kind, voucher_id, currency_code
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        row_number() over (
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
        ) as voucher_no,
        grouped.voucher_kind,
        grouped.voucher_id,
        grouped.currency_code,
        grouped.source_voucher_id,
        priced_vouchers.transaction_type,
        grouped.posting_count,
        grouped.amount_minor,
        grouped.is_catch_up
    from grouped
    left join priced_vouchers on grouped.source_voucher_id = priced_vouchers.voucher_id
)

select * from final
