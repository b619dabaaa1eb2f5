"""Lists for spreadsheet programs: no text runs, every amount is exact, nothing is lost."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text
from tieout.core.spreadsheets import STARTS, csv_text, is_formula_like, visible
from tieout.exports import tables
from tieout.exports.tables import Amount, Column, CsvList, Workbook
from tieout.payouts import statements_csv

DAY = date(2026, 9, 28)
COLUMNS = (
    Column("no", "序号", "count"),
    Column("name", "名称"),
    Column("order_id", "订单号", "id"),
    Column("amount", "金额", "amount"),
)
HOSTILE = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "\u3000＝1",
    "＋1",
    "－1",
    "＠x",
    "a;=1+1",
    'a";"=1',
    "a\t=1",
    "a\n=1",
    "=cmd|' /C calc'!A0",
    'x,=DDE("cmd";"/C calc";"__DdeLink")',
    "\ufeff=1",
    "\u202e=1",
    "\u200b=1",
    "\u2212 1",
    '<r><t>1</t></r></is></c><c r="B9"><f>1+1</f></c><c><is><r><t>x</t></r>',
    "_x003D_1",
    "正常的商户",
    "'",
    "",
)
hostile = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from([*STARTS, ";", ",", "|", '"', "'", "\t", "\r", "\n", " ", "A", "1"])),
    st.text(),
)
QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


# Written out: what the program knows of them is what is tested.
RUN = "=+-@＝＋－＠"


def starts(cell: str) -> bool:
    """Whether a spreadsheet program would run a cell: blanks before it do not stop it."""
    return cell.lstrip()[:1] in set(RUN)


@given(hostile)
@example("=1+1")
def test_no_text_of_a_csv_begins_a_formula_whatever_separates_the_cells(text: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow(["1", csv_text(text), "-0.05", csv_text(text)])
    rows = list(csv.reader(io.StringIO(line.getvalue(), newline="")))
    assert len(rows) == 1, "a text has no line break of its own"
    assert rows[0][1] == rows[0][3]
    assert rows[0][2] == "-0.05"
    for separator in ",;\t|":
        for cell in next(csv.reader(io.StringIO(line.getvalue(), newline=""), delimiter=separator)):
            assert not starts(cell) or cell == "-0.05", (separator, cell)


@given(hostile)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    if not any(letter in text for letter in STARTS):
        assert csv_text(text) == visible(text)
    if text.isprintable() and not is_formula_like(text):
        assert visible(text) == text


def sheet_xml(path: Path) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(path) as archive:
        return archive.read("xl/worksheets/sheet1.xml"), archive.read("xl/styles.xml")


@QUICK
@given(texts=st.lists(hostile, min_size=1, max_size=4))
@example(texts=list(HOSTILE))
def test_no_text_of_a_workbook_is_a_formula(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "hostile.xlsx"
    with Workbook(path, DAY) as book:
        sheet = book.sheet("list", COLUMNS)
        for number, text in enumerate(texts):
            sheet.row(number, text, text, Amount(-5, "CNY"))
    xml, styles = sheet_xml(path)
    root = etree.fromstring(xml)
    assert [node for node in root.iter() if etree.QName(node).localname == "f"] == []
    quoted = {
        index
        for index, style in enumerate(etree.fromstring(styles).find("{*}cellXfs"))
        if style.get("quotePrefix") == "1"
    }
    found = openpyxl.load_workbook(path)["list"]
    assert found.max_row == len(texts) + 1, "no row was added"
    assert found.max_column == len(COLUMNS)
    for row, text in enumerate(texts, start=2):
        cell = found.cell(row, 2)
        assert cell.data_type != "f"
        (raw,) = root.xpath(f"//*[local-name()='c'][@r='B{row}']") or [None]
        if raw is None:
            assert text == ""
            continue
        assert raw.get("t") == "inlineStr"
        assert (int(raw.get("s")) in quoted) == is_formula_like(visible(text))


@QUICK
@given(
    minor=st.integers(-(10**15) + 1, 10**15 - 1),
    currency=st.sampled_from(["CNY", "USD", "JPY", "KWD", "CLF"]),
)
@example(minor=-5, currency="CNY")
@example(minor=10**15 - 1, currency="CNY")
def test_amounts_are_exact_in_both_forms(tmp_path: Path, minor: int, currency: str) -> None:
    """The digits in the file are those of the integer: no float was between."""
    written = tmp_path / "list.csv"
    written.unlink(missing_ok=True)
    with CsvList(written, COLUMNS, for_people=False) as listed:
        listed.row(1, "x", "y", Amount(minor, currency))
    assert (
        written.read_text("utf-8-sig").splitlines()[1] == f"1,x,y,{decimal_text(minor, currency)}"
    )
    path = tmp_path / "list.xlsx"
    with Workbook(path, DAY) as book:
        book.sheet("list", COLUMNS).row(1, "x", "y", Amount(minor, currency))
    (value,) = re.findall(rb'<c r="D2"[^>]*><v>([^<]*)</v>', sheet_xml(path)[0])
    assert value.decode() == decimal_text(minor, currency)


def test_a_workbook_shows_as_many_decimals_as_the_currency_has(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    with Workbook(path, DAY) as book:
        sheet = book.sheet("list", COLUMNS)
        for currency in ("CNY", "JPY", "KWD"):
            sheet.row(1, "x", "y", Amount(1_234_567, currency))
    found = openpyxl.load_workbook(path)["list"]
    assert [found.cell(row, 4).number_format for row in (2, 3, 4)] == [
        "#,##0.00",
        "#,##0",
        "#,##0.000",
    ]
    assert [found.cell(row, 4).value for row in (2, 3, 4)] == [12345.67, 1234567, 1234.567]
    assert found.cell(1, 4).value == "amount 金额"


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a.xlsx", "b.xlsx"):
        with Workbook(tmp_path / name, DAY) as book:
            book.sheet("list", COLUMNS).row(1, "商户", "898310059990001", Amount(5, "CNY"))
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_people_s_ids_keep_their_digits_and_programs_get_them_bare(tmp_path: Path) -> None:
    rows = []
    for for_people in (True, False):
        path = tmp_path / f"{for_people}.csv"
        with CsvList(path, COLUMNS, for_people=for_people) as listed:
            listed.row(1, "商户", "00001001", Amount(5, "CNY"))
        assert path.read_bytes().startswith(b"\xef\xbb\xbf")
        rows.append(path.read_text("utf-8-sig").splitlines())
    assert rows[0] == ["no 序号,name 名称,order_id 订单号,amount 金额", "1,商户,00001001\t,0.05"]
    assert rows[1] == ["no,name,order_id,amount", "1,商户,00001001,0.05"]


def row_of(sheet: Any, text: str = "x", minor: int = 1) -> None:
    sheet.row(1, text, "y", Amount(minor, "CNY"))


def test_what_a_workbook_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SHEET_ROWS_MAX", 3)
    with Workbook(tmp_path / "list.xlsx", DAY) as book:
        sheet = book.sheet("list", COLUMNS)
        with pytest.raises(TieoutError, match="keeps 15 digits"):
            row_of(sheet, minor=10**15)
        with pytest.raises(TieoutError, match="a cell has 32,767"):
            row_of(sheet, text="x" * 32_768)
        row_of(sheet)
        row_of(sheet)
        with pytest.raises(TieoutError, match="a sheet has 3 rows") as refused:
            row_of(sheet)
    assert [path.name for path in tmp_path.iterdir()] == ["list.xlsx"], "nothing waits beside it"
    assert "--format csv" in refused.value.next_step


def test_the_outbox_s_statements_run_no_formula_either() -> None:
    row: list[Any] = ["S1", DAY, "A1", "transaction", 1, [DAY], "net", "CNY", 2, *[-5] * 12]
    row += ["payable", None, "P1", "＝cmd|' /C calc'!A0", "*1234"]
    (_, line) = statements_csv.render([tuple(row)]).decode("utf-8-sig").splitlines()
    assert "'＝cmd" in line
    assert ",-0.05," in line
