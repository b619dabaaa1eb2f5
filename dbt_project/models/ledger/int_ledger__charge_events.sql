{{ config(materialized='ephemeral') }}

{#-
    A charge that the balance did not cover on the payment date T goes back to adjustments
    receivable; on the payment date that takes it, it is released and charged as one event; what two
    people write off is our loss (docs/domain.md#charge-beyond-the-balance).
-#}
with charges as (
    select
        entry_id,
        account_id,
        channel,
        currency_code,
        deferred_amount_minor,
        released_amount_minor,
        written_off_amount_minor,
        decision_id
    from {{ ref('charges') }}
    where payment_date = {{ accounting_date() }}
),

final as (
    select
        'charge_' || parts.posting_case as event_type,
        parts.posting_case,
        'CHG:' || charges.entry_id || ':' || parts.posting_case as posting_id,
        'CHG-' || charges.entry_id as voucher_id,
        charges.entry_id as source_id,
        'statement' as source_kind,
        charges.channel,
        cast(null as text) as settlement_mode,
        charges.currency_code,
        parts.amount_minor,
        charges.account_id,
        cast(null as text) as arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        charges.decision_id
    from charges
    cross join lateral (
        values
        ('deferred', charges.deferred_amount_minor),
        ('released', charges.released_amount_minor),
        ('written_off', charges.written_off_amount_minor)
    ) as parts (posting_case, amount_minor)
)

select * from final
