"""The list of sources: what is understood, and what is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetch_homes import DAY
from tieout.core.settings import load_settings
from tieout.fetching.report import FetchError
from tieout.fetching.sources import FileKind, file_kind_of, read_sources, sources_path

STORE = """
[[source]]
name = "unionpay"
kind = "store"
connection = "unionpay_sftp"
url = "sftp:///out/{date:%Y%m%d}"
files = ["unionpay/acomn", "unionpay/alfee"]
days_back = 3
"""
WECHAT = """
[[source]]
name = "wechat"
kind = "wechat_bills"
connection = "wechat_pay"

[[source.bill]]
path = "/v3/bill/tradebill"
parameters = { bill_type = "ALL" }
inbox_name = "{merchant_id}All{date:%Y-%m-%d}.csv"
"""


def written(folder: Path, text: str) -> Path:
    """Write a list of sources."""
    path = folder / "sources.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_is_read(tmp_path: Path) -> None:
    store, wechat = read_sources(written(tmp_path, STORE + WECHAT))
    assert store.files == {FileKind("unionpay", "acomn"), FileKind("unionpay", "alfee")}
    assert (store.days_back, store.attempts, store.kind) == (3, 4, "store")
    assert wechat.bills[0].name(DAY, {"merchant_id": "1900000001"}) == "1900000001All2026-09-24.csv"


def test_no_list_is_no_source(tmp_path: Path) -> None:
    assert read_sources(tmp_path / "none.toml") == ()


def test_the_list_is_of_the_home_unless_a_setting_names_another(tmp_path: Path) -> None:
    settings = load_settings({"TIEOUT_HOME": str(tmp_path)})
    assert sources_path(settings, {}) == tmp_path / "sources.toml"
    assert sources_path(settings, {"TIEOUT_SOURCES": "/etc/s.toml"}) == Path("/etc/s.toml")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('name = "unionpay"', 'name = "unionpay"\npassword = "x"', "looks like a secret"),
        ('name = "unionpay"', 'name = "unionpay"\nprivate_key = "x"', "looks like a secret"),
        ("sftp:///out", "sftp://me:hunter2@host/out", "holds a password"),
        ("sftp:///out", "ftp://host/out", "url has to start with"),
        ('connection = "unionpay_sftp"', "", "needs a connection"),
        ('["unionpay/acomn", "unionpay/alfee"]', "[]", "files is empty"),
        ('"unionpay/acomn"', '"acomn"', "not channel/kind"),
        ("days_back = 3", "days_back = -1", "whole number"),
        ("days_back = 3", "days_back = true", "whole number"),
        ("days_back = 3", "timeout_seconds = 0", "number of seconds"),
        ("days_back = 3", "colour = 1", "unknown: colour"),
        ('kind = "store"', 'kind = "pigeon"', "needs a name"),
        ('name = "unionpay"', 'name = "../x"', "needs a name"),
        ("[[source]]", "[[source", "TOMLDecodeError"),
        ("[[source]]", "[[sauce]]", "only [[source]]"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in STORE
    path = written(tmp_path, STORE.replace(old, new, 1))
    with pytest.raises(FetchError) as caught:
        read_sources(path)
    assert why in caught.value.why
    assert str(path) in caught.value.where
    assert "hunter2" not in str(caught.value)


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="two sources have this name"):
        read_sources(written(tmp_path, STORE + STORE))


def test_a_bill_needs_a_path(tmp_path: Path) -> None:
    text = WECHAT.replace('path = "/v3/bill/tradebill"\n', "")
    with pytest.raises(FetchError, match="needs a path"):
        read_sources(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IND26092401ACOMN", ("unionpay", "acomn")),
        ("IND26092401ACOMN.pgp", ("unionpay", "acomn")),
        ("IND26092401ACOMN.GPG", ("unionpay", "acomn")),
        ("pain002_ABC-1.xml", ("bank", "pain002")),
        ("pain002_../x.xml", None),
        ("agency_answer_PO1.txt.pgp", ("bank", "agency_answer")),
        ("agency_answer_../x.txt", None),
        ("agency_payout_PO1.txt", None),
        ("IND26092401ACOMN.zip", None),
        (".pgp", None),
        ("", None),
    ],
)
def test_a_name_says_its_kind(name: str, expected: tuple[str, str] | None) -> None:
    found = file_kind_of(name, DAY)
    assert found == (None if expected is None else (FileKind(*expected), DAY))
