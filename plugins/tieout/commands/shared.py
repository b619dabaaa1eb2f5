"""What the commands of every group share: the home they work on, its console, tables and options.

What they say on the way goes through `tieout.core.progress.say`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tieout import database
from tieout.core.progress import say
from tieout.core.settings import Settings, load_settings
from tieout.database import persons
from tieout.dates import days

__all__ = [
    "WIDE",
    "By",
    "FileFormat",
    "On",
    "Reason",
    "approval",
    "console",
    "day",
    "deciding_home",
    "home",
    "people_options",
    "say_asked",
    "table",
]

# Characters of a line in a log, for lists with many columns.
WIDE = 200

Reason = Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        help="Who decides: your name. Where people have logins (`tieout people`), it is theirs.",
    ),
]
On = Annotated[
    str | None,
    typer.Option("--on", help="Close in which it takes effect; default: the next one."),
]


class FileFormat(StrEnum):
    """The forms a list is written in."""

    CSV = "csv"
    XLSX = "xlsx"


def day(text: str | None) -> date | None:
    """Return the business date of an option, None where it was not given."""
    return days.business_date(text, None) if text else None


def home() -> Settings:
    """Return the home's settings, with its database up and its tables current."""
    settings = load_settings()
    settings.ensure_dirs()
    database.migrate(settings)
    return settings


def deciding_home() -> Settings:
    """Return the settings with which a person decides: their own login, where they named one.

    It is named in TIEOUT_DATABASE_URL_PEOPLE (docs/operations/roles.md).
    """
    settings = home()
    return settings.acting_as("people") if "people" in settings.role_urls else settings


def say_asked(group: str, request_id: int) -> None:
    """Say that a request waits for another person; ``group`` names its commands."""
    say(f"request {request_id} is on record; nothing changes before another person approves it")
    say(f"next: tieout {group} approve {request_id}, by another person")


def approval(approved_by: str | None) -> str:
    """Return who approved a decision, or that nobody has."""
    return f"approved by {approved_by}" if approved_by else "waits for approval"


def people_options(settings: Settings) -> str:
    """Return the options with which two people decide: two names, or one and a login each."""
    who = "" if persons.have_logins(settings) else "--by ONE --second ANOTHER "
    return f"{who}--reason TEXT"


def console(log_width: int = 160) -> Console:
    """Return the console of a command's results.

    A log has no width of its own; a narrow table would cut the amounts.
    """
    return Console(width=None if sys.stdout.isatty() else log_width, highlight=False)


def table(title: str, headings: Iterable[str]) -> Table:
    """Return an empty table whose cells go on in the next line where they are too long."""
    made = Table(title=title, title_justify="left")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made
