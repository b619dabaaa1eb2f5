-- What a statement freezes is what each freeze takes from it (冻结占用), and each freeze in force, and
-- each waiting charge, takes all of its amount somewhere: none is forgotten, none takes twice.
{{ config(tags=['payment']) }}

with statements as (
    select
        statement_id,
        frozen_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }}
),

parts as (
    select
        statement_id,
        freeze_id,
        frozen_amount_minor
    from {{ ref('freeze_parts') }}
    where payment_date = {{ payment_date() }}
),

in_force as (
    select
        freeze_id,
        frozen_amount_minor
    from {{ ref('freezes') }}
    where payment_date = {{ payment_date() }} and is_in_force
    union all
    select
        'W:' || entry_id as freeze_id,
        closing_amount_minor as frozen_amount_minor
    from {{ ref('charges') }}
    where payment_date = {{ payment_date() }} and charge_status = 'waiting'
),

amounts as (
    select
        'statement' as kind,
        statement_id as id,
        frozen_amount_minor as stated_minor,
        0 as taken_minor
    from statements
    union all
    select 'statement', statement_id, 0, frozen_amount_minor
    from parts
    union all
    select 'freeze', freeze_id, frozen_amount_minor, 0
    from in_force
    union all
    select 'freeze', freeze_id, 0, frozen_amount_minor
    from parts
)

select
    kind,
    id,
    sum(stated_minor) as stated_minor,
    sum(taken_minor) as taken_minor
from amounts
group by kind, id
having sum(stated_minor) <> sum(taken_minor)
