{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    Everything the gate looks at, one row a check and subject. A check that finds nothing to
    look at still writes a row, so that a missing row is a failure and never a success.
-#}
with input_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__input_checks') }}
),

ledger_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__ledger_checks') }}
),

settlement_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__settlement_checks') }}
),

equation_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__equation_checks') }}
),

bank_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__bank_checks') }}
),

backing_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__backing_checks') }}
),

fee_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__fee_checks') }}
),

bank_line_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__bank_line_checks') }}
),

terms_checks as (
    select check_name, subject, holds, detail, measured, expected
    from {{ ref('int_gate__terms_checks') }}
),

all_checks as (
    select * from input_checks
    union all
    select * from ledger_checks
    union all
    select * from settlement_checks
    union all
    select * from equation_checks
    union all
    select * from bank_checks
    union all
    select * from backing_checks
    union all
    select * from fee_checks
    union all
    select * from bank_line_checks
    union all
    select * from terms_checks
),

final as (
    select
        {{ payment_date() }} as payment_date,
        check_name,
        subject,
        holds,
        detail,
        measured,
        expected
    from all_checks
)

select * from final
