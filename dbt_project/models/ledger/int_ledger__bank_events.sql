{{ config(materialized='ephemeral') }}

{#-
    The parts of the bank's lines booked on T, the lines that two people took, and the entries of
    the bank journal that two people made (补录). What is not
    explained of a line is suspense until then; the line of a fee period was booked on what was
    accrued, whatever it took. Amounts are signed as the bank booked them: received +.
-#}
with bank_parts as (
    select
        file_id,
        line_number,
        part,
        bank_account_id,
        currency_code,
        case when unexplained_reason is null then part_kind else 'unclassified' end as line_kind,
        channel,
        arrival_group_id,
        account_id,
        amount_minor
    from {{ ref('int_bank__booked_parts') }}
    where booked_on = {{ accounting_date() }}
),

-- An account that nobody knows has no kind, so no rule, which the contract refuses.
bank_accounts as (
    select
        bank_account_id,
        account_kind
    from {{ ref('bank_accounts') }}
),

decisions as (
    select
        decision_id,
        file_id,
        line_number,
        bank_account_id,
        currency_code,
        case when line_kind = 'period_fee' then 'period_fee_' else '' end || taken_as
            as posting_case,
        channel,
        amount_minor
    from {{ source('control', 'bank_line_decisions') }}
    where effective_on = {{ accounting_date() }}
),

approvals as (
    select decision_id
    from {{ source('control', 'bank_line_approvals') }}
),

entry_requests as (
    select
        request_id,
        request_no,
        bank_account_id,
        currency_code,
        amount_minor,
        booked_as
    from {{ source('control', 'own_money_requests') }}
    where entry_kind = 'manual_entry' and effective_on = {{ accounting_date() }}
),

entry_approvals as (
    select request_id
    from {{ source('control', 'own_money_approvals') }}
),

final as (
    select
        'bank_' || bank_parts.line_kind as event_type,
        bank_accounts.account_kind as posting_case,
        'BANK:' || bank_parts.file_id || ':' || bank_parts.line_number || ':'
        || bank_parts.part as posting_id,
        'BANK-' || bank_parts.file_id || '-' || bank_parts.line_number as voucher_id,
        bank_parts.file_id || ':' || bank_parts.line_number as source_id,
        'file_line' as source_kind,
        bank_parts.channel,
        cast(null as text) as settlement_mode,
        bank_parts.currency_code,
        bank_parts.amount_minor,
        bank_parts.account_id,
        bank_parts.arrival_group_id,
        bank_parts.bank_account_id,
        false as is_catch_up,
        bank_parts.file_id,
        bank_parts.line_number,
        cast(null as text) as decision_id
    from bank_parts
    left join bank_accounts on bank_parts.bank_account_id = bank_accounts.bank_account_id
    union all
    select
        'bank_line_taken' as event_type,
        decisions.posting_case,
        'TAKEN:' || decisions.decision_id as posting_id,
        'TAKEN-' || decisions.decision_id as voucher_id,
        decisions.file_id || ':' || decisions.line_number as source_id,
        'bank_line_decision' as source_kind,
        decisions.channel,
        cast(null as text) as settlement_mode,
        decisions.currency_code,
        decisions.amount_minor,
        cast(null as text) as account_id,
        cast(null as text) as arrival_group_id,
        decisions.bank_account_id,
        false as is_catch_up,
        decisions.file_id,
        decisions.line_number,
        cast(decisions.decision_id as text) as decision_id
    from decisions
    inner join approvals on decisions.decision_id = approvals.decision_id
    union all
    select
        'bank_entry' as event_type,
        entry_requests.booked_as as posting_case,
        'ENTRY:' || entry_requests.request_no as posting_id,
        'ENTRY-' || entry_requests.request_no as voucher_id,
        entry_requests.request_no as source_id,
        'own_money' as source_kind,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        entry_requests.currency_code,
        entry_requests.amount_minor,
        cast(null as text) as account_id,
        cast(null as text) as arrival_group_id,
        entry_requests.bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        cast(entry_requests.request_id as text) as decision_id
    from entry_requests
    inner join entry_approvals on entry_requests.request_id = entry_approvals.request_id
)

select * from final
