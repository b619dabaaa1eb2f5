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
    For a model whose steps are joined by their own results, of which the planner knows no size: it
    takes thousands of rows for one, and reads the others again for each. Until the model's commit
    it hashes or merges wherever it can. Not for models that look a row up in an index on purpose.
#}
{% macro set_based() -%}
    {{ return(adapter.dispatch('set_based', 'tieout')()) }}
{%- endmacro %}

{% macro default__set_based() -%}
    set local enable_nestloop = off
{%- endmacro %}
