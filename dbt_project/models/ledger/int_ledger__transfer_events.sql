{{ config(materialized='ephemeral') }}

{#-
    A transfer between an account's settlement sessions, on the payment date T: a posting for each
    statement that gives or takes, against session transfers, which end at zero
    (docs/domain.md#sessions-of-settlement).
-#}
with settlement_statements as (
    select
        statement_id,
        account_id,
        currency_code,
        transfer_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ accounting_date() }} and transfer_amount_minor <> 0
),

final as (
    select
        'session_transfer' as event_type,
        'given' as posting_case,
        'TRF:' || statement_id as posting_id,
        'TRF-' || to_char({{ accounting_date() }}, 'YYYYMMDD') || '-' || account_id as voucher_id,
        statement_id as source_id,
        'statement' as source_kind,
        cast(null as text) as channel,
        cast(null as text) as settlement_mode,
        currency_code,
        -transfer_amount_minor as amount_minor,
        account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        cast(null as text) as decision_id
    from settlement_statements
)

select * from final
