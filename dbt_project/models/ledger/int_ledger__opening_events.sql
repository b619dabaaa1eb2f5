{{ config(materialized='ephemeral') }}

{#-
    The balances at go-live, each against the account of opening balances, which they leave at zero:
    landing refuses a file that does not balance. What subdivides the balance's own account says
    what the file's sub-ledger id names.
-#}
with opening_balances as (
    select
        ledger_account,
        subledger_id,
        currency_code,
        balance_minor,
        file_id,
        line_number
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date = {{ accounting_date() }}
),

chart_of_accounts as (
    select
        ledger_account,
        subledger
    from {{ ref('chart_of_accounts') }}
),

final as (
    select
        'opening_balance' as event_type,
        opening_balances.ledger_account as posting_case,
        'OPEN:' || opening_balances.ledger_account || ':' || opening_balances.subledger_id || ':'
        || opening_balances.currency_code as posting_id,
        'OPENING' as voucher_id,
        opening_balances.ledger_account as source_id,
        'file_line' as source_kind,
        case chart_of_accounts.subledger when 'channel' then opening_balances.subledger_id end
            as channel,
        cast(null as text) as settlement_mode,
        opening_balances.currency_code,
        opening_balances.balance_minor as amount_minor,
        case chart_of_accounts.subledger when 'account' then opening_balances.subledger_id end
            as account_id,
        case chart_of_accounts.subledger
            when 'arrival_group' then opening_balances.subledger_id
        end as arrival_group_id,
        case chart_of_accounts.subledger when 'bank_account' then opening_balances.subledger_id end
            as bank_account_id,
        false as is_catch_up,
        opening_balances.file_id,
        opening_balances.line_number,
        cast(null as text) as decision_id
    from opening_balances
    left join chart_of_accounts
        on opening_balances.ledger_account = chart_of_accounts.ledger_account
)

select * from final
