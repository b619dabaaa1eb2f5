{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    Bank lines that nothing of ours explains (未解释银行流水), from payment date to payment date: a debit
    nobody ordered, a payout debited or returned twice, another amount, a charge or interest beyond
    its sign and limit. A line stays open, and fails every gate, until two people take it, or until
    what explains it has come (docs/domain.md#unexplained-bank-lines). Each line that was open on
    the payment date before has its row.
-#}
with seen_parts as (
    select
        file_id,
        line_number,
        part,
        booked_on,
        statement_date,
        bank_account_id,
        currency_code,
        line_kind,
        channel,
        amount_minor,
        unexplained_reason
    from {{ ref('int_bank__seen_parts') }}
),

match_lines as (
    select
        match_id,
        side,
        item_date,
        file_id,
        line_number,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }} and is_open and item_kind = 'period_fee'
),

taken_lines as (
    select
        decision_id,
        file_id,
        line_number,
        taken_as,
        effective_on
    from {{ ref('int_bank__taken_lines') }}
),

open_before as (
    select
        file_id,
        line_number,
        booked_on,
        statement_date,
        bank_account_id,
        currency_code,
        line_kind,
        channel,
        amount_minor,
        unexplained_amount_minor,
        reason,
        opened_on
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and status = 'open'
),

-- The reason of the largest part stands for the line.
unexplained_parts as (
    select
        file_id,
        line_number,
        sum(amount_minor) as unexplained_amount_minor,
        (
            array_agg(unexplained_reason order by abs(amount_minor) desc, part)
        )[1] as reason
    from seen_parts
    where unexplained_reason is not null
    group by file_id, line_number
),

lines as (
    select
        file_id,
        line_number,
        booked_on,
        statement_date,
        bank_account_id,
        currency_code,
        line_kind,
        min(channel) as channel,
        sum(amount_minor) as amount_minor
    from seen_parts
    group by
        file_id, line_number, booked_on, statement_date, bank_account_id, currency_code, line_kind
),

-- Of a fee period's lines that take more than was owed, the last one is asked about.
period_fees as (
    select
        match_lines.*,
        sum(case side when 'bank' then amount_minor else -amount_minor end) over (
            partition by match_id
        ) as variance_minor,
        row_number() over (
            partition by match_id, side
            order by item_date desc, file_id desc, line_number desc
        ) as line_order
    from match_lines
),

found as (
    select
        lines.*,
        unexplained_parts.unexplained_amount_minor,
        unexplained_parts.reason
    from lines
    inner join unexplained_parts
        on lines.file_id = unexplained_parts.file_id
        and lines.line_number = unexplained_parts.line_number
    union all
    select
        lines.*,
        period_fees.variance_minor as unexplained_amount_minor,
        'another_amount' as reason
    from lines
    inner join period_fees
        on lines.file_id = period_fees.file_id
        and lines.line_number = period_fees.line_number
    where period_fees.side = 'bank'
        and period_fees.line_order = 1
        and period_fees.variance_minor < 0
),

-- A line of more than 62 days ago is not judged again: it stays as it was.
all_lines as (
    select
        found.*,
        coalesce(open_before.opened_on, {{ payment_date() }}) as opened_on,
        open_before.file_id is null as is_new,
        true as is_unexplained
    from found
    left join open_before
        on found.file_id = open_before.file_id
        and found.line_number = open_before.line_number
    union all
    select
        open_before.file_id,
        open_before.line_number,
        open_before.booked_on,
        open_before.statement_date,
        open_before.bank_account_id,
        open_before.currency_code,
        open_before.line_kind,
        open_before.channel,
        open_before.amount_minor,
        open_before.unexplained_amount_minor,
        open_before.reason,
        open_before.opened_on,
        false as is_new,
        open_before.booked_on <= {{ payment_date() }} - 62 as is_unexplained
    from open_before
    left join found
        on open_before.file_id = found.file_id
        and open_before.line_number = found.line_number
    where found.file_id is null
),

final as (
    select
        {{ payment_date() }} as payment_date,
        all_lines.file_id,
        all_lines.line_number,
        all_lines.booked_on,
        all_lines.statement_date,
        all_lines.bank_account_id,
        all_lines.currency_code,
        all_lines.line_kind,
        all_lines.channel,
        all_lines.amount_minor,
        all_lines.unexplained_amount_minor,
        all_lines.reason,
        all_lines.opened_on,
        {{ payment_date() }} - all_lines.opened_on as age_days,
        all_lines.is_new,
        case
            when taken_lines.decision_id is not null then 'taken'
            when all_lines.is_unexplained then 'open'
            else 'explained'
        end as status,
        taken_lines.decision_id,
        taken_lines.taken_as
    from all_lines
    left join taken_lines
        on all_lines.file_id = taken_lines.file_id
        and all_lines.line_number = taken_lines.line_number
    -- What was taken on an earlier date stands there.
    where
        taken_lines.decision_id is null
        or not all_lines.is_new
        or taken_lines.effective_on > {{ previous_payment_date() }}
)

select * from final
