{{ config(materialized='ephemeral') }}

{#- Gate checks on what came in: files and their totals, closed dates, posted source vouchers. -#}
with arrival_groups as (
    select distinct accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

arrival_dates as (
    select distinct arrival_date
    from {{ ref('int_calendar__arrival_groups') }}
    where arrival_date > {{ previous_payment_date() }}
        and arrival_date <= {{ payment_date() }}
),

expected_files as (
    select
        channel,
        file_kind,
        name_part,
        calendar
    from {{ ref('expected_files') }}
),

calendar_days as (
    select
        calendar_date,
        is_working_day
    from {{ ref('calendar_days') }}
),

first_date as (
    select min(accounting_date) as accounting_date
    from {{ ref('int_calendar__arrival_groups') }}
),

channel_files as (
    select
        channel,
        -- A reserve bank may send its statements as CSV: they prove as much. MT940 is not named,
        -- because the fee account's would stand for the reserve's.
        case
            when channel = 'bank' and file_kind = 'bank_csv' then 'camt053'
            else file_kind
        end as file_kind,
        accounting_date,
        slot,
        status,
        totals_status,
        row_count,
        declared_row_count,
        declared_total_minor,
        counted_total_minor
    from {{ source('control', 'channel_files') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date <= {{ payment_date() }}
),

accounting_days as (
    select
        accounting_date,
        state
    from {{ source('control', 'accounting_days') }}
),

transaction_types as (
    select transaction_type
    from {{ ref('transaction_types') }}
    where is_cleared
),

landed_vouchers as (
    select
        voucher_id,
        accounting_date,
        transaction_type,
        transaction_status,
        original_voucher_id,
        amount_minor
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

refused_vouchers as (
    select
        voucher_id,
        accounting_date
    from {{ ref('refused_vouchers') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
),

-- What contradicts our history is refused: neither cleared nor posted.
source_vouchers as (
    select landed_vouchers.*
    from landed_vouchers
    left join refused_vouchers
        on landed_vouchers.accounting_date = refused_vouchers.accounting_date
        and landed_vouchers.voucher_id = refused_vouchers.voucher_id
    where refused_vouchers.voucher_id is null
),

voucher_register as (
    select
        voucher_id,
        accounting_date,
        transaction_status
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

transaction_postings as (
    select
        accounting_date,
        source_id,
        case 'channel_receivable' when debit_account then amount_minor else -amount_minor end
            as amount_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ previous_payment_date() }}
        and accounting_date < {{ payment_date() }}
        and event_type = 'transaction'
        and 'channel_receivable' in (debit_account, credit_account)
),

-- A file counts when it landed and its own totals, declared and counted, are equal once more.
judged_files as (
    select
        channel_files.*,
        status = 'landed'
        and totals_status in ('agree', 'none_in_format')
        and (declared_row_count is null or declared_row_count = row_count)
        and (
            declared_total_minor is null
            or declared_total_minor is not distinct from counted_total_minor
        )
            as is_good
    from channel_files
),

slots as (
    select
        expected_files.channel,
        expected_files.file_kind,
        expected_files.name_part,
        arrival_groups.accounting_date as business_date
    from arrival_groups
    cross join expected_files
    cross join first_date
    left join calendar_days
        on arrival_groups.accounting_date = calendar_days.calendar_date
    -- A calendar nobody knows is every day: it must not let a file be missing.
    where case expected_files.calendar
        when 'first_accounting_date'
            then arrival_groups.accounting_date = first_date.accounting_date
        when 'working_day' then coalesce(calendar_days.is_working_day, true)
        else true
    end
    union
    -- The statement that shows the arrivals, before the gate.
    select
        'bank' as channel,
        'camt053' as file_kind,
        cast(null as text) as name_part,
        arrival_date as business_date
    from arrival_dates
),

slot_states as (
    select
        slots.channel,
        slots.file_kind || coalesce(' ' || slots.name_part, '') as owed_file,
        slots.business_date,
        count(*) filter (where judged_files.is_good) as good_count,
        count(*) filter (where judged_files.status = 'landed' and not judged_files.is_good)
            as wrong_totals_count,
        count(*) filter (where judged_files.status = 'conflict') as conflict_count,
        count(*) filter (where judged_files.status = 'quarantined') as quarantined_count
    from slots
    left join judged_files
        on slots.channel = judged_files.channel
        and slots.file_kind = judged_files.file_kind
        and slots.business_date = judged_files.accounting_date
        and (
            slots.name_part is null
            or position('/' || slots.name_part || '/' in '/' || judged_files.slot || '/') > 0
        )
    group by slots.channel, slots.file_kind, slots.name_part, slots.business_date
),

slot_faults as (
    select
        slot_states.*,
        case
            when wrong_totals_count > 0 then owed_file || ': totals differ (控制总数不符)'
            when conflict_count > 0
                then owed_file || ': a second file with other bytes (重复文件内容不同)'
            when good_count = 0 and quarantined_count > 0
                then owed_file || ': in quarantine (已隔离)'
            when good_count = 0 then owed_file || ': missing (缺失)'
        end as fault
    from slot_states
),

file_checks as (
    select
        'files_complete_and_totals_agree' as check_name,
        to_char(business_date, 'YYYY-MM-DD') || ' ' || channel as subject,
        count(*) filter (where fault is not null) = 0 as holds,
        coalesce(string_agg(fault, '; ' order by owed_file), '') as detail,
        cast(count(*) filter (where fault is null) as text) as measured,
        cast(count(*) as text) as expected
    from slot_faults
    group by business_date, channel
),

day_checks as (
    select
        'accounting_dates_closed' as check_name,
        to_char(arrival_groups.accounting_date, 'YYYY-MM-DD') as subject,
        coalesce(accounting_days.state in ('closed', 'sealed'), false) as holds,
        case
            when accounting_days.state in ('closed', 'sealed') then ''
            else 'accounting date is not closed (会计日期未关账)'
        end as detail,
        -- Sealed follows closed once its payouts are submitted; both mean closed here.
        case
            when accounting_days.state in ('closed', 'sealed') then 'closed'
            else coalesce(accounting_days.state, 'missing')
        end as measured,
        'closed' as expected
    from arrival_groups
    left join accounting_days
        on arrival_groups.accounting_date = accounting_days.accounting_date
    union all
    select
        'accounting_dates_closed' as check_name,
        'all' as subject,
        count(*) > 0 as holds,
        case
            when count(*) > 0 then ''
            else 'no accounting date is paid on this payment date (无待付会计日期)'
        end as detail,
        cast(count(*) as text) as measured,
        'at least 1' as expected
    from arrival_groups
),

-- The reversal of a transaction that failed reverses nothing, on whatever date that failed: one
-- index probe a reversal.
reversals_of_nothing as (
    select
        source_vouchers.accounting_date,
        source_vouchers.voucher_id
    from source_vouchers
    cross join lateral (
        select voucher_register.transaction_status
        from voucher_register
        where voucher_register.voucher_id = source_vouchers.original_voucher_id
            and voucher_register.accounting_date <= source_vouchers.accounting_date
        limit 1
    ) as originals
    where source_vouchers.transaction_type = 'reversal'
        and originals.transaction_status is distinct from 'success'
),

vouchers_to_post as (
    select
        source_vouchers.accounting_date,
        source_vouchers.voucher_id,
        source_vouchers.amount_minor
    from source_vouchers
    inner join transaction_types
        on source_vouchers.transaction_type = transaction_types.transaction_type
    left join reversals_of_nothing
        on source_vouchers.accounting_date = reversals_of_nothing.accounting_date
        and source_vouchers.voucher_id = reversals_of_nothing.voucher_id
    where source_vouchers.transaction_status = 'success'
        and source_vouchers.amount_minor <> 0
        and reversals_of_nothing.voucher_id is null
),

posted as (
    select
        accounting_date,
        source_id,
        sum(amount_minor) as amount_minor
    from transaction_postings
    group by accounting_date, source_id
),

compared_vouchers as (
    select
        coalesce(vouchers_to_post.accounting_date, posted.accounting_date) as accounting_date,
        vouchers_to_post.amount_minor is distinct from posted.amount_minor as is_wrong,
        coalesce(vouchers_to_post.voucher_id, posted.source_id) as voucher_id
    from vouchers_to_post
    full join posted
        on vouchers_to_post.accounting_date = posted.accounting_date
        and vouchers_to_post.voucher_id = posted.source_id
),

voucher_checks as (
    select
        'no_unposted_source_voucher' as check_name,
        to_char(arrival_groups.accounting_date, 'YYYY-MM-DD') as subject,
        count(*) filter (where compared_vouchers.is_wrong) = 0 as holds,
        coalesce(
            'first of them: '
            || min(compared_vouchers.voucher_id) filter (where compared_vouchers.is_wrong),
            ''
        ) as detail,
        cast(count(*) filter (where compared_vouchers.is_wrong) as text) as measured,
        '0' as expected
    from arrival_groups
    left join compared_vouchers
        on arrival_groups.accounting_date = compared_vouchers.accounting_date
    group by arrival_groups.accounting_date
),

final as (
    select * from file_checks
    union all
    select * from day_checks
    union all
    select * from voucher_checks
)

select * from final
