{{ config(
    materialized='dated_partition', partition_by='payment_date', tags=['payment', 'outcomes']
) }}

{#-
    What is open between the bank's statements and the bank journal (未达账项), from payment date to
    payment date: opening + new - matched - closed by rule - offset - by
    decision = closing, by count and amount.
    The opening is read from what the payment date before left open, so that an item that was lost
    or doubled on the way breaks the row's CHECK.
-#}
with accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
),

items_before as (
    select
        bank_account_id,
        side,
        currency_code,
        amount_minor
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ previous_payment_date() }} and is_open
),

items as (
    select
        bank_account_id,
        side,
        currency_code,
        amount_minor,
        is_new,
        settled_by
    from {{ ref('bank_match_lines') }}
    where payment_date = {{ payment_date() }}
),

opening_totals as (
    select
        bank_account_id,
        side,
        currency_code,
        count(*) as opening_count,
        sum(amount_minor) as opening_amount_minor
    from items_before
    group by bank_account_id, side, currency_code
),

totals as (
    select
        bank_account_id,
        side,
        currency_code,
        count(*) filter (where is_new) as new_count,
        sum(amount_minor) filter (where is_new) as new_amount_minor,
        count(*) filter (where settled_by = 'match') as matched_count,
        sum(amount_minor) filter (where settled_by = 'match') as matched_amount_minor,
        count(*) filter (where settled_by = 'rule') as by_rule_count,
        sum(amount_minor) filter (where settled_by = 'rule') as by_rule_amount_minor,
        count(*) filter (where settled_by = 'offset') as offset_count,
        sum(amount_minor) filter (where settled_by = 'offset') as offset_amount_minor,
        count(*) filter (where settled_by = 'decision') as by_decision_count,
        sum(amount_minor) filter (where settled_by = 'decision') as by_decision_amount_minor,
        count(*) filter (where settled_by is null) as closing_count,
        sum(amount_minor) filter (where settled_by is null) as closing_amount_minor
    from items
    group by bank_account_id, side, currency_code
),

grain as (
    select
        accounts.bank_account_id,
        sides.side,
        accounts.currency_code
    from accounts
    cross join (
        select 'bank' as side
        union all
        select 'journal' as side
    ) as sides
    union
    select bank_account_id, side, currency_code from opening_totals
    union
    select bank_account_id, side, currency_code from totals
),

final as (
    select
        {{ payment_date() }} as payment_date,
        grain.bank_account_id,
        grain.side,
        grain.currency_code,
        coalesce(opening_totals.opening_count, 0) as opening_count,
        coalesce(opening_totals.opening_amount_minor, 0) as opening_amount_minor,
        coalesce(totals.new_count, 0) as new_count,
        coalesce(totals.new_amount_minor, 0) as new_amount_minor,
        coalesce(totals.matched_count, 0) as matched_count,
        coalesce(totals.matched_amount_minor, 0) as matched_amount_minor,
        coalesce(totals.by_rule_count, 0) as by_rule_count,
        coalesce(totals.by_rule_amount_minor, 0) as by_rule_amount_minor,
        coalesce(totals.offset_count, 0) as offset_count,
        coalesce(totals.offset_amount_minor, 0) as offset_amount_minor,
        coalesce(totals.by_decision_count, 0) as by_decision_count,
        coalesce(totals.by_decision_amount_minor, 0) as by_decision_amount_minor,
        coalesce(totals.closing_count, 0) as closing_count,
        coalesce(totals.closing_amount_minor, 0) as closing_amount_minor
    from grain
    left join opening_totals
        on grain.bank_account_id = opening_totals.bank_account_id
        and grain.side = opening_totals.side
        and grain.currency_code = opening_totals.currency_code
    left join totals
        on grain.bank_account_id = totals.bank_account_id
        and grain.side = totals.side
        and grain.currency_code = totals.currency_code
)

select * from final
