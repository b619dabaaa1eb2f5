{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The sale that each adjustment record of T refers to: by the channel's keys of the original and
    by whatever else the record says of it, among all vouchers that ever landed. What names none, or
    fits sales of two accounts, has no original here: nobody's account is chosen for it
    (docs/domain.md#original-of-an-adjustment). One row a record with an original.
-#}
with adjustments as (
    select
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        original_trace_number,
        original_transmission_time,
        original_settlement_date,
        original_amount_minor,
        channel_order_id,
        refund_order_id,
        retrieval_reference_number,
        merchant_id,
        file_id,
        line_number
    from {{ ref('int_channels__adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

adjustment_types as (
    select
        adjustment_type,
        default_disposition
    from {{ ref('adjustment_types') }}
    where equation_term = 'adjustments'
),

applied_adjustments as (
    select adjustment_id
    from {{ ref('int_reconciliation__applied_adjustments') }}
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        transaction_type,
        transaction_status,
        transaction_at,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        retrieval_reference_number,
        lookup_key
    from {{ source('control', 'voucher_register') }}
    where
        source = 'platform'
        -- Transmission times have no year.
        and accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }}
),

-- As far as they were paired; those of T that the channel sent with T are looked up below.
results as (
    select
        accounting_date,
        channel,
        currency_code,
        result_id,
        channel_record_id
    from {{ ref('reconciliation_results') }}
    where accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }}
),

items_before as (
    select
        accounting_date,
        suspense_item_id,
        status
    from {{ suspense_items_relation() }}
    where accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }} - 1
),

original_movements as (
    select
        original_voucher_id,
        accounting_date,
        adjustment_type,
        account_id,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
),

-- Cases that two people fight no more: what the channel gives back for one waits for people.
accepted_cases as (
    select distinct decisions.case_id
    from {{ source('control', 'case_decisions') }} as decisions
    inner join {{ source('control', 'case_approvals') }} as approvals
        on decisions.decision_id = approvals.decision_id
    where decisions.decision_kind = 'accept' and decisions.effective_on <= {{ accounting_date() }}
),

voucher_history as (
    select
        original_voucher_id,
        sum(-amount_minor) as returned_minor
    from {{ ref('int_vouchers__history') }}
    where reason is null and is_return and not reverses_failed
    group by original_voucher_id
),

-- One index probe a record; the most recent date that fits.
candidates as (
    select
        adjustments.*,
        found.voucher_id,
        found.accounting_date as original_accounting_date,
        found.transaction_at as original_transaction_at,
        found.merchant_id as original_merchant_id,
        found.account_id as original_account_id,
        found.amount_minor as sale_amount_minor,
        rank() over (
            partition by adjustments.adjustment_id
            order by found.accounting_date desc
        ) as date_order
    from adjustments
    cross join lateral (
        select voucher_register.*
        from voucher_register
        where voucher_register.lookup_key = control.voucher_lookup_key(
                adjustments.channel, adjustments.channel_order_id, null,
                adjustments.original_trace_number, adjustments.original_transmission_time, null
            )
            and voucher_register.channel = adjustments.channel
            and voucher_register.currency_code = adjustments.currency_code
            and voucher_register.transaction_status = 'success'
            and voucher_register.transaction_type in ('purchase', 'preauth_completion')
            -- What one side leaves empty is no contradiction.
            and coalesce(
                voucher_register.acquiring_institution_id
                = adjustments.acquiring_institution_id, true
            )
            and coalesce(
                voucher_register.forwarding_institution_id
                = adjustments.forwarding_institution_id, true
            )
            and coalesce(
                voucher_register.retrieval_reference_number
                = adjustments.retrieval_reference_number, true
            )
            and voucher_register.merchant_id
            = coalesce(adjustments.merchant_id, voucher_register.merchant_id)
            and (
                adjustments.original_amount_minor is null
                or voucher_register.amount_minor = adjustments.original_amount_minor
            )
            and (
                adjustments.original_settlement_date is null
                or abs(
                    voucher_register.accounting_date - adjustments.original_settlement_date
                ) <= 3
            )
        order by voucher_register.accounting_date desc, voucher_register.voucher_id
        limit 20
    ) as found
),

counted as (
    select
        candidates.*,
        count(*) over (
            partition by candidates.adjustment_id
        ) as candidate_count,
        min(candidates.original_account_id) over (
            partition by candidates.adjustment_id
        ) = max(candidates.original_account_id) over (
            partition by candidates.adjustment_id
        ) as is_one_account,
        row_number() over (
            partition by candidates.adjustment_id
            order by candidates.voucher_id
        ) as candidate_order
    from candidates
    where candidates.date_order = 1
),

-- Of several equal sales of one account (equal in all the channel says) it is the first.
originals as (
    select *
    from counted
    where is_one_account and candidate_order = 1
),

stated as (
    select
        originals.*,
        paired.channel_record_id as original_channel_record_id,
        coalesce(last_state.status, 'resolved') = 'resolved'
        and originals.original_accounting_date < {{ accounting_date() }} as is_paired,
        coalesce(moved.returned_minor, 0) + coalesce(voucher_history.returned_minor, 0)
            as returned_before_minor,
        coalesce(moved.disputed_minor, 0) as disputed_before_minor,
        coalesce(moved.represented_minor, 0) as represented_before_minor,
        coalesce(moved.final_count, 0) as final_before_count
    from originals
    left join lateral (
        select items_before.status
        from items_before
        where items_before.suspense_item_id = 'S:' || originals.voucher_id
            and items_before.accounting_date >= originals.original_accounting_date
        order by items_before.accounting_date desc
        limit 1
    ) as last_state on true
    -- Paired with its own date, or a late record in the week after it.
    left join lateral (
        select results.channel_record_id
        from results
        where results.accounting_date between originals.original_accounting_date
            and originals.original_accounting_date + 7
            and results.channel = originals.channel
            and results.currency_code = originals.currency_code
            and results.result_id in (
                'M:' || originals.voucher_id, 'R:S:' || originals.voucher_id
            )
        order by results.accounting_date, results.result_id
        limit 1
    ) as paired on true
    left join lateral (
        select
            sum(original_movements.amount_minor) as returned_minor,
            -- What another account bore is not given back to this one.
            sum(original_movements.amount_minor) filter (
                where original_movements.adjustment_type in (
                    'first_chargeback', 'representment', 'second_chargeback'
                )
                and original_movements.account_id = originals.original_account_id
            ) as disputed_minor,
            -sum(original_movements.amount_minor) filter (
                where original_movements.adjustment_type in (
                    'representment', 'second_chargeback'
                )
                and original_movements.account_id = originals.original_account_id
            ) as represented_minor,
            count(*) filter (
                where original_movements.adjustment_type = 'second_chargeback'
            ) as final_count
        from original_movements
        where original_movements.original_voucher_id = originals.voucher_id
            and original_movements.accounting_date < {{ accounting_date() }}
    ) as moved on true
    left join voucher_history on originals.voucher_id = voucher_history.original_voucher_id
),

judged as (
    select
        stated.*,
        applied_adjustments.adjustment_id is null
        and stated.funds_effect_minor <> 0
        and (
            adjustment_types.default_disposition = 'charged'
            -- A credit adjustment of a sale that is paired and cleared: its account gives it back.
            or (stated.adjustment_type = 'credit_adjustment' and stated.is_paired)
        ) as is_chargeable
    from stated
    inner join adjustment_types
        on stated.adjustment_type = adjustment_types.adjustment_type
    left join applied_adjustments on stated.adjustment_id = applied_adjustments.adjustment_id
),

counted_through as (
    select
        judged.*,
        accepted_cases.case_id is not null as is_accepted,
        judged.returned_before_minor + sum(
            case when judged.is_chargeable then -judged.funds_effect_minor else 0 end
        ) over up_to_here as returned_after_minor,
        judged.disputed_before_minor + sum(
            case
                when judged.is_chargeable and judged.adjustment_type in (
                    'first_chargeback', 'representment', 'second_chargeback'
                ) then -judged.funds_effect_minor
                else 0
            end
        ) over up_to_here as disputed_after_minor,
        judged.represented_before_minor + sum(
            case
                when judged.is_chargeable
                    and judged.adjustment_type in ('representment', 'second_chargeback')
                    then judged.funds_effect_minor
                else 0
            end
        ) over up_to_here as represented_after_minor,
        judged.final_before_count + count(*) filter (
            where judged.is_chargeable and judged.adjustment_type = 'second_chargeback'
        ) over before_this as final_count
    from judged
    left join accepted_cases on 'CV:' || judged.voucher_id = accepted_cases.case_id
    window
        up_to_here as (
            partition by judged.voucher_id
            order by judged.file_id, judged.line_number, judged.adjustment_id
        ),
        before_this as (
            partition by judged.voucher_id
            order by judged.file_id, judged.line_number, judged.adjustment_id
            rows between unbounded preceding and 1 preceding
        )
),

-- A dispute goes chargeback, representment, second chargeback, and there it ends: nobody is given
-- back what was not taken, and nothing is taken twice for one chargeback.
refused as (
    select
        counted_through.*,
        case
            when not is_chargeable then null
            when returned_after_minor not between 0 and sale_amount_minor then 'above_original'
            when adjustment_type not in (
                'first_chargeback', 'representment', 'second_chargeback'
            ) then null
            when final_count > 0 then 'case_final'
            when adjustment_type = 'representment' and is_accepted then 'case_accepted'
            when adjustment_type = 'representment' and disputed_after_minor < 0
                then 'beyond_chargeback'
            when adjustment_type = 'second_chargeback' and represented_after_minor < 0
                then 'not_represented'
        end as own_reason
    from counted_through
),

final as (
    select
        refused.adjustment_id,
        refused.voucher_id as original_voucher_id,
        refused.original_channel_record_id,
        refused.original_accounting_date,
        refused.original_transaction_at,
        refused.original_merchant_id,
        refused.original_account_id,
        refused.sale_amount_minor,
        refused.is_chargeable,
        refused.returned_after_minor,
        -- The sums of what comes behind one that waits count it: it waits, too.
        case
            when not refused.is_chargeable then null
            when refused.own_reason is null and coalesce(
                bool_or(refused.own_reason is not null) over (
                    partition by refused.voucher_id
                    order by refused.file_id, refused.line_number, refused.adjustment_id
                    rows between unbounded preceding and 1 preceding
                ),
                false
            ) then 'after_suspended'
            else refused.own_reason
        end as waiting_reason
    from refused
)

select * from final
