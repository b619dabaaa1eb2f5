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
