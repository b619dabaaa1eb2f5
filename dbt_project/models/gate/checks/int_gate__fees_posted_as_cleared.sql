{{ config(materialized='ephemeral') }}

{#-
    The ledger posted the fees that clearing has, by account, channel and rule, adjustments one by
    one. Both come from one price, on two ways: what went wrong on one of them shows here.
-#}
with paid_dates as (
    select
        accounting_date,
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

subjects as (
    select distinct
        channel,
        currency_code
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

clearing_entries as (
    select
        accounting_date,
        channel,
        currency_code,
        account_id,
        case
            when clearing_session_type = 'transaction' then 'merchant_fee'
            when transaction_type = 'term_adjustment' then 'term_adjustment'
            else 'adjustment_fee'
        end as event_type,
        case when clearing_session_type = 'adjustment' then source_id end as source_id,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and (fee_amount_minor <> 0 or deducted_fee_amount_minor <> 0)
),

-- Without fee income a posting of a fee says nothing of one; it counts as nothing, and differs.
fee_postings as (
    select
        accounting_date,
        channel,
        currency_code,
        account_id,
        event_type,
        case when event_type <> 'merchant_fee' then source_id end as source_id,
        case 'fee_income' when debit_account then credit_account else debit_account end
            as merchant_account,
        case 'fee_income'
            when credit_account then amount_minor
            when debit_account then -amount_minor
            else 0
        end as fee_amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and event_type in ('merchant_fee', 'adjustment_fee', 'term_adjustment')
),

cleared as (
    select
        accounting_date,
        channel,
        currency_code,
        account_id,
        event_type,
        source_id,
        sum(deducted_fee_amount_minor) as deducted_minor,
        sum(fee_amount_minor - deducted_fee_amount_minor) as billed_minor
    from clearing_entries
    group by accounting_date, channel, currency_code, account_id, event_type, source_id
),

posted as (
    select
        fee_postings.accounting_date,
        fee_postings.channel,
        fee_postings.currency_code,
        fee_postings.account_id,
        fee_postings.event_type,
        fee_postings.source_id,
        sum(fee_postings.fee_amount_minor)
            filter (where fee_postings.merchant_account = 'merchant_payable') as deducted_minor,
        sum(fee_postings.fee_amount_minor)
            filter (where fee_postings.merchant_account = 'merchant_fee_receivable')
            as billed_minor
    from fee_postings
    inner join paid_dates
        on fee_postings.accounting_date = paid_dates.accounting_date
        and fee_postings.channel = paid_dates.channel
        and fee_postings.currency_code = paid_dates.currency_code
    group by
        fee_postings.accounting_date, fee_postings.channel, fee_postings.currency_code,
        fee_postings.account_id, fee_postings.event_type, fee_postings.source_id
),

sides as (
    select
        cleared.accounting_date,
        cleared.channel,
        cleared.currency_code,
        cleared.account_id,
        cleared.event_type,
        cleared.source_id,
        cleared.deducted_minor,
        cleared.billed_minor,
        0 as posted_deducted_minor,
        0 as posted_billed_minor
    from cleared
    union all
    select
        posted.accounting_date,
        posted.channel,
        posted.currency_code,
        posted.account_id,
        posted.event_type,
        posted.source_id,
        0 as deducted_minor,
        0 as billed_minor,
        coalesce(posted.deducted_minor, 0) as posted_deducted_minor,
        coalesce(posted.billed_minor, 0) as posted_billed_minor
    from posted
),

differences as (
    select
        channel,
        currency_code,
        to_char(accounting_date, 'YYYY-MM-DD') || ' ' || account_id || ' ' || event_type
        || coalesce(' ' || source_id, '') || ': cleared ' || sum(deducted_minor) || ' deducted, '
        || sum(billed_minor) || ' billed, posted ' || sum(posted_deducted_minor) || ', '
        || sum(posted_billed_minor) as difference
    from sides
    group by accounting_date, channel, currency_code, account_id, event_type, source_id
    having
        sum(deducted_minor) <> sum(posted_deducted_minor)
        or sum(billed_minor) <> sum(posted_billed_minor)
),

counted as (
    select
        channel,
        currency_code,
        count(*) as difference_count,
        min(difference) as first_difference
    from differences
    group by channel, currency_code
),

compared as (
    select
        subjects.channel || ' ' || subjects.currency_code as subject,
        counted.difference_count is null as holds,
        coalesce(
            'ledger and clearing have other fees (记账与清算手续费不符), first '
            || counted.first_difference, ''
        ) as detail,
        coalesce(counted.difference_count, 0) as measured,
        '0' as expected
    from subjects
    left join counted
        on subjects.channel = counted.channel
        and subjects.currency_code = counted.currency_code
),

final as (
    {{ check_rows('fees_posted_as_cleared', ['compared']) }}
)

select * from final
