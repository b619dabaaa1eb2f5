"""What a failed gate is explained with stands beside its decision.

One row a candidate of an arrival group, best first; a group for which nothing fits has one row
without a cause. The rows of a decision do not change after it.
"""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

EXPLANATIONS = """
create table gate.explanations (
    decision_id bigint not null references control.gate_decisions (decision_id),
    arrival_group_id text not null,
    candidate_no integer not null check (candidate_no > 0),
    payment_date date not null,
    currency_code text not null,
    residual_minor bigint not null check (residual_minor <> 0),
    causes text[] not null,
    confidence text not null check (confidence in ('sure', 'likely', 'possible', 'none')),
    explained_minor bigint not null,
    rest_minor bigint not null,
    parts jsonb not null check (jsonb_typeof(parts) = 'array'),
    explained_at timestamptz not null default now(),
    primary key (decision_id, arrival_group_id, candidate_no),
    constraint explanations_identity check (residual_minor = explained_minor + rest_minor),
    constraint explanations_causes check (
        (confidence = 'none') = (cardinality(causes) = 0)
        and cardinality(causes) = jsonb_array_length(parts)
        and (confidence <> 'none' or explained_minor = 0)
    )
);
create index explanations_payment_date on gate.explanations (payment_date);

comment on table gate.explanations is
'What may explain a residual of a failed gate, one row a candidate, best first (平衡差额解释).';
comment on column gate.explanations.decision_id is
'The failed decision that it explains (闸门决定编号)';
comment on column gate.explanations.arrival_group_id is
'Channel, expected arrival date and currency that arrive together (到账组)';
comment on column gate.explanations.candidate_no is
'1 is the best candidate of the group (候选序号)';
comment on column gate.explanations.payment_date is
'Working day on which merchants are paid (付款日期)';
comment on column gate.explanations.currency_code is
'Currency, ISO 4217; amounts are in its minor units (币种)';
comment on column gate.explanations.residual_minor is
'What arrived minus what the files explain, minor units (平衡差额)';
comment on column gate.explanations.causes is
'Cause tokens, one a part; empty where nothing that is known fits (原因)';
comment on column gate.explanations.confidence is
'sure, likely, possible; none without a cause (可信程度)';
comment on column gate.explanations.explained_minor is
'Sum of the effects of its parts, minor units (已解释金额)';
comment on column gate.explanations.rest_minor is
'What stays without a cause, minor units (未解释金额)';
comment on column gate.explanations.parts is
'Each cause with its effect, its rows (table, id, file, line, amount) and what to do (明细)';
comment on column gate.explanations.explained_at is
'When the gate wrote it (写入时间)';

create trigger explanations_append_only
before update or delete on gate.explanations
for each row execute function control.refuse_change();
create trigger explanations_no_truncate
before truncate on gate.explanations
for each statement execute function control.refuse_change();

grant insert on gate.explanations to tieout_gate;
"""


def upgrade() -> None:
    """Add the table; decisions of before have no rows in it."""
    op.execute(EXPLANATIONS)
