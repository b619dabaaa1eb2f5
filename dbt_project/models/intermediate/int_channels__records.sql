{#- Every channel's transaction records with one set of columns; no channel is named after here. -#}
with unionpay as (
    select * from {{ ref('stg_unionpay__transactions') }}
),

wechat as (
    select * from {{ ref('stg_wechat__transactions') }}
),

alipay as (
    select * from {{ ref('stg_alipay__transactions') }}
),

final as (
    select * from unionpay
    union all
    select * from wechat
    union all
    select * from alipay
)

select * from final
