{{ config(materialized='ephemeral') }}

{#-
    What each record of the channels should have cost by the channel's price list in force on T,
    beside what its file says. Computed from the record's own facts, in whole minor units; the
    card's kind, which no verified field of a channel's file has, is the matched voucher's. Where
    it is not known, each kind on the list is tried and the nearest counts: nobody is accused of
    what is not known. A channel without any row in the list is not compared.
    docs/domain.md#what-a-channel-should-have-cost
-#}
{%- set facts = [
    'channel', 'currency_code', 'transaction_type', 'channel_merchant_id', 'card_kind',
    'card_region',
] -%}

with channel_records as (
    select
        channel_record_id,
        channel,
        file_id,
        line_number,
        transaction_type,
        currency_code,
        amount_minor,
        channel_cost_minor,
        channel_merchant_id,
        card_region
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

results as (
    select
        channel_record_id,
        system_transaction_id
    from {{ ref('reconciliation_results') }}
    where
        accounting_date = {{ accounting_date() }}
        and channel_record_id is not null
        and system_transaction_id is not null
),

vouchers as (
    select
        voucher_id,
        card_kind,
        card_region
    from {{ ref('int_vouchers__accepted') }}
),

channel_prices as (
    select
        price_id,
        channel,
        currency_code,
        cost_part,
        channel_merchant_id,
        transaction_type,
        card_kind,
        card_region,
        rate_ppb,
        fixed_minor,
        minimum_minor,
        cap_minor,
        rounding,
        tolerance_minor,
        effective_from,
        effective_until
    from {{ ref('channel_prices') }}
),

listed_channels as (
    select distinct channel
    from channel_prices
),

prices as (
    select *
    from channel_prices
    where
        effective_from <= {{ accounting_date() }}
        and (effective_until is null or effective_until > {{ accounting_date() }})
),

-- The kinds of card that have a price of their own.
listed_cards as (
    select distinct
        channel,
        currency_code,
        card_kind,
        card_region
    from prices
    where card_kind <> '*' or card_region <> '*'
),

records as (
    select
        channel_records.channel_record_id,
        channel_records.channel,
        channel_records.file_id,
        channel_records.line_number,
        channel_records.transaction_type,
        channel_records.currency_code,
        channel_records.amount_minor,
        channel_records.channel_cost_minor,
        coalesce(channel_records.channel_merchant_id, '') as channel_merchant_id,
        coalesce(vouchers.card_kind, '') as card_kind,
        coalesce(channel_records.card_region, vouchers.card_region, '') as card_region
    from channel_records
    inner join listed_channels on channel_records.channel = listed_channels.channel
    left join results on channel_records.channel_record_id = results.channel_record_id
    left join vouchers on results.system_transaction_id = vouchers.voucher_id
),

-- Prices are looked up once for records that are alike.
facts as (
    select distinct
        {{ facts | join(',\n        ') }}
    from records
),

candidates as (
    select
        facts.*,
        coalesce(listed_cards.card_kind || '/' || listed_cards.card_region, '') as listed_card
    from facts
    left join listed_cards
        on facts.channel = listed_cards.channel
        and facts.currency_code = listed_cards.currency_code
        and (
            facts.card_kind = ''
            or listed_cards.card_kind = '*'
            or facts.card_kind = listed_cards.card_kind
        )
        and (
            facts.card_region = ''
            or listed_cards.card_region = '*'
            or facts.card_region = listed_cards.card_region
        )
),

-- Of a part of the cost the row that says most about the record.
ordered_prices as (
    select
        {%- for fact in facts %}
        candidates.{{ fact }},
        {%- endfor %}
        candidates.listed_card,
        prices.cost_part,
        prices.price_id,
        prices.rate_ppb,
        prices.fixed_minor,
        prices.minimum_minor,
        prices.cap_minor,
        prices.rounding,
        prices.tolerance_minor,
        row_number() over (
            partition by
                {%- for fact in facts %}
                candidates.{{ fact }},
                {%- endfor %}
                candidates.listed_card,
                prices.cost_part
            order by
                prices.channel_merchant_id <> '*' desc,
                prices.transaction_type <> '*' desc,
                prices.card_kind <> '*' or prices.card_region <> '*' desc,
                prices.effective_from desc,
                prices.price_id asc
        ) as price_order
    from candidates
    inner join prices
        on candidates.channel = prices.channel
        and candidates.currency_code = prices.currency_code
        and prices.channel_merchant_id in ('*', candidates.channel_merchant_id)
        and prices.transaction_type in ('*', candidates.transaction_type)
        and prices.card_kind || '/' || prices.card_region in ('*/*', candidates.listed_card)
),

chosen_prices as (
    select *
    from ordered_prices
    where price_order = 1
),

price_names as (
    select
        {{ facts | join(',\n        ') }},
        listed_card,
        string_agg(price_id, ' ' order by cost_part) as price_ids
    from chosen_prices
    group by
        {{ facts | join(',\n        ') }},
        listed_card
),

record_parts as (
    select
        records.channel_record_id,
        chosen_prices.listed_card,
        chosen_prices.tolerance_minor,
        case
            when records.amount_minor = 0 then chosen_prices.fixed_minor
            else case when records.amount_minor < 0 then -1 else 1 end * least(
                greatest(
                    (
                        abs(records.amount_minor) * chosen_prices.rate_ppb
                        + case chosen_prices.rounding
                            when 'half_up' then 500000000
                            when 'up' then 999999999
                            else 0
                        end
                    ) / 1000000000 + chosen_prices.fixed_minor,
                    chosen_prices.minimum_minor
                ),
                coalesce(chosen_prices.cap_minor, 9223372036854775807)
            )
        end as part_minor
    from records
    inner join chosen_prices
        {%- for fact in facts %}
        {{ 'on' if loop.first else 'and' }} records.{{ fact }} = chosen_prices.{{ fact }}
        {%- endfor %}
),

record_costs as (
    select
        channel_record_id,
        listed_card,
        cast(sum(part_minor) as bigint) as listed_cost_minor,
        cast(sum(tolerance_minor) as bigint) as tolerance_minor
    from record_parts
    group by channel_record_id, listed_card
),

ordered_costs as (
    select
        records.*,
        record_costs.listed_card,
        record_costs.listed_cost_minor,
        record_costs.tolerance_minor,
        row_number() over (
            partition by records.channel_record_id
            order by
                abs(records.channel_cost_minor - record_costs.listed_cost_minor),
                record_costs.listed_card
        ) as cost_order
    from records
    left join record_costs on records.channel_record_id = record_costs.channel_record_id
),

final as (
    select
        ordered_costs.channel_record_id,
        ordered_costs.channel,
        ordered_costs.currency_code,
        ordered_costs.transaction_type,
        ordered_costs.amount_minor,
        nullif(ordered_costs.channel_merchant_id, '') as channel_merchant_id,
        nullif(ordered_costs.card_kind, '') as card_kind,
        nullif(ordered_costs.card_region, '') as card_region,
        ordered_costs.channel_cost_minor as charged_cost_minor,
        ordered_costs.listed_cost_minor,
        ordered_costs.tolerance_minor,
        price_names.price_ids,
        ordered_costs.file_id,
        ordered_costs.line_number
    from ordered_costs
    left join price_names
        {%- for fact in facts %}
        {{ 'on' if loop.first else 'and' }} ordered_costs.{{ fact }} = price_names.{{ fact }}
        {%- endfor %}
        and ordered_costs.listed_card = price_names.listed_card
    where ordered_costs.cost_order = 1
)

select * from final
