{#
    persist_docs: the comments of a relation and of its columns, in one statement.

    dbt's own asks the catalogue twice which columns there are, for each table that a run makes
    anew, and leaves out with a warning what is described and not there. Here a description of a
    column that the model has not is an error of the database.
#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set is_described = for_relation and config.persist_relation_docs() and model.description -%}
    {%- set columns = {} -%}
    {%- if for_columns and config.persist_column_docs() -%}
        {%- set columns = model.columns -%}
    {%- endif -%}
    {%- if is_described or columns -%}
    {%- call statement('docs') -%}
        {%- if is_described -%}
        {{ alter_relation_comment(relation, model.description) }}
        {%- endif -%}
        {%- for column in columns.values() %}
        comment on column {{ relation }}.{{ adapter.quote(column['name']) }}
            is {{ postgres_escape_comment(column['description']) }};
        {%- endfor %}
    {%- endcall -%}
    {%- endif -%}
{%- endmacro %}
