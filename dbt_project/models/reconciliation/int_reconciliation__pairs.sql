{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Who is paired with whom in the close of T, in the order of rulings.md 3: same date exact (key,
    amount, currency, direction), then the oldest open item exact, then what is left of one key on
    both sides as a mismatch. What pairs with nothing is `single`. The sign of an amount is its
    direction.
-#}
with same_day as (
    select
        channel,
        match_key,
        system_item_id,
        channel_item_id
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
        is_open_item,
        opened_on
    from {{ ref('int_reconciliation__pool') }}
),

left_over as (
    select
        pool.side,
        pool.suspense_item_id,
        pool.channel,
        pool.match_key,
        pool.currency_code,
        pool.amount_minor,
        row_number() over (
            partition by
                pool.side, pool.channel, pool.match_key, pool.currency_code, pool.amount_minor
            order by pool.transaction_at, pool.file_id, pool.line_number, pool.source_id
        ) as occurrence_no,
        row_number() over (
            partition by pool.side, pool.channel, pool.match_key
            order by pool.transaction_at, pool.file_id, pool.line_number, pool.source_id
        ) as record_order
    from same_day
    inner join pool
        on pool.suspense_item_id = coalesce(same_day.system_item_id, same_day.channel_item_id)
    where same_day.system_item_id is null or same_day.channel_item_id is null
),

open_items as (
    select
        side,
        suspense_item_id,
        channel,
        match_key,
        currency_code,
        amount_minor,
        row_number() over (
            partition by side, channel, match_key, currency_code, amount_minor
            order by opened_on, transaction_at, file_id, line_number, source_id
        ) as occurrence_no
    from pool
    where is_open_item and match_key is not null
),

resolved as (
    select
        open_items.side || '_resolved' as pair_kind,
        left_over.side as left_over_side,
        left_over.suspense_item_id as left_over_item_id,
        open_items.suspense_item_id as open_item_id,
        left_over.channel,
        left_over.match_key
    from left_over
    inner join open_items
        on left_over.side <> open_items.side
        and left_over.channel = open_items.channel
        and left_over.match_key = open_items.match_key
        and left_over.currency_code = open_items.currency_code
        and left_over.amount_minor = open_items.amount_minor
        and left_over.occurrence_no = open_items.occurrence_no
),

unpaired as (
    select
        left_over.side,
        left_over.suspense_item_id,
        left_over.channel,
        left_over.match_key,
        left_over.currency_code,
        left_over.amount_minor,
        row_number() over (
            partition by left_over.side, left_over.channel, left_over.match_key
            order by left_over.record_order
        ) as leftover_no
    from left_over
    left join resolved on left_over.suspense_item_id = resolved.left_over_item_id
    where resolved.left_over_item_id is null
),

mismatched as (
    select
        system_side.suspense_item_id as system_item_id,
        channel_side.suspense_item_id as channel_item_id,
        case
            when system_side.currency_code is distinct from channel_side.currency_code
                then 'currency_mismatch'
            when sign(system_side.amount_minor) is distinct from sign(channel_side.amount_minor)
                then 'direction_mismatch'
            else 'amount_mismatch'
        end as break_reason
    from unpaired as system_side
    inner join unpaired as channel_side
        on system_side.channel = channel_side.channel
        and system_side.match_key = channel_side.match_key
        and system_side.leftover_no = channel_side.leftover_no
    where system_side.side = 'system' and channel_side.side = 'channel'
),

-- Keys that this close paired: what is left of such a key is one record too many.
paired_keys as (
    select distinct
        same_day.channel,
        same_day.match_key
    from unpaired
    inner join same_day
        on unpaired.channel = same_day.channel and unpaired.match_key = same_day.match_key
    where same_day.system_item_id is not null and same_day.channel_item_id is not null
    union
    select
        channel,
        match_key
    from resolved
),

singles as (
    select
        unpaired.side,
        unpaired.suspense_item_id,
        case when paired_keys.match_key is not null then 'duplicate' end as break_reason
    from unpaired
    left join mismatched as system_mismatch
        on unpaired.suspense_item_id = system_mismatch.system_item_id
    left join mismatched as channel_mismatch
        on unpaired.suspense_item_id = channel_mismatch.channel_item_id
    left join paired_keys
        on unpaired.channel = paired_keys.channel and unpaired.match_key = paired_keys.match_key
    where system_mismatch.system_item_id is null and channel_mismatch.channel_item_id is null
    union all
    select
        side,
        suspense_item_id,
        'no_reference' as break_reason
    from pool
    where not is_open_item and match_key is null
),

final as (
    select
        'matched' as pair_kind,
        system_item_id,
        channel_item_id,
        cast(null as text) as break_reason
    from same_day
    where system_item_id is not null and channel_item_id is not null
    union all
    select
        pair_kind,
        case when left_over_side = 'system' then left_over_item_id else open_item_id end
            as system_item_id,
        case when left_over_side = 'channel' then left_over_item_id else open_item_id end
            as channel_item_id,
        cast(null as text) as break_reason
    from resolved
    union all
    select
        'mismatch' as pair_kind,
        system_item_id,
        channel_item_id,
        break_reason
    from mismatched
    union all
    select
        'single' as pair_kind,
        case when side = 'system' then suspense_item_id end as system_item_id,
        case when side = 'channel' then suspense_item_id end as channel_item_id,
        break_reason
    from singles
)

select * from final
