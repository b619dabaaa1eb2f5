{{ config(materialized='table', schema='intermediate', unlogged=true, tags=['payment']) }}

{#-
    Each fee, computed a second time from contract and voucher, is what was cleared, deducted
    and posted; none exceeds its transaction by percentage, no return its sale's fee; what late
    approvals make up is what two computations say, cleared and posted. The fee cancels out of
    the balance equation, so the equation proves none. Minimum and fixed fees may take more than
    the transaction, listed, up to the contract's limit.
-#}
with recomputed as (
    select
        entry_id,
        contract_id,
        currency_code,
        transaction_amount_minor,
        cleared_fee_minor,
        deducted_fee_amount_minor,
        owed_deduction_minor,
        ledger_fee_minor,
        recomputed_fee_minor,
        is_sale,
        has_flat_part,
        whole_fee_minor,
        returned_fee_minor
    from {{ ref('int_gate__recomputed_fees') }}
),

recomputed_terms as (
    select
        accounting_date,
        entry_id,
        sale_entry_id,
        owed_fee_minor,
        recomputed_adjustment_minor,
        adjustment_amount_minor
    from {{ ref('int_gate__recomputed_term_fees') }}
),

term_adjustments as (
    select
        accounting_date,
        account_id,
        currency_code,
        channel,
        change_id,
        settlement_mode,
        adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
),

term_entries as (
    select
        accounting_date,
        account_id,
        currency_code,
        channel,
        source_id,
        fee_amount_minor,
        deducted_fee_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and transaction_type = 'term_adjustment'
),

paid_dates as (
    select
        channel,
        currency_code,
        accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

term_postings as (
    select
        accounting_date,
        channel,
        currency_code,
        source_id,
        account_id,
        case 'fee_income' when debit_account then credit_account else debit_account end
            as merchant_account,
        case 'fee_income' when debit_account then amount_minor else -amount_minor end
            as amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and event_type = 'term_adjustment'
),

fee_limits as (
    select
        contract_id,
        fee_above_transaction_limit_amount_minor
    from {{ ref('fee_limits') }}
),

above as (
    select
        contract_id,
        currency_code,
        count(*) as entry_count,
        sum(cleared_fee_minor - transaction_amount_minor) as above_amount_minor,
        count(*) filter (where not has_flat_part) as percentage_count,
        min(entry_id) filter (where not has_flat_part) as first_percentage
    from recomputed
    where is_sale and cleared_fee_minor > transaction_amount_minor
    group by contract_id, currency_code
),

-- The contract's own limit, else everybody's.
limited as (
    select
        above.*,
        coalesce(
            own.fee_above_transaction_limit_amount_minor,
            common.fee_above_transaction_limit_amount_minor, 0
        ) as limit_amount_minor
    from above
    left join fee_limits as own on above.contract_id = own.contract_id
    left join fee_limits as common on common.contract_id = '*'
),

-- Made up, cleared and posted: by change and account, deducted and billed apart.
term_sides as (
    select
        accounting_date,
        channel,
        currency_code,
        change_id,
        account_id,
        case settlement_mode when 'net' then adjustment_amount_minor else 0 end as net_minor,
        case settlement_mode when 'gross' then adjustment_amount_minor else 0 end as gross_minor,
        0 as cleared_net_minor,
        0 as cleared_gross_minor,
        0 as posted_net_minor,
        0 as posted_gross_minor
    from term_adjustments
    union all
    select
        accounting_date,
        channel,
        currency_code,
        source_id as change_id,
        account_id,
        0 as net_minor,
        0 as gross_minor,
        -deducted_fee_amount_minor as cleared_net_minor,
        deducted_fee_amount_minor - fee_amount_minor as cleared_gross_minor,
        0 as posted_net_minor,
        0 as posted_gross_minor
    from term_entries
    union all
    select
        term_postings.accounting_date,
        term_postings.channel,
        term_postings.currency_code,
        term_postings.source_id as change_id,
        term_postings.account_id,
        0 as net_minor,
        0 as gross_minor,
        0 as cleared_net_minor,
        0 as cleared_gross_minor,
        case term_postings.merchant_account
            when 'merchant_payable' then term_postings.amount_minor
            else 0
        end as posted_net_minor,
        case term_postings.merchant_account
            when 'merchant_fee_receivable' then term_postings.amount_minor
            else 0
        end as posted_gross_minor
    from term_postings
    inner join paid_dates
        on term_postings.accounting_date = paid_dates.accounting_date
        and term_postings.channel = paid_dates.channel
        and term_postings.currency_code = paid_dates.currency_code
),

term_differences as (
    select
        change_id,
        account_id
    from term_sides
    group by accounting_date, channel, currency_code, change_id, account_id
    having
        sum(net_minor) <> sum(cleared_net_minor)
        or sum(gross_minor) <> sum(cleared_gross_minor)
        or sum(net_minor) <> sum(posted_net_minor)
        or sum(gross_minor) <> sum(posted_gross_minor)
),

-- A sale made up by more than was left of its fee.
overpaid_terms as (
    select sale_entry_id
    from recomputed_terms
    group by accounting_date, sale_entry_id
    having sum(owed_fee_minor) < 0 and sum(recomputed_adjustment_minor) > 0
),

compared as (
    select
        'cleared' as subject,
        count(*) filter (where recomputed_fee_minor is distinct from cleared_fee_minor)
            as wrong_count,
        min(entry_id) filter (where recomputed_fee_minor is distinct from cleared_fee_minor)
            as first_wrong,
        'not the fee of contract and voucher (费用重算不符)' as fault
    from recomputed
    union all
    select
        'deducted' as subject,
        count(*) filter (where deducted_fee_amount_minor is distinct from owed_deduction_minor)
            as wrong_count,
        min(entry_id) filter (
            where deducted_fee_amount_minor is distinct from owed_deduction_minor
        ) as first_wrong,
        'net deducts the fee, gross none (扣费方式不符)' as fault
    from recomputed
    union all
    select
        'posted' as subject,
        count(*) filter (where recomputed_fee_minor is distinct from ledger_fee_minor)
            as wrong_count,
        min(entry_id) filter (where recomputed_fee_minor is distinct from ledger_fee_minor)
            as first_wrong,
        'the ledger has another fee (分录手续费不符)' as fault
    from recomputed
    union all
    select
        'returned' as subject,
        count(*) filter (where returned_fee_minor > coalesce(whole_fee_minor, 0)) as wrong_count,
        min(entry_id) filter (where returned_fee_minor > coalesce(whole_fee_minor, 0))
            as first_wrong,
        'more fee came back than the sale was charged (退费超过原手续费)' as fault
    from recomputed
    where not is_sale
    union all
    select
        'percentage' as subject,
        coalesce(sum(percentage_count), 0) as wrong_count,
        min(first_percentage) as first_wrong,
        'a percentage above its transaction (费用超过交易金额)' as fault
    from limited
    union all
    select
        'made up' as subject,
        count(*) filter (where recomputed_adjustment_minor <> adjustment_amount_minor)
            as wrong_count,
        min(entry_id) filter (where recomputed_adjustment_minor <> adjustment_amount_minor)
            as first_wrong,
        'not what the approved terms make up (条款追溯差额不符)' as fault
    from recomputed_terms
    union all
    select
        'made up and booked' as subject,
        count(*) as wrong_count,
        min(account_id || ' ' || change_id) as first_wrong,
        'entry or ledger has another difference (追溯差额入账不符)' as fault
    from term_differences
    union all
    select
        'made up and returned' as subject,
        count(*) as wrong_count,
        min(sale_entry_id) as first_wrong,
        'more is made up than is left of the fee (追溯差额超过剩余手续费)' as fault
    from overpaid_terms
),

found as (
    select
        subject,
        wrong_count = 0 as holds,
        case
            when wrong_count = 0 then ''
            else fault || ', first ' || first_wrong
        end as detail,
        wrong_count as measured,
        '0' as expected
    from compared
    union all
    -- Listed each time, whether or not they hold.
    select
        'contract ' || coalesce(contract_id, 'none') || ' ' || currency_code as subject,
        contract_id is not null and above_amount_minor <= limit_amount_minor as holds,
        entry_count || ' fees above their transaction (最低或固定费用高于交易金额)' as detail,
        above_amount_minor as measured,
        'at most ' || limit_amount_minor as expected
    from limited
),

final as (
    {{ check_rows('fees_recomputed', ['found']) }}
)

select * from final
