-- A frozen clearing session (已冻结清算场次) has exactly the entries it was closed with, and their
-- amounts: what came later is in another session, and nothing of it is gone.
{{ config(tags=['close']) }}

with frozen_sessions as (
    select
        clearing_session_type,
        clearing_session_no
    from {{ source('control', 'frozen_clearing_sessions') }}
    where accounting_date = {{ accounting_date() }}
),

frozen_entries as (
    select
        clearing_session_type,
        clearing_session_no,
        entry_id,
        transaction_amount_minor,
        fee_amount_minor
    from {{ source('control', 'frozen_clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
),

built_entries as (
    select
        clearing_session_type,
        clearing_session_no,
        entry_id,
        transaction_amount_minor,
        fee_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date = {{ accounting_date() }}
    union all
    select
        'service_fee' as clearing_session_type,
        clearing_session_no,
        entry_id,
        0 as transaction_amount_minor,
        fee_amount_minor
    from {{ ref('service_fee_entries') }}
    where accounting_date = {{ accounting_date() }}
),

built as (
    select built_entries.*
    from built_entries
    inner join frozen_sessions
        on built_entries.clearing_session_type = frozen_sessions.clearing_session_type
        and built_entries.clearing_session_no = frozen_sessions.clearing_session_no
)

select
    coalesce(frozen_entries.entry_id, built.entry_id) as entry_id,
    coalesce(frozen_entries.clearing_session_type, built.clearing_session_type)
        as clearing_session_type,
    frozen_entries.clearing_session_no as frozen_no,
    built.clearing_session_no as built_no,
    frozen_entries.transaction_amount_minor as frozen_minor,
    built.transaction_amount_minor as built_minor,
    frozen_entries.fee_amount_minor as frozen_fee_minor,
    built.fee_amount_minor as built_fee_minor
from frozen_entries
full outer join built
    on frozen_entries.clearing_session_type = built.clearing_session_type
    and frozen_entries.entry_id = built.entry_id
where
    frozen_entries.clearing_session_no is distinct from built.clearing_session_no
    or frozen_entries.transaction_amount_minor is distinct from built.transaction_amount_minor
    or frozen_entries.fee_amount_minor is distinct from built.fee_amount_minor
