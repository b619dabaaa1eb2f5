"""`tieout leak-scan`: whether card numbers or people's data lie anywhere they must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from tieout.commands import shared
from tieout.core.progress import say

if TYPE_CHECKING:
    from tieout.protection.leaks import ScanReport

__all__ = ["leak_scan"]

FINDINGS_SHOWN = 50


def leak_scan() -> None:
    """Look for card numbers and people's data in the clear, everywhere in this home. 泄漏扫描。"""
    from tieout.protection.leaks import scan  # noqa: PLC0415  parsers are heavy

    report = scan(shared.home())
    console = shared.console()
    _print_places(console, report)
    _print_looked_for(console, report)
    if report.is_clean:
        console.print("nothing found in the clear 未发现明文")
        say("next: nothing; run it again after the next close")
        return
    _print_findings(console, report)
    say(f"{report.finding_count} leaks; next: docs/runbooks/leak-found.md")
    raise typer.Exit(1)


def _print_places(console: Console, report: ScanReport) -> None:
    table = Table(title="What was scanned 扫描范围", title_justify="left")
    table.add_column("place 位置")
    for name in ("streams", "bytes", "found", "reviewed", "allowed"):
        table.add_column(name, justify="right")
    for place in report.places:
        counts = (
            place.stream_count,
            place.byte_count,
            place.finding_count,
            place.reviewed_count,
            place.allowed_count,
        )
        table.add_row(place.place, *(f"{count:,}" for count in counts))
    console.print(table)


def _print_looked_for(console: Console, report: ScanReport) -> None:
    from tieout.protection.leaks.places import PAYMENT_FILES  # noqa: PLC0415  parsers are heavy

    kinds = ", ".join(f"{count:,} {kind}s" for kind, count in report.known_value_counts)
    console.print(f"looked for: card numbers (Luhn, known range), and of the files: {kinds or '-'}")
    if report.too_short_count:
        console.print(f"too short to be looked for: {report.too_short_count:,} values")
    if not report.in_all_forms:
        console.print("many values: not looked for in base64, hexadecimal and UTF-16")
    console.print(
        "reviewed: digits in a context that leaks/reviewed.csv explains; allowed: payees' accounts "
        f"and names in the {PAYMENT_FILES} (pain.001), which the bank needs"
    )
    for part in report.left_out:
        console.print(f"not scanned: {part.place}: {part.reason}")


def _print_findings(console: Console, report: ScanReport) -> None:
    table = Table(title="In the clear 明文", title_justify="left")
    for name in ("place 位置", "where", "what", "masked 掩码", "written as"):
        table.add_column(name, overflow="fold")
    for found in report.findings[:FINDINGS_SHOWN]:
        table.add_row(found.place, found.location, found.kind, found.masked, found.encoding)
    console.print(table)
    more = report.finding_count - FINDINGS_SHOWN
    if more > 0:
        console.print(f"and {more:,} more")
