{{ config(materialized='ephemeral') }}

{#-
    Each bank line since the payment date before has a kind, or was taken. Read is what the bank
    had said by the gate, as in bank_statement_continuity.
-#}
with bank_lines as (
    select
        file_id,
        line_number,
        statement_date,
        currency_code,
        amount_minor,
        line_kind,
        arrival_group_id
    from {{ ref('int_bank__classified_lines') }}
    where statement_date <= {{ payment_date() }}
),

taken_lines as (
    select
        file_id,
        line_number
    from {{ ref('int_bank__taken_lines') }}
),

unknown_lines as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.statement_date,
        bank_lines.currency_code,
        bank_lines.amount_minor
    from bank_lines
    left join taken_lines
        on bank_lines.file_id = taken_lines.file_id
        and bank_lines.line_number = taken_lines.line_number
    where bank_lines.statement_date > {{ previous_payment_date() }}
        and taken_lines.file_id is null
        and (
            bank_lines.line_kind = 'unclassified'
            or (
                bank_lines.line_kind = 'channel_arrival'
                and bank_lines.arrival_group_id is null
            )
        )
),

unknown_line_checks as (
    select
        'all' as subject,
        count(*) = 0 as holds,
        -- The account and the text of an unknown line may name a person; file and line lead to it.
        coalesce(
            left(
                string_agg(
                    to_char(statement_date, 'YYYY-MM-DD') || ' ' || file_id || ':' || line_number
                    || ' ' || amount_minor || ' ' || currency_code,
                    '; ' order by statement_date, file_id, line_number
                ),
                500
            ),
            ''
        ) as detail,
        count(*) as measured,
        '0' as expected
    from unknown_lines
),

final as (
    {{ check_rows('no_unclassified_bank_line', ['unknown_line_checks']) }}
)

select * from final
