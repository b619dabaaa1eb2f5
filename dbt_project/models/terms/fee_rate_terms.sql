{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Every fee rule as it is in force on T, and what the platform says of it instead where that
    waits for two people. Read from T-1 and T's snapshot alone.
    docs/decisions/0040-terms-change-by-approval.md
-#}
{%- set columns = [
    'contract_id', 'channel', 'transaction_type', 'card_kind', 'card_region', 'tier_from_minor',
    'fee_rate', 'fixed_fee_minor', 'minimum_fee_minor', 'cap_fee_minor', 'effective_from',
    'effective_to', 'priority', 'merchant_category_code',
] -%}

{#-
    What pays a merchant more: a lower rate, fixed fee, minimum or cap. Another scope, order or
    beginning, and an earlier end, let another rule price, which may be lower: they wait, too.
-#}
{%- set pays_more -%}
    compared.fee_rate_delivered < compared.fee_rate_before
    or compared.fixed_fee_minor_delivered < compared.fixed_fee_minor_before
    or compared.minimum_fee_minor_delivered < compared.minimum_fee_minor_before
    or (
        compared.cap_fee_minor_delivered is not null
        and (
            compared.cap_fee_minor_before is null
            or compared.cap_fee_minor_delivered < compared.cap_fee_minor_before
        )
    )
    or compared.contract_id_before is distinct from compared.contract_id_delivered
    or compared.channel_before is distinct from compared.channel_delivered
    or compared.transaction_type_before is distinct from compared.transaction_type_delivered
    or compared.card_kind_before is distinct from compared.card_kind_delivered
    or compared.card_region_before is distinct from compared.card_region_delivered
    or compared.merchant_category_code_before
    is distinct from compared.merchant_category_code_delivered
    or compared.tier_from_minor_before is distinct from compared.tier_from_minor_delivered
    or compared.priority_before is distinct from compared.priority_delivered
    or compared.effective_from_before <> compared.effective_from_delivered
    or coalesce(compared.effective_to_delivered, date 'infinity')
    < coalesce(compared.effective_to_before, date 'infinity')
    or (
        coalesce(compared.effective_to_delivered, date 'infinity')
        > coalesce(compared.effective_to_before, date 'infinity')
        and compared.last_effective_from >= compared.effective_to_before
    )
{%- endset -%}

with first_close as (
    {{ first_close() }}
),

contracts as (
    select
        contract_id,
        confirmation,
        is_in_force,
        goes_on,
        effective_to
    from {{ ref('contract_terms') }}
    where accounting_date = {{ accounting_date() }}
),

-- The rules of a new account's contract are used with it, and confirmed with it.
provisional_groups as (
    select contract_id
    from contracts
    where is_in_force and confirmation = 'waiting'
),

{{ term_ctes(
    'fee_rate', 'fee_rule_id', columns, ref('stg_platform__fee_rates'), 'contract_id', pays_more
) }},

-- Rules of one contract and scope: where the next of them waits, the last of them goes on.
scopes as (
    select
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        tier_from_minor,
        merchant_category_code,
        coalesce(
            bool_or(
                is_in_force
                and {{ in_force(accounting_date()) }}
            ),
            false
        ) as is_covered,
        bool_or(not is_in_force) as has_waiting,
        max(effective_to) filter (where is_in_force) as last_effective_to
    from decided
    group by
        contract_id, channel, transaction_type, card_kind, card_region, tier_from_minor,
        merchant_category_code
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        decided.fee_rule_id,
        decided.contract_id,
        decided.channel,
        decided.transaction_type,
        decided.card_kind,
        decided.card_region,
        decided.tier_from_minor,
        decided.fee_rate,
        decided.fixed_fee_minor,
        decided.minimum_fee_minor,
        decided.cap_fee_minor,
        decided.effective_from,
        decided.effective_to,
        decided.priority,
        decided.is_in_force,
        coalesce(
            decided.is_in_force
            and (
                (contracts.goes_on and decided.effective_to >= contracts.effective_to)
                or (
                    scopes.has_waiting
                    and not scopes.is_covered
                    and decided.effective_to = scopes.last_effective_to
                )
            ),
            false
        ) as goes_on,
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
    left join contracts on decided.contract_id = contracts.contract_id
    left join scopes
        on decided.contract_id = scopes.contract_id
        and decided.channel is not distinct from scopes.channel
        and decided.transaction_type is not distinct from scopes.transaction_type
        and decided.card_kind is not distinct from scopes.card_kind
        and decided.card_region is not distinct from scopes.card_region
        and decided.tier_from_minor is not distinct from scopes.tier_from_minor
        and decided.merchant_category_code is not distinct from scopes.merchant_category_code
)

select * from final
