"""docs/domain.md is what the code stands on: its anchors are cited, its rules lead somewhere.

The code cites a rule as `docs/domain.md#anchor`. A rule says where it is built, or that it is not
built yet; then decision 0011 says what happens instead.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
DOCS_DIR = PROJECT_DIR / "docs"
DOMAIN = DOCS_DIR / "domain.md"
SEEDS_DIR = PROJECT_DIR / "dbt_project" / "seeds" / "reference"
LATER = DOCS_DIR / "decisions" / "0011-implemented-later.md"
NOT_BUILT = "**Not built yet"

CODE = {
    "plugins": ("*.py", "*.toml", "*.sql"),
    "dbt_project": ("*.sql", "*.yml", "*.csv"),
    "tests": ("*.py",),
    "dags": ("*.py",),
    "bin": ("*",),
}
CITATION = re.compile(r"domain\.md#([a-z0-9-]+)")
# What a reader of this repository does not have.
ELSEWHERE = re.compile(
    r"(?<![\w/-])formats\.md\b|\brulings?(?:-2)?\.md\b|\bmarts\.md\b|\bdomain\.md §|\brulings? \d"
)


def text_of(path: Path) -> str:
    """Return a file's text."""
    return path.read_text(encoding="utf-8")


@cache
def rules() -> dict[str, str]:
    """Return the text of each rule of the page, by its anchor as GitHub makes it."""
    parts = re.split(r"^### (.+)$", text_of(DOMAIN), flags=re.MULTILINE)[1:]
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in parts[::2]]
    assert len(anchors) == len(set(anchors)), "two rules have one anchor"
    return dict(
        zip(
            anchors,
            (part.split("\n## ")[0] for part in parts[1::2]),
            strict=True,
        )
    )


@cache
def code_files() -> tuple[Path, ...]:
    """Return the files of the program, the models and the tests, this one left out."""
    return tuple(
        path
        for folder, patterns in CODE.items()
        for pattern in patterns
        for path in sorted((PROJECT_DIR / folder).rglob(pattern))
        if path.is_file() and path != Path(__file__).resolve() and "__pycache__" not in path.parts
    )


def citations(paths: tuple[Path, ...]) -> list[tuple[str, str]]:
    """Return each citation of a rule, with the file that has it."""
    return [
        (str(path.relative_to(PROJECT_DIR)), anchor)
        for path in paths
        for anchor in CITATION.findall(text_of(path))
    ]


def wrong_citations(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the citations of rules that the page does not have."""
    return [(name, anchor) for name, anchor in found if anchor not in rules()]


def test_cited_rules_exist() -> None:
    documents = (*DOCS_DIR.rglob("*.md"), PROJECT_DIR / "README.md", PROJECT_DIR / "CHANGELOG.md")
    found = citations((*code_files(), *documents))
    assert len(found) >= 60
    assert wrong_citations(found) == []


def test_a_citation_that_leads_nowhere_is_found() -> None:
    assert wrong_citations([("a.sql", "doubt"), ("b.sql", "no-such-rule")]) == [
        ("b.sql", "no-such-rule")
    ]


def test_the_code_cites_its_rules() -> None:
    found = citations(code_files())
    models = {name for name, _ in found if name.startswith("dbt_project/models")}
    assert len(found) >= 30
    assert len(models) >= 20
    assert len({anchor for _, anchor in found}) >= 25


def test_nothing_cites_what_a_reader_does_not_have() -> None:
    paths = (*code_files(), *DOCS_DIR.rglob("*.md"), PROJECT_DIR / "README.md")
    assert len(paths) > 300
    assert ELSEWHERE.search("see rulings.md 13, marts.md") is not None
    assert [
        (str(path.relative_to(PROJECT_DIR)), found[0])
        for path in paths
        if (found := ELSEWHERE.search(text_of(path)))
    ] == []


def is_built(text: str) -> bool:
    """Say whether a rule is built; the words may be broken over two lines."""
    return NOT_BUILT not in " ".join(text.split())


def test_each_rule_is_built_somewhere_or_says_that_it_is_not() -> None:
    assert len(rules()) > 90
    lacking = [
        anchor
        for anchor, text in rules().items()
        if is_built(text) and not re.search(r"^In: .*(\]\(|`)", text, re.MULTILINE)
    ]
    assert lacking == []


def test_what_is_not_built_stands_in_the_list_of_what_waits() -> None:
    not_built = {anchor for anchor, text in rules().items() if not is_built(text)}
    rows = [line for line in text_of(LATER).splitlines() if line.startswith("| ")]
    named = {anchor for row in rows for anchor in CITATION.findall(row.split("|")[1])}
    assert len(not_built) > 10
    assert not_built == named - {"out-of-scope"}


def test_named_checks_of_the_gate_exist() -> None:
    with (SEEDS_DIR / "required_gate_checks.csv").open(encoding="utf-8", newline="") as file:
        known = {row["check_name"] for row in csv.DictReader(file)}
    named = {
        check
        for text in rules().values()
        for sentence in re.findall(r"gate's checks? ((?:`\w+`(?:, | and )?)+)", text)
        for check in re.findall(r"\w+", sentence)
        if check != "and"
    }
    assert len(named) > 10
    assert named - known == set()


def test_the_equation_is_the_one_of_the_architecture_page() -> None:
    block = re.search(r"^    bank_arrival .*?^    = clearing ", text_of(DOMAIN), re.M | re.S)
    assert block is not None
    lines = [line.strip().removeprefix("= ") for line in block[0].splitlines()]
    here = [
        (("−" if line.startswith("−") else "+"), re.findall(r"[a-z_]{5,}", line)[0])
        for line in lines
    ]
    rows = re.findall(
        r"^\| `([a-z_]+)` [^|]*\| ([+−]) \|",
        text_of(DOCS_DIR / "architecture.md"),
        re.MULTILINE,
    )
    # There the last term is on the left side, too.
    there = [(sign, term) for term, sign in rows[:-1]] + [("+", rows[-1][0])]
    assert len(here) == 12
    assert here == there


def test_accounts_of_the_events_are_in_the_chart() -> None:
    with (SEEDS_DIR / "chart_of_accounts.csv").open(encoding="utf-8", newline="") as file:
        chart = {row["ledger_account"] for row in csv.DictReader(file)}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in rules()["events"].splitlines()
        if line.startswith("| ") and not line.startswith("| event")
    ]
    accounts = {name for row in rows for cell in row[2:] for name in re.findall(r"`(\w+)`", cell)}
    assert len(rows) > 20
    assert len(accounts) > 15
    assert accounts - chart == set()


def test_each_term_has_its_chinese_word() -> None:
    glossary = text_of(DOCS_DIR / "glossary.md")
    rows = re.findall(r"^\| ([^|`]+) \| `(\w+)` \|", glossary, re.MULTILINE)
    assert len(rows) > 60
    page = text_of(DOMAIN)
    lacking = [token for chinese, token in rows if token in page and chinese.strip() not in page]
    assert lacking == []
