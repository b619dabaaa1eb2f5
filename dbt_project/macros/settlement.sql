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
