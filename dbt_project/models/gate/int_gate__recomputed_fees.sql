{{ config(
    materialized='table', schema='intermediate', unlogged=true, tags=['payment'],
    post_hook='analyze {{ this }}'
) }}

{#-
    The fee of every transaction entry that this payment date pays, computed a second time: from the
    landed voucher, the register's original and the contract, by other steps than the close's own
    (docs/decisions/0037-fees-twice.md). It shares no step with int_pricing__priced_vouchers, so
    that a mistake in one of them shows as a difference: the close takes what a return gives back
    from the sale's entry, here the sale is priced again by the terms of its own date. One row an
    entry.
-#}
with entries as (
    select
        accounting_date,
        entry_id,
        source_id,
        account_id,
        merchant_id,
        channel,
        currency_code,
        transaction_type,
        transaction_amount_minor,
        fee_amount_minor,
        deducted_fee_amount_minor,
        settlement_mode,
        transaction_currency_amount_minor
    from {{ ref('clearing_entries') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and payment_date = {{ payment_date() }}
        and clearing_session_type = 'transaction'
),

landed as (
    select
        accounting_date,
        voucher_id,
        transaction_at,
        transaction_type,
        merchant_id,
        account_id,
        channel,
        amount_minor,
        card_kind,
        card_region,
        original_voucher_id,
        original_transaction_at,
        original_amount_minor,
        original_refunded_before_minor
    from {{ ref('stg_platform__source_vouchers') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
),

-- What foreign vouchers settled for, and in which close (docs/domain.md#foreign-currency).
exchanged as (
    select
        accounting_date,
        voucher_id,
        voucher_date,
        settlement_amount_minor
    from {{ ref('currency_conversions') }}
    where accounting_date >= {{ payment_date() }} - 391
        and accounting_date < {{ payment_date() }}
),

vouchers as (
    select
        coalesce(exchanged.accounting_date, landed.accounting_date) as accounting_date,
        landed.voucher_id,
        landed.transaction_at,
        landed.transaction_type,
        landed.merchant_id,
        landed.account_id,
        landed.channel,
        landed.amount_minor,
        landed.card_kind,
        landed.card_region,
        landed.original_voucher_id,
        landed.original_transaction_at,
        landed.original_amount_minor,
        landed.original_refunded_before_minor,
        exchanged.settlement_amount_minor
    from landed
    left join exchanged
        on landed.voucher_id = exchanged.voucher_id
        and landed.accounting_date = exchanged.voucher_date
),

types as (
    select
        transaction_type,
        fee_treatment
    from {{ ref('transaction_types') }}
),

registered as (
    select
        voucher_id,
        accounting_date,
        transaction_type,
        transaction_at,
        amount_minor,
        card_kind,
        card_region
    from {{ source('control', 'voucher_register') }}
    where source = 'platform'
),

moves as (
    select
        movement_id,
        original_voucher_id,
        accounting_date,
        movement_kind,
        amount_minor,
        fee_amount_minor
    from {{ source('clearing_registers', 'original_movements') }}
),

made_up as (
    select
        accounting_date,
        entry_id,
        adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date >= {{ payment_date() }} - 391
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

contracts_now as (
    select
        snapshot_date,
        contract_id,
        refund_fee_policy
    from {{ ref('int_terms__contracts') }}
    where snapshot_date >= {{ days_back(payment_date()) }} and snapshot_date < {{ payment_date() }}
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
    where snapshot_date >= {{ payment_date() }} - 391
        and snapshot_date < {{ payment_date() }}
),

first_dates as (
    select
        snapshot_date,
        first_accounting_date
    from {{ ref('stg_platform__operating_window') }}
    where snapshot_date >= {{ payment_date() }} - 391 and snapshot_date < {{ payment_date() }}
),

account_lists as (
    select
        snapshot_date,
        account_id,
        effective_from
    from {{ ref('int_terms__contracts') }}
    where snapshot_date >= {{ payment_date() }} - 391 and snapshot_date < {{ payment_date() }}
),

-- Two months before the oldest sale whose fee is given back.
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

fee_postings as (
    select
        accounting_date,
        source_id,
        sum(
            case 'fee_income' when credit_account then amount_minor else -amount_minor end
        ) as ledger_fee_minor
    from {{ ref('postings') }}
    where accounting_date >= {{ days_back(payment_date()) }}
        and accounting_date < {{ payment_date() }}
        and event_type = 'merchant_fee'
        and 'fee_income' in (debit_account, credit_account)
    group by accounting_date, source_id
),

sales as (
    select
        entries.entry_id,
        entries.accounting_date,
        entries.accounting_date as terms_date,
        vouchers.merchant_id,
        vouchers.account_id,
        vouchers.channel,
        entries.currency_code,
        vouchers.transaction_type as sold_as,
        vouchers.card_kind,
        vouchers.card_region,
        {{ business_date('vouchers.transaction_at') }} as sold_on,
        coalesce(vouchers.settlement_amount_minor, vouchers.amount_minor) as charged_minor,
        vouchers.amount_minor as sold_minor,
        cast(0 as numeric) as given_back_before_minor,
        types.fee_treatment,
        cast(null as text) as original_id,
        cast(null as text) as sale_entry_id,
        vouchers.settlement_amount_minor is not null as is_exchanged
    from entries
    inner join vouchers
        on entries.accounting_date = vouchers.accounting_date
        and entries.source_id = vouchers.voucher_id
    inner join types on vouchers.transaction_type = types.transaction_type
    where types.fee_treatment = 'charge'
),

returns as (
    select
        entries.entry_id,
        entries.accounting_date,
        -- A year back, as far as our entries are looked for; else as one that we never cleared.
        case
            when sold.accounting_date >= entries.accounting_date - 360
                then coalesce(sold_for.accounting_date, sold.accounting_date)
            else entries.accounting_date
        end as terms_date,
        vouchers.merchant_id,
        vouchers.account_id,
        vouchers.channel,
        entries.currency_code,
        coalesce(sold.transaction_type, 'purchase') as sold_as,
        coalesce(sold.card_kind, vouchers.card_kind) as card_kind,
        coalesce(sold.card_region, vouchers.card_region) as card_region,
        {{ business_date(
            'coalesce(sold.transaction_at, vouchers.original_transaction_at)'
        ) }} as sold_on,
        coalesce(
            sold_for.settlement_amount_minor, sold.amount_minor, vouchers.original_amount_minor
        ) as charged_minor,
        coalesce(sold.amount_minor, vouchers.original_amount_minor) as sold_minor,
        -- The time before our first date is not in our books: there, as the platform says.
        greatest(
            coalesce(moved.amount_minor, 0),
            case
                when sold.voucher_id is null
                    then coalesce(vouchers.original_refunded_before_minor, 0)
                else 0
            end
        ) as given_back_before_minor,
        types.fee_treatment,
        coalesce(vouchers.original_voucher_id, 'of ' || vouchers.voucher_id) as original_id,
        case
            when sold.accounting_date >= entries.accounting_date - 360
                then 'T:' || sold.voucher_id
        end as sale_entry_id,
        vouchers.settlement_amount_minor is not null as is_exchanged
    from entries
    inner join vouchers
        on entries.accounting_date = vouchers.accounting_date
        and entries.source_id = vouchers.voucher_id
    inner join types on vouchers.transaction_type = types.transaction_type
    -- One index probe a return, and one a movement of its original.
    left join lateral (
        select registered.*
        from registered
        where registered.voucher_id = vouchers.original_voucher_id
            and registered.accounting_date <= entries.accounting_date
        limit 1
    ) as sold on true
    left join exchanged as sold_for
        on vouchers.settlement_amount_minor is not null
        and sold.voucher_id = sold_for.voucher_id
    left join lateral (
        select sum(moves.amount_minor) as amount_minor
        from moves
        where moves.original_voucher_id
            = coalesce(vouchers.original_voucher_id, 'of ' || vouchers.voucher_id)
            and (
                moves.accounting_date < entries.accounting_date
                or (
                    moves.accounting_date = entries.accounting_date
                    and moves.movement_kind = 'voucher'
                    and exists (
                        select 1
                        from {{ source('control', 'voucher_register') }} as earlier
                        where earlier.source = 'platform'
                            and earlier.voucher_id = substr(moves.movement_id, 3)
                            and (earlier.transaction_at, earlier.voucher_id)
                            < (vouchers.transaction_at, vouchers.voucher_id)
                    )
                )
            )
    ) as moved on true
    where types.fee_treatment <> 'charge'
),

priced as (
    select * from sales
    union all
    select * from returns
),

-- One price a kind of sale, found for each kind on its own.
kinds as materialized (
    select distinct
        terms_date,
        merchant_id,
        account_id,
        channel,
        currency_code,
        sold_as,
        card_kind,
        card_region,
        sold_on
    from priced
),

-- What each contract of a date asked: the lists of the wanted dates alone, each joined once.
offers as materialized (
    select
        wanted.terms_date,
        listed.*
    from (select distinct terms_date from kinds) as wanted
    cross join lateral (
        select
            contracts.merchant_id,
            contracts.account_id,
            contracts.contract_id,
            contracts.refund_fee_policy,
            rates.fee_rule_id,
            rates.channel,
            rates.transaction_type,
            rates.card_kind,
            rates.card_region,
            rates.tier_from_minor,
            rates.fee_rate,
            rates.fixed_fee_minor,
            rates.minimum_fee_minor,
            rates.cap_fee_minor,
            rates.priority,
            greatest(contracts.effective_from, rates.effective_from) as effective_from,
            least(contracts.effective_to, rates.effective_to) as effective_to
        from contracts
        inner join rates on contracts.contract_id = rates.contract_id
        where contracts.snapshot_date = wanted.terms_date
            and rates.snapshot_date = wanted.terms_date
            and coalesce(rates.merchant_category_code, contracts.merchant_category_code)
            is not distinct from contracts.merchant_category_code
        offset 0
    ) as listed
),

-- Which accounts have tiers on a date, and from when on: nobody else's month is added up.
tiered as (
    select distinct
        kinds.terms_date,
        kinds.account_id,
        kinds.currency_code
    from kinds
    inner join offers
        on kinds.terms_date = offers.terms_date
        and kinds.merchant_id = offers.merchant_id
    where offers.tier_from_minor > 0
),

-- What an account cleared in the calendar month before, day by day. A month that was not all ours
-- counts for nothing: the business began in it, and the account had a contract before.
months as materialized (
    select
        tiered.terms_date,
        tiered.account_id,
        tiered.currency_code,
        case
            when exists (
                select 1
                from first_dates
                where first_dates.snapshot_date = tiered.terms_date
                    and (
                        first_dates.first_accounting_date
                        <= date_trunc('month', tiered.terms_date - interval '1 month')
                        or first_dates.first_accounting_date <= (
                            select min(account_lists.effective_from)
                            from account_lists
                            where account_lists.snapshot_date = tiered.terms_date
                                and account_lists.account_id = tiered.account_id
                        )
                    )
            )
                then (
                    select sum(account_days.transaction_amount_minor)
                    from account_days
                    where account_days.account_id = tiered.account_id
                        and account_days.currency_code = tiered.currency_code
                        and account_days.accounting_date
                        >= date_trunc('month', tiered.terms_date - interval '1 month')
                        and account_days.accounting_date
                        < date_trunc('month', tiered.terms_date)
                )
        end as cleared_minor
    from tiered
),

-- Before the offers, of which there are many for each: nobody's month is looked up again for each.
kinds_with_volume as materialized (
    select
        kinds.*,
        months.cleared_minor
    from kinds
    left join months
        on kinds.terms_date = months.terms_date
        and kinds.account_id = months.account_id
        and kinds.currency_code = months.currency_code
),

offered as (
    select
        kinds.*,
        offers.contract_id,
        offers.refund_fee_policy,
        offers.fee_rate,
        offers.fixed_fee_minor,
        offers.minimum_fee_minor,
        offers.cap_fee_minor,
        -- A contract that has moved to another account prices what was sold before our first date.
        row_number() over (
            partition by
                kinds.terms_date, kinds.merchant_id, kinds.account_id, kinds.channel,
                kinds.currency_code, kinds.sold_as, kinds.card_kind, kinds.card_region,
                kinds.sold_on
            order by
                offers.account_id is distinct from kinds.account_id, offers.priority,
                offers.tier_from_minor desc, offers.fee_rule_id, offers.contract_id
        ) as price_order
    from kinds_with_volume as kinds
    inner join offers
        on kinds.terms_date = offers.terms_date
        and kinds.merchant_id = offers.merchant_id
        and kinds.sold_on >= offers.effective_from
        and kinds.sold_on < offers.effective_to
        and coalesce(offers.channel, kinds.channel) = kinds.channel
        and coalesce(offers.transaction_type, kinds.sold_as) = kinds.sold_as
        and coalesce(offers.card_kind, kinds.card_kind) is not distinct from kinds.card_kind
        and coalesce(offers.card_region, kinds.card_region)
        is not distinct from kinds.card_region
    where offers.tier_from_minor = 0 or offers.tier_from_minor <= kinds.cleared_minor
),

prices as (
    select *
    from offered
    where price_order = 1
),

-- What late approvals had made up of a sale's fee when it was given back.
made_up_of_sales as (
    select
        returns.entry_id,
        sum(made_up.adjustment_amount_minor) as adjustment_amount_minor
    from returns
    inner join made_up
        on returns.sale_entry_id = made_up.entry_id
        and returns.accounting_date >= made_up.accounting_date
    group by returns.entry_id
),

whole_fees as (
    select
        priced.*,
        prices.contract_id,
        coalesce(contracts_now.refund_fee_policy, prices.refund_fee_policy) as refund_fee_policy,
        prices.fixed_fee_minor > 0 or prices.minimum_fee_minor > 0 as has_flat_part,
        case
            when priced.charged_minor * prices.fee_rate + prices.fixed_fee_minor
                >= prices.cap_fee_minor then prices.cap_fee_minor
            when round(priced.charged_minor * prices.fee_rate + prices.fixed_fee_minor)
                < prices.minimum_fee_minor then prices.minimum_fee_minor
            else round(priced.charged_minor * prices.fee_rate + prices.fixed_fee_minor)
        end - coalesce(made_up_of_sales.adjustment_amount_minor, 0) as whole_fee_minor
    from priced
    left join prices
        on priced.terms_date = prices.terms_date
        and priced.merchant_id = prices.merchant_id
        and priced.account_id = prices.account_id
        and priced.channel = prices.channel
        and priced.currency_code = prices.currency_code
        and priced.sold_as = prices.sold_as
        and priced.card_kind = prices.card_kind
        and priced.card_region = prices.card_region
        and priced.sold_on = prices.sold_on
    left join contracts_now
        on priced.accounting_date = contracts_now.snapshot_date
        and prices.contract_id = contracts_now.contract_id
    left join made_up_of_sales on priced.entry_id = made_up_of_sales.entry_id
),

made_up_totals as materialized (
    select
        entry_id,
        sum(adjustment_amount_minor) as adjustment_amount_minor
    from made_up
    group by entry_id
),

-- With what late approvals made up of the fees that were given back.
returned_fees as (
    select
        wanted.original_id,
        given.fee_amount_minor
    from (select distinct original_id from returns) as wanted
    cross join lateral (
        select
            sum(
                moves.fee_amount_minor + coalesce(made_up_totals.adjustment_amount_minor, 0)
            ) as fee_amount_minor
        from moves
        left join made_up_totals on moves.movement_id = made_up_totals.entry_id
        where moves.original_voucher_id = wanted.original_id
            and moves.accounting_date < {{ payment_date() }}
    ) as given
),

final as (
    select
        entries.accounting_date,
        entries.entry_id,
        entries.source_id,
        entries.channel,
        entries.currency_code,
        whole_fees.contract_id,
        entries.transaction_amount_minor,
        entries.fee_amount_minor as cleared_fee_minor,
        entries.deducted_fee_amount_minor,
        case when entries.settlement_mode = 'net' then entries.fee_amount_minor else 0 end
            as owed_deduction_minor,
        coalesce(fee_postings.ledger_fee_minor, 0) as ledger_fee_minor,
        case whole_fees.fee_treatment
            when 'charge' then whole_fees.whole_fee_minor
            when 'return_in_full'
                then case
                    when entries.transaction_amount_minor > 0 then whole_fees.whole_fee_minor
                    else -whole_fees.whole_fee_minor
                end
            when 'return_by_contract'
                then case whole_fees.refund_fee_policy
                    when 'keep' then 0
                    else round(
                        whole_fees.whole_fee_minor * whole_fees.given_back_before_minor
                        / nullif(whole_fees.sold_minor, 0)
                    ) - round(
                        whole_fees.whole_fee_minor
                        * (
                            whole_fees.given_back_before_minor
                            - case
                                when whole_fees.is_exchanged
                                    then entries.transaction_currency_amount_minor
                                else entries.transaction_amount_minor
                            end
                        )
                        / nullif(whole_fees.sold_minor, 0)
                    )
                end
        end as recomputed_fee_minor,
        whole_fees.fee_treatment = 'charge' as is_sale,
        coalesce(whole_fees.has_flat_part, false) as has_flat_part,
        whole_fees.whole_fee_minor,
        returned_fees.fee_amount_minor as returned_fee_minor
    from entries
    left join whole_fees on entries.entry_id = whole_fees.entry_id
    left join fee_postings
        on entries.accounting_date = fee_postings.accounting_date
        and entries.source_id = fee_postings.source_id
    left join returned_fees on whole_fees.original_id = returned_fees.original_id
)

select * from final
