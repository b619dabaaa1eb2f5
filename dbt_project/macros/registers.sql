{#
    Unpartitioned registers (migration 0013), written in the transaction that swaps the date's
    partition: what may be once only, or is looked up by an id, over all dates. The date's own rows
    are replaced, whichever build wrote them; another date's row of the same id fails the build.
#}
{% macro register_statement_entries() %}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' %}
    select 1
    {%- else %}
    delete from settlement.statement_entries where payment_date = {{ payment_date() }};
    insert into settlement.statement_entries
        (entry_id, statement_id, payment_date, accounting_date)
    select entry_id, statement_id, payment_date, accounting_date
    from {{ this }}
    where payment_date = {{ payment_date() }}
    order by entry_id
    {%- endif %}
{% endmacro %}

{#
    One return judged against what was given back before it: why it is refused, or NULL, and what is
    given back with it. `returned` is everything, `refunded` the platform's own vouchers alone: the
    platform may or may not count chargebacks in what it states. Of an original of the time before
    us, what is stated may count more than we have seen.
#}
{% macro judge_return(side, returned, refunded) %}
        select
            verdict.reason,
            verdict.before_minor,
            case
                when verdict.reason is null and {{ side }}.is_return
                    and not {{ side }}.reverses_failed
                    then -{{ side }}.amount_minor
                else 0
            end as accepted_minor
        from (
            select
                stated.before_minor,
                case
                    when {{ side }}.identity_reason is not null then {{ side }}.identity_reason
                    when not {{ side }}.is_return or {{ side }}.reverses_failed then null
                    when {{ side }}.amount_minor >= 0 and not {{ side }}.is_taken_back
                        then 'above_original'
                    -- No more is taken back than was given.
                    when {{ side }}.amount_minor > stated.before_minor then 'above_original'
                    when stated.before_minor - {{ side }}.amount_minor
                        > {{ side }}.bound_amount_minor then 'above_original'
                    when {{ side }}.is_known
                        and {{ side }}.original_refunded_before_minor not in (
                            {{ returned }}, {{ refunded }}
                        ) then 'other_refunded_before'
                end as reason
            from (
                select
                    case
                        when {{ side }}.is_known then {{ returned }}
                        else greatest(
                            {{ returned }}, coalesce({{ side }}.original_refunded_before_minor, 0)
                        )
                    end as before_minor
            ) as stated
        ) as verdict
{% endmacro %}

{#
    What T gave back of each sale, by voucher or by adjustment, once its entries are there. The
    history is named here without ref(): the entries are built from it, by way of their prices.
#}
{% macro register_original_movements() %}
    {#- A restatement registers nothing: the sealed date's rows are the register's. -#}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' or is_restatement() %}
    select 1
    {%- else %}
    delete from clearing.original_movements where accounting_date = {{ accounting_date() }};
    insert into clearing.original_movements (
        movement_id, original_voucher_id, accounting_date, movement_kind, adjustment_type,
        account_id, amount_minor, fee_amount_minor
    )
    select
        entries.entry_id,
        history.original_key,
        entries.accounting_date,
        'voucher',
        null,
        entries.account_id,
        -- In the currency of the original: that is what is left of it.
        -entries.transaction_currency_amount_minor,
        -entries.fee_amount_minor
    from {{ this }} as entries
    inner join intermediate.int_vouchers__history as history
        on entries.source_id = history.voucher_id and history.is_return
    where entries.accounting_date = {{ accounting_date() }}
        and entries.clearing_session_type = 'transaction'
    union all
    select
        entries.entry_id,
        adjustments.original_voucher_id,
        entries.accounting_date,
        'adjustment',
        entries.transaction_type,
        entries.account_id,
        -entries.transaction_amount_minor,
        -entries.fee_amount_minor
    from {{ this }} as entries
    inner join {{ ref('channel_adjustments') }} as adjustments
        on entries.source_id = adjustments.adjustment_id
        and entries.accounting_date = adjustments.accounting_date
    where entries.accounting_date = {{ accounting_date() }}
        and entries.clearing_session_type = 'adjustment'
        and adjustments.original_voucher_id is not null
    union all
    select
        entries.entry_id,
        charges.original_voucher_id,
        entries.accounting_date,
        'adjustment',
        entries.transaction_type,
        entries.account_id,
        -entries.transaction_amount_minor,
        -entries.fee_amount_minor
    from {{ this }} as entries
    inner join {{ ref('int_adjustments__decided_charges') }} as charges
        on entries.source_id = 'ACT:' || charges.action_id
    where entries.accounting_date = {{ accounting_date() }}
        and entries.clearing_session_type = 'adjustment'
        and charges.original_voucher_id is not null
    {%- endif %}
{% endmacro %}

{#
    Clearing sessions (migration 0047). Held while a date's entries are computed and put in, so that
    whoever freezes them waits, or was first and is read; refused where a frozen entry would change.
#}
{% macro hold_clearing_sessions() %}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' or is_restatement() %}
    select 1
    {%- else %}
    select control.hold_clearing_sessions({{ accounting_date() }})
    {%- endif %}
{% endmacro %}

{% macro refuse_changed_sessions(types) %}
    {%- if env_var('TIEOUT_PARENTS_ONLY', '') == 'yes' or is_restatement() %}
    select 1
    {%- else %}
    select control.refuse_changed_sessions(
        {{ accounting_date() }}, array['{{ types | join("', '") }}']
    )
    {%- endif %}
{% endmacro %}
