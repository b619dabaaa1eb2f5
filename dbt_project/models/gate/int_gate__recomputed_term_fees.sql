{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    What late approvals make up on this payment date, computed a second time: from what the platform
    delivered, the landed vouchers and the entries as they were cleared, by other steps than
    clearing.term_adjustments (docs/decisions/0046-late-approvals-are-made-up.md). One row an entry
    that either of them makes up.
-#}
with paid_dates as (
    select
        channel,
        currency_code,
        accounting_date as closed_on
    from {{ ref('int_calendar__arrival_groups') }}
    where payment_date = {{ payment_date() }}
        and accounting_date >= {{ days_back(payment_date()) }}
),

told as (
    select
        accounting_date,
        change_id,
        term_kind,
        term_key,
        account_id,
        change_kind,
        change_state,
        changed_on,
        content_before,
        content_delivered
    from {{ ref('term_changes') }}
    where accounting_date >= {{ days_back(payment_date()) }} - 1
        and accounting_date < {{ payment_date() }}
        and term_kind in ('contract', 'fee_rate')
),

decided as (
    select
        change_id,
        effective_on,
        (array_agg(decision order by approval_id desc))[1] as decision
    from {{ source('control', 'term_approval_items') }}
    where effective_on >= {{ days_back(payment_date()) }} and effective_on < {{ payment_date() }}
    group by change_id, effective_on
),

listed as (
    select
        accounting_date,
        'contract' as term_kind,
        contract_id as term_key,
        is_in_force,
        content_sha256
    from {{ ref('contract_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }} - 1
        and accounting_date < {{ payment_date() }}
    union all
    select
        accounting_date,
        'fee_rate' as term_kind,
        fee_rule_id as term_key,
        is_in_force,
        content_sha256
    from {{ ref('fee_rate_terms') }}
    where accounting_date >= {{ days_back(payment_date()) }} - 1
        and accounting_date < {{ payment_date() }}
),

contracts as (
    select
        snapshot_date,
        contract_id,
        merchant_id,
        account_id,
        refund_fee_policy,
        effective_from,
        coalesce(effective_to, date 'infinity') as effective_to,
        merchant_category_code
    from {{ ref('int_terms__contracts') }}
    where snapshot_date >= {{ payment_date() }} - 391 and snapshot_date < {{ payment_date() }}
),

rates as (
    select
        snapshot_date,
        fee_rule_id,
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        coalesce(tier_from_minor, 0) as tier_from_minor,
        fee_rate,
        coalesce(fixed_fee_minor, 0) as fixed_fee_minor,
        coalesce(minimum_fee_minor, 0) as minimum_fee_minor,
        cap_fee_minor,
        effective_from,
        coalesce(effective_to, date 'infinity') as effective_to,
        priority,
        merchant_category_code
    from {{ ref('int_terms__fee_rates') }}
    where snapshot_date >= {{ days_back(payment_date()) }}
        and snapshot_date < {{ payment_date() }}
),

account_days as (
    select
        accounting_date,
        account_id,
        currency_code,
        transaction_amount_minor
    from {{ ref('clearing_records') }}
    where accounting_date >= {{ payment_date() }} - 453
        and accounting_date < {{ payment_date() }}
),

first_dates as (
    select
        snapshot_date,
        first_accounting_date
    from {{ ref('stg_platform__operating_window') }}
    where snapshot_date >= {{ payment_date() }} - 391 and snapshot_date < {{ payment_date() }}
),

types as (
    select
        transaction_type,
        fee_treatment
    from {{ ref('transaction_types') }}
),

moves as (
    select
        movement_id,
        original_voucher_id,
        accounting_date,
        movement_kind,
        amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
),

adjustments as (
    select
        accounting_date,
        payment_date,
        entry_id,
        account_id,
        currency_code,
        settlement_mode,
        adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date >= {{ payment_date() }} - 391
        and accounting_date < {{ payment_date() }}
),

-- Approved in a close that is paid now, and since when it should have acted.
approved as (
    select
        told.accounting_date as closed_on,
        told.term_kind,
        told.term_key,
        told.account_id,
        told.term_kind = 'fee_rate'
        or told.change_kind <> 'changed'
        or (
            told.content_before ->> 'merchant_id', told.content_before ->> 'account_id',
            told.content_before ->> 'effective_from', told.content_before ->> 'effective_to',
            told.content_before ->> 'merchant_category_code'
        ) is distinct from (
            told.content_delivered ->> 'merchant_id', told.content_delivered ->> 'account_id',
            told.content_delivered ->> 'effective_from', told.content_delivered ->> 'effective_to',
            told.content_delivered ->> 'merchant_category_code'
        ) as prices,
        told.term_kind = 'contract'
        and (
            told.change_kind <> 'changed'
            or told.content_before ->> 'refund_fee_policy'
            is distinct from told.content_delivered ->> 'refund_fee_policy'
        ) as returns,
        case
            when told.content_before ->> 'effective_from'
                <= told.content_delivered ->> 'effective_from'
                then greatest(
                    told.changed_on, cast(told.content_delivered ->> 'effective_from' as date)
                )
            else cast(told.content_delivered ->> 'effective_from' as date)
        end as since
    from told
    where told.change_state = 'approved'
        and not exists (
            select 1
            from listed as before
            inner join listed as now
                on before.term_kind = now.term_kind
                and before.term_key = now.term_key
                and before.content_sha256 = now.content_sha256
            where before.term_kind = told.term_kind
                and before.term_key = told.term_key
                and before.is_in_force
                and before.accounting_date = told.accounting_date - 1
                and now.accounting_date = told.accounting_date
        )
    union all
    select
        decided.effective_on as closed_on,
        told.term_kind,
        told.term_key,
        told.account_id,
        true as prices,
        false as returns,
        told.changed_on as since
    from decided
    inner join told
        on decided.change_id = told.change_id
        and decided.effective_on = told.accounting_date + 1
    where decided.decision = 'approve'
        and told.change_kind = 'removed'
        and not exists (
            select 1
            from listed
            where listed.accounting_date = decided.effective_on
                and listed.term_kind = told.term_kind
                and listed.term_key = told.term_key
        )
),

touched as (
    select
        closed_on,
        account_id,
        min(since) as since
    from approved
    where since < closed_on and (prices or returns)
    group by closed_on, account_id
),

entries as (
    select
        cleared.accounting_date,
        cleared.entry_id,
        cleared.clearing_session_type,
        cleared.source_id,
        cleared.account_id,
        cleared.channel,
        cleared.currency_code,
        cleared.transaction_type,
        cleared.fee_amount_minor,
        cleared.settlement_mode,
        cleared.fee_rule_id,
        cleared.contract_id
    from {{ ref('clearing_entries') }} as cleared
    where cleared.accounting_date >= {{ payment_date() }} - 391
        and cleared.accounting_date < {{ payment_date() }}
        and cleared.accounting_date >= (select min(touched.since) - 1 from touched)
        -- Of what was sold in another currency nothing is made up (0079).
        and coalesce(cleared.transaction_currency_code = cleared.currency_code, true)
),

vouchers as (
    select
        landed.accounting_date,
        landed.voucher_id,
        landed.transaction_at,
        landed.merchant_id,
        landed.amount_minor,
        landed.card_kind,
        landed.card_region
    from {{ ref('stg_platform__source_vouchers') }} as landed
    where landed.accounting_date >= {{ payment_date() }} - 391
        and landed.accounting_date < {{ payment_date() }}
        and landed.accounting_date >= (select min(touched.since) - 1 from touched)
),

charged_items as (
    select
        items.accounting_date,
        items.source_id,
        items.resolved_by_id
    from {{ ref('suspense_items') }} as items
    where items.accounting_date >= {{ payment_date() }} - 391
        and items.accounting_date < {{ payment_date() }}
        and items.accounting_date >= (select min(touched.since) - 1 from touched)
        and items.side = 'system'
        and items.resolution_method = 'manual_adjustment'
        and items.status = 'adjusted'
),

sales as (
    select
        touched.closed_on,
        entries.accounting_date,
        entries.entry_id,
        entries.source_id,
        entries.account_id,
        entries.channel,
        entries.currency_code,
        entries.transaction_type as sold_as,
        entries.fee_rule_id,
        entries.contract_id,
        vouchers.merchant_id,
        vouchers.card_kind,
        vouchers.card_region,
        vouchers.amount_minor as sold_minor,
        {{ business_date('vouchers.transaction_at') }} as sold_on
    from touched
    inner join entries
        on touched.account_id = entries.account_id
        and entries.accounting_date >= greatest(touched.since - 1, touched.closed_on - 360)
        and entries.accounting_date < touched.closed_on
        and entries.clearing_session_type = 'transaction'
    inner join paid_dates
        on touched.closed_on = paid_dates.closed_on
        and entries.channel = paid_dates.channel
        and entries.currency_code = paid_dates.currency_code
    inner join types
        on entries.transaction_type = types.transaction_type
        and types.fee_treatment = 'charge'
    inner join vouchers
        on entries.accounting_date = vouchers.accounting_date
        and entries.source_id = vouchers.voucher_id
),

-- One price a kind of sale, on the terms of the close that took the approval over.
kinds as (
    select distinct
        closed_on,
        accounting_date,
        merchant_id,
        account_id,
        channel,
        currency_code,
        sold_as,
        card_kind,
        card_region,
        sold_on
    from sales
),

-- The month before a sale's own, day by day, of the accounts whose contracts have tiers; one that
-- was not all ours counts for nothing.
months as materialized (
    select
        sold.accounting_date,
        sold.account_id,
        sold.currency_code,
        (
            select sum(account_days.transaction_amount_minor)
            from account_days
            where account_days.account_id = sold.account_id
                and account_days.currency_code = sold.currency_code
                and account_days.accounting_date
                >= date_trunc('month', sold.accounting_date - interval '1 month')
                and account_days.accounting_date < date_trunc('month', sold.accounting_date)
        ) as cleared_minor
    from (
        select distinct
            kinds.accounting_date,
            kinds.account_id,
            kinds.currency_code
        from kinds
        where exists (
            select 1
            from rates
            inner join contracts
                on rates.snapshot_date = contracts.snapshot_date
                and rates.contract_id = contracts.contract_id
            where rates.tier_from_minor > 0
                and contracts.snapshot_date = kinds.closed_on
                and contracts.merchant_id = kinds.merchant_id
        )
    ) as sold
    inner join first_dates on sold.accounting_date = first_dates.snapshot_date
    where first_dates.first_accounting_date
        <= date_trunc('month', sold.accounting_date - interval '1 month')
        or first_dates.first_accounting_date <= (
            select min(contracts.effective_from)
            from contracts
            where contracts.snapshot_date = sold.accounting_date
                and contracts.account_id = sold.account_id
        )
),

prices as (
    select distinct on (
        kinds.closed_on, kinds.accounting_date, kinds.merchant_id, kinds.account_id,
        kinds.channel, kinds.currency_code, kinds.sold_as, kinds.card_kind, kinds.card_region,
        kinds.sold_on
    )
        kinds.*,
        contracts.contract_id,
        contracts.refund_fee_policy,
        rates.fee_rule_id,
        rates.fee_rate,
        rates.fixed_fee_minor,
        rates.minimum_fee_minor,
        rates.cap_fee_minor
    from kinds
    inner join contracts
        on kinds.closed_on = contracts.snapshot_date
        and kinds.merchant_id = contracts.merchant_id
        and kinds.account_id = contracts.account_id
        and kinds.sold_on >= contracts.effective_from
        and kinds.sold_on < contracts.effective_to
    inner join rates
        on kinds.closed_on = rates.snapshot_date
        and contracts.contract_id = rates.contract_id
        and coalesce(rates.merchant_category_code, contracts.merchant_category_code)
        is not distinct from contracts.merchant_category_code
        and kinds.sold_on >= rates.effective_from
        and kinds.sold_on < rates.effective_to
        and coalesce(rates.channel, kinds.channel) = kinds.channel
        and coalesce(rates.transaction_type, kinds.sold_as) = kinds.sold_as
        and coalesce(rates.card_kind, kinds.card_kind) is not distinct from kinds.card_kind
        and coalesce(rates.card_region, kinds.card_region)
        is not distinct from kinds.card_region
    left join months
        on kinds.accounting_date = months.accounting_date
        and kinds.account_id = months.account_id
        and kinds.currency_code = months.currency_code
    where rates.tier_from_minor = 0 or rates.tier_from_minor <= months.cleared_minor
    order by
        kinds.closed_on, kinds.accounting_date, kinds.merchant_id, kinds.account_id,
        kinds.channel, kinds.currency_code, kinds.sold_as, kinds.card_kind, kinds.card_region,
        kinds.sold_on, rates.priority, rates.tier_from_minor desc, rates.fee_rule_id,
        contracts.contract_id
),

priced as (
    select
        sales.closed_on,
        sales.entry_id,
        sales.source_id,
        sales.sold_minor,
        sales.sold_on,
        sales.contract_id as old_contract_id,
        sales.fee_rule_id as old_rule_id,
        prices.contract_id as new_contract_id,
        prices.fee_rule_id as new_rule_id,
        prices.refund_fee_policy,
        case
            when sales.sold_minor * prices.fee_rate + prices.fixed_fee_minor
                >= prices.cap_fee_minor then prices.cap_fee_minor
            when round(sales.sold_minor * prices.fee_rate + prices.fixed_fee_minor)
                < prices.minimum_fee_minor then prices.minimum_fee_minor
            else round(sales.sold_minor * prices.fee_rate + prices.fixed_fee_minor)
        end as whole_fee_minor
    from sales
    inner join prices
        on sales.closed_on = prices.closed_on
        and sales.accounting_date = prices.accounting_date
        and sales.currency_code = prices.currency_code
        and sales.merchant_id = prices.merchant_id
        and sales.account_id = prices.account_id
        and sales.channel = prices.channel
        and sales.sold_as = prices.sold_as
        and sales.card_kind is not distinct from prices.card_kind
        and sales.card_region is not distinct from prices.card_region
        and sales.sold_on = prices.sold_on
),

grounds as (
    select
        priced.closed_on,
        priced.entry_id,
        bool_or(
            approved.prices
            and approved.term_key in (priced.new_rule_id, priced.new_contract_id)
        ) as prices_now,
        bool_or(approved.returns and approved.term_key = priced.new_contract_id) as returns_now
    from priced
    inner join approved
        on priced.closed_on = approved.closed_on
        and priced.sold_on >= approved.since
        and approved.since < approved.closed_on
        and (
            (
                approved.term_kind = 'fee_rate'
                and approved.term_key in (priced.new_rule_id, priced.old_rule_id)
            )
            or (
                approved.term_kind = 'contract'
                and approved.prices
                and approved.term_key in (priced.new_contract_id, priced.old_contract_id)
            )
            or (approved.returns and approved.term_key = priced.new_contract_id)
        )
    group by priced.closed_on, priced.entry_id
),

-- Whether a term priced the sale that does no more.
ended_terms as (
    select distinct
        priced.closed_on,
        priced.entry_id
    from priced
    inner join approved
        on priced.closed_on = approved.closed_on
        and priced.sold_on >= approved.since
        and approved.since < approved.closed_on
        and approved.prices
        and approved.term_key in (priced.old_rule_id, priced.old_contract_id)
),

earlier as (
    select
        closes.closed_on,
        adjustments.entry_id,
        sum(adjustments.adjustment_amount_minor) as adjustment_amount_minor
    from (select distinct closed_on from touched) as closes
    inner join adjustments on closes.closed_on > adjustments.accounting_date
    group by closes.closed_on, adjustments.entry_id
),

owed_sales as (
    select
        priced.closed_on,
        priced.entry_id,
        priced.source_id,
        priced.sold_minor,
        priced.refund_fee_policy,
        coalesce(grounds.returns_now, false) as returns_now,
        entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0) as paid_minor,
        case
            when grounds.prices_now then priced.whole_fee_minor
            when ended_terms.entry_id is not null
                then least(
                    priced.whole_fee_minor,
                    entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0)
                )
            else entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0)
        end as owed_minor
    from priced
    inner join grounds
        on priced.closed_on = grounds.closed_on and priced.entry_id = grounds.entry_id
    inner join entries on priced.entry_id = entries.entry_id
    left join ended_terms
        on priced.closed_on = ended_terms.closed_on and priced.entry_id = ended_terms.entry_id
    left join earlier
        on priced.closed_on = earlier.closed_on and priced.entry_id = earlier.entry_id
),

timed_moves as (
    select
        owed_sales.closed_on,
        owed_sales.entry_id as sale_entry_id,
        moves.movement_id,
        moves.accounting_date,
        moves.amount_minor,
        case moves.movement_kind when 'voucher' then 0 else 1 end as kind_order,
        coalesce(vouchers.transaction_at, timestamptz 'epoch') as moved_at
    from owed_sales
    inner join moves
        on owed_sales.source_id = moves.original_voucher_id
        and owed_sales.closed_on > moves.accounting_date
    left join vouchers
        on moves.accounting_date = vouchers.accounting_date
        and moves.movement_id = 'T:' || vouchers.voucher_id
),

given_back as (
    select
        moved.closed_on,
        moved.sale_entry_id,
        moved.movement_id,
        moved.accounting_date,
        moved.amount_minor,
        (
            select coalesce(sum(sooner.amount_minor), 0)
            from timed_moves as sooner
            where sooner.closed_on = moved.closed_on
                and sooner.sale_entry_id = moved.sale_entry_id
                and (
                    sooner.accounting_date, sooner.kind_order, sooner.moved_at, sooner.movement_id
                ) < (moved.accounting_date, moved.kind_order, moved.moved_at, moved.movement_id)
        ) as before_minor
    from timed_moves as moved
),

owed_returns as (
    select
        given_back.closed_on,
        entries.entry_id,
        given_back.sale_entry_id,
        entries.source_id,
        entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0) as paid_minor,
        case
            when types.fee_treatment = 'return_in_full' and given_back.amount_minor < 0
                then owed_sales.owed_minor
            when types.fee_treatment = 'return_in_full' then -owed_sales.owed_minor
            when owed_sales.returns_now and owed_sales.refund_fee_policy = 'keep' then 0
            when not owed_sales.returns_now
                and contracts.refund_fee_policy is distinct from 'return' then 0
            else round(
                cast(owed_sales.owed_minor as numeric) * given_back.before_minor
                / owed_sales.sold_minor
            ) - round(
                cast(owed_sales.owed_minor as numeric)
                * (given_back.before_minor + given_back.amount_minor) / owed_sales.sold_minor
            )
        end as owed_minor
    from given_back
    inner join owed_sales
        on given_back.closed_on = owed_sales.closed_on
        and given_back.sale_entry_id = owed_sales.entry_id
    inner join entries
        on given_back.movement_id = entries.entry_id
        and given_back.accounting_date = entries.accounting_date
    left join types on entries.transaction_type = types.transaction_type
    left join contracts
        on entries.accounting_date = contracts.snapshot_date
        and entries.contract_id = contracts.contract_id
    left join earlier
        on given_back.closed_on = earlier.closed_on and entries.entry_id = earlier.entry_id
),

owed as (
    select
        closed_on,
        entry_id,
        entry_id as sale_entry_id,
        source_id,
        paid_minor,
        owed_minor
    from owed_sales
    union all
    select
        closed_on,
        entry_id,
        sale_entry_id,
        source_id,
        paid_minor,
        owed_minor
    from owed_returns
),

-- What people charged gave back all of the item's fee, or a share of it.
owed_by_people as (
    select
        owed.closed_on,
        entries.entry_id,
        owed.sale_entry_id,
        entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0) as paid_minor,
        case
            when entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0)
                = -owed.paid_minor then -owed.owed_minor
            when owed.paid_minor = 0
                then entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0)
            else round(
                (entries.fee_amount_minor - coalesce(earlier.adjustment_amount_minor, 0))
                * cast(owed.owed_minor as numeric) / owed.paid_minor
            )
        end as owed_minor
    from owed
    inner join charged_items
        on owed.source_id = charged_items.source_id
        and charged_items.accounting_date < owed.closed_on
    inner join entries
        on charged_items.accounting_date = entries.accounting_date
        and entries.source_id = charged_items.resolved_by_id
        and entries.transaction_type = 'manual_adjustment'
    left join earlier
        on owed.closed_on = earlier.closed_on and entries.entry_id = earlier.entry_id
),

recomputed as (
    select
        closed_on,
        entry_id,
        sale_entry_id,
        paid_minor,
        owed_minor
    from owed
    union all
    select
        closed_on,
        entry_id,
        sale_entry_id,
        paid_minor,
        owed_minor
    from owed_by_people
),

final as (
    select
        coalesce(recomputed.closed_on, adjustments.accounting_date) as accounting_date,
        coalesce(recomputed.entry_id, adjustments.entry_id) as entry_id,
        recomputed.sale_entry_id,
        recomputed.owed_minor as owed_fee_minor,
        coalesce(recomputed.paid_minor - recomputed.owed_minor, 0) as recomputed_adjustment_minor,
        coalesce(adjustments.adjustment_amount_minor, 0) as adjustment_amount_minor
    from recomputed
    full join (
        select *
        from adjustments
        where payment_date = {{ payment_date() }}
    ) as adjustments
        on recomputed.closed_on = adjustments.accounting_date
        and recomputed.entry_id = adjustments.entry_id
)

select * from final
