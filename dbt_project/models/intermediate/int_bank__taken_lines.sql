{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment', 'outcomes']
) }}

{#- Bank lines that two people have taken, by the payment date (已认领银行流水). -#}
with decisions as (
    select
        decision_id,
        file_id,
        line_number,
        amount_minor,
        taken_as,
        effective_on
    from {{ source('control', 'bank_line_decisions') }}
    where effective_on <= {{ payment_date() }}
),

approvals as (
    select decision_id
    from {{ source('control', 'bank_line_approvals') }}
),

final as (
    select
        decisions.decision_id,
        decisions.file_id,
        decisions.line_number,
        decisions.amount_minor,
        decisions.taken_as,
        decisions.effective_on
    from decisions
    inner join approvals on decisions.decision_id = approvals.decision_id
)

select * from final
