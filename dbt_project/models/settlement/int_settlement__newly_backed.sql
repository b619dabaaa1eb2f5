{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    pre_hook='{{ set_based() }}', post_hook='analyze {{ this }}'
) }}

{#-
    What the channels' records say that this payment date may pay, before any fee (docs/holds.md):
    read from reconciliation, never from clearing. One row an account, session, currency and
    arrival group; only the owner of a record is looked up among the entries and holds.

    A paired record counts with the channel's amount, in the group of the date that paired it. An
    open platform item counts with its payable part: the smaller amount of a mismatch, and what
    takes money from the merchant at once; it is a stock, so its change is counted.
-#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
),

results as (
    select
        accounting_date,
        channel,
        currency_code,
        system_transaction_id,
        channel_amount_minor
    from {{ ref('reconciliation_results') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and outcome in ('matched', 'system_resolved', 'channel_resolved')
        -- Two rows tell of a pair made by people: that of the platform's item counts.
        and (outcome <> 'channel_resolved' or linked_result_id is null)
),

suspense_items as (
    select
        accounting_date,
        suspense_item_id,
        side,
        source_id,
        channel,
        currency_code,
        status,
        amount_minor,
        break_reason,
        linked_item_id
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

clearing_entries as (
    select
        source_id as voucher_id,
        account_id,
        {{ settlement_session_type('entries') }} as settlement_session_type
    from {{ ref('clearing_entries') }} as entries
    where entries.accounting_date >= {{ days_back(payment_date()) }}
        and entries.accounting_date < {{ payment_date() }}
        and entries.payment_date = {{ payment_date() }}
        and entries.clearing_session_type = 'transaction'
),

holds_before as (
    select
        voucher_id,
        account_id,
        settlement_session_type
    from {{ ref('holds') }}
    where payment_date = {{ payment_date() }} and stated_on < {{ payment_date() }}
),

owners as (
    select voucher_id, account_id, settlement_session_type from clearing_entries
    union all
    select voucher_id, account_id, settlement_session_type from holds_before
),

item_states as (
    select
        system_side.accounting_date,
        system_side.source_id,
        system_side.channel,
        system_side.currency_code,
        system_side.status,
        case
            when system_side.status in ('in_doubt', 'one_sided')
                then {{ payable_amount('system_side', 'channel_side') }}
        end as payable_amount_minor,
        lag(
            case
                when system_side.status in ('in_doubt', 'one_sided')
                    then {{ payable_amount('system_side', 'channel_side') }}
            end
        ) over (
            partition by system_side.suspense_item_id
            order by system_side.accounting_date
        ) as payable_before_minor
    from suspense_items as system_side
    left join suspense_items as channel_side
        on system_side.accounting_date = channel_side.accounting_date
        and system_side.linked_item_id = channel_side.suspense_item_id
        and channel_side.side = 'channel'
        and channel_side.status in ('in_doubt', 'one_sided')
    where system_side.side = 'system'
),

-- An item that ended without its record keeps what was paid of it.
payable_changes as (
    select
        accounting_date,
        channel,
        currency_code,
        source_id as voucher_id,
        coalesce(payable_amount_minor, 0) - coalesce(payable_before_minor, 0) as amount_minor
    from item_states
    where status in ('in_doubt', 'one_sided', 'resolved')
),

parts as (
    select
        accounting_date,
        channel,
        currency_code,
        system_transaction_id as voucher_id,
        channel_amount_minor as paired_amount_minor,
        0 as open_amount_minor
    from results
    union all
    select
        accounting_date,
        channel,
        currency_code,
        voucher_id,
        0 as paired_amount_minor,
        amount_minor as open_amount_minor
    from payable_changes
    where amount_minor <> 0
),

final as (
    select
        owners.account_id,
        owners.settlement_session_type,
        parts.currency_code,
        arrival_groups.arrival_group_id,
        sum(parts.paired_amount_minor) as paired_amount_minor,
        sum(parts.open_amount_minor) as open_amount_minor,
        sum(parts.paired_amount_minor + parts.open_amount_minor) as newly_backed_amount_minor
    from parts
    inner join arrival_groups
        on parts.channel = arrival_groups.channel
        and parts.currency_code = arrival_groups.currency_code
        and parts.accounting_date = arrival_groups.accounting_date
    left join owners on parts.voucher_id = owners.voucher_id
    group by
        owners.account_id, owners.settlement_session_type, parts.currency_code,
        arrival_groups.arrival_group_id
)

select * from final
