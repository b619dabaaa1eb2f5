-- Whatever the bank answered and however often we tried, a statement is paid once (代付不重复): of
-- its attempts that are paid and not returned, one at most was never refused. A bank that pays what
-- it had refused, after it was paid again, has paid twice by itself: people are told of it in each
-- run (docs/decisions/0060-paying-again-by-the-database.md), and the date's books are published.
{{ config(tags=['payment', 'outcomes']) }}

with attempt_states as (
    select
        statement_id,
        attempt_id,
        event_no,
        status
    from {{ ref('int_payout__attempt_states') }}
    where payment_date = {{ payment_date() }}
),

attempts as (
    select
        statement_id,
        attempt_id,
        bool_or(status = 'failed') as was_refused,
        (array_agg(status order by event_no desc))[1] as last_status
    from attempt_states
    group by statement_id, attempt_id
),

final as (
    select
        statement_id,
        count(*) as paid_count
    from attempts
    where last_status = 'paid' and not was_refused
    group by statement_id
    having count(*) > 1
)

select * from final
