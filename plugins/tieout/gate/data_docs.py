"""Data Docs without the network: strip what a page would load from elsewhere, and write an index.

Great Expectations' pages load styles, scripts and a logo from public addresses, with the time and
the context's id in one of them. A finance department's page must not, and must show its content
offline.
"""

from __future__ import annotations

import html
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from tieout.core.settings import Settings

INDEX_NAME: Final = "index.html"
BUSINESS_TIME_ZONE: Final = ZoneInfo("Asia/Shanghai")
_DONE: Final = "<!-- tieout: no remote content -->"
_REMOTE: Final = r"""(?:https?:)?//"""

_SCRIPTS = re.compile(r"<script\b.*?</script\s*>", re.IGNORECASE | re.DOTALL)
_REMOTE_TAGS = re.compile(
    rf"""<(?:img|iframe|source|embed|object|video|audio)\b[^>]*?(?:href|src|data)\s*=\s*["']?\s*"""
    rf"""{_REMOTE}[^>]*>""",
    re.IGNORECASE,
)
_STYLE_IMPORTS = re.compile(rf"""@import\s+(?:url\()?["']?{_REMOTE}[^;]*;""", re.IGNORECASE)
_STYLE_URLS = re.compile(rf"""url\(\s*["']?{_REMOTE}[^)]*\)""", re.IGNORECASE)
_LINKS = re.compile(rf"""(<a\b[^>]*?)\shref\s*=\s*["']{_REMOTE}[^"']*["']""", re.IGNORECASE)
# Styles are in the page itself; the links that are left are icons, at a path that does not exist.
_LINK_TAGS = re.compile(r"<link\b[^>]*>", re.IGNORECASE)
# What only works with the scripts that are gone, and an advertisement.
_FOOTERS = re.compile(r"<footer\b.*?</footer\s*>", re.IGNORECASE | re.DOTALL)
# The suites live in Python, so no page of a suite exists: its name stays, the link goes.
_SUITE_LINKS = re.compile(r"""(<a\b[^>]*?)\shref\s*=\s*["'][./]*/expectations/[^"']*["']""")
_STYLE: Final = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { border: 1px solid #c8ccd1; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.collapse { display: block !important; } .sticky, button[data-toggle] { display: none; }
.row > div:first-child:has(.sticky) { display: none; }
i.fa-check-circle::before { content: "✓ 成立"; color: #1a6b1a; white-space: nowrap; }
i.fa-times::before { content: "✗ 不成立"; color: #a40000; white-space: nowrap; }
i.fa-exclamation-triangle::before { content: "! 未执行"; color: #a40000; white-space: nowrap; }
.failed { color: #a40000; } .passed { color: #1a6b1a; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #16181c; } th, td { border-color: #444; }
  a { color: #8ab4f8; } .failed { color: #ff8a80; } .passed { color: #8fd694; }
}
</style>"""


@dataclass(frozen=True)
class Validation:
    """One line of the index."""

    run_name: str
    run_at: str
    suite: str
    passed: bool
    held_count: int
    expectation_count: int
    page: str
    broken: tuple[str, ...]


def folder(settings: Settings) -> Path:
    """Return the Data Docs' folder of an installation."""
    return settings.docs_dir / "data-docs"


def finish(settings: Settings) -> None:
    """Strip the pages that are new, and write the index of all validations."""
    site = folder(settings)
    for page in sorted(site.rglob("*.html")):
        if page.name == INDEX_NAME and page.parent == site:
            continue
        text = page.read_text(encoding="utf-8")
        if _DONE not in text:
            _write(page, strip_remote(text))
    site.mkdir(parents=True, exist_ok=True)
    _write(site / INDEX_NAME, index_page(validations(settings)))


def _write(page: Path, text: str) -> None:
    """Write a page whole: another task may be writing, and a person reading, the same one."""
    partial = page.with_name(f".{page.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(page)


def strip_remote(text: str) -> str:
    """Return a page that loads nothing: no scripts, and no style, font or image from elsewhere."""
    for pattern in (_SCRIPTS, _LINK_TAGS, _REMOTE_TAGS, _STYLE_IMPORTS, _FOOTERS):
        text = pattern.sub("", text)
    text = _STYLE_URLS.sub("none", text)
    text = _LINKS.sub(r"\1", text)
    text = _SUITE_LINKS.sub(r"\1", text)
    head = f"{_DONE}\n{_STYLE}\n</head>"
    return text.replace("</head>", head, 1) if "</head>" in text else f"{_DONE}\n{_STYLE}\n{text}"


def validations(settings: Settings) -> tuple[Validation, ...]:
    """Read the stored validation results, newest run first."""
    store = settings.gx_dir / "validations"
    site = folder(settings)
    found = []
    for path in sorted(store.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        relative = path.relative_to(store).with_suffix(".html")
        page = site / "validations" / relative
        found.append(
            Validation(
                run_name=str(content["meta"]["run_id"]["run_name"]),
                run_at=str(content["meta"]["run_id"]["run_time"]),
                suite=str(content["suite_name"]),
                passed=bool(content["success"]),
                held_count=int(content["statistics"]["successful_expectations"]),
                expectation_count=int(content["statistics"]["evaluated_expectations"]),
                page=page.relative_to(site).as_posix() if page.exists() else "",
                broken=tuple(
                    str(result["expectation_config"].get("description", "?"))
                    for result in content["results"]
                    if not result["success"]
                ),
            )
        )
    return tuple(
        sorted(found, key=lambda item: (item.run_at, item.run_name, item.suite), reverse=True)
    )


def index_page(found: tuple[Validation, ...]) -> str:
    """Return the index: one line a validation, with its result and its page."""
    rows = "\n".join(_row(validation) for validation in found)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tieout validations · 校验结果</title>
{_DONE}
{_STYLE}
</head>
<body>
<h1>Validations · 校验结果</h1>
<p>What was checked at each boundary, newest first: landing (落地), close (日终),
gate (付款闸门).</p>
<table>
<thead><tr><th>Run 批次</th><th>Suite 规则集</th><th>Result 结果</th>
<th>Held 成立</th><th>Does not hold 不成立</th><th>At 时间</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
"""


def _row(validation: Validation) -> str:
    word = "passed 通过" if validation.passed else "failed 未通过"
    kind = "passed" if validation.passed else "failed"
    run_at = datetime.fromisoformat(validation.run_at).astimezone(BUSINESS_TIME_ZONE)
    name = html.escape(validation.run_name)
    link = f'<a href="{html.escape(validation.page)}">{name}</a>' if validation.page else name
    return (
        f"<tr><td>{link}</td><td>{html.escape(validation.suite)}</td>"
        f'<td class="{kind}">{word}</td>'
        f"<td>{validation.held_count} / {validation.expectation_count}</td>"
        f"<td>{'<br>'.join(html.escape(text) for text in validation.broken)}</td>"
        f"<td>{run_at:%Y-%m-%d %H:%M}</td></tr>"
    )
