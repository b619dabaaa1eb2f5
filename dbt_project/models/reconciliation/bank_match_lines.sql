{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    Which lines of the bank's statement and which entries of the bank journal (银行日记账) belong
    together, one row an item: paired on the arrival group, the payout batch or the returned
    payout's end-to-end id, never on the amount. What one side lacks stays open and is offered
    again on the next payment date.
-#}
with bank_lines as (
    select
        file_id,
        line_number,
        bank_account_id,
        statement_date,
        currency_code,
        amount_minor,
        line_kind,
        channel,
        arrival_group_id,
        remittance_text,
        end_to_end_id,
        batch_message_id
    from {{ ref('int_bank__classified_lines') }}
    where statement_date > {{ previous_payment_date() }}
        and statement_date <= {{ payment_date() }}
),

line_details as (
    select
        file_id,
        line_number,
        end_to_end_id,
        row_number() over (
            partition by file_id, line_number
            order by detail_number
        ) as detail_order
    from {{ ref('stg_bank__line_details') }}
    where booked_on > {{ previous_payment_date() }} - 1
),

bank_journal as (
    select
        bank_journal_entry_id,
        bank_account_id,
        match_key,
        expected_on,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor
    from {{ ref('bank_journal') }}
    where payment_date = {{ payment_date() }}
),

open_before as (
    select
        match_key,
        side,
        item_id,
        bank_account_id,
        item_date,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and is_open
),

items as (
    select
        coalesce(
            case bank_lines.line_kind
                when 'channel_arrival' then 'arrival:' || bank_lines.arrival_group_id
                when 'payout_debit'
                    then 'batch:' || coalesce(
                        bank_lines.batch_message_id,
                        substring(bank_lines.remittance_text, '^PAYOUT (.+)$')
                    )
                when 'payout_return'
                    then 'return:' || coalesce(bank_lines.end_to_end_id, line_details.end_to_end_id)
            end,
            'line:' || bank_lines.file_id || ':' || bank_lines.line_number
        ) as match_key,
        'bank' as side,
        bank_lines.file_id || ':' || bank_lines.line_number as item_id,
        bank_lines.bank_account_id,
        bank_lines.statement_date as item_date,
        bank_lines.channel,
        bank_lines.arrival_group_id,
        bank_lines.currency_code,
        bank_lines.amount_minor
    from bank_lines
    left join line_details
        on bank_lines.file_id = line_details.file_id
        and bank_lines.line_number = line_details.line_number
        and line_details.detail_order = 1
    union all
    select
        match_key,
        'journal' as side,
        bank_journal_entry_id as item_id,
        bank_account_id,
        expected_on as item_date,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor
    from bank_journal
    union all
    select
        match_key,
        side,
        item_id,
        bank_account_id,
        item_date,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor
    from open_before
),

final as (
    select
        {{ payment_date() }} as payment_date,
        match_key || '/' || currency_code as match_id,
        match_key,
        side,
        item_id,
        bank_account_id,
        item_date,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor,
        count(*) filter (where side = 'bank') over same_match = 0
        or count(*) filter (where side = 'journal') over same_match = 0 as is_open
    from items
    window same_match as (partition by match_key, currency_code)
)

select * from final
