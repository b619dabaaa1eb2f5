{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    The bank's statement against the bank journal (账实核对), one row a match. The variance is what
    the bank shows minus what we had booked, receipts positive: more is an overage, less a
    shortage (docs/domain.md#overage-and-shortage). A match with a variance stays open and ages,
    from the day its oldest item was due (docs/domain.md#funds-level).
-#}
with match_lines as (
    select
        match_id,
        side,
        bank_account_id,
        item_date,
        item_kind,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor,
        settled_by
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }}
),

totals as (
    select
        match_id,
        currency_code,
        bank_account_id,
        coalesce(max(item_date) filter (where side = 'bank'), max(item_date)) as statement_date,
        min(item_date) as opened_on,
        min(item_kind) as item_kind,
        min(channel) as channel,
        min(arrival_group_id) as arrival_group_id,
        min(settled_by) as settled_by,
        count(*) filter (where side = 'bank') as bank_line_count,
        count(*) filter (where side = 'journal') as journal_entry_count,
        coalesce(sum(amount_minor) filter (where side = 'bank'), 0) as bank_amount_minor,
        coalesce(sum(amount_minor) filter (where side = 'journal'), 0) as journal_amount_minor
    from match_lines
    group by match_id, currency_code, bank_account_id
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{ payment_date() }} as accounting_date,
        statement_date,
        bank_account_id,
        match_id,
        currency_code,
        case
            when journal_entry_count = 0 then 'unmatched_bank'
            when bank_line_count = 0 then 'unmatched_journal'
            when bank_line_count > 1 then 'many_to_one'
            when journal_entry_count > 1 then 'one_to_many'
            else 'one_to_one'
        end as match_kind,
        channel,
        arrival_group_id,
        bank_line_count,
        journal_entry_count,
        bank_amount_minor,
        journal_amount_minor,
        bank_amount_minor - journal_amount_minor as variance_minor,
        case
            when bank_amount_minor > journal_amount_minor then 'overage'
            when bank_amount_minor < journal_amount_minor then 'shortage'
        end as variance_kind,
        opened_on,
        case when settled_by is null then greatest({{ payment_date() }} - opened_on, 0) else 0 end
            as age_days,
        settled_by,
        -- Money of an arrival group that came short, too much or not at all.
        case
            when settled_by is null and item_kind = 'channel_arrival' then 'arrival_variance'
            when settled_by is null then item_kind
        end as open_kind
    from totals
)

select * from final
