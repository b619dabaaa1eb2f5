{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    What happened to disputes (案件) on T: the channel's records of requests, chargebacks and
    representments, and what two people decided. One case for each original; a record that names no
    sale of ours is a case of its own. docs/domain.md#adjustments-as-cases
-#}
with adjustments as (
    select
        accounting_date,
        adjustment_id,
        channel,
        adjustment_type,
        currency_code,
        funds_effect_minor,
        reason_code,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        retrieval_reference_number,
        file_id,
        line_number
    from {{ ref('int_channels__adjustments') }}
    where
        accounting_date = {{ accounting_date() }}
        and adjustment_type in (
            'retrieval_request', 'retrieval_fulfilment', 'inquiry', 'inquiry_reply',
            'first_chargeback', 'representment', 'second_chargeback'
        )
),

channel_adjustments as (
    select
        adjustment_id,
        disposition,
        reply_due_on
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

originals as (
    select
        adjustment_id,
        original_voucher_id,
        original_accounting_date,
        original_merchant_id,
        original_account_id,
        sale_amount_minor
    from {{ ref('int_adjustments__originals') }}
),

decisions as (
    select
        decision_id,
        decision_kind,
        case_id,
        channel,
        currency_code,
        amount_minor,
        record_id,
        evidence_sha256,
        effective_on,
        requested_by
    from {{ source('control', 'case_decisions') }}
    where effective_on = {{ accounting_date() }}
),

approvals as (
    select
        decision_id,
        approved_by
    from {{ source('control', 'case_approvals') }}
),

records as (
    select
        'A:' || adjustments.adjustment_id as event_id,
        coalesce(
            'CV:' || originals.original_voucher_id, 'CA:' || adjustments.adjustment_id
        ) as case_id,
        adjustments.adjustment_type as event_kind,
        adjustments.channel,
        adjustments.currency_code,
        originals.original_voucher_id,
        originals.original_accounting_date,
        originals.original_merchant_id as merchant_id,
        originals.original_account_id as account_id,
        originals.sale_amount_minor,
        adjustments.adjustment_id as record_id,
        -adjustments.funds_effect_minor as taken_amount_minor,
        channel_adjustments.disposition,
        adjustments.reason_code,
        channel_adjustments.reply_due_on as due_on,
        cast(null as text) as evidence_sha256,
        cast(null as bigint) as decision_id,
        cast(null as text) as approvers,
        adjustments.acquiring_institution_id,
        adjustments.forwarding_institution_id,
        adjustments.trace_number,
        adjustments.transmission_time,
        adjustments.retrieval_reference_number,
        adjustments.file_id,
        adjustments.line_number
    from adjustments
    inner join channel_adjustments
        on adjustments.adjustment_id = channel_adjustments.adjustment_id
    left join originals on adjustments.adjustment_id = originals.adjustment_id
),

decided as (
    select
        'D:' || decisions.decision_id as event_id,
        decisions.case_id,
        case decisions.decision_kind
            when 'answer' then 'answer_decided'
            when 'represent' then 'representment_ordered'
            when 'accept' then 'accepted'
            when 'refused' then 'order_refused'
        end as event_kind,
        decisions.channel,
        decisions.currency_code,
        cast(null as text) as original_voucher_id,
        cast(null as date) as original_accounting_date,
        cast(null as text) as merchant_id,
        cast(null as text) as account_id,
        cast(null as bigint) as sale_amount_minor,
        decisions.record_id,
        cast(0 as bigint) as taken_amount_minor,
        cast(null as text) as disposition,
        cast(null as text) as reason_code,
        cast(null as date) as due_on,
        decisions.evidence_sha256,
        decisions.decision_id,
        decisions.requested_by || ', ' || approvals.approved_by as approvers,
        cast(null as text) as acquiring_institution_id,
        cast(null as text) as forwarding_institution_id,
        cast(null as text) as trace_number,
        cast(null as text) as transmission_time,
        cast(null as text) as retrieval_reference_number,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from decisions
    inner join approvals on decisions.decision_id = approvals.decision_id
),

events as (
    select * from records
    union all
    select * from decided
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        events.*
    from events
)

select * from final
