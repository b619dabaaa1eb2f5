{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The register of freezes (冻结登记簿) as of the payment date: every freeze of the latest snapshot,
    in force or not (docs/domain.md#freezes). One that was in force and is missing, smaller, or
    another account's in the snapshot stays as it was, with the contradiction named.
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

freezes_before as (
    select
        snapshot_date,
        freeze_id,
        account_id,
        currency_code,
        frozen_amount_minor,
        reason_code,
        effective_from,
        effective_to
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and is_in_force
),

compared as (
    select
        coalesce(freezes_before.freeze_id, delivered_freezes.freeze_id) as freeze_id,
        coalesce(freezes_before.account_id, delivered_freezes.account_id) as account_id,
        coalesce(freezes_before.currency_code, delivered_freezes.currency_code) as currency_code,
        greatest(freezes_before.frozen_amount_minor, delivered_freezes.amount_minor)
            as frozen_amount_minor,
        coalesce(delivered_freezes.reason_code, freezes_before.reason_code) as reason_code,
        least(freezes_before.effective_from, delivered_freezes.effective_from) as effective_from,
        case
            when delivered_freezes.freeze_id is null then freezes_before.effective_to
            else delivered_freezes.effective_to
        end as effective_to,
        case
            when delivered_freezes.freeze_id is null then 'missing'
            when freezes_before.account_id is distinct from delivered_freezes.account_id
                or freezes_before.currency_code is distinct from delivered_freezes.currency_code
                then 'another_account'
            when delivered_freezes.amount_minor < freezes_before.frozen_amount_minor
                then 'smaller'
            when delivered_freezes.effective_from > freezes_before.effective_from then 'later'
        end as difference,
        coalesce(delivered_freezes.snapshot_date, freezes_before.snapshot_date) as snapshot_date,
        freezes_before.freeze_id is not null as was_in_force
    from delivered_freezes
    full join freezes_before on delivered_freezes.freeze_id = freezes_before.freeze_id
),

final as (
    select
        {{ payment_date() }} as payment_date,
        freeze_id,
        account_id,
        currency_code,
        frozen_amount_minor,
        reason_code,
        effective_from,
        effective_to,
        {{ in_force(payment_date()) }} as is_in_force,
        -- What has ended by its own date needs no row any more.
        case
            when was_in_force and (effective_to is null or effective_to > {{ payment_date() }})
                then difference
        end as contradiction,
        snapshot_date
    from compared
)

select * from final
