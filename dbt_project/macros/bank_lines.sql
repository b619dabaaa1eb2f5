{#
    The parts of each bank line, with the reason for which a part is not explained (银行流水未解释原因),
    NULL where it is. A payout batch is one line and many payouts: each payout is a part, and what
    they leave of the line is the part `rest`; any other line is one part. A bank may take its
    charge from a payout that comes back, and state the payout before or after it: the part is the
    payout as it was ordered, and the charge is the part `charge`, a charge like any other.

    A payout is explained once: its attempt was submitted, amount, currency and account are the
    attempt's, it is the first such debit, or the first return of a debit. The bank's own charges
    and interest are explained within the sign and the limits of reference.bank_line_limits. Of a
    debit of a fee bill the first line is explained that brings no more than was ordered, and the
    first that takes all of it back; of an
    advance, a transfer between client reserve and own funds, and an entry of two people the first
    line of that very account, reference and amount.

    seen: which lines count; as_of: what was known of the payouts by then. Lines are read for 62
    days; what was debited or returned longer ago, the events of the attempt say. Attempts are
    found by index: what is read does not grow with the years.
#}
{% macro bank_line_parts(seen, as_of) -%}
with bank_lines as (
    select
        file_id,
        line_number,
        booked_on,
        statement_date,
        bank_account_id,
        currency_code,
        amount_minor,
        charge_amount_minor,
        line_kind,
        channel,
        arrival_group_id,
        reference_text,
        coalesce(batch_message_id, reference_text) as batch_message_id
    from {{ ref('int_bank__classified_lines') }}
    where booked_on > {{ as_of }} - 62 and {{ seen }}
),

-- The details that name their payout, or else the line that names its one.
named_parts as (
    select
        file_id,
        line_number,
        part_number,
        part,
        amount_minor,
        charge_amount_minor,
        end_to_end_id
    from {{ ref('int_bank__payout_parts') }}
    where
        booked_on > {{ as_of }} - 62
        and end_to_end_id is not null
        and (is_detail or named_detail_count = 0)
),

bank_line_limits as (
    select
        bank_account_id,
        line_kind,
        currency_code,
        amount_sign,
        line_limit_minor,
        day_limit_minor
    from {{ ref('bank_line_limits') }}
),

reserve_accounts as (
    select
        bank_account_id,
        currency_code
    from {{ ref('bank_accounts') }}
    where account_kind = 'client_reserve'
),

named_payouts as (
    select
        named_parts.file_id,
        named_parts.line_number,
        bank_lines.line_kind,
        named_parts.part_number,
        named_parts.part,
        named_parts.amount_minor,
        named_parts.charge_amount_minor,
        named_parts.end_to_end_id
    from bank_lines
    inner join named_parts
        on bank_lines.file_id = named_parts.file_id
        and bank_lines.line_number = named_parts.line_number
    where bank_lines.line_kind in ('payout_debit', 'payout_return')
),

-- A debit that names none of its payouts is its whole batch, when that is what it amounts to.
unnamed_debits as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.amount_minor,
        bank_lines.batch_message_id
    from bank_lines
    left join named_payouts
        on bank_lines.file_id = named_payouts.file_id
        and bank_lines.line_number = named_payouts.line_number
    where bank_lines.line_kind = 'payout_debit' and named_payouts.file_id is null
),

attempts as (
    select
        attempt_id,
        instruction_id,
        end_to_end_id,
        batch_message_id
    from {{ source('payout', 'attempts') }}
    where end_to_end_id = any(array(select named_payouts.end_to_end_id from named_payouts))
    union
    select
        attempt_id,
        instruction_id,
        end_to_end_id,
        batch_message_id
    from {{ source('payout', 'attempts') }}
    where batch_message_id = any(
        array(select unnamed_debits.batch_message_id from unnamed_debits)
    )
),

instructions as (
    select
        instruction_id,
        account_id,
        currency_code,
        amount_minor
    from {{ source('payout', 'instructions') }}
    where instruction_id = any(array(select attempts.instruction_id from attempts))
),

attempt_events as (
    select
        attempt_id,
        bool_or(status = 'submitted') as is_submitted,
        min(business_date) filter (where status = 'paid') as paid_on,
        min(business_date) filter (where status = 'returned') as returned_on,
        (array_agg(status order by event_no desc))[1] as status
    from {{ source('payout', 'attempt_events') }}
    where attempt_id = any(array(select attempts.attempt_id from attempts))
        and business_date <= {{ as_of }}
    group by attempt_id
),

payout_states as (
    select
        status,
        has_left
    from {{ ref('payout_states') }}
),

payouts as (
    select
        attempts.attempt_id,
        attempts.end_to_end_id,
        attempts.batch_message_id,
        instructions.account_id,
        instructions.currency_code,
        instructions.amount_minor,
        reserve_accounts.bank_account_id,
        coalesce(attempt_events.is_submitted, false) as is_submitted,
        attempt_events.paid_on,
        attempt_events.returned_on,
        coalesce(payout_states.has_left, false) as has_left
    from attempts
    inner join instructions on attempts.instruction_id = instructions.instruction_id
    left join reserve_accounts on instructions.currency_code = reserve_accounts.currency_code
    left join attempt_events on attempts.attempt_id = attempt_events.attempt_id
    left join payout_states on attempt_events.status = payout_states.status
),

batch_payouts as (
    select
        unnamed_debits.file_id,
        unnamed_debits.line_number,
        payouts.attempt_id,
        -payouts.amount_minor as amount_minor,
        sum(-payouts.amount_minor) over (
            partition by unnamed_debits.file_id, unnamed_debits.line_number
        ) = unnamed_debits.amount_minor as is_whole_batch
    from unnamed_debits
    inner join payouts on unnamed_debits.batch_message_id = payouts.batch_message_id
    where payouts.has_left
),

known_payouts as (
    select
        named_payouts.file_id,
        named_payouts.line_number,
        named_payouts.part_number,
        named_payouts.part,
        payouts.attempt_id,
        case named_payouts.line_kind
            when 'payout_return'
                then payout.amount_of_return(
                    named_payouts.amount_minor,
                    named_payouts.charge_amount_minor,
                    payouts.amount_minor
                )
            else named_payouts.amount_minor
        end as amount_minor
    from named_payouts
    inner join payouts on named_payouts.end_to_end_id = payouts.end_to_end_id
    union all
    select
        file_id,
        line_number,
        0 as part_number,
        'payout ' || attempt_id as part,
        attempt_id,
        amount_minor
    from batch_payouts
    where is_whole_batch
),

payout_parts as (
    select
        known_payouts.*,
        bank_lines.booked_on,
        bank_lines.statement_date,
        bank_lines.line_kind,
        payouts.account_id,
        payouts.paid_on,
        payouts.returned_on,
        case
            when not payouts.is_submitted then 'not_submitted'
            when
                known_payouts.amount_minor
                <> case bank_lines.line_kind when 'payout_debit' then -1 else 1 end
                * payouts.amount_minor
                or bank_lines.currency_code <> payouts.currency_code
                then 'another_amount'
            when bank_lines.bank_account_id is distinct from payouts.bank_account_id
                then 'another_account'
        end as own_reason
    from known_payouts
    inner join bank_lines
        on known_payouts.file_id = bank_lines.file_id
        and known_payouts.line_number = bank_lines.line_number
    inner join payouts on known_payouts.attempt_id = payouts.attempt_id
),

ordered_parts as (
    select
        payout_parts.*,
        row_number() over (
            partition by attempt_id, line_kind, own_reason is null
            order by booked_on, statement_date, file_id, line_number, part_number
        ) as part_order,
        count(*) filter (where line_kind = 'payout_debit' and own_reason is null) over (
            partition by attempt_id
        ) as debit_count
    from payout_parts
),

judged_parts as (
    select
        file_id,
        line_number,
        part,
        line_kind,
        account_id,
        amount_minor,
        case
            when own_reason is not null then own_reason
            when line_kind = 'payout_debit' and (part_order > 1 or paid_on < statement_date - 31)
                then 'debited_twice'
            when line_kind = 'payout_return' and debit_count = 0 and paid_on is null
                then 'never_paid'
            when line_kind = 'payout_return'
                and (part_order > 1 or returned_on < statement_date - 31)
                then 'returned_twice'
        end as unexplained_reason
    from ordered_parts
),

known_totals as (
    select
        file_id,
        line_number,
        sum(amount_minor) as amount_minor
    from judged_parts
    group by file_id, line_number
),

known_batches as (
    select distinct
        file_id,
        line_number
    from batch_payouts
),

-- What a return is short of its payouts is the bank's charge, when that is what it says it took.
return_charges as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        bank_lines.bank_account_id,
        bank_lines.statement_date,
        bank_lines.currency_code,
        bank_lines.charge_amount_minor as amount_minor
    from bank_lines
    inner join known_totals
        on bank_lines.file_id = known_totals.file_id
        and bank_lines.line_number = known_totals.line_number
    where bank_lines.line_kind = 'payout_return'
        and bank_lines.charge_amount_minor < 0
        and bank_lines.amount_minor - known_totals.amount_minor = bank_lines.charge_amount_minor
),

collections as (
    select
        collection_id,
        bank_account_id,
        currency_code,
        max(amount_minor) as amount_minor
    from {{ ref('int_fees__collection_states') }}
    where status = 'submitted' and business_date <= {{ as_of }}
    group by collection_id, bank_account_id, currency_code
),

fitting_collections as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        row_number() over (
            partition by collections.collection_id
            order by bank_lines.statement_date, bank_lines.file_id, bank_lines.line_number
        ) as line_order
    from bank_lines
    inner join collections
        on bank_lines.reference_text = collections.collection_id
        and bank_lines.bank_account_id = collections.bank_account_id
        and bank_lines.currency_code = collections.currency_code
        and bank_lines.amount_minor between 1 and collections.amount_minor
    where bank_lines.line_kind = 'fee_collection'
),

booked_debits as (
    select
        collection_id,
        bank_account_id,
        currency_code,
        max(booked_amount_minor) as amount_minor,
        min(business_date) filter (where status = 'returned') as returned_on
    from {{ ref('int_fees__collection_states') }}
    where status in ('paid', 'part_paid', 'returned') and business_date <= {{ as_of }}
    group by collection_id, bank_account_id, currency_code
),

-- What each debit brought: by its events, else by the line that no run has applied yet.
collected_debits as (
    select
        collection_id,
        bank_account_id,
        currency_code,
        amount_minor,
        returned_on,
        cast(null as date) as collected_on
    from booked_debits
    union all
    select
        bank_lines.reference_text as collection_id,
        bank_lines.bank_account_id,
        bank_lines.currency_code,
        bank_lines.amount_minor,
        cast(null as date) as returned_on,
        bank_lines.statement_date as collected_on
    from fitting_collections
    inner join bank_lines
        on fitting_collections.file_id = bank_lines.file_id
        and fitting_collections.line_number = bank_lines.line_number
    left join booked_debits on bank_lines.reference_text = booked_debits.collection_id
    where fitting_collections.line_order = 1 and booked_debits.collection_id is null
),

-- All of it is taken back, once: a part of it, or a second time, nobody can assign.
fitting_returns as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        row_number() over (
            partition by collected_debits.collection_id
            order by bank_lines.statement_date, bank_lines.file_id, bank_lines.line_number
        ) as line_order,
        coalesce(
            collected_debits.returned_on < bank_lines.statement_date - 31, false
        ) as is_of_before
    from bank_lines
    inner join collected_debits
        on bank_lines.reference_text = collected_debits.collection_id
        and bank_lines.bank_account_id = collected_debits.bank_account_id
        and bank_lines.currency_code = collected_debits.currency_code
        and bank_lines.amount_minor = -collected_debits.amount_minor
        and bank_lines.statement_date
        >= coalesce(collected_debits.collected_on, bank_lines.statement_date)
    where bank_lines.line_kind = 'fee_collection_return'
),

own_entries as (
    select
        entry_id,
        line_kind,
        reference_text,
        bank_account_id,
        currency_code,
        amount_minor,
        row_number() over (
            partition by entry_id
            order by effective_on
        ) as told_order
    from {{ ref('int_bank__own_entries') }}
    where effective_on > {{ as_of }} - 62 and effective_on <= {{ as_of }}
),

-- Two entries of one reference and amount explain two lines, and no third.
expected_lines as (
    select
        line_kind,
        reference_text,
        bank_account_id,
        currency_code,
        amount_minor,
        count(*) as entry_count
    from own_entries
    where told_order = 1
    group by line_kind, reference_text, bank_account_id, currency_code, amount_minor
),

ordered_lines as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        expected_lines.entry_count,
        row_number() over (
            partition by
                bank_lines.line_kind, bank_lines.reference_text, bank_lines.bank_account_id,
                bank_lines.currency_code, bank_lines.amount_minor
            order by bank_lines.statement_date, bank_lines.file_id, bank_lines.line_number
        ) as line_order
    from bank_lines
    inner join expected_lines
        on bank_lines.line_kind = expected_lines.line_kind
        and bank_lines.reference_text = expected_lines.reference_text
        and bank_lines.bank_account_id = expected_lines.bank_account_id
        and bank_lines.currency_code = expected_lines.currency_code
        and bank_lines.amount_minor = expected_lines.amount_minor
),

own_amounts as (
    select
        file_id,
        line_number,
        bank_account_id,
        statement_date,
        currency_code,
        line_kind,
        amount_minor
    from bank_lines
    where line_kind in ('bank_charge', 'bank_interest')
    union all
    select
        file_id,
        line_number,
        bank_account_id,
        statement_date,
        currency_code,
        'bank_charge' as line_kind,
        amount_minor
    from return_charges
),

own_lines as (
    select
        own_amounts.file_id,
        own_amounts.line_number,
        case
            when bank_line_limits.amount_sign is null then 'no_limit'
            when sign(own_amounts.amount_minor) <> bank_line_limits.amount_sign then 'wrong_sign'
            when abs(own_amounts.amount_minor) > bank_line_limits.line_limit_minor
                then 'above_line_limit'
            when
                sum(abs(own_amounts.amount_minor)) over (
                    partition by
                        own_amounts.bank_account_id, own_amounts.line_kind,
                        own_amounts.currency_code, own_amounts.statement_date
                ) > bank_line_limits.day_limit_minor
                then 'above_day_limit'
        end as unexplained_reason
    from own_amounts
    left join bank_line_limits
        on own_amounts.bank_account_id = bank_line_limits.bank_account_id
        and own_amounts.line_kind = bank_line_limits.line_kind
        and own_amounts.currency_code = bank_line_limits.currency_code
),

parts as (
    select
        bank_lines.file_id,
        bank_lines.line_number,
        'line' as part,
        bank_lines.line_kind as part_kind,
        cast(null as text) as account_id,
        bank_lines.amount_minor,
        case
            when fitting_collections.line_order = 1 then null
            when fitting_returns.line_order = 1 and not fitting_returns.is_of_before then null
            when ordered_lines.line_order <= ordered_lines.entry_count then null
            when bank_lines.line_kind not in (
                'unclassified', 'fee_collection', 'fee_collection_return', 'advance', 'fee_sweep',
                'own_funds_top_up', 'manual_entry'
            )
                then own_lines.unexplained_reason
            when bank_lines.amount_minor < 0 then 'unordered_debit'
            else 'unknown_credit'
        end as unexplained_reason
    from bank_lines
    left join own_lines
        on bank_lines.file_id = own_lines.file_id
        and bank_lines.line_number = own_lines.line_number
    left join fitting_collections
        on bank_lines.file_id = fitting_collections.file_id
        and bank_lines.line_number = fitting_collections.line_number
    left join fitting_returns
        on bank_lines.file_id = fitting_returns.file_id
        and bank_lines.line_number = fitting_returns.line_number
    left join ordered_lines
        on bank_lines.file_id = ordered_lines.file_id
        and bank_lines.line_number = ordered_lines.line_number
    where bank_lines.line_kind not in ('payout_debit', 'payout_return')
    union all
    select
        file_id,
        line_number,
        part,
        line_kind as part_kind,
        account_id,
        amount_minor,
        unexplained_reason
    from judged_parts
    union all
    select
        return_charges.file_id,
        return_charges.line_number,
        'charge' as part,
        'bank_charge' as part_kind,
        cast(null as text) as account_id,
        return_charges.amount_minor,
        own_lines.unexplained_reason
    from return_charges
    inner join own_lines
        on return_charges.file_id = own_lines.file_id
        and return_charges.line_number = own_lines.line_number
    union all
    select
        bank_lines.file_id,
        bank_lines.line_number,
        'rest' as part,
        bank_lines.line_kind as part_kind,
        cast(null as text) as account_id,
        bank_lines.amount_minor - coalesce(known_totals.amount_minor, 0) as amount_minor,
        case
            when known_batches.file_id is not null then 'another_amount'
            when bank_lines.line_kind = 'payout_return' then 'unknown_return'
            when bank_lines.amount_minor < 0 then 'unordered_debit'
            else 'unknown_credit'
        end as unexplained_reason
    from bank_lines
    left join known_totals
        on bank_lines.file_id = known_totals.file_id
        and bank_lines.line_number = known_totals.line_number
    left join known_batches
        on bank_lines.file_id = known_batches.file_id
        and bank_lines.line_number = known_batches.line_number
    left join return_charges
        on bank_lines.file_id = return_charges.file_id
        and bank_lines.line_number = return_charges.line_number
    where bank_lines.line_kind in ('payout_debit', 'payout_return')
        and bank_lines.amount_minor <> coalesce(known_totals.amount_minor, 0)
        and return_charges.file_id is null
),

final as (
    select
        parts.file_id,
        parts.line_number,
        parts.part,
        bank_lines.booked_on,
        bank_lines.statement_date,
        bank_lines.bank_account_id,
        bank_lines.currency_code,
        bank_lines.line_kind,
        parts.part_kind,
        bank_lines.channel,
        bank_lines.arrival_group_id,
        parts.account_id,
        parts.amount_minor,
        parts.unexplained_reason
    from parts
    inner join bank_lines
        on parts.file_id = bank_lines.file_id
        and parts.line_number = bank_lines.line_number
)
{%- endmacro %}
