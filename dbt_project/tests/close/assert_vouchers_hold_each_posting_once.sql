-- The vouchers of a date (会计凭证) are numbered from 1 without a gap and hold each posting once. A
-- posting without one would never reach the finance system; a gap would look like a voucher that
-- somebody took away.
{{ config(tags=['close']) }}

with vouchers as (
    select
        voucher_no,
        voucher_kind,
        voucher_id,
        currency_code,
        posting_count,
        amount_minor
    from {{ ref('vouchers') }}
    where accounting_date = {{ accounting_date() }}
),

postings as (
    select
        {{ voucher_kind('event_type') }} as voucher_kind,
        voucher_id,
        currency_code,
        count(*) as posting_count,
        sum(amount_minor) as amount_minor
    from {{ ref('postings') }}
    where accounting_date = {{ accounting_date() }}
    group by 1, 2, 3
)

select
    coalesce(vouchers.voucher_kind, postings.voucher_kind) as voucher_kind,
    coalesce(vouchers.voucher_id, postings.voucher_id) as voucher_id,
    coalesce(vouchers.currency_code, postings.currency_code) as currency_code,
    'its postings are others' as reason
from vouchers
full outer join postings
    on vouchers.voucher_kind = postings.voucher_kind
    and vouchers.voucher_id = postings.voucher_id
    and vouchers.currency_code = postings.currency_code
where vouchers.posting_count is distinct from postings.posting_count
    or vouchers.amount_minor is distinct from postings.amount_minor
union all
select
    'all' as voucher_kind,
    cast(max(voucher_no) as text) as voucher_id,
    'all' as currency_code,
    'numbers have a gap' as reason
from vouchers
having max(voucher_no) is distinct from nullif(count(*), 0) or min(voucher_no) > 1
order by reason desc, voucher_id
