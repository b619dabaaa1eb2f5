-- id: statements_are_there
-- kind: presence
-- severity: critical
-- subject: settlement.settlement_statements
-- terms: statements
-- english: The payment date has settlement statements, or nothing was cleared on its dates
-- chinese: 付款日有结算单，否则其会计日期没有任何清算记录

-- Which dates are paid stands in the equation; every_arrival_group_is_there has it from the
-- calendar.
with cleared as (
    select
        records.currency_code,
        count(*) as record_count,
        sum(records.transaction_amount_minor) as amount_minor
    from clearing.clearing_records as records
    where
        records.accounting_date in (
            select unnest(equation.accounting_dates)
            from gate.balance_equation as equation
            where equation.payment_date = :day
        )
    group by records.currency_code
)

select
    'settlement ' || cleared.currency_code as subject,
    'statements' as term,
    cleared.amount_minor::text as amount_minor,
    cleared.currency_code,
    cleared.record_count || ' clearing records, and no statement of the currency' as detail
from cleared
where not exists (
    select 1
    from settlement.settlement_statements as statements
    where
        statements.payment_date = :day
        and statements.currency_code = cleared.currency_code
)
