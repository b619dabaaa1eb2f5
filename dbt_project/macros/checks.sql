{#
    The rows of one gate check: the name is said once, and what was measured and expected is text.
    `parts` are CTEs with subject, holds, detail, measured and expected. With `of_new_dates`
    the check looks at the accounting dates since the payment date before, and has a row for all
    where there is none: after the business's last date slow channels are still paid. That a date
    is paid at all, accounting_dates_closed sees.
#}
{% macro check_rows(check_name, parts, of_new_dates=false) -%}
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
    {%- if of_new_dates %}
    union all
    select
        '{{ check_name }}' as check_name,
        'all' as subject,
        true as holds,
        'no accounting date since the payment date before (无新会计日期)' as detail,
        '0' as measured,
        '0' as expected
    where not exists (select 1 from {{ parts[0] }})
    {%- endif %}
{%- endmacro %}


{#
    The parts of a check that compares two amounts of each account, one row a currency: it holds
    where no account differs; else the first account is named, and `says` says of what.
    `differences` is a CTE with account_id, currency_code and both amounts, `currencies` one with a
    row a currency. `subject` follows the currency where a check has several such parts.
#}
{% macro account_checks(currencies, differences, measured, expected, says, subject='') -%}
    {%- set differs = differences ~ '.' ~ measured ~ ' <> ' ~ differences ~ '.' ~ expected -%}
    select
        {{ currencies }}.currency_code || '{{ subject }}' as subject,
        count(*) filter (where {{ differs }}) = 0 as holds,
        coalesce(
            'first account: ' || min({{ differences }}.account_id) filter (where {{ differs }})
            || ' {{ says }}',
            ''
        ) as detail,
        coalesce(sum({{ differences }}.{{ measured }}), 0) as measured,
        coalesce(sum({{ differences }}.{{ expected }}), 0) as expected
    from {{ currencies }}
    left join {{ differences }}
        on {{ currencies }}.currency_code = {{ differences }}.currency_code
    group by {{ currencies }}.currency_code
{%- endmacro %}
