"""Airflow in a home of its own for this folder: no scheduler, no database of anybody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tieout.core.settings import Settings
from tieout.runs import airflow_home

PROJECT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((PROJECT / "dags").glob("*.py"))


@pytest.fixture(scope="package")
def airflow_settings(settings: Settings) -> Iterator[Settings]:
    """The session's home with Airflow's environment; parsing needs no metadata tables."""
    before = dict(os.environ)
    os.environ.update(airflow_home.environment(settings))
    yield settings
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="package")
def dag_bag(airflow_settings: Settings) -> Any:
    """Every DAG of the project, parsed as Airflow parses it."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(airflow_settings.project_dir / "dags"))
