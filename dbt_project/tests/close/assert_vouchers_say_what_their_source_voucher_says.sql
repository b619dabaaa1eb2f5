-- A transaction's voucher (会计凭证) says what its source voucher (原始凭证) says: account, currency,
-- amount, transaction type, and the direction in which that type moves what we owe the merchant. It
-- is read from the landed rows, so that a wrong turn between landing and ledger shows.
{{ config(tags=['close']) }}

with vouchers as (
    select
        voucher_no,
        source_voucher_id,
        voucher_id,
        currency_code,
        transaction_type
    from {{ ref('vouchers') }}
    where accounting_date = {{ accounting_date() }} and voucher_kind = 'transaction'
),

postings as (
    select
        voucher_id,
        source_id,
        currency_code,
        amount_minor,
        debit_account,
        debit_subledger_id,
        credit_account,
        credit_subledger_id
    from {{ ref('postings') }}
    where accounting_date = {{ accounting_date() }} and event_type = 'transaction'
),

source_vouchers as (
    select
        voucher_id,
        account_id,
        currency_code,
        amount_minor,
        transaction_type
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

transaction_types as (
    select
        transaction_type,
        amount_sign
    from {{ ref('transaction_types') }}
)

select
    vouchers.voucher_no,
    vouchers.source_voucher_id,
    source_vouchers.transaction_type,
    postings.amount_minor,
    postings.debit_account,
    postings.credit_account
from vouchers
left join source_vouchers on vouchers.source_voucher_id = source_vouchers.voucher_id
left join transaction_types
    on source_vouchers.transaction_type = transaction_types.transaction_type
left join postings
    on vouchers.source_voucher_id = postings.source_id
    and vouchers.voucher_id = postings.voucher_id
where source_vouchers.transaction_type is distinct from vouchers.transaction_type
    or source_vouchers.currency_code is distinct from vouchers.currency_code
    or (
        source_vouchers.amount_minor <> 0
        and (
            postings.currency_code is distinct from source_vouchers.currency_code
            or postings.amount_minor * transaction_types.amount_sign
            is distinct from source_vouchers.amount_minor
            or case transaction_types.amount_sign
                when 1 then postings.credit_account else postings.debit_account
            end is distinct from 'merchant_payable'
            or case transaction_types.amount_sign
                when 1 then postings.credit_subledger_id else postings.debit_subledger_id
            end is distinct from source_vouchers.account_id
        )
    )
order by vouchers.source_voucher_id
