{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment'],
    post_hook="{{ register_statement_entries() }}"
) }}

{#-
    Every clearing entry in exactly one statement (结算单明细), the proof that nothing is paid twice or
    lost (docs/domain.md#an-entry-in-one-statement). It is read from the entries, not from the
    statements, so that the two can be compared.
-#}
with clearing_entries as (
    select
        accounting_date,
        entry_id,
        clearing_session_type,
        account_id,
        channel,
        currency_code,
        is_foreign_card,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{
            settlement_statement_id(
                'account_id', settlement_session_type('clearing_entries'), '1', 'currency_code'
            )
        }} as statement_id,
        entry_id,
        accounting_date,
        clearing_session_type,
        channel,
        currency_code,
        clearing_amount_minor
    from clearing_entries
)

select * from final
