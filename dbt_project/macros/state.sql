{#
    The open items of the date before stand in the table that this very run builds further down,
    so that a ref() would be a cycle. The relation is named here once; the first close of a new
    database finds no table yet and reads an empty one of the same shape. A restatement, too, reads
    what is sealed: the schema is named, not the run's.
#}
{% macro suspense_items_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='reconciliation', identifier='suspense_items'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'reconciliation', 'suspense_items') is none -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as status,
            cast(null as text) as side,
            cast(null as text) as source_id,
            cast(null as text) as channel,
            cast(null as text) as currency_code,
            cast(null as bigint) as amount_minor,
            cast(null as text) as transaction_type,
            cast(null as timestamptz) as transaction_at,
            cast(null as text) as file_id,
            cast(null as integer) as line_number,
            cast(null as text) as account_id,
            cast(null as date) as opened_on,
            cast(null as text) as match_key,
            cast(null as text) as fallback_key_1,
            cast(null as text) as fallback_key_2,
            cast(null as text) as suspense_item_id,
            cast(null as text) as linked_item_id,
            cast(null as text) as resolved_by_id,
            cast(null as text) as merchant_ids,
            cast(null as text) as terminal_id,
            cast(null as bigint) as fee_amount_minor,
            cast(null as bigint) as deducted_fee_amount_minor
        limit 0
    ) as suspense_items
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for adjustment records that nobody had decided by the close of the date before. #}
{% macro suspended_adjustments_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='clearing', identifier='suspended_adjustments'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'clearing', 'suspended_adjustments') is none -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as status,
            cast(null as text) as adjustment_id,
            cast(null as text) as channel,
            cast(null as text) as adjustment_type,
            cast(null as text) as currency_code,
            cast(null as bigint) as funds_effect_minor,
            cast(null as bigint) as taken_amount_minor,
            cast(null as text) as match_key,
            cast(null as date) as suspended_on,
            cast(null as text) as file_id,
            cast(null as integer) as line_number
        limit 0
    ) as suspended_adjustments
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for arrival groups that were short on the payment date before. #}
{% macro unconfirmed_arrivals_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='settlement', identifier='unconfirmed_arrivals'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'settlement', 'unconfirmed_arrivals') is none -%}
    (
        select
            cast(null as date) as payment_date,
            cast(null as text) as arrival_group_id,
            cast(null as text) as channel,
            cast(null as text) as currency_code,
            cast(null as date) as opened_on,
            cast(null as bigint) as residual_minor
        limit 0
    ) as unconfirmed_arrivals
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#
    What is held, as the last payment left it: payments are built from closes, so that a ref() from
    a close would be a cycle.
#}
{% macro holds_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='settlement', identifier='holds'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'settlement', 'holds') is none -%}
    (
        select
            cast(null as date) as payment_date,
            cast(null as text) as entry_id,
            cast(null as text) as account_id,
            cast(null as text) as currency_code,
            cast(null as text) as channel,
            cast(null as text) as reason,
            cast(null as text) as end_kind,
            cast(null as bigint) as cleared_amount_minor,
            cast(null as bigint) as closing_gross_amount_minor,
            cast(null as bigint) as closing_fee_amount_minor,
            cast(null as bigint) as lowered_amount_minor,
            cast(null as bigint) as paid_early_amount_minor,
            cast(null as bigint) as closing_amount_minor
        limit 0
    ) as holds
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for written-off items that were charged by closes before. #}
{% macro charged_write_offs_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='reconciliation', identifier='charged_write_offs'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'reconciliation', 'charged_write_offs') is none
    -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as suspense_item_id
        limit 0
    ) as charged_write_offs
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for the entries of earlier dates, whose fees a late approval makes up. #}
{% macro clearing_entries_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='clearing', identifier='clearing_entries'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'clearing', 'clearing_entries') is none -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as entry_id,
            cast(null as text) as source_id,
            cast(null as text) as clearing_session_type,
            cast(null as text) as account_id,
            cast(null as text) as merchant_id,
            cast(null as text) as channel,
            cast(null as text) as currency_code,
            cast(null as text) as transaction_type,
            cast(null as bigint) as transaction_amount_minor,
            cast(null as bigint) as fee_amount_minor,
            cast(null as bigint) as deducted_fee_amount_minor,
            cast(null as text) as settlement_mode,
            cast(null as text) as fee_rule_id,
            cast(null as text) as contract_id,
            cast(null as bigint) as tier_from_minor,
            cast(null as bigint) as tier_volume_minor,
            cast(null as text) as merchant_category_code
        limit 0
    ) as clearing_entries
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for the sums of earlier dates, of which a home of before makes its volumes. #}
{% macro clearing_records_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='clearing', identifier='clearing_records'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'clearing', 'clearing_records') is none -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as account_id,
            cast(null as text) as currency_code,
            cast(null as bigint) as transaction_amount_minor
        limit 0
    ) as clearing_records
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for the month's volume of each account, of which the tiers of the next are. #}
{% macro monthly_volumes_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='clearing', identifier='monthly_volumes'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'clearing', 'monthly_volumes') is none -%}
    (
        select
            cast(null as date) as accounting_date,
            cast(null as text) as account_id,
            cast(null as text) as currency_code,
            cast(null as date) as volume_month,
            cast(null as bigint) as previous_volume_minor,
            cast(null as boolean) as is_previous_known,
            cast(null as bigint) as month_volume_minor
        limit 0
    ) as monthly_volumes
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}

{# The same for what the statements of the payment date before carried. #}
{% macro settlement_statements_relation() -%}
    {%- set relation = api.Relation.create(
        database=target.database, schema='settlement', identifier='settlement_statements'
    ) -%}
    {%- if execute
        and adapter.get_relation(target.database, 'settlement', 'settlement_statements') is none -%}
    (
        select
            cast(null as date) as payment_date,
            cast(null as text) as account_id,
            cast(null as text) as settlement_session_type,
            cast(null as integer) as settlement_session_no,
            cast(null as text) as currency_code,
            cast(null as bigint) as carried_forward_amount_minor
        limit 0
    ) as settlement_statements
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}
