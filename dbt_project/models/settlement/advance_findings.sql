{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    What is not as agreed of the advances that a payment date nets (垫款差异): another fee than by the
    account's terms (ours is netted), no terms, more of a date than the account or all accounts
    together may have. It stops nothing: the money left own funds before, and it is not a
    merchant's that is paid too little (docs/domain.md#advances).
-#}
with netted_advances as (
    select
        advance_id,
        account_id,
        currency_code,
        advanced_on,
        principal_amount_minor,
        advance_fee_amount_minor,
        stated_fee_amount_minor
    from {{ ref('advances') }}
    where payment_date = {{ payment_date() }} and principal_amount_minor > 0
),

advance_terms as (
    select
        account_id,
        currency_code,
        effective_from,
        effective_to,
        day_limit_minor
    from {{ ref('advance_terms') }}
),

advance_totals as (
    select
        currency_code,
        day_limit_minor
    from {{ ref('advance_totals') }}
),

measured as (
    select
        netted_advances.*,
        sum(netted_advances.principal_amount_minor) over (
            partition by
                netted_advances.account_id, netted_advances.currency_code,
                netted_advances.advanced_on
        ) as account_minor,
        sum(netted_advances.principal_amount_minor) over (
            partition by netted_advances.currency_code, netted_advances.advanced_on
        ) as total_minor,
        (
            select advance_terms.day_limit_minor
            from advance_terms
            where
                advance_terms.account_id = netted_advances.account_id
                and advance_terms.currency_code = netted_advances.currency_code
                and advance_terms.effective_from <= netted_advances.advanced_on
                and (
                    advance_terms.effective_to is null
                    or advance_terms.effective_to > netted_advances.advanced_on
                )
            order by advance_terms.effective_from desc
            limit 1
        ) as account_limit_minor,
        advance_totals.day_limit_minor as total_limit_minor
    from netted_advances
    left join advance_totals on netted_advances.currency_code = advance_totals.currency_code
),

findings as (
    select
        measured.advance_id,
        measured.account_id,
        measured.currency_code,
        measured.advanced_on,
        kinds.finding,
        kinds.found_minor,
        kinds.agreed_minor
    from measured
    cross join lateral (
        values
        (
            'another_fee',
            measured.stated_fee_amount_minor,
            measured.advance_fee_amount_minor,
            measured.stated_fee_amount_minor <> measured.advance_fee_amount_minor
        ),
        (
            'no_terms', measured.stated_fee_amount_minor, null,
            measured.account_limit_minor is null
        ),
        (
            'above_account_limit', measured.account_minor, measured.account_limit_minor,
            measured.account_minor > measured.account_limit_minor
        ),
        (
            'above_total_limit', measured.total_minor, measured.total_limit_minor,
            measured.total_minor > coalesce(measured.total_limit_minor, 0)
        )
    ) as kinds (finding, found_minor, agreed_minor, is_found)
    where kinds.is_found
),

final as (
    select
        {{ payment_date() }} as payment_date,
        advance_id,
        finding,
        account_id,
        currency_code,
        advanced_on,
        cast(found_minor as bigint) as found_amount_minor,
        cast(agreed_minor as bigint) as agreed_amount_minor
    from findings
)

select * from final
