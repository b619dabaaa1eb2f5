-- What a transaction books is what its source voucher (原始凭证) says: account, currency, amount, and
-- the direction in which its transaction type moves what we owe the merchant; and nothing else
-- stands in its accounting voucher. A return that two people take back moves it the other way. It
-- is read from the landed rows, so that a wrong turn between landing and ledger shows.
{{ config(tags=['close']) }}

with accounting_vouchers as (
    select
        accounting_voucher_id,
        source_voucher_id
    from {{ ref('accounting_vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

postings as (
    select
        posting_id,
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

late_conversions as (
    select
        voucher_id,
        voucher_date
    from {{ ref('currency_conversions') }}
    where accounting_date = {{ accounting_date() }}
        and voucher_date < {{ accounting_date() }}
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
    union all
    select
        landed.voucher_id,
        landed.account_id,
        landed.currency_code,
        landed.amount_minor,
        landed.transaction_type
    from {{ ref('stg_platform__source_vouchers') }} as landed
    inner join late_conversions
        on landed.voucher_id = late_conversions.voucher_id
        and landed.accounting_date = late_conversions.voucher_date
    where landed.accounting_date >= {{ days_back(accounting_date()) }}
        and landed.accounting_date < {{ accounting_date() }}
),

transaction_types as (
    select
        transaction_type,
        amount_sign
    from {{ ref('transaction_types') }}
),

taken_back as (
    select
        correcting_voucher_id,
        amount_minor
    from {{ source('control', 'restatement_bookings') }}
    where kind = 'return_less'
),

directed as (
    select
        source_vouchers.voucher_id,
        source_vouchers.account_id,
        source_vouchers.currency_code,
        source_vouchers.amount_minor,
        source_vouchers.transaction_type,
        case
            when taken_back.correcting_voucher_id is null then transaction_types.amount_sign
            else -transaction_types.amount_sign
        end as amount_sign
    from source_vouchers
    left join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join taken_back
        on source_vouchers.voucher_id = taken_back.correcting_voucher_id
        and source_vouchers.amount_minor = taken_back.amount_minor
)

select
    postings.posting_id,
    postings.source_id,
    directed.transaction_type,
    postings.amount_minor,
    postings.debit_account,
    postings.credit_account
from postings
left join directed on postings.source_id = directed.voucher_id
left join accounting_vouchers on postings.source_id = accounting_vouchers.source_voucher_id
where postings.voucher_id is distinct from accounting_vouchers.accounting_voucher_id
    or postings.currency_code is distinct from directed.currency_code
    or postings.amount_minor * directed.amount_sign
    is distinct from directed.amount_minor
    or case directed.amount_sign
        when 1 then postings.credit_account else postings.debit_account
    end is distinct from 'merchant_payable'
    or case directed.amount_sign
        when 1 then postings.credit_subledger_id else postings.debit_subledger_id
    end is distinct from directed.account_id
order by postings.source_id
