{{ config(materialized='ephemeral') }}

{#-
    An advance is booked on the date whose file first tells of it, also when that is late, from the
    own-funds account of its currency; a statement of T nets it with its fee. What was advanced
    before go-live stands in the opening balances.
-#}
with delivered_advances as (
    select
        advance_id,
        account_id,
        currency_code,
        amount_minor,
        file_id,
        line_number
    from {{ ref('stg_platform__advances') }}
    where
        snapshot_date = {{ accounting_date() }}
        and for_accounting_date >= (
            select min(accounting_days.accounting_date)
            from {{ source('control', 'accounting_days') }} as accounting_days
        )
),

told_before as (
    select advance_id
    from {{ ref('stg_platform__advances') }}
    where snapshot_date >= {{ days_back(accounting_date()) }}
        and snapshot_date < {{ accounting_date() }}
    union
    -- One that was netted was booked before, however long ago: told of again, it is no other.
    select advance_id
    from {{ ref('advances') }}
    where payment_date <= {{ accounting_date() }}
),

settled_statements as (
    select
        statement_id,
        account_id,
        currency_code,
        advance_amount_minor,
        advance_fee_amount_minor
    from {{ ref('settlement_statements') }}
    where
        payment_date = {{ accounting_date() }}
        and (advance_amount_minor <> 0 or advance_fee_amount_minor <> 0)
),

own_funds_accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
    where account_kind = 'own_funds'
),

events as (
    select
        'advance_paid' as event_type,
        'paid' as part,
        delivered_advances.advance_id as source_id,
        delivered_advances.account_id,
        delivered_advances.currency_code,
        delivered_advances.amount_minor,
        delivered_advances.file_id,
        delivered_advances.line_number
    from delivered_advances
    left join told_before on delivered_advances.advance_id = told_before.advance_id
    where told_before.advance_id is null
    union all
    select
        parts.event_type,
        parts.part,
        settled_statements.statement_id as source_id,
        settled_statements.account_id,
        settled_statements.currency_code,
        parts.amount_minor,
        cast(null as text) as file_id,
        cast(null as integer) as line_number
    from settled_statements
    cross join lateral (
        values
        (
            'advance_settled',
            'settled',
            settled_statements.advance_amount_minor - settled_statements.advance_fee_amount_minor
        ),
        ('advance_fee', 'fee', settled_statements.advance_fee_amount_minor)
    ) as parts (event_type, part, amount_minor)
),

final as (
    select
        events.event_type,
        case events.event_type when 'advance_paid' then 'paid' else 'netted' end as posting_case,
        'ADV:' || events.source_id || ':' || events.part as posting_id,
        'ADV-' || events.source_id as voucher_id,
        events.source_id,
        case events.event_type when 'advance_paid' then 'file_line' else 'statement' end
            as source_kind,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        events.currency_code,
        events.amount_minor,
        events.account_id,
        cast(null as text) as arrival_group_id,
        own_funds_accounts.bank_account_id,
        false as is_catch_up,
        events.file_id,
        events.line_number,
        cast(null as text) as decision_id
    from events
    left join own_funds_accounts on events.currency_code = own_funds_accounts.currency_code
)

select * from final
