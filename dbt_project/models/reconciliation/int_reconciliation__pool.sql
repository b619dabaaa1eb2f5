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
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        channel_order_id,
        refund_order_id,
        original_voucher_id
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }} and transaction_status = 'success'
),

failed_vouchers as (
    select voucher_id
    from {{ ref('stg_platform__source_vouchers') }}
    where
        accounting_date between {{ accounting_date() }} - 1 and {{ accounting_date() }}
        and transaction_status is distinct from 'success'
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
        channel_order_id,
        refund_order_id
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

transaction_types as (
    select transaction_type
    from {{ ref('transaction_types') }}
    where is_in_pool
),

match_rules as (
    select
        channel,
        match_rule,
        uses_institutions,
        uses_trace_number,
        uses_transmission_time,
        uses_channel_order_id,
        uses_refund_order_id
    from {{ ref('match_rules') }}
    where rule_no = 1
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
        match_rule,
        suspense_item_id,
        linked_item_id
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
        {{ match_key('source_vouchers', 'match_rules') }} as match_key,
        match_rules.match_rule
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join match_rules on source_vouchers.channel = match_rules.channel
    -- A reversal of a failed original is not cleared (int_clearing__priced_vouchers): in the pool
    -- it would be suspense, or a pair, that clearing does not know, and the equation would not
    -- close.
    left join failed_vouchers
        on source_vouchers.transaction_type = 'reversal'
        and source_vouchers.original_voucher_id = failed_vouchers.voucher_id
    where failed_vouchers.voucher_id is null
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
        {{ match_key('channel_records', 'match_rules') }} as match_key,
        match_rules.match_rule
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
        -- A key without any part is no key: such a record pairs with nothing.
        case when replace(match_key, '|', '') is distinct from '' then match_key end as match_key,
        match_rule,
        false as is_open_item,
        {{ accounting_date() }} as opened_on,
        case when side = 'system' then 'S:' else 'C:' end || source_id as suspense_item_id,
        cast(null as text) as linked_item_id
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
        match_rule,
        true as is_open_item,
        opened_on,
        suspense_item_id,
        linked_item_id
    from open_items
)

select * from final
