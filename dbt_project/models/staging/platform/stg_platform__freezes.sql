with records as (
    select
        file_id,
        line_number,
        accounting_date,
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        reason_code,
        effective_from,
        effective_to,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type,
        released_amount_minor
    from {{ source('raw', 'platform_freezes') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.freeze_id,
        records.account_id,
        records.currency_code,
        records.amount_minor,
        records.reason_code,
        records.effective_from,
        records.effective_to,
        -- A file without kinds: its reasons are a closed list.
        coalesce(
            records.freeze_kind,
            case
                when records.reason_code = 'court_order' then 'judicial'
                when records.reason_code in ('risk_review', 'dispute') then 'risk'
            end
        ) as freeze_kind,
        records.order_number,
        records.issued_by,
        records.settlement_session_type,
        coalesce(records.released_amount_minor, 0) as released_amount_minor
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
