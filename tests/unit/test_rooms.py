"""The rooms of the program: each is in the picture that lint checks, and names lead somewhere."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import tieout

PACKAGE = Path(tieout.__file__).parent
PROJECT = PACKAGE.parents[1]
# What starts a module by its name, where no import shows it: `python -m`, entry points, patches.
BY_NAME = re.compile(r"""-m["',\s]+(tieout(?:\.\w+)+)""")
# Named after what sends the files; nothing imports the standard library's module there.
NAMED_AS_IN_THE_FIELD = {"tieout.channels.platform"}


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def _contract(name: str) -> dict[str, Any]:
    contracts = _pyproject()["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == name)


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def test_every_room_has_its_floor() -> None:
    named = {
        module.strip() for layer in _contract("rooms")["layers"] for module in layer.split("|")
    }
    rooms = {
        _module(path)
        for path in [*PACKAGE.glob("*/__init__.py"), *PACKAGE.glob("protection/*")]
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    rooms -= {"tieout.protection"}  # its modules stand on two floors, each is named
    assert len(rooms) > 12
    assert rooms == named


def test_no_loose_module() -> None:
    assert [path.name for path in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_each_room_says_what_it_is_for() -> None:
    inits = list(PACKAGE.rglob("__init__.py"))
    assert len(inits) > 20
    silent = [str(path) for path in inits if not path.read_text(encoding="utf-8").startswith('"""')]
    assert silent == []


def test_no_module_is_named_as_one_of_the_standard_library() -> None:
    modules = {
        _module(path) for path in PACKAGE.rglob("*.py") if "versions" not in path.parts
    } - NAMED_AS_IN_THE_FIELD
    assert len(modules) > 150
    same = {name for name in modules if name.rpartition(".")[2] in sys.stdlib_module_names}
    assert same == set()


def test_modules_started_by_name_exist() -> None:
    files = [
        *PROJECT.glob("plugins/**/*.py"),
        *PROJECT.glob("tests/**/*.py"),
        *PROJECT.glob("docs/**/*.md"),
        *PROJECT.glob("bin/*"),
        *PROJECT.glob("dags/*.py"),
        PROJECT / "docker-compose.yml",
        PROJECT / "Dockerfile",
        PROJECT / "Makefile",
    ]
    named = {name for file in files for name in BY_NAME.findall(file.read_text(encoding="utf-8"))}
    named |= {target.partition(":")[0] for target in _pyproject()["project"]["scripts"].values()}
    assert {"tieout.commands.cli", "tieout.migrations", "tieout.dates.workdays"} <= named
    for name in named:
        importlib.import_module(name)


def test_only_what_runs_airflow_knows_its_database() -> None:
    """Who writes there makes users who decide: no step of a run needs to."""
    knowing = {
        _module(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if "airflow_url" in path.read_text(encoding="utf-8")
    }
    assert knowing == {
        "tieout.database",
        "tieout.database.connections",
        "tieout.protection.leaks.places",
        "tieout.runs.airflow_home",
    }
