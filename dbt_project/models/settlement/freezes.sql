{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The register of freezes (冻结登记簿) as of the payment date: every freeze of the latest snapshot,
    in force or not. A freeze changes what is available, never what is booked, and may exceed
    the balance.
-#}
with delivered_freezes as (
    select
        snapshot_date,
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        reason_code,
        effective_from,
        effective_to
    from {{ ref('stg_platform__freezes') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('stg_platform__freezes')) }}
),

final as (
    select
        {{ payment_date() }} as payment_date,
        freeze_id,
        account_id,
        currency_code,
        amount_minor as frozen_amount_minor,
        reason_code,
        effective_from,
        effective_to,
        effective_from <= {{ payment_date() }}
        and (effective_to is null or effective_to > {{ payment_date() }}) as is_in_force,
        snapshot_date
    from delivered_freezes
)

select * from final
