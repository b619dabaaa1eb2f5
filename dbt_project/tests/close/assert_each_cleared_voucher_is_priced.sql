-- Every voucher that clears has a contract in force at its time, a fee rule of that contract, and
-- a settlement mode on the accounting date. A merchant without a contract cannot be cleared, and
-- must not be dropped.
{{ config(tags=['close']) }}

select
    voucher_id,
    merchant_id,
    account_id,
    channel,
    case
        when contract_id is null then 'no contract with a fee rule in force at the time of the sale'
        when settlement_mode is null then 'no contract of this account in force on the date'
        else 'no fee could be computed'
    end as reason
from {{ ref('int_pricing__priced_vouchers') }}
where
    contract_id is null
    or fee_rule_id is null
    or fee_amount_minor is null
    or settlement_mode is null
