"""Lists as CSV and XLSX: amounts exact, texts that cannot run, rows written one by one.

Amounts are integers of minor units. In CSV they are decimal text. In XLSX they are numbers whose
digits are written from the integer; a spreadsheet keeps 15 of them, so a longer one is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

import xlsxwriter

from tieout.core.errors import TieoutError
from tieout.core.money import decimal_text, decimals_of
from tieout.core.spreadsheets import csv_text, is_formula_like, visible

__all__ = ["Amount", "Cell", "Column", "CsvList", "Rows", "Workbook"]

# What Excel, WPS and LibreOffice keep of a number, and the rows of a sheet.
DIGITS_MAX: Final = 15
SHEET_ROWS_MAX: Final = 1_048_576
_WIDTHS: Final = {"text": 18, "id": 26, "amount": 16, "count": 10, "date": 12}


class Amount(NamedTuple):
    """Minor units and their currency."""

    minor: int
    currency_code: str


Cell = str | int | date | Amount | None


@dataclass(frozen=True)
class Column:
    """A column: its name for programs, its Chinese heading, and what stands in it.

    An ``id`` is text that may look like a number: 898310059990001, 00001001.
    """

    name: str
    heading_zh: str
    kind: Literal["text", "id", "amount", "count", "date"] = "text"

    @property
    def heading(self) -> str:
        """Both names, as the first row shows them."""
        return f"{self.name} {self.heading_zh}"


class Rows(Protocol):
    """Somewhere rows go, one after the other."""

    def row(self, *cells: Cell) -> None:
        """Write the next row, a cell a column."""


class CsvList:
    """One list as CSV: UTF-8 with a byte-order mark, so that Excel reads Chinese right.

    Where people open it (``for_people``), the headings are bilingual and an id ends in a tab: a
    spreadsheet then keeps all its digits, as with Alipay's bills. Else the first row has the
    columns' names, and each value is as it is.
    """

    def __init__(self, path: Path, columns: Sequence[Column], *, for_people: bool) -> None:
        """Open the file, which must not exist, and write the headings."""
        self._columns = columns
        self._keeps_digits = for_people
        self._file = path.open("x", encoding="utf-8-sig", newline="")
        self._writer = csv.writer(self._file, lineterminator="\r\n")
        self._writer.writerow(
            column.heading if for_people else column.name for column in self._columns
        )

    def row(self, *cells: Cell) -> None:
        """Write the next row, a cell a column."""
        self._writer.writerow(
            self._text(column, cell) for column, cell in zip(self._columns, cells, strict=True)
        )

    def __enter__(self) -> CsvList:
        """Use the file in a block, at whose end it is closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file."""
        self._file.close()

    def _text(self, column: Column, cell: Cell) -> str:
        if cell is None:
            return ""
        if isinstance(cell, Amount):
            return decimal_text(*cell)
        if isinstance(cell, date):
            return cell.isoformat()
        if isinstance(cell, int):
            return str(cell)
        text = csv_text(cell)
        return f"{text}\t" if column.kind == "id" and self._keeps_digits and text else text


class Workbook:
    """A workbook as XLSX, written row by row; no row is kept. The same rows give the same bytes."""

    def __init__(self, path: Path, made_on: date) -> None:
        """Open the file; ``made_on`` is the day it says it is of."""
        self._path = path
        self._book: Any = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                # Rows wait there for their sheet; with whoever removes the folder they are gone.
                "tmpdir": str(path.parent),
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        self._book.set_properties({"created": datetime(made_on.year, made_on.month, made_on.day)})  # noqa: DTZ001  the library takes no zone
        self._heading = self._book.add_format({"bold": True, "bottom": 1})
        self._text = self._book.add_format({"num_format": "@"})
        # As if an apostrophe had been typed: editing the cell does not make it a formula either.
        self._quoted = self._book.add_format({"num_format": "@", "quote_prefix": True})
        self._count = self._book.add_format({"num_format": "0"})
        self._amounts: dict[int, Any] = {}

    def sheet(self, title: str, columns: Sequence[Column]) -> Rows:
        """Add a sheet with its headings; sheets stand in the order in which they are added."""
        return _Sheet(self, self._book.add_worksheet(title), title, columns)

    def __enter__(self) -> Workbook:
        """Use the workbook in a block, at whose end it is written."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the file; what waited for it is gone."""
        self._book.close()

    def write(self, sheet: Any, row: int, column: int, cell: Cell) -> None:
        """Write a cell; texts and dates as explicit strings."""
        if cell is None:
            return
        if isinstance(cell, Amount):
            decimals = decimals_of(cell.currency_code)
            sheet.write_number(row, column, self._number(cell), self._amount_format(decimals))
        elif isinstance(cell, int):
            sheet.write_number(row, column, self._number(Amount(cell, "")), self._count)
        else:
            text = _plain(cell) if isinstance(cell, str) else cell.isoformat()
            cell_format = self._quoted if is_formula_like(text) else self._text
            if sheet.write_string(row, column, text, cell_format) != 0:
                raise self._refused(f"a text of {len(text):,} characters", "a cell has 32,767")

    def write_heading(self, sheet: Any, column: int, text: str, width: int) -> None:
        """Write a heading and set its column's width."""
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, text, self._heading)

    def too_long(self, title: str) -> TieoutError:
        """Return the error of a sheet without room for another row."""
        return self._refused(f"sheet {title!r}", f"a sheet has {SHEET_ROWS_MAX:,} rows")

    def _number(self, amount: Amount) -> Decimal:
        if len(str(abs(amount.minor))) > DIGITS_MAX:
            raise self._refused(
                f"{amount.minor} minor units",
                f"a spreadsheet keeps {DIGITS_MAX} digits of a number",
            )
        decimals = decimals_of(amount.currency_code) if amount.currency_code else 0
        return Decimal(amount.minor).scaleb(-decimals)

    def _amount_format(self, decimals: int) -> Any:
        if decimals not in self._amounts:
            shown = "#,##0" + ("." + "0" * decimals if decimals else "")
            self._amounts[decimals] = self._book.add_format({"num_format": shown})
        return self._amounts[decimals]

    def _refused(self, what: str, why: str) -> TieoutError:
        return TieoutError(
            what=f"{what} does not fit into a workbook",
            where=self._path.name,
            why=why,
            next_step="export it with --format csv, which has no such limit",
        )


def _plain(text: str) -> str:
    """Return a text that the library writes as text: one in <r>…</r> it takes for its own XML."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith("<r>") and shown.endswith("</r>") else shown


class _Sheet:
    """One sheet of a workbook."""

    def __init__(self, book: Workbook, sheet: Any, title: str, columns: Sequence[Column]) -> None:
        self._book, self._sheet, self._title, self._columns = book, sheet, title, columns
        self._next_row = 1
        sheet.freeze_panes(1, 0)
        for number, column in enumerate(columns):
            width = max(_WIDTHS[column.kind], len(column.heading) + 4)
            book.write_heading(sheet, number, column.heading, width)

    def row(self, *cells: Cell) -> None:
        """Write the next row, a cell a column."""
        if self._next_row >= SHEET_ROWS_MAX:
            raise self._book.too_long(self._title)
        for number, (_, cell) in enumerate(zip(self._columns, cells, strict=True)):
            self._book.write(self._sheet, self._next_row, number, cell)
        self._next_row += 1
