{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Every contract as it is in force on T, and what the platform says of it instead where that
    waits for two people. Read from T-1 and T's snapshot alone.
    docs/domain.md#terms-change-by-approval
-#}
{%- set columns = [
    'merchant_id', 'account_id', 'settlement_mode', 'payout_minimum_minor', 'settlement_cycle',
    'refund_fee_policy', 'fee_period', 'fee_collection_method', 'effective_from', 'effective_to',
    'ended_on', 'channel_merchant_ids', 'merchant_category_code',
] -%}

{#-
    What pays a merchant more: gross for net, a lower payout minimum, fees returned, an earlier end
    (it pays what is below the minimum), another account, another beginning, a later end where the
    account's next terms have begun by then, a cycle that may pay earlier, another category, which
    other rules may price, and other ids under which channels know the merchant: records that name
    another are not paid.
-#}
{%- set pays_more -%}
    compared.merchant_id_before is distinct from compared.merchant_id_delivered
    or compared.account_id_before is distinct from compared.account_id_delivered
    or (
        compared.settlement_mode_before = 'net' and compared.settlement_mode_delivered = 'gross'
    )
    or compared.payout_minimum_minor_delivered < compared.payout_minimum_minor_before
    or (
        compared.refund_fee_policy_before = 'keep'
        and compared.refund_fee_policy_delivered = 'return'
    )
    or compared.effective_from_before <> compared.effective_from_delivered
    or coalesce(compared.effective_to_delivered, date 'infinity')
    < coalesce(compared.effective_to_before, date 'infinity')
    or (
        coalesce(compared.effective_to_delivered, date 'infinity')
        > coalesce(compared.effective_to_before, date 'infinity')
        and compared.last_effective_from >= compared.effective_to_before
    )
    or coalesce(compared.ended_on_delivered, date 'infinity')
    < coalesce(compared.ended_on_before, date 'infinity')
    or {{ may_pay_earlier(
        'compared.settlement_cycle_before', 'compared.settlement_cycle_delivered'
    ) }}
    or compared.channel_merchant_ids_before is distinct from compared.channel_merchant_ids_delivered
    or compared.merchant_category_code_before
    is distinct from compared.merchant_category_code_delivered
{%- endset -%}

with first_close as (
    {{ first_close() }}
),

known_accounts as (
    select account_id
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1 and is_in_force
    group by account_id
),

-- A new account clears under its first contract; it is paid once two people have confirmed it.
provisional_groups as (
    select contracts.account_id
    from {{ ref('stg_platform__contracts') }} as contracts
    left join known_accounts on contracts.account_id = known_accounts.account_id
    where contracts.snapshot_date = {{ accounting_date() }} and known_accounts.account_id is null
    group by contracts.account_id
),

{{ term_ctes(
    'contract', 'contract_id', columns, ref('stg_platform__contracts'), 'account_id', pays_more
) }},

covered_accounts as (
    select account_id
    from decided
    where
        is_in_force
        and {{ in_force(accounting_date()) }}
    group by account_id
),

waiting_accounts as (
    select account_id
    from decided
    where not is_in_force
    group by account_id
),

-- The last contract goes on past its end while the one to follow it waits.
final as (
    select
        {{ accounting_date() }} as accounting_date,
        decided.contract_id,
        decided.merchant_id,
        decided.account_id,
        decided.settlement_mode,
        decided.payout_minimum_minor,
        decided.settlement_cycle,
        decided.refund_fee_policy,
        decided.fee_period,
        decided.fee_collection_method,
        decided.effective_from,
        decided.effective_to,
        decided.ended_on,
        decided.channel_merchant_ids,
        decided.is_in_force,
        decided.is_in_force
        and coalesce(decided.effective_to <= {{ accounting_date() }}, false)
        and covered_accounts.account_id is null
        and waiting_accounts.account_id is not null
        and row_number() over (
            partition by
                decided.account_id,
                decided.is_in_force and decided.effective_to <= {{ accounting_date() }}
            order by decided.effective_to desc, decided.contract_id asc
        ) = 1 as goes_on,
        decided.confirmation,
        decided.change_state,
        decided.change_id,
        decided.changed_on,
        decided.change_kind,
        decided.pays_more,
        decided.content_sha256,
        decided.waiting_sha256,
        decided.content_before,
        decided.content_delivered,
        decided.file_id,
        decided.line_number,
        decided.merchant_category_code
    from decided
    left join covered_accounts on decided.account_id = covered_accounts.account_id
    left join waiting_accounts on decided.account_id = waiting_accounts.account_id
)

select * from final
