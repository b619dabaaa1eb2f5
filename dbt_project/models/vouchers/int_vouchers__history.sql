{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What our own history says of each successful voucher of T that refers to an original: the
    original as it landed, on whatever date, and what was given back of it before. What the sender
    says of the original is compared with that, never used. `reason` is why the voucher is refused.

    Returns of one original on one date are judged in their order (transaction_at, voucher_id): one
    that would give back more than is left is refused, those before it stand. An original that never
    landed may be one of the time before our first date, within limits a channel and date.
-#}
with recursive source_vouchers as (
    select
        voucher_id,
        file_id,
        line_number,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        card_kind,
        card_region,
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
        original_transaction_at,
        original_amount_minor,
        original_refunded_before_minor,
        settled_currency_code
    from {{ ref('int_vouchers__entering') }}
    where
        accounting_date = {{ accounting_date() }}
        and transaction_status = 'success'
),

transaction_types as (
    select
        transaction_type,
        fee_treatment
    from {{ ref('transaction_types') }}
    where is_cleared
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        file_id,
        line_number,
        transaction_type,
        transaction_status,
        transaction_at,
        merchant_id,
        account_id,
        channel,
        currency_code,
        amount_minor,
        card_kind,
        card_region
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

-- Returns that two people take back, in part or whole: of a positive amount, and no platform's.
taken_back as (
    select
        correcting_voucher_id,
        amount_minor
    from {{ source('control', 'restatement_bookings') }}
    where kind = 'return_less'
),

original_movements as (
    select
        original_voucher_id,
        accounting_date,
        movement_kind,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
),

-- What foreign sales settled for, in this close and in those before. Asked only of channels that
-- exchange: everybody else's originals settled in their own currency.
exchanging_channels as (
    select distinct channel
    from {{ ref('exchange_limits') }}
),

conversions as (
    select
        voucher_id,
        {{ accounting_date() }} as accounting_date,
        settlement_currency_code as currency_code,
        record_amount_minor as settlement_amount_minor
    from {{ ref('int_vouchers__conversions') }}
    where reason is null
    union all
    select
        voucher_id,
        accounting_date,
        currency_code,
        settlement_amount_minor
    from {{ currency_conversions_relation() }}
    where accounting_date < {{ accounting_date() }}
        and accounting_date >= {{ accounting_date() }} - 360
),

operating_windows as (
    select
        first_accounting_date,
        row_number() over (order by snapshot_date desc, file_id, line_number) as window_order
    from {{ ref('stg_platform__operating_window') }}
    where
        snapshot_date <= {{ accounting_date() }}
        and snapshot_date > {{ days_back(accounting_date()) }}
),

channels as (
    select
        channel,
        platform_cutoff_minutes
    from {{ ref('channels') }}
),

history_limits as (
    select
        channel,
        currency_code,
        unknown_original_limit_amount_minor,
        unknown_original_limit_count
    from {{ ref('history_limits') }}
),

match_rules as (
    {{- match_rule_flags(rule_numbers()) }}
),

referring as (
    select
        source_vouchers.*,
        transaction_types.fee_treatment <> 'charge' as is_return,
        taken_back.correcting_voucher_id is not null as is_taken_back,
        -- Without an original's id each one is of its own.
        coalesce(source_vouchers.original_voucher_id, 'of ' || source_vouchers.voucher_id)
            as original_key
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join taken_back
        on source_vouchers.voucher_id = taken_back.correcting_voucher_id
        and source_vouchers.amount_minor = taken_back.amount_minor
    where
        transaction_types.fee_treatment <> 'charge'
        or source_vouchers.original_voucher_id is not null
),

-- One index probe an original, on whatever date it stands.
originals as (
    select
        wanted.original_voucher_id as voucher_id,
        registered.accounting_date,
        registered.file_id,
        registered.line_number,
        registered.transaction_type,
        registered.transaction_status,
        registered.transaction_at,
        registered.merchant_id,
        registered.account_id,
        registered.channel,
        registered.currency_code,
        registered.amount_minor,
        registered.card_kind,
        registered.card_region
    from (
        select distinct original_voucher_id
        from referring
        where original_voucher_id is not null
    ) as wanted
    cross join lateral (
        select voucher_register.*
        from voucher_register
        where voucher_register.voucher_id = wanted.original_voucher_id
            and voucher_register.accounting_date <= {{ accounting_date() }}
        limit 1
    ) as registered
),

-- Of a sale that waited for its record the close that took it in: a later one than its own.
exchanged_originals as (
    select
        wanted.original_voucher_id as voucher_id,
        exchanged.accounting_date,
        exchanged.currency_code,
        exchanged.settlement_amount_minor
    from (
        select distinct referring.original_voucher_id
        from referring
        inner join exchanging_channels on referring.channel = exchanging_channels.channel
        where referring.original_voucher_id is not null
    ) as wanted
    cross join lateral (
        select conversions.*
        from conversions
        where conversions.voucher_id = wanted.original_voucher_id
        limit 1
    ) as exchanged
),

returned_before as (
    select
        wanted.original_key,
        moved.returned_minor,
        moved.refunded_minor
    from (select distinct original_key from referring) as wanted
    cross join lateral (
        select
            coalesce(sum(original_movements.amount_minor), 0) as returned_minor,
            coalesce(
                sum(original_movements.amount_minor)
                    filter (where original_movements.movement_kind = 'voucher'),
                0
            ) as refunded_minor
        from original_movements
        where original_movements.original_voucher_id = wanted.original_key
            and original_movements.accounting_date < {{ accounting_date() }}
    ) as moved
),

compared as (
    select
        referring.*,
        originals.voucher_id is not null as is_known,
        originals.accounting_date as known_accounting_date,
        originals.file_id as known_file_id,
        originals.line_number as known_line_number,
        originals.transaction_type as known_transaction_type,
        originals.transaction_at as known_transaction_at,
        originals.account_id as known_account_id,
        originals.merchant_id as known_merchant_id,
        originals.amount_minor as known_amount_minor,
        originals.card_kind as known_card_kind,
        originals.card_region as known_card_region,
        exchanged_originals.accounting_date as settled_on,
        exchanged_originals.settlement_amount_minor as settled_original_amount_minor,
        referring.transaction_type = 'reversal' and originals.transaction_status = 'failed'
            as reverses_failed,
        case
            when originals.voucher_id is not null then originals.amount_minor
            else referring.original_amount_minor
        end as bound_amount_minor,
        -- Another currency than its sale settled in, and a sale that has not been settled.
        case
            when exchanged_originals.voucher_id is not null
                and exchanged_originals.currency_code
                is distinct from referring.settled_currency_code then 'other_settlement_currency'
            when exchanged_originals.voucher_id is null
                and referring.settled_currency_code is not null
                and referring.is_return
                then 'original_not_settled'
        end as exchange_reason,
        {{ business_instant(
            'operating_windows.first_accounting_date - 1',
            'coalesce(channels.platform_cutoff_minutes, 0)',
        ) }} as window_opens_at,
        case
            when originals.voucher_id is null then null
            when originals.channel is distinct from referring.channel then 'other_channel'
            when originals.merchant_id is distinct from referring.merchant_id then 'other_merchant'
            when originals.account_id is distinct from referring.account_id then 'other_account'
            when originals.currency_code is distinct from referring.currency_code
                then 'other_currency'
            when originals.transaction_type not in (
                'purchase', 'preauth_completion', 'pre_authorisation'
            )
                or (originals.transaction_type = 'pre_authorisation') = referring.is_return
                then 'original_is_no_sale'
            when originals.transaction_at > referring.transaction_at then 'before_original'
            when originals.transaction_at
                is distinct from coalesce(
                    referring.original_transaction_at, originals.transaction_at
                ) then 'other_original_time'
            -- A hold moves no money: our voucher of it has no amount.
            when originals.amount_minor <> 0
                and originals.amount_minor
                is distinct from coalesce(referring.original_amount_minor, originals.amount_minor)
                then 'other_original_amount'
            when originals.transaction_status = 'failed'
                and referring.transaction_type is distinct from 'reversal'
                then 'original_not_successful'
        end as contradiction
    from referring
    left join originals on referring.original_voucher_id = originals.voucher_id
    left join exchanged_originals
        on referring.original_voucher_id = exchanged_originals.voucher_id
    left join operating_windows on operating_windows.window_order = 1
    left join channels on referring.channel = channels.channel
),

identified as (
    select
        compared.*,
        case
            when compared.contradiction is not null then compared.contradiction
            when compared.exchange_reason is not null and not compared.reverses_failed
                then compared.exchange_reason
            -- A hold of before, or of none of our files: its completion gives nothing back.
            when not compared.is_known and not compared.is_return then null
            when not compared.is_known
                and coalesce(compared.original_transaction_at < compared.window_opens_at, false)
                is distinct from true then 'unknown_original'
            when compared.is_return and not compared.reverses_failed
                and coalesce(compared.bound_amount_minor, 0) <= 0 then 'unknown_original'
            when compared.is_return and not compared.reverses_failed
                and compared.transaction_type in ('void', 'reversal')
                and abs(compared.amount_minor) is distinct from compared.bound_amount_minor
                then 'not_the_full_amount'
        end as identity_reason,
        row_number() over (
            partition by compared.is_return, compared.original_key
            order by compared.transaction_at, compared.voucher_id
        ) as return_no
    from compared
),

judged as (
    select
        identified.voucher_id,
        identified.original_key,
        identified.is_return,
        identified.return_no,
        checked.before_minor as returned_before_minor,
        returned_before.refunded_minor as refunded_before_minor,
        checked.reason,
        checked.before_minor + checked.accepted_minor as returned_after_minor,
        returned_before.refunded_minor + checked.accepted_minor as refunded_after_minor
    from identified
    inner join returned_before on identified.original_key = returned_before.original_key
    cross join lateral (
        {{ judge_return(
            'identified', 'returned_before.returned_minor', 'returned_before.refunded_minor'
        ) }}
    ) as checked
    where identified.return_no = 1
    union all
    select
        identified.voucher_id,
        identified.original_key,
        identified.is_return,
        identified.return_no,
        checked.before_minor as returned_before_minor,
        judged.refunded_after_minor as refunded_before_minor,
        checked.reason,
        checked.before_minor + checked.accepted_minor as returned_after_minor,
        judged.refunded_after_minor + checked.accepted_minor as refunded_after_minor
    from judged
    inner join identified
        on judged.original_key = identified.original_key
        and judged.is_return = identified.is_return
        and judged.return_no + 1 = identified.return_no
    cross join lateral (
        {{ judge_return(
            'identified', 'judged.returned_after_minor', 'judged.refunded_after_minor'
        ) }}
    ) as checked
),

-- Originals of the time before our first date: only so many, and only so much of them.
counted_unknown as (
    select
        identified.voucher_id,
        count(*) over unknown_of_channel as unknown_count,
        sum(abs(identified.amount_minor)) over unknown_of_channel as unknown_amount_minor
    from identified
    inner join judged on identified.voucher_id = judged.voucher_id
    where not identified.is_known and judged.reason is null
    window unknown_of_channel as (
        partition by identified.channel, identified.currency_code
        order by identified.transaction_at, identified.voucher_id
    )
),

final as (
    select
        identified.voucher_id,
        identified.file_id,
        identified.line_number,
        identified.transaction_at,
        identified.transaction_type,
        identified.merchant_id,
        identified.account_id,
        identified.channel,
        identified.currency_code,
        identified.amount_minor,
        identified.is_return,
        identified.reverses_failed,
        identified.original_key,
        identified.original_voucher_id,
        identified.is_known,
        identified.known_accounting_date,
        identified.known_file_id,
        identified.known_line_number,
        identified.known_merchant_id,
        identified.known_account_id,
        identified.known_amount_minor,
        -- What prices a return: our original, and of an unknown one what is stated.
        identified.bound_amount_minor,
        -- What a foreign original settled for, and in which close.
        identified.settled_original_amount_minor,
        identified.settled_on,
        coalesce(identified.known_transaction_at, identified.original_transaction_at)
            as priced_at,
        coalesce(identified.known_transaction_type, 'purchase') as priced_type,
        coalesce(identified.known_card_kind, identified.card_kind) as priced_card_kind,
        coalesce(identified.known_card_region, identified.card_region) as priced_card_region,
        identified.original_amount_minor as stated_amount_minor,
        identified.original_refunded_before_minor as stated_refunded_before_minor,
        judged.returned_before_minor,
        judged.refunded_before_minor,
        case
            when judged.reason is null
                and counted_unknown.voucher_id is not null
                and (
                    history_limits.channel is null
                    or counted_unknown.unknown_count > history_limits.unknown_original_limit_count
                    or counted_unknown.unknown_amount_minor
                    > history_limits.unknown_original_limit_amount_minor
                )
                then 'unknown_original_beyond_limit'
            else judged.reason
        end as reason,
        {{ match_key('identified', 'match_rules', 1) }} as match_key,
        {{ match_key('identified', 'match_rules', 2) }} as fallback_key_1,
        {{ match_key('identified', 'match_rules', 3) }} as fallback_key_2
    from identified
    inner join judged on identified.voucher_id = judged.voucher_id
    left join counted_unknown on identified.voucher_id = counted_unknown.voucher_id
    left join history_limits
        on identified.channel = history_limits.channel
        and identified.currency_code = history_limits.currency_code
    left join match_rules on identified.channel = match_rules.channel
)

select * from final
