{{ config(materialized='ephemeral') }}

{#-
    No payout is far from what its account was paid before: per accounting date above a factor of
    the median of its last statements, and above a floor. An account with too few of them is held
    against a limit of its own, and above the largest amount any payout takes two people. The
    equation cannot see it: a file of the platform, one of the channel and one of the bank may agree
    on any amount.
-#}
with statements as (
    select
        payment_date,
        statement_id,
        account_id,
        settlement_session_type,
        settlement_session_no,
        currency_code,
        payout_amount_minor,
        cardinality(accounting_dates) as date_count
    from {{ ref('settlement_statements') }}
    where payment_date >= {{ payment_date() }} - 92
        and payment_date <= {{ payment_date() }}
        and payout_amount_minor > 0
),

limits as (
    select
        currency_code,
        past_statement_count,
        least_statement_count,
        factor_permille,
        floor_amount_minor,
        new_account_limit_minor,
        largest_amount_minor
    from {{ ref('statement_limits') }}
),

channels as (
    select distinct currency_code
    from {{ ref('channel_currencies') }}
),

-- What became due after its own statement: a week's or a month's cycle pays many dates at once.
later_dates as (
    select
        due_on,
        account_id,
        settlement_session_type,
        currency_code,
        count(distinct accounting_date) as date_count
    from {{ ref('due_dates') }}
    where accounting_date >= {{ cycle_days_back(payment_date()) }} - 92
        and accounting_date < {{ payment_date() }}
        and due_on >= {{ payment_date() }} - 92
        and due_on <= {{ payment_date() }}
    group by due_on, account_id, settlement_session_type, currency_code
),

-- A Monday pays three dates and more.
all_statements as (
    select
        statements.payment_date,
        statements.statement_id,
        statements.account_id,
        statements.settlement_session_type,
        statements.settlement_session_no,
        statements.currency_code,
        statements.payout_amount_minor,
        statements.payout_amount_minor
        / greatest(statements.date_count + coalesce(later_dates.date_count, 0), 1)
            as date_amount_minor
    from statements
    left join later_dates
        on statements.payment_date = later_dates.due_on
        and statements.account_id = later_dates.account_id
        and statements.settlement_session_type = later_dates.settlement_session_type
        and statements.currency_code = later_dates.currency_code
),

paid_statements as (
    select *
    from all_statements
    where payment_date = {{ payment_date() }}
),

past_statements as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        date_amount_minor,
        row_number() over (
            partition by account_id, settlement_session_type, currency_code
            order by payment_date desc, settlement_session_no desc, statement_id asc
        ) as statement_order
    from all_statements
    where payment_date < {{ payment_date() }}
),

pasts as (
    select
        past_statements.account_id,
        past_statements.settlement_session_type,
        past_statements.currency_code,
        count(*) as statement_count,
        percentile_disc(0.5) within group (order by past_statements.date_amount_minor)
            as median_minor
    from past_statements
    inner join limits on past_statements.currency_code = limits.currency_code
    where past_statements.statement_order <= limits.past_statement_count
    group by
        past_statements.account_id,
        past_statements.settlement_session_type,
        past_statements.currency_code
),

judged as (
    select
        paid_statements.statement_id,
        paid_statements.account_id,
        paid_statements.currency_code,
        paid_statements.payout_amount_minor,
        paid_statements.date_amount_minor,
        case
            when pasts.statement_count >= limits.least_statement_count then pasts.median_minor
        end as median_minor,
        case
            when limits.currency_code is null then true
            when pasts.statement_count >= limits.least_statement_count
                then paid_statements.payout_amount_minor > limits.floor_amount_minor
                    and paid_statements.date_amount_minor * 1000
                    > pasts.median_minor * limits.factor_permille
            else paid_statements.payout_amount_minor > limits.new_account_limit_minor
        end as is_far,
        paid_statements.payout_amount_minor > limits.largest_amount_minor as is_large
    from paid_statements
    left join limits on paid_statements.currency_code = limits.currency_code
    left join pasts
        on paid_statements.account_id = pasts.account_id
        and paid_statements.settlement_session_type = pasts.settlement_session_type
        and paid_statements.currency_code = pasts.currency_code
),

far_statements as (
    select
        currency_code,
        account_id || ' ' || statement_id || ' pays ' || payout_amount_minor || ', '
        || date_amount_minor || ' a date, '
        || coalesce('its past ' || median_minor || ' a date', 'new (新账户)')
        || case when is_large then ', large (超过单笔限额)' else '' end as far_statement,
        row_number() over (
            partition by currency_code
            order by payout_amount_minor desc, statement_id asc
        ) as far_order
    from judged
    where is_far or is_large
),

counted as (
    select
        currency_code,
        count(*) as far_count,
        string_agg(far_statement, '; ' order by far_order) filter (where far_order <= 5)
            as largest
    from far_statements
    group by currency_code
),

compared as (
    select
        channels.currency_code as subject,
        counted.currency_code is null as holds,
        coalesce('far from their own past (偏离历史): ' || counted.largest, '') as detail,
        coalesce(counted.far_count, 0) as measured,
        '0' as expected
    from channels
    left join counted on channels.currency_code = counted.currency_code
),

final as (
    {{ check_rows('statements_near_their_past', ['compared']) }}
)

select * from final
