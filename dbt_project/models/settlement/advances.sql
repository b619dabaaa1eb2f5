{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    The advances (垫款) that this payment date nets, each once in its life (docs/domain.md#advances),
    on the first payment date after its own accounting date that knows of it. So neither a late one
    is lost nor one that is told of ahead, and whether the file lists all advances or only the
    day's makes no difference. What earlier payment dates netted says what is left. An advance that
    failed is not netted; one that was netted before its failure was told is given back, once. Its
    fee is that of the account's terms on its day; without terms it is what the platform says.
-#}
with delivered_advances as (
    select
        snapshot_date,
        advance_id,
        account_id,
        advanced_on,
        for_accounting_date,
        currency_code,
        amount_minor,
        advance_fee_minor,
        advance_status
    from {{ ref('stg_platform__advances') }}
    where snapshot_date >= {{ days_back(payment_date()) }} and snapshot_date < {{ payment_date() }}
),

advance_terms as (
    select
        account_id,
        currency_code,
        effective_from,
        effective_to,
        fee_rate,
        minimum_fee_minor
    from {{ ref('advance_terms') }}
),

accounting_days as (
    select accounting_date
    from {{ source('control', 'accounting_days') }}
),

go_live as (
    select min(accounting_date) as first_accounting_date
    from accounting_days
),

netted_before as (
    select
        advance_id,
        sum(principal_amount_minor) as principal_amount_minor,
        sum(advance_fee_amount_minor) as advance_fee_amount_minor
    from {{ this }}
    where payment_date < {{ payment_date() }}
    group by advance_id
),

told as (
    select
        delivered_advances.*,
        row_number() over (
            partition by advance_id
            order by snapshot_date desc
        ) as snapshot_order
    from delivered_advances
),

-- Of two terms in force the later one counts.
terms_of_day as (
    select
        told.advance_id,
        least(
            greatest(
                cast(round(told.amount_minor * advance_terms.fee_rate) as bigint),
                advance_terms.minimum_fee_minor
            ),
            told.amount_minor
        ) as fee_minor,
        row_number() over (
            partition by told.advance_id
            order by advance_terms.effective_from desc
        ) as terms_order
    from told
    inner join advance_terms
        on told.account_id = advance_terms.account_id
        and told.currency_code = advance_terms.currency_code
        and told.advanced_on >= advance_terms.effective_from
        and (
            advance_terms.effective_to is null
            or told.advanced_on < advance_terms.effective_to
        )
    where told.snapshot_order = 1
),

due as (
    select
        told.advance_id,
        told.account_id,
        told.currency_code,
        told.advanced_on,
        told.for_accounting_date,
        told.snapshot_date,
        case told.advance_status
            when 'failed' then -netted_before.principal_amount_minor
            else told.amount_minor
        end as principal_amount_minor,
        case told.advance_status
            when 'failed' then -netted_before.advance_fee_amount_minor
            else coalesce(terms_of_day.fee_minor, told.advance_fee_minor)
        end as advance_fee_amount_minor,
        told.advance_fee_minor as stated_fee_amount_minor
    from told
    cross join go_live
    left join netted_before on told.advance_id = netted_before.advance_id
    left join terms_of_day
        on told.advance_id = terms_of_day.advance_id and terms_of_day.terms_order = 1
    where told.snapshot_order = 1
        and case told.advance_status
            when 'failed' then netted_before.principal_amount_minor > 0
            else netted_before.advance_id is null
        end
        and told.for_accounting_date < {{ payment_date() }}
        -- What was advanced before go-live stands in the opening balances.
        and told.for_accounting_date >= go_live.first_accounting_date
),

final as (
    select
        {{ payment_date() }} as payment_date,
        advance_id,
        account_id,
        currency_code,
        advanced_on,
        for_accounting_date,
        principal_amount_minor,
        advance_fee_amount_minor,
        principal_amount_minor + advance_fee_amount_minor as advance_amount_minor,
        snapshot_date,
        stated_fee_amount_minor
    from due
)

select * from final
