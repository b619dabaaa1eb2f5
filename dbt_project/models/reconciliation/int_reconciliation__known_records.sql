{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Channel records without a counterpart whose reference our history knows: the platform's voucher
    for it was refused, or it was paired on an earlier date and comes again. Neither is an order
    that the platform forgot. One row an item.
-#}
with pool as (
    select
        suspense_item_id,
        side,
        channel,
        currency_code,
        amount_minor,
        match_key,
        fallback_key_1,
        fallback_key_2,
        lookup_key,
        is_open_item
    from {{ ref('int_reconciliation__pool') }}
    where side = 'channel'
),

pairs as (
    select channel_item_id
    from {{ ref('int_reconciliation__pairs') }}
    where pair_kind = 'single' and channel_item_id is not null and break_reason is null
),

-- The channel may have a record a date before or after the platform.
refused_vouchers as (
    select
        accounting_date,
        voucher_id,
        channel,
        match_key,
        fallback_key_1,
        fallback_key_2,
        original_account_id
    from {{ ref('refused_vouchers') }}
    where accounting_date between {{ accounting_date() }} - 7 and {{ accounting_date() }}
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        transaction_status,
        channel,
        currency_code,
        amount_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        terminal_id,
        channel_order_id,
        merchant_order_id,
        refund_order_id,
        lookup_key
    from {{ source('control', 'voucher_register') }}
    where
        accounting_date between {{ accounting_date() }} - 60 and {{ accounting_date() }} - 1
),

items_before as (
    select
        accounting_date,
        suspense_item_id,
        status
    -- As earlier closes left them: running state, one index probe a date.
    from {{ suspense_items_relation() }}
    where
        accounting_date between {{ accounting_date() }} - 60 and {{ accounting_date() }} - 1
),

match_rules as (
    {{- match_rule_flags([1]) }}
),

resolved_pairs as (
    select channel_item_id
    from {{ ref('int_reconciliation__pairs') }}
    where pair_kind = 'channel_resolved'
),

candidates as (
    select pool.*
    from pool
    left join pairs on pool.suspense_item_id = pairs.channel_item_id
    left join resolved_pairs on pool.suspense_item_id = resolved_pairs.channel_item_id
    where resolved_pairs.channel_item_id is null
        and (pool.is_open_item or pairs.channel_item_id is not null)
),

of_refused as (
    select
        candidates.suspense_item_id,
        refused_vouchers.original_account_id as account_id,
        row_number() over (
            partition by candidates.suspense_item_id
            order by refused_vouchers.accounting_date desc, refused_vouchers.voucher_id
        ) as refused_order
    from candidates
    inner join refused_vouchers
        on candidates.channel = refused_vouchers.channel
        and (
            candidates.match_key = refused_vouchers.match_key
            or (
                (candidates.match_key is null or refused_vouchers.match_key is null)
                and (
                    candidates.fallback_key_1 = refused_vouchers.fallback_key_1
                    or candidates.fallback_key_2 = refused_vouchers.fallback_key_2
                )
            )
        )
),

new_candidates as (
    select candidates.*
    from candidates
    left join of_refused on candidates.suspense_item_id = of_refused.suspense_item_id
    where of_refused.suspense_item_id is null
        and not candidates.is_open_item
        and candidates.match_key is not null
        and candidates.lookup_key is not null
),

-- One index probe a record.
known_vouchers as (
    select
        new_candidates.suspense_item_id,
        registered.voucher_id,
        registered.accounting_date
    from new_candidates
    left join match_rules on new_candidates.channel = match_rules.channel
    cross join lateral (
        select
            voucher_register.voucher_id,
            voucher_register.accounting_date
        from voucher_register
        where voucher_register.lookup_key = new_candidates.lookup_key
            and voucher_register.channel = new_candidates.channel
            and voucher_register.transaction_status = 'success'
            and voucher_register.currency_code = new_candidates.currency_code
            and sign(voucher_register.amount_minor) = sign(new_candidates.amount_minor)
            and {{ match_key('voucher_register', 'match_rules', 1) }}
            = new_candidates.match_key
        order by voucher_register.accounting_date desc, voucher_register.voucher_id
        limit 1
    ) as registered
),

-- Paired on its own date a voucher was never an item; later, its item was resolved. One that was
-- charged back or written off has had no record yet: this is it.
of_paired as (
    select known_vouchers.suspense_item_id
    from known_vouchers
    left join lateral (
        select items_before.status
        from items_before
        where items_before.suspense_item_id = 'S:' || known_vouchers.voucher_id
            and items_before.accounting_date >= known_vouchers.accounting_date
        order by items_before.accounting_date desc
        limit 1
    ) as last_state on true
    where coalesce(last_state.status, 'resolved') = 'resolved'
),

final as (
    select
        suspense_item_id,
        'refused_voucher' as break_reason,
        account_id
    from of_refused
    where refused_order = 1
    union all
    select
        suspense_item_id,
        'duplicate' as break_reason,
        cast(null as text) as account_id
    from of_paired
)

select * from final
