-- A payment code names one wallet (付款码号段): no prefix lies in two rows that are in force on one
-- day, else which wallet it names would be read either way.
{{ config(tags=['setup']) }}

with prefixes as (
    select
        wallet,
        prefix_from,
        prefix_to,
        rpad(prefix_from, 4, '0') as first_prefix,
        rpad(prefix_to, 4, '9') as last_prefix,
        digits_from,
        digits_until,
        valid_from,
        coalesce(valid_until, date '9999-12-31') as valid_until
    from {{ ref('payment_code_prefixes') }}
),

wrong as (
    select
        wallet,
        prefix_from,
        'is not two to four digits from and to, in order' as reason
    from prefixes
    where
        prefix_from !~ '^[0-9]{2,4}$'
        or prefix_to !~ '^[0-9]{2,4}$'
        or length(prefix_from) <> length(prefix_to)
        or prefix_from > prefix_to
        or digits_until < digits_from
        or valid_until <= valid_from
),

overlapping as (
    select
        one.wallet,
        one.prefix_from,
        'overlaps ' || other.wallet || ' ' || other.prefix_from as reason
    from prefixes as one
    inner join prefixes as other
        on (one.wallet, one.prefix_from, one.valid_from)
        < (other.wallet, other.prefix_from, other.valid_from)
        and one.first_prefix <= other.last_prefix
        and other.first_prefix <= one.last_prefix
        and one.valid_from < other.valid_until
        and other.valid_from < one.valid_until
),

final as (
    select * from wrong
    union all
    select * from overlapping
)

select
    wallet,
    prefix_from,
    reason
from final
