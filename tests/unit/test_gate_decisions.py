"""Decisions of the gate: stored once, standing while nothing changes, released by two people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

import payment_world
from payment_world import PAYMENT_DATE, Finding, World
from tieout import gate, payouts
from tieout.core.errors import TieoutError
from tieout.core.settings import load_settings
from tieout.gate import data_docs
from tieout.gate.expectation_suites import EXPECTATIONS_DIR

SHORT = "update gate.balance_equation set residual_minor = -1, bank_arrival_amount_minor = 35810"


def failure(detail: str = "off by one") -> gate.Failure:
    return gate.Failure("gate_equation", "residual_is_zero", "x", "residual", "-1", "CNY", detail)


def decisions(world: World) -> list[tuple[Any, ...]]:
    return world.rows(
        "select outcome, statements_covered, payout_amount_minor, fingerprint"
        " from control.gate_decisions order by decision_id"
    )


def test_a_passed_decision_covers_the_payable_statements(world: World, finding: Finding) -> None:
    decision = gate.decide(world.settings, PAYMENT_DATE)
    assert decision.passed
    assert decision.is_new
    ((outcome, covered, amount, fingerprint),) = decisions(world)
    assert (outcome, covered, amount) == ("passed", 3, sum(payment_world.PAYOUTS_MINOR))
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint)


@pytest.mark.parametrize("failures", [(), (failure(),)])
def test_the_same_finding_twice_is_one_decision(
    world: World, finding: Finding, failures: tuple[gate.Failure, ...]
) -> None:
    finding.failures = failures
    first = gate.decide(world.settings, PAYMENT_DATE)
    second = gate.decide(world.settings, PAYMENT_DATE)
    assert second.decision_id == first.decision_id
    assert not second.is_new
    assert second.failures == failures
    assert len(decisions(world)) == 1


def test_another_finding_is_another_decision(world: World, finding: Finding) -> None:
    finding.failures = (failure(),)
    gate.decide(world.settings, PAYMENT_DATE)
    finding.failures = (failure("off by two"),)
    gate.decide(world.settings, PAYMENT_DATE)
    finding.failures = ()
    assert gate.decide(world.settings, PAYMENT_DATE).passed
    finding.failures = (failure(),)
    assert not gate.decide(world.settings, PAYMENT_DATE).passed
    assert [row[0] for row in decisions(world)] == ["failed", "failed", "passed", "failed"]
    with pytest.raises(TieoutError, match="may not be paid"):
        payouts.instruct(world.settings, PAYMENT_DATE)


def change_a_payout(world: World) -> None:
    world.execute(
        "update settlement.settlement_statements set payout_amount_minor = payout_amount_minor - 1,"
        " carried_forward_amount_minor = 1 where statement_id = %s",
        (payment_world.statement_id(1),),
    )


def test_changed_statements_are_decided_on_anew(world: World, finding: Finding) -> None:
    first = gate.decide(world.settings, PAYMENT_DATE)
    change_a_payout(world)
    second = gate.decide(world.settings, PAYMENT_DATE)
    assert second.is_new
    assert second.fingerprint != first.fingerprint
    assert second.payout_amount_minor == first.payout_amount_minor - 1


def test_statements_that_change_during_the_check_do_not_pass(
    world: World, finding: Finding
) -> None:
    finding.between = [lambda: change_a_payout(world)]
    decision = gate.decide(world.settings, PAYMENT_DATE)
    assert decision.outcome == "failed"
    assert "changed while they were checked" in str(decision.failures[0])


def test_a_run_that_checked_nothing_does_not_pass() -> None:
    assert not gate.CheckpointResult("gate", PAYMENT_DATE, 0, ()).passed


# --- release --------------------------------------------------------------------------------------


@pytest.fixture
def failed(world: World, finding: Finding) -> World:
    """A world whose gate failed."""
    finding.failures = (failure(),)
    gate.decide(world.settings, PAYMENT_DATE)
    return world


@pytest.mark.parametrize(
    ("first", "second", "reason", "word"),
    [
        ("li", "li", "late line", "two different people"),
        ("li", " LI ", "late line", "two different people"),
        ("li", "", "late line", "nobody is named"),
        ("li", "wang", "  ", "no reason"),
    ],
)
def test_a_release_needs_two_people_and_a_reason(
    failed: World, first: str, second: str, reason: str, word: str
) -> None:
    with pytest.raises(TieoutError, match=word):
        payment_world.release(failed.settings, PAYMENT_DATE, first, second, reason)
    assert len(decisions(failed)) == 1


def test_the_database_refuses_a_release_by_one_person(failed: World) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="two_people"):
        failed.execute(
            "insert into control.gate_decisions (payment_date, outcome, fingerprint,"
            " statements_covered, payout_amount_minor, decided_by, released_by_first,"
            " released_by_second, release_reason)"
            " values (%(day)s, 'released', gate.statement_fingerprint(%(day)s), 3, %(sum)s, 'li',"
            " 'li', 'Li ', 'because')",
            {"day": PAYMENT_DATE, "sum": sum(payment_world.PAYOUTS_MINOR)},
        )


def test_a_released_date_pays_and_keeps_what_failed(failed: World) -> None:
    decision = payment_world.release(
        failed.settings, PAYMENT_DATE, "li", "wang", "line comes tomorrow"
    )
    assert decision.outcome == "released"
    assert decision.failures == (failure(),)
    row = failed.rows(
        "select released_by_first, released_by_second, release_reason"
        " from control.gate_decisions where outcome = 'released'"
    )
    assert row == [("li", "wang", "line comes tomorrow")]
    assert payouts.instruct(failed.settings, PAYMENT_DATE).created_count == 3
    # The gate run again finds the same: the release stands.
    assert gate.decide(failed.settings, PAYMENT_DATE).decision_id == decision.decision_id


def test_a_release_falls_when_something_else_fails(failed: World, finding: Finding) -> None:
    payment_world.release(failed.settings, PAYMENT_DATE, "li", "wang", "line comes tomorrow")
    finding.failures = (failure(), failure("and another"))
    assert gate.decide(failed.settings, PAYMENT_DATE).outcome == "failed"


def test_only_a_failed_gate_is_released(world: World, finding: Finding) -> None:
    with pytest.raises(TieoutError, match="missing"):
        payment_world.release(world.settings, PAYMENT_DATE, "li", "wang", "why not")
    gate.decide(world.settings, PAYMENT_DATE)
    with pytest.raises(TieoutError, match="passed"):
        payment_world.release(world.settings, PAYMENT_DATE, "li", "wang", "why not")


def test_changed_statements_are_not_released(failed: World) -> None:
    change_a_payout(failed)
    with pytest.raises(TieoutError, match="changed since the gate failed"):
        payment_world.release(failed.settings, PAYMENT_DATE, "li", "wang", "line comes tomorrow")


# --- Data Docs ------------------------------------------------------------------------------------

REMOTE = re.compile(r"""(?:src|href|action|data|url\(|@import)\s*=?\s*["'(]?\s*(?:https?:)?//""")


def test_data_docs_load_nothing_and_list_every_validation(world: World) -> None:
    repository = {path: path.read_bytes() for path in EXPECTATIONS_DIR.rglob("*") if path.is_file()}
    assert gate.decide(world.settings, PAYMENT_DATE).passed
    world.execute(SHORT + " where channel = 'unionpay'")
    assert not gate.decide(world.settings, PAYMENT_DATE).passed
    pages = sorted(data_docs.folder(world.settings).rglob("*.html"))
    assert len(pages) >= 1 + 6
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not REMOTE.search(text), page
        assert "<script" not in text, page
        for link in re.findall(r'href="([^"#]+)"', text):
            assert (page.parent / link).exists(), (page, link)
    index = (data_docs.folder(world.settings) / "index.html").read_text(encoding="utf-8")
    assert index.count("<tr>") == 1 + 6
    assert "failed 未通过" in index
    assert "The residual of every arrival group is zero" in index
    assert "passed 通过" in index
    linked = re.findall(r'<a href="([^"]+)">gate_2026-09-28</a>', index)
    assert len(linked) == 6
    shown = [data_docs.folder(world.settings) / link for link in linked]
    assert any("每个到账组的平衡差额为零" in page.read_text(encoding="utf-8") for page in shown)
    assert any("-1" in page.read_text(encoding="utf-8") for page in shown)
    unchanged = {path: path.read_bytes() for path in EXPECTATIONS_DIR.rglob("*") if path.is_file()}
    assert unchanged == repository


@pytest.fixture(scope="module")
def gx_page() -> str:
    """Return a page as the installed Great Expectations makes it, of one result that fails."""
    from great_expectations.core import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
        RunIdentifier,
    )
    from great_expectations.expectations.expectation_configuration import (
        ExpectationConfiguration,
    )
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    result = ExpectationSuiteValidationResult(
        success=False,
        suite_name="gate_equation",
        results=[
            ExpectationValidationResult(
                success=False,
                expectation_config=ExpectationConfiguration(
                    type="expect_column_values_to_be_in_set",
                    kwargs={"column": "residual_minor", "value_set": [0]},
                    description="每个到账组的平衡差额为零",
                ),
                result={"element_count": 1, "unexpected_count": 1},
            )
        ],
        statistics={
            "evaluated_expectations": 1, "successful_expectations": 0,
            "unsuccessful_expectations": 1, "success_percent": 0.0,
        },
        meta={"run_id": RunIdentifier("gate_2026-09-28", "2026-09-28T11:00:00+08:00")},
    )  # fmt: skip
    return str(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result)))


def test_a_page_as_it_is_made_shows_the_same_and_loads_nothing(gx_page: str) -> None:
    assert REMOTE.search(gx_page)
    page = data_docs.offline_page(gx_page, "gate_equation.html")
    assert not REMOTE.search(page)
    assert not re.search(r"<script|<link|<footer|<img|\son[a-z]+=", page)
    assert "每个到账组的平衡差额为零" in page
    assert page.count("fa-times") > gx_page.count("fa-times") > 0  # our style draws it
    assert ">gate_equation</a>" in page
    assert "/expectations/" not in page
    assert page.startswith("<!DOCTYPE html>\n<html>")
    assert page.index("✗ 不成立") < page.index("</head>")
    assert "tieout: no remote content" in page


@pytest.mark.parametrize(
    "remote",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<script>fetch('https://x.example')</script>",
        '<link rel="stylesheet" href="https://cdn.example/x.css">',
        "<link href=//cdn.example/x.css rel=stylesheet>",
        '<img alt="logo" src="https://x.example/logo.png?t=1">',
        "<IMG alt='a > b' SRC = 'HTTPS://x.example/logo.png'>",
        '<img srcset="https://x.example/logo.png 2x">',
        '<style>@import url("https://x.example/a.css"); p { background: url(//x/y.png) }</style>',
        '<p style="background: url(https://x.example/y.png)">p</p>',
        '<iframe src="https://x.example"></iframe>',
        '<object data="https://x.example/x.svg"></object>',
        '<a class="b" href="https://x.example/?utm_source=datadocs">news</a>',
        '<form action="https://x.example"><button formaction="//x.example">b</button></form>',
        "<body onload=\"fetch('https://x.example')\">",
        "<p onclick=\"fetch('https://x.example')\">p</p>",
    ],
)
def test_remote_content_is_stripped(gx_page: str, remote: str) -> None:
    page = gx_page.replace("</body>", f"<p>kept</p>{remote}</body>")
    stripped = data_docs.offline_page(page, "page.html")
    assert not REMOTE.search(stripped)
    assert "x.example" not in stripped
    assert "cdn.example" not in stripped
    assert "<p>kept</p>" in stripped


def test_links_inside_the_site_stay(gx_page: str) -> None:
    local = '<a href="#part">a</a><a href="../index.html">b</a><img src="data:image/png;base64,A">'
    page = data_docs.offline_page(gx_page.replace("</body>", f"{local}</body>"), "page.html")
    assert local in page


@pytest.mark.parametrize(
    ("part", "other", "missing"),
    [
        ("<style", "<stylo", "a head with a style"),
        ("/expectations/", "/suites/", "the link to its suite"),
        ("fa-times", "fa-xmark", "the icon of a result"),
        ("<table", "<div", "a table"),
        ("<footer", "<div", "a footer"),
    ],
)
def test_a_page_of_another_form_is_an_error(
    gx_page: str, part: str, other: str, missing: str
) -> None:
    assert part in gx_page
    with pytest.raises(TieoutError, match=rf"gate_x.html[^$]*lacks {missing}"):
        data_docs.offline_page(gx_page.replace(part, other), "gate_x.html")


@pytest.mark.parametrize("text", ["", "   ", "not a page"])
def test_what_is_no_page_is_an_error(text: str) -> None:
    with pytest.raises(TieoutError, match="not as Great Expectations makes it"):
        data_docs.offline_page(text, "gate_x.html")


def test_only_the_pages_of_the_own_run_are_taken(tmp_path: Path, gx_page: str) -> None:
    settings = load_settings({"TIEOUT_HOME": str(tmp_path)})
    site = data_docs.folder(settings)
    own, others = (
        site / "validations" / "gate_equation" / run / "t" / "x.html"
        for run in ("gate_2026-09-28", "close_2026-09-27")
    )
    for page, text in ((own, gx_page), (others, gx_page[:2000])):  # half of it is written
        page.parent.mkdir(parents=True)
        page.write_text(text, encoding="utf-8")
    data_docs.finish(settings, "gate_2026-09-28")
    assert not REMOTE.search(own.read_text(encoding="utf-8"))
    assert others.read_text(encoding="utf-8") == gx_page[:2000]
    with pytest.raises(TieoutError, match="validations/gate_equation/close_2026-09-27"):
        data_docs.finish(settings)


def test_secrets_are_not_in_the_results(world: World) -> None:
    gate.decide(world.settings, PAYMENT_DATE)
    password = (world.settings.external_database_url or "").split("@")[0].rsplit(":", 1)[-1]
    assert len(password) > 8
    written = [
        path
        for folder in (world.settings.gx_dir, world.settings.docs_dir)
        for path in Path(folder).rglob("*")
        if path.is_file()
    ]
    assert written
    for path in written:
        assert password not in path.read_text(encoding="utf-8", errors="replace"), path
