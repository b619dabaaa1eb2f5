-- id: suspense_rolls_forward
-- kind: agreement
-- severity: critical
-- subject: ledger.trial_balance
-- terms: suspense_rollforward, suspense_opening
-- english: Both sides of every channel have their roll-forward, and it opens with what the date
--     before closed with, by count and amount
-- chinese: 每个渠道双方均有挂账变动表，期初等于前一日期末（笔数与金额）

-- That each row adds up is a CHECK of the table, and the gate adds it again.
with rolls as (
    select rollforward.*
    from reconciliation.suspense_rollforward as rollforward
    where rollforward.accounting_date = :day
),

expected as (
    select
        channels.channel,
        channels.currency_code,
        sides.side
    from reference.channels as channels
    cross join (values ('system'), ('channel')) as sides (side)
),

first_date as (
    select min(trial_balance.accounting_date) as accounting_date
    from ledger.trial_balance as trial_balance
)

select
    rolls.channel || ' ' || rolls.side || ' suspense ' || rolls.currency_code as subject,
    'suspense_opening' as term,
    (rolls.opening_amount_minor - coalesce(before.closing_amount_minor, 0))::text as amount_minor,
    rolls.currency_code,
    'opening ' || rolls.opening_count || ' items, the date before closed with '
    || coalesce(before.closing_count::text, 'no row') as detail
from rolls
cross join first_date
left join reconciliation.suspense_rollforward as before
    on
        before.accounting_date = :day - 1
        and rolls.channel = before.channel
        and rolls.side = before.side
        and rolls.currency_code = before.currency_code
where
    first_date.accounting_date < :day
    and (rolls.opening_count, rolls.opening_amount_minor)
    is distinct from (before.closing_count, before.closing_amount_minor)
union all
select
    expected.channel || ' ' || expected.side || ' suspense ' || expected.currency_code as subject,
    'suspense_rollforward' as term,
    null::text as amount_minor,
    expected.currency_code,
    'the roll-forward has no row' as detail
from expected
where not exists (
    select 1
    from rolls
    where
        rolls.channel = expected.channel
        and rolls.side = expected.side
        and rolls.currency_code = expected.currency_code
)
