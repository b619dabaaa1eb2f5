-- What the date adds to the adjustments' accounts (应收应付差错款) is what it suspended less what left
-- suspension by a key or by people: charged, absorbed, applied; and the charges that began to wait
-- on the payment date, less those that were taken or written off. A decision posted twice, or to
-- the wrong account, shows here.
{{ config(tags=['close']) }}

with movements as (
    select
        channel,
        currency_code,
        case when suspended_on = {{ accounting_date() }} then -1 else 1 end * funds_effect_minor
            as amount_minor
    from {{ ref('suspended_adjustments') }}
    where
        accounting_date = {{ accounting_date() }}
        and (suspended_on = {{ accounting_date() }} or status <> 'suspended')
),

charges as (
    select
        channel,
        currency_code,
        deferred_amount_minor - released_amount_minor - written_off_amount_minor as amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ accounting_date() }}
),

postings as (
    select
        channel,
        currency_code,
        case direction when 'debit' then amount_minor else -amount_minor end as amount_minor
    from {{ ref('journal_entries') }}
    where
        accounting_date = {{ accounting_date() }}
        and ledger_account in ('adjustments_receivable', 'adjustments_payable')
        and event_type <> 'opening_balance'
),

totals as (
    select channel, currency_code, amount_minor as suspended_minor, 0 as posted_minor
    from movements
    union all
    select channel, currency_code, amount_minor as suspended_minor, 0 as posted_minor
    from charges
    union all
    select channel, currency_code, 0 as suspended_minor, amount_minor as posted_minor
    from postings
)

select
    channel,
    currency_code,
    sum(suspended_minor) as suspended_minor,
    sum(posted_minor) as posted_minor
from totals
group by channel, currency_code
having sum(suspended_minor) <> sum(posted_minor)
