"""Rows of a bank's CSV, column by column: amounts, balances, dates, and what people may see."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache

import polars as pl

from tieout.channels.bank.bank_csv_layouts import Layout
from tieout.channels.bank.bank_csv_survey import Record, Survey
from tieout.channels.bank.texts import counterparty_shown, remittance_shown
from tieout.channels.common.amounts import minor_units, minor_units_of
from tieout.channels.common.excerpts import masked_excerpt
from tieout.channels.common.model import BlockFindings, Vault

__all__ = ["BlockOfRows", "amount_of", "date_of", "dates_of", "no_amount", "no_date"]

_GROUPED = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$"
_GROUPED_AMOUNT = re.compile(_GROUPED)
_NO_AMOUNT = ("", "-", "--")
# An id inside a longer token is not that id.
_ID_CHARACTERS = "0-9A-Za-z_-"


class BlockOfRows:
    """Some rows of the list. What cannot be read of a column is flagged when it is asked for."""

    def __init__(self, survey: Survey, rows: Sequence[Record]) -> None:
        self.line_numbers = [line_number for line_number, _ in rows]
        self._layout = survey.layout
        self._frame = pl.DataFrame(
            {
                name: pl.Series(name, [cells[position] for _, cells in rows], dtype=pl.String)
                for name, position in survey.positions.items()
            }
        )

    def _column(self, name: str) -> pl.Series:
        """Return a column of text, blank where the file has none."""
        if name in self._frame.columns:
            return self._frame[name]
        return pl.Series(name, [""] * len(self.line_numbers), dtype=pl.String)

    # --- amounts and balances ---

    def sides(self, exponent: int, findings: BlockFindings) -> tuple[pl.Series, pl.Series]:
        """Return debits and credits; a line has one, not zero, on one side.

        A negative number on a side (红字) lowers it.
        """
        if "amount" in self._frame.columns:
            return self._sides_of_one_column(exponent, findings)
        debit = self._minor("debit_amount", exponent, findings).fill_null(0)
        credit = self._minor("credit_amount", exponent, findings).fill_null(0)
        findings.flag(
            (debit != 0) == (credit != 0), "amount", "not_an_amount",
            "a line has an amount in one of the columns of debits and credits, and only there",
        )  # fmt: skip
        return debit, credit

    def _sides_of_one_column(
        self, exponent: int, findings: BlockFindings
    ) -> tuple[pl.Series, pl.Series]:
        amounts = self._minor("amount", exponent, findings).fill_null(0)
        findings.flag(amounts == 0, "amount", "not_an_amount", "a line has to have an amount")
        if not self._has_marks():
            return -amounts.clip(upper_bound=0), amounts.clip(0)
        marks = self._layout.marks
        signs = self._frame["mark"].replace_strict(
            list(marks), list(marks.values()), default=None, return_dtype=pl.Int64
        )
        findings.flag(
            signs.is_null(), "mark", "unknown_code", "it is no mark of a debit or a credit"
        )
        signs = signs.fill_null(0)
        return amounts * (signs < 0), amounts * (signs > 0)

    def _minor(self, name: str, exponent: int, findings: BlockFindings) -> pl.Series:
        """Return a column of amounts; blank is NULL, what is none is flagged."""
        cells = self._column(name)
        plain = (
            pl.when(pl.col(name).str.contains(_GROUPED))
            .then(pl.col(name).str.replace_all(",", "", literal=True))
            .otherwise(pl.col(name))
        )
        read = cells.to_frame(name).select(minor_units(plain, exponent=exponent)).to_series()
        bad = read.is_null() & ~cells.is_in(list(_NO_AMOUNT))
        findings.flag(
            bad, name, "not_an_amount", lambda position: no_amount(cells[position], exponent)
        )
        return read

    def balances(self, exponent: int, findings: BlockFindings) -> pl.Series | None:
        """Return the balance behind each line; None where the file has none."""
        if "balance" not in self._frame.columns:
            return None
        balances = self._minor("balance", exponent, findings)
        blank = self._frame["balance"].is_in(list(_NO_AMOUNT))
        findings.flag(blank, "balance", "missing_value", "a line has to have its balance")
        return balances

    # --- dates ---

    def dates(self, name: str, findings: BlockFindings) -> pl.Series:
        """Return a column of dates; blank is NULL, what is none is flagged."""
        cells = self._column(name)
        read = dates_of(cells, self._layout)
        bad = read.is_null() if name == "booking_date" else read.is_null() & (cells != "")
        findings.flag(
            bad, name, "not_a_date", lambda position: no_date(cells[position], self._layout)
        )
        return read

    # --- texts ---

    def lines(
        self, amounts: pl.Series, booking_dates: pl.Series, value_dates: pl.Series, vault: Vault
    ) -> pl.DataFrame:
        """Return what is of the lines themselves, and not of their statement."""
        layout = self._layout
        frame = pl.DataFrame(
            {
                "line_number": pl.Series(self.line_numbers, dtype=pl.Int32),
                "booking_date": booking_dates,
                "value_date": value_dates,
                "amount_minor": amounts,
                "entry_reference": self._column("entry_reference"),
                "summary": self._column("summary"),
                "remittance": self._column("remittance_text"),
                "name": self._column("counterparty_name"),
                "account": self._column("counterparty_account"),
            }
        )
        # On a line each, so that ^ and $ stand for the ends of either.
        text = pl.concat_str(["summary", "remittance"], separator="\n")
        is_return = text.str.contains(f"(?m){layout.return_pattern}")
        pattern = layout.end_to_end_pattern
        begins, ends = f"(?:^|[^{_ID_CHARACTERS}])", f"(?:$|[^{_ID_CHARACTERS}])"
        identifier = text.str.extract(f"(?m){begins}({pattern}){ends}", 1)
        is_payout = (pl.col("amount_minor") < 0) & (
            text.str.contains(pattern) | text.str.contains(f"(?m){layout.payout_pattern}")
        )
        is_person = (pl.col("name") != "") & ~pl.col("name").str.contains(
            layout.organisation_pattern
        )
        frame = frame.with_columns(
            is_return.alias("is_return"),
            identifier.alias("end_to_end_id"),
            (is_return | is_payout).alias("is_payee"),
            is_person.alias("is_person"),
            self._is_reversal().alias("is_reversal"),
        )
        people = (frame["is_payee"] | frame["is_person"]).to_list()
        masked = [
            counterparty_shown(name or None, is_payee=is_payee)
            for name, is_payee in zip(frame["name"], people, strict=True)
        ]
        remittance, summary = (
            [
                remittance_shown(cell or None, is_payee=is_payee)
                for cell, is_payee in zip(frame[column], people, strict=True)
            ]
            for column in ("remittance", "summary")
        )
        texts = [own or other for own, other in zip(remittance, summary, strict=True)]
        return frame.with_columns(
            pl.lit(None, dtype=pl.Int64).alias("charge_amount_minor"),
            pl.Series("counterparty_name", masked, dtype=pl.String),
            _account_tokens(frame["account"], vault),
            pl.Series("remittance_text", texts, dtype=pl.String),
            pl.lit(None, dtype=pl.String).alias("batch_message_id"),
            pl.lit(0, dtype=pl.Int32).alias("detail_count"),
            _blank_as_null("entry_reference"),
            pl.Series("bank_transaction_code", summary, dtype=pl.String),
        )

    def _is_reversal(self) -> pl.Series:
        """Say where a negative number stands on a side of its own (红字): it takes back."""
        sided = ["debit_amount", "credit_amount", *(["amount"] if self._has_marks() else [])]
        found = pl.Series([False] * len(self._frame), dtype=pl.Boolean)
        for name in sided:
            cells = self._column(name)
            found |= cells.str.starts_with("-") & ~cells.is_in(list(_NO_AMOUNT))
        return found

    def _has_marks(self) -> bool:
        return "mark" in self._frame.columns


def _account_tokens(accounts: pl.Series, vault: Vault) -> pl.Series:
    """Return one token an account number, NULL for blank."""
    given = sorted(set(accounts.to_list()) - {""})
    tokens = vault.account_tokens(given)
    return accounts.replace_strict(given, tokens, default=None, return_dtype=pl.String).alias(
        "counterparty_account_token"
    )


def _blank_as_null(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name)).otherwise(None).alias(name)


# --- values ---------------------------------------------------------------------------------------


def amount_of(text: str, exponent: int) -> int | None:
    """Return an amount in minor units, or None where it is not exact."""
    plain = text.replace(",", "") if _GROUPED_AMOUNT.match(text) else text
    return minor_units_of(plain, exponent=exponent)


def no_amount(text: str, exponent: int) -> str:
    """Say that a text is no amount, and the form it has to have."""
    return (
        f"'{masked_excerpt(text)}' is no exact amount; it has to be digits, a point and at most "
        f"{exponent} decimals that are not 0, with commas between thousands or none"
    )


@cache
def _pattern_of(form: str) -> str:
    """Return the pattern of a date's form; between separators a month or day may have one digit."""
    is_separated = re.search(r"%[A-Za-z]%[A-Za-z]", form) is None
    short = "[0-9]{1,2}" if is_separated else "[0-9]{2}"
    digits = {"%Y": "[0-9]{4}", "%m": short, "%d": short}
    parts = re.split(r"(%[A-Za-z])", form)
    return "".join(
        (digits.get(part, "[0-9]{2}") if part.startswith("%") else re.escape(part))
        for part in parts
    )


def dates_of(texts: pl.Series, layout: Layout) -> pl.Series:
    """Return dates in the layout's forms; NULL for what is none."""
    # The parser of dates takes signs, blanks and more digits than a year has: form first.
    parsed = [
        texts.set(~texts.str.contains(f"^{_pattern_of(form)}$"), None).str.to_date(
            form, strict=False
        )
        for form in layout.date_formats
    ]
    read = parsed[0]
    for other in parsed[1:]:
        read = read.fill_null(other) if read.null_count() else read
    return read


def date_of(text: str, layout: Layout) -> date | None:
    """Return a date in one of the layout's forms, or None."""
    for form in layout.date_formats:
        if re.fullmatch(_pattern_of(form), text) is None:
            continue
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a date, no instant
        except ValueError:
            continue
    return None


def no_date(text: str, layout: Layout) -> str:
    """Say that a text is no date, and the forms it may have."""
    return f"'{masked_excerpt(text)}' is no date of the form {', '.join(layout.date_formats)}"
