-- A payout is a list that sums to the cent: settlement plus adjustments of a statement (结算单) are
-- the sum of its lines, and its counts are their number.
{{ config(tags=['payment']) }}

with settlement_statements as (
    select
        statement_id,
        transaction_count + adjustment_count as entry_count,
        settlement_amount_minor + adjustment_amount_minor as stated_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

statement_lines as (
    select
        statement_id,
        count(*) as line_count,
        sum(clearing_amount_minor) as line_amount_minor
    from {{ ref('statement_lines') }}
    where payment_date = {{ payment_date() }}
    group by statement_id
)

select
    settlement_statements.statement_id,
    settlement_statements.entry_count,
    statement_lines.line_count,
    settlement_statements.stated_amount_minor,
    statement_lines.line_amount_minor
from settlement_statements
left join statement_lines on settlement_statements.statement_id = statement_lines.statement_id
where settlement_statements.entry_count <> coalesce(statement_lines.line_count, 0)
    or settlement_statements.stated_amount_minor <> coalesce(statement_lines.line_amount_minor, 0)
