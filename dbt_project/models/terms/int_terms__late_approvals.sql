{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The changes of contracts and fee rules that two people approved with effect from T and that
    would have acted before T: `acts_from` says since when. What was cleared from then on was priced
    by the terms that stood; the difference is made up once, in this close
    (docs/decisions/0046-late-approvals-are-made-up.md).

    A new term acts from its own beginning, and so does one whose beginning moves to an earlier
    date. A term that only changed in place says no date of its own: it acts from its first
    delivery on. So does a removal.
-#}
with decisions as (
    {{ term_decisions(accounting_date() ~ ' - 1', accounting_date()) }}
),

contracts as (
    select
        accounting_date,
        contract_id,
        account_id,
        effective_from,
        is_in_force,
        change_state,
        change_id,
        changed_on,
        change_kind,
        content_sha256,
        content_before,
        content_delivered
    from {{ ref('contract_terms') }}
    where accounting_date in ({{ accounting_date() }}, {{ accounting_date() }} - 1)
),

fee_rates as (
    select
        accounting_date,
        fee_rule_id,
        contract_id,
        effective_from,
        is_in_force,
        change_state,
        change_id,
        changed_on,
        change_kind,
        content_sha256
    from {{ ref('fee_rate_terms') }}
    where accounting_date in ({{ accounting_date() }}, {{ accounting_date() }} - 1)
),

-- What of a contract's change reaches a fee: which contract prices, and whether refunds return it.
-- Its mode, payout minimum and cycle act from the approval on.
terms as (
    select
        accounting_date,
        'contract' as term_kind,
        contract_id as term_key,
        contract_id,
        effective_from,
        is_in_force,
        change_state,
        change_id,
        changed_on,
        change_kind,
        content_sha256,
        change_kind is distinct from 'changed'
        or content_before - array[
            'settlement_mode', 'payout_minimum_minor', 'settlement_cycle', 'refund_fee_policy',
            'fee_period', 'fee_collection_method', 'ended_on', 'channel_merchant_ids'
        ]
        is distinct from content_delivered - array[
            'settlement_mode', 'payout_minimum_minor', 'settlement_cycle', 'refund_fee_policy',
            'fee_period', 'fee_collection_method', 'ended_on', 'channel_merchant_ids'
        ] as changes_prices,
        change_kind is distinct from 'changed'
        or content_before ->> 'refund_fee_policy'
        is distinct from content_delivered ->> 'refund_fee_policy' as changes_refund_policy
    from contracts
    union all
    select
        accounting_date,
        'fee_rate' as term_kind,
        fee_rule_id as term_key,
        contract_id,
        effective_from,
        is_in_force,
        change_state,
        change_id,
        changed_on,
        change_kind,
        content_sha256,
        true as changes_prices,
        false as changes_refund_policy
    from fee_rates
),

now as (
    select *
    from terms
    where accounting_date = {{ accounting_date() }}
),

before as (
    select *
    from terms
    where accounting_date = {{ accounting_date() }} - 1
),

approved as (
    select
        now.term_kind,
        now.term_key,
        now.contract_id,
        now.change_id,
        now.changes_prices,
        now.changes_refund_policy,
        case
            when before.is_in_force and before.effective_from <= now.effective_from
                then greatest(now.changed_on, now.effective_from)
            else now.effective_from
        end as acts_from
    from now
    left join before on now.term_kind = before.term_kind and now.term_key = before.term_key
    where now.change_state = 'approved'
        -- A new account clears under its terms before they are approved: nothing to make up.
        and not coalesce(
            before.is_in_force and before.content_sha256 = now.content_sha256, false
        )
    union all
    -- A term whose removal is approved is not there any more.
    select
        before.term_kind,
        before.term_key,
        before.contract_id,
        before.change_id,
        before.changes_prices,
        before.changes_refund_policy,
        before.changed_on as acts_from
    from before
    inner join decisions
        on before.change_id = decisions.change_id and decisions.decision = 'approve'
    left join now on before.term_kind = now.term_kind and before.term_key = now.term_key
    where before.is_in_force and before.change_kind = 'removed' and now.term_key is null
),

accounts as (
    select
        contract_id,
        max(account_id) filter (where accounting_date = {{ accounting_date() }}) as account_id,
        max(account_id) as account_before_id
    from contracts
    group by contract_id
),

final as (
    select
        approved.term_kind,
        approved.term_key,
        approved.change_id,
        coalesce(accounts.account_id, accounts.account_before_id) as account_id,
        approved.changes_prices,
        approved.changes_refund_policy,
        approved.acts_from
    from approved
    inner join accounts on approved.contract_id = accounts.contract_id
    where approved.acts_from < {{ accounting_date() }}
        and (approved.changes_prices or approved.changes_refund_policy)
)

select * from final
