{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    One row a posting: an event of T, its amount, the account it debits and the account it credits.
    The models int_ledger__… say what happened and how much; reference.posting_rules says which
    accounts, and the chart of accounts which of the event's dimensions fills their sub-ledgers. An
    amount below zero swaps the two sides. So an event balances by its form, and what can still be
    wrong (an event forgotten, or booked twice) is what the control accounts show: the channel
    receivable of an arrival group ends at zero when its money has come.
-#}
{%- set families = [
    'voucher', 'conversion', 'channel_term', 'suspense', 'adjustment', 'decided_adjustment',
    'applied_adjustment', 'item_action', 'adjustment_fee', 'charge', 'transfer', 'bank', 'payout',
    'fee_bill', 'advance', 'opening',
] %}
with events as (
    {%- for family in families %}
    select
        event_type,
        posting_case,
        posting_id,
        voucher_id,
        source_id,
        source_kind,
        channel,
        settlement_mode,
        currency_code,
        amount_minor,
        account_id,
        arrival_group_id,
        bank_account_id,
        is_catch_up,
        file_id,
        line_number,
        decision_id
    from {{ ref('int_ledger__' ~ family ~ '_events') }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

posting_rules as (
    select
        rule,
        event_type,
        posting_case,
        debit_account,
        credit_account
    from {{ ref('posting_rules') }}
    where is_used
),

debit_chart as (
    select
        ledger_account,
        subledger
    from {{ ref('chart_of_accounts') }}
),

credit_chart as (
    select
        ledger_account,
        subledger
    from {{ ref('chart_of_accounts') }}
),

-- An event that moves nothing books nothing. One that no rule names keeps NULL accounts, which the
-- contract refuses.
sided_events as (
    select
        events.*,
        posting_rules.rule,
        case when events.amount_minor > 0 then posting_rules.debit_account
            else posting_rules.credit_account
        end as debit_account,
        case when events.amount_minor > 0 then posting_rules.credit_account
            else posting_rules.debit_account
        end as credit_account
    from events
    left join posting_rules
        on events.event_type = posting_rules.event_type
        and events.posting_case = posting_rules.posting_case
    where events.amount_minor <> 0
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        sided_events.posting_id,
        sided_events.event_type,
        sided_events.rule,
        sided_events.voucher_id,
        sided_events.source_id,
        sided_events.source_kind,
        sided_events.file_id,
        sided_events.line_number,
        sided_events.decision_id,
        sided_events.channel,
        sided_events.settlement_mode,
        sided_events.currency_code,
        abs(sided_events.amount_minor) as amount_minor,
        sided_events.debit_account,
        debit_chart.subledger as debit_subledger,
        {{ subledger_id('debit_chart.subledger', 'sided_events') }} as debit_subledger_id,
        sided_events.credit_account,
        credit_chart.subledger as credit_subledger,
        {{ subledger_id('credit_chart.subledger', 'sided_events') }} as credit_subledger_id,
        sided_events.account_id,
        sided_events.arrival_group_id,
        sided_events.bank_account_id,
        sided_events.is_catch_up
    from sided_events
    left join debit_chart on sided_events.debit_account = debit_chart.ledger_account
    left join credit_chart on sided_events.credit_account = credit_chart.ledger_account
)

select * from final
