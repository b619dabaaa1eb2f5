{#
   What a run reads of dates before it from a table that it builds itself further down, or that is
   built from what it builds: a ref() would be a cycle. Each relation is named here once. The setup
   makes every table before the first date, so that it is always there. A restatement, too, reads
   what is sealed: the schema is named, not the run's.
#}
{% macro state_of(schema, identifier) -%}
    {{ api.Relation.create(database=target.database, schema=schema, identifier=identifier) }}
{%- endmacro %}

{# Open items, as the close of the date before left them. #}
{% macro suspense_items_relation() -%}
    {{ state_of('reconciliation', 'suspense_items') }}
{%- endmacro %}

{# The same for adjustment records that nobody had decided by the close of the date before. #}
{% macro suspended_adjustments_relation() -%}
    {{ state_of('clearing', 'suspended_adjustments') }}
{%- endmacro %}

{# The same for arrival groups that were short on the payment date before. #}
{% macro unconfirmed_arrivals_relation() -%}
    {{ state_of('settlement', 'unconfirmed_arrivals') }}
{%- endmacro %}

{#
    What is held, as the last payment left it: payments are built from closes, so that a ref() from
    a close would be a cycle.
#}
{% macro holds_relation() -%}
    {{ state_of('settlement', 'holds') }}
{%- endmacro %}

{# The same for written-off items that were charged by closes before. #}
{% macro charged_write_offs_relation() -%}
    {{ state_of('reconciliation', 'charged_write_offs') }}
{%- endmacro %}

{# The same for the entries of earlier dates, whose fees a late approval makes up. #}
{% macro clearing_entries_relation() -%}
    {{ state_of('clearing', 'clearing_entries') }}
{%- endmacro %}

{# The same for the sums of earlier dates, of which a home of before makes its volumes. #}
{% macro clearing_records_relation() -%}
    {{ state_of('clearing', 'clearing_records') }}
{%- endmacro %}

{# The same for the month's volume of each account, of which the tiers of the next are. #}
{% macro monthly_volumes_relation() -%}
    {{ state_of('clearing', 'monthly_volumes') }}
{%- endmacro %}

{# The same for what the statements of the payment date before carried. #}
{% macro settlement_statements_relation() -%}
    {{ state_of('settlement', 'settlement_statements') }}
{%- endmacro %}

{# The same for foreign vouchers that had no rate when the close of the date before ended. #}
{% macro waiting_conversions_relation() -%}
    {{ state_of('clearing', 'waiting_conversions') }}
{%- endmacro %}

{# The same for what foreign vouchers of earlier dates settled for. #}
{% macro currency_conversions_relation() -%}
    {{ state_of('clearing', 'currency_conversions') }}
{%- endmacro %}
