{{ config(materialized='ephemeral') }}

{#- What the dates of a payment date owe, by the database's list (docs/operations/files.md). -#}
-- depends_on: {{ ref('expected_files') }}, {{ ref('calendar_days') }}
with dates as (
    select
        {{ previous_payment_date() }} as first_date,
        {{ payment_date() }} as last_date
),

final as (
    select
        owed_files.accounting_date,
        owed_files.channel,
        owed_files.file_kind,
        owed_files.name_part
    from dates
    cross join lateral control.owed_files(dates.first_date, dates.last_date) as owed_files
)

select * from final
