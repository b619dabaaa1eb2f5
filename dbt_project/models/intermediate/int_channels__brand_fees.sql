{#-
    Every channel's brand fee records with one set of columns: the models after this one read it and
    name no channel. Of the formats there are, UnionPay's alone have such records; a second channel
    with UnionPay's files is in them, too.
-#}
with
{%- for format in channel_formats('brand_fees') %}
{{ format }} as (
    select
        brand_fee_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        merchant_id,
        currency_code,
        amount_minor,
        brand_fee_minor
    from {{ ref('stg_' ~ format ~ '__brand_fees') }}
),
{% endfor %}
final as (
    {{ all_of(channel_formats('brand_fees')) }}
)

select * from final
