"""`tieout keys`: the keys of tokens and ciphertexts, and the search by number that needs them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tieout.commands import shared
from tieout.core.progress import say
from tieout.protection import keys
from tieout.protection.key_ring import KIND_NAMES, KeyKind, SecretsError

__all__ = ["app"]

app = typer.Typer(
    help="Keys of tokens and ciphertexts: list, rotate, remove; find a number. 密钥。",
    no_args_is_help=True,
)

Kind = Annotated[
    str, typer.Option("--kind", help="token, data or both.", metavar="token|data|both")
]


@app.command("list")
def list_keys() -> None:
    """Show each key's id, whether it is current, and what is stored under it. No key is shown."""
    uses = keys.usage(shared.home())
    table = shared.table(
        "Keys 密钥", ("kind", "key id", "state", "values", "kept files", "in", "from")
    )
    for use in uses:
        table.add_row(
            use.kind,
            use.key_id,
            use.state,
            f"{use.value_count:,}",
            f"{use.file_count:,}",
            ", ".join(use.tables),
            use.source,
        )
    shared.console().print(table)
    _stop_for_missing(uses)


@app.command()
def rotate(kind: Kind = "both") -> None:
    """Make a new key current; what was written under the old ones is still found and opened."""
    chosen = _kinds(kind)
    settings = shared.home()
    for name, new_id in zip(chosen, keys.rotate(settings, chosen), strict=True):
        say(f"{name} key {new_id} is current")
    say(f"next: back up {settings.secrets_dir}, then tieout keys re-encrypt")


@app.command("re-encrypt")
def re_encrypt() -> None:
    """Put every ciphertext and every kept file under the current data key."""
    values, files = keys.re_encrypt(shared.home())
    say(f"under the current data key now: {values} values, {files} kept files")
    say("next: tieout keys list, then tieout keys remove KEY_ID for a data key nothing is of")


@app.command()
def remove(key_id: Annotated[str, typer.Argument(help="8 characters, see `list`")]) -> None:
    """Remove a key that is not current and that nothing stored is of."""
    removed = keys.remove(shared.home(), key_id)
    say(f"{removed.kind} key {removed.key_id} is removed; backups of it may go as well")


@app.command()
def find() -> None:
    """Find the rows of a card or account number; it is asked for, never an argument."""
    # An argument would stand in the shell's history and in the list of processes.
    number = typer.prompt("number", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    settings = shared.home()
    rows = keys.find(settings, str(number).strip())
    table = shared.table(
        "Rows with this number 命中", ("table", "column", "date", "file", "line", "key id")
    )
    for row in rows:
        table.add_row(
            row.table,
            row.column,
            str(row.accounting_date),
            row.file_name,
            str(row.line_number),
            row.key_id,
        )
    shared.console().print(table)
    say(f"{len(rows)} rows")
    _stop_for_missing(keys.usage(settings))


def _kinds(kind: str) -> tuple[KeyKind, ...]:
    if kind == "both":
        return KIND_NAMES
    for known in KIND_NAMES:
        if kind == known:
            return (known,)
    raise typer.BadParameter(f"{kind} is not token, data or both")


def _stop_for_missing(uses: list[keys.KeyUse]) -> None:
    """Say that rows are of keys we do not hold: a search misses them, a payee does not open."""
    missing = [use for use in uses if use.state == "missing"]
    if missing:
        raise SecretsError(
            what="stored values are of keys that are not at hand",
            where=", ".join(
                f"{use.kind} key {use.key_id}: {', '.join(use.tables)}" for use in missing
            ),
            why="the keys were removed or the variables name others",
            next_step="put the keys back behind the current ones (docs/operations/keys.md)",
        )
