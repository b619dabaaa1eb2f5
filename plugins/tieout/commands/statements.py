"""`tieout statements`: merchants' statements as lists that sum to the payout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieout.commands import shared
from tieout.commands.shared import FileFormat
from tieout.core.money import amount_text
from tieout.core.progress import say
from tieout.dates import days

__all__ = ["app"]

app = typer.Typer(
    help="Merchants' statements, line by line: export. 商户结算单。", no_args_is_help=True
)


@app.callback()
def statements() -> None:
    """Write merchants' statements. Only reads the database."""


@app.command()
def export(
    payment_date: Annotated[
        str, typer.Argument(help="YYYY-MM-DD, a payment date that was decided")
    ],
    account: Annotated[
        str | None, typer.Option("--account", help="Only this settlement account's statements.")
    ] = None,
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="csv, or xlsx with a sheet a kind of line.")
    ] = FileFormat.CSV,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder; default: the home's exports/statements/YYYYMMDD/."),
    ] = None,
) -> None:
    """Write a list a statement, each of which sums to its payout. 导出商户结算单明细。"""
    from tieout import exports  # noqa: PLC0415  the workbook's library is for exports alone

    settings = shared.home()
    day = days.business_date(payment_date, None)
    folder = to or settings.home / "exports" / "statements" / f"{day:%Y%m%d}"
    done = exports.export_statements(
        settings, day, folder=folder, file_format=file_format.value, account_id=account
    )
    sums = ", ".join(amount_text(minor, code) for code, minor in sorted(done.payouts.items()))
    say(
        f"{done.statements:,} statements of {day} with {done.lines:,} lines, payouts {sums}: each"
        " list sums to its payout"
    )
    say(f"in {done.folder}; {done.list_path.name} lists the files with their sha256")
    say("next: give each merchant the files of its own accounts, by a way only it can read")
