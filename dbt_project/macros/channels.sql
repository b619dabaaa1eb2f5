{#
    The formats of channels, by what their records are: each has a staging model
    stg_<format>__<what>, with the columns of the others. A new format is one word here; a further
    channel that has an existing format is none (docs/operations/add-a-channel.md).
#}
{% macro channel_formats(what) -%}
    {{ return({
        'transactions': ['unionpay', 'wechat', 'alipay', 'qr_gateway', 'upi'],
        'adjustments': ['unionpay'],
        'brand_fees': ['unionpay'],
    }[what]) }}
{%- endmacro %}

{# Formats of transactions whose records may name another currency than they settle in. #}
{% macro exchanging_formats() -%}
    {{ return(['upi']) }}
{%- endmacro %}

{# The rows of several CTEs with the same columns. #}
{% macro all_of(names) -%}
    {%- for name in names %}
    select * from {{ name }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
