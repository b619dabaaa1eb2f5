"""One answer to who is the same person, for every decision of two people.

Releases, decisions about open items and about suspended adjustments compared what was typed: a
no-break space, a zero-width space or full-width letters made two people of one. They compare by
`control.person_key` now, which folds a name as `tieout.people` does, whatever the server's locale.

What stands stays: decisions are history. What one person made alone has no effect any more, as far
as nothing has come of it: a release of a payment date of which nothing was attempted is followed
by a `failed` decision with the same statements and failures, so that two people may release it; an
approval of one's own decision is passed over by the closes to come, and is asked for anew on a
later date. The new constraints are not validated, and hold for every row from now on.
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

# `lower` knows the alphabets where the server's locale does; in "C" it knows A to Z. The best of
# what a server may have is asked for by name.
COLLATIONS = """
select collname
from pg_collation
where
    collname in ('pg_c_utf8', 'und-x-icu', 'C.utf8')
    and collencoding in (-1, (select encoding from pg_database where datname = current_database()))
    and collnamespace = 'pg_catalog'::regnamespace
order by array_position(array['pg_c_utf8', 'und-x-icu', 'C.utf8'], collname::text)
limit 1
"""

PEOPLE = r"""
create or replace function control.person_key(person_name text) returns text
language sql
immutable
set search_path = pg_catalog
as $body$
    -- Blanks, controls, fillers, zero-width, direction, variation characters and tags go; a letter
    -- that stood apart from its accent by one of them is one letter after that.
    select normalize(
        regexp_replace(
            normalize(
                replace(
                    replace(
                        replace(
                            lower(normalize(person_name, nfkc){collate}),
                            U&'\00DF', 'ss'
                        ),
                        U&'\03C2', U&'\03C3'
                    ),
                    U&'i\0307', 'i'
                ),
                nfkc
            ),
            '[\u0001-\u0020\u007F-\u00A0\u00AD\u034F\u0600-\u0605\u061C\u06DD\u070F\u0890-\u0891'
            || '\u08E2\u115F-\u1160\u1680\u17B4-\u17B5\u180B-\u180F\u2000-\u200F\u2028-\u202F'
            || '\u205F-\u206F\u3000\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB'
            || '\U000110BD\U000110CD\U00013430-\U0001343F\U0001BCA0-\U0001BCA3'
            || '\U0001D173-\U0001D17A\U000E0000-\U000E0FFF]',
            '',
            'g'
        ),
        nfkc
    )
$body$;
"""

# A date of which anything was attempted may have paid: what it stands on is not changed afterwards.
WITHDRAWN = """
insert into control.gate_decisions (
    payment_date, outcome, fingerprint, statements_covered, payout_amount_minor, detail, decided_by
)
select
    latest.payment_date,
    'failed',
    latest.fingerprint,
    latest.statements_covered,
    latest.payout_amount_minor,
    latest.detail,
    'migration 0023: decision ' || latest.decision_id || ' was released by one person'
from (
    select distinct on (payment_date) *
    from control.gate_decisions
    order by payment_date asc, decision_id desc
) as latest
where
    latest.outcome = 'released'
    and (
        control.person_key(latest.released_by_first)
        = control.person_key(latest.released_by_second)
        or '' in (
            control.person_key(latest.released_by_first),
            control.person_key(latest.released_by_second)
        )
    )
    and not payout.is_submitted(latest.payment_date)
    and not exists (
        select 1
        from payout.instructions as instructions
        inner join payout.attempts as attempts
            on instructions.instruction_id = attempts.instruction_id
        where instructions.payment_date = latest.payment_date
    )
order by latest.payment_date
"""

CONSTRAINTS = """
alter table control.gate_decisions
drop constraint a_release_needs_two_people,
add constraint a_release_needs_two_people check (
    outcome <> 'released'
    or (
        released_by_first is not null
        and released_by_second is not null
        and control.person_key(released_by_first) <> ''
        and control.person_key(released_by_second) <> ''
        and control.person_key(released_by_first) <> control.person_key(released_by_second)
        and btrim(release_reason) is not null
        and btrim(release_reason) <> ''
    )
) not valid;

alter table reconciliation.actions
add constraint somebody_asked check (control.person_key(requested_by) <> '') not valid;

alter table reconciliation.action_approvals
add constraint somebody_approved check (control.person_key(approved_by) <> '') not valid;
"""

APPROVALS = """
create or replace function reconciliation.check_approval() returns trigger
language plpgsql
set search_path = pg_catalog
as $body$
declare
    action reconciliation.actions;
begin
    select * into action
    from reconciliation.actions
    where action_id = new.action_id;
    if action.action_kind = 'assign' then
        raise exception 'an assignment needs no approval'
        using errcode = 'restrict_violation';
    end if;
    if control.person_key(action.requested_by) = control.person_key(new.approved_by) then
        raise exception 'decision % was asked for by %: another person has to approve it',
            new.action_id, action.requested_by
        using errcode = 'restrict_violation', hint = 'Ask a second person.';
    end if;
    perform reconciliation.require_open_date(action.effective_on);
    return new;
end
$body$;
"""


def upgrade() -> None:
    """Compare people by one key, and take back what one person alone decided."""
    found = op.get_bind().exec_driver_sql(COLLATIONS).scalar()
    op.execute(PEOPLE.replace("{collate}", f' collate "{found}"' if found else ""))
    op.execute(WITHDRAWN)
    op.execute(CONSTRAINTS)
    op.execute(APPROVALS)
