"""Data Docs without the network: strip what a page would load from elsewhere, and write an index.

Great Expectations' pages load styles, scripts and a logo from public addresses, with the time and
the context's id in one of them. A finance department's page must not, and must show its content
offline. A page is read as HTML, not as text; one that does not have the parts our style and rules
stand on is an error, because what it then shows or loads is not known.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from lxml import etree
from lxml import html as lxml_html
from lxml.html import defs

from tieout.core.errors import TieoutError
from tieout.core.settings import Settings
from tieout.explaining import CAUSES, Explanation, telling

INDEX_NAME: Final = "index.html"
BUSINESS_TIME_ZONE: Final = ZoneInfo("Asia/Shanghai")
_EQUATION_SUITE: Final = "gate_equation"
_SECTION: Final = "explanations"
_MARK: Final = " tieout: no remote content "
_DONE: Final = f"<!--{_MARK}-->"

# Scripts; links, which are remote styles and an icon at a path that does not exist (styles are in
# the page itself); and the footer, which is an advertisement.
_GONE: Final = ("script", "link", "footer", "base")
# What shows nothing without what it loads.
_EMBEDDED: Final = ("img", "iframe", "source", "embed", "object", "video", "audio")
_URLS: Final = frozenset({*defs.link_attrs, "srcset", "poster", "formaction", "ping", "data"})
# What our style draws the result of each expectation with.
_RESULT_ICONS: Final = ("fa-check-circle", "fa-times", "fa-exclamation-triangle")
# The suites live in Python, so no page of a suite exists: its name stays, the link goes.
_SUITE_LINK: Final = re.compile(r"[./]*/expectations/.*")
_REMOTE: Final = r"""(?:https?:)?//"""
_STYLE_IMPORTS = re.compile(rf"""@import\s+(?:url\()?["']?{_REMOTE}[^;]*;""", re.IGNORECASE)
_STYLE_URLS = re.compile(rf"""url\(\s*["']?{_REMOTE}[^)]*\)""", re.IGNORECASE)
_CSS: Final = """
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
"""
_STYLE: Final = f"<style>{_CSS}</style>"


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


def finish(settings: Settings, run_name: str | None = None) -> None:
    """Strip the pages that are new, and write the index of all validations.

    Args:
        settings: the installation.
        run_name: the run whose pages are whole; pages of others may be being written. None: all.

    Raises:
        TieoutError: a page of Great Expectations is not of the form that is known.
    """
    site = folder(settings)
    for page in sorted(site.rglob("*.html")):
        if page.name == INDEX_NAME and page.parent == site:
            continue
        if run_name is not None and run_name not in page.relative_to(site).parts:
            continue
        text = page.read_text(encoding="utf-8")
        if _DONE not in text:
            _write(page, offline_page(text, page.relative_to(site).as_posix()))
    site.mkdir(parents=True, exist_ok=True)
    _write(site / INDEX_NAME, index_page(validations(settings)))


def add_explanations(settings: Settings, run_name: str, found: Sequence[Explanation]) -> None:
    """Show on the equation's pages of a run what may explain each residual, once."""
    site = folder(settings)
    for page in sorted(site.glob(f"validations/{_EQUATION_SUITE}/**/*.html")):
        if run_name not in page.relative_to(site).parts:
            continue
        where = page.relative_to(site).as_posix()
        document = _parsed(page.read_text(encoding="utf-8"), where)
        for section in document.xpath(f"//section[@id='{_SECTION}']"):
            section.drop_tree()
        document.find("body").insert(0, _section(found))
        text = lxml_html.tostring(document, encoding="unicode", doctype="<!DOCTYPE html>")
        _write(page, str(text) + "\n")


def _section(found: Sequence[Explanation]) -> Any:
    section = etree.Element("section", id=_SECTION)
    etree.SubElement(section, "h2").text = "What may explain the residual · 平衡差额解释"
    for one in found:
        if one.is_closed:
            continue
        head = etree.SubElement(section, "h3")
        head.text = f"{one.group.arrival_group_id}: {telling.identity(one)}"
        if not one.candidates:
            etree.SubElement(
                section, "p"
            ).text = "No cause is named: nothing fits. 没有可指明的原因。"
            continue
        table = etree.SubElement(section, "table")
        for candidate in one.candidates:
            for part in candidate.parts:
                row = etree.SubElement(table, "tr")
                cause = CAUSES[part.cause_id]
                for text in (
                    candidate.confidence,
                    f"{cause.title} · {cause.title_zh}",
                    telling.amount(one, part.effect_minor),
                    telling.places(part),
                    cause.next_step,
                ):
                    etree.SubElement(row, "td").text = text
    return section


def _write(page: Path, text: str) -> None:
    """Write a page whole: another task may be writing, and a person reading, the same one."""
    partial = page.with_name(f".{page.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(page)


def offline_page(text: str, where: str) -> str:
    """Return a page of a validation that loads nothing and shows its results offline.

    Raises:
        TieoutError: it lacks a part that every page of Great Expectations has.
    """
    document = _parsed(text, where)
    _check_parts(document, where)
    _strip(document)
    head = document.find("head")
    head.append(etree.Comment(_MARK))
    style = etree.SubElement(head, "style")
    style.text = _CSS
    return str(lxml_html.tostring(document, encoding="unicode", doctype="<!DOCTYPE html>")) + "\n"


def _parsed(text: str, where: str) -> Any:
    try:
        return lxml_html.document_fromstring(text, lxml_html.HTMLParser(huge_tree=True))
    except (etree.ParserError, ValueError) as error:
        raise _other_form(where, f"it is no HTML ({error})") from None


def _check_parts(document: Any, where: str) -> None:
    has_icon = " or ".join(
        f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')" for name in _RESULT_ICONS
    )
    parts = {
        "a head with a style": "/html/head/style",
        "the link to its suite": "/html/body//a[contains(@href, '/expectations/')]",
        "the icon of a result": f"/html/body//i[{has_icon}]",
        "a table": "/html/body//table",
        "a footer": "/html/body//footer",
    }
    missing = [part for part, path in parts.items() if not document.xpath(path)]
    if missing:
        raise _other_form(where, f"it lacks {', '.join(missing)}")


def _other_form(where: str, why: str) -> TieoutError:
    return TieoutError(
        what="a page of Data Docs is not as Great Expectations makes it",
        where=f"{where} (tieout.gate.data_docs)",
        why=f"{why}; what it shows or loads is not known, so it was not published",
        next_step="run the same again; where it stays, compare the installed great-expectations"
        " with requirements.txt, and teach tieout.gate.data_docs the new form",
    )


def _strip(document: Any) -> None:
    """Take away what runs, what is loaded from elsewhere, and links that lead nowhere."""
    for element in list(document.iter(*_GONE)):
        element.drop_tree()
    for element in list(document.iter(*_EMBEDDED)):
        if any(_is_remote(value) for name, value in element.items() if name in _URLS):
            element.drop_tree()
    for element in document.iter(etree.Element):
        for name, value in element.items():
            is_link = name in _URLS and (_is_remote(value) or _SUITE_LINK.fullmatch(value))
            if is_link or name.startswith("on"):
                del element.attrib[name]
        if element.get("style"):
            element.set("style", _local_style(element.get("style")))
        if element.tag == "style" and element.text:
            element.text = _local_style(element.text)


def _is_remote(url: str) -> bool:
    """Say whether something else than a place in this site, or the page itself, is meant."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return True
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def _local_style(text: str) -> str:
    # Styles stay text: no library for them is in the project.
    return _STYLE_URLS.sub("none", _STYLE_IMPORTS.sub("", text))


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
