"""Each decision says what it is, and what would change it."""

from __future__ import annotations

import re
from pathlib import Path

DECISIONS_DIR = Path(__file__).resolve().parents[2] / "docs" / "decisions"
MIND = "**What would change our mind.** "


def decisions() -> dict[str, str]:
    """Return the decisions' texts by name."""
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(DECISIONS_DIR.glob("[0-9]*.md"))
    }


def minds() -> dict[str, str]:
    """Return what would change each decision: the last part of its page, in one line."""
    return {
        name: " ".join(text.partition(MIND)[2].split())
        for name, text in decisions().items()
        if text.count(MIND) == 1
    }


def test_each_decision_says_once_what_would_change_it() -> None:
    assert len(decisions()) > 50
    assert set(decisions()) - set(minds()) == set()


def test_it_is_a_sentence_or_two_of_its_own() -> None:
    for name, words in minds().items():
        assert words[0].isupper() or words.startswith("dbt"), name
        assert words.endswith("."), name
        assert 60 <= len(words) <= 700, (name, len(words))
    sentences = [one for words in minds().values() for one in re.split(r"(?<=\.) ", words)]
    assert len(sentences) > 60
    assert sorted(one for one in set(sentences) if sentences.count(one) > 1) == []


def test_it_is_the_end_of_the_page() -> None:
    """What stands behind it would be read as a part of it."""
    assert minds()
    for name, text in decisions().items():
        assert "\n\n" not in text.partition(MIND)[2].strip(), name


def test_each_decision_has_a_status_and_says_what_is_decided() -> None:
    for name, text in decisions().items():
        assert re.search(r"^Status: \w", text, re.MULTILINE), name
        # The list of what waits is its own decision.
        assert name.startswith("0011") or "**Decision.**" in text, name


def test_the_readme_shows_the_form() -> None:
    form = (DECISIONS_DIR / "README.md").read_text(encoding="utf-8")
    for part in ("Status: ", "**Context.**", "**Decision.**", "**Consequences.**", MIND.strip()):
        assert part in form
