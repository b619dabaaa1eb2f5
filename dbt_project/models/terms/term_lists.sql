{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    The first date's list of terms in one number: contracts, fee rules, payees, freezes and opening
    balances of the first accounting date, which two people approve before anybody is paid
    (docs/domain.md#first-list). One row a date; later dates carry the number. Beside it, how many
    changes wait.
-#}
with before as (
    select
        first_accounting_date,
        first_list_sha256
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
),

first_close as (
    {{ first_close() }}
),

term_changes as (
    select change_state
    from {{ ref('term_changes') }}
    where accounting_date = {{ accounting_date() }}
),

contract_terms as (
    select
        contract_id,
        content_sha256
    from {{ ref('contract_terms') }}
    where accounting_date = {{ accounting_date() }}
),

fee_rate_terms as (
    select
        fee_rule_id,
        content_sha256
    from {{ ref('fee_rate_terms') }}
    where accounting_date = {{ accounting_date() }}
),

payee_terms as (
    select
        payee_id,
        payee_version,
        content_sha256
    from {{ ref('payee_terms') }}
    where accounting_date = {{ accounting_date() }}
),

freezes as (
    select
        freeze_id,
        account_id,
        currency_code,
        amount_minor,
        reason_code,
        effective_from,
        effective_to,
        freeze_kind,
        order_number,
        issued_by,
        settlement_session_type,
        released_amount_minor
    from {{ ref('stg_platform__freezes') }}
    where snapshot_date = {{ accounting_date() }}
),

opening_balances as (
    select
        ledger_account,
        subledger_id,
        currency_code,
        balance_minor
    from {{ ref('stg_platform__opening_balances') }}
    where accounting_date = {{ accounting_date() }}
),

listed as (
    select
        cast(jsonb_build_array('contract', contract_id, content_sha256) as text) as list_line
    from contract_terms
    union all
    select cast(jsonb_build_array('fee_rate', fee_rule_id, content_sha256) as text) as list_line
    from fee_rate_terms
    union all
    select
        cast(jsonb_build_array('payee', payee_id, payee_version, content_sha256) as text)
            as list_line
    from payee_terms
    union all
    select
        cast(
            jsonb_build_array(
                'freeze', freeze_id, account_id, currency_code, amount_minor, reason_code,
                effective_from, effective_to
            )
            -- Nothing is added where the file states no order: such a list keeps its number.
            || case
                when order_number is not null
                    or settlement_session_type is not null
                    or released_amount_minor > 0
                    or freeze_kind
                    <> case reason_code when 'court_order' then 'judicial' else 'risk' end
                    then jsonb_build_array(
                        freeze_kind, order_number, issued_by, settlement_session_type,
                        released_amount_minor
                    )
                else cast('[]' as jsonb)
            end as text
        ) as list_line
    from freezes
    union all
    select
        cast(
            jsonb_build_array(
                'opening_balance', ledger_account, subledger_id, currency_code, balance_minor
            ) as text
        ) as list_line
    from opening_balances
),

first_list as (
    select
        encode(
            sha256(
                convert_to(
                    coalesce(string_agg(list_line, chr(10) order by list_line collate "C"), ''),
                    'UTF8'
                )
            ),
            'hex'
        ) as first_list_sha256
    from listed
    cross join first_close
    where first_close.is_first_date
),

waiting as (
    select
        count(*) filter (where change_state = 'waiting') as waiting_count,
        count(*) as change_count
    from term_changes
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        case
            when first_close.is_first_date then {{ accounting_date() }}
            else before.first_accounting_date
        end as first_accounting_date,
        case
            when first_close.is_first_date then first_list.first_list_sha256
            else before.first_list_sha256
        end as first_list_sha256,
        waiting.change_count,
        waiting.waiting_count
    from waiting
    cross join first_list
    cross join first_close
    left join before on true
)

select * from final
