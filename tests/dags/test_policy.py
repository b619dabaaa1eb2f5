"""Every DAG keeps the house's rules; a folder without DAGs fails, too."""

from __future__ import annotations

import ast
import itertools
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import DAG_FILES, PROJECT

EXPECTED = {
    "accounting_close",
    "accounting_reclose",
    "settlement_payout",
    "payout_outcomes",
    "fee_billing",
}
SECTIONS = ("Purpose", "Inputs", "Outputs", "Fails when", "Owner")
SQL = re.compile(
    r"\b(select|insert|update|delete|truncate|create table|merge)\b .*\b(from|into|set|as)\b", re.I
)


def test_dags_are_there_and_import(dag_bag: Any) -> None:
    assert DAG_FILES, "no DAG file was found: every other test here would pass on nothing"
    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags) == EXPECTED
    assert {path.stem for path in DAG_FILES} == EXPECTED


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.stem)
def test_a_file_is_short_and_holds_no_logic(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    tree = ast.parse(text)
    imported = [
        alias_module(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert "airflow.sdk" in imported
    outside = [
        name for name in imported if name.split(".")[0] not in {"__future__", "datetime", "typing"}
    ]
    assert outside == ["airflow.sdk"], "the package is imported inside the tasks only"
    code = "\n".join(ast.unparse(node) for node in tree.body if not isinstance(node, ast.Expr))
    assert SQL.search(code) is None
    assert "for " not in re.sub(r'""".*?"""|\'.*?\'|".*?"', "", code, flags=re.DOTALL)


def alias_module(node: ast.Import | ast.ImportFrom) -> str:
    """Return the module an import statement names."""
    return node.names[0].name if isinstance(node, ast.Import) else str(node.module)


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_a_dag_tells_what_it_is(dag_bag: Any, dag_id: str) -> None:
    dag = dag_bag.dags[dag_id]
    for section in SECTIONS:
        assert f"**{section}" in dag.doc_md, section
    assert dag.tags
    assert dag.owner != "airflow"


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_a_dag_runs_one_date_at_a_time_and_never_catches_up(dag_bag: Any, dag_id: str) -> None:
    dag = dag_bag.dags[dag_id]
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.dagrun_timeout is not None
    assert "Asia/Shanghai" in str(dag.timetable.timezone)


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_a_task_says_how_often_and_how_long(dag_bag: Any, dag_id: str) -> None:
    dag = dag_bag.dags[dag_id]
    assert len(dag.tasks) >= 3
    for task in dag.tasks:
        source = (PROJECT / "dags" / f"{dag_id}.py").read_text(encoding="utf-8")
        assert f"def {task.task_id}(**context" in source
        assert isinstance(task.execution_timeout, timedelta), task.task_id
        assert task.retries is not None
        assert task.retry_delay <= timedelta(minutes=1), task.task_id
        assert task.depends_on_past is False, "the database knows what is closed, Airflow does not"


def test_money_leaves_without_a_second_try(dag_bag: Any) -> None:
    dag = dag_bag.dags["settlement_payout"]
    assert dag.get_task("instruct").retries == 0
    assert dag.get_task("submit").retries == 0
    assert dag_bag.dags["fee_billing"].get_task("collect").retries == 0


@pytest.mark.parametrize(
    ("dag_id", "order"),
    [
        (
            "accounting_close",
            [
                "ready",
                "claim",
                "fetch",
                "land",
                "complete",
                "build",
                "check",
                "publish",
                "release",
            ],
        ),
        # It takes the lease of each date that it closes.
        ("accounting_reclose", ["ready", "land", "close", "restate"]),
        (
            "settlement_payout",
            [
                "ready",
                "claim",
                "land_bank",
                "build",
                "gate",
                "agreed",
                "instruct",
                "submit",
                "publish",
                "release",
            ],
        ),
        (
            "payout_outcomes",
            ["ready", "claim", "land", "apply", "send", "build", "publish", "release"],
        ),
        (
            "fee_billing",
            [
                "ready",
                "claim",
                "land",
                "bill",
                "notify",
                "answer",
                "collect",
                "publish",
                "release",
            ],
        ),
    ],
)
def test_the_steps_follow_one_another(dag_bag: Any, dag_id: str, order: list[str]) -> None:
    dag = dag_bag.dags[dag_id]
    assert sorted(task.task_id for task in dag.tasks) == sorted(order)
    for before, after in itertools.pairwise(order):
        assert after in dag.get_task(before).downstream_task_ids, f"{before} >> {after}"
    if "claim" in order:
        assert dag.get_task("claim").is_setup
        assert dag.get_task("release").is_teardown
        assert "release" in dag.get_task("claim").downstream_task_ids


def test_the_package_is_not_executed_as_plugins() -> None:
    """`plugins/.airflowignore` keeps Airflow from running each module under its bare name."""
    from airflow._shared.module_loading import find_path_from_directory

    found = {
        Path(path).relative_to(PROJECT / "plugins").as_posix()
        for path in find_path_from_directory(str(PROJECT / "plugins"), ".airflowignore", "glob")
    }
    assert found, "nothing was listed"
    assert not [path for path in found if path.startswith("tieout/")]
