{#-
    The fund bills that landed, those without any line too: an empty bill says that nothing moved,
    a missing one says nothing.
-#}
with channel_files as (
    select
        file_id,
        channel,
        file_kind,
        accounting_date,
        slot
    from {{ source('control', 'channel_files') }}
    where status = 'landed'
),

final as (
    select
        file_id,
        channel,
        accounting_date,
        {{ channel_account('slot') }} as channel_account_id,
        case when file_kind = 'account_bill' then 'basic' else substring(file_kind from 11) end
            as account_type
    from channel_files
    where file_kind = 'account_bill' or starts_with(file_kind, 'fund_bill_')
)

select * from final
