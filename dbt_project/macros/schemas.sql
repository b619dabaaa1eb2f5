{#
    One Postgres schema per domain: the model's schema as it is written, without the profile's in
    front.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
