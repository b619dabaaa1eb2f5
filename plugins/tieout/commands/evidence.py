"""`tieout evidence` and `tieout check-evidence`: one signed archive of a payment date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tieout.commands import shared
from tieout.core.progress import say
from tieout.core.settings import load_settings
from tieout.dates import days

__all__ = ["check", "write"]


def write(
    payment_date: Annotated[str, typer.Argument(help="YYYY-MM-DD, a payment date")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The archive; default: the home's evidence/.")
    ] = None,
) -> None:
    """Write what was decided, paid and answered of a payment date, signed. 付款日证据包。"""
    from tieout.payouts import evidence  # noqa: PLC0415  XML libraries are heavy

    settings = shared.home()
    day = days.business_date(payment_date, None)
    path = out or settings.home / "evidence" / f"evidence_{day:%Y%m%d}.zip"
    done = evidence.write(settings, day, path)
    key_path = path.with_name("evidence_public_key.pem")
    key_path.write_bytes(evidence.public_key(settings))
    say(f"evidence of {day}: {done.tables} tables, {done.rows:,} rows, in {done.path}")
    say(f"sha256 {done.sha256}; signed by the key {done.key_sha256[:16]}… in {key_path}")
    for finding in done.findings:
        say(f"the chains do not verify: {finding}")
    say(f"next: give archive and key to the auditor: tieout check-evidence {path} --key {key_path}")
    if done.findings:
        raise typer.Exit(1)


def check(
    archive: Annotated[Path, typer.Argument(help="An archive of `tieout evidence`")],
    key: Annotated[
        Path | None, typer.Option("--key", help="The public key (PEM); default: this home's.")
    ] = None,
) -> None:
    """Check an archive of evidence against its signature; needs no database. 核验证据包。"""
    from tieout.payouts import evidence  # noqa: PLC0415  XML libraries are heavy

    public = key.read_bytes() if key else evidence.public_key(load_settings())
    done = evidence.check(archive, public)
    say(
        f"{archive}: {done.files} files of {done.payment_date} are as they were signed by the key "
        f"{done.key_sha256[:16]}…"
    )
    for finding in done.findings:
        say(f"when it was written, the chains did not verify: {finding}")
    say("next: read decisions.csv, checks.csv, equation.csv; manifest.json lists the rest")
    if done.findings:
        raise typer.Exit(1)
