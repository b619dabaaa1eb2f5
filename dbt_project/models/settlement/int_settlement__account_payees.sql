{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    Whom each account is paid to on the payment date, in each currency: one row an account and
    currency that has a payee in force.
-#}
with payees as (
    select
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status,
        effective_from,
        row_number() over (
            partition by payee_id
            order by payee_version desc
        ) as version_order
    from {{ ref('stg_platform__payees') }}
    where snapshot_date = {{ latest_snapshot_before_payment(ref('stg_platform__payees')) }}
        and effective_from <= {{ payment_date() }}
        and (effective_to is null or effective_to > {{ payment_date() }})
),

-- Only the latest version of a payee counts: an older active one must not revive a blocked payee.
account_payees as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version,
        row_number() over (
            partition by account_id, currency_code
            order by effective_from desc, payee_id asc
        ) as payee_order
    from payees
    where version_order = 1 and payee_status = 'active'
),

final as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version
    from account_payees
    where payee_order = 1
)

select * from final
