-- A person's limit (决定限额) is one number: a kind of decision, a holder and a currency have one row,
-- roles are those people have, and no limit is below nothing. With two rows the higher would count
-- for whoever finds it.
{{ config(tags=['setup']) }}

with decision_limits as (
    select
        decision_kind,
        holder_kind,
        holder,
        currency_code,
        limit_minor
    from {{ ref('decision_limits') }}
),

wrong_rows as (
    select
        decision_kind,
        holder,
        currency_code,
        case
            when holder_kind = 'role' and holder not in ('officer', 'supervisor')
                then 'no role that people have'
            when limit_minor < 0 then 'below nothing'
        end as reason
    from decision_limits
),

repeated as (
    select
        decision_kind,
        holder,
        currency_code,
        'more than one limit' as reason
    from decision_limits
    group by decision_kind, holder_kind, holder, currency_code
    having count(*) > 1
),

final as (
    select
        decision_kind,
        holder,
        currency_code,
        reason
    from wrong_rows
    where reason is not null
    union all
    select
        decision_kind,
        holder,
        currency_code,
        reason
    from repeated
)

select
    decision_kind,
    holder,
    currency_code,
    reason
from final
