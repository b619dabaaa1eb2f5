{{ config(materialized='ephemeral') }}

{#-
    What is paid stands on terms two people approved; the reference data is the one they
    approved last. docs/decisions/0041-first-list-and-reference-data-are-approved.md
-#}
with statements as (
    select
        statement_id,
        account_id,
        currency_code,
        payee_id,
        payee_version,
        payout_amount_minor
    from {{ ref('settlement_statements') }}
    where payment_date = {{ payment_date() }} and payout_amount_minor <> 0
),

account_payees as (
    select
        account_id,
        currency_code,
        payee_id,
        payee_version,
        withheld_reason,
        unconfirmed_room_minor
    from {{ ref('int_settlement__account_payees') }}
),

term_approvals as (
    select
        approval_id,
        reference_sha256
    from {{ source('control', 'term_approvals') }}
    where subject in ('first_date_list', 'reference_data')
),

paid_accounts as (
    select
        account_id,
        currency_code,
        sum(payout_amount_minor) as payout_amount_minor
    from statements
    group by account_id, currency_code
),

unapproved as (
    select
        statements.statement_id,
        case
            when account_payees.payee_id is null then 'other payee (收款人不符)'
            when account_payees.withheld_reason is not null then account_payees.withheld_reason
            else 'payee_unconfirmed, over its limit (超未确认限额)'
        end as why
    from statements
    inner join paid_accounts
        on statements.account_id = paid_accounts.account_id
        and statements.currency_code = paid_accounts.currency_code
    left join account_payees
        on statements.account_id = account_payees.account_id
        and statements.currency_code = account_payees.currency_code
        and statements.payee_id = account_payees.payee_id
        and statements.payee_version = account_payees.payee_version
    where
        account_payees.payee_id is null
        or account_payees.withheld_reason is not null
        or paid_accounts.payout_amount_minor > account_payees.unconfirmed_room_minor
),

statement_checks as (
    select
        'statements' as subject,
        count(*) = 0 as holds,
        coalesce(
            'paid on terms nobody approved (条款未审批): '
            || min(statement_id || ' ' || why),
            ''
        ) as detail,
        count(*) as measured,
        '0' as expected
    from unapproved
),

approved_reference as (
    select reference_sha256
    from term_approvals
    order by approval_id desc
    limit 1
),

reference_now as (
    select control.reference_sha256() as reference_sha256
),

reference_checks as (
    select
        'reference_data' as subject,
        coalesce(approved_reference.reference_sha256 = reference_now.reference_sha256, false)
            as holds,
        case
            when approved_reference.reference_sha256 is null
                then 'nobody approved the first date''s list and the reference data'
                || ' (首日清单与参考数据未审批): tieout terms approve --first-date'
            when approved_reference.reference_sha256 <> reference_now.reference_sha256
                then 'other reference data than two people approved'
                || ' (参考数据与审批不符): tieout terms reference'
            else ''
        end as detail,
        case
            when approved_reference.reference_sha256 is null then 'no approval'
            when approved_reference.reference_sha256 = reference_now.reference_sha256
                then 'as approved'
            else 'other'
        end as measured,
        'as approved' as expected
    from reference_now
    left join approved_reference on true
),

final as (
    {{ check_rows('terms_approved', ['statement_checks', 'reference_checks']) }}
)

select * from final
