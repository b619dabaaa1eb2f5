{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Everything that may be paired in the close of T: platform vouchers of T and channel records of
    T that take part in reconciliation, and the items still open after the close of T−1, each with
    its key.
-#}
with source_vouchers as (
    select
        voucher_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        merchant_id,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        terminal_id,
        channel_order_id,
        merchant_order_id,
        refund_order_id,
        original_voucher_id,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from {{ ref('int_vouchers__accepted') }}
    where transaction_status = 'success'
),

reversals_of_failed as (
    select voucher_id
    from {{ ref('int_vouchers__history') }}
    where reverses_failed
),

channel_records as (
    select
        channel_record_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        terminal_id,
        channel_order_id,
        merchant_order_id,
        refund_order_id,
        channel_merchant_id,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

transaction_types as (
    select transaction_type
    from {{ ref('transaction_types') }}
    where is_in_pool
),

match_rules as (
    {{- match_rule_flags(rule_numbers()) }}
),

contracts as (
    select
        merchant_id,
        channel_merchant_ids
    from {{ ref('int_terms__contracts') }}
    where snapshot_date = {{ accounting_date() }}
),

-- Under which ids a channel knows a merchant besides the platform's own: `channel:id` each.
known_ids as (
    select
        contracts.merchant_id,
        split_part(known.channel_and_id, ':', 1) as channel,
        substr(known.channel_and_id, strpos(known.channel_and_id, ':') + 1) as channel_merchant_id
    from contracts
    cross join lateral string_to_table(contracts.channel_merchant_ids, ' ')
        as known (channel_and_id)
),

merchant_ids as (
    select
        merchant_id,
        channel,
        string_agg(distinct channel_merchant_id, ' ' order by channel_merchant_id)
            as channel_merchant_ids
    from known_ids
    group by merchant_id, channel
),

-- Channels whose file has neither record of a sale that was voided on its own date.
channels_without_voided_pairs as (
    select channel
    from {{ ref('channels') }}
    where voided_pairs = 'none'
),

voided_pairs as (
    select
        voids.voucher_id,
        originals.voucher_id as original_voucher_id,
        -- A sale can be voided once: a second void of it is a record like any other.
        row_number() over (
            partition by originals.voucher_id
            order by voids.transaction_at, voids.file_id, voids.line_number, voids.voucher_id
        ) as void_no
    from source_vouchers as voids
    inner join channels_without_voided_pairs
        on voids.channel = channels_without_voided_pairs.channel
    inner join source_vouchers as originals
        on voids.original_voucher_id = originals.voucher_id
        and voids.channel = originals.channel
        and voids.currency_code = originals.currency_code
        and voids.amount_minor = -originals.amount_minor
    where voids.transaction_type in ('void', 'reversal')
),

voided_vouchers as (
    select voucher_id
    from voided_pairs
    where void_no = 1
    union
    select original_voucher_id as voucher_id
    from voided_pairs
),

open_items as (
    select
        side,
        source_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        opened_on,
        match_key,
        fallback_key_1,
        fallback_key_2,
        suspense_item_id,
        linked_item_id,
        merchant_ids,
        terminal_id,
        fee_amount_minor,
        deducted_fee_amount_minor
    -- The items as the close of the date before left them: running state, one partition.
    from {{ suspense_items_relation() }}
    where
        accounting_date = {{ accounting_date() }} - 1
        and status in ('in_doubt', 'one_sided')
),

keyed as (
    select
        'system' as side,
        source_vouchers.voucher_id as source_id,
        source_vouchers.channel,
        source_vouchers.currency_code,
        source_vouchers.amount_minor,
        source_vouchers.transaction_type,
        source_vouchers.transaction_at,
        source_vouchers.file_id,
        source_vouchers.line_number,
        source_vouchers.account_id,
        {{ match_key('source_vouchers', 'match_rules', 1) }} as match_key,
        {{ match_key('source_vouchers', 'match_rules', 2) }} as fallback_key_1,
        {{ match_key('source_vouchers', 'match_rules', 3) }} as fallback_key_2,
        concat_ws(' ', source_vouchers.merchant_id, merchant_ids.channel_merchant_ids)
            as merchant_ids,
        source_vouchers.terminal_id,
        source_vouchers.transaction_currency_code,
        source_vouchers.transaction_amount_minor,
        source_vouchers.exchange_rate,
        cast(null as text) as lookup_key
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join match_rules on source_vouchers.channel = match_rules.channel
    left join merchant_ids
        on source_vouchers.merchant_id = merchant_ids.merchant_id
        and source_vouchers.channel = merchant_ids.channel
    -- A reversal of a failed original is not cleared (int_pricing__priced_vouchers): in the pool
    -- it would be suspense, or a pair, that clearing does not know, and the equation would not
    -- close.
    left join reversals_of_failed
        on source_vouchers.voucher_id = reversals_of_failed.voucher_id
    left join voided_vouchers on source_vouchers.voucher_id = voided_vouchers.voucher_id
    where reversals_of_failed.voucher_id is null and voided_vouchers.voucher_id is null
    union all
    select
        'channel' as side,
        channel_records.channel_record_id as source_id,
        channel_records.channel,
        channel_records.currency_code,
        channel_records.amount_minor,
        channel_records.transaction_type,
        channel_records.transaction_at,
        channel_records.file_id,
        channel_records.line_number,
        cast(null as text) as account_id,
        {{ match_key('channel_records', 'match_rules', 1) }} as match_key,
        {{ match_key('channel_records', 'match_rules', 2) }} as fallback_key_1,
        {{ match_key('channel_records', 'match_rules', 3) }} as fallback_key_2,
        channel_records.channel_merchant_id as merchant_ids,
        channel_records.terminal_id,
        channel_records.transaction_currency_code,
        channel_records.transaction_amount_minor,
        channel_records.exchange_rate,
        control.voucher_lookup_key(
            channel_records.channel, channel_records.channel_order_id,
            channel_records.refund_order_id, channel_records.trace_number,
            channel_records.transmission_time, channel_records.merchant_order_id
        ) as lookup_key
    from channel_records
    inner join transaction_types
        on channel_records.transaction_type = transaction_types.transaction_type
    left join match_rules on channel_records.channel = match_rules.channel
),

final as (
    select
        side,
        source_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        match_key,
        fallback_key_1,
        fallback_key_2,
        lookup_key,
        false as is_open_item,
        {{ accounting_date() }} as opened_on,
        case when side = 'system' then 'S:' else 'C:' end || source_id as suspense_item_id,
        cast(null as text) as linked_item_id,
        merchant_ids,
        terminal_id,
        cast(null as bigint) as fee_amount_minor,
        cast(null as bigint) as deducted_fee_amount_minor,
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
    from keyed
    union all
    select
        side,
        source_id,
        channel,
        currency_code,
        amount_minor,
        transaction_type,
        transaction_at,
        file_id,
        line_number,
        account_id,
        match_key,
        fallback_key_1,
        fallback_key_2,
        cast(null as text) as lookup_key,
        true as is_open_item,
        opened_on,
        suspense_item_id,
        linked_item_id,
        merchant_ids,
        terminal_id,
        fee_amount_minor,
        deducted_fee_amount_minor,
        cast(null as text) as transaction_currency_code,
        cast(null as bigint) as transaction_amount_minor,
        cast(null as numeric) as exchange_rate
    from open_items
)

select * from final
