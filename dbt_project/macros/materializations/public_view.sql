{#
    public_view: a view that people and other systems have been granted.

    dbt's own `view` makes another view and drops the first, and its grants with it. Here the view
    is replaced where it stands, so grants and what is built on it stay. PostgreSQL refuses to
    replace a view by one of other columns: that is a migration. The contract is checked as for a
    table; its keys stand on the table that the view reads.
#}
{% materialization public_view, adapter='postgres', supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='view') -%}
    {%- if not config.get('contract').enforced -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ': public_view needs an enforced contract'
        ) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main') -%}
        {{ get_assert_columns_equivalent(sql) }}
        create or replace view {{ target_relation }} as
        {{ sql }}
    {%- endcall %}
    {% do persist_docs(target_relation, model) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
