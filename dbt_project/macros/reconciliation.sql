{#
    Keys of records (docs/reconciliation.md 1). A rule of reference.match_rules names columns out of
    these; rule 1 is the primary key, the others are fallback keys.
#}
{% macro key_columns() -%}
    {{ return([
        'acquiring_institution_id', 'forwarding_institution_id', 'trace_number',
        'transmission_time', 'retrieval_reference_number', 'terminal_id', 'channel_order_id',
        'merchant_order_id', 'refund_order_id',
    ]) }}
{%- endmacro %}

{% macro rule_numbers() -%}
    {{ return([1, 2, 3]) }}
{%- endmacro %}

{# The name of the column with the key of a rule. #}
{% macro key_name(rule_no) -%}
    {{ return('match_key' if rule_no == 1 else 'fallback_key_' ~ (rule_no - 1)) }}
{%- endmacro %}

{#
    One row a channel with a flag for each rule and column, so that a record's keys are made of
    plain conditions: which columns the key has, and which it needs.
#}
{% macro match_rule_flags(rule_numbers) %}
    select
        channel
        {%- for rule_no in rule_numbers %},
        bool_or(rule_no = {{ rule_no }}) as has_rule_{{ rule_no }}
            {%- for column in key_columns() %},
        coalesce(
            bool_or('{{ column }}' = any(string_to_array(key_columns, ' ')))
                filter (where rule_no = {{ rule_no }}),
            false
        ) as rule_{{ rule_no }}_uses_{{ column }},
        coalesce(
            bool_or('{{ column }}' = any(string_to_array(required_columns, ' ')))
                filter (where rule_no = {{ rule_no }}),
            false
        ) as rule_{{ rule_no }}_needs_{{ column }}
            {%- endfor %}
        {%- endfor %}
    from {{ ref('match_rules') }}
    group by channel
{%- endmacro %}

{#
    The key of a record under a rule, NULL where a required column has no value. `side` prefixes
    the columns, `flags` is the alias of match_rule_flags; `names` gives other names of columns.
#}
{% macro match_key(side, flags, rule_no, names={}) -%}
    case
        when
            {{ flags }}.has_rule_{{ rule_no }}
            {%- for column in key_columns() %}
            and (
                not {{ flags }}.rule_{{ rule_no }}_needs_{{ column }}
                or {{ side }}.{{ names.get(column, column) }} <> ''
            )
            {%- endfor %}
            then concat_ws(
                '|'
                {%- for column in key_columns() %},
                case
                    when {{ flags }}.rule_{{ rule_no }}_uses_{{ column }}
                        then coalesce({{ side }}.{{ names.get(column, column) }}, '')
                end
                {%- endfor %}
            )
    end
{%- endmacro %}

{#
    One step of pairing (docs/reconciliation.md 2), as CTEs `ranked_<n>`, `paired_<n>` and
    `remaining_<n>`: what remains of the step before, by one rule's key, the first with the first.

    rule_no: whose key; exact: currency and amount must be equal as well; with_open: records of T
    with open items of the other side, otherwise with one another; lacking: which records take
    part, by having no primary key: none (all), `system` (system records without one and all
    channel records) or `channel` (system records with one and channel records without).
#}
{% macro pairing_step(step, rule_no, exact, with_open, lacking=none) %}
ranked_{{ step }} as (
    select
        side,
        suspense_item_id,
        channel,
        currency_code,
        amount_minor,
        is_open_item,
        {{ key_name(rule_no) }} as step_key,
        row_number() over (
            partition by
                side, is_open_item, channel, {{ key_name(rule_no) }}
                {%- if exact %}, currency_code, amount_minor{% endif %}
            order by item_order
        ) as occurrence_no
    from remaining_{{ step - 1 }}
    where {{ key_name(rule_no) }} is not null
        {%- if lacking == 'system' %}
        and (side = 'channel' or match_key is null)
        {%- elif lacking == 'channel' %}
        and (side = 'system') = (match_key is not null)
        {%- endif %}
        {%- if with_open and not exact %}
        and (not is_open_item or linked_item_id is null)
        {%- endif %}
),

paired_{{ step }} as (
    select
        system_side.suspense_item_id as system_item_id,
        channel_side.suspense_item_id as channel_item_id,
        system_side.channel,
        {{ rule_no }} as rule_no,
        system_side.step_key as match_key,
        {{ 'true' if exact else 'false' }} as is_exact,
        system_side.is_open_item as is_system_open,
        channel_side.is_open_item as is_channel_open
    from ranked_{{ step }} as system_side
    inner join ranked_{{ step }} as channel_side
        on system_side.channel = channel_side.channel
        and system_side.step_key = channel_side.step_key
        and system_side.occurrence_no = channel_side.occurrence_no
        {%- if exact %}
        and system_side.currency_code = channel_side.currency_code
        and system_side.amount_minor = channel_side.amount_minor
        {%- endif %}
        {%- if with_open %}
        and system_side.is_open_item <> channel_side.is_open_item
        {%- else %}
        and not system_side.is_open_item
        and not channel_side.is_open_item
        {%- endif %}
    where system_side.side = 'system' and channel_side.side = 'channel'
),

remaining_{{ step }} as (
    select remaining_{{ step - 1 }}.*
    from remaining_{{ step - 1 }}
    left join (
        select system_item_id as suspense_item_id from paired_{{ step }}
        union all
        select channel_item_id as suspense_item_id from paired_{{ step }}
    ) as gone on remaining_{{ step - 1 }}.suspense_item_id = gone.suspense_item_id
    where gone.suspense_item_id is null
)
{%- endmacro %}

{# The steps in their order, after the pairs of one date by the primary key. #}
{% macro pairing_steps() -%}
    {%- set steps = [{'rule_no': 1, 'exact': true, 'with_open': true, 'lacking': none}] -%}
    {%- for rule_no in rule_numbers()[1:] -%}
        {%- for with_open in [false, true] -%}
            {%- for lacking in ['system', 'channel'] -%}
                {%- do steps.append({
                    'rule_no': rule_no, 'exact': true, 'with_open': with_open, 'lacking': lacking
                }) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for with_open in [false, true] -%}
        {%- do steps.append({
            'rule_no': 1, 'exact': false, 'with_open': with_open, 'lacking': none
        }) -%}
        {%- for rule_no in rule_numbers()[1:] -%}
            {%- for lacking in ['system', 'channel'] -%}
                {%- do steps.append({
                    'rule_no': rule_no, 'exact': false, 'with_open': with_open, 'lacking': lacking
                }) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(steps) }}
{%- endmacro %}

{#
    Whether the channel's record names a merchant or a terminal that is not the voucher's
    (docs/reconciliation.md 3). What the channel leaves empty contradicts nothing.
#}
{% macro names_another_merchant(system_side, channel_side) -%}
    coalesce(
        (
            {{ channel_side }}.merchant_ids <> ''
            and {{ channel_side }}.merchant_ids <> {{ system_side }}.merchant_ids
            and strpos(
                ' ' || {{ system_side }}.merchant_ids || ' ',
                ' ' || {{ channel_side }}.merchant_ids || ' '
            ) = 0
        )
        or (
            {{ channel_side }}.terminal_id <> ''
            and {{ system_side }}.terminal_id <> ''
            and {{ channel_side }}.terminal_id <> {{ system_side }}.terminal_id
        ),
        false
    )
{%- endmacro %}
