-- Debits equal credits, and balances sum to zero, per currency (借贷相等). Also fails when there is
-- no balance at all: an empty table proves nothing.
{{ config(tags=['close']) }}

with trial_balance as (
    select
        currency_code,
        debit_amount_minor,
        credit_amount_minor,
        closing_amount_minor
    from {{ ref('trial_balance') }}
    where accounting_date = {{ accounting_date() }}
)

select
    currency_code,
    sum(debit_amount_minor) as debit_amount_minor,
    sum(credit_amount_minor) as credit_amount_minor,
    sum(closing_amount_minor) as closing_amount_minor
from trial_balance
group by currency_code
having
    sum(debit_amount_minor) is distinct from sum(credit_amount_minor)
    or sum(closing_amount_minor) is distinct from 0
union all
select
    'none' as currency_code,
    0 as debit_amount_minor,
    0 as credit_amount_minor,
    0 as closing_amount_minor
where not exists (select 1 from trial_balance)
