-- id: every_source_voucher_is_posted
-- kind: agreement
-- severity: critical
-- subject: ledger.trial_balance
-- terms: source_vouchers, accounting_vouchers
-- english: Every successful source voucher that clears has an accounting voucher, and every
--     accounting voucher a posting
-- chinese: 每笔参与清算的成功原始凭证都有记账凭证，每张记账凭证都有分录

with cleared_types as (
    select types.transaction_type
    from reference.transaction_types as types
    where types.is_cleared
),

posted as (
    select vouchers.source_voucher_id
    from ledger.accounting_vouchers as vouchers
    where vouchers.accounting_date = :day
),

unposted as (
    select
        sources.channel,
        sources.voucher_id,
        sources.amount_minor,
        sources.currency_code
    from raw.platform_source_vouchers as sources
    inner join control.channel_files as files
        on sources.file_id = files.file_id
    inner join cleared_types
        on sources.transaction_type = cleared_types.transaction_type
    where
        sources.accounting_date = :day
        and files.status = 'landed'
        and sources.transaction_status = 'success'
        and not exists (
            select 1
            from posted
            where posted.source_voucher_id = sources.voucher_id
        )
        -- What contradicts our history is refused, and listed.
        and not exists (
            select 1
            from clearing.refused_vouchers as refused
            where
                refused.accounting_date = :day
                and refused.voucher_id = sources.voucher_id
        )
        -- Without the channel's rate nothing says what it settles for: it waits, and is listed.
        and not exists (
            select 1
            from clearing.waiting_conversions as waiting
            where
                waiting.accounting_date = :day
                and waiting.voucher_id = sources.voucher_id
        )
        -- The reversal of a transaction that failed reverses nothing, and clears nothing, on
        -- whatever date that failed.
        and not (
            sources.transaction_type = 'reversal'
            and exists (
                select 1
                from control.voucher_register as originals
                where
                    originals.source = 'platform'
                    and originals.voucher_id = sources.original_voucher_id
                    and originals.accounting_date <= :day
                    and originals.transaction_status <> 'success'
            )
        )
)

select
    unposted.channel || ' ' || unposted.currency_code as subject,
    'source_vouchers' as term,
    sum(unposted.amount_minor)::text as amount_minor,
    unposted.currency_code,
    count(*) || ' source vouchers are not posted, the first is ' || min(unposted.voucher_id)
    as detail
from unposted
group by unposted.channel, unposted.currency_code
union all
select
    'ledger' as subject,
    'accounting_vouchers' as term,
    null::text as amount_minor,
    null::text as currency_code,
    count(*) || ' accounting vouchers have no posting, the first is '
    || min(vouchers.accounting_voucher_id) as detail
from ledger.accounting_vouchers as vouchers
where
    vouchers.accounting_date = :day
    and vouchers.amount_minor <> 0
    and not exists (
        select 1
        from ledger.postings as postings
        where
            postings.accounting_date = :day
            and postings.voucher_id = vouchers.accounting_voucher_id
    )
having count(*) > 0
union all
-- The rule's own table: a date without any trial balance was not closed, whatever the rest says.
select
    'ledger' as subject,
    'source_vouchers' as term,
    null::text as amount_minor,
    null::text as currency_code,
    'the accounting date was not posted' as detail
where not exists (
    select 1
    from ledger.trial_balance as batch
    where batch.accounting_date = :day
)
