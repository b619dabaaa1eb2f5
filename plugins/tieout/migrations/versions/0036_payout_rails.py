"""How many payments a file has is reference data; answers of each rail are none of a gate's.

`reference.payout_rails` says what the bank of a paying account takes. The functions that make
attempts read it themselves: the program says only how many it can write. Two functions that stand
are changed in one place each, by their text, so that what other migrations made of them stays.
Payees may have a structured address, which some banks want.
"""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

PAYMENTS_PER_FILE = """
create function payout.payments_per_file(wanted_currency_code text) returns integer
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    found_limits integer[];
begin
    select array_agg(payout_rails.payments_per_file)
    into found_limits
    from reference.bank_accounts as accounts
    inner join reference.payout_rails as payout_rails
        on accounts.bank_account_id = payout_rails.bank_account_id
    where
        accounts.account_kind = 'client_reserve'
        and accounts.currency_code = wanted_currency_code;
    if cardinality(found_limits) is distinct from 1 or found_limits[1] is null
        or found_limits[1] < 1
    then
        raise exception 'payouts in % have % accounts with a rail to be paid from, not one',
            wanted_currency_code, coalesce(cardinality(found_limits), 0)
        using
            errcode = 'restrict_violation',
            hint = 'Correct reference.bank_accounts and reference.payout_rails.';
    end if;
    return found_limits[1];
end
$body$;
comment on function payout.payments_per_file(text) is
'How many payments the bank of a currency''s paying account takes in a file (单文件笔数上限).';
revoke execute on function payout.payments_per_file(text) from public;
"""

START_ATTEMPTS = """
create or replace function payout.start_attempts(
    wanted_payment_date date, payments_per_file integer
)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $body$
declare
    created_count bigint;
begin
    if payments_per_file is null or payments_per_file < 1 then
        raise exception 'a payment file holds at least one payment, not %', payments_per_file
        using errcode = 'restrict_violation';
    end if;
    perform control.lock_payment_date(wanted_payment_date);
    with limits as materialized (
        select
            currencies.currency_code,
            least(payments_per_file, payout.payments_per_file(currencies.currency_code))
                as payments_per_file
        from (
            select distinct currency_code
            from payout.instructions
            where payment_date = wanted_payment_date
        ) as currencies
    ),

    waiting as (
        select
            instructions.instruction_id,
            instructions.currency_code,
            payout.end_to_end_id(instructions.statement_id, 1) as end_to_end_id,
            (
                row_number() over (
                    partition by instructions.currency_code order by instructions.statement_id
                ) - 1
            ) / limits.payments_per_file as file_no
        from payout.instructions as instructions
        inner join limits on instructions.currency_code = limits.currency_code
        where
            instructions.payment_date = wanted_payment_date
            and not payout.is_held(instructions.statement_id)
            and not exists (
                select 1
                from payout.attempts as attempts
                where attempts.instruction_id = instructions.instruction_id
            )
    ),

    numbered as (
        select
            waiting.*,
            (
                select count(distinct attempts.batch_message_id)
                from payout.attempts as attempts
                inner join payout.instructions as instructions
                    on attempts.instruction_id = instructions.instruction_id
                where instructions.payment_date = wanted_payment_date
            ) + dense_rank() over (order by waiting.currency_code, waiting.file_no) as batch_no
        from waiting
    ),

    attempted as (
        insert into payout.attempts (
            attempt_id, instruction_id, attempt_no, end_to_end_id, batch_message_id, submitted_on
        )
        select
            'A-' || end_to_end_id,
            instruction_id,
            1,
            end_to_end_id,
            format(
                'PO%s-%s-A1', to_char(wanted_payment_date, 'YYYYMMDD'),
                lpad(batch_no::text, greatest(3, length(batch_no::text)), '0')
            ),
            wanted_payment_date
        from numbered
        order by end_to_end_id
        returning attempt_id
    )

    select count(*) into created_count from attempted;
    insert into payout.attempt_events (attempt_id, event_no, status, business_date)
    select attempts.attempt_id, 1, 'created', wanted_payment_date
    from payout.attempts as attempts
    inner join payout.instructions as instructions
        on attempts.instruction_id = instructions.instruction_id
    where
        instructions.payment_date = wanted_payment_date
        and not exists (
            select 1
            from payout.attempt_events as events
            where events.attempt_id = attempts.attempt_id
        )
    order by attempts.attempt_id;
    return created_count;
end
$body$;
comment on function payout.start_attempts(date, integer) is
'First attempts of a payment date, in files of what bank and caller take (首次代付).';
alter function payout.start_attempts(date, integer) set enable_seqscan = off;
"""

ADDRESSES = """
alter table raw.platform_payees
add column town text,
add column country_code text,
add column post_code text,
add column street_ciphertext text,
add column building_ciphertext text;
-- What is kept of a version has the columns of its landed rows.
alter table raw_versions.platform_payees
add column town text,
add column country_code text,
add column post_code text,
add column street_ciphertext text,
add column building_ciphertext text;
-- Which of them a new key may write anew stands in the trigger.
drop trigger versions_append_only on raw_versions.platform_payees;
do $body$
begin
    execute (
        select
            'create trigger versions_append_only'
            ' before update or delete on raw_versions.platform_payees'
            ' for each row execute function control.keep_version('
            || string_agg(quote_literal(attname), ', ' order by attnum) || ')'
        from pg_attribute
        where attrelid = 'raw_versions.platform_payees'::regclass
            and attnum > 0
            and not attisdropped
            and attname like '%\\_ciphertext'
    );
end
$body$;
comment on column raw.platform_payees.town is
'Town of the payee, null where the platform states none (收款人城市)';
comment on column raw.platform_payees.country_code is
'Country of the payee, ISO 3166 (收款人国家)';
comment on column raw.platform_payees.post_code is
'Post code of the payee (收款人邮编)';
comment on column raw.platform_payees.street_ciphertext is
'Street of the payee, encrypted and bound to the version (收款人街道密文)';
comment on column raw.platform_payees.building_ciphertext is
'Building number of the payee, encrypted and bound to the version (收款人门牌号密文)';
"""

# The text of a function as it stands, and what it becomes; it has to stand there once.
REPLACED = """
do $do$
declare
    definition text := pg_get_functiondef('{function}'::regprocedure);
begin
    if length(definition) - length(replace(definition, $old${old}$old$, ''))
        is distinct from length($old${old}$old$)
    then
        raise exception '{function} does not have the text that is replaced, or has it twice';
    end if;
    execute replace(definition, $old${old}$old$, $new${new}$new$);
end
$do$;
"""

CHANGED = (
    (
        "payout.new_attempt(text, date, text, text)",
        "count(*) < 3000",
        "count(*) < payout.payments_per_file(grounds.currency_code)",
    ),
    (
        "control.gate_input_files(date)",
        "('pain002', 'camt054')",
        "('pain002', 'agency_answer', 'camt054')",
    ),
)


def upgrade() -> None:
    """Add the columns, make the function that reads the limit, and have the others ask it."""
    op.execute(ADDRESSES)
    op.execute(PAYMENTS_PER_FILE)
    op.execute(START_ATTEMPTS)
    for function, old, new in CHANGED:
        op.execute(REPLACED.format(function=function, old=old, new=new))
