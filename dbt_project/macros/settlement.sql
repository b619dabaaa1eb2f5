{#
    The settlement session a clearing entry is settled in. Foreign-card transactions have their own;
    adjustments and service fees belong to the transaction session
    (docs/domain.md#sessions-of-settlement).
#}
{% macro settlement_session_type(entry) -%}
    case
        when {{ entry }}.clearing_session_type = 'transaction' and {{ entry }}.is_foreign_card
            then 'foreign_card'
        else 'transaction'
    end
{%- endmacro %}

{# 20260928-A000017-T1-CNY: the statement's id says its date, account, session and currency. #}
{% macro settlement_statement_id(account_id, session_type, session_no, currency_code) -%}
    to_char({{ payment_date() }}, 'YYYYMMDD') || '-' || {{ account_id }} || '-'
    || case {{ session_type }} when 'foreign_card' then 'F' when 'transaction' then 'T' end
    || {{ session_no }} || '-' || {{ currency_code }}
{%- endmacro %}

{#
    The latest delivered snapshot of a full-snapshot file that the payment may know: of an
    accounting date before it. The lower bound keeps the look-up to a month of partitions.
#}
{% macro latest_snapshot_before_payment(relation) -%}
    (
        select max(snapshots.snapshot_date)
        from {{ relation }} as snapshots
        where snapshots.snapshot_date >= {{ days_back(payment_date()) }}
            and snapshots.snapshot_date < {{ payment_date() }}
    )
{%- endmacro %}

{#
    What of an open platform item may be paid: nothing of what only the platform has, the smaller
    signed amount of an amount mismatch while the channel's item is open. What takes money from the
    merchant is taken at once, whoever has it.
#}
{% macro payable_amount(system_side, channel_side) -%}
    case
        when {{ system_side }}.break_reason = 'amount_mismatch'
            and {{ channel_side }}.suspense_item_id is not null
            then least({{ system_side }}.amount_minor, {{ channel_side }}.amount_minor)
        else least({{ system_side }}.amount_minor, 0)
    end
{%- endmacro %}

{# Which freeze takes before which, by kind (docs/domain.md#register-of-freezes). #}
{% macro freeze_order(freeze_kind) -%}
    case {{ freeze_kind }}
            when 'judicial' then 1
            when 'risk' then 2
            when 'own_charge' then 3
            when 'merchant_request' then 4
        end
{%- endmacro %}

{#
    A charge that may wait for its balance: what a channel took for an adjustment of the account's
    sale, and keeps on adjustments receivable until it is charged. What people charge of an open
    item ends what was held of it and is never deferred.
#}
{% macro is_deferrable_charge(entry) -%}
    {{ entry }}.entry_id like 'A:%'
        and {{ entry }}.clearing_session_type = 'adjustment'
        and {{ entry }}.clearing_amount_minor < 0
{%- endmacro %}

{# In which order an account's sessions give and are taken from. #}
{% macro session_order(session_type) -%}
    case {{ session_type }} when 'transaction' then 1 when 'foreign_card' then 2 end
{%- endmacro %}
