{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Who is paired with whom in the close of T (docs/domain.md#order-of-matching): same date exact by
    the primary key, then the oldest open item exact, then both by the fallback keys, then what is
    left of one key on both sides as a mismatch, at last a mismatch with an item open from before.
    What pairs with nothing is `single`. The sign of an amount is its direction. A pair whose record
    names another merchant or terminal than the voucher is a mismatch, whatever else agrees
    (docs/domain.md#same-merchant).
-#}
{%- set steps = pairing_steps() %}
with same_day as (
    select
        channel,
        match_key,
        system_item_id,
        channel_item_id,
        is_other_merchant
    from {{ ref('int_reconciliation__same_day') }}
),

pool as (
    select
        side,
        source_id,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        transaction_at,
        file_id,
        line_number,
        match_key,
        fallback_key_1,
        fallback_key_2,
        is_open_item,
        opened_on,
        linked_item_id,
        merchant_ids,
        terminal_id
    from {{ ref('int_reconciliation__pool') }}
),

match_rules as (
    select
        channel,
        rule_no,
        match_rule
    from {{ ref('match_rules') }}
),

-- What the pairs of one date leave over, and everything open from before.
left_over_ids as (
    select coalesce(system_item_id, channel_item_id) as suspense_item_id
    from same_day
    where system_item_id is null or channel_item_id is null
    union all
    select suspense_item_id
    from pool
    where is_open_item or match_key is null
),

remaining_0 as (
    select
        pool.side,
        pool.suspense_item_id,
        pool.channel,
        pool.currency_code,
        pool.amount_minor,
        pool.match_key,
        pool.fallback_key_1,
        pool.fallback_key_2,
        pool.is_open_item,
        pool.linked_item_id,
        pool.merchant_ids,
        pool.terminal_id,
        row_number() over (
            order by
                pool.opened_on, pool.transaction_at, pool.file_id, pool.line_number, pool.side,
                pool.source_id
        ) as item_order
    from left_over_ids
    inner join pool on left_over_ids.suspense_item_id = pool.suspense_item_id
),

{% for step in steps -%}
{{ pairing_step(loop.index, step.rule_no, step.exact, step.with_open, step.lacking) }},

{% endfor -%}
left_over_pairs as (
    {%- for step in steps %}
    select * from paired_{{ loop.index }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

judged_pairs as (
    select
        left_over_pairs.*,
        {{ names_another_merchant('system_side', 'channel_side') }} as is_other_merchant,
        case
            when system_side.currency_code is distinct from channel_side.currency_code
                then 'currency_mismatch'
            when sign(system_side.amount_minor) is distinct from sign(channel_side.amount_minor)
                then 'direction_mismatch'
            when system_side.amount_minor is distinct from channel_side.amount_minor
                then 'amount_mismatch'
        end as difference
    from left_over_pairs
    inner join remaining_0 as system_side
        on left_over_pairs.system_item_id = system_side.suspense_item_id
    inner join remaining_0 as channel_side
        on left_over_pairs.channel_item_id = channel_side.suspense_item_id
),

-- What agrees in all but the merchant is no match either: both stay open, and nobody is paid.
mismatched as (
    select
        system_item_id,
        channel_item_id,
        case when is_other_merchant then 'merchant_mismatch' else difference end as break_reason
    from judged_pairs
    where not is_exact or is_other_merchant
    union all
    select
        system_item_id,
        channel_item_id,
        'merchant_mismatch' as break_reason
    from same_day
    where is_other_merchant
),

unpaired as (
    select
        side,
        suspense_item_id,
        channel,
        match_key,
        fallback_key_1,
        fallback_key_2
    from remaining_{{ steps | length }}
    where not is_open_item
),

-- Keys that this close paired: what is left of such a key is one record too many.
paired_keys as (
    select distinct
        same_day.channel,
        1 as rule_no,
        same_day.match_key
    from unpaired
    inner join same_day
        on unpaired.channel = same_day.channel and unpaired.match_key = same_day.match_key
    where same_day.system_item_id is not null and same_day.channel_item_id is not null
    union
    select
        channel,
        rule_no,
        match_key
    from left_over_pairs
    where is_exact
),

-- A fallback key speaks only for a record that has no primary one.
unpaired_keys as (
    select suspense_item_id, channel, 1 as rule_no, match_key
    from unpaired
    where match_key is not null
    union all
    select suspense_item_id, channel, 2 as rule_no, fallback_key_1 as match_key
    from unpaired
    where match_key is null and fallback_key_1 is not null
    union all
    select suspense_item_id, channel, 3 as rule_no, fallback_key_2 as match_key
    from unpaired
    where match_key is null and fallback_key_2 is not null
),

duplicates as (
    select distinct unpaired_keys.suspense_item_id
    from unpaired_keys
    inner join paired_keys
        on unpaired_keys.channel = paired_keys.channel
        and unpaired_keys.rule_no = paired_keys.rule_no
        and unpaired_keys.match_key = paired_keys.match_key
),

singles as (
    select
        unpaired.side,
        unpaired.suspense_item_id,
        case
            when duplicates.suspense_item_id is not null then 'duplicate'
            when
                coalesce(unpaired.match_key, unpaired.fallback_key_1, unpaired.fallback_key_2)
                is null
                then 'no_reference'
        end as break_reason
    from unpaired
    left join duplicates on unpaired.suspense_item_id = duplicates.suspense_item_id
),

pairs as (
    select
        'matched' as pair_kind,
        system_item_id,
        channel_item_id,
        channel,
        1 as rule_no,
        cast(null as text) as break_reason
    from same_day
    where
        system_item_id is not null
        and channel_item_id is not null
        and is_other_merchant is not true
    union all
    select
        case
            when is_system_open then 'system_resolved'
            when is_channel_open then 'channel_resolved'
            else 'matched'
        end as pair_kind,
        system_item_id,
        channel_item_id,
        channel,
        rule_no,
        cast(null as text) as break_reason
    from judged_pairs
    where is_exact and not is_other_merchant
    union all
    select
        'mismatch' as pair_kind,
        system_item_id,
        channel_item_id,
        cast(null as text) as channel,
        cast(null as integer) as rule_no,
        break_reason
    from mismatched
    union all
    select
        'single' as pair_kind,
        case when side = 'system' then suspense_item_id end as system_item_id,
        case when side = 'channel' then suspense_item_id end as channel_item_id,
        cast(null as text) as channel,
        cast(null as integer) as rule_no,
        break_reason
    from singles
),

final as (
    select
        pairs.pair_kind,
        pairs.system_item_id,
        pairs.channel_item_id,
        match_rules.match_rule,
        pairs.break_reason
    from pairs
    left join match_rules
        on pairs.channel = match_rules.channel and pairs.rule_no = match_rules.rule_no
)

select * from final
