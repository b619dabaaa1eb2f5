with records as (
    select
        file_id,
        line_number,
        accounting_date,
        fee_rule_id,
        contract_id,
        channel,
        transaction_type,
        card_kind,
        card_region,
        tier_from_minor,
        fee_rate,
        fixed_fee_minor,
        minimum_fee_minor,
        cap_fee_minor,
        effective_from,
        effective_to,
        priority,
        merchant_category_code
    from {{ source('raw', 'platform_fee_rates') }}
),

landed_files as (
    {{ landed_files() }}
),

final as (
    select
        records.file_id,
        records.line_number,
        records.accounting_date as snapshot_date,
        records.fee_rule_id,
        records.contract_id,
        records.channel,
        records.transaction_type,
        records.card_kind,
        records.card_region,
        records.tier_from_minor,
        records.fee_rate,
        records.fixed_fee_minor,
        records.minimum_fee_minor,
        records.cap_fee_minor,
        records.effective_from,
        records.effective_to,
        records.priority,
        records.merchant_category_code
    from records
    inner join landed_files on records.file_id = landed_files.file_id
)

select * from final
