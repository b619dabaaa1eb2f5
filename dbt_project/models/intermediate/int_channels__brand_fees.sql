{#-
    Every channel's brand fee records with one set of columns: the models after this one read it and
    name no channel. Of the channels there are, UnionPay alone sends such records.
-#}
with unionpay as (
    select
        brand_fee_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        acquiring_institution_id,
        forwarding_institution_id,
        trace_number,
        transmission_time,
        merchant_id,
        currency_code,
        amount_minor,
        brand_fee_minor
    from {{ ref('stg_unionpay__brand_fees') }}
),

final as (
    select * from unionpay
)

select * from final
