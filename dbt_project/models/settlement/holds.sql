{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What is stated to merchants and not paid yet, because its money has not arrived (待到账款): one
    row for each transaction entry whose platform item is or was open, from the payment date that
    states it until the item has ended (docs/domain.md#held, docs/holds.md).

    Held is max(0, cleared − payable): nothing of an entry that only the platform has is payable,
    of an amount mismatch the smaller signed amount is. Net accounts: less the fee of the held part.
    An item counts as of the last close that this payment date pays for its channel, so that a hold
    ends with the money, not with the pair (docs/domain.md#end-of-a-hold).

    What is read of the closes is a month, and what a hold waits for may be older: a hold carries it
    from one payment date to the next, and ends by what has happened, never by its age.
-#}
with arrival_groups as (
    select
        channel,
        currency_code,
        accounting_date,
        arrival_group_id,
        payment_date
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date <= {{ payment_date() }}
        and accounting_date >= {{ days_back(payment_date()) }}
),

clearing_entries as (
    select
        entry_id,
        source_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        is_foreign_card,
        accounting_date,
        transaction_amount_minor,
        deducted_fee_amount_minor,
        clearing_amount_minor,
        clearing_session_type
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and clearing_session_type = 'transaction'
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
        account_id,
        opened_on,
        break_reason,
        linked_item_id,
        resolution_method,
        resolved_by_id
    from {{ ref('suspense_items') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

-- What this payment date makes up of fees that were deducted (net) before.
made_up as (
    select
        entry_id,
        sum(adjustment_amount_minor) as adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and settlement_mode = 'net'
    group by entry_id
),

holds_before as (
    select
        entry_id,
        voucher_id,
        account_id,
        merchant_id,
        settlement_session_type,
        currency_code,
        channel,
        accounting_date,
        stated_on,
        cleared_amount_minor,
        deducted_fee_amount_minor,
        reason,
        closing_gross_amount_minor,
        closing_fee_amount_minor,
        lowered_amount_minor,
        paid_early_amount_minor,
        closing_amount_minor,
        arrival_group_id
    from {{ this }}
    where payment_date = {{ previous_payment_date() }} and end_kind is null
),

-- What gave back something of a sale, and how each item last stood: probed by date, however old.
entries_before as (
    select
        accounting_date,
        entry_id,
        source_id,
        clearing_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date < {{ payment_date() }}
),

items_before as (
    select
        accounting_date,
        suspense_item_id,
        status,
        linked_item_id
    from {{ ref('suspense_items') }}
    where accounting_date < {{ payment_date() }}
),

original_movements as (
    select
        movement_id,
        original_voucher_id,
        accounting_date,
        movement_kind
    from {{ source('clearing_registers', 'original_movements') }}
),

unconfirmed_groups as (
    select
        arrival_group_id,
        channel,
        currency_code
    from {{ ref('int_settlement__short_arrivals') }}
    where opening_amount_minor + late_amount_minor <> 0
),

-- The records of an unconfirmed group, however old: a voucher may find its record much later.
unconfirmed_dates as (
    select
        unconfirmed_groups.arrival_group_id,
        record_dates.channel,
        record_dates.currency_code,
        record_dates.accounting_date
    from unconfirmed_groups
    inner join {{ ref('int_calendar__arrival_groups') }} as record_dates
        on unconfirmed_groups.arrival_group_id = record_dates.arrival_group_id
),

results_of_old_records as (
    select
        results.system_transaction_id,
        unconfirmed_dates.arrival_group_id
    from {{ ref('reconciliation_results') }} as results
    inner join unconfirmed_dates
        on results.channel = unconfirmed_dates.channel
        and results.currency_code = unconfirmed_dates.currency_code
        and results.opened_on = unconfirmed_dates.accounting_date
    where results.accounting_date >= {{ days_back(payment_date()) }}
        and results.accounting_date < {{ payment_date() }}
        and results.outcome = 'channel_resolved'
),

charged_write_offs as (
    select
        accounting_date,
        action_id,
        entry_id,
        channel,
        currency_code
    from {{ ref('charged_write_offs') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

early_payments as (
    select
        channel,
        currency_code,
        limit_amount_minor,
        limit_count,
        merchant_limit_amount_minor,
        item_limit_amount_minor
    from {{ ref('early_payments') }}
),

-- What people charged of written-off items: the hold ends with the statement that has the charge.
charged_entries as (
    select
        charged_write_offs.entry_id,
        'ACT:' || charged_write_offs.action_id as decision_id,
        arrival_groups.payment_date
    from charged_write_offs
    inner join arrival_groups
        on charged_write_offs.channel = arrival_groups.channel
        and charged_write_offs.currency_code = arrival_groups.currency_code
        and charged_write_offs.accounting_date = arrival_groups.accounting_date
),

charged_now as (
    select
        entry_id,
        decision_id
    from charged_entries
    where payment_date = {{ payment_date() }}
),

-- Each item as the last close left it that this payment date pays for the item's channel.
items_by_date as (
    select
        suspense_items.*,
        row_number() over (
            partition by suspense_items.suspense_item_id
            order by suspense_items.accounting_date desc
        ) as date_order
    from suspense_items
    inner join arrival_groups
        on suspense_items.channel = arrival_groups.channel
        and suspense_items.currency_code = arrival_groups.currency_code
        and suspense_items.accounting_date = arrival_groups.accounting_date
),

items_now as (
    select *
    from items_by_date
    where date_order = 1
),

system_items as (
    select
        system_side.source_id as voucher_id,
        system_side.status,
        system_side.break_reason,
        system_side.resolution_method,
        system_side.resolved_by_id,
        {{ payable_amount('system_side', 'channel_side') }} as payable_amount_minor
    from items_now as system_side
    left join items_now as channel_side
        on system_side.linked_item_id = channel_side.suspense_item_id
        and channel_side.side = 'channel'
        and (
            channel_side.status in ('in_doubt', 'one_sided')
            -- A pair that ended together was payable in part until then.
            or (
                channel_side.status = 'adjusted'
                and system_side.status = 'adjusted'
                and channel_side.accounting_date = system_side.accounting_date
            )
        )
    where system_side.side = 'system'
),

-- A sale whose record came earlier, with money of a group that never arrived whole: found by its
-- pair, and from then on by its own hold. One of before holds named their group waits for all.
waiting_for_groups as (
    select
        system_transaction_id as voucher_id,
        arrival_group_id
    from results_of_old_records
    union all
    select
        holds_before.voucher_id,
        unconfirmed_groups.arrival_group_id
    from holds_before
    inner join unconfirmed_groups
        on holds_before.channel = unconfirmed_groups.channel
        and holds_before.currency_code = unconfirmed_groups.currency_code
        and coalesce(holds_before.arrival_group_id, unconfirmed_groups.arrival_group_id)
        = unconfirmed_groups.arrival_group_id
    where holds_before.reason = 'arrival_unconfirmed'
),

of_unconfirmed_groups as (
    select
        voucher_id,
        min(arrival_group_id) as arrival_group_id
    from waiting_for_groups
    group by voucher_id
),

new_lines as (
    select
        clearing_entries.entry_id,
        clearing_entries.source_id as voucher_id,
        clearing_entries.account_id,
        clearing_entries.merchant_id,
        {{ settlement_session_type('clearing_entries') }} as settlement_session_type,
        clearing_entries.currency_code,
        clearing_entries.channel,
        clearing_entries.accounting_date,
        clearing_entries.transaction_amount_minor as cleared_amount_minor,
        clearing_entries.deducted_fee_amount_minor,
        clearing_entries.clearing_amount_minor
    from clearing_entries
),

stated_lines as (
    select
        new_lines.entry_id,
        new_lines.voucher_id,
        new_lines.account_id,
        new_lines.merchant_id,
        new_lines.settlement_session_type,
        new_lines.currency_code,
        new_lines.channel,
        new_lines.accounting_date,
        {{ payment_date() }} as stated_on,
        new_lines.cleared_amount_minor,
        new_lines.deducted_fee_amount_minor,
        cast(null as text) as reason_before,
        cast(null as text) as arrival_group_before,
        0 as opening_gross_amount_minor,
        0 as opening_fee_amount_minor,
        0 as lowered_before_minor,
        0 as paid_early_before_minor,
        0 as opening_amount_minor
    from new_lines
    left join system_items on new_lines.voucher_id = system_items.voucher_id
    left join of_unconfirmed_groups on new_lines.voucher_id = of_unconfirmed_groups.voucher_id
    where system_items.voucher_id is not null or of_unconfirmed_groups.voucher_id is not null
    union all
    select
        entry_id,
        voucher_id,
        account_id,
        merchant_id,
        settlement_session_type,
        currency_code,
        channel,
        accounting_date,
        stated_on,
        cleared_amount_minor,
        deducted_fee_amount_minor,
        reason as reason_before,
        arrival_group_id as arrival_group_before,
        closing_gross_amount_minor as opening_gross_amount_minor,
        closing_fee_amount_minor as opening_fee_amount_minor,
        lowered_amount_minor as lowered_before_minor,
        paid_early_amount_minor as paid_early_before_minor,
        closing_amount_minor as opening_amount_minor
    from holds_before
    where entry_id like 'T:%'
),

-- A fee made up for a sale that has not arrived is held with it.
lines as (
    select
        stated_lines.entry_id,
        stated_lines.voucher_id,
        stated_lines.account_id,
        stated_lines.merchant_id,
        stated_lines.settlement_session_type,
        stated_lines.currency_code,
        stated_lines.channel,
        stated_lines.accounting_date,
        stated_lines.stated_on,
        stated_lines.cleared_amount_minor,
        stated_lines.deducted_fee_amount_minor - coalesce(made_up.adjustment_amount_minor, 0)
            as deducted_fee_amount_minor,
        stated_lines.reason_before,
        stated_lines.arrival_group_before,
        stated_lines.opening_gross_amount_minor,
        stated_lines.opening_fee_amount_minor,
        stated_lines.lowered_before_minor,
        stated_lines.paid_early_before_minor,
        stated_lines.opening_amount_minor
    from stated_lines
    left join made_up on stated_lines.entry_id = made_up.entry_id
),

-- A written-off item has left the books; what is held for it stays until people say whose it is.
judged as (
    select
        lines.*,
        coalesce(of_unconfirmed_groups.arrival_group_id, lines.arrival_group_before)
            as arrival_group_id,
        system_items.status,
        case
            when charged_now.entry_id is not null then 'manual_adjustment'
            else system_items.resolution_method
        end as resolution_method,
        coalesce(charged_now.decision_id, system_items.resolved_by_id) as resolved_by_id,
        case
            when charged_now.entry_id is not null then null
            when of_unconfirmed_groups.voucher_id is not null then 'arrival_unconfirmed'
            when system_items.status in ('in_doubt', 'one_sided')
                then coalesce(system_items.break_reason, system_items.status)
            when system_items.resolution_method = 'write_off' then 'written_off'
            when system_items.voucher_id is null and lines.reason_before = 'written_off'
                then 'written_off'
        end as reason,
        case
            when of_unconfirmed_groups.voucher_id is not null
                then least(lines.cleared_amount_minor, 0)
            when system_items.status in ('in_doubt', 'one_sided')
                then system_items.payable_amount_minor
            -- It may have changed, and so been paid in part, on a date before it ended.
            when lines.stated_on = {{ payment_date() }} or system_items.status = 'adjusted'
                then system_items.payable_amount_minor
            else lines.cleared_amount_minor - lines.opening_gross_amount_minor
        end as payable_if_open_minor
    from lines
    left join system_items on lines.voucher_id = system_items.voucher_id
    left join of_unconfirmed_groups on lines.voucher_id = of_unconfirmed_groups.voucher_id
    left join charged_now on lines.entry_id = charged_now.entry_id
),

grossed as (
    select
        judged.*,
        case
            when reason is not null then greatest(cleared_amount_minor - payable_if_open_minor, 0)
            else 0
        end as closing_gross_amount_minor
    from judged
),

-- The fee that is deducted with the held part: all of it, or its share of a mismatch.
feed as (
    select
        grossed.*,
        case
            when closing_gross_amount_minor = 0 or cleared_amount_minor <= 0 then 0
            when closing_gross_amount_minor >= cleared_amount_minor
                then least(deducted_fee_amount_minor, closing_gross_amount_minor)
            else least(
                round(
                    cast(deducted_fee_amount_minor as numeric) * closing_gross_amount_minor
                    / cleared_amount_minor
                ),
                closing_gross_amount_minor
            )
        end as closing_fee_amount_minor
    from grossed
),

-- What takes a sale back and is in no channel's file either was deducted at once: it lowers the
-- hold of its sale first, so that one sale that never was is not taken from the merchant. When the
-- channel sends its record alone, the money of the sale is still missing, and all is held again.
last_closes as (
    select
        channel,
        currency_code,
        max(accounting_date) as accounting_date
    from arrival_groups
    group by channel, currency_code
),

reversals as (
    select
        lines.voucher_id as original_voucher_id,
        sum(entries.clearing_amount_minor) as clearing_amount_minor
    from lines
    inner join last_closes
        on lines.channel = last_closes.channel
        and lines.currency_code = last_closes.currency_code
    -- One index probe a held sale, however long the history is.
    cross join lateral (
        select
            original_movements.movement_id,
            original_movements.accounting_date
        from original_movements
        where original_movements.original_voucher_id = lines.voucher_id
            and original_movements.movement_kind = 'voucher'
            and original_movements.accounting_date <= last_closes.accounting_date
        offset 0
    ) as movements
    cross join lateral (
        select
            entries_before.source_id,
            entries_before.clearing_amount_minor
        from entries_before
        where entries_before.accounting_date = movements.accounting_date
            and entries_before.entry_id = movements.movement_id
        offset 0
    ) as entries
    cross join lateral (
        select
            items_before.status,
            items_before.linked_item_id
        from items_before
        where items_before.suspense_item_id = 'S:' || entries.source_id
            and items_before.accounting_date between movements.accounting_date
            and last_closes.accounting_date
        order by items_before.accounting_date desc
        limit 1
    ) as last_state
    where last_state.status in ('in_doubt', 'one_sided', 'written_off')
        -- What is linked to a record has one, of another amount.
        and last_state.linked_item_id is null
    group by lines.voucher_id
),

lowered as (
    select
        feed.*,
        case
            when reason is null then 0
            else least(
                greatest(-coalesce(reversals.clearing_amount_minor, 0), 0),
                closing_gross_amount_minor - closing_fee_amount_minor
            )
        end as lowered_amount_minor
    from feed
    left join reversals on feed.voucher_id = reversals.original_voucher_id
),

-- A channel may be set to pay what is in doubt before it arrives, within limits by what is paid
-- early already and what comes now: gross amounts and counts, never a net of both directions.
early_candidates as (
    select
        lowered.entry_id,
        early_payments.limit_amount_minor,
        early_payments.limit_count,
        early_payments.merchant_limit_amount_minor,
        sum(lowered.closing_gross_amount_minor) over (
            partition by lowered.channel, lowered.currency_code
            order by lowered.stated_on, lowered.accounting_date, lowered.voucher_id
        ) as running_amount_minor,
        row_number() over (
            partition by lowered.channel, lowered.currency_code
            order by lowered.stated_on, lowered.accounting_date, lowered.voucher_id
        ) as running_count,
        sum(lowered.closing_gross_amount_minor) over (
            partition by lowered.channel, lowered.currency_code, lowered.merchant_id
            order by lowered.stated_on, lowered.accounting_date, lowered.voucher_id
        ) as merchant_running_amount_minor
    from lowered
    inner join early_payments
        on lowered.channel = early_payments.channel
        and lowered.currency_code = early_payments.currency_code
    where
        lowered.reason = 'in_doubt'
        and (
            lowered.paid_early_before_minor > 0
            or (
                lowered.stated_on = {{ payment_date() }}
                and lowered.closing_gross_amount_minor
                between 1 and early_payments.item_limit_amount_minor
            )
        )
),

paid_early as (
    select entry_id
    from early_candidates
    where
        running_amount_minor <= limit_amount_minor
        and running_count <= limit_count
        and merchant_running_amount_minor <= merchant_limit_amount_minor
),

-- Paid early and not there when its doubt ends: charged back, by being held like anything else.
decided as (
    select
        lowered.*,
        case
            when paid_early.entry_id is null then 0
            else closing_gross_amount_minor - closing_fee_amount_minor - lowered_amount_minor
        end as paid_early_amount_minor
    from lowered
    left join paid_early on lowered.entry_id = paid_early.entry_id
),

closed as (
    select
        decided.*,
        closing_gross_amount_minor - closing_fee_amount_minor - lowered_amount_minor
        - paid_early_amount_minor as closing_amount_minor
    from decided
),

ended as (
    select
        closed.*,
        case
            when reason is not null then null
            when resolution_method in ('late_match', 'manual_match') then 'arrived'
            when resolution_method = 'adjustment' then 'recovered'
            when resolution_method = 'manual_adjustment' then 'charge_merchant'
            when resolution_method = 'offset' then 'offset'
            when reason_before = 'arrival_unconfirmed' then 'arrived'
        end as end_kind
    from closed
),

-- The channel took money back that no voucher of ours says: nobody is charged by itself, and the
-- account it is about does not get the money meanwhile.
refused_items as (
    select
        items_now.suspense_item_id as entry_id,
        items_now.source_id,
        items_now.account_id,
        items_now.channel,
        items_now.currency_code,
        items_now.opened_on,
        -items_now.amount_minor as amount_minor,
        items_now.resolution_method,
        items_now.resolved_by_id,
        case
            when items_now.status in ('in_doubt', 'one_sided')
                and items_now.break_reason = 'refused_voucher' then 'refused_voucher'
            when items_now.status in ('in_doubt', 'one_sided') then 'taken_by_channel'
            when items_now.resolution_method = 'write_off' then 'written_off'
        end as reason
    from items_now
    where items_now.side = 'channel'
        -- A record that a voucher of another amount, merchant… is linked to counts with that one.
        and (
            items_now.break_reason is null
            or items_now.break_reason in ('refused_voucher', 'duplicate', 'no_reference')
        )
        and items_now.account_id is not null
        and items_now.amount_minor < 0
        -- What was charged before is held no more.
        and items_now.suspense_item_id not in (
            select charged_entries.entry_id
            from charged_entries
            where charged_entries.payment_date < {{ payment_date() }}
        )
),

refused as (
    select
        coalesce(holds_before.entry_id, refused_items.entry_id) as entry_id,
        coalesce(holds_before.voucher_id, refused_items.source_id) as voucher_id,
        coalesce(holds_before.account_id, refused_items.account_id) as account_id,
        coalesce(holds_before.currency_code, refused_items.currency_code) as currency_code,
        coalesce(holds_before.channel, refused_items.channel) as channel,
        coalesce(holds_before.accounting_date, refused_items.opened_on) as accounting_date,
        coalesce(holds_before.stated_on, {{ payment_date() }}) as stated_on,
        coalesce(holds_before.closing_amount_minor, 0) as opening_amount_minor,
        -- A written-off one has no item any more, and stays held.
        case
            when charged_now.entry_id is not null then null
            when refused_items.entry_id is not null then refused_items.reason
            when holds_before.reason = 'written_off' then 'written_off'
        end as reason,
        holds_before.reason as reason_before,
        coalesce(refused_items.amount_minor, holds_before.closing_amount_minor) as amount_minor,
        case
            when charged_now.entry_id is not null then 'manual_adjustment'
            else refused_items.resolution_method
        end as resolution_method,
        coalesce(charged_now.decision_id, refused_items.resolved_by_id) as resolved_by_id
    from refused_items
    full join holds_before on refused_items.entry_id = holds_before.entry_id
    left join charged_now on holds_before.entry_id = charged_now.entry_id
    where (holds_before.entry_id is null and refused_items.reason is not null)
        or holds_before.entry_id like 'C:%'
),

refused_closed as (
    select
        refused.*,
        case when reason is null then 0 else amount_minor end as closing_amount_minor
    from refused
),

all_holds as (
    select
        entry_id,
        voucher_id,
        account_id,
        merchant_id,
        settlement_session_type,
        currency_code,
        channel,
        accounting_date,
        stated_on,
        cleared_amount_minor,
        deducted_fee_amount_minor,
        reason,
        reason_before,
        opening_amount_minor,
        closing_amount_minor,
        opening_gross_amount_minor,
        closing_gross_amount_minor,
        opening_fee_amount_minor,
        closing_fee_amount_minor,
        lowered_before_minor,
        lowered_amount_minor,
        paid_early_before_minor,
        paid_early_amount_minor,
        payable_if_open_minor,
        end_kind,
        resolved_by_id,
        arrival_group_id
    from ended
    union all
    select
        entry_id,
        voucher_id,
        account_id,
        cast(null as text) as merchant_id,
        'transaction' as settlement_session_type,
        currency_code,
        channel,
        accounting_date,
        stated_on,
        0 as cleared_amount_minor,
        0 as deducted_fee_amount_minor,
        reason,
        reason_before,
        opening_amount_minor,
        closing_amount_minor,
        opening_amount_minor as opening_gross_amount_minor,
        closing_amount_minor as closing_gross_amount_minor,
        0 as opening_fee_amount_minor,
        0 as closing_fee_amount_minor,
        0 as lowered_before_minor,
        0 as lowered_amount_minor,
        0 as paid_early_before_minor,
        0 as paid_early_amount_minor,
        0 as payable_if_open_minor,
        case
            when reason is not null then null
            when resolution_method = 'manual_adjustment' then 'charge_merchant'
            when resolution_method = 'adjustment' then 'recovered'
            when resolution_method = 'offset' then 'offset'
            else 'arrived'
        end as end_kind,
        resolved_by_id,
        cast(null as text) as arrival_group_id
    from refused_closed
),

final as (
    select
        {{ payment_date() }} as payment_date,
        entry_id,
        voucher_id,
        account_id,
        merchant_id,
        settlement_session_type,
        1 as settlement_session_no,
        currency_code,
        channel,
        accounting_date,
        stated_on,
        cleared_amount_minor,
        deducted_fee_amount_minor,
        coalesce(reason, reason_before, 'ended_before_stated') as reason,
        reason is not null as is_open,
        opening_amount_minor,
        greatest(closing_amount_minor - opening_amount_minor, 0) as opened_amount_minor,
        greatest(opening_amount_minor - closing_amount_minor, 0) as released_amount_minor,
        closing_amount_minor,
        opening_gross_amount_minor,
        closing_gross_amount_minor,
        opening_fee_amount_minor,
        closing_fee_amount_minor,
        lowered_before_minor,
        lowered_amount_minor,
        paid_early_before_minor,
        paid_early_amount_minor,
        -- What left by other ways than the arrival of its money.
        case
            when end_kind is null or end_kind = 'arrived' then 0
            else greatest(cleared_amount_minor - payable_if_open_minor, 0)
        end as ended_gross_amount_minor,
        end_kind,
        case when end_kind is not null and resolved_by_id like 'ACT:%' then resolved_by_id end
            as decision_id,
        case
            when coalesce(reason, reason_before) = 'arrival_unconfirmed' then arrival_group_id
        end as arrival_group_id
    from all_holds
)

select * from final
