{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['close'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Each foreign voucher that may be converted in the close of T, with the channel's record whose
    rate converts it (docs/domain.md#foreign-currency): vouchers of T that settle in another
    currency, and those that waited for a record. Found by the channel's primary key, currency and
    amount of the transaction, by occurrence, so that identical rows are all kept; records still
    open from before take part. `reason` is why there is no conversion. One row a voucher.

    The amount that is cleared is the record's own, never a product of ours: what the platform's
    rate would have given says only whether the record's is believed.
-#}
with vouchers_today as (
    select
        vouchers.voucher_id,
        vouchers.accounting_date,
        vouchers.file_id,
        vouchers.line_number
    from {{ ref('stg_platform__source_vouchers') }} as vouchers
    inner join {{ ref('transaction_types') }} as types
        on vouchers.transaction_type = types.transaction_type
    where vouchers.accounting_date = {{ accounting_date() }}
        and vouchers.settlement_currency_code is not null
        and vouchers.transaction_status = 'success'
        and types.is_in_pool
),

-- Waited for their record when the close of the date before ended, three weeks at most.
waiting_before as (
    select
        voucher_id,
        voucher_date,
        file_id,
        line_number
    from {{ waiting_conversions_relation() }}
    where accounting_date = {{ accounting_date() }} - 1
        and voucher_date > {{ accounting_date() }} - 21
),

wanted as (
    select voucher_id, accounting_date as voucher_date, file_id, line_number
    from vouchers_today
    union all
    select voucher_id, voucher_date, file_id, line_number
    from waiting_before
),

-- One probe of the raw table's key a voucher. One that its file no longer has waits no more.
vouchers as (
    select
        landed.*,
        wanted.voucher_date
    from wanted
    cross join lateral (
        select delivered.*
        from {{ ref('stg_platform__source_vouchers') }} as delivered
        where delivered.accounting_date = wanted.voucher_date
            and delivered.file_id = wanted.file_id
            and delivered.line_number = wanted.line_number
        offset 0
    ) as landed
),

exchange_limits as (
    select
        channel,
        transaction_currency_code,
        settlement_currency_code,
        minor_unit_shift,
        limit_ppm
    from {{ ref('exchange_limits') }}
),

exchanging_channels as (
    select distinct channel
    from exchange_limits
),

match_rules as (
    {{- match_rule_flags([1]) }}
),

records_today as (
    select
        channel_record_id,
        file_id,
        line_number,
        accounting_date
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
        and transaction_currency_code is not null
),

open_records as (
    select
        items.source_id as channel_record_id,
        items.file_id,
        items.line_number,
        items.opened_on as accounting_date
    from {{ suspense_items_relation() }} as items
    inner join exchanging_channels on items.channel = exchanging_channels.channel
    where items.accounting_date = {{ accounting_date() }} - 1
        and items.side = 'channel'
        and items.status in ('in_doubt', 'one_sided')
),

records as (
    select
        landed.*,
        {{ match_key('landed', 'match_rules', 1) }} as match_key
    from (
        select * from records_today
        union all
        select * from open_records
    ) as known
    cross join lateral (
        select delivered.*
        from {{ ref('int_channels__records') }} as delivered
        where delivered.accounting_date = known.accounting_date
            and delivered.file_id = known.file_id
            and delivered.line_number = known.line_number
            and delivered.transaction_currency_code is not null
        offset 0
    ) as landed
    left join match_rules on landed.channel = match_rules.channel
),

keyed_vouchers as (
    select
        vouchers.*,
        {{ match_key('vouchers', 'match_rules', 1) }} as match_key
    from vouchers
    left join match_rules on vouchers.channel = match_rules.channel
),

numbered_vouchers as (
    select
        keyed_vouchers.*,
        row_number() over (
            partition by channel, match_key, currency_code, amount_minor
            order by voucher_date, transaction_at, file_id, line_number
        ) as occurrence_no
    from keyed_vouchers
),

numbered_records as (
    select
        records.*,
        row_number() over (
            partition by channel, match_key, transaction_currency_code, transaction_amount_minor
            order by accounting_date, transaction_at, file_id, line_number
        ) as occurrence_no
    from records
),

known_keys as (
    select distinct
        channel,
        match_key
    from records
    where match_key is not null
),

compared as (
    select
        numbered_vouchers.*,
        numbered_records.channel_record_id,
        numbered_records.accounting_date as record_date,
        numbered_records.currency_code as record_currency_code,
        numbered_records.amount_minor as record_amount_minor,
        numbered_records.exchange_rate,
        known_keys.match_key is not null as has_other_record,
        exchange_limits.limit_ppm,
        -- Half away from zero, in the minor units of the settlement currency.
        round(
            numbered_vouchers.amount_minor * numbered_vouchers.quoted_exchange_rate
            * power(cast(10 as numeric), exchange_limits.minor_unit_shift)
        ) as quoted_amount_minor
    from numbered_vouchers
    left join numbered_records
        on numbered_vouchers.channel = numbered_records.channel
        and numbered_vouchers.match_key = numbered_records.match_key
        and numbered_vouchers.currency_code = numbered_records.transaction_currency_code
        and numbered_vouchers.amount_minor = numbered_records.transaction_amount_minor
        and numbered_vouchers.occurrence_no = numbered_records.occurrence_no
    left join known_keys
        on numbered_vouchers.channel = known_keys.channel
        and numbered_vouchers.match_key = known_keys.match_key
    left join exchange_limits
        on numbered_vouchers.channel = exchange_limits.channel
        and numbered_vouchers.currency_code = exchange_limits.transaction_currency_code
        and numbered_vouchers.settlement_currency_code = exchange_limits.settlement_currency_code
),

final as (
    select
        voucher_id,
        voucher_date,
        file_id,
        line_number,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        terminal_id,
        merchant_order_id,
        original_voucher_id,
        channel,
        currency_code as transaction_currency_code,
        amount_minor as transaction_amount_minor,
        settlement_currency_code,
        quoted_exchange_rate,
        quoted_amount_minor,
        channel_record_id,
        record_date,
        record_amount_minor,
        exchange_rate,
        case
            when limit_ppm is null then 'no_limit'
            when channel_record_id is null and has_other_record then 'record_differs'
            when channel_record_id is null then 'no_record'
            when record_currency_code <> settlement_currency_code
                then 'other_settlement_currency'
            when abs(record_amount_minor - quoted_amount_minor) * 1000000
                > abs(quoted_amount_minor) * limit_ppm then 'rate_beyond_limit'
        end as reason
    from compared
)

select * from final
