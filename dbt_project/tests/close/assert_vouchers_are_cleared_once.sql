-- Each voucher that clears has one clearing entry: a contract table with two rows in force would
-- double it.
{{ config(tags=['close']) }}

select
    voucher_id,
    count(*) as row_count
from {{ ref('int_pricing__priced_vouchers') }}
group by voucher_id
having count(*) <> 1
