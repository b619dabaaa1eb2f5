with records as (
    select
        file_id,
        line_number,
        accounting_date,
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        payout_minimum_minor,
        settlement_cycle,
        refund_fee_policy,
        fee_period,
        fee_collection_method,
        effective_from,
        effective_to,
        ended_on,
        channel_merchant_ids,
        merchant_category_code
    from {{ source('raw', 'platform_contracts') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.contract_id,
        records.merchant_id,
        records.account_id,
        records.settlement_mode,
        records.payout_minimum_minor,
        records.settlement_cycle,
        records.refund_fee_policy,
        records.fee_period,
        records.fee_collection_method,
        records.effective_from,
        records.effective_to,
        records.ended_on,
        records.channel_merchant_ids,
        records.merchant_category_code
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
