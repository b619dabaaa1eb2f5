{{ config(materialized='public_view', tags=['views']) }}

{#-
    Double entry: each posting as its two legs, a debit and a credit of one amount. Nothing is
    stored; a filter on the date reads that date's partition of ledger.postings, twice. A model
    that needs many postings reads them there, once.
-#}
with debits as (
    select
        accounting_date,
        posting_id || ':D' as entry_id,
        voucher_id,
        event_type,
        source_id,
        channel,
        settlement_mode,
        currency_code,
        debit_account as ledger_account,
        debit_subledger_id as subledger_id,
        case debit_subledger when 'account' then debit_subledger_id end as account_id,
        case debit_subledger when 'arrival_group' then debit_subledger_id end as arrival_group_id,
        'debit' as direction,
        amount_minor,
        is_catch_up,
        file_id,
        line_number
    from {{ ref('postings') }}
),

credits as (
    select
        accounting_date,
        posting_id || ':C' as entry_id,
        voucher_id,
        event_type,
        source_id,
        channel,
        settlement_mode,
        currency_code,
        credit_account as ledger_account,
        credit_subledger_id as subledger_id,
        case credit_subledger when 'account' then credit_subledger_id end as account_id,
        case credit_subledger when 'arrival_group' then credit_subledger_id end as arrival_group_id,
        'credit' as direction,
        amount_minor,
        is_catch_up,
        file_id,
        line_number
    from {{ ref('postings') }}
),

final as (
    select * from debits
    union all
    select * from credits
)

select * from final
