{{ config(materialized='ephemeral') }}

{#-
    An advance is booked on the date whose file first tells of it, also when that is late; a
    statement of T nets it with its fee. Its money is on the way until the statement of own funds
    shows the debit; before that account has statements it is booked from it at once. One that
    failed is booked back on the date whose file says so, or, where it was netted before, with the
    statement that gives it back. What was advanced before go-live stands in the opening balances.
-#}
with delivered_advances as (
    select
        advance_id,
        account_id,
        advanced_on,
        advance_status,
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

told_as_failed_before as (
    select distinct advance_id
    from {{ ref('stg_platform__advances') }}
    where
        advance_status = 'failed'
        and snapshot_date >= {{ days_back(accounting_date()) }}
        and snapshot_date < {{ accounting_date() }}
),

netted_advances as (
    select
        payment_date,
        advance_id,
        snapshot_date,
        principal_amount_minor
    from {{ ref('advances') }}
    where payment_date <= {{ accounting_date() }}
),

told_advances as (
    select
        snapshot_date,
        advance_id,
        account_id,
        advanced_on,
        currency_code,
        file_id,
        line_number
    from {{ ref('stg_platform__advances') }}
    where snapshot_date >= {{ days_back(accounting_date()) }}
        and snapshot_date <= {{ accounting_date() }}
),

statements as (
    select
        bank_account_id,
        currency_code,
        min(statement_date) as first_statement_date
    from {{ ref('stg_bank__statements') }}
    where booked_on <= {{ accounting_date() }}
    group by bank_account_id, currency_code
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

bank_accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
    where account_kind = 'own_funds'
),

own_funds_accounts as (
    select
        bank_accounts.bank_account_id,
        bank_accounts.currency_code,
        statements.first_statement_date
    from bank_accounts
    left join statements
        on bank_accounts.bank_account_id = statements.bank_account_id
        and bank_accounts.currency_code = statements.currency_code
),

events as (
    select
        'advance_paid' as event_type,
        'paid' as part,
        delivered_advances.advance_id as source_id,
        delivered_advances.account_id,
        delivered_advances.currency_code,
        delivered_advances.amount_minor,
        delivered_advances.advanced_on,
        delivered_advances.file_id,
        delivered_advances.line_number
    from delivered_advances
    left join told_before on delivered_advances.advance_id = told_before.advance_id
    where told_before.advance_id is null
    union all
    select
        'advance_failed' as event_type,
        'failed' as part,
        delivered_advances.advance_id as source_id,
        delivered_advances.account_id,
        delivered_advances.currency_code,
        delivered_advances.amount_minor,
        delivered_advances.advanced_on,
        delivered_advances.file_id,
        delivered_advances.line_number
    from delivered_advances
    left join told_as_failed_before
        on delivered_advances.advance_id = told_as_failed_before.advance_id
    where delivered_advances.advance_status = 'failed'
        and told_as_failed_before.advance_id is null
        and not exists (
            select 1
            from netted_advances
            where netted_advances.advance_id = delivered_advances.advance_id
        )
    union all
    select
        'advance_failed' as event_type,
        'failed' as part,
        told_advances.advance_id as source_id,
        told_advances.account_id,
        told_advances.currency_code,
        -netted_advances.principal_amount_minor as amount_minor,
        told_advances.advanced_on,
        told_advances.file_id,
        told_advances.line_number
    from netted_advances
    inner join told_advances
        on netted_advances.advance_id = told_advances.advance_id
        and netted_advances.snapshot_date = told_advances.snapshot_date
    where netted_advances.payment_date = {{ accounting_date() }}
        and netted_advances.principal_amount_minor < 0
    union all
    select
        parts.event_type,
        parts.part,
        settled_statements.statement_id as source_id,
        settled_statements.account_id,
        settled_statements.currency_code,
        parts.amount_minor,
        cast(null as date) as advanced_on,
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
        case
            when events.event_type not in ('advance_paid', 'advance_failed') then 'netted'
            when events.advanced_on >= own_funds_accounts.first_statement_date then 'awaited'
            else 'paid'
        end as posting_case,
        'ADV:' || events.source_id || ':' || events.part as posting_id,
        'ADV-' || events.source_id as voucher_id,
        events.source_id,
        case
            when events.event_type in ('advance_paid', 'advance_failed') then 'file_line'
            else 'statement'
        end as source_kind,
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
