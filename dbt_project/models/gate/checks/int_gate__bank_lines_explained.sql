{{ config(materialized='ephemeral') }}

{#-
    Nothing was debited, returned or charged that we did not order, or two people took it. One
    row a line, so that each is named with what is to be done; a row for all where there is
    none.
-#}
with open_lines as (
    select
        file_id,
        line_number,
        statement_date,
        currency_code,
        unexplained_amount_minor,
        reason,
        age_days
    from {{ ref('unexplained_bank_lines') }}
    where payment_date = {{ payment_date() }} and status = 'open'
),

found as (
    select
        file_id || ':' || line_number as subject,
        false as holds,
        reason || ', statement of ' || to_char(statement_date, 'YYYY-MM-DD') || ', open for '
        || age_days || ' days (银行流水未解释); next: tieout bank-lines show ' || file_id || ':'
        || line_number || ', then two people take it' as detail,
        unexplained_amount_minor || ' ' || currency_code as measured,
        'explained or taken' as expected
    from open_lines
    union all
    select
        'all' as subject,
        true as holds,
        '' as detail,
        '0' as measured,
        '0' as expected
    where not exists (select 1 from open_lines)
),

final as (
    {{ check_rows('bank_lines_explained', ['found']) }}
)

select * from final
