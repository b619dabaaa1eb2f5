{{ config(materialized='ephemeral') }}

{#-
    What an adjustment record (差错) of T books: what the channel took or gave, and where it went.
    Cost that the channel gives back with one lowers our cost: it is no gain. What is suspended
    waits on the adjustments' account until a key or people end it.
-#}
with channel_adjustments as (
    select
        adjustment_id,
        channel,
        currency_code,
        account_id,
        case when taken_amount_minor >= 0 then 'taken' else 'given' end as way,
        taken_amount_minor,
        charged_amount_minor,
        absorbed_amount_minor - absorbed_cost_amount_minor as absorbed_amount_minor,
        absorbed_cost_amount_minor,
        file_id,
        line_number
    from {{ ref('channel_adjustments') }}
    where accounting_date = {{ accounting_date() }}
),

arrival_groups as (
    select
        channel,
        currency_code,
        arrival_group_id
    from {{ ref('int_calendar__arrival_groups') }}
    where accounting_date = {{ accounting_date() }}
),

-- The amounts of the parts are signed as the channel took them; a rule may want the other sign.
final as (
    select
        'adjustment_' || parts.part as event_type,
        parts.posting_case,
        'ADJ:' || channel_adjustments.adjustment_id || ':' || parts.part as posting_id,
        'ADJ-' || channel_adjustments.adjustment_id as voucher_id,
        channel_adjustments.adjustment_id as source_id,
        'file_line' as source_kind,
        channel_adjustments.channel,
        cast(null as text) as settlement_mode,
        channel_adjustments.currency_code,
        case
            when parts.posting_case in ('given', 'gain_of_taken', 'gain_of_given')
                and parts.part <> 'cost'
                then -parts.taken_minor
            else parts.taken_minor
        end as amount_minor,
        channel_adjustments.account_id,
        arrival_groups.arrival_group_id,
        cast(null as text) as bank_account_id,
        false as is_catch_up,
        channel_adjustments.file_id,
        channel_adjustments.line_number,
        cast(null as text) as decision_id
    from channel_adjustments
    cross join lateral (
        values
        ('taken', channel_adjustments.way, channel_adjustments.taken_amount_minor),
        ('charged', channel_adjustments.way, channel_adjustments.charged_amount_minor),
        (
            'absorbed',
            case when channel_adjustments.absorbed_amount_minor > 0 then 'loss' else 'gain' end
            || '_of_' || channel_adjustments.way,
            channel_adjustments.absorbed_amount_minor
        ),
        ('cost', channel_adjustments.way, channel_adjustments.absorbed_cost_amount_minor)
    ) as parts (part, posting_case, taken_minor)
    left join arrival_groups
        on channel_adjustments.channel = arrival_groups.channel
        and channel_adjustments.currency_code = arrival_groups.currency_code
)

select * from final
