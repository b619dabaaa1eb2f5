{{ config(
    materialized='dated_partition', schema='clearing', partition_by='accounting_date',
    tags=['close']
) }}

{#-
    Every payee version as T's snapshot says it, and whether two people have confirmed it. A blocked
    payee and an earlier end are taken at once; whatever else is new or other waits: no statement
    is paid to it meanwhile. Accounts and names stand here as token and mask only.
    docs/domain.md#payee-confirmed
-#}
{%- set identity = [
    'account_id', 'bank_name', 'bank_code', 'account_number_mask', 'account_number_token',
    'account_name_mask', 'currency_code',
] -%}
{%- set columns = identity + ['payee_status', 'effective_from', 'effective_to'] -%}
{%- set shown = columns | reject('equalto', 'account_number_token') | list -%}

with before as (
    select
        payee_id,
        payee_version,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        identity_sha256,
        content_sha256,
        is_in_force,
        confirmation,
        changed_on
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
),

first_close as (
    {{ first_close() }}
),

delivered as (
    select
        rows.payee_id,
        rows.payee_version,
        {%- for column in columns %}
        rows.{{ column }},
        {%- endfor %}
        rows.file_id,
        rows.line_number,
        {{ content_sha256('rows', identity) }} as identity_sha256,
        {{ content_sha256('rows', columns) }} as content_sha256
    from {{ ref('stg_platform__payees') }} as rows
    where rows.snapshot_date = {{ accounting_date() }}
),

decisions as (
    {{ term_decisions(accounting_date() ~ ' - 1', accounting_date()) }}
),

compared as (
    select
        delivered.*,
        first_close.is_first_date,
        before.payee_id is not null as is_known,
        before.confirmation as confirmation_before,
        before.is_in_force as was_in_force,
        case
            when before.content_sha256 <> delivered.content_sha256
                then {{ content_object('before', shown) }}
        end as content_before,
        before.content_sha256 is not distinct from delivered.content_sha256 as is_same,
        coalesce(
            before.identity_sha256 = delivered.identity_sha256
            and not (before.payee_status = 'blocked' and delivered.payee_status = 'active')
            and before.effective_from <= delivered.effective_from
            and coalesce(before.effective_to, date 'infinity')
            >= coalesce(delivered.effective_to, date 'infinity'),
            false
        ) as is_narrower,
        case
            when before.content_sha256 = delivered.content_sha256
                then coalesce(before.changed_on, {{ accounting_date() }})
            else {{ accounting_date() }}
        end as changed_on
    from delivered
    cross join first_close
    left join before
        on delivered.payee_id = before.payee_id
        and delivered.payee_version = before.payee_version
),

identified as (
    select
        compared.*,
        {{ change_id(
            'payee', "compared.payee_id || '/' || compared.payee_version", 'compared.changed_on',
            'compared.content_sha256'
        ) }} as change_id,
        compared.is_narrower
        and compared.confirmation_before in ('first_date_list', 'two_people') as is_settled
    from compared
),

states as (
    select
        identified.*,
        case
            when is_first_date then null
            when is_settled and is_same then null
            when is_settled then 'taken'
            when decisions.decision = 'approve' then 'approved'
            when decisions.decision = 'reject' then 'rejected'
            when is_same and not was_in_force then 'rejected'
            else 'waiting'
        end as change_state
    from identified
    left join decisions on identified.change_id = decisions.change_id
),

final as (
    select
        {{ accounting_date() }} as accounting_date,
        payee_id,
        payee_version,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        change_state is distinct from 'rejected' as is_in_force,
        case
            when is_first_date then 'first_date_list'
            when change_state = 'approved' then 'two_people'
            when change_state in ('waiting', 'rejected') then 'waiting'
            else confirmation_before
        end as confirmation,
        change_state,
        case when change_state is not null then change_id end as change_id,
        case when change_state is not null then changed_on end as changed_on,
        case
            when change_state is null then null
            when is_known and not is_same then 'changed'
            else 'new'
        end as change_kind,
        case when change_state is not null then not is_settled end as pays_more,
        identity_sha256,
        content_sha256,
        content_before,
        case when change_state is not null then {{ content_object('states', shown) }} end
            as content_delivered,
        file_id,
        line_number
    from states
)

select * from final
