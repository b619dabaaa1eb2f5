{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    Fees billed apart (收支两条线) to gross merchants: the bill of each fee period as it stands on
    the payment date. Yesterday's bill plus the fees of the entries settled today; the bill is
    closed by the first payment date after its month has ended (docs/domain.md#fee-bills).
-#}
with clearing_entries as (
    select
        accounting_date,
        account_id,
        currency_code,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and settlement_mode = 'gross'
        and fee_amount_minor <> 0
),

bills_before as (
    select
        fee_period,
        account_id,
        currency_code,
        fee_count,
        fee_amount_minor,
        collection_method
    from {{ this }}
    where payment_date = {{ previous_payment_date() }}
),

contracts as (
    select
        account_id,
        fee_collection_method,
        row_number() over (
            partition by account_id
            order by effective_from desc, contract_id asc
        ) as contract_order
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('int_terms__contracts')) }}
        and effective_from <= {{ payment_date() }}
),

calendar_days as (
    select
        calendar_date,
        working_day_on_or_after
    from {{ ref('calendar_days') }}
),

parts as (
    select
        cast(date_trunc('month', accounting_date) as date) as period_start,
        account_id,
        currency_code,
        1 as fee_count,
        fee_amount_minor - deducted_fee_amount_minor as fee_amount_minor
    from clearing_entries
    union all
    select
        to_date(fee_period || '-01', 'YYYY-MM-DD') as period_start,
        account_id,
        currency_code,
        fee_count,
        fee_amount_minor
    from bills_before
),

bills as (
    select
        period_start,
        cast(period_start + interval '1 month' as date) as next_period_start,
        account_id,
        currency_code,
        sum(fee_count) as fee_count,
        sum(fee_amount_minor) as fee_amount_minor
    from parts
    group by period_start, account_id, currency_code
),

final as (
    select
        {{ payment_date() }} as payment_date,
        to_char(bills.period_start, 'YYYY-MM') as fee_period,
        bills.account_id,
        bills.currency_code,
        bills.fee_count,
        bills.fee_amount_minor,
        -- Due on the 10th of the next month, or the first working day after it.
        calendar_days.working_day_on_or_after as due_on,
        coalesce(bills_before.collection_method, contracts.fee_collection_method)
            as collection_method,
        case when bills.next_period_start <= {{ payment_date() }} then 'billed' else 'open' end
            as status
    from bills
    left join calendar_days on calendar_days.calendar_date = bills.next_period_start + 9
    left join contracts
        on bills.account_id = contracts.account_id and contracts.contract_order = 1
    left join bills_before
        on bills.account_id = bills_before.account_id
        and bills.currency_code = bills_before.currency_code
        and to_char(bills.period_start, 'YYYY-MM') = bills_before.fee_period
)

select * from final
