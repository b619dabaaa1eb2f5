"""`tieout ledger`: the ledger for a finance system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieout.commands import shared
from tieout.commands.shared import FileFormat
from tieout.core.progress import say
from tieout.dates import days

__all__ = ["app"]

app = typer.Typer(
    help="The ledger for a finance system: export. 会计凭证与余额。", no_args_is_help=True
)


@app.callback()
def ledger() -> None:
    """Write the ledger's vouchers and balances. Only reads the database."""


@app.command()
def export(
    accounting_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a closed accounting date")],
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="csv: three files; xlsx: one workbook.")
    ] = FileFormat.CSV,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder; default: the home's exports/ledger/.")
    ] = None,
) -> None:
    """Write journal, trial balance and balances of a date. 导出会计凭证、试算平衡与科目余额。"""
    from tieout import exports  # noqa: PLC0415  the workbook's library is for exports alone

    settings = shared.home()
    day = days.business_date(accounting_date, None)
    folder = to or settings.home / "exports" / "ledger"
    done = exports.export_ledger(settings, day, folder=folder, file_format=file_format.value)
    say(
        f"{done.vouchers:,} vouchers of {day} with {done.lines:,} lines: each balances, together"
        " they are the trial balance"
    )
    for path in done.files:
        say(f"in {path}")
    say(
        "next: load it into the finance system (docs/operations/exports.md)"
        if done.is_sealed
        else f"next: {day} is not sealed: export it again once it is paid, its numbers may change"
    )
