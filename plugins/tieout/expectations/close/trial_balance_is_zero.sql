-- id: trial_balance_is_zero
-- kind: arithmetic
-- severity: critical
-- subject: ledger.trial_balance
-- terms: *
-- english: Debits equal credits, and closing balances add up to zero, per currency; every
--     account of the chart is there
-- chinese: 按币种借贷相等，期末余额合计为零；每个会计科目都在

with balances as (
    select
        batch.currency_code,
        sum(batch.debit_amount_minor) as debit_minor,
        sum(batch.credit_amount_minor) as credit_minor,
        sum(batch.closing_amount_minor) as closing_minor
    from ledger.trial_balance as batch
    where batch.accounting_date = :day
    group by batch.currency_code
)

select
    'ledger ' || balances.currency_code as subject,
    'trial_balance' as term,
    (balances.debit_minor - balances.credit_minor)::text as amount_minor,
    balances.currency_code,
    'debits ' || balances.debit_minor || ', credits ' || balances.credit_minor
    || ', closing balances add up to ' || balances.closing_minor || ' (minor units)' as detail
from balances
where
    balances.debit_minor is distinct from balances.credit_minor
    or balances.closing_minor is distinct from 0
union all
select
    'ledger' as subject,
    chart.ledger_account as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the account has no row in the trial balance' as detail
from reference.chart_of_accounts as chart
where not exists (
    select 1
    from ledger.trial_balance as batch
    where
        batch.accounting_date = :day
        and batch.ledger_account = chart.ledger_account
)
union all
select
    'ledger' as subject,
    'trial_balance' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the accounting date has no trial balance' as detail
where not exists (select 1 from balances)
