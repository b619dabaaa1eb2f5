"""The gate: Great Expectations decides whether a payment date may be paid; the answer is stored.

`decide` validates the gate's tables of a payment date and stores what came out in
``control.gate_decisions`` with a fingerprint of the statements it covers; the database pays nothing
else. `close_checkpoint` and `landing_checkpoint` do the same at the two earlier boundaries, and
store nothing. `request_release` and `approve_release` let two people pay a date that did not pass.

Great Expectations costs seconds to import and keeps one context a process, so it is imported inside
`_run_checkpoint` only, and one validation runs at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Final, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from tieout.core.errors import TieoutError
from tieout.core.money import CURRENCY_EXPONENTS, decimal_text
from tieout.core.settings import Settings
from tieout.database import connect, session_url
from tieout.gate import data_docs
from tieout.gate.expectation_suites import (
    CLOSE_SUITES,
    EXPECTATIONS_DIR,
    GATE_SUITES,
    LANDING_SUITES,
    Suite,
    for_great_expectations,
)

__all__ = [
    "CheckpointResult",
    "Decision",
    "Failure",
    "WaitingRelease",
    "approve_release",
    "close_checkpoint",
    "decide",
    "keep_expectations",
    "landing_checkpoint",
    "request_release",
    "waiting_releases",
]

DECIDED_BY: Final = "settlement_payout"
_VALIDATION: Final = threading.Lock()
_MAY_PAY: Final = frozenset({"passed", "released"})


@dataclass(frozen=True)
class Failure:
    """One thing that does not hold: where, which term or check, and how much."""

    suite: str
    rule: str
    subject: str
    term: str
    amount_minor: str | None
    currency_code: str | None
    detail: str

    def __str__(self) -> str:
        """Say it in one line: ``unionpay arrival 2026-09-28 CNY: residual -0.01 CNY (…)``."""
        amount = ""
        if self.amount_minor is not None:
            if self.currency_code is not None and self.currency_code in CURRENCY_EXPONENTS:
                text = decimal_text(int(self.amount_minor), self.currency_code)
                amount = f" {text} {self.currency_code}"
            else:
                amount = f" {self.amount_minor} minor units"
        return f"{self.subject}: {self.term}{amount} ({self.detail})"


@dataclass(frozen=True)
class CheckpointResult:
    """What one checkpoint found: how many expectations ran, and what does not hold."""

    name: str
    day: date
    expectation_count: int
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Whether everything holds. A run without any expectation has not passed."""
        return self.expectation_count > 0 and not self.failures


@dataclass(frozen=True)
class Decision:
    """The decision on a payment date as it stands now, and whether this run stored it."""

    decision_id: int
    payment_date: date
    outcome: str
    fingerprint: str
    statements_covered: int
    payout_amount_minor: int
    failures: tuple[Failure, ...]
    is_new: bool

    @property
    def passed(self) -> bool:
        """Whether the date may be paid: passed, or released by two people."""
        return self.outcome in _MAY_PAY


@dataclass(frozen=True, slots=True)
class WaitingRelease:
    """A release that one person has asked for and a second one has not approved."""

    release_id: int
    payment_date: date
    requested_by: str
    reason: str


def landing_checkpoint(settings: Settings, accounting_date: date) -> CheckpointResult:
    """Check the files of an accounting date: all there, totals agree, none waits for a person."""
    return _run_checkpoint(settings, f"landing_{accounting_date}", LANDING_SUITES, accounting_date)


def close_checkpoint(settings: Settings, accounting_date: date) -> CheckpointResult:
    """Check a closed accounting date: files, trial balance, suspense roll-forward, vouchers."""
    return _run_checkpoint(settings, f"close_{accounting_date}", CLOSE_SUITES, accounting_date)


def decide(settings: Settings, payment_date: date, *, decided_by: str = DECIDED_BY) -> Decision:
    """Decide on ``payment_date`` and store the decision; the same finding twice is one row.

    The database keeps with it what it was made from (``control.gate_decision_inputs``). A decision,
    a release too, stands as long as statements, failures and inputs are the same.

    Raises:
        TieoutError: the suites hold, and the database finds in the same tables that they do not.
    """
    keep_expectations(settings)
    before = _covered(settings, payment_date)
    result = _run_checkpoint(settings, f"gate_{payment_date}", GATE_SUITES, payment_date)
    with connect(settings) as connection, connection.transaction():
        _lock(connection, payment_date)
        covered = _covered_now(connection, payment_date)
        failures = result.failures
        if covered != before:
            # Somebody rebuilt the date while it was checked, or changed what it is built from: what
            # was checked is not what would be paid.
            failures = (*failures, _changed_failure(payment_date, before, covered))
        outcome = "passed" if result.passed and not failures else "failed"
        latest = _latest(connection, payment_date)
        if (
            latest is not None
            and _stands(latest, outcome, covered.fingerprint, failures)
            and not _inputs_changed(connection, latest.decision_id)
        ):
            return latest
        return _store(connection, payment_date, outcome, covered, failures, decided_by=decided_by)


def keep_expectations(settings: Settings) -> None:
    """Put the gate's checks on record: a decision made under others does not stand any more."""
    checks = {
        f"{suite.name}/{rule.name}": rule.text for suite in GATE_SUITES for rule in suite.rules
    }
    with connect(settings) as connection:
        connection.execute("select control.keep_gate_expectations(%s)", [Jsonb(checks)])


def request_release(
    settings: Settings, payment_date: date, reason: str, *, by: str | None = None
) -> int:
    """Ask, as the first of two people, to pay a date whose gate failed; return the request's id.

    Args:
        settings: the home, as the person's own login where people have one (`TIEOUT_DATABASE_URL_
            PEOPLE`).
        payment_date: the date; its latest decision is `failed`, on the statements as they are now.
        reason: why it may be paid all the same.
        by: the person's name; needed only as long as nobody has a login (`control.persons`).

    Raises:
        TieoutError: no reason, no failed decision, other statements, or a login of nobody's.
    """
    with connect(settings) as connection:
        row = _asked(
            connection,
            f"payment date {payment_date} is not released",
            "select gate.request_release(%s, %s, %s)",
            (payment_date, reason, by),
        )
    return int(row[0])


def waiting_releases(
    settings: Settings, payment_date: date | None = None
) -> tuple[WaitingRelease, ...]:
    """Return the releases asked for that nobody has approved, while the gate says the same."""
    with connect(settings) as connection:
        rows = connection.execute(
            """
            select requests.release_id, requests.payment_date, requests.requested_by,
                requests.reason
            from control.gate_release_requests as requests
            where
                (%(day)s::date is null or requests.payment_date = %(day)s)
                and requests.decision_id = (
                    select max(decisions.decision_id)
                    from control.gate_decisions as decisions
                    where decisions.payment_date = requests.payment_date
                )
            order by requests.release_id
            """,
            {"day": payment_date},
        ).fetchall()
    return tuple(WaitingRelease(*row) for row in rows)


def latest_decision(settings: Settings, payment_date: date) -> Decision | None:
    """Return what was decided last about a payment date, None where nothing was."""
    with connect(settings) as connection:
        return _latest(connection, payment_date)


def approve_release(settings: Settings, release_id: int, *, by: str | None = None) -> Decision:
    """Release, as the second of two people, what a request asks for.

    The release covers the statements as they are now, and its row keeps what did not hold.

    Raises:
        TieoutError: the same person, no such request, or the gate has decided anew since.
    """
    with connect(settings) as connection:
        (decision_id,) = _asked(
            connection,
            f"release {release_id} is not approved",
            "select gate.approve_release(%s, %s)",
            (release_id, by),
        )
        row = connection.execute(
            "select payment_date from control.gate_decisions where decision_id = %s", [decision_id]
        ).fetchone()
        assert row is not None, "the decision was stored in this transaction"
        latest = _latest(connection, row[0])
        assert latest is not None
    return replace(latest, is_new=True)


def _asked(
    connection: psycopg.Connection[Any], what: str, query: LiteralString, values: Sequence[object]
) -> tuple[Any, ...]:
    """Call a decision function; say in our words what it refuses."""
    try:
        row: tuple[Any, ...] | None = connection.execute(query, values).fetchone()
    except (psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege) as error:
        raise TieoutError(
            what=what,
            where="control.gate_decisions",
            why=str(error.diag.message_primary),
            next_step=str(error.diag.message_hint or "read `tieout gate list`"),
        ) from error
    assert row is not None, "a function returns a row"
    return row


@dataclass(frozen=True)
class _Covered:
    """The statements a decision covers, and a digest of what it is made from."""

    fingerprint: str
    statement_count: int
    payout_amount_minor: int
    inputs: str


def _covered(settings: Settings, payment_date: date) -> _Covered:
    with connect(settings) as connection:
        return _covered_now(connection, payment_date)


def _covered_now(connection: psycopg.Connection[Any], payment_date: date) -> _Covered:
    row = connection.execute(
        """
        select
            gate.statement_fingerprint(%(payment_date)s) as fingerprint,
            count(*) as statement_count,
            coalesce(sum(statements.payout_amount_minor), 0)::bigint as payout_amount_minor,
            (
                select
                    md5(
                        string_agg(
                            concat_ws('|', inputs.input_kind, inputs.input_key, inputs.content),
                            ';' order by inputs.input_kind, inputs.input_key
                        )
                    )
                from control.gate_inputs(%(payment_date)s) as inputs
            ) as inputs
        from settlement.settlement_statements as statements
        where
            statements.payment_date = %(payment_date)s
            and statements.payable_status = 'payable'
            and statements.payout_amount_minor > 0
        """,
        {"payment_date": payment_date},
    ).fetchone()
    assert row is not None, "an aggregate without group by returns a row"
    return _Covered(str(row[0]), int(row[1]), int(row[2]), str(row[3]))


def _inputs_changed(connection: psycopg.Connection[Any], decision_id: int) -> bool:
    row = connection.execute(
        "select control.changed_gate_inputs_text(%s)", (decision_id,)
    ).fetchone()
    return row is not None and row[0] is not None


def _lock(connection: psycopg.Connection[Any], payment_date: date) -> None:
    connection.execute("select control.lock_payment_date(%s)", (payment_date,))


def _latest(connection: psycopg.Connection[Any], payment_date: date) -> Decision | None:
    row = connection.execute(
        """
        select
            decision_id,
            outcome,
            fingerprint,
            statements_covered,
            payout_amount_minor,
            detail
        from control.gate_decisions
        where payment_date = %s
        order by decision_id desc
        limit 1
        """,
        (payment_date,),
    ).fetchone()
    if row is None:
        return None
    detail: Mapping[str, Any] = row[5] or {}
    return Decision(
        decision_id=int(row[0]),
        payment_date=payment_date,
        outcome=str(row[1]),
        fingerprint=str(row[2]),
        statements_covered=int(row[3]),
        payout_amount_minor=int(row[4]),
        failures=tuple(Failure(**failure) for failure in detail.get("failures", [])),
        is_new=False,
    )


def _stands(latest: Decision, outcome: str, fingerprint: str, failures: Sequence[Failure]) -> bool:
    """Say whether the stored decision already says what this run found."""
    if latest.fingerprint != fingerprint:
        return False
    if latest.outcome == "released":
        return outcome == "passed" or set(failures) <= set(latest.failures)
    return latest.outcome == outcome and latest.failures == tuple(failures)


def _store(
    connection: psycopg.Connection[Any],
    payment_date: date,
    outcome: str,
    covered: _Covered,
    failures: Sequence[Failure],
    *,
    decided_by: str,
) -> Decision:
    try:
        row = connection.execute(
            "select gate.decide(%s, %s, %s, %s, %s)",
            (
                payment_date,
                outcome,
                Jsonb({"failures": [asdict(failure) for failure in failures]}),
                covered.fingerprint,
                decided_by,
            ),
        ).fetchone()
    except psycopg.errors.RestrictViolation as error:
        raise TieoutError(
            what=f"the database refuses the decision of {payment_date}",
            where="control.gate_decisions",
            why=str(error.diag.message_primary),
            next_step="build the payment date anew and run the gate again: "
            f"`tieout pay {payment_date}`",
        ) from error
    assert row is not None, "a function returns a row"
    return Decision(
        decision_id=int(row[0]),
        payment_date=payment_date,
        outcome=outcome,
        fingerprint=covered.fingerprint,
        statements_covered=covered.statement_count,
        payout_amount_minor=covered.payout_amount_minor,
        failures=tuple(failures),
        is_new=True,
    )


def _changed_failure(payment_date: date, before: _Covered, covered: _Covered) -> Failure:
    is_statements = before.fingerprint != covered.fingerprint
    what = f"the statements of {payment_date}" if is_statements else "what the gate reads"
    return Failure(
        suite="gate",
        rule="statements_stand_still",
        subject="all",
        term="fingerprint" if is_statements else "inputs",
        amount_minor=None,
        currency_code=None,
        detail=f"{what} changed while they were checked; run it again"
        if is_statements
        else f"{what} changed while it was checked; build and run it again",
    )


def _run_checkpoint(
    settings: Settings, run_name: str, suites: Sequence[Suite], day: date
) -> CheckpointResult:
    """Run the suites for one date and build the Data Docs pages of the run."""
    with _VALIDATION:
        context = _context(settings)
        import great_expectations as gx  # noqa: PLC0415  (see the module docstring)

        try:
            checkpoint = _checkpoint(context, run_name, suites, day)
            outcome = checkpoint.run(run_id=gx.RunIdentifier(run_name=run_name))
            context.build_data_docs(resource_identifiers=list(outcome.run_results))
        finally:
            context.data_sources.get("tieout").get_engine().dispose()
        data_docs.finish(settings, run_name)
    failures: list[Failure] = []
    expectation_count = 0
    for suite, validation in zip(suites, _by_suite(outcome, suites), strict=True):
        expectation_count += len(validation.results)
        failures += _failures(suite, validation.results)
    return CheckpointResult(run_name, day, expectation_count, tuple(failures))


def _context(settings: Settings) -> Any:
    # The library reads these from the environment when it is imported: no notebooks, no cloud.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx  # noqa: PLC0415

    scheme, _, rest = session_url(settings).partition("://")
    return gx.get_context(
        mode="file",
        context_root_dir=str(EXPECTATIONS_DIR),
        runtime_environment={
            "TIEOUT_GX_STATE": str(settings.gx_dir),
            "TIEOUT_GX_DATA_DOCS": str(data_docs.folder(settings)),
            # Its queries join whole dates; without statistics of a CTE the planner would loop.
            "TIEOUT_GX_DATABASE": f"{scheme}+psycopg2://{rest}"
            f"{'&' if '?' in rest else '?'}options=-c%20enable_nestloop%3Doff",
        },
    )


def _checkpoint(context: Any, run_name: str, suites: Sequence[Suite], day: date) -> Any:
    import great_expectations as gx  # noqa: PLC0415
    from great_expectations.expectations import UnexpectedRowsExpectation  # noqa: PLC0415

    datasource = context.data_sources.get("tieout")
    definitions = []
    for suite in suites:
        expectations = [
            UnexpectedRowsExpectation(
                unexpected_rows_query=for_great_expectations(rule.query_for(day)),
                description=rule.description,
                meta={"rule": rule.name},
                severity=rule.severity,
            )
            for rule in suite.rules
        ]
        stored = context.suites.add(gx.ExpectationSuite(name=suite.name, expectations=expectations))
        batch = datasource.get_asset(suite.asset).get_batch_definition("whole_table")
        definitions.append(
            context.validation_definitions.add(
                gx.ValidationDefinition(name=f"{run_name}_{suite.name}", data=batch, suite=stored)
            )
        )
    return context.checkpoints.add(
        gx.Checkpoint(
            name=run_name,
            validation_definitions=definitions,
            result_format={"result_format": "COMPLETE"},
        )
    )


def _by_suite(outcome: Any, suites: Sequence[Suite]) -> list[Any]:
    """Return the validation results in the order of the suites; each must be there exactly once."""
    by_name = {result.suite_name: result for result in outcome.run_results.values()}
    return [by_name[suite.name] for suite in suites]


def _failures(suite: Suite, results: Iterable[Any]) -> list[Failure]:
    found: list[Failure] = []
    seen: set[str] = set()
    for result in results:
        rule = str(result.expectation_config.meta["rule"])
        seen.add(rule)
        if result.success:
            continue
        found += _failure_rows(suite, rule, result)
    # An expectation the library did not run has not held.
    for missing in sorted({rule.name for rule in suite.rules} - seen):
        found.append(_failure(suite, missing, {"detail": "the expectation was not evaluated"}))
    return found


def _failure_rows(suite: Suite, rule: str, result: Any) -> list[Failure]:
    rows: list[Mapping[str, Any]] = (
        (result.result or {}).get("details", {}).get("unexpected_rows", [])
    )
    if not rows:
        return [_failure(suite, rule, {"detail": _exception_text(result.exception_info)})]
    failures = [_failure(suite, rule, row) for row in rows]
    counted = int(result.result.get("observed_value") or len(rows))
    if counted > len(rows):
        text = f"and {counted - len(rows)} more, not shown"
        failures.append(_failure(suite, rule, {"detail": text}))
    return failures


def _failure(suite: Suite, rule: str, row: Mapping[str, Any]) -> Failure:
    def text(name: str) -> str | None:
        value = row.get(name)
        return None if value is None else str(value)

    return Failure(
        suite=suite.name,
        rule=rule,
        subject=text("subject") or suite.name,
        term=text("term") or rule,
        amount_minor=text("amount_minor"),
        currency_code=text("currency_code"),
        detail=text("detail") or "",
    )


def _exception_text(information: Any) -> str:
    """Return the first line of what went wrong inside the library; it names tables, no values."""
    messages = []
    for value in [information, *(information.values() if isinstance(information, Mapping) else [])]:
        if isinstance(value, Mapping) and value.get("exception_message"):
            messages.append(str(value["exception_message"]).splitlines()[0])
    return f"it could not be evaluated: {messages[0]}" if messages else "it could not be evaluated"
