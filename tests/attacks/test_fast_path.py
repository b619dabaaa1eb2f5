"""What the attacks replay is what dbt builds: an attacked day, once each way, row for row."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

import attack_days
import attack_world
import table_rows
from attack_world import PAYMENT, Template, World

pytestmark = pytest.mark.slow
LIES = ("enlarge_a_sale", "invent_a_sale", "drop_a_sale")
# What the lies have to reach, or the days would agree about nothing.
NOT_EMPTY = (
    "clearing.clearing_entries",
    "gate.balance_equation",
    "gate.gate_checks",
    "ledger.postings",
    "payout.outbox_files",
    "payout.payout_status",
    "reconciliation.bank_matches",
    "reconciliation.suspense_items",
    "settlement.backed_rollforward",
    "settlement.holds",
    "settlement.settlement_statements",
)


def lied_to(world: World) -> World:
    """Tell the lies, close and pay."""
    for name in LIES:
        assert attack_days.KINDS[name](world, random.Random(name))
    world.must(world.close_and_pay())
    return world


def test_the_fast_path_is_what_dbt_builds(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded SQL of an honest day, sent on another day, computes what dbt computes there."""
    with attack_world.copy_of(replace(template, recorded={}), tmp_path / "dbt") as world:
        lied_to(world)
        built = table_rows.rows_of(world.settings)
        built_files = world.payment_files(PAYMENT)
        reasons = world.rows(
            "select count(*) filter (where break_reason = 'amount_mismatch'),"
            " count(*) filter (where system_amount_minor = 12345600)"
            " from reconciliation.reconciliation_results"
        )

    def unwanted(*arguments: object) -> None:
        pytest.fail(f"dbt was asked: {arguments}")

    monkeypatch.setattr(dbtRunner, "invoke", unwanted)
    with attack_world.copy_of(template, tmp_path / "fast") as world:
        lied_to(world)
        replayed = table_rows.rows_of(world.settings)
        replayed_files = world.payment_files(PAYMENT)
    assert min(reasons[0]) > 0, "the lies did not reach the reconciliation"
    assert [name for name in NOT_EMPTY if not built[name]] == []
    assert table_rows.differences(built, replayed) == []
    assert len(built_files) == 1
    assert replayed_files == built_files
