{{ config(materialized='view', schema='intermediate', tags=['views']) }}

{#-
    The payee versions of each accounting date's snapshot, without those two people rejected.
    Whether one may be paid says `confirmation`: while it is waiting, it may not.
-#}
with payee_terms as (
    select
        accounting_date,
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status,
        effective_from,
        effective_to,
        confirmation,
        changed_on,
        change_id
    from {{ ref('payee_terms') }}
    where is_in_force
),

final as (
    select
        accounting_date as snapshot_date,
        payee_id,
        payee_version,
        account_id,
        currency_code,
        payee_status,
        effective_from,
        effective_to,
        confirmation,
        changed_on,
        change_id
    from payee_terms
)

select * from final
