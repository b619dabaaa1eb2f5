{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    What each landed fund bill of T says of its balance: where it began, what moved it and where it
    ended, beside where the bill of T−1 ended. Bills stand in either order, the newest line first
    or last; where a bill's lines are in neither, it is not said where it began
    (docs/domain.md#fund-bills).
-#}
with bills as (
    select
        file_id,
        channel,
        channel_account_id,
        account_type
    from {{ ref('int_channels__fund_bills') }}
    where accounting_date = {{ accounting_date() }}
),

fund_bills as (
    select
        channel,
        currency_code
    from {{ ref('fund_bills') }}
),

lines as (
    select
        file_id,
        line_number,
        part,
        amount_minor,
        balance_after_minor
    from {{ ref('int_channels__fund_lines') }}
    where accounting_date = {{ accounting_date() }}
),

totals_before as (
    select
        channel,
        channel_account_id,
        account_type,
        closing_balance_minor
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
),

in_order as (
    select
        file_id,
        amount_minor,
        balance_after_minor,
        row_number() over file_lines as place,
        count(*) over (partition by file_id) as line_count,
        lead(amount_minor) over file_lines as next_amount_minor,
        lead(balance_after_minor) over file_lines as next_balance_minor
    from lines
    window file_lines as (partition by file_id order by line_number)
),

directions as (
    select
        file_id,
        bool_and(
            next_balance_minor is null
            or balance_after_minor + next_amount_minor = next_balance_minor
        ) as is_oldest_first,
        bool_and(
            next_balance_minor is null
            or next_balance_minor + amount_minor = balance_after_minor
        ) as is_newest_first,
        max(balance_after_minor - amount_minor) filter (where place = 1) as first_opening_minor,
        max(balance_after_minor) filter (where place = 1) as first_closing_minor,
        max(balance_after_minor - amount_minor) filter (where place = line_count)
            as last_opening_minor,
        max(balance_after_minor) filter (where place = line_count) as last_closing_minor
    from in_order
    group by file_id
),

sums as (
    select
        file_id,
        count(*) as line_count,
        coalesce(sum(amount_minor) filter (where part = 'record'), 0) as record_amount_minor,
        coalesce(sum(amount_minor) filter (where part = 'withdrawal'), 0)
            as withdrawal_amount_minor,
        coalesce(sum(amount_minor) filter (where part = 'other'), 0) as other_amount_minor,
        coalesce(sum(amount_minor) filter (where part is null), 0) as unknown_amount_minor
    from lines
    group by file_id
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        bills.channel,
        bills.channel_account_id,
        bills.account_type,
        fund_bills.currency_code,
        bills.file_id,
        coalesce(sums.line_count, 0) as line_count,
        totals_before.closing_balance_minor as balance_before_minor,
        case
            when sums.line_count is null then totals_before.closing_balance_minor
            when directions.is_oldest_first then directions.first_opening_minor
            when directions.is_newest_first then directions.last_opening_minor
        end as opening_balance_minor,
        coalesce(sums.record_amount_minor, 0) as record_amount_minor,
        coalesce(sums.withdrawal_amount_minor, 0) as withdrawal_amount_minor,
        coalesce(sums.other_amount_minor, 0) as other_amount_minor,
        coalesce(sums.unknown_amount_minor, 0) as unknown_amount_minor,
        case
            when sums.line_count is null then totals_before.closing_balance_minor
            when directions.is_oldest_first then directions.last_closing_minor
            when directions.is_newest_first then directions.first_closing_minor
        end as closing_balance_minor
    from bills
    -- A bill of a channel that is not set up has no currency here: the contract refuses it.
    left join fund_bills on bills.channel = fund_bills.channel
    left join sums on bills.file_id = sums.file_id
    left join directions on bills.file_id = directions.file_id
    left join totals_before
        on bills.channel = totals_before.channel
        and bills.channel_account_id = totals_before.channel_account_id
        and bills.account_type = totals_before.account_type
)

select * from final
