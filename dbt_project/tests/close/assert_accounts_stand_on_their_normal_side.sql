-- An account whose balance business never turns stands on its normal side (余额方向), and one that only
-- passes balances on ends at zero. A payout in transit that is owed by the bank, or an advance that
-- the merchant is owed, is a posting to the wrong account, a posting twice or one that is missing.
{{ config(tags=['close']) }}

select
    balances.ledger_account,
    balances.subledger_id,
    balances.currency_code,
    chart.normal_balance,
    balances.closing_amount_minor
from {{ ref('account_balances') }} as balances
inner join {{ ref('chart_of_accounts') }} as chart
    on balances.ledger_account = chart.ledger_account
where
    balances.accounting_date = {{ accounting_date() }}
    and chart.is_side_checked
    and case chart.normal_balance
        when 'debit' then balances.closing_amount_minor < 0
        when 'credit' then balances.closing_amount_minor > 0
        else balances.closing_amount_minor <> 0
    end
