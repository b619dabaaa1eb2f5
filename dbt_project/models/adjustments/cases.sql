{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Every dispute of the last year as it stands after T, one row an original: how far it went, what
    comes next, by when, and what the channel has taken for it. A function of the events up to T.
    docs/domain.md#adjustments-as-cases
-#}
with events as (
    select
        accounting_date,
        event_id,
        case_id,
        event_kind,
        channel,
        currency_code,
        original_voucher_id,
        original_accounting_date,
        merchant_id,
        account_id,
        sale_amount_minor,
        record_id,
        taken_amount_minor,
        reason_code,
        due_on,
        decision_id,
        row_number() over (
            partition by case_id
            order by
                accounting_date, decision_id nulls first, file_id, line_number, event_id
        ) as place
    from {{ ref('case_events') }}
    where accounting_date between {{ accounting_date() }} - 360 and {{ accounting_date() }}
),

sums as (
    select
        case_id,
        min(channel) as channel,
        min(currency_code) as currency_code,
        min(original_voucher_id) as original_voucher_id,
        min(original_accounting_date) as original_accounting_date,
        min(merchant_id) as merchant_id,
        min(account_id) as account_id,
        min(sale_amount_minor) as sale_amount_minor,
        min(accounting_date) as opened_on,
        max(accounting_date) as last_event_on,
        max(place) filter (where event_kind in ('retrieval_request', 'inquiry')) as request_place,
        max(place) filter (where event_kind in ('retrieval_fulfilment', 'inquiry_reply'))
            as reply_place,
        max(place) filter (where event_kind = 'first_chargeback') as chargeback_place,
        max(place) filter (where event_kind = 'representment') as representment_place,
        max(place) filter (where event_kind = 'second_chargeback') as second_place,
        coalesce(sum(taken_amount_minor) filter (where event_kind = 'first_chargeback'), 0)
            as charged_back_minor,
        coalesce(-sum(taken_amount_minor) filter (where event_kind = 'representment'), 0)
            as represented_minor,
        coalesce(sum(taken_amount_minor) filter (where event_kind = 'second_chargeback'), 0)
            as charged_again_minor
    from events
    group by case_id
),

-- At most one decision of a record is not refused: the owner's function sees to it.
decided as (
    select
        case_id,
        record_id,
        count(*) filter (where event_kind in ('answer_decided', 'representment_ordered'))
        - count(*) filter (where event_kind = 'order_refused') > 0 as is_ordered,
        count(*) filter (where event_kind = 'accepted') > 0 as is_accepted,
        max(decision_id) as decision_id,
        max(accounting_date) as decided_on
    from events
    where decision_id is not null
    group by case_id, record_id
),

staged as (
    select
        sums.*,
        case
            when second_place is not null then 'second_chargeback'
            when representment_place > coalesce(chargeback_place, 0) then 'representment'
            when chargeback_place is not null then 'first_chargeback'
            else 'request'
        end as stage,
        coalesce(
            second_place, greatest(chargeback_place, representment_place), request_place,
            reply_place
        ) as status_place
    from sums
),

stated as (
    select
        staged.*,
        status_events.record_id as status_record_id,
        status_events.reason_code,
        status_events.due_on as status_due_on,
        coalesce(status_decisions.is_ordered, false) as is_ordered,
        coalesce(status_decisions.is_accepted, false) as is_accepted,
        status_decisions.decision_id,
        status_decisions.decided_on,
        request_events.record_id as request_record_id,
        request_events.due_on as request_due_on,
        request_events.record_id is not null
        and staged.request_place > coalesce(staged.reply_place, 0)
        and not coalesce(request_decisions.is_ordered, false)
        and not coalesce(request_decisions.is_accepted, false) as is_request_open
    from staged
    left join events as status_events
        on staged.case_id = status_events.case_id and staged.status_place = status_events.place
    left join decided as status_decisions
        on staged.case_id = status_decisions.case_id
        and status_events.record_id = status_decisions.record_id
    left join events as request_events
        on staged.case_id = request_events.case_id and staged.request_place = request_events.place
    left join decided as request_decisions
        on staged.case_id = request_decisions.case_id
        and request_events.record_id = request_decisions.record_id
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        case_id,
        channel,
        currency_code,
        original_voucher_id,
        original_accounting_date,
        merchant_id,
        account_id,
        sale_amount_minor,
        opened_on,
        {{ accounting_date() }} - opened_on as age_days,
        stage,
        case
            when stage = 'second_chargeback' then 'final'
            when stage = 'representment' and status_due_on <= {{ accounting_date() }} then 'won'
            when stage = 'representment' then 'represented'
            when is_accepted then 'accepted'
            when stage = 'first_chargeback' and is_ordered then 'ordered'
            when stage = 'first_chargeback' and status_due_on <= {{ accounting_date() }}
                then 'lapsed'
            when stage = 'first_chargeback' then 'charged_back'
            when not is_request_open then 'answered'
            when request_due_on <= {{ accounting_date() }} then 'overdue'
            else 'requested'
        end as status,
        reason_code,
        status_record_id,
        case when stage not in ('second_chargeback', 'request') then status_due_on end as due_on,
        is_request_open,
        request_record_id,
        request_due_on,
        charged_back_minor,
        represented_minor,
        charged_again_minor,
        charged_back_minor - represented_minor + charged_again_minor as disputed_minor,
        decision_id,
        decided_on,
        last_event_on
    from stated
)

select * from final
