-- What waited after the payment date before is here again with the same amount (待扣款): no charge is
-- forgotten between two payment dates, and none begins to wait twice.
{{ config(tags=['payment']) }}

with charges as (
    select
        entry_id,
        opening_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }} and opening_amount_minor > 0
),

charges_before as (
    select
        entry_id,
        closing_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ previous_payment_date() }} and charge_status = 'waiting'
)

select
    coalesce(charges.entry_id, charges_before.entry_id) as entry_id,
    charges_before.closing_amount_minor,
    charges.opening_amount_minor
from charges
full join charges_before on charges.entry_id = charges_before.entry_id
where charges.opening_amount_minor is distinct from charges_before.closing_amount_minor
