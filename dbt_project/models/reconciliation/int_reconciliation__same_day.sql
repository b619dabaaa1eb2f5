{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The records of T side by side: equal key, currency and amount, paired by occurrence, so that
    identical rows are all kept. A full join, which the database can only hash or merge: it stays
    linear however wrong its row estimates are. A row with one side empty is what T itself does
    not explain. A pair whose record names another merchant is no match (int_reconciliation__pairs).
-#}
with pool as (
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
        merchant_ids,
        terminal_id
    from {{ ref('int_reconciliation__pool') }}
    where not is_open_item and match_key is not null
),

numbered as (
    select
        side,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        match_key,
        merchant_ids,
        terminal_id,
        row_number() over (
            partition by side, channel, match_key, currency_code, amount_minor
            order by transaction_at, file_id, line_number, source_id
        ) as occurrence_no
    from pool
),

system_side as (
    select * from numbered where side = 'system'
),

channel_side as (
    select * from numbered where side = 'channel'
),

final as (
    select
        coalesce(system_side.channel, channel_side.channel) as channel,
        coalesce(system_side.match_key, channel_side.match_key) as match_key,
        system_side.suspense_item_id as system_item_id,
        channel_side.suspense_item_id as channel_item_id,
        {{ names_another_merchant('system_side', 'channel_side') }} as is_other_merchant
    from system_side
    full outer join channel_side
        on system_side.channel = channel_side.channel
        and system_side.match_key = channel_side.match_key
        and system_side.currency_code = channel_side.currency_code
        and system_side.amount_minor = channel_side.amount_minor
        and system_side.occurrence_no = channel_side.occurrence_no
)

select * from final
