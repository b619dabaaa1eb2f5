"""Whatever the bytes are, a parser gives back rows or reasons, and shows no card number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from random import Random
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import channel_files as make
import fuzzing
from parts import examples
from tieout.channels import registry
from tieout.channels.common.model import Frames, Parser
from tieout.channels.unionpay.acomn import AcomnReading
from tieout.core.settings import PROJECT_DIR

CORPUS = PROJECT_DIR / "tests" / "corpus"
ACOMN = "IND26092401ACOMN"


def test_every_parser_has_a_seed() -> None:
    recognised = [registry.recognise(seed.file_name) for seed in fuzzing.seeds()]
    assert None not in recognised
    seeded = {_reading_of(one.parser) for one in recognised if one}
    missing = {
        f"{pattern.channel} {pattern.file_kind}"
        for pattern in registry._PATTERNS
        if _reading_of(pattern.parser) not in seeded
    }
    assert not missing
    assert len(registry._PATTERNS) > 20


def _reading_of(parser: Any) -> type:
    """Return the class that reads a format, below what its parser adds to it."""
    while isinstance(parser, partial):
        parser = parser.args[0] if parser.args else parser.func
    assert isinstance(parser, type)
    return parser


def test_good_seeds_are_accepted() -> None:
    names = {seed.file_name for seed in fuzzing.seeds()}
    accepted = {
        seed.file_name
        for seed in fuzzing.seeds()
        if fuzzing.examined(seed.file_name, seed.pack(seed.text)) == "accepted"
    }
    assert names == accepted


def test_the_corpus_ends_as_it_did() -> None:
    outcomes = fuzzing.corpus_outcomes(CORPUS)
    assert len(outcomes) > 100
    assert outcomes == fuzzing.written_outcomes(CORPUS), (
        "where a parser was changed on purpose: look at each, then "
        'python -c \'import sys; sys.path.insert(0, "tests"); import fuzzing, pathlib; '
        'fuzzing.write_outcomes(pathlib.Path("tests/corpus"))\''
    )


@pytest.mark.parametrize("file_name", sorted({seed.file_name for seed in fuzzing.seeds()}))
def test_a_changed_file_is_accepted_or_refused(file_name: str) -> None:
    pool = [seed for seed in fuzzing.seeds() if seed.file_name == file_name]
    texts = [seed.text for seed in fuzzing.seeds()]

    @hypothesis_settings(
        deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck)
    )
    @given(seed=st.sampled_from(pool), random=st.randoms(use_true_random=False))
    def check(seed: fuzzing.Seed, random: Random) -> None:
        fuzzing.examined(seed.file_name, fuzzing.mutated(random, seed, texts))

    check()


@hypothesis_settings(deadline=None, max_examples=examples(100))
@given(content=st.binary(max_size=600), seed=st.sampled_from(fuzzing.seeds()))
def test_any_bytes_are_accepted_or_refused(content: bytes, seed: fuzzing.Seed) -> None:
    fuzzing.examined(seed.file_name, content)


def _broken(fault: Mapping[str, object]) -> Parser:
    """Return a parser of ACOMN that fails, or changes what it gives."""

    class Broken(AcomnReading):
        def blocks(self, stream: IO[bytes]) -> Iterator[Frames]:
            for frames in super().blocks(stream):
                if "error" in fault:
                    raise KeyError("card 6216261000000000018")
                yield {
                    table: frame.with_columns(**fault)  # type: ignore[arg-type]
                    for table, frame in frames.items()
                }

    return Broken


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"error": True}, "KeyError"),
        ({"line_number": None}, "unionpay_acomn"),
        ({"amount_minor": 1.5}, "a float near money"),
        ({"remark": make.CARD}, "a card number in the clear"),
        ({"remark": f";{make.CARD}=3012201?"}, "a card number in the clear"),
        ({"remark": "a\x00b"}, "no NUL"),
    ],
    ids=str,
)
def test_a_fault_of_a_parser_is_seen(
    fault: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the checks are for: each is seen failing on a parser that breaks it."""
    import polars as pl

    literals = {
        name: value if name == "error" else pl.lit(value, dtype=pl.Int32 if value is None else None)
        for name, value in fault.items()
    }
    recognised = registry.recognise(ACOMN)
    assert recognised is not None
    broken = registry.RecognisedFile(
        ACOMN, recognised.channel, recognised.file_kind, recognised.accounting_date,
        _broken(literals),
    )  # fmt: skip
    monkeypatch.setattr(fuzzing, "recognise", lambda _name: broken)
    monkeypatch.setattr(registry, "guarded", lambda frames, _vault: (frames, ()))
    with pytest.raises(AssertionError, match=message):
        fuzzing.examined(ACOMN, make.acomn())


def test_an_input_that_reaches_new_lines_is_told_from_one_that_does_not() -> None:
    def steps(content: bytes) -> set[tuple[str, int, int]]:
        with fuzzing.reached() as arcs:
            fuzzing.examined(ACOMN, content)
        return arcs

    good, again, bad = steps(make.acomn()), steps(make.acomn()), steps(make.acomn()[:-9])
    assert good
    assert again <= good
    assert not bad <= good
