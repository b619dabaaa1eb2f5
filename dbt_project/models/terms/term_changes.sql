{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    What changed in the terms on T, and what still waits for two people or was rejected: one row a
    change. The terms of the first date are no changes, they are its list (`term_lists`).
-#}
with contract_terms as (
    select
        change_id,
        contract_id,
        account_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from {{ ref('contract_terms') }}
    where accounting_date = {{ accounting_date() }}
),

fee_rate_terms as (
    select
        change_id,
        fee_rule_id,
        contract_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from {{ ref('fee_rate_terms') }}
    where accounting_date = {{ accounting_date() }} and change_state is not null
),

payee_terms as (
    select
        change_id,
        payee_id,
        payee_version,
        account_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from {{ ref('payee_terms') }}
    where accounting_date = {{ accounting_date() }} and change_state is not null
),

changes as (
    select
        change_id,
        'contract' as term_kind,
        contract_id as term_key,
        account_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from contract_terms
    where change_state is not null
    union all
    select
        fee_rate_terms.change_id,
        'fee_rate' as term_kind,
        fee_rate_terms.fee_rule_id as term_key,
        contract_terms.account_id,
        fee_rate_terms.change_kind,
        fee_rate_terms.change_state,
        fee_rate_terms.changed_on,
        fee_rate_terms.pays_more,
        fee_rate_terms.content_before,
        fee_rate_terms.content_delivered,
        fee_rate_terms.file_id,
        fee_rate_terms.line_number
    from fee_rate_terms
    left join contract_terms on fee_rate_terms.contract_id = contract_terms.contract_id
    union all
    select
        change_id,
        'payee' as term_kind,
        payee_id || '/' || payee_version as term_key,
        account_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from payee_terms
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        change_id,
        term_kind,
        term_key,
        account_id,
        change_kind,
        change_state,
        changed_on,
        pays_more,
        content_before,
        content_delivered,
        file_id,
        line_number
    from changes
)

select * from final
