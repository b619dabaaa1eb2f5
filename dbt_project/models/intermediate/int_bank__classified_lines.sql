{#-
    Bank lines with the channel and arrival group they belong to, by account, counterparty and
    reference rules (docs/domain.md#funds-level). A line no rule names is `unclassified` and waits
    in bank suspense; so does one whose reference names a date that is in no calendar (one bad text
    must not stop every close), and one that the rules of two channels name: which came first in the
    list says nothing about whose money it is. A line without a rule whose whole text is that of an
    entry which two people made is that entry's (补录).
-#}
with statement_lines as (
    select
        file_id,
        line_number,
        booked_on,
        statement_id,
        bank_account_id,
        statement_date,
        booking_date,
        currency_code,
        amount_minor,
        charge_amount_minor,
        is_return,
        counterparty_name,
        remittance_text,
        end_to_end_id,
        batch_message_id,
        detail_count
    from {{ ref('stg_bank__statement_lines') }}
),

bank_line_rules as (
    select
        rule_no,
        bank_account_id,
        line_kind,
        channel,
        counterparty_pattern,
        reference_pattern
    from {{ ref('bank_line_rules') }}
),

calendar_days as (
    select
        calendar_date,
        to_char(calendar_date, 'YYYYMMDD') as reference_text
    from {{ ref('calendar_days') }}
),

manual_entries as (
    select distinct
        bank_account_id,
        currency_code,
        reference_text
    from {{ ref('int_bank__own_entries') }}
    where line_kind = 'manual_entry'
),

ruled as (
    select
        statement_lines.file_id,
        statement_lines.line_number,
        bank_line_rules.line_kind,
        bank_line_rules.channel,
        substring(statement_lines.remittance_text, bank_line_rules.reference_pattern)
            as reference_text,
        calendar_days.calendar_date as group_arrival_date,
        row_number() over (
            partition by statement_lines.file_id, statement_lines.line_number
            order by bank_line_rules.rule_no
        ) as rule_order,
        min(bank_line_rules.channel) over (
            partition by
                statement_lines.file_id, statement_lines.line_number, bank_line_rules.line_kind
        ) is distinct from max(bank_line_rules.channel) over (
            partition by
                statement_lines.file_id, statement_lines.line_number, bank_line_rules.line_kind
        ) as is_of_two_channels
    from statement_lines
    inner join bank_line_rules
        on (
            bank_line_rules.bank_account_id is null
            or statement_lines.bank_account_id = bank_line_rules.bank_account_id
        )
        and (
            bank_line_rules.counterparty_pattern is null
            or statement_lines.counterparty_name ~ bank_line_rules.counterparty_pattern
        )
        and statement_lines.remittance_text ~ bank_line_rules.reference_pattern
    left join calendar_days
        on bank_line_rules.line_kind = 'channel_arrival'
        and substring(statement_lines.remittance_text, bank_line_rules.reference_pattern)
        = calendar_days.reference_text
    where
        bank_line_rules.line_kind is distinct from 'channel_arrival'
        or calendar_days.calendar_date is not null
),

final as (
    select
        statement_lines.file_id,
        statement_lines.line_number,
        statement_lines.booked_on,
        statement_lines.statement_id,
        statement_lines.bank_account_id,
        statement_lines.statement_date,
        statement_lines.booking_date,
        statement_lines.currency_code,
        statement_lines.amount_minor,
        statement_lines.charge_amount_minor,
        case
            when
                statement_lines.is_return
                and ruled.line_kind is distinct from 'fee_collection_return'
                then 'payout_return'
            when ruled.line_kind is not null then ruled.line_kind
            when manual_entries.reference_text is not null then 'manual_entry'
            else 'unclassified'
        end as line_kind,
        case when not statement_lines.is_return then ruled.channel end as channel,
        case
            when not statement_lines.is_return and ruled.line_kind = 'channel_arrival'
                then ruled.channel || '-' || to_char(ruled.group_arrival_date, 'YYYYMMDD') || '-'
                    || statement_lines.currency_code
        end as arrival_group_id,
        case when not statement_lines.is_return then ruled.group_arrival_date end
            as group_arrival_date,
        case
            when
                not statement_lines.is_return or ruled.line_kind = 'fee_collection_return'
                then coalesce(ruled.reference_text, manual_entries.reference_text)
        end as reference_text,
        statement_lines.counterparty_name,
        statement_lines.remittance_text,
        statement_lines.end_to_end_id,
        statement_lines.batch_message_id,
        statement_lines.detail_count
    from statement_lines
    left join ruled
        on statement_lines.file_id = ruled.file_id
        and statement_lines.line_number = ruled.line_number
        and ruled.rule_order = 1
        and not ruled.is_of_two_channels
    left join manual_entries
        on ruled.file_id is null
        and statement_lines.bank_account_id = manual_entries.bank_account_id
        and statement_lines.currency_code = manual_entries.currency_code
        and statement_lines.remittance_text = manual_entries.reference_text
)

select * from final
