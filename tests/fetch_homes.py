"""Homes, connections and clocks of the tests of fetching."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tieout import fetching
from tieout.core.settings import Settings, load_settings
from tieout.fetching.connections import Connection
from tieout.fetching.report import FetchReport

DAY = date(2026, 9, 24)
NOW_SECONDS = 1_790_301_600
NOW = datetime.fromtimestamp(NOW_SECONDS, tz=UTC)
ACOMN = "IND26092401ACOMN"


@dataclass
class FetchHome:
    """A home with sources, and what fetching needs from outside."""

    settings: Settings
    connections: dict[str, Connection] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    @property
    def inbox(self) -> Path:
        """The inbox as a folder."""
        return Path(self.settings.inbox_url.removeprefix("file://"))

    def sources(self, text: str) -> None:
        """Write the list of sources."""
        (self.settings.home / "sources.toml").write_text(text, encoding="utf-8")

    def sleep(self, seconds: float) -> None:
        """Note a pause instead of making it."""
        self.slept.append(seconds)
        self.on_sleep()

    def fetch(self, day: date = DAY, **options: Any) -> FetchReport:
        """Fetch with this home's connections, a still clock and pauses that take no time."""
        tools = fetching.Tools(self.connections.__getitem__, lambda: NOW, self.sleep)
        return fetching.fetch(self.settings, day, tools=tools, **options)

    def files(self) -> dict[str, bytes]:
        """Return what lies in the inbox, hidden files too, by path."""
        return {
            path.relative_to(self.inbox).as_posix(): path.read_bytes()
            for path in sorted(self.inbox.rglob("*"))
            if path.is_file()
        }


def fetch_home(folder: Path) -> FetchHome:
    """Make a home without a database."""
    settings = load_settings({"TIEOUT_HOME": str(folder / "home")})
    settings.ensure_dirs()
    return FetchHome(settings)


def statuses(report: FetchReport) -> list[str]:
    """Return the statuses of a report, which is not empty."""
    assert report.outcomes
    return [outcome.status for outcome in report.outcomes]
