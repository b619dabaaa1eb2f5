{{ config(materialized='view', schema='intermediate', tags=['setup']) }}

{#-
    What we expect on our accounts that no channel pays and no payout is: advances by the platform's
    files, transfers between client reserve and own funds, and entries of the bank journal that two
    people made (补录). A line of the bank is explained by one of them (bank_line_parts), and the
    journal expects it (bank_journal). An advance stands here once a snapshot; readers take the
    first. Before an account of own funds has its first statement its advances are not awaited:
    nobody could show their debit (docs/domain.md#own-money-and-client-money).
-#}
with advances as (
    select
        snapshot_date,
        advance_id,
        advanced_on,
        advance_status,
        currency_code,
        amount_minor
    from {{ ref('stg_platform__advances') }}
),

bank_accounts as (
    select
        bank_account_id,
        account_kind,
        currency_code
    from {{ ref('bank_accounts') }}
),

statements as (
    select
        bank_account_id,
        currency_code,
        statement_date
    from {{ ref('stg_bank__statements') }}
),

requests as (
    select
        request_id,
        request_no,
        entry_kind,
        bank_account_id,
        bank_reference,
        currency_code,
        amount_minor,
        effective_on,
        expected_on
    from {{ source('control', 'own_money_requests') }}
),

approvals as (
    select request_id
    from {{ source('control', 'own_money_approvals') }}
),

own_funds as (
    select
        bank_accounts.bank_account_id,
        bank_accounts.currency_code,
        min(statements.statement_date) as first_statement_date
    from bank_accounts
    inner join statements
        on bank_accounts.bank_account_id = statements.bank_account_id
        and bank_accounts.currency_code = statements.currency_code
    where bank_accounts.account_kind = 'own_funds'
    group by bank_accounts.bank_account_id, bank_accounts.currency_code
),

-- One that failed is expected and given back, also where both are told at once.
advance_entries as (
    select
        parts.entry_kind || ':' || advances.advance_id as entry_id,
        parts.entry_kind,
        'advance' as line_kind,
        advances.advance_id as reference_text,
        own_funds.bank_account_id,
        advances.currency_code,
        parts.amount_minor,
        advances.snapshot_date as effective_on,
        parts.expected_on
    from advances
    inner join own_funds
        on advances.currency_code = own_funds.currency_code
        and advances.advanced_on >= own_funds.first_statement_date
    cross join lateral (
        values
        ('advance', -advances.amount_minor, advances.advanced_on, true),
        (
            'advance_failed', advances.amount_minor, advances.snapshot_date,
            advances.advance_status = 'failed'
        )
    ) as parts (entry_kind, amount_minor, expected_on, is_expected)
    where parts.is_expected
),

-- A transfer is expected on both statements: what leaves the one arrives on the other.
transfer_entries as (
    select
        requests.entry_kind || ':' || requests.request_no || ':' || bank_accounts.account_kind
            as entry_id,
        requests.entry_kind,
        requests.entry_kind as line_kind,
        requests.request_no as reference_text,
        bank_accounts.bank_account_id,
        requests.currency_code,
        case
            when (requests.entry_kind = 'fee_sweep')
                = (bank_accounts.account_kind = 'client_reserve')
                then -requests.amount_minor
            else requests.amount_minor
        end as amount_minor,
        requests.effective_on,
        requests.expected_on
    from requests
    inner join approvals on requests.request_id = approvals.request_id
    inner join bank_accounts
        on requests.currency_code = bank_accounts.currency_code
        and bank_accounts.account_kind in ('client_reserve', 'own_funds')
    where requests.entry_kind in ('fee_sweep', 'own_funds_top_up')
),

manual_entries as (
    select
        'manual_entry:' || requests.request_no as entry_id,
        requests.entry_kind,
        requests.entry_kind as line_kind,
        requests.bank_reference as reference_text,
        requests.bank_account_id,
        requests.currency_code,
        requests.amount_minor,
        requests.effective_on,
        requests.expected_on
    from requests
    inner join approvals on requests.request_id = approvals.request_id
    where requests.entry_kind = 'manual_entry'
),

final as (
    select * from advance_entries
    union all
    select * from transfer_entries
    union all
    select * from manual_entries
)

select * from final
