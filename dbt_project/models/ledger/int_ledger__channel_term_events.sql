{{ config(materialized='ephemeral') }}

{#-
    What the channel kept back, or will bill, of T: one event a term of the equation, channel and
    currency. They are totals of the channel's files, so they name no single line.
-#}
with channel_terms as (
    select
        channel,
        currency_code,
        channel_cost_amount_minor,
        brand_fee_amount_minor,
        fee_collections_amount_minor,
        recovery_fee_amount_minor,
        accrued_channel_cost_amount_minor
    from {{ ref('channel_terms') }}
    where accounting_date = {{ accounting_date() }}
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

-- Without an arrival group what the channel owes has no sub-ledger, which the contract refuses.
final as (
    select
        terms.event_type,
        case terms.event_type when 'accrued_channel_cost' then 'billed' else 'kept' end
            as posting_case,
        'TERM:' || channel_terms.channel || ':' || channel_terms.currency_code || ':'
        || terms.event_type as posting_id,
        'CH-' || channel_terms.channel || '-' || terms.event_type as voucher_id,
        channel_terms.channel as source_id,
        'channel_totals' as source_kind,
        channel_terms.channel,
        cast(null as text) as settlement_mode,
        channel_terms.currency_code,
        terms.amount_minor,
        cast(null as text) as account_id,
        arrival_groups.arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        cast(null as text) as decision_id
    from channel_terms
    cross join lateral (
        values
        ('channel_cost', channel_terms.channel_cost_amount_minor),
        ('brand_fee', channel_terms.brand_fee_amount_minor),
        ('fee_collection', channel_terms.fee_collections_amount_minor),
        ('recovery_fee', channel_terms.recovery_fee_amount_minor),
        ('accrued_channel_cost', channel_terms.accrued_channel_cost_amount_minor)
    ) as terms (event_type, amount_minor)
    left join arrival_groups
        on channel_terms.channel = arrival_groups.channel
        and channel_terms.currency_code = arrival_groups.currency_code
)

select * from final
