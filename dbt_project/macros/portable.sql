{#
    What another engine spells in its own way sits behind these dispatched macros, so that the
    models themselves stay portable (architecture.md, decision 3).
#}
{% macro array_of(expression, order_by) -%}
    {{ return(adapter.dispatch('array_of', 'tieout')(expression, order_by)) }}
{%- endmacro %}

{% macro default__array_of(expression, order_by) -%}
    array_agg(distinct {{ expression }} order by {{ order_by }})
{%- endmacro %}

{#
    The key a record is paired on: the parts its channel's match rule names, in one fixed order.
    A missing part counts as empty, so that two records without any part never pair (the models
    treat a key without a part as no key). `side` prefixes the columns, `rule` is the rule's alias.
#}
{% macro match_key(side, rule, trace='trace_number', transmission='transmission_time') -%}
    concat_ws(
        '|',
        case
            when {{ rule }}.uses_institutions
                then coalesce({{ side }}.acquiring_institution_id, '')
        end,
        case
            when {{ rule }}.uses_institutions
                then coalesce({{ side }}.forwarding_institution_id, '')
        end,
        case when {{ rule }}.uses_trace_number then coalesce({{ side }}.{{ trace }}, '') end,
        case
            when {{ rule }}.uses_transmission_time then coalesce({{ side }}.{{ transmission }}, '')
        end,
        case
            when {{ rule }}.uses_channel_order_id then coalesce({{ side }}.channel_order_id, '')
        end,
        case when {{ rule }}.uses_refund_order_id then coalesce({{ side }}.refund_order_id, '') end
    )
{%- endmacro %}
