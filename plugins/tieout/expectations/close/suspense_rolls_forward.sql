-- id: suspense_rolls_forward
-- kind: arithmetic
-- severity: critical
-- subject: ledger.trial_balance
-- terms: suspense_rollforward, suspense_opening
-- english: Opening + opened − resolved − adjusted − written off = closing, by count and amount,
--     for both sides of every channel; opening is the closing of the date before
-- chinese: 每个渠道双方：期初 + 新增 − 抹平 − 差错处理 − 核销 = 期末（笔数与金额）；期初等于前一日期末

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
    'suspense_rollforward' as term,
    (
        rolls.opening_amount_minor + rolls.opened_amount_minor - rolls.resolved_amount_minor
        - rolls.adjusted_amount_minor - rolls.written_off_amount_minor - rolls.closing_amount_minor
    )::text as amount_minor,
    rolls.currency_code,
    'count or amount does not roll: closing ' || rolls.closing_count || ' items' as detail
from rolls
where
    rolls.opening_count + rolls.opened_count - rolls.resolved_count - rolls.adjusted_count
    - rolls.written_off_count is distinct from rolls.closing_count
    or rolls.opening_amount_minor + rolls.opened_amount_minor - rolls.resolved_amount_minor
    - rolls.adjusted_amount_minor - rolls.written_off_amount_minor
    is distinct from rolls.closing_amount_minor
union all
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
