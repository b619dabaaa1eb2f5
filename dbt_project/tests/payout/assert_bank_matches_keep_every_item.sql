-- Every line the bank wrote since the payment date before stands in this payment date's matches,
-- or first in another's, with its whole amount; every entry of the bank journal (银行日记账) of the
-- date stands in exactly one match; what is new on this date was new on no other: matching neither
-- loses nor doubles an item, however old.
{{ config(tags=['payment', 'outcomes']) }}

with items as (
    select
        'bank' as side,
        file_id || ':' || line_number as item_id,
        amount_minor
    from {{ ref('int_bank__classified_lines') }}
    where statement_date > {{ previous_payment_date() }}
        and statement_date <= {{ payment_date() }}
    union all
    select
        'journal' as side,
        bank_journal_entry_id as item_id,
        amount_minor
    from {{ ref('bank_journal') }}
    where payment_date = {{ payment_date() }}
),

-- A line in parts (payouts returned together) is as long as its parts are.
match_lines as (
    select
        side,
        case side when 'bank' then file_id || ':' || line_number else item_id end as item_id,
        count(*) - count(distinct item_id) as double_count,
        sum(amount_minor) as amount_minor
    from {{ ref('bank_match_lines') }}
    where is_new
    group by side, case side when 'bank' then file_id || ':' || line_number else item_id end
),

all_match_lines as (
    select
        side,
        item_id,
        amount_minor,
        is_new
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }}
),

new_elsewhere as (
    select
        side,
        item_id,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date <> {{ payment_date() }} and is_new
),

matches as (
    select
        coalesce(sum(bank_amount_minor), 0) as bank_amount_minor,
        coalesce(sum(journal_amount_minor), 0) as journal_amount_minor
    from {{ ref('bank_matches') }}
    where payment_date = {{ payment_date() }}
),

match_line_totals as (
    select
        coalesce(sum(amount_minor) filter (where side = 'bank'), 0) as bank_amount_minor,
        coalesce(sum(amount_minor) filter (where side = 'journal'), 0) as journal_amount_minor
    from all_match_lines
)

select
    items.side,
    items.item_id,
    items.amount_minor,
    match_lines.amount_minor as matched_amount_minor
from items
left join match_lines on items.side = match_lines.side and items.item_id = match_lines.item_id
where match_lines.double_count is distinct from 0
    or match_lines.amount_minor is distinct from items.amount_minor
union all
select
    'all' as side,
    'sum of the matches' as item_id,
    match_line_totals.bank_amount_minor + match_line_totals.journal_amount_minor as amount_minor,
    matches.bank_amount_minor + matches.journal_amount_minor as matched_amount_minor
from matches
cross join match_line_totals
where matches.bank_amount_minor <> match_line_totals.bank_amount_minor
    or matches.journal_amount_minor <> match_line_totals.journal_amount_minor
union all
select
    all_match_lines.side,
    all_match_lines.item_id,
    all_match_lines.amount_minor,
    new_elsewhere.amount_minor as matched_amount_minor
from all_match_lines
inner join new_elsewhere
    on all_match_lines.side = new_elsewhere.side
    and all_match_lines.item_id = new_elsewhere.item_id
where all_match_lines.is_new
