"""The documentation site: the files of one volume, read only, without a list of them."""

from __future__ import annotations

from starlette.staticfiles import StaticFiles

__all__ = ["app"]

app = StaticFiles(directory="/var/lib/tieout/docs", html=True)
