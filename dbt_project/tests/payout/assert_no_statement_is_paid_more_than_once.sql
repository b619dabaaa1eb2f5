-- Whatever the bank answered and however often we tried, a statement is paid once (代付不重复): what
-- is paid and not returned is never more than the statement's payout.
{{ config(tags=['payment', 'outcomes']) }}

select
    statement_id,
    payout_amount_minor,
    paid_amount_minor,
    attempt_count
from {{ ref('payout_status') }}
where payment_date = {{ payment_date() }} and paid_amount_minor > payout_amount_minor
