-- Each posting is of an event that some kind of voucher books (会计凭证类别). One of none would have a
-- number and no kind, and the finance system would not know what it is.
{{ config(tags=['close']) }}

select
    posting_id,
    event_type
from {{ ref('postings') }}
where accounting_date = {{ accounting_date() }}
    and {{ voucher_kind('event_type') }} is null
