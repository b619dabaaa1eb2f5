{#-
    Every channel's transaction records with one set of columns: the models after this one
    read it and name no channel. Which staging models they come from is one list
    (macros/channels.sql).
-#}
with
{%- for format in channel_formats('transactions') %}
{{ format }} as (
    select
        channel_record_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        transaction_at,
        transaction_type,
        currency_code,
        amount_minor,
        channel_cost_minor,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        channel_order_id,
        merchant_order_id,
        refund_order_id,
        terminal_id,
        channel_merchant_id,
        card_region,
        card_token,
        card_mask,
        {%- if format in exchanging_formats() %}
        transaction_currency_code,
        transaction_amount_minor,
        exchange_rate
        {%- else %}
        cast(null as text) as transaction_currency_code,
        cast(null as bigint) as transaction_amount_minor,
        cast(null as numeric) as exchange_rate
        {%- endif %}
    from {{ ref('stg_' ~ format ~ '__transactions') }}
),
{% endfor %}
final as (
    {{ all_of(channel_formats('transactions')) }}
)

select * from final
