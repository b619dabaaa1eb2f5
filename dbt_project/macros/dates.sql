{#
    The business date of a run, one macro = one source of truth. It comes from the environment that
    tieout.runs.transform sets for the run, not from --vars: a changed variable would make dbt
    parse the whole project again for every date (docs/decisions). A run without its date fails.
#}
{% macro tieout_date(key) -%}
    {%- set name = 'TIEOUT_' ~ (key | upper) -%}
    {%- set value = env_var(name, '') -%}
    {%- if execute and not modules.re.match('^[0-9]{4}-[0-9]{2}-[0-9]{2}$', value) -%}
        {{ exceptions.raise_compiler_error(
            name ~ " is '" ~ value ~ "', not a date like 2026-09-28. Start the build with"
            ~ " `tieout close`, `tieout pay` or a DAG; they set it."
        ) }}
    {%- endif -%}
    {{ value }}
{%- endmacro %}

{% macro accounting_date() -%}date '{{ tieout_date('accounting_date') }}'{%- endmacro %}

{% macro payment_date() -%}date '{{ tieout_date('payment_date') }}'{%- endmacro %}

{% macro previous_payment_date() -%}
    date '{{ tieout_date('previous_payment_date') }}'
{%- endmacro %}

{# The instant at which `minutes` after midnight of `date_sql` strike in the business time zone. #}
{% macro business_instant(date_sql, minutes_sql) -%}
    (({{ date_sql }})::timestamp + make_interval(mins => ({{ minutes_sql }})::integer))
        at time zone '{{ var("business_time_zone") }}'
{%- endmacro %}

{# The calendar date of an instant in the business time zone. #}
{% macro business_date(instant_sql) -%}
    (({{ instant_sql }}) at time zone '{{ var("business_time_zone") }}')::date
{%- endmacro %}

{#
    How far back from a payment date the dates it pays, and what they stand on, can lie: a month,
    longer than any holiday. A bound so that only these partitions are read; nothing else is
    decided by it.
#}
{% macro days_back(date_sql) -%}
    {{ date_sql }} - 31
{%- endmacro %}

{#
    How far back from a payment date what is not due yet can lie: by a CHECK of due_dates no entry
    is due later than so many days after its accounting date.
#}
{% macro cycle_days_back(date_sql) -%}
    {{ date_sql }} - 92
{%- endmacro %}

{# The first day of a date's calendar month, and that of the month before it. #}
{% macro month_of(date_sql) -%}
    cast(date_trunc('month', {{ date_sql }}) as date)
{%- endmacro %}

{% macro month_before(date_sql) -%}
    cast(date_trunc('month', {{ date_sql }}) - interval '1 month' as date)
{%- endmacro %}

{# Whether terms are in force on a date; on `effective_to` itself they are not any more. #}
{% macro in_force(date_sql) -%}
    (
            effective_from <= {{ date_sql }}
            and (effective_to is null or effective_to > {{ date_sql }})
        )
{%- endmacro %}

{# Whether a sealed date is computed beside its sealed rows (control.begin_restatement()). #}
{% macro is_restatement() %}
    {{ return(env_var('TIEOUT_RESTATEMENT', '') == 'yes') }}
{% endmacro %}
