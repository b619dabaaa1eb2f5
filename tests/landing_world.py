"""A home with an empty inbox and empty tables, and what tests of landing ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

import channel_files as make
from database_copies import create_migrated
from reference_lists import load_lists
from tieout import database, landing
from tieout.core.settings import Settings, load_settings

__all__ = ["count", "own_database", "place", "put", "query", "statuses", "whole_day"]

DAY = make.DAY
TABLES_EMPTIED = [
    "control.channel_files",
    "control.quarantined_rows",
    "control.accounting_days",
    "control.date_leases",
    "control.voucher_register",
]


@pytest.fixture(scope="module")
def own_database(settings: Settings) -> Iterator[str]:
    """A database of this module's own on the session's server: landing commits."""
    admin = database.ensure_server(settings)
    with psycopg.connect(admin, autocommit=True) as connection:
        create_migrated(connection, "landing")
    with psycopg.connect(admin.rpartition("/")[0] + "/landing") as connection:
        load_lists(connection)
    yield admin.rpartition("/")[0] + "/landing"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("drop database landing with (force)")


@pytest.fixture
def place(own_database: str, tmp_path: Path) -> Settings:
    """A home with an empty inbox and empty tables."""
    given = {"TIEOUT_HOME": str(tmp_path / "home"), "TIEOUT_DATABASE_URL": own_database}
    settings = load_settings(given)
    settings.ensure_dirs()
    with psycopg.connect(own_database, autocommit=True) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class "
            "where relkind in ('r', 'p') and not relispartition "
            "and (relnamespace in ('raw'::regnamespace, 'raw_versions'::regnamespace)"
            " or oid = any(%s::regclass[]))",
            [TABLES_EMPTIED],
        ).fetchall()
        assert len(tables) > 10
        # Decisions are append-only for everybody, so this clearing of a test has to say otherwise.
        connection.execute("set session_replication_role = replica")
        connection.execute("truncate control.file_decisions cascade")
        connection.execute(f"truncate {', '.join(name for (name,) in tables)} cascade")
    return settings


def put(settings: Settings, name: str, content: bytes, folder: str = "x") -> Path:
    """Write a file into the inbox."""
    path = settings.home / "inbox" / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def query(settings: Settings, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return a query's rows."""
    with database.connect(settings) as connection:
        return connection.execute(statement, values).fetchall()


def count(settings: Settings, table: str) -> int:
    """Return how many rows of landed files a raw table has."""
    statement = (
        f"select count(*) from raw.{table} as r inner join control.channel_files as f "
        "on r.file_id = f.file_id where f.status = 'landed'"
    )
    return int(query(settings, statement)[0][0])


def statuses(report: landing.LandingReport) -> dict[str, str]:
    """Return each file's status by name."""
    return {file.file_name: file.status for file in report.files}


def whole_day(day: date = DAY) -> Mapping[str, bytes]:
    """Return a file of every kind a first accounting date owes, and a bank statement."""
    iso, compact = day.isoformat(), f"{day:%Y%m%d}"
    voucher = {
        **make.VOUCHER,
        "accounting_date": iso,
        "transaction_at": f"{iso}T10:00:00+08:00",
    }
    booked = {
        "accounting_voucher_id": "B1",
        "accounting_date": iso,
        "source_voucher_id": "V1",
        "account_id": "A000001",
        "currency_code": "CNY",
        "amount_minor": "10000",
        "booked_at": f"{iso}T10:00:01+08:00",
    }
    balance = {"subledger_id": "x", "currency_code": "CNY"}
    platform: dict[str, list[dict[str, str]]] = {
        "source_vouchers": [voucher],
        "accounting_vouchers": [booked],
        "contracts": [],
        "fee_rates": [],
        "payees": [make.PAYEE],
        "advances": [],
        "freezes": [],
        "operating_window": [{"first_accounting_date": "2026-09-24"}],
        "opening_balances": [
            {**balance, "ledger_account": "a", "balance_minor": "5"},
            {**balance, "ledger_account": "b", "balance_minor": "-5"},
        ],
    }
    time = {"transmission_time": f"{day:%m%d}162152"}
    wechat = {**make.WECHAT_PAYMENT, "交易时间": f"{iso} 10:00:00"}
    alipay = {**make.ALIPAY_PAYMENT, "完成时间": f"{iso} 10:00:05"}
    return {
        **{
            f"{kind}_{compact}.csv": make.platform_file(kind, rows)
            for kind, rows in platform.items()
        },
        f"IND{day:%y%m%d}01ACOMN": make.acomn(**time) * 2,
        f"IND{day:%y%m%d}99AERRN": b"",
        f"IND{day:%y%m%d}99ALFEE": make.alfee(**time),
        f"1900000109All{iso}.csv": make.wechat_bill([wechat]),
        f"{make.PID}0156_{compact}.zip": make.alipay_zip(
            make.alipay_detail([alipay], day=day), day=day
        ),
        f"camt053_{make.BANK_ACCOUNT}_{compact}_1.xml": make.camt053(day=day),
    }
