{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes'],
    pre_hook='{{ set_based() }}'
) }}

{#-
    Which lines of the bank's statement and which entries of the bank journal (银行日记账) belong
    together, one row an item: paired on the arrival group, the payout batch, the returned payout's
    end-to-end id or the fee period, never on the amount. An item is a bank line, one payout of a
    bank line that returns several, what such a line is more or less than its payouts, or an entry
    of the journal: the items of a line add up to it, whatever the bank states of them. A match is
    closed when both sides are there and equal; until then its items are offered again on the next
    payment date, with what they are short. The balance equation reads each channel's arrival from
    here.
-#}
with open_before as (
    select
        match_key,
        side,
        item_id,
        bank_account_id,
        item_date,
        booking_date,
        item_kind,
        channel,
        arrival_group_id,
        group_arrival_date,
        file_id,
        line_number,
        currency_code,
        amount_minor
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and is_open
),

-- Lines that another payment date has first seen, however long ago; a line that landed late is in
-- the first date that was computed with it, and stays there with all its items.
known_lines as (
    select distinct
        split_part(item_id, ':', 1) || ':' || split_part(item_id, ':', 2) as line_id
    from {{ this }}
    where payment_date <> {{ payment_date() }} and is_new and side = 'bank'
),

bank_lines as (
    select
        file_id,
        line_number,
        bank_account_id,
        statement_date,
        booking_date,
        currency_code,
        amount_minor,
        line_kind,
        channel,
        arrival_group_id,
        group_arrival_date,
        reference_text,
        end_to_end_id,
        batch_message_id
    from {{ ref('int_bank__classified_lines') }}
    -- Booked on the first open date, so the next payment date takes it: 62 days bound the reading.
    where booked_on > {{ previous_payment_date() }} - 62
        and statement_date <= {{ payment_date() }}
),

payout_parts as (
    select
        file_id,
        line_number,
        part_number,
        part,
        is_detail,
        amount_minor,
        end_to_end_id,
        detail_count
    from {{ ref('int_bank__payout_parts') }}
    where booked_on > {{ previous_payment_date() }} - 62
),

bank_journal as (
    select
        bank_journal_entry_id,
        bank_account_id,
        entry_kind,
        match_key,
        expected_on,
        channel,
        arrival_group_id,
        currency_code,
        amount_minor
    from {{ ref('bank_journal') }}
    where payment_date = {{ payment_date() }}
),

attempts as (
    select
        end_to_end_id,
        batch_message_id
    from {{ source('payout', 'attempts') }}
    where submitted_on > {{ previous_payment_date() }} - 62
),

seen_parts as (
    select
        file_id,
        line_number,
        part,
        amount_minor,
        unexplained_reason
    from {{ ref('int_bank__seen_parts') }}
),

unexplained_parts as (
    select
        file_id,
        line_number,
        part
    from seen_parts
    where unexplained_reason is not null
),

taken_lines as (
    select
        file_id,
        line_number,
        amount_minor
    from {{ ref('int_bank__taken_lines') }}
),

first_details as (
    select
        file_id,
        line_number,
        end_to_end_id,
        row_number() over (
            partition by file_id, line_number
            order by part_number
        ) as detail_order
    from payout_parts
    where is_detail and end_to_end_id is not null
),

-- A debit is named by its batch; a bank that does not name it names a payout of it.
debits as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        coalesce(
            bank_lines.batch_message_id,
            bank_lines.reference_text,
            attempts.batch_message_id
        ) as batch_message_id
    from bank_lines
    left join first_details
        on bank_lines.file_id = first_details.file_id
        and bank_lines.line_number = first_details.line_number
        and first_details.detail_order = 1
    left join attempts
        on coalesce(bank_lines.end_to_end_id, first_details.end_to_end_id)
        = attempts.end_to_end_id
    where bank_lines.line_kind = 'payout_debit'
),

-- Payouts come back one by one, also where the bank books them in one line; each as it was ordered,
-- where the bank says that it took its charge of the payout.
returned_payouts as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        case when payout_parts.is_detail then payout_parts.part_number end as detail_number,
        coalesce(seen_parts.amount_minor, payout_parts.amount_minor) as amount_minor,
        coalesce(payout_parts.end_to_end_id, bank_lines.end_to_end_id) as end_to_end_id
    from bank_lines
    inner join payout_parts
        on bank_lines.file_id = payout_parts.file_id
        and bank_lines.line_number = payout_parts.line_number
        and (payout_parts.is_detail or payout_parts.detail_count = 0)
    left join seen_parts
        on payout_parts.file_id = seen_parts.file_id
        and payout_parts.line_number = seen_parts.line_number
        and payout_parts.part = seen_parts.part
    where bank_lines.line_kind = 'payout_return'
),

returned_totals as (
    select
        file_id,
        line_number,
        sum(amount_minor) as amount_minor
    from returned_payouts
    group by file_id, line_number
),

line_items as (
    select
        bank_lines.*,
        bank_lines.file_id || ':' || bank_lines.line_number as item_id,
        case bank_lines.line_kind
            when 'channel_arrival' then 'arrival:' || bank_lines.arrival_group_id
            when 'payout_debit' then 'batch:' || debits.batch_message_id
            when 'period_fee'
                then 'period_fee:' || bank_lines.channel || ':' || bank_lines.reference_text
            when 'fee_collection' then 'fee_collection:' || bank_lines.reference_text
            when 'fee_collection_return' then 'fee_collection:' || bank_lines.reference_text
            when 'advance' then 'advance:' || bank_lines.reference_text
            when 'fee_sweep' then 'fee_sweep:' || bank_lines.reference_text
            when 'own_funds_top_up' then 'own_funds_top_up:' || bank_lines.reference_text
            when 'manual_entry' then 'manual_entry:' || bank_lines.reference_text
        end as match_key
    from bank_lines
    left join debits
        on bank_lines.file_id = debits.file_id
        and bank_lines.line_number = debits.line_number
    where bank_lines.line_kind <> 'payout_return'
    union all
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.bank_account_id,
        bank_lines.statement_date,
        bank_lines.booking_date,
        bank_lines.currency_code,
        returned_payouts.amount_minor,
        bank_lines.line_kind,
        bank_lines.channel,
        bank_lines.arrival_group_id,
        bank_lines.group_arrival_date,
        bank_lines.reference_text,
        returned_payouts.end_to_end_id,
        bank_lines.batch_message_id,
        concat_ws(
            ':', bank_lines.file_id, bank_lines.line_number, returned_payouts.detail_number
        ) as item_id,
        'return:' || returned_payouts.end_to_end_id as match_key
    from bank_lines
    inner join returned_payouts
        on bank_lines.file_id = returned_payouts.file_id
        and bank_lines.line_number = returned_payouts.line_number
    union all
    -- What the line is more or less than its payouts: the bank's charge, where it says so.
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.bank_account_id,
        bank_lines.statement_date,
        bank_lines.booking_date,
        bank_lines.currency_code,
        bank_lines.amount_minor - returned_totals.amount_minor as amount_minor,
        case when seen_parts.file_id is null then 'payout_return' else 'bank_charge' end
            as line_kind,
        bank_lines.channel,
        bank_lines.arrival_group_id,
        bank_lines.group_arrival_date,
        bank_lines.reference_text,
        cast(null as text) as end_to_end_id,
        bank_lines.batch_message_id,
        bank_lines.file_id || ':' || bank_lines.line_number || ':rest' as item_id,
        cast(null as text) as match_key
    from bank_lines
    inner join returned_totals
        on bank_lines.file_id = returned_totals.file_id
        and bank_lines.line_number = returned_totals.line_number
    left join seen_parts
        on bank_lines.file_id = seen_parts.file_id
        and bank_lines.line_number = seen_parts.line_number
        and seen_parts.part = 'charge'
    where bank_lines.amount_minor <> returned_totals.amount_minor
),

new_items as (
    select
        coalesce(line_items.match_key, 'line:' || line_items.item_id) as match_key,
        'bank' as side,
        line_items.item_id,
        line_items.bank_account_id,
        line_items.statement_date as item_date,
        line_items.booking_date,
        line_items.line_kind as item_kind,
        line_items.channel,
        line_items.arrival_group_id,
        line_items.group_arrival_date,
        line_items.file_id,
        line_items.line_number,
        line_items.currency_code,
        line_items.amount_minor
    from line_items
    left join known_lines
        on line_items.file_id || ':' || line_items.line_number = known_lines.line_id
    where known_lines.line_id is null
    union all
    select
        match_key,
        'journal' as side,
        bank_journal_entry_id as item_id,
        bank_account_id,
        expected_on as item_date,
        cast(null as date) as booking_date,
        entry_kind as item_kind,
        channel,
        arrival_group_id,
        cast(null as date) as group_arrival_date,
        cast(null as text) as file_id,
        cast(null as integer) as line_number,
        currency_code,
        amount_minor
    from bank_journal
),

-- A line that waits without a rule is read again by the rules of now.
carried_items as (
    select
        coalesce(line_items.match_key, open_before.match_key) as match_key,
        open_before.side,
        open_before.item_id,
        open_before.bank_account_id,
        open_before.item_date,
        open_before.booking_date,
        coalesce(line_items.line_kind, open_before.item_kind) as item_kind,
        coalesce(line_items.channel, open_before.channel) as channel,
        coalesce(line_items.arrival_group_id, open_before.arrival_group_id) as arrival_group_id,
        coalesce(line_items.group_arrival_date, open_before.group_arrival_date)
            as group_arrival_date,
        open_before.file_id,
        open_before.line_number,
        open_before.currency_code,
        open_before.amount_minor
    from open_before
    left join line_items
        on open_before.side = 'bank'
        and open_before.item_kind = 'unclassified'
        and open_before.item_id = line_items.item_id
),

items as (
    select
        new_items.*,
        true as is_new
    from new_items
    union all
    select
        carried_items.*,
        false as is_new
    from carried_items
),

-- What was taken of an item; of payouts that came back in one line, those that were not explained.
-- A detail that is no payout of ours, and what the line is short of its payouts, are its rest.
taken_items as (
    select
        items.side,
        items.item_id,
        case
            when items.item_id = taken_lines.file_id || ':' || taken_lines.line_number
                then taken_lines.amount_minor
            when unexplained_parts.part is not null then items.amount_minor
        end as taken_amount_minor
    from items
    inner join taken_lines
        on items.file_id = taken_lines.file_id and items.line_number = taken_lines.line_number
    left join seen_parts
        on items.file_id = seen_parts.file_id
        and items.line_number = seen_parts.line_number
        and (
            'detail ' || split_part(items.item_id, ':', 3) = seen_parts.part
            or (split_part(items.item_id, ':', 3) = 'rest' and seen_parts.part = 'charge')
        )
    left join unexplained_parts
        on items.file_id = unexplained_parts.file_id
        and items.line_number = unexplained_parts.line_number
        and coalesce(seen_parts.part, 'rest') = unexplained_parts.part
),

-- A charge the bank took of a return, within the limits of its charges.
charged_items as (
    select file_id || ':' || line_number || ':rest' as item_id
    from seen_parts
    where part = 'charge' and unexplained_reason is null
),

-- An item that was taken whole stands alone.
untaken_items as (
    select
        case
            when taken_items.taken_amount_minor = items.amount_minor then 'taken:' || items.item_id
            else items.match_key
        end as match_key,
        items.side,
        items.item_id,
        items.bank_account_id,
        items.item_date,
        items.booking_date,
        items.item_kind,
        items.channel,
        items.arrival_group_id,
        items.group_arrival_date,
        items.file_id,
        items.line_number,
        items.currency_code,
        items.amount_minor,
        items.is_new,
        coalesce(taken_items.taken_amount_minor, 0) as taken_amount_minor,
        case
            when items.side = 'bank' and split_part(items.item_id, ':', 3) = 'rest'
                then charged_items.item_id is not null
            else
                items.item_kind in ('bank_charge', 'bank_interest')
                and unexplained_parts.file_id is null
        end as is_by_rule
    from items
    left join taken_items
        on items.side = taken_items.side and items.item_id = taken_items.item_id
    left join unexplained_parts
        on items.file_id = unexplained_parts.file_id
        and items.line_number = unexplained_parts.line_number
        and unexplained_parts.part = 'line'
    left join charged_items on items.item_id = charged_items.item_id
),

-- What the bank books of its own, nobody expects: a rule closes it, within its limits.
compared as (
    select
        untaken_items.*,
        count(*) filter (where side = 'bank') over same_match as bank_count,
        count(*) filter (where side = 'journal') over same_match as journal_count,
        sum(case side when 'bank' then amount_minor else -amount_minor end) over same_match
            as variance_minor,
        sum(taken_amount_minor) over same_match as taken_variance_minor,
        bool_or(taken_amount_minor <> 0) over same_match as is_taken
    from untaken_items
    window same_match as (partition by match_key, bank_account_id, currency_code)
),

settled as (
    select
        compared.*,
        case
            when is_taken and variance_minor = taken_variance_minor then 'decision'
            when is_by_rule then 'rule'
            when variance_minor = 0 and bank_count > 0 and journal_count > 0 then 'match'
            when variance_minor = 0 then 'offset'
        end as settled_by
    from compared
),

final as (
    select
        {{ payment_date() }} as payment_date,
        match_key || '/' || bank_account_id || '/' || currency_code as match_id,
        match_key,
        side,
        item_id,
        bank_account_id,
        item_date,
        booking_date,
        item_kind,
        channel,
        arrival_group_id,
        group_arrival_date,
        file_id,
        line_number,
        currency_code,
        amount_minor,
        is_new,
        settled_by,
        settled_by is null as is_open
    from settled
)

select * from final
