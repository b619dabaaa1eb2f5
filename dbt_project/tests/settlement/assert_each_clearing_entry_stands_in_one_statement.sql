-- Every clearing entry that is paid on this date stands in exactly one statement (结算单明细), and in
-- none of another date: the proof that nothing is paid twice or lost. A charge that waits stands in
-- none yet, and in that of the date that takes it.
{{ config(tags=['payment']) }}

with entries as (
    select
        accounting_date,
        entry_id
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
),

charges as (
    select
        accounting_date,
        entry_id,
        charge_status,
        released_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }}
),

clearing_entries as (
    select
        entries.accounting_date,
        entries.entry_id
    from entries
    left join charges
        on entries.entry_id = charges.entry_id
        and entries.accounting_date = charges.accounting_date
        and charges.charge_status = 'waiting'
    where charges.entry_id is null
    union all
    select
        accounting_date,
        entry_id
    from charges
    where released_amount_minor > 0
),

statement_lines as (
    select
        payment_date,
        accounting_date,
        entry_id
    from {{ ref('statement_lines') }}
    where payment_date >= {{ days_back(payment_date()) }}
        and payment_date <= {{ payment_date() }} + 31
),

settlement_statements as (
    select statement_id
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

stated as (
    select
        accounting_date,
        entry_id,
        count(*) as line_count,
        bool_or(payment_date = {{ payment_date() }}) as is_of_date
    from statement_lines
    group by accounting_date, entry_id
),

lines_without_statement as (
    select
        lines.accounting_date,
        lines.entry_id
    from {{ ref('statement_lines') }} as lines
    left join settlement_statements on lines.statement_id = settlement_statements.statement_id
    where lines.payment_date = {{ payment_date() }} and settlement_statements.statement_id is null
)

select
    clearing_entries.accounting_date,
    clearing_entries.entry_id,
    coalesce(stated.line_count, 0) as line_count
from clearing_entries
left join stated
    on clearing_entries.accounting_date = stated.accounting_date
    and clearing_entries.entry_id = stated.entry_id
where stated.line_count is distinct from 1 or not stated.is_of_date
union all
select
    stated.accounting_date,
    stated.entry_id,
    stated.line_count
from stated
left join clearing_entries
    on stated.accounting_date = clearing_entries.accounting_date
    and stated.entry_id = clearing_entries.entry_id
where stated.is_of_date and clearing_entries.entry_id is null
union all
select
    accounting_date,
    entry_id,
    -1 as line_count
from lines_without_statement
