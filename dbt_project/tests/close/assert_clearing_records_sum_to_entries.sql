-- The clearing records (清算清单) are exactly the sum of the clearing entries, and every cleared
-- voucher has an entry: the total of the platform's successful vouchers equals the transaction
-- session.
{{ config(tags=['close']) }}

with entries as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor,
        count(*) as entry_count
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
    group by currency_code
),

records as (
    select
        currency_code,
        sum(clearing_amount_minor) as clearing_amount_minor,
        sum(transaction_count) as entry_count
    from {{ ref('clearing_records') }}
    where accounting_date = {{ accounting_date() }}
    group by currency_code
)

select
    coalesce(entries.currency_code, records.currency_code) as currency_code,
    entries.clearing_amount_minor as entries_minor,
    records.clearing_amount_minor as records_minor,
    entries.entry_count,
    records.entry_count as record_count
from entries
full outer join records on entries.currency_code = records.currency_code
where
    entries.clearing_amount_minor is distinct from records.clearing_amount_minor
    or entries.entry_count is distinct from records.entry_count
