"""One more character in any value of a bank's file: it is refused, or the value is another one.

Never the rows of before: a value that is cut where its pattern ends agrees with a balance that is
cut in the same way. What may stay as it was is a value in another legal form (0100,00; +1.50),
which is said by a reading of its own here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import bank_files as bank
import channel_files as make
from parts import examples
from tieout.channels.common.model import ParsedFile
from tieout.channels.registry import parse_file, recognise

# What a spreadsheet, a person or another country's bank puts into a value; and a few digits.
# The last two are blanks of typesetting, which no format pads with.
SEPARATORS = ",.-/ \u00a0\u3000"
CHARACTERS = "019.,-+ '/:_CDXYaé０元\t\n\"&?#"


@dataclass(frozen=True)
class Value:
    """One value of a good file: what it is, and where in the text it stands."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Form:
    """A good file, its values, and how its amounts may be written otherwise."""

    file_name: str
    encoding: str
    text: str
    values: tuple[Value, ...]
    decimal_of: Callable[[str], Decimal | None]
    # What parts a value from the next: at its ends it is none of it.
    separators: str = " \t\n"

    @cached_property
    def rows(self) -> dict[str, object]:
        """Return the good file's rows."""
        good = self.parsed(self.text)
        assert good.is_good, (good.bad_rows, good.totals)
        return _rows(good)

    def parsed(self, text: str) -> ParsedFile:
        """Return what becomes of a text under the file's name."""
        recognised = recognise(self.file_name)
        assert recognised is not None
        return parse_file(text.encode(self.encoding, "replace"), recognised, make.FakeVault())


def _values(text: str, **patterns: str) -> tuple[Value, ...]:
    """Return the spans of the group of each pattern; `amount_balance` is an amount too."""
    found = [
        Value(name.partition("_")[0], *match.span(match.lastindex or 0))
        for name, pattern in patterns.items()
        for match in re.finditer(pattern, text)
    ]
    kinds = Counter(value.kind for value in found)
    assert {name.partition("_")[0] for name in patterns} == kinds.keys()
    return tuple(found)


def _decimal(pattern: str) -> Callable[[str], Decimal | None]:
    def read(text: str) -> Decimal | None:
        match = re.fullmatch(pattern, text.strip(" \t\n"), re.ASCII)
        return Decimal(match[0].replace(",", ".")) if match else None

    return read


def _grouped(text: str) -> Decimal | None:
    plain = text.strip(" \t\n")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", plain, re.ASCII):
        plain = plain.replace(",", "")
    return Decimal(plain) if re.fullmatch(r"[+-]?\d+(\.\d*)?", plain, re.ASCII) else None


MT940 = f"""\
:20:2026092400007
:25:{make.BANK_ACCOUNT}
:28C:7/1
:60F:C260923CNY1000,50
:61:2609240924D200,25NTRFNONREF//B2026092401
:86:166?00PAID?20EREF+20260924-A000003-T1-CNY-1?21SVWZ+rent?31{bank.PAYEE_ACCOUNT}?32Li Lei
:61:2609240924C1500,00NTRFOWN77
:86:106?00SETTLED?20UPSETTLE 20260924
:62F:C260924CNY2300,25
-
"""
CSV = bank.bank_statement(encoding="utf-8").decode()
CAMT_053 = bank.document(
    bank.stmt(
        bank.bal("OPBD", "100.00")
        + bank.bal("CLBD", "60.50")
        + bank.ntry("30.00", inside="<AcctSvcrRef>R1</AcctSvcrRef>")
        + bank.ntry(
            "69.50",
            "DBIT",
            inside="<ValDt><Dt>2026-09-25</Dt></ValDt>"
            + bank.code("OTHR")
            + bank.batch(
                bank.detail("69.50", reference="20260924-A1", inside=bank.PARTIES), count="1"
            ),
        )
    )
).decode()
CAMT_054 = bank.notification().decode()
_XML_VALUES = {
    "amount": r"<Amt Ccy=\"CNY\">([^<]*)<",
    "date": r"<Dt>(\d[^<]*)<",
    "code": r"<(?:Sts|CdtDbtInd|Cd|SubFmlyCd)>([^<]*)<",
    "code_currency": r"Ccy=\"([^\"]*)\"",
    "id": r"<Id>(\w[^<]*)<",
    "id_end": r"<EndToEndId>([^<]*)<",
}
FORMS = {
    "MT940": Form(
        f"mt940_{make.BANK_ACCOUNT}_20260924_7.sta",
        "utf-8",
        MT940,
        _values(
            MT940,
            amount=r":61:\d{10}[CD]([\d,]+)",
            amount_balance=r":6[02]F:[CD]\d{6}CNY([\d,]+)",
            date=r":61:(\d{10})",
            date_balance=r":6[02]F:[CD](\d{6})",
            code=r":6[02]F:([CD])",
            code_mark=r":61:\d{10}([CD])",
            code_type=r",\d+(NTRF)",
            code_currency=r":6[02]F:[CD]\d{6}(CNY)",
            id=r":2[05]:(\S+)",
            id_reference=r"//(B\d+)",
            id_own=r"NTRF(OWN77)",
            id_number=r":28C:(\S+)",
            id_end=r"EREF\+([\w-]+)",
            id_account=r"\?31(\d+)",
        ),
        _decimal(r"\d+(?:[,.]\d*)?"),
    ),
    "bank CSV": Form(
        f"bankcsv_{make.BANK_ACCOUNT}_20260924_1.csv",
        "utf-8",
        CSV,
        _values(
            CSV,
            amount=r",\"?((?:1,500|200|10|-10)\.[05]0)\"?,",
            amount_balance=r",\"?((?:2,500|2299|2500|2490)\.[05]0)\"?,",
            amount_fact=r"余额：,\"([\d,.]+)\"|金额：,([\d.]+)",
            date=r"(?m)^(2\d{3}-?\d{2}-?\d{2}),T",
            date_fact=r"截止日期：(\d+)",
            code=r"币种：,(人民币)",
            id=r"账号：,(\d+)",
            id_reference=r",(T\d),",
            id_end=r",(20260923-A000003-T1-CNY-1)",
            id_count=r"笔数：,(\d)",
        ),
        _grouped,
        " \t\n,:",
    ),
    "camt.053": Form(
        f"camt053_{make.BANK_ACCOUNT}_20260924_1.xml",
        "utf-8",
        CAMT_053,
        _values(CAMT_053, id_number=r"<ElctrncSeqNb>([^<]*)<", **_XML_VALUES),
        _decimal(r"[+]?(?=[.]?\d)\d*[.]?\d*"),
    ),
    "camt.054": Form(
        f"camt054_{make.BANK_ACCOUNT}_20260924_1.xml",
        "utf-8",
        CAMT_054,
        _values(CAMT_054, **_XML_VALUES),
        _decimal(r"[+]?(?=[.]?\d)\d*[.]?\d*"),
    ),
}


def outcome(form: Form, value: Value, position: int, character: str) -> str:
    """Return refused, another value or the same in another form; anything else is a failure."""
    at = value.start + position
    text = form.text[:at] + character + form.text[at:]
    after = form.parsed(text)
    if not after.is_good:
        return "refused"
    if form.rows != _rows(after):
        return "another value"
    written = form.text[value.start : value.end]
    changed = text[value.start : value.end + len(character)]
    assert _is_the_same(form, value.kind, written, changed), (
        f"{value.kind} {written!r} became {changed!r}, and the rows are those of before"
    )
    return "the same in another form"


def _rows(parsed: ParsedFile) -> dict[str, object]:
    return {table: frame.to_dicts() for table, frame in parsed.frames.items()}


def _is_the_same(form: Form, kind: str, written: str, changed: str) -> bool:
    if form.file_name.endswith(".csv"):
        # What some banks write before a number, so that a spreadsheet does not count with it.
        changed = changed.removeprefix("`")
    if changed.strip(form.separators) == written:
        return True
    if kind == "amount":
        # The letter of the currency before an amount of MT940 says nothing new.
        changed = changed.removeprefix("Y") if form.file_name.endswith(".sta") else changed
        return form.decimal_of(changed) is not None and form.decimal_of(changed) == form.decimal_of(
            written
        )
    if kind == "date":
        # An offset does not change the day of an xs:date.
        return changed == f"{written}Z"
    if kind == "code":
        # Another word of the bank's for it; a zero before the amount behind it; or the letter of
        # the currency that may stand there.
        is_short = len(written) in {1, 3} and form.file_name.endswith(".sta")
        return changed == "人民币元" or (is_short and changed in {f"{written}0", f"{written}Y"})
    numbers, others = written.split("/"), changed.removeprefix("+").split("/")
    return all(part.isdigit() for part in (*numbers, *others)) and [*map(int, numbers)] == [
        *map(int, others)
    ]


def _places(form: Form) -> list[tuple[Value, int]]:
    return [
        (value, position)
        for value in form.values
        for position in range(value.end - value.start + 1)
    ]


@pytest.mark.parametrize("name", FORMS)
def test_a_separator_anywhere_is_refused_or_kept(name: str) -> None:
    """Those that part thousands, decimals, dates and ids, at every place of every value.

    Of the seven the option's share at each place, the next ones at the next.
    """
    form = FORMS[name]
    each = -(-examples(100) * len(SEPARATORS) // 100)
    found = Counter(
        (value.kind, outcome(form, value, position, SEPARATORS[(place + step) % len(SEPARATORS)]))
        for place, (value, position) in enumerate(_places(form))
        for step in range(each)
    )
    assert found.total() > examples(500)
    assert found["amount", "refused"] > 3 * found["amount", "the same in another form"]
    assert found["date", "refused"] > 0
    assert found["id", "another value"] > 0


@pytest.mark.parametrize("name", FORMS)
@hypothesis_settings(deadline=None, max_examples=examples(300))
@given(data=st.data())
def test_one_more_character_is_refused_or_kept(name: str, data: st.DataObject) -> None:
    form = FORMS[name]
    value, position = data.draw(st.sampled_from(_places(form)))
    character = data.draw(
        st.one_of(
            st.sampled_from(CHARACTERS),
            st.characters(exclude_categories=["Cs", "Cc"]),
        )
    )
    outcome(form, value, position, character)
