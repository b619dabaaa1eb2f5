{{ config(materialized='ephemeral') }}

{#- Each source voucher is posted. -#}
with arrival_groups as (
    select distinct accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

transaction_types as (
    select transaction_type
    from {{ ref('transaction_types') }}
    where is_cleared
),

landed_vouchers as (
    select
        voucher_id,
        accounting_date,
        transaction_type,
        transaction_status,
        original_voucher_id,
        amount_minor,
        settlement_currency_code
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

refused_vouchers as (
    select
        voucher_id,
        accounting_date
    from {{ ref('refused_vouchers') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

-- A foreign voucher is posted by the close that found its rate; until then it is on the list of
-- those that wait.
waiting_conversions as (
    select
        voucher_id,
        accounting_date
    from {{ ref('waiting_conversions') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and voucher_date = accounting_date
),

late_conversions as (
    select
        voucher_id,
        accounting_date,
        transaction_type,
        original_voucher_id,
        transaction_amount_minor
    from {{ ref('currency_conversions') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and voucher_date < accounting_date
),

due_vouchers as (
    select
        landed_vouchers.voucher_id,
        landed_vouchers.accounting_date,
        landed_vouchers.transaction_type,
        landed_vouchers.transaction_status,
        landed_vouchers.original_voucher_id,
        landed_vouchers.amount_minor
    from landed_vouchers
    left join waiting_conversions
        on landed_vouchers.accounting_date = waiting_conversions.accounting_date
        and landed_vouchers.voucher_id = waiting_conversions.voucher_id
    where waiting_conversions.voucher_id is null
        or landed_vouchers.settlement_currency_code is null
    union all
    select
        voucher_id,
        accounting_date,
        transaction_type,
        'success' as transaction_status,
        original_voucher_id,
        transaction_amount_minor as amount_minor
    from late_conversions
),

-- What contradicts our history is refused: neither cleared nor posted.
source_vouchers as (
    select due_vouchers.*
    from due_vouchers
    left join refused_vouchers
        on due_vouchers.accounting_date = refused_vouchers.accounting_date
        and due_vouchers.voucher_id = refused_vouchers.voucher_id
    where refused_vouchers.voucher_id is null
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        transaction_status
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

transaction_postings as (
    select
        accounting_date,
        source_id,
        case 'channel_receivable' when debit_account then amount_minor else -amount_minor end
            as amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and event_type = 'transaction'
        and 'channel_receivable' in (debit_account, credit_account)
),

-- The reversal of a transaction that failed reverses nothing, on whatever date that failed: one
-- index probe a reversal.
reversals_of_nothing as (
    select
        source_vouchers.accounting_date,
        source_vouchers.voucher_id
    from source_vouchers
    cross join lateral (
        select voucher_register.transaction_status
        from voucher_register
        where voucher_register.voucher_id = source_vouchers.original_voucher_id
            and voucher_register.accounting_date <= source_vouchers.accounting_date
        limit 1
    ) as originals
    where source_vouchers.transaction_type = 'reversal'
        and originals.transaction_status is distinct from 'success'
),

vouchers_to_post as (
    select
        source_vouchers.accounting_date,
        source_vouchers.voucher_id,
        source_vouchers.amount_minor
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join reversals_of_nothing
        on source_vouchers.accounting_date = reversals_of_nothing.accounting_date
        and source_vouchers.voucher_id = reversals_of_nothing.voucher_id
    where source_vouchers.transaction_status = 'success'
        and source_vouchers.amount_minor <> 0
        and reversals_of_nothing.voucher_id is null
),

posted as (
    select
        accounting_date,
        source_id,
        sum(amount_minor) as amount_minor
    from transaction_postings
    group by accounting_date, source_id
),

compared_vouchers as (
    select
        coalesce(vouchers_to_post.accounting_date, posted.accounting_date) as accounting_date,
        vouchers_to_post.amount_minor is distinct from posted.amount_minor as is_wrong,
        coalesce(vouchers_to_post.voucher_id, posted.source_id) as voucher_id
    from vouchers_to_post
    full join posted
        on vouchers_to_post.accounting_date = posted.accounting_date
        and vouchers_to_post.voucher_id = posted.source_id
),

voucher_checks as (
    select
        to_char(arrival_groups.accounting_date, 'YYYY-MM-DD') as subject,
        count(*) filter (where compared_vouchers.is_wrong) = 0 as holds,
        coalesce(
            'first of them: '
            || min(compared_vouchers.voucher_id) filter (where compared_vouchers.is_wrong),
            ''
        ) as detail,
        count(*) filter (where compared_vouchers.is_wrong) as measured,
        '0' as expected
    from arrival_groups
    left join compared_vouchers
        on arrival_groups.accounting_date = compared_vouchers.accounting_date
    group by arrival_groups.accounting_date
),

final as (
    {{ check_rows('no_unposted_source_voucher', ['voucher_checks'], of_new_dates=true) }}
)

select * from final
