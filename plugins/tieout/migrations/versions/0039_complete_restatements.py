"""What a restatement differs by is booked as a whole: returns, and sales that moved to others too.

A correction is a leg: a voucher, the account and merchant it is cleared for, and what is still to
be added there, less what was booked before and less what a late file has brought already. A leg
that cannot be booked safely says why. A sale that moved is charged first; who it moved to gets it
when the charge was paid and is covered.
"""

from __future__ import annotations

from alembic import op

revision = "0039"
down_revision = "0037"
branch_labels = None
depends_on = None

BOOKINGS = """
alter table control.restatement_bookings
add column merchant_id text,
add column transaction_type text,
add column row_voucher_id text,
add column original_voucher_id text,
add column waits_for_voucher_id text;

-- What stands there says it all: a sale of one merchant, by its kind.
alter table control.restatement_bookings disable trigger restatement_bookings_stay;
update control.restatement_bookings as bookings
set
    merchant_id = coalesce(differences.sealed_row, differences.restated_row) ->> 'merchant_id',
    transaction_type = case bookings.kind
        when 'withdrawn' then 'reversal' when 'lowered' then 'refund' else 'purchase'
    end,
    row_voucher_id = bookings.voucher_id,
    original_voucher_id = case when bookings.amount_minor < 0 then bookings.voucher_id end
from control.restatement_differences as differences
where bookings.restatement_id = differences.restatement_id
    and bookings.difference_no = differences.difference_no;
alter table control.restatement_bookings enable trigger restatement_bookings_stay;

alter table control.restatement_bookings
alter column merchant_id set not null,
alter column transaction_type set not null,
alter column difference_no drop not null,
drop constraint restatement_bookings_pkey,
drop constraint restatement_bookings_kind_check,
drop constraint bookings_sign,
add primary key (request_id, correcting_voucher_id),
add constraint restatement_bookings_kind_check check (
    kind in (
        'withdrawn', 'lowered', 'raised', 'moved_out', 'moved_in', 'return_less', 'return_more'
    )
),
add constraint bookings_sign check (
    (kind in ('raised', 'moved_in', 'return_less')) = (amount_minor > 0)
),
-- Only what moved in may be a copy of no voucher that is on record: it is the version's.
add constraint bookings_row check (row_voucher_id is not null or kind = 'moved_in'),
-- Who a sale moved to gets it after who had it was charged.
add constraint bookings_moved check ((waits_for_voucher_id is not null) = (kind = 'moved_in'));
comment on column control.restatement_bookings.difference_no is
'NULL: an earlier booking or a late voucher that no version asks for any more (差异序号)';
comment on column control.restatement_bookings.row_voucher_id is
'The voucher on record that the correcting one copies; NULL: the version''s (蓝本凭证)';
comment on column control.restatement_bookings.original_voucher_id is
'The sale that the correcting voucher gives back of, or takes back into (原凭证)';
comment on column control.restatement_bookings.waits_for_voucher_id is
'The correcting voucher that charges who had the sale; this lands when it is covered (前置凭证)';

-- A return with a positive amount is no platform's: it takes back what two people approved.
create function control.guard_taken_back() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    wrong text;
begin
    select arrived.voucher_id
    into wrong
    from arrived
    where arrived.transaction_type in ('refund', 'void', 'reversal', 'manual_refund')
        and arrived.amount_minor > 0
        and not exists (
            select 1
            from control.restatement_bookings as bookings
            inner join control.restatement_requests as requests
                on bookings.request_id = requests.request_id
            where bookings.correcting_voucher_id = arrived.voucher_id
                and bookings.kind = 'return_less'
                and bookings.amount_minor = arrived.amount_minor
                and bookings.account_id = arrived.account_id
                and bookings.original_voucher_id is not distinct from arrived.original_voucher_id
                and requests.approved_by is not null
        )
    limit 1;
    if wrong is not null then
        raise exception 'voucher % is a return of a positive amount that nobody approved', wrong
        using
            errcode = 'restrict_violation',
            hint = 'A return is taken back by tieout restate book and approve.';
    end if;
    return null;
end
$body$;
create trigger voucher_register_taken_back after insert on control.voucher_register
referencing new table as arrived
for each statement execute function control.guard_taken_back();

-- The charge of a moved sale was paid, and the account's own arrived money covers it.
create function control.charge_is_covered(charge text) returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    booking control.restatement_bookings;
    paid_on date;
    newest date;
    rest_minor numeric;
begin
    select * into booking from control.restatement_bookings where correcting_voucher_id = charge;
    if booking.booked_on is null or to_regclass('settlement.settlement_statements') is null then
        return false;
    end if;
    select entries.payment_date
    into paid_on
    from settlement.statement_entries as entries
    inner join control.accounting_day_seals as seals
        on entries.accounting_date = seals.accounting_date
        and entries.payment_date = seals.payment_date
    where entries.entry_id = 'T:' || charge
    limit 1;
    if paid_on is null then
        return false;
    end if;
    select max(statements.payment_date)
    into newest
    from settlement.settlement_statements as statements
    where statements.account_id = booking.account_id
        and statements.currency_code = booking.currency_code
        and statements.payment_date >= paid_on
        and exists (
            select 1
            from control.accounting_day_seals as seals
            where seals.payment_date = statements.payment_date
        );
    select sum(statements.carried_forward_amount_minor - statements.held_amount_minor)
    into rest_minor
    from settlement.settlement_statements as statements
    where statements.account_id = booking.account_id
        and statements.currency_code = booking.currency_code
        and statements.payment_date = newest;
    return coalesce(rest_minor >= 0, false);
end
$body$;
comment on function control.charge_is_covered(text) is
'A correcting voucher stands in a paid statement, and the account owes nothing (扣款已覆盖).';

-- Why a correcting or late voucher counts for nothing: its date''s close refused it.
create function control.refusal_of(voucher text, on_date date) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    found_reason text;
begin
    if to_regclass('clearing.refused_vouchers') is not null then
        select refused.reason
        into found_reason
        from clearing.refused_vouchers as refused
        where refused.accounting_date = on_date and refused.voucher_id = voucher
        limit 1;
    end if;
    return found_reason;
end
$body$;
comment on function control.refusal_of(text, date) is
'Why the close of a date refused a voucher; NULL where it did not (凭证拒绝原因).';
"""

# The one place that says what of a restatement is booked, and why something is not.
ENTRIES = """
-- Of each place the newest version alone: what it replaced, nobody reads any more.
create view control.unread_versions as
with newest as (
    select distinct on (versions.slot)
        coalesce(landed.booked_on, versions.accounting_date) as accounting_date,
        versions.file_id,
        versions.file_name,
        versions.landed_at
    from control.channel_files as versions
    left join control.channel_files as landed
        on versions.slot = landed.slot and landed.status = 'landed'
    where versions.status = 'version'
    order by versions.slot, versions.landed_at desc, versions.file_id
)

select newest.*
from newest
where not exists (
    select 1
    from control.restatement_files as read_files
    inner join control.restatements
        on read_files.restatement_id = restatements.restatement_id
    where read_files.file_id = newest.file_id and restatements.state = 'kept'
);
comment on view control.unread_versions is
'Versions of sealed dates that no kept restatement has read (待重述文件版本).';
grant select on control.unread_versions
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout, tieout_finance, tieout_people;

drop function control.restatement_entries(bigint);

create function control.left_of_sale(sale text) returns bigint
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    select registered.amount_minor
        - coalesce(
            (
                select sum(movements.amount_minor)
                from clearing.original_movements as movements
                where movements.original_voucher_id = sale
            ),
            0
        )
        -- Approved, and cleared by no close yet.
        + coalesce(
            (
                select sum(least(bookings.amount_minor, 0))
                from control.restatement_bookings as bookings
                inner join control.restatement_requests as requests
                    on bookings.request_id = requests.request_id
                where bookings.original_voucher_id = sale
                    and requests.approved_by is not null
                    and not exists (
                        select 1
                        from clearing.original_movements as movements
                        where movements.movement_id = 'T:' || bookings.correcting_voucher_id
                    )
            ),
            0
        )
    from control.voucher_register as registered
    where registered.source = 'platform'
        and registered.voucher_id = sale
        and registered.transaction_type in ('purchase', 'preauth_completion')
        and registered.transaction_status = 'success'
$body$;
comment on function control.left_of_sale(text) is
'What of a sale was not given back, nor will be by approved corrections; NULL: no sale (可退余额).';

create function control.restatement_entries(id bigint)
returns table (
    difference_no integer,
    entry_id text,
    voucher_id text,
    account_id text,
    merchant_id text,
    currency_code text,
    difference_minor bigint,
    kind text,
    booked_amount_minor bigint,
    transaction_type text,
    row_voucher_id text,
    original_voucher_id text,
    why text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
    with restatement as (
        select
            accounting_date as day,
            began_at
        from control.restatements
        where restatement_id = id
    ),

    differing as (
        select
            differences.difference_no,
            differences.sealed_row,
            differences.restated_row,
            coalesce(differences.restated_row, differences.sealed_row) as known_row,
            coalesce(differences.restated_row, differences.sealed_row) ->> 'source_id'
                as voucher_id,
            differences.sealed_row is not null
            and differences.restated_row is not null
            and (differences.sealed_row -> 'account_id', differences.sealed_row -> 'merchant_id')
            = (differences.restated_row -> 'account_id', differences.restated_row -> 'merchant_id')
                as is_one_place,
            differences.sealed_row is not null
            and differences.restated_row is not null
            and (differences.sealed_row -> 'channel', differences.sealed_row -> 'currency_code')
            <> (differences.restated_row -> 'channel', differences.restated_row -> 'currency_code')
                as is_other_channel,
            coalesce((differences.sealed_row ->> 'transaction_amount_minor')::bigint, 0)
                as sealed_minor,
            coalesce((differences.restated_row ->> 'transaction_amount_minor')::bigint, 0)
                as restated_minor
        from control.restatement_differences as differences
        where differences.restatement_id = id
            and differences.table_name = 'clearing.clearing_entries'
    ),

    of_vouchers as (
        select *
        from differing
        where known_row ->> 'clearing_session_type' = 'transaction'
    ),

    -- What the restated date would add to each account and merchant.
    wanted as (
        select
            difference_no,
            voucher_id,
            row_of.account_id,
            row_of.merchant_id,
            row_of.wanted_minor
        from of_vouchers
        cross join lateral (
            select
                sealed_row ->> 'account_id' as account_id,
                sealed_row ->> 'merchant_id' as merchant_id,
                case when is_one_place then restated_minor - sealed_minor else -sealed_minor end
                    as wanted_minor
            where sealed_row is not null
            union all
            select
                restated_row ->> 'account_id',
                restated_row ->> 'merchant_id',
                restated_minor
            where restated_row is not null and not is_one_place
        ) as row_of
    ),

    versions as (
        select distinct on (came.voucher_id)
            came.voucher_id,
            came.original_voucher_id
        from control.restatement_files as read_files
        inner join raw_versions.platform_source_vouchers as came
            on read_files.file_id = came.file_id
        where read_files.restatement_id = id
        order by came.voucher_id, came.line_number
    ),

    approved as (
        select
            bookings.*,
            control.refusal_of(bookings.correcting_voucher_id, bookings.booked_on)
                as refused_because,
            coalesce(days.state = 'sealed', false) as is_settled
        from control.restatement_bookings as bookings
        inner join control.restatement_requests as requests
            on bookings.request_id = requests.request_id
        inner join control.restatements
            on requests.restatement_id = restatements.restatement_id
        inner join restatement on restatements.accounting_date = restatement.day
        left join control.accounting_days as days on bookings.booked_on = days.accounting_date
        where requests.approved_by is not null
    ),

    -- A version of this date brought it, and it stands on the open date.
    late as (
        select
            registered.voucher_id,
            registered.account_id,
            registered.merchant_id,
            registered.amount_minor,
            control.refusal_of(registered.voucher_id, registered.accounting_date)
                as refused_because
        from control.carried_files as carried
        inner join restatement on carried.sealed_date = restatement.day
        inner join control.voucher_register as registered
            on carried.file_id = registered.file_id
        where carried.version_file_id is not null
            and carried.carried_at < restatement.began_at
            and registered.source = 'platform'
            and registered.transaction_status = 'success'
            and registered.transaction_type in (
                'purchase', 'preauth_completion', 'refund', 'void', 'reversal'
            )
    ),

    added as (
        select
            voucher_id,
            account_id,
            merchant_id,
            case when refused_because is null or not is_settled then amount_minor else 0 end
                as added_minor,
            0 as late_minor
        from approved
        union all
        select
            voucher_id,
            account_id,
            merchant_id,
            amount_minor,
            amount_minor
        from late
    ),

    summed as (
        select
            voucher_id,
            account_id,
            merchant_id,
            sum(added_minor)::bigint as added_minor,
            sum(late_minor)::bigint as late_minor
        from added
        group by voucher_id, account_id, merchant_id
    ),

    -- What was booked, and the newest version no longer asks for, is a leg too.
    all_legs as (
        select
            wanted.difference_no,
            voucher_id,
            account_id,
            merchant_id,
            case
                -- It is in the version still, and the restated date does not clear it.
                when wanted.voucher_id is null
                    and summed.late_minor <> 0
                    and voucher_id in (select versions.voucher_id from versions)
                    then summed.late_minor
                else coalesce(wanted.wanted_minor, 0)
            end as wanted_minor,
            coalesce(summed.added_minor, 0) as added_minor,
            coalesce(summed.late_minor, 0) as late_minor
        from wanted
        full join summed using (voucher_id, account_id, merchant_id)
    ),

    legs as (
        select
            all_legs.*,
            wanted_minor - added_minor as rest_minor
        from all_legs
        where difference_no is not null or added_minor <> 0
    ),

    placed as (
        select
            legs.*,
            of_vouchers.sealed_row,
            of_vouchers.restated_row,
            coalesce(of_vouchers.is_one_place, true) as is_one_place,
            coalesce(of_vouchers.is_other_channel, false) as is_other_channel,
            registered.voucher_id as registered_id,
            registered.currency_code,
            coalesce(of_vouchers.known_row ->> 'transaction_type', registered.transaction_type)
                as told_type,
            registered.amount_minor as registered_minor,
            registered.original_voucher_id as registered_original,
            coalesce(
                of_vouchers.known_row ->> 'transaction_type', registered.transaction_type
            ) in ('refund', 'void', 'reversal') as is_return,
            versions.original_voucher_id as version_original,
            late.refused_because as late_refused_because,
            case
                when (registered.account_id, registered.merchant_id)
                    = (legs.account_id, legs.merchant_id) then registered.voucher_id
                else moved.correcting_voucher_id
            end as anchor_id,
            exists (
                select 1
                from approved
                where approved.voucher_id = legs.voucher_id
                    and (
                        approved.booked_on is null
                        or (approved.refused_because is not null and not approved.is_settled)
                    )
            ) as is_waiting
        from legs
        left join of_vouchers on legs.difference_no = of_vouchers.difference_no
        left join control.voucher_register as registered
            on registered.source = 'platform' and registered.voucher_id = legs.voucher_id
        left join versions on legs.voucher_id = versions.voucher_id
        left join late on legs.voucher_id = late.voucher_id
        left join lateral (
            select approved.correcting_voucher_id
            from approved
            where approved.voucher_id = legs.voucher_id
                and approved.account_id = legs.account_id
                and approved.merchant_id = legs.merchant_id
                and approved.kind = 'moved_in'
            order by approved.request_id desc
            limit 1
        ) as moved on true
    ),

    -- Of each sale, all that this restatement would give back of it.
    counted as (
        select
            placed.*,
            case when is_return then registered_original else anchor_id end as sale_id,
            sum(least(rest_minor, 0)) over (
                partition by case when is_return then registered_original else anchor_id end
            ) as given_back_minor,
            bool_or(rest_minor < 0) over (partition by voucher_id) as somebody_is_charged,
            is_return and exists (
                select 1
                from of_vouchers as sales
                where sales.voucher_id
                    in (placed.registered_original, placed.version_original)
                    and (sales.sealed_minor <> sales.restated_minor or not sales.is_one_place)
            ) as moves_with_its_sale
        from placed
    ),

    judged as (
        select
            counted.*,
            case
                when late_refused_because is not null then
                    'it came late and was refused there: ' || late_refused_because
                when is_waiting then 'an approved correction of it has not been cleared yet'
                when registered_id is null then 'its voucher is on record nowhere'
                when is_other_channel then 'it has another channel or currency'
                when is_return and anchor_id is null then 'a return moves with its sale'
                when moves_with_its_sale then 'its sale differs too'
                when is_return and version_original is distinct from registered_original
                    and restated_row is not null then 'it names another sale'
                when is_return and control.left_of_sale(registered_original) is null
                    then 'its sale is not on record'
                when is_return and told_type in ('void', 'reversal')
                    and abs(rest_minor) <> (
                        select sales.amount_minor
                        from control.voucher_register as sales
                        where sales.source = 'platform'
                            and sales.voucher_id = counted.registered_original
                    ) then 'a void is of the whole sale'
                when rest_minor < 0 and anchor_id is null
                    then 'its sale is not on record for the account'
                when not is_one_place and sealed_row is not null and restated_row is not null
                    and sealed_row -> 'transaction_amount_minor'
                    <> restated_row -> 'transaction_amount_minor'
                    then 'it moved and has another amount'
                when rest_minor > 0 and anchor_id is null and not somebody_is_charged
                    then 'nobody would be charged for it'
                when rest_minor < 0
                    and coalesce(control.left_of_sale(sale_id), 0) < -given_back_minor
                    then 'more than is left of the sale: something of it was given back'
            end as blocked_because
        from counted
    ),

    -- Nobody is given a moved sale whose other account is not charged for it.
    decided as (
        select
            judged.*,
            coalesce(
                blocked_because,
                case
                    when bool_or(blocked_because is not null and rest_minor <> 0) over (
                        partition by voucher_id
                    ) and not is_one_place
                        then 'its other account cannot be charged'
                end
            ) as why_not
        from judged
    ),

    told as (
        select
            decided.*,
            case
                when is_other_channel then 'by_people'
                when rest_minor = 0 and late_minor <> 0 and late_refused_because is null
                    then 'carried'
                when rest_minor = 0 and added_minor <> 0 and late_refused_because is null
                    then 'booked_before'
                when rest_minor = 0 and added_minor = 0 and wanted_minor = 0 and is_one_place
                    then 'fee_or_text'
                when why_not is not null then 'by_people'
                when is_return and rest_minor > 0 then 'return_less'
                when is_return then 'return_more'
                -- Back to who had it first, too: what another account gives up comes first.
                when rest_minor > 0 and (anchor_id is null or somebody_is_charged) then 'moved_in'
                when rest_minor > 0 then 'raised'
                when sealed_row is not null and restated_row is not null and not is_one_place
                    then 'moved_out'
                when restated_row is null and -rest_minor = registered_minor then 'withdrawn'
                else 'lowered'
            end as told_kind
        from decided
    ),

    final as (
        select
            difference_no,
            'T:' || voucher_id as entry_id,
            voucher_id,
            account_id,
            merchant_id,
            coalesce(
                restated_row ->> 'currency_code', sealed_row ->> 'currency_code', currency_code
            ) as currency_code,
            wanted_minor as difference_minor,
            told_kind as kind,
            case
                when told_kind in ('carried', 'booked_before', 'fee_or_text', 'by_people') then 0
                else rest_minor
            end as booked_amount_minor,
            case
                when is_return then told_type
                when told_kind in ('moved_in', 'raised') then 'purchase'
                -- Whole, and nothing given back of it: its fee comes back in full.
                when -rest_minor = control.left_of_sale(sale_id)
                    and -rest_minor = (
                        select sales.amount_minor
                        from control.voucher_register as sales
                        where sales.source = 'platform' and sales.voucher_id = told.sale_id
                    ) then 'reversal'
                else 'refund'
            end as transaction_type,
            case when is_return then registered_id else anchor_id end as row_voucher_id,
            case when is_return or rest_minor < 0 then sale_id end as original_voucher_id,
            case when told_kind = 'by_people' then why_not end as why
        from told
        union all
        -- Another session: what a channel adjusts comes with a record of its own.
        select
            difference_no,
            known_row ->> 'entry_id',
            voucher_id,
            known_row ->> 'account_id',
            known_row ->> 'merchant_id',
            known_row ->> 'currency_code',
            restated_minor - sealed_minor,
            'by_people',
            0,
            null,
            null,
            null,
            'an adjustment: the channel moves its money by a record on an open date'
        from differing
        where known_row ->> 'clearing_session_type' <> 'transaction'
    )

    select *
    from final
    order by difference_no, voucher_id, difference_minor, account_id, merchant_id
$body$;
comment on function control.restatement_entries(bigint) is
'Each account''s difference of an entry: what a booking would add, or why it would not (重述去向).';

create or replace function control.request_booking(day date, reason text, typed_name text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    person text := control.deciding_person(typed_name);
    newest bigint := control.newest_restatement(day);
    id bigint;
begin
    if newest is null then
        raise exception 'accounting date % has no restatement', day
        using errcode = 'restrict_violation', hint = 'tieout restate DATE';
    end if;
    if exists (select 1 from control.unread_versions where accounting_date = day) then
        raise exception 'a file of % has come that its newest restatement has not read', day
        using errcode = 'restrict_violation', hint = 'tieout restate DATE';
    end if;
    insert into control.restatement_requests (restatement_id, reason, requested_by)
    values (newest, request_booking.reason, person)
    returning request_id into id;
    insert into control.restatement_bookings (
        request_id, voucher_id, restatement_id, difference_no, kind, amount_minor, currency_code,
        account_id, merchant_id, correcting_voucher_id, transaction_type, row_voucher_id,
        original_voucher_id, waits_for_voucher_id
    )
    select
        id, entries.voucher_id, newest, entries.difference_no, entries.kind,
        entries.booked_amount_minor, entries.currency_code, entries.account_id,
        entries.merchant_id,
        control.correcting_id(entries.voucher_id, newest, entries.leg_no),
        entries.transaction_type, entries.row_voucher_id, entries.original_voucher_id,
        case when entries.kind = 'moved_in' then entries.charged_by end
    from (
        select
            numbered.*,
            -- Who is charged for what moved in: each leg of it that takes.
            max(
                case
                    when numbered.booked_amount_minor < 0
                        then control.correcting_id(numbered.voucher_id, newest, numbered.leg_no)
                end
            ) over (partition by numbered.voucher_id) as charged_by
        from (
            select
                found.*,
                row_number() over (
                    partition by found.voucher_id
                    order by found.booked_amount_minor, found.account_id, found.merchant_id
                ) as leg_no
            from control.restatement_entries(newest) as found
            where found.booked_amount_minor <> 0
        ) as numbered
    ) as entries;
    if not found then
        raise exception 'of restatement % nothing is left to book', newest
        using
            errcode = 'restrict_violation',
            hint = 'tieout restate show DATE says what carries each difference.';
    end if;
    return id;
end
$body$;

create function control.correcting_id(voucher text, restatement bigint, leg bigint) returns text
language sql
immutable
set search_path = pg_catalog
as $body$
    select voucher || '-R' || restatement || case when leg > 1 then '-' || leg else '' end
$body$;
comment on function control.correcting_id(text, bigint, bigint) is
'The id of a correcting voucher: of a moved sale there are two (更正凭证号).';

create or replace function control.note_booked(id bigint, of_file text, on_date date) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
begin
    if not exists (
        select 1
        from control.restatement_requests
        where request_id = id and approved_by is not null
    ) then
        raise exception 'request % is not approved', id using errcode = 'restrict_violation';
    end if;
    if exists (
        select 1
        from control.voucher_register as registered
        inner join control.restatement_bookings as bookings
            on registered.voucher_id = bookings.correcting_voucher_id
        where registered.source = 'platform'
            and registered.file_id = of_file
            and bookings.waits_for_voucher_id is not null
            and not control.charge_is_covered(bookings.waits_for_voucher_id)
    ) then
        raise exception 'a sale of request % has moved, and its charge is not covered', id
        using errcode = 'restrict_violation';
    end if;
    update control.restatement_bookings as bookings
    set file_id = of_file, booked_on = on_date
    from control.voucher_register as registered
    where bookings.request_id = id
        and bookings.file_id is null
        and registered.source = 'platform'
        and registered.voucher_id = bookings.correcting_voucher_id
        and registered.file_id = of_file
        and registered.accounting_date = on_date
        and registered.amount_minor = bookings.amount_minor
        and registered.account_id = bookings.account_id
        and registered.merchant_id = bookings.merchant_id
        and registered.transaction_type = bookings.transaction_type
        and registered.original_voucher_id is not distinct from bookings.original_voucher_id;
    if not found or exists (
        select 1
        from control.restatement_bookings
        where request_id = id and file_id is null and waits_for_voucher_id is null
    ) then
        raise exception 'a correcting voucher of request % is not on %', id, on_date
        using errcode = 'restrict_violation';
    end if;
end
$body$;

revoke execute on function
    control.restatement_entries(bigint),
    control.left_of_sale(text),
    control.guard_taken_back(),
    control.charge_is_covered(text),
    control.refusal_of(text, date),
    control.correcting_id(text, bigint, bigint)
from public;
grant execute on function
    control.restatement_entries(bigint),
    control.charge_is_covered(text),
    control.refusal_of(text, date)
to tieout_ingest, tieout_transform, tieout_gate, tieout_payout, tieout_finance, tieout_people;
"""


def upgrade() -> None:
    """Add what legs need, and replace what says of a restatement what is booked."""
    op.execute(BOOKINGS)
    op.execute(ENTRIES)
