{{ config(materialized='public_view', tags=['views']) }}

{#-
    The lines of each voucher (会计凭证分录), as a finance system takes them: direction, subject code,
    amount, and where it comes from. Nothing is stored; a filter on the date reads that date.
-#}
with vouchers as (
    select
        accounting_date,
        voucher_no,
        voucher_kind,
        voucher_id,
        currency_code,
        transaction_type
    from {{ ref('vouchers') }}
),

postings as (
    select
        accounting_date,
        posting_id,
        voucher_id,
        event_type,
        rule,
        source_id,
        source_kind,
        file_id,
        line_number,
        decision_id,
        channel,
        currency_code,
        amount_minor,
        debit_account,
        debit_subledger,
        debit_subledger_id,
        credit_account,
        credit_subledger,
        credit_subledger_id
    from {{ ref('postings') }}
),

chart_of_accounts as (
    select
        ledger_account,
        subject_code
    from {{ ref('chart_of_accounts') }}
),

legs as (
    select
        postings.*,
        {{ voucher_kind('postings.event_type') }} as voucher_kind,
        sides.direction,
        sides.ledger_account,
        sides.subledger,
        sides.subledger_id
    from postings
    cross join lateral (
        values
        (
            'debit', postings.debit_account, postings.debit_subledger, postings.debit_subledger_id
        ),
        (
            'credit', postings.credit_account, postings.credit_subledger,
            postings.credit_subledger_id
        )
    ) as sides (direction, ledger_account, subledger, subledger_id)
),

final as (
    select
        legs.accounting_date,
        vouchers.voucher_no,
        legs.posting_id || case legs.direction when 'debit' then ':D' else ':C' end as entry_id,
        vouchers.voucher_kind,
        vouchers.voucher_id,
        legs.event_type,
        vouchers.transaction_type,
        legs.rule,
        legs.direction,
        chart_of_accounts.subject_code,
        legs.ledger_account,
        legs.subledger,
        legs.subledger_id,
        legs.channel,
        legs.currency_code,
        legs.amount_minor,
        legs.source_kind,
        legs.source_id,
        legs.file_id,
        legs.line_number,
        legs.decision_id
    from legs
    left join vouchers
        on legs.accounting_date = vouchers.accounting_date
        and legs.voucher_kind = vouchers.voucher_kind
        and legs.voucher_id = vouchers.voucher_id
        and legs.currency_code = vouchers.currency_code
    left join chart_of_accounts on legs.ledger_account = chart_of_accounts.ledger_account
)

select * from final
