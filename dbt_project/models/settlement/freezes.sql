{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The register of freezes (冻结登记簿) as of the payment date: every freeze of the platform's latest
    snapshot and every one that two people decided, in force or not
    (docs/domain.md#register-of-freezes). One of the platform's that was in force and is missing,
    smaller, or another account's in the snapshot stays as it was, with the contradiction named.
    What people released lowers either.
-#}
with delivered_freezes as (
    select
        snapshot_date,
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        released_amount_minor,
        reason_code,
        effective_from,
        effective_to,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type
    from {{ ref('stg_platform__freezes') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('stg_platform__freezes')) }}
),

freezes_before as (
    select
        snapshot_date,
        freeze_id,
        account_id,
        currency_code,
        ordered_amount_minor,
        delivered_release_amount_minor,
        reason_code,
        effective_from,
        effective_to,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type
    from {{ this }}
    where payment_date = {{ previous_payment_date() }}
        and is_in_force
        and source = 'platform'
),

requests as (
    select
        request_id,
        action,
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type,
        effective_on,
        effective_to
    from {{ source('control', 'freeze_requests') }}
    where effective_on <= {{ payment_date() }}
),

approvals as (
    select request_id
    from {{ source('control', 'freeze_approvals') }}
),

decisions as (
    select requests.*
    from requests
    inner join approvals on requests.request_id = approvals.request_id
),

releases as (
    select
        freeze_id,
        sum(amount_minor) as released_amount_minor
    from decisions
    where action = 'release'
    group by freeze_id
),

compared as (
    select
        coalesce(freezes_before.freeze_id, delivered_freezes.freeze_id) as freeze_id,
        'platform' as source,
        coalesce(freezes_before.account_id, delivered_freezes.account_id) as account_id,
        coalesce(freezes_before.currency_code, delivered_freezes.currency_code) as currency_code,
        -- Of two kinds the one that takes first; a freeze of all sessions stays one of all.
        case
            when {{ freeze_order('freezes_before.freeze_kind') }}
                <= {{ freeze_order('delivered_freezes.freeze_kind') }}
                then freezes_before.freeze_kind
            else coalesce(delivered_freezes.freeze_kind, freezes_before.freeze_kind)
        end as freeze_kind,
        coalesce(delivered_freezes.order_number, freezes_before.order_number) as order_number,
        coalesce(delivered_freezes.issued_by, freezes_before.issued_by) as issued_by,
        case
            when delivered_freezes.freeze_id is null then freezes_before.settlement_session_type
            when freezes_before.freeze_id is null then delivered_freezes.settlement_session_type
            when freezes_before.settlement_session_type
                = delivered_freezes.settlement_session_type
                then delivered_freezes.settlement_session_type
        end as settlement_session_type,
        greatest(freezes_before.ordered_amount_minor, delivered_freezes.amount_minor)
            as ordered_amount_minor,
        coalesce(
            delivered_freezes.released_amount_minor,
            freezes_before.delivered_release_amount_minor
        ) as delivered_release_amount_minor,
        coalesce(delivered_freezes.reason_code, freezes_before.reason_code) as reason_code,
        least(freezes_before.effective_from, delivered_freezes.effective_from) as effective_from,
        case
            when delivered_freezes.freeze_id is null then freezes_before.effective_to
            else delivered_freezes.effective_to
        end as effective_to,
        case
            when freezes_before.freeze_id is null then null
            when delivered_freezes.freeze_id is null then 'missing'
            when freezes_before.account_id is distinct from delivered_freezes.account_id
                or freezes_before.currency_code is distinct from delivered_freezes.currency_code
                then 'another_account'
            when delivered_freezes.amount_minor < freezes_before.ordered_amount_minor
                then 'smaller'
            when delivered_freezes.effective_from > freezes_before.effective_from then 'later'
            when freezes_before.freeze_kind is distinct from delivered_freezes.freeze_kind
                or freezes_before.settlement_session_type
                is distinct from delivered_freezes.settlement_session_type
                then 'another_kind'
        end as difference,
        coalesce(delivered_freezes.snapshot_date, freezes_before.snapshot_date) as snapshot_date
    from delivered_freezes
    full join freezes_before on delivered_freezes.freeze_id = freezes_before.freeze_id
),

registered as (
    select
        freeze_id,
        source,
        account_id,
        currency_code,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type,
        ordered_amount_minor,
        delivered_release_amount_minor,
        reason_code,
        effective_from,
        effective_to,
        difference,
        snapshot_date
    from compared
    union all
    select
        freeze_id,
        'people' as source,
        account_id,
        currency_code,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type,
        amount_minor as ordered_amount_minor,
        0 as delivered_release_amount_minor,
        cast(null as text) as reason_code,
        effective_on as effective_from,
        effective_to,
        cast(null as text) as difference,
        cast(null as date) as snapshot_date
    from decisions
    where action = 'freeze'
),

final as (
    select
        {{ payment_date() }} as payment_date,
        registered.freeze_id,
        registered.account_id,
        registered.currency_code,
        greatest(
            registered.ordered_amount_minor - registered.delivered_release_amount_minor
            - coalesce(releases.released_amount_minor, 0),
            0
        ) as frozen_amount_minor,
        registered.reason_code,
        registered.effective_from,
        registered.effective_to,
        {{ in_force(payment_date()) }} as is_in_force,
        -- What has ended by its own date needs no row any more.
        case
            when registered.effective_to is null or registered.effective_to > {{ payment_date() }}
                then registered.difference
        end as contradiction,
        registered.snapshot_date,
        registered.source,
        registered.freeze_kind,
        registered.order_number,
        registered.issued_by,
        registered.settlement_session_type,
        registered.ordered_amount_minor,
        registered.delivered_release_amount_minor,
        coalesce(releases.released_amount_minor, 0) as decided_release_amount_minor
    from registered
    left join releases on registered.freeze_id = releases.freeze_id
)

select * from final
