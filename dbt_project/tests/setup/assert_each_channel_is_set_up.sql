-- A channel is whole (渠道设置完整): each list that its records, money and costs are looked up in
-- has its row. With a row missing its amounts would be left out, priced by nothing or never arrive.
-- A row of a channel that is none is a mistake as well (docs/operations/add-a-channel.md).
{{ config(tags=['setup']) }}

{%- set lists = {
    'channel_currencies': 'true',
    'match_rules': 'rule_no = 1',
    'history_limits': 'true',
    'expected_files': "channel <> 'platform'",
    'bank_line_rules': "line_kind = 'channel_arrival'",
    'channel_prices': 'true',
    'channel_cost_limits': 'true',
    'channel_wallets': 'true',
} %}

with channels as (
    select
        channel,
        cost_billing
    from {{ ref('channels') }}
),

{% for name, condition in lists.items() -%}
{{ name }} as (
    select distinct channel
    from {{ ref(name) }}
    where {{ condition }}
),

{% endfor -%}
channel_cost_bills as (
    select distinct channel
    from {{ ref('channel_cost_bills') }}
),

period_fee_rules as (
    select distinct channel
    from {{ ref('bank_line_rules') }}
    where line_kind = 'period_fee'
),

channel_senders as (
    select
        sender,
        file_kind,
        coalesce(name_part, '') as name_part,
        channel
    from {{ ref('channel_senders') }}
),

own_institutions as (
    select distinct
        channel,
        file_kind
    from {{ ref('own_institutions') }}
),

-- A second channel with the files of the first is asked for its institution numbers, too.
unchecked_institutions as (
    select
        channel_senders.channel,
        own_institutions.file_kind
    from channel_senders
    inner join own_institutions
        on channel_senders.sender = own_institutions.channel
        and channel_senders.file_kind in ('*', own_institutions.file_kind)
    where not exists (
        select 1
        from own_institutions as own
        where
            own.channel = channel_senders.channel
            and own.file_kind = own_institutions.file_kind
    )
),

-- One row for a part of the name and one for every file: an account that nobody listed would go
-- to the second.
open_senders as (
    select
        sender,
        file_kind
    from channel_senders
    group by sender, file_kind
    having bool_or(name_part = '') and count(*) > 1
),

repeated_senders as (
    select
        sender,
        file_kind,
        name_part
    from channel_senders
    group by sender, file_kind, name_part
    having count(*) > 1
),

final as (
    {%- for name in lists %}
    select
        'reference.{{ name }}' as list,
        channel,
        'has no row of the channel' as reason
    from channels
    where channel not in (select {{ name }}.channel from {{ name }})
    union all
    select
        'reference.{{ name }}' as list,
        channel,
        'has a row of no channel of reference.channels' as reason
    from {{ name }}
    where channel not in (select channels.channel from channels)
    union all
    {%- endfor %}
    select
        'reference.channel_cost_bills' as list,
        channel,
        'has no row of the channel, whose cost is billed apart' as reason
    from channels
    where
        cost_billing = 'billed_apart'
        and channel not in (select channel_cost_bills.channel from channel_cost_bills)
    union all
    select
        'reference.bank_line_rules' as list,
        channel,
        'has no period_fee row of the channel, whose cost is billed apart' as reason
    from channels
    where
        cost_billing = 'billed_apart'
        and channel not in (select period_fee_rules.channel from period_fee_rules)
    union all
    select
        'reference.channel_senders' as list,
        channel,
        'has a row of no channel of reference.channels' as reason
    from channel_senders
    where channel not in (select channels.channel from channels)
    union all
    select
        'reference.channel_senders' as list,
        sender as channel,
        file_kind || ' has a row for every file beside one for a part of the name' as reason
    from open_senders
    union all
    select
        'reference.channel_senders' as list,
        sender as channel,
        file_kind || ' ' || name_part || ' is of two channels' as reason
    from repeated_senders
    union all
    select
        'reference.own_institutions' as list,
        channel,
        'has no row of the channel and ' || file_kind as reason
    from unchecked_institutions
)

select
    list,
    channel,
    reason
from final
