{{ config(materialized='table', schema='intermediate', unlogged=true, tags=['payment']) }}

{#-
    The fee cancels out of the balance equation, so the equation proves none. Each fee is computed a
    second time and has to be what was cleared and what was posted; a percentage never takes more
    than the transaction; minimum and fixed fees may, listed, up to the contract's limit; what is
    returned of a fee never exceeds it.
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
),

final as (
    select
        'fees_recomputed' as check_name,
        subject,
        wrong_count = 0 as holds,
        case
            when wrong_count = 0 then ''
            else fault || ', first ' || first_wrong
        end as detail,
        cast(wrong_count as text) as measured,
        '0' as expected
    from compared
    union all
    -- Listed each time, whether or not they hold.
    select
        'fees_recomputed' as check_name,
        'contract ' || coalesce(contract_id, 'none') || ' ' || currency_code as subject,
        contract_id is not null and above_amount_minor <= limit_amount_minor as holds,
        entry_count || ' fees above their transaction (最低或固定费用高于交易金额)' as detail,
        cast(above_amount_minor as text) as measured,
        'at most ' || limit_amount_minor as expected
    from limited
)

select * from final
