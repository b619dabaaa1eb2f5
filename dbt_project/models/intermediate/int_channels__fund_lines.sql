{#-
    Every fund bill's lines with one set of columns, each with what its word says it is: the models
    after this one read it and name no channel. A word that nobody knows has no part.
-#}
with
{%- for model in ['wechat__fund_lines', 'alipay__account_lines'] %}
{{ model }} as (
    select
        fund_line_id,
        channel,
        file_id,
        line_number,
        accounting_date,
        channel_account_id,
        account_type,
        business_type,
        fund_key,
        currency_code,
        amount_minor,
        balance_after_minor
    from {{ ref('stg_' ~ model) }}
),
{% endfor %}
words as (
    select
        channel,
        business_type,
        part
    from {{ ref('fund_bill_words') }}
),

lines as (
    select * from wechat__fund_lines
    union all
    select * from alipay__account_lines
),

final as (
    select
        lines.fund_line_id,
        lines.channel,
        lines.file_id,
        lines.line_number,
        lines.accounting_date,
        lines.channel_account_id,
        lines.account_type,
        lines.business_type,
        words.part,
        lines.fund_key,
        lines.currency_code,
        lines.amount_minor,
        lines.balance_after_minor
    from lines
    left join words
        on lines.channel = words.channel
        and lines.business_type = words.business_type
)

select * from final
