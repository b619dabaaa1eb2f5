{{ config(materialized='dated_partition', partition_by='payment_date', tags=['payment']) }}

{#-
    Which freeze takes how much from which statement (冻结占用): what is backed of a session, the
    freezes in their order, each from the transaction session first (docs/domain.md#freezes). What
    finds no balance stands on the transaction session, or on the one session that the freeze names.
    A charge that waits has a freeze for all of it.
-#}
with recursive balances as (
    select
        account_id,
        settlement_session_type,
        currency_code,
        freezable_amount_minor
    from {{ ref('int_settlement__balances') }}
),

freezes as (
    select
        freeze_id,
        account_id,
        currency_code,
        freeze_kind,
        order_number,
        settlement_session_type,
        effective_from,
        frozen_amount_minor
    from {{ ref('freezes') }}
    where payment_date = {{ payment_date() }} and is_in_force and frozen_amount_minor > 0
),

waiting_charges as (
    select
        entry_id,
        account_id,
        currency_code,
        waits_since,
        closing_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }} and charge_status = 'waiting'
),

in_force as (
    select
        freeze_id,
        account_id,
        currency_code,
        freeze_kind,
        order_number,
        settlement_session_type,
        effective_from,
        frozen_amount_minor
    from freezes
    union all
    select
        'W:' || entry_id as freeze_id,
        account_id,
        currency_code,
        'own_charge' as freeze_kind,
        entry_id as order_number,
        cast(null as text) as settlement_session_type,
        waits_since as effective_from,
        closing_amount_minor as frozen_amount_minor
    from waiting_charges
),

ordered as (
    select
        in_force.*,
        row_number() over (
            partition by account_id, currency_code
            order by {{ freeze_order('freeze_kind') }}, effective_from, freeze_id
        ) as take_order
    from in_force
),

account_balances as (
    select
        account_id,
        currency_code,
        coalesce(
            sum(freezable_amount_minor) filter (where settlement_session_type = 'transaction'), 0
        ) as transaction_minor,
        coalesce(
            sum(freezable_amount_minor) filter (where settlement_session_type = 'foreign_card'), 0
        ) as foreign_card_minor
    from balances
    group by account_id, currency_code
),

-- What of each session the freezes so far have left, one freeze after another.
taken as (
    select
        ordered.account_id,
        ordered.currency_code,
        cast(0 as bigint) as take_order,
        coalesce(account_balances.transaction_minor, 0) as transaction_left_minor,
        coalesce(account_balances.foreign_card_minor, 0) as foreign_card_left_minor,
        cast(0 as numeric) as from_transaction_minor,
        cast(0 as numeric) as from_foreign_card_minor
    from ordered
    left join account_balances
        on ordered.account_id = account_balances.account_id
        and ordered.currency_code = account_balances.currency_code
    where ordered.take_order = 1
    union all
    select
        ordered.account_id,
        ordered.currency_code,
        ordered.take_order,
        taken.transaction_left_minor - from_first.amount_minor,
        taken.foreign_card_left_minor - from_second.amount_minor,
        from_first.amount_minor,
        from_second.amount_minor
    from taken
    inner join ordered
        on taken.account_id = ordered.account_id
        and taken.currency_code = ordered.currency_code
        and taken.take_order + 1 = ordered.take_order
    cross join lateral (
        select
            case
                when ordered.settlement_session_type = 'foreign_card' then 0
                else least(ordered.frozen_amount_minor, taken.transaction_left_minor)
            end as amount_minor
    ) as from_first
    cross join lateral (
        select
            case
                when ordered.settlement_session_type = 'transaction' then 0
                else least(
                    ordered.frozen_amount_minor - from_first.amount_minor,
                    taken.foreign_card_left_minor
                )
            end as amount_minor
    ) as from_second
),

sessions as (
    select
        ordered.*,
        session.settlement_session_type as taken_from,
        session.covered_minor,
        case
            when session.settlement_session_type
                = coalesce(ordered.settlement_session_type, 'transaction')
                then ordered.frozen_amount_minor - taken.from_transaction_minor
                    - taken.from_foreign_card_minor
            else 0
        end as uncovered_minor
    from ordered
    inner join taken
        on ordered.account_id = taken.account_id
        and ordered.currency_code = taken.currency_code
        and ordered.take_order = taken.take_order
    cross join lateral (
        values
        ('transaction', taken.from_transaction_minor),
        ('foreign_card', taken.from_foreign_card_minor)
    ) as session (settlement_session_type, covered_minor)
),

final as (
    select
        {{ payment_date() }} as payment_date,
        {{ settlement_statement_id('account_id', 'taken_from', '1', 'currency_code') }}
            as statement_id,
        freeze_id,
        account_id,
        taken_from as settlement_session_type,
        currency_code,
        freeze_kind,
        order_number,
        take_order,
        covered_minor as covered_amount_minor,
        uncovered_minor as uncovered_amount_minor,
        covered_minor + uncovered_minor as frozen_amount_minor
    from sessions
    where covered_minor + uncovered_minor > 0
)

select * from final
