"""The checks are files: what is read, what is refused, what the library makes of them."""

from __future__ import annotations

import subprocess
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from payment_world import PAYMENT_DATE, World, decide
from tieout import database, gate
from tieout.core.errors import TieoutError
from tieout.gate import deciding
from tieout.gate.expectation_suites import (
    ALL_SUITES,
    EXPECTATIONS_DIR,
    GATE_EQUATION,
    GATE_SUITES,
    Suite,
    for_great_expectations,
    load_suite,
    sql_date,
)

HEADER = """\
-- id: a_check
-- kind: presence
-- severity: critical
-- subject: gate.gate_checks
-- terms: one, two
-- english: What it demands,
--     on two lines
-- chinese: 要求

"""
QUERY = "select 1 from gate.gate_checks as checks where checks.payment_date = :day\n"


def load(folder: Path, text: str, *checks: str) -> Suite:
    """Read a suite of one file."""
    (folder / "a_check.sql").write_text(text, encoding="utf-8")
    return load_suite("a_suite", "gate_checks", checks or ("a_check",), folder)


# --- what is read ---------------------------------------------------------------------------------


def test_a_file_is_read_as_its_header_says(tmp_path: Path) -> None:
    (rule,) = load(tmp_path, HEADER + QUERY).rules
    assert (rule.name, rule.kind, rule.severity) == ("a_check", "presence", "critical")
    assert rule.terms == ("one", "two")
    assert rule.description == "What it demands, on two lines · 要求"
    assert rule.query_for(date(2026, 9, 28)).endswith("payment_date = '2026-09-28'::date")


def test_the_date_has_its_type_and_stands_for_the_parameter_alone(tmp_path: Path) -> None:
    text = QUERY + "-- not :day\nand ':day' <> '10:30' and \"a:day\" = 1::text::date\n"
    (rule,) = load(tmp_path, HEADER + text).rules
    literal = sql_date(date(2026, 9, 28))
    assert literal == "'2026-09-28'::date"
    assert rule.query_for(date(2026, 9, 28)) == text.replace("= :day", f"= {literal}").strip()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its header is not: id, kind"),
        (HEADER, "it has no query"),
        (HEADER + "\n  \n", "it has no query"),
        (QUERY, "its header is not: id, kind"),
        (HEADER.replace("-- terms: one, two\n", "") + QUERY, "its header is not: id, kind"),
        (HEADER.replace("-- terms", "-- kind: finding\n-- terms") + QUERY, "its header is not"),
        (HEADER.replace("a_check", "other") + QUERY, "its id is not the file's name"),
        (HEADER.replace("presence", "feeling") + QUERY, "its kind is none of agreement, arith"),
        (HEADER.replace("critical", "warning") + QUERY, "its severity is not critical"),
        (HEADER.replace("gate_checks", "gate_cheques") + QUERY, "its subject is not the suite's"),
        (HEADER + QUERY.replace("gate.", "gone."), "its query does not read its subject"),
        (HEADER + QUERY.replace(":day", "date '2026-09-28'"), "has to have the parameter :day"),
        (HEADER + QUERY + "and :other", "has to have the parameter :day, and no other"),
    ],
)
def test_a_file_that_is_no_check_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(TieoutError, match=why) as found:
        load(tmp_path, text)
    assert "a_check.sql" in str(found.value)


def test_a_file_that_is_missing_or_in_no_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TieoutError, match=r"gone\.sql.*\n.*it is missing"):
        load(tmp_path, HEADER + QUERY, "a_check", "gone")
    (tmp_path / "one_more.sql").write_text(HEADER + QUERY, encoding="utf-8")
    with pytest.raises(TieoutError, match=r"one_more\.sql.*\n.*in no list"):
        load(tmp_path, HEADER + QUERY)
    (tmp_path / "one_more.sql").unlink()
    with pytest.raises(TieoutError, match="names a check twice"):
        load(tmp_path, HEADER + QUERY, "a_check", "a_check")
    (tmp_path / "a_check.sql").unlink()
    with pytest.raises(TieoutError, match="its list is empty"):
        load_suite("a_suite", "gate_checks", (), tmp_path)


def test_every_folder_of_checks_is_a_suite() -> None:
    folders = {path.parent.name for path in EXPECTATIONS_DIR.rglob("*.sql")}
    assert len(folders) == len(ALL_SUITES) == 5
    assert folders == {suite.name for suite in ALL_SUITES}


# --- what the library makes of them ---------------------------------------------------------------

MARKS = "{16} {} {batch} ${HOME} $HOME $$ %s %(x)s %% :name ::x \\: 50% '{\"a\": 1}'"


def test_great_expectations_sends_a_query_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It formats braces and, elsewhere, substitutes `$`; SQLAlchemy takes `:name` and `%`."""
    quoted = MARKS.replace("'", "''")
    query = f"""
    select
        '{quoted}' as subject, 'marks' as term, null::text as amount_minor,
        null::text as currency_code, equation.payment_date::text as detail
    from gate.balance_equation as equation
    where equation.payment_date = :day and equation.channel ~ '^[a-z]{{6,16}}$'
    """
    rule = replace(GATE_EQUATION.rules[0], name="marks", query=query)
    suite = replace(GATE_EQUATION, rules=(rule,))
    with database.connect(world.settings) as connection:
        wanted = connection.execute(rule.query_for(PAYMENT_DATE)).fetchall()
    assert wanted
    monkeypatch.setattr(deciding, "GATE_SUITES", (suite,))
    decision = gate.decide(world.settings, PAYMENT_DATE)
    assert [failure.subject for failure in decision.failures] == [MARKS] * len(wanted)
    assert {failure.detail for failure in decision.failures} == {str(PAYMENT_DATE)}


def test_a_query_is_changed_in_nothing_but_its_escapes() -> None:
    text = for_great_expectations("select '{a}:b'")
    assert text == "select '{{a}}\\:b'\n/* {batch} */"


# --- where they are -------------------------------------------------------------------------------


def test_the_wheel_holds_every_check(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    root = pytestconfig.rootpath
    uv = root / ".venv" / "bin" / "uv"
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--offline", "--out-dir", tmp_path, root], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    wanted = {
        f"tieout/expectations/{path.relative_to(EXPECTATIONS_DIR)}": path.read_bytes()
        for path in EXPECTATIONS_DIR.rglob("*")
        if path.suffix in {".sql", ".yml"}
    }
    assert len(wanted) == 1 + sum(len(suite.rules) for suite in ALL_SUITES)
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("tieout/expectations/")}
        assert {name: archive.read(name) for name in wanted if name in held} == wanted


# --- part of the decision -------------------------------------------------------------------------


def test_a_decision_keeps_the_digest_of_each_of_the_gate_s_files(world: World) -> None:
    number = decide(world)
    kept = dict(
        world.rows(
            "select input_key, content from control.gate_decision_inputs"
            " where decision_id = %s and input_kind = 'expectation'",
            (number,),
        )
    )
    files = {f"{suite.name}/{rule.name}" for suite in GATE_SUITES for rule in suite.rules}
    assert len(files) == 10
    assert set(kept) == files
    sha256 = world.value(
        "select encode(sha256(%s), 'hex')", (GATE_EQUATION.rules[0].text.encode(),)
    )
    assert kept[f"gate_equation/{GATE_EQUATION.rules[0].name}"] == sha256


def test_a_decision_does_not_stand_under_other_checks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = decide(world)
    gate.keep_expectations(world.settings)
    assert world.value("select control.changed_gate_inputs_text(%s)", (number,)) is None
    assert world.value("select count(*) from control.gate_expectations") == 1
    first = GATE_EQUATION.rules[0]
    rules = (replace(first, text=first.text + "-- other\n"), *GATE_EQUATION.rules[1:])
    monkeypatch.setattr(
        deciding, "GATE_SUITES", (replace(GATE_EQUATION, rules=rules), *GATE_SUITES[1:])
    )
    gate.keep_expectations(world.settings)
    assert world.value("select control.changed_gate_inputs_text(%s)", (number,)) == (
        f"expectation gate_equation/{first.name} has changed"
    )
