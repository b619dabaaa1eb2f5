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

charges as (
    select
        accounting_date,
        entry_id,
        account_id,
        channel,
        currency_code,
        charge_amount_minor,
        charge_status,
        opening_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }}
),

stated_entries as (
    select
        clearing_entries.accounting_date,
        clearing_entries.entry_id,
        clearing_entries.clearing_session_type,
        clearing_entries.account_id,
        clearing_entries.channel,
        clearing_entries.currency_code,
        clearing_entries.is_foreign_card,
        clearing_entries.clearing_amount_minor
    from clearing_entries
    left join charges
        on clearing_entries.entry_id = charges.entry_id
        and clearing_entries.accounting_date = charges.accounting_date
        and charges.charge_status = 'waiting'
    where charges.entry_id is null
    union all
    -- A charge that waited, on the date that takes it.
    select
        accounting_date,
        entry_id,
        'adjustment' as clearing_session_type,
        account_id,
        channel,
        currency_code,
        false as is_foreign_card,
        -charge_amount_minor as clearing_amount_minor
    from charges
    where charge_status = 'charged' and opening_amount_minor > 0
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{
            settlement_statement_id(
                'account_id', settlement_session_type('stated_entries'), '1', 'currency_code'
            )
        }} as statement_id,
        entry_id,
        accounting_date,
        clearing_session_type,
        channel,
        currency_code,
        clearing_amount_minor
    from stated_entries
)

select * from final
