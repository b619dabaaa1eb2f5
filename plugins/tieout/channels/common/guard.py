"""The last look at a file's rows before they leave the parser: no card number, no track in a text.

People write card numbers where they do not belong: into remarks, order numbers, remittance texts.
Only texts in which one was found are changed, and nothing else of them:

- the track of a card (magnetic stripe, with expiry and check value) is taken out whole;
- a card number in free text is masked: first six, last four;
- a card number in a reference (an order number, an id) is masked and followed by `~` and 16 digits
  of its token, so that references that differed still differ, and equal ones of two files are still
  equal. Reconciliation compares them as before.

This is no guess about what the text means: whatever it means, those digits must not be stored.
Every change is counted by table and field, and stands in `control.channel_files.masked_values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from tieout.channels.common.card_numbers import (
    DIGITS_MAX,
    DIGITS_MIN,
    GROUPED_NUMBER,
    card_ranges,
    find_card_numbers,
    find_track_data,
)
from tieout.channels.common.model import MaskedValues, Vault
from tieout.core.masks import mask_pan

__all__ = ["FREE_TEXTS", "OWN_NUMBERS", "guarded", "masked_text"]

TRACK_REMOVED = "***"
TOKEN_DIGITS = 16

# Read by people, compared by nothing.
FREE_TEXTS = frozenset(
    {
        "bank_name",
        "counterparty_mask",
        "counterparty_name",
        "device_id",
        "operator_id",
        "order_number",
        "remark",
        "remittance_text",
    }
)
# Numbers of companies that reference data and names of files know: ours, and the merchants' codes,
# which are built from institution, region and category. Neither is a card's or a person's.
OWN_NUMBERS = frozenset(
    {
        "bank_account_id",
        "channel_merchant_id",
        "group_merchant_id",
        "merchant_id",
        "sub_merchant_id",
    }
)
# Made by the vault or by us from a number, and no number themselves.
_PROTECTED_SUFFIXES = ("_ciphertext", "_token")
# What others call a token may hold the number it should stand for.
_TOKENS_OF_OTHERS = frozenset({("platform_source_vouchers", "card_token")})
_OUR_MASKS = frozenset({"account_name_mask", "account_number_mask", "card_mask"})

_OTHER_HINT = rf"{GROUPED_NUMBER}|[0-9]{{12,19}}(?:\^|=|D[0-9])"
BoolArray = npt.NDArray[np.bool_]


def guarded(
    frames: Mapping[str, pl.DataFrame], vault: Vault
) -> tuple[dict[str, pl.DataFrame], tuple[MaskedValues, ...]]:
    """Return the frames without card numbers and tracks in their texts, and what was changed."""
    kept: dict[str, pl.DataFrame] = {}
    found: list[MaskedValues] = []
    for table, frame in frames.items():
        changed = []
        lines = frame["line_number"] if "line_number" in frame.columns else None
        for column, positions in _suspicious(table, frame):
            texts, masked = _masked_column(column, positions, vault)
            for kind, rows in masked.items():
                first = int(lines[rows[0]]) if lines is not None else 0
                found.append(MaskedValues(table, column.name, kind, len(rows), first))
            if masked:
                changed.append(texts)
        kept[table] = frame.with_columns(changed) if changed else frame
    return kept, tuple(found)


def masked_text(text: str, *, vault: Vault | None = None) -> tuple[str, frozenset[str]]:
    """Return the text without tracks and card numbers, and the kinds that were in it.

    With a vault a number is followed by part of its token (a reference), else only masked.
    """
    kinds: set[str] = set()
    for start, end in reversed(list(find_track_data(text))):
        text = text[:start] + TRACK_REMOVED + text[end:]
        kinds.add("track_data")
    # The last four of a mask may begin another number with the digits behind it: look again.
    while numbers := sorted(find_card_numbers(text), key=lambda found: -found.start):
        for number in numbers:
            mask = mask_pan(number.digits)
            if vault is not None:
                (token,) = vault.card_tokens([number.digits])
                mask += f"~{token[-64:][:TOKEN_DIGITS]}"
            text = text[: number.start] + mask + text[number.end :]
        kinds.add("card_number")
    return text, frozenset(kinds)


def _is_text_of_others(table: str, column: pl.Series) -> bool:
    """Say whether a column is text that may hold anything, and long enough to hold a number."""
    if column.dtype != pl.String or column.name in OWN_NUMBERS:
        return False
    is_protected = column.name.endswith(_PROTECTED_SUFFIXES) or column.name in _OUR_MASKS
    if is_protected and (table, column.name) not in _TOKENS_OF_OTHERS:
        return False
    longest = column.str.len_bytes().max()
    return isinstance(longest, int) and longest >= DIGITS_MIN


def _masked_column(
    column: pl.Series, positions: list[int], vault: Vault
) -> tuple[pl.Series, dict[str, list[int]]]:
    """Return the column with the texts at the positions masked, and the positions of each kind."""
    texts, masked = column.to_list(), dict[str, list[int]]()
    for position in positions:
        text, kinds = masked_text(
            texts[position], vault=None if column.name in FREE_TEXTS else vault
        )
        texts[position] = text
        for kind in sorted(kinds):
            masked.setdefault(kind, []).append(position)
    return pl.Series(column.name, texts, dtype=pl.String), masked


# --- which texts are worth reading one by one -----------------------------------------------------


def _suspicious(table: str, frame: pl.DataFrame) -> Iterator[tuple[pl.Series, list[int]]]:
    """Yield the columns with texts that may hold a number or a track, and where these stand.

    Ids of a day are millions and look alike: their digits are compared with the ranges, and then
    with Luhn, whole columns at once and without a step of Python for each.
    """
    columns = [column for column in frame if _is_text_of_others(table, column)]
    hints = frame.select(
        pl.col(column.name).str.contains(f"{_run_in_range()}|{_OTHER_HINT}").fill_null(False)
        for column in columns
    )
    for column in columns:
        positions = np.flatnonzero(hints[column.name].to_numpy())
        if not len(positions):
            continue
        texts = column.gather(positions)
        is_other = texts.str.contains(_OTHER_HINT).to_numpy()
        chosen = positions[is_other | _holds_luhn_number(texts)]
        if len(chosen):
            yield column, chosen.tolist()


@cache
def _run_in_range() -> str:
    """Return a pattern of a run of digits that begins, and is as long, as a card number may be.

    It cannot look around, so it takes a character on either side; that one such run is there is
    all it has to say.
    """
    prefixes = sorted({prefix for known in card_ranges() for prefix in known.prefixes()})
    digits = f"[0-9]{{{DIGITS_MIN - 2},{DIGITS_MAX - 1}}}"  # behind one or two of the prefix
    return f"(?:^|[^0-9])(?:{'|'.join(prefixes)}){digits}(?:[^0-9]|$)"


def _holds_luhn_number(texts: pl.Series) -> BoolArray:
    """Say of each text whether a run of 13 to 19 digits in it passes Luhn."""
    runs = (
        pl.DataFrame({"row": np.arange(len(texts)), "run": texts.str.extract_all("[0-9]+")})
        .explode("run", empty_as_null=True)
        .filter(pl.col("run").str.len_bytes().is_between(DIGITS_MIN, DIGITS_MAX))
    )
    result = np.zeros(len(texts), dtype=np.bool_)
    if len(runs):
        padded = "".join(runs["run"].str.zfill(DIGITS_MAX).to_list())
        digits = np.frombuffer(padded.encode("ascii"), dtype=np.uint8) - ord("0")
        matrix = digits.reshape(-1, DIGITS_MAX).astype(np.int64)
        # The last digit counts once, the one before it twice, and so on; leading zeros count 0.
        doubled = matrix[:, -2::-2] * 2
        sums = matrix[:, ::-2].sum(axis=1) + (doubled - 9 * (doubled > 9)).sum(axis=1)
        result[runs["row"].to_numpy()[sums % 10 == 0]] = True
    return result
