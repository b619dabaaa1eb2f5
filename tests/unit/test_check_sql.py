"""The rules on who reads what in SQL: each is broken once, and said with its file and line."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bin" / "check-sql"


@pytest.fixture(scope="module")
def check_sql() -> ModuleType:
    loader = SourceFileLoader("check_sql", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def _model(folder: Path, name: str, reads: str, columns: str = "a") -> Path:
    path = folder / "models" / name
    path.parent.mkdir(parents=True)
    path.with_suffix(".yml").write_text("models: []\n")
    landed = "-- {{ landed_files() }}\n" if name.startswith("staging/") else ""
    path.write_text(
        f"{landed}with final as (\n    select {columns}\n    from {reads}\n)\n\n"
        "select * from final\n"
    )
    return path


GOOD = [
    ("staging/unionpay/stg_unionpay__fees.sql", "{{ source('raw', 'unionpay_alfee') }}"),
    ("staging/unionpay/stg_unionpay__fees.sql", "{{ ref('adjustment_codes') }}"),
    ("intermediate/int_channels__fees.sql", "{{ ref('stg_unionpay__fees') }}"),
    ("clearing/terms.sql", "{{ ref('int_channels__fees') }}"),
    ("clearing/terms.sql", "{{ ref('stg_platform__contracts') }} -- not of ledger.journal"),
    ("clearing/terms.sql", "{{ source('control', 'channel_files') }}"),
]
BROKEN = [
    ("clearing/terms.sql", "{{ ref('stg_unionpay__fees') }}", "is one channel's"),
    ("clearing/terms.sql", "control.channel_files", "behind dbt's back"),
    ("clearing/terms.sql", "{{ source('raw', 'unionpay_alfee') }}", "by staging models only"),
    (
        "staging/unionpay/stg_unionpay__fees.sql",
        "{{ ref('stg_bank__lines') }}",
        "sources and seeds",
    ),
    ("staging/unionpay/stg_wechat__fees.sql", "{{ source('raw', 'a') }}", "begins with stg_union"),
]


@pytest.mark.parametrize(("name", "reads"), GOOD)
def test_a_model_in_its_place_passes(
    check_sql: ModuleType, tmp_path: Path, name: str, reads: str
) -> None:
    assert check_sql.findings(_model(tmp_path, name, reads)) == []


@pytest.mark.parametrize(("name", "reads", "said"), BROKEN)
def test_a_model_that_reads_past_its_place_is_found(
    check_sql: ModuleType, tmp_path: Path, name: str, reads: str, said: str
) -> None:
    path = _model(tmp_path, name, reads)
    (found,) = check_sql.findings(path)
    assert found.startswith(f"{path}:")
    assert said in found


def test_all_columns_of_another_model_are_named(check_sql: ModuleType, tmp_path: Path) -> None:
    path = _model(tmp_path, "clearing/terms.sql", "{{ ref('int_channels__fees') }}", "*")
    assert check_sql.findings(path) == [f"{path}:2: select * of another model: name the columns"]


def test_a_model_has_its_description_beside_it(check_sql: ModuleType, tmp_path: Path) -> None:
    path = _model(tmp_path, "clearing/terms.sql", "{{ ref('int_channels__fees') }}")
    path.with_suffix(".yml").unlink()
    assert check_sql.findings(path) == [f"{path}:1: no terms.yml beside it"]


def test_the_project_has_no_finding() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1].endswith(" SQL files, 0 findings"), done.stderr
    assert done.returncode == 0
