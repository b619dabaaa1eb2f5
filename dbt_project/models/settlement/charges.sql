{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What becomes of each charge on the payment date (扣款): taken at once, or waiting on adjustments
    receivable behind a freeze for all of it, until the balance suffices or two people write it off
    (docs/domain.md#charge-beyond-the-balance). One row a charge that is due, waits or ends.

    The charges of an account are judged one after another, those that wait first, the oldest
    first. A new one is taken where it is no more than what is booked. One that waits is taken where
    what is backed, less all other freezes and what older charges wait for, is enough for it.
-#}
with recursive clearing_entries as (
    select
        accounting_date,
        entry_id,
        clearing_session_type,
        account_id,
        merchant_id,
        channel,
        currency_code,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
),

charges_before as (
    select
        accounting_date,
        entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        charge_amount_minor,
        closing_amount_minor,
        waits_since
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and charge_status = 'waiting'
),

balances as (
    select
        account_id,
        currency_code,
        balance_amount_minor,
        held_amount_minor
    from {{ ref('int_settlement__components') }}
),

freezes as (
    select
        account_id,
        currency_code,
        frozen_amount_minor
    from {{ ref('freezes') }}
    where payment_date = {{ payment_date() }} and is_in_force
),

requests as (
    select
        request_id,
        freeze_id as entry_id
    from {{ source('control', 'freeze_requests') }}
    where action = 'write_off' and effective_on <= {{ payment_date() }}
),

approvals as (
    select request_id
    from {{ source('control', 'freeze_approvals') }}
),

write_offs as (
    select
        requests.entry_id,
        min(requests.request_id) as request_id
    from requests
    inner join approvals on requests.request_id = approvals.request_id
    group by requests.entry_id
),

due as (
    select
        accounting_date,
        entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        charge_amount_minor,
        closing_amount_minor as opening_amount_minor,
        waits_since
    from charges_before
    union all
    select
        accounting_date,
        entry_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        -clearing_amount_minor as charge_amount_minor,
        0 as opening_amount_minor,
        {{ payment_date() }} as waits_since
    from clearing_entries
    where {{ is_deferrable_charge('clearing_entries') }}
),

account_balances as (
    select
        account_id,
        currency_code,
        sum(balance_amount_minor) as booked_minor,
        sum(balance_amount_minor - held_amount_minor) as backed_minor
    from balances
    group by account_id, currency_code
),

account_freezes as (
    select
        account_id,
        currency_code,
        sum(frozen_amount_minor) as frozen_minor
    from freezes
    group by account_id, currency_code
),

ordered as (
    select
        due.*,
        write_offs.request_id,
        coalesce(account_balances.booked_minor, 0) as booked_minor,
        coalesce(account_balances.backed_minor, 0) as backed_minor,
        coalesce(account_freezes.frozen_minor, 0) as frozen_minor,
        row_number() over (
            partition by due.account_id, due.currency_code
            order by due.waits_since, due.entry_id
        ) as charge_order
    from due
    left join write_offs
        on due.entry_id = write_offs.entry_id and due.opening_amount_minor > 0
    left join account_balances
        on due.account_id = account_balances.account_id
        and due.currency_code = account_balances.currency_code
    left join account_freezes
        on due.account_id = account_freezes.account_id
        and due.currency_code = account_freezes.currency_code
),

-- Before the first charge of each account nothing is taken, and nothing waits.
judged as (
    select
        account_id,
        currency_code,
        cast(0 as bigint) as charge_order,
        cast('none' as text) as charge_status,
        cast(0 as numeric) as taken_minor,
        cast(0 as numeric) as waiting_minor
    from ordered
    where charge_order = 1
    union all
    select
        ordered.account_id,
        ordered.currency_code,
        ordered.charge_order,
        verdict.charge_status,
        judged.taken_minor
        + case verdict.charge_status when 'charged' then ordered.charge_amount_minor else 0 end,
        judged.waiting_minor
        + case verdict.charge_status when 'waiting' then ordered.charge_amount_minor else 0 end
    from judged
    inner join ordered
        on judged.account_id = ordered.account_id
        and judged.currency_code = ordered.currency_code
        and judged.charge_order + 1 = ordered.charge_order
    cross join lateral (
        select
            case
                when ordered.request_id is not null then 'written_off'
                when ordered.opening_amount_minor = 0
                    and ordered.charge_amount_minor <= ordered.booked_minor - judged.taken_minor
                    then 'charged'
                when ordered.opening_amount_minor > 0
                    and ordered.charge_amount_minor
                    <= ordered.backed_minor - judged.taken_minor - ordered.frozen_minor
                    - judged.waiting_minor
                    then 'charged'
                else 'waiting'
            end as charge_status
    ) as verdict
),

final as (
    select
        {{ payment_date() }} as payment_date,
        ordered.entry_id,
        ordered.accounting_date,
        ordered.account_id,
        ordered.merchant_id,
        ordered.channel,
        ordered.currency_code,
        ordered.charge_amount_minor,
        ordered.waits_since,
        {{ payment_date() }} - ordered.waits_since as age_days,
        judged.charge_status,
        ordered.opening_amount_minor,
        case
            when ordered.opening_amount_minor = 0 and judged.charge_status = 'waiting'
                then ordered.charge_amount_minor
            else 0
        end as deferred_amount_minor,
        case
            when ordered.opening_amount_minor > 0 and judged.charge_status = 'charged'
                then ordered.charge_amount_minor
            else 0
        end as released_amount_minor,
        case when judged.charge_status = 'written_off' then ordered.charge_amount_minor else 0 end
            as written_off_amount_minor,
        case when judged.charge_status = 'waiting' then ordered.charge_amount_minor else 0 end
            as closing_amount_minor,
        case when judged.charge_status = 'written_off' then cast(ordered.request_id as text) end
            as decision_id
    from ordered
    inner join judged
        on ordered.account_id = judged.account_id
        and ordered.currency_code = judged.currency_code
        and ordered.charge_order = judged.charge_order
)

select * from final
