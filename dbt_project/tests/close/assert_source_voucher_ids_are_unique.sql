-- A voucher id names one source voucher (原始凭证). Two of one id would be cleared, and paid, twice.
{{ config(tags=['close']) }}

select
    voucher_id,
    count(*) as voucher_count,
    min(line_number) as first_line,
    max(line_number) as last_line
from {{ ref('stg_platform__source_vouchers') }}
where accounting_date = {{ accounting_date() }}
group by voucher_id
having count(*) > 1
