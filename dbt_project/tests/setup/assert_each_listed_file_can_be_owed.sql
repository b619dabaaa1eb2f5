-- The list of owed files (应到文件) can be held against what lands: it names the platform and each
-- channel, once a kind and part of a name, and each file is due at a minute of some day. A list
-- that says less would let a date close without its files.
{{ config(tags=['setup']) }}

with expected_files as (
    select
        channel,
        file_kind,
        due_minutes,
        coalesce(name_part, '') as name_part
    from {{ ref('expected_files') }}
),

senders as (
    select channel
    from {{ ref('channels') }}
    union all
    select 'platform' as channel
),

wrong_rows as (
    select
        channel,
        file_kind,
        name_part,
        case
            when due_minutes < 0 then 'due before its date'
            when name_part <> '' and name_part !~ '^[a-z_]+=[^/=]+$'
                then 'name_part is not written name=value'
        end as reason
    from expected_files
),

repeated as (
    select
        channel,
        file_kind,
        name_part,
        'listed more than once' as reason
    from expected_files
    group by channel, file_kind, name_part
    having count(*) > 1
),

final as (
    select * from wrong_rows
    where reason is not null
    union all
    select * from repeated
    union all
    select
        senders.channel,
        '' as file_kind,
        '' as name_part,
        'owes no file' as reason
    from senders
    where not exists (
        select 1
        from expected_files
        where expected_files.channel = senders.channel
    )
)

select * from final
