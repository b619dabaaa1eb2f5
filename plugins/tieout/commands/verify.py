"""`tieout verify`: whether anything that was decided or paid has been changed since."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout.commands import shared
from tieout.core.progress import say
from tieout.dates import days

__all__ = ["verify"]

FINDINGS_SHOWN = 50


def verify(
    payment_date: Annotated[
        str | None, typer.Argument(help="YYYY-MM-DD, a payment date; default: each of them")
    ] = None,
) -> None:
    """Compute the hash chains of decisions and payouts again, from their rows. 校验哈希链。"""
    from tieout import payouts  # noqa: PLC0415  XML libraries are heavy

    day = days.business_date(payment_date, None) if payment_date else None
    report = payouts.verify(shared.home(), day)
    console = shared.console(shared.WIDE)
    for finding in report.findings[:FINDINGS_SHOWN]:
        console.print(finding, soft_wrap=True)
    if len(report.findings) > FINDINGS_SHOWN:
        console.print(f"and {len(report.findings) - FINDINGS_SHOWN} more")
    say(
        f"{report.links:,} links of {report.payment_dates} payment dates computed again, "
        f"{report.files_of_heads} kept heads compared: {len(report.findings)} findings"
    )
    if report.findings:
        say("next: pay nothing until it is known who changed it: docs/runbooks/history-changed.md")
        raise typer.Exit(1)
    say("next: nothing; keep chain_heads.json of the payment files where this server cannot write")
