{#
    The rows of one gate check: the name is said once, and what was measured and expected is text.
    `parts` are CTEs with subject, holds, detail, measured and expected.
#}
{% macro check_rows(check_name, parts) -%}
    {%- for part in parts %}
    select
        '{{ check_name }}' as check_name,
        subject,
        holds,
        detail,
        cast(measured as text) as measured,
        cast(expected as text) as expected
    from {{ part }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro %}
