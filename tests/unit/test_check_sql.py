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
    path.parent.mkdir(parents=True, exist_ok=True)
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


def _two_models(folder: Path, name: str, read: str, how: str = "{{ ref('read') }}") -> Path:
    """Write a model, and one that it reads, each in its room."""
    for one, reads in ((read, "{{ ref('a_seed') }}"), (name, how)):
        _model(folder, one, reads)
    return folder / "models" / name


@pytest.mark.parametrize(
    ("reader", "read"),
    [
        ("reconciliation/x.sql", "pricing/read.sql"),
        ("pricing/x.sql", "ledger/read.sql"),
        ("vouchers/x.sql", "reconciliation/read.sql"),
        ("clearing/x.sql", "settlement/read.sql"),
        ("settlement/x.sql", "gate/read.sql"),
    ],
)
def test_a_model_reads_no_later_room(
    check_sql: ModuleType, tmp_path: Path, reader: str, read: str
) -> None:
    path = _two_models(tmp_path, reader, read)
    room, later = Path(reader).parts[0], Path(read).parts[0]
    assert check_sql.findings(path) == [f"{path}:3: read is in {later}, which comes after {room}"]
    assert check_sql.findings(path.parents[1] / read) == []


def test_a_model_reads_earlier_rooms(check_sql: ModuleType, tmp_path: Path) -> None:
    assert check_sql.findings(_two_models(tmp_path, "gate/x.sql", "pricing/read.sql")) == []


@pytest.mark.parametrize(("room", "other"), [("ledger", "clearing"), ("clearing", "ledger")])
def test_ledger_and_clearing_read_nothing_of_each_other(
    check_sql: ModuleType, tmp_path: Path, room: str, other: str
) -> None:
    path = _two_models(tmp_path, f"{room}/x.sql", f"{other}/read.sql")
    assert check_sql.findings(path) == [
        f"{path}:3: read is in {other}: it and {room} are kept apart"
    ]


def _macro(folder: Path, body: str) -> None:
    (folder / "macros").mkdir()
    (folder / "macros" / "state.sql").write_text(
        f"{{% macro of_before() -%}}\n    {body}\n{{%- endmacro %}}\n"
    )


def test_what_a_macro_reads_is_read_by_the_model(check_sql: ModuleType, tmp_path: Path) -> None:
    _macro(tmp_path, "select a from {{ ref('read') }}")
    path = _two_models(tmp_path, "pricing/x.sql", "gate/read.sql", "({{ of_before() }})")
    assert check_sql.findings(path) == [f"{path}:3: read is in gate, which comes after pricing"]


def test_the_state_of_earlier_dates_is_read_backwards(
    check_sql: ModuleType, tmp_path: Path
) -> None:
    _macro(tmp_path, "{{ api.Relation.create(schema='clearing', identifier='read') }}")
    path = _two_models(tmp_path, "pricing/x.sql", "clearing/read.sql", "{{ of_before() }}")
    assert check_sql.findings(path) == []


def test_the_ledger_does_not_read_the_state_of_clearing(
    check_sql: ModuleType, tmp_path: Path
) -> None:
    _macro(tmp_path, "{{ api.Relation.create(schema='clearing', identifier='read') }}")
    path = _two_models(tmp_path, "ledger/x.sql", "clearing/read.sql", "{{ of_before() }}")
    assert check_sql.findings(path) == [
        f"{path}:3: read is in clearing: it and ledger are kept apart"
    ]


def test_a_room_that_is_in_no_order_is_found(check_sql: ModuleType, tmp_path: Path) -> None:
    path = _model(tmp_path, "elsewhere/x.sql", "{{ ref('a_seed') }}")
    (found,) = check_sql.findings(path)
    assert found.startswith(f"{path}:1: no room of bin/check-sql")


def test_each_exception_is_needed_and_says_why(
    check_sql: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = dict(check_sql.BACKWARDS)
    assert all(len(why) > 10 for why in exceptions.values())
    monkeypatch.setattr(check_sql, "BACKWARDS", {})
    found = [
        (path.stem, text.split(" is in ")[0].rpartition(": ")[2])
        for path in sorted((check_sql.PROJECT / "models").rglob("*.sql"))
        for text in check_sql.findings(path)
    ]
    assert sorted(set(found)) == sorted(exceptions)


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
