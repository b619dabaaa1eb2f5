{{ config(materialized='dated_partition', partition_by='accounting_date', tags=['close']) }}

{#-
    Where a channel's fund bill of T does not say what its trade bill says (实收实付与应收应付). Both are
    added up by the number that the fund bill gives its lines, an amount and the fee kept back of
    it together, since a return's line may be the one less the other. Records whose account has no
    fund bill of T are not compared. What the trade bill has and the fund bill has not may have been
    booked after midnight: T+1's bill then says so, as `booked_later` (docs/domain.md#fund-bills).
-#}
with totals as (
    select
        channel,
        channel_account_id,
        account_type,
        currency_code,
        file_id,
        balance_before_minor,
        opening_balance_minor
    from {{ ref('fund_bill_totals') }}
    where accounting_date = {{ accounting_date() }}
),

fund_bills as (
    select
        channel,
        keyed_by
    from {{ ref('fund_bills') }}
),

channels as (
    select
        channel,
        cost_billing
    from {{ ref('channels') }}
),

channel_files as (
    select
        file_id,
        slot
    from {{ source('control', 'channel_files') }}
),

records as (
    select
        channel,
        file_id,
        line_number,
        currency_code,
        amount_minor,
        channel_cost_minor,
        channel_order_id,
        refund_order_id
    from {{ ref('int_channels__records') }}
    where accounting_date = {{ accounting_date() }}
),

lines as (
    select
        fund_line_id,
        channel,
        file_id,
        line_number,
        channel_account_id,
        business_type,
        part,
        fund_key,
        currency_code,
        amount_minor
    from {{ ref('int_channels__fund_lines') }}
    where accounting_date = {{ accounting_date() }}
),

findings_before as (
    select
        finding_id,
        expected_amount_minor
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1 and finding = 'not_booked'
),

accounts as (
    select distinct
        channel,
        channel_account_id
    from totals
),

expected as (
    select
        records.channel,
        accounts.channel_account_id,
        records.currency_code,
        case
            when fund_bills.keyed_by = 'record'
                then coalesce(records.refund_order_id, records.channel_order_id)
            else records.channel_order_id
        end as fund_key,
        records.amount_minor
        - case when channels.cost_billing = 'kept_back' then records.channel_cost_minor else 0 end
            as net_minor,
        records.file_id,
        records.line_number
    from records
    inner join channel_files on records.file_id = channel_files.file_id
    inner join accounts
        on records.channel = accounts.channel
        and {{ channel_account('channel_files.slot') }} = accounts.channel_account_id
    inner join fund_bills on records.channel = fund_bills.channel
    inner join channels on records.channel = channels.channel
),

expected_keys as (
    select
        channel,
        channel_account_id,
        currency_code,
        fund_key,
        sum(net_minor) as expected_amount_minor,
        min(file_id) as record_file_id,
        min(line_number) as record_line_number
    from expected
    group by channel, channel_account_id, currency_code, fund_key
),

booked_keys as (
    select
        channel,
        channel_account_id,
        currency_code,
        fund_key,
        sum(amount_minor) as booked_amount_minor,
        min(file_id) as fund_file_id,
        min(line_number) as fund_line_number
    from lines
    where part = 'record' and fund_key is not null
    group by channel, channel_account_id, currency_code, fund_key
),

compared as (
    select
        coalesce(expected_keys.channel, booked_keys.channel) as channel,
        coalesce(expected_keys.channel_account_id, booked_keys.channel_account_id)
            as channel_account_id,
        coalesce(expected_keys.currency_code, booked_keys.currency_code) as currency_code,
        coalesce(expected_keys.fund_key, booked_keys.fund_key) as fund_key,
        expected_keys.expected_amount_minor,
        booked_keys.booked_amount_minor,
        expected_keys.record_file_id,
        expected_keys.record_line_number,
        booked_keys.fund_file_id,
        booked_keys.fund_line_number
    from expected_keys
    full join booked_keys
        on expected_keys.channel = booked_keys.channel
        and expected_keys.channel_account_id = booked_keys.channel_account_id
        and expected_keys.currency_code = booked_keys.currency_code
        and expected_keys.fund_key = booked_keys.fund_key
    where
        expected_keys.expected_amount_minor is distinct from booked_keys.booked_amount_minor
        -- A record whose amount and fee are nothing moves nothing, and may have no line.
        and (booked_keys.fund_key is not null or expected_keys.expected_amount_minor <> 0)
        and (expected_keys.fund_key is not null or booked_keys.booked_amount_minor <> 0)
),

of_keys as (
    select
        compared.channel,
        compared.channel_account_id,
        compared.currency_code,
        case
            when compared.fund_file_id is null then 'not_booked'
            when compared.record_file_id is not null then 'other_amount'
            when findings_before.expected_amount_minor = compared.booked_amount_minor
                then 'booked_later'
            else 'no_record'
        end as finding,
        compared.channel || '|' || compared.channel_account_id || '|' || compared.fund_key
            as finding_id,
        compared.fund_key,
        coalesce(
            compared.expected_amount_minor, findings_before.expected_amount_minor, 0
        ) as expected_amount_minor,
        coalesce(compared.booked_amount_minor, 0) as booked_amount_minor,
        compared.record_file_id,
        compared.record_line_number,
        compared.fund_file_id,
        compared.fund_line_number
    from compared
    left join findings_before
        on compared.channel || '|' || compared.channel_account_id || '|' || compared.fund_key
        = findings_before.finding_id
),

of_lines as (
    select
        channel,
        channel_account_id,
        currency_code,
        case when part is null then 'unknown_word' else 'no_record' end as finding,
        fund_line_id as finding_id,
        fund_key,
        0 as expected_amount_minor,
        amount_minor as booked_amount_minor,
        cast(null as text) as record_file_id,
        cast(null as integer) as record_line_number,
        file_id as fund_file_id,
        line_number as fund_line_number
    from lines
    where part is null or (part = 'record' and fund_key is null and amount_minor <> 0)
),

of_balances as (
    select
        channel,
        channel_account_id,
        currency_code,
        'balance_gap' as finding,
        channel || '|' || channel_account_id || '|balance of ' || account_type as finding_id,
        cast(null as text) as fund_key,
        balance_before_minor as expected_amount_minor,
        opening_balance_minor as booked_amount_minor,
        cast(null as text) as record_file_id,
        cast(null as integer) as record_line_number,
        file_id as fund_file_id,
        cast(null as integer) as fund_line_number
    from totals
    where balance_before_minor <> opening_balance_minor
),

found as (
    select * from of_keys
    union all
    select * from of_lines
    union all
    select * from of_balances
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        finding_id,
        channel,
        channel_account_id,
        currency_code,
        finding,
        fund_key,
        expected_amount_minor,
        booked_amount_minor,
        booked_amount_minor - expected_amount_minor as difference_minor,
        record_file_id,
        record_line_number,
        fund_file_id,
        fund_line_number
    from found
)

select * from final
