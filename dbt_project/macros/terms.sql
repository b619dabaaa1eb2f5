{#
    Terms (contracts, fee rules, payees) change by approval. These macros hold what the models of
    the three kinds share. docs/decisions/0040-terms-change-by-approval.md
#}

{# The columns' values in one number; numbers without trailing zeros, NULL is a value of its own. #}
{% macro content_sha256(relation, columns) -%}
    encode(sha256(convert_to(cast({{ content_array(relation, columns) }} as text), 'UTF8')), 'hex')
{%- endmacro %}

{#
    A column that came later counts where it has a value: the number of what was approved before
    stays what it was.
#}
{% macro content_array(relation, columns) -%}
    jsonb_build_array(
        {%- for column in columns if column not in later_columns() %}
        {{ term_value(relation, column) }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
    {%- for column in columns if column in later_columns() %}
    || case
        when {{ relation }}.{{ column }} is null then jsonb_build_array()
        else jsonb_build_array(jsonb_build_object('{{ column }}', {{ relation }}.{{ column }}))
    end
    {%- endfor %}
{%- endmacro %}

{% macro later_columns() -%}
    {{ return(['merchant_category_code']) }}
{%- endmacro %}

{# The columns' values with their names, for people. #}
{% macro content_object(relation, columns, suffix='') -%}
    jsonb_build_object(
        {%- for column in columns %}
        '{{ column }}', {{ term_value(relation, column ~ suffix) }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}

{% macro term_value(relation, column) -%}
    {%- if column in ('fee_rate', 'fee_rate_before', 'fee_rate_delivered') -%}
    trim_scale({{ relation }}.{{ column }})
    {%- else -%}
    {{ relation }}.{{ column }}
    {%- endif -%}
{%- endmacro %}

{#
    contract:C000006-2:20260927:0f12…: which term changed, since which delivery, into what. The same
    content delivered again after another is another change.
#}
{% macro change_id(kind, key, changed_on, sha256) -%}
    '{{ kind }}:' || {{ key }} || ':' || to_char({{ changed_on }}, 'YYYYMMDD') || ':'
    || left({{ sha256 }}, 32)
{%- endmacro %}

{#
    Whether no close before T has listed terms: then T's are the first date's list, which two people
    approve. Asked of the list that every close writes, not of the terms: an empty file of the first
    date must not let what comes on the second pass for its list. The list is built further down in
    this very run, so that a ref() would be a cycle.
#}
{% macro first_close() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='clearing', identifier='term_lists'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'clearing', 'term_lists') is none -%}
    select true as is_first_date
    {%- else -%}
    select
        not exists (
            select 1
            from {{ relation }} as lists
            where lists.accounting_date = {{ accounting_date() }} - 1
        ) as is_first_date
    {%- endif -%}
{%- endmacro %}

{#
    Whether a cycle may pay an entry earlier than the one before it. Nothing pays earlier than T+1,
    and a longer T+N pays nothing earlier than a shorter one. Of any other two, weeks and months
    among them, one day can be earlier and another later: two people look.
#}
{% macro may_pay_earlier(before, delivered) -%}
    (
        {{ before }} <> {{ delivered }}
        and {{ before }} <> 'T+1'
        and case
            when {{ before }} like 'T+%' and {{ delivered }} like 'T+%'
                then cast(split_part({{ delivered }}, '+', 2) as integer)
                    < cast(split_part({{ before }}, '+', 2) as integer)
            else true
        end
    )
{%- endmacro %}

{# What a row that is not delivered any more has for a content. #}
{% macro removed_sha256() -%}encode(sha256(convert_to('removed', 'UTF8')), 'hex'){%- endmacro %}

{# The latest decision of two people about each change, of those in force in a span of dates. #}
{% macro term_decisions(after, through) -%}
    select
        decided.change_id,
        decided.decision
    from (
        select
            items.change_id,
            items.decision,
            row_number() over (
                partition by items.change_id
                order by items.effective_on desc, items.approval_id desc
            ) as decision_order
        from {{ source('control', 'term_approval_items') }} as items
        where items.effective_on > {{ after }} and items.effective_on <= {{ through }}
    ) as decided
    where decided.decision_order = 1
{%- endmacro %}

{#
    The CTEs of contracts and fee rules: the terms of T-1 against what T's snapshot says. What pays
    the merchant no more is taken; what pays more waits for two people, and the terms stay. The
    model gives, in front of them, the CTEs `first_close` and `provisional_groups` (`group_key`):
    whose new rows are used before they are confirmed, because nothing older is there.

    The last CTE is `decided`, one row a term.
#}
{% macro term_ctes(kind, key, columns, delivered, group_key, pays_more) -%}
before as (
    select
        {{ key }},
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        content_sha256,
        waiting_sha256,
        is_in_force,
        confirmation,
        change_state,
        changed_on
    from {{ this }}
    where accounting_date = {{ accounting_date() }} - 1
),

delivered as (
    select
        rows.{{ key }},
        {%- for column in columns %}
        rows.{{ column }},
        {%- endfor %}
        rows.file_id,
        rows.line_number,
        {{ content_sha256('rows', columns) }} as content_sha256
    from {{ delivered }} as rows
    where rows.snapshot_date = {{ accounting_date() }}
),

decisions as (
    {{ term_decisions(accounting_date() ~ ' - 1', accounting_date()) }}
),

last_of_group as (
    select
        {{ group_key }},
        max(effective_from) as last_effective_from
    from before
    where is_in_force
    group by {{ group_key }}
),

compared as (
    select
        coalesce(delivered.{{ key }}, before.{{ key }}) as {{ key }},
        {%- for column in columns %}
        before.{{ column }} as {{ column }}_before,
        delivered.{{ column }} as {{ column }}_delivered,
        {%- endfor %}
        delivered.file_id,
        delivered.line_number,
        delivered.{{ key }} is not null as is_delivered,
        coalesce(before.is_in_force, false) as was_in_force,
        before.content_sha256 as sha256_before,
        coalesce(delivered.content_sha256, {{ removed_sha256() }}) as sha256_delivered,
        before.confirmation as confirmation_before,
        before.change_state as state_before,
        before.waiting_sha256,
        case
            when before.waiting_sha256
                = coalesce(delivered.content_sha256, {{ removed_sha256() }})
                then before.changed_on
            else {{ accounting_date() }}
        end as changed_on,
        last_of_group.last_effective_from,
        provisional_groups.{{ group_key }} is not null as is_provisional,
        first_close.is_first_date
    from before
    full join delivered on before.{{ key }} = delivered.{{ key }}
    cross join first_close
    left join last_of_group on before.{{ group_key }} = last_of_group.{{ group_key }}
    left join provisional_groups
        on delivered.{{ group_key }} = provisional_groups.{{ group_key }}
    -- What was never in force and is delivered no more is gone.
    where
        delivered.{{ key }} is not null
        or (before.is_in_force and not first_close.is_first_date)
),

judged as (
    select
        compared.*,
        coalesce(compared.was_in_force and sha256_before = sha256_delivered, false) as is_same,
        case
            when not compared.was_in_force or not compared.is_delivered then true
            else coalesce({{ pays_more }}, true)
        end as pays_more,
        {{ change_id(kind, 'compared.' ~ key, 'compared.changed_on', 'compared.sha256_delivered') }}
            as change_id
    from compared
),

states as (
    select
        judged.*,
        case
            when judged.is_first_date then null
            when judged.is_same and judged.confirmation_before <> 'waiting' then null
            when decisions.decision = 'approve' then 'approved'
            when decisions.decision = 'reject' then 'rejected'
            when
                judged.state_before = 'rejected'
                and judged.waiting_sha256 = judged.sha256_delivered
                then 'rejected'
            when judged.pays_more or judged.confirmation_before = 'waiting' then 'waiting'
            else 'taken'
        end as change_state
    from judged
    left join decisions on judged.change_id = decisions.change_id
),

taken as (
    select
        states.*,
        is_delivered
        and (
            is_same
            or is_first_date
            or change_state in ('approved', 'taken')
            or (was_in_force and not pays_more)
            or (not was_in_force and is_provisional and change_state = 'waiting')
        ) as is_taken
    from states
),

decided as (
    select
        {{ key }},
        {%- for column in columns %}
        case
            when is_taken or not was_in_force then {{ column }}_delivered
            else {{ column }}_before
        end as {{ column }},
        {%- endfor %}
        case when is_taken or not was_in_force then sha256_delivered else sha256_before end
            as content_sha256,
        was_in_force or is_taken as is_in_force,
        case
            when is_first_date then 'first_date_list'
            when change_state = 'approved' then 'two_people'
            when not was_in_force then 'waiting'
            else confirmation_before
        end as confirmation,
        change_state,
        case when change_state is not null then change_id end as change_id,
        case when change_state is not null then changed_on end as changed_on,
        case
            when change_state is null then null
            when not is_delivered then 'removed'
            when not was_in_force then 'new'
            when is_same then 'new'
            else 'changed'
        end as change_kind,
        case when change_state is not null then pays_more end as pays_more,
        case when change_state in ('waiting', 'rejected') then sha256_delivered end
            as waiting_sha256,
        case
            when change_state is not null and was_in_force and not is_same
                then {{ content_object('taken', columns, '_before') }}
        end as content_before,
        case
            when change_state is not null and is_delivered
                then {{ content_object('taken', columns, '_delivered') }}
        end as content_delivered,
        file_id,
        line_number
    from taken
    where is_delivered or change_state is distinct from 'approved'
)
{%- endmacro %}

{# The contracts in force on T, the latest of each account first, for what people charge to one. #}
{% macro contracts_of_accounts() -%}
    select
        contract_id,
        merchant_id,
        account_id,
        settlement_mode,
        -- Whose money it is must follow from the account alone; it is never the first of several.
        min(merchant_id) over (partition by account_id)
        = max(merchant_id) over (partition by account_id) as is_one_merchant,
        row_number() over (
            partition by account_id
            order by effective_from desc, contract_id
        ) as contract_order
    from {{ ref('int_terms__contracts') }}
    where
        snapshot_date = {{ accounting_date() }}
        and effective_from <= {{ accounting_date() }}
        and (effective_to is null or effective_to > {{ accounting_date() }})
{%- endmacro %}

{# What late approvals of terms, up to this close, made up of the fee of each entry. #}
{% macro made_up_of_entries() -%}
    select
        entry_id,
        sum(adjustment_amount_minor) as adjustment_amount_minor
    from {{ ref('term_adjustments') }}
    where accounting_date >= {{ accounting_date() }} - 360
        and accounting_date <= {{ accounting_date() }}
    group by entry_id
{%- endmacro %}

{#
    What a contract said of fees and refunds when it sold: for one that is in force no more. A body
    for `left join lateral`, one probe a row.
#}
{% macro refund_policy_when_sold(sold_on, contract_id) -%}
    select contracts_then.refund_fee_policy
        from {{ ref('int_terms__contracts') }} as contracts_then
        where contracts_then.snapshot_date >= {{ accounting_date() }} - 360
            and contracts_then.snapshot_date < {{ accounting_date() }}
            and contracts_then.snapshot_date = {{ sold_on }}
            and contracts_then.contract_id = {{ contract_id }}
        limit 1
{%- endmacro %}
