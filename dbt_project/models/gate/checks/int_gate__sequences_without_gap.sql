{{ config(materialized='ephemeral') }}

{#-
    Nothing is missing from a series of numbers: the source vouchers of each series, from its first
    number to its last, on the dates since the payment date before, and the statements of each
    bank account, by its own way of numbering. What vanishes on both sides leaves every sum as it
    is, and a gap.

    What is counted is what had landed by the gate, as in bank_statement_continuity.
-#}
with voucher_series as (
    select
        series_pattern,
        first_number
    from {{ ref('voucher_series') }}
),

source_vouchers as (
    select
        accounting_date,
        voucher_id,
        file_id
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date >= {{ previous_payment_date() }} - 1
        and accounting_date < {{ payment_date() }}
),

numberings as (
    select
        bank_account_id,
        statement_numbering
    from {{ ref('bank_account_numbering') }}
),

bank_accounts as (
    select bank_account_id
    from {{ ref('bank_accounts') }}
),

statements as (
    select
        bank_account_id,
        statement_date,
        sequence_number
    from {{ ref('stg_bank__statements') }}
    where statement_date >= {{ days_back(payment_date()) }}
        and statement_date <= {{ payment_date() }}
),

parsed_vouchers as (
    select
        source_vouchers.accounting_date,
        source_vouchers.voucher_id,
        source_vouchers.file_id,
        voucher_series.first_number,
        regexp_match(source_vouchers.voucher_id, voucher_series.series_pattern) as parts
    from source_vouchers
    cross join voucher_series
),

numbered_vouchers as (
    select
        accounting_date,
        voucher_id,
        file_id,
        first_number,
        parts[1] as series,
        cast(parts[2] as numeric) as voucher_number
    from parsed_vouchers
),

-- A series that goes on over dates has its number before on the date before.
ordered_vouchers as (
    select
        numbered_vouchers.series,
        numbered_vouchers.voucher_number,
        numbered_vouchers.accounting_date,
        numbered_vouchers.file_id,
        coalesce(
            lag(numbered_vouchers.voucher_number) over (
                partition by numbered_vouchers.series
                order by numbered_vouchers.voucher_number, numbered_vouchers.voucher_id
            ),
            numbered_vouchers.first_number - 1,
            numbered_vouchers.voucher_number - 1
        ) as number_before
    from numbered_vouchers
    where numbered_vouchers.series is not null
),

voucher_gaps as (
    select
        'source_vouchers' as subject,
        voucher_number - number_before - 1 as missing_count,
        'series ' || series || ': ' || number_before + 1 || ' to ' || voucher_number - 1
        || ' missing, file ' || file_id || ' of '
        || to_char(accounting_date, 'YYYY-MM-DD') as gap_text
    from ordered_vouchers
    where accounting_date >= {{ previous_payment_date() }}
        and voucher_number > number_before + 1
    union all
    select
        'source_vouchers' as subject,
        1 as missing_count,
        voucher_id || ' has no number (无序号)' as gap_text
    from numbered_vouchers
    where accounting_date >= {{ previous_payment_date() }}
        and series is null
),

ordered_statements as (
    select
        statements.bank_account_id,
        statements.statement_date,
        statements.sequence_number,
        numberings.statement_numbering,
        lag(statements.sequence_number) over (
            partition by
                statements.bank_account_id,
                case
                    when numberings.statement_numbering = 'by_date'
                        then statements.statement_date
                end,
                case
                    when numberings.statement_numbering = 'by_year'
                        then extract(year from statements.statement_date)
                end
            order by statements.statement_date, statements.sequence_number
        ) as number_before
    from statements
    inner join numberings on statements.bank_account_id = numberings.bank_account_id
),

statement_gaps as (
    select
        bank_account_id as subject,
        sequence_number - coalesce(number_before, 0) - 1 as missing_count,
        'statements ' || coalesce(number_before, 0) + 1 || ' to ' || sequence_number - 1
        || ' missing before ' || to_char(statement_date, 'YYYY-MM-DD') || ' ' || sequence_number
            as gap_text
    from ordered_statements
    where statement_date >= {{ previous_payment_date() }}
        and sequence_number > coalesce(number_before, 0) + 1
        -- The first of a running series that is seen is no gap.
        and (number_before is not null or statement_numbering = 'by_date')
),

unknown_numberings as (
    select
        bank_accounts.bank_account_id as subject,
        1 as missing_count,
        'nothing says how its statements are numbered (无编号方式)' as gap_text
    from bank_accounts
    left join numberings on bank_accounts.bank_account_id = numberings.bank_account_id
    where numberings.bank_account_id is null
),

gaps as (
    select * from voucher_gaps
    union all
    select * from statement_gaps
    union all
    select * from unknown_numberings
),

counted as (
    select
        subject,
        sum(missing_count) as missing_count,
        string_agg(gap_text, '; ' order by gap_text) as gap_texts
    from gaps
    group by subject
),

subjects as (
    select 'source_vouchers' as subject
    from voucher_series
    union all
    select bank_account_id as subject
    from bank_accounts
),

compared as (
    select
        subjects.subject,
        counted.subject is null as holds,
        coalesce('numbers are missing (缺号): ' || left(counted.gap_texts, 600), '') as detail,
        coalesce(counted.missing_count, 0) as measured,
        '0' as expected
    from subjects
    left join counted on subjects.subject = counted.subject
),

final as (
    {{ check_rows('sequences_without_gap', ['compared'], of_new_dates=true) }}
)

select * from final
