"""The dbt project on a real database: its unit tests pass, and no data test of the close is empty.

Unit tests stand beside the models (``unit_tests:`` in each .yml). Here they are run, each model of
the close is shown to have one, and every singular test of ``dbt_project/tests/close`` is shown to
go red on rows that break what it protects.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from dbt_common import behavior_flags
from psycopg import sql

from tieout import database
from tieout.core.settings import PROJECT_DIR, Settings
from tieout.dates import workdays
from tieout.runs import transform

pytestmark = pytest.mark.slow

DATES = {
    "TIEOUT_ACCOUNTING_DATE": "2026-09-25",
    "TIEOUT_PAYMENT_DATE": "2026-09-28",
    "TIEOUT_PREVIOUS_PAYMENT_DATE": "2026-09-24",
}
BROKEN_DATE = date(2026, 9, 2)
DATE_WITHOUT_ROWS = date(2026, 9, 3)
CLOSE_TESTS = PROJECT_DIR / "dbt_project" / "tests" / "close"
SEED = PROJECT_DIR / "dbt_project" / "seeds" / "reference" / "calendar_days.csv"
# A view that only puts three views under one another has nothing to test.
WITHOUT_LOGIC = {
    "int_channels__brand_fees",
    "int_channels__records",
}


# --- unit tests ---------------------------------------------------------------------------------


def test_unit_tests_pass(built: Settings) -> None:
    report = transform.run_dbt(built, ["test", "--select", "test_type:unit"], DATES)
    results = json.loads((built.dbt_dir / "target" / "run_results.json").read_text())["results"]
    unit_tests = [found for found in results if found["unique_id"].startswith("unit_test.")]
    assert len(unit_tests) >= 25, "hardly any unit test ran"
    assert [str(failure) for failure in report.failures] == []
    assert {found["status"] for found in unit_tests} == {"pass"}


def test_each_model_of_the_close_has_a_unit_test(built: Settings) -> None:
    manifest = json.loads((built.dbt_dir / "target" / "manifest.json").read_text())
    models = {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and ("close" in node["tags"] or node["name"].startswith("int_"))
        and node["config"]["materialized"] != "ephemeral"
    }
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    assert len(models) >= 15
    assert models - tested - WITHOUT_LOGIC == set()


# --- the singular tests of the close ------------------------------------------------------------


@dataclass(frozen=True)
class Break:
    """Rows that break an invariant, and what the test has to say of it (parts of one row)."""

    says: Sequence[str]
    rows: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    accounting_date: date = BROKEN_DATE


def _voucher(voucher_id: str, **values: object) -> dict[str, object]:
    known = {"transaction_type": "purchase", "transaction_status": "success", "channel": "wechat"}
    return {"voucher_id": voucher_id, "currency_code": "CNY", **known, **values}


def _priced(voucher_id: str, **values: object) -> dict[str, object]:
    known = {"contract_id": "C", "fee_rule_id": "F", "settlement_mode": "net"}
    return {"voucher_id": voucher_id, **known, "fee_amount_minor": 1, **values}


def _result(result_id: str, voucher_id: str, **values: object) -> dict[str, object]:
    return {
        "result_id": result_id,
        "system_transaction_id": voucher_id,
        "system_amount_minor": 1,
        "outcome": "system_in_doubt",
        "opened_on": BROKEN_DATE,
        **values,
    }


def _posting(posting_id: str, **values: object) -> dict[str, object]:
    known = {"debit_account": "losses", "credit_account": "gains", "rule": "transaction.sale"}
    return {
        "posting_id": posting_id, "source_kind": "statement", "amount_minor": 1, **known, **values
    }  # fmt: skip


def _cleared(entry_id: str, **values: object) -> dict[str, object]:
    """An entry of the seventh transaction session of a currency of its own."""
    known = {"clearing_session_type": "transaction", "clearing_session_no": 7}
    known = {**known, "currency_code": "XTS", "settlement_mode": "net", "fee_rule_id": "F"}
    amount = values.get("transaction_amount_minor", 0)
    dates = {"arrival_date": BROKEN_DATE, "payment_date": date(2026, 9, 4)}
    return {"entry_id": entry_id, **known, **dates, "clearing_amount_minor": amount, **values}


def _fee(trace_number: str, **values: object) -> dict[str, object]:
    known = {"adjustment_type": "fee_collection", "transmission_time": "0902100000"}
    known = {**known, "currency_code": "CNY", "funds_effect_minor": -500}
    return {"trace_number": trace_number, **known, **values}


def _dispute(voucher_id: str, *moved: tuple[str, int]) -> dict[str, list[dict[str, object]]]:
    """What an account bore of a sale, by the kind of each record; the last is the date's."""
    common = {"original_voucher_id": voucher_id, "account_id": "A1"}
    known = {"currency_code": "CNY", "disposition": "charged", "settlement_mode": "net"}
    return {
        "clearing.original_movements": [
            {
                "movement_id": f"A:{voucher_id}{number}",
                "movement_kind": "adjustment",
                "adjustment_type": kind,
                "amount_minor": amount,
                **common,
            }
            for number, (kind, amount) in enumerate(moved)
        ],
        "clearing.channel_adjustments": [
            {"adjustment_id": voucher_id, "adjustment_type": moved[-1][0], **common, **known}
        ],
    }


def _booked(
    voucher_id: str, *, swapped: bool = False, booked_as: str | None = None, **source: object
) -> dict[str, list[dict[str, object]]]:
    """The posting of a purchase of 1.00 of A1, and the source voucher as it is said to be."""
    sides = ["merchant_payable", "channel_receivable"]
    debit, credit = sides if swapped else sides[::-1]
    # No success, so that the tests of what clears leave it alone.
    known = {"account_id": "A1", "amount_minor": 100, "transaction_status": "failed"}
    said = {**known, **source}
    return {
        "raw.platform_source_vouchers": [_voucher(voucher_id, **said)],
        "ledger.accounting_vouchers": [
            {
                "accounting_voucher_id": f"B-{voucher_id}",
                "source_voucher_id": voucher_id,
                "account_id": "A1",
                "currency_code": "CNY",
                "amount_minor": 100,
                "is_catch_up": False,
                "agrees_with_source": True,
            }
        ],
        "ledger.postings": [
            _posting(
                f"TX:T:{voucher_id}",
                voucher_id=booked_as or f"B-{voucher_id}",
                source_id=voucher_id,
                event_type="transaction",
                currency_code="CNY",
                amount_minor=100,
                debit_account=debit,
                credit_account=credit,
                debit_subledger_id="A1",
                credit_subledger_id="A1",
            )
        ],
    }


def _balance(account: str, **values: object) -> dict[str, object]:
    return {"ledger_account": account, "subledger_id": "A1", "currency_code": "USD", **values}


BREAKS: dict[str, list[Break]] = {
    "assert_accounts_stand_on_their_normal_side": [
        Break(
            ["ledger_account=payouts_in_transit", "closing_amount_minor=3"],
            {
                "ledger.account_balances": [
                    _balance("payouts_in_transit", debit_amount_minor=3, closing_amount_minor=3)
                ]
            },
        ),
        Break(
            ["ledger_account=advances", "closing_amount_minor=-4"],
            {
                "ledger.account_balances": [
                    _balance("advances", credit_amount_minor=4, closing_amount_minor=-4)
                ]
            },
        ),
        Break(
            ["ledger_account=opening_balances", "normal_balance=zero", "closing_amount_minor=-5"],
            {
                "ledger.account_balances": [
                    _balance("opening_balances", credit_amount_minor=5, closing_amount_minor=-5)
                ]
            },
        ),
    ],
    "assert_accounting_vouchers_agree_with_source_vouchers": [
        Break(
            ["accounting_voucher_id=B1", "differ"],
            {
                "ledger.accounting_vouchers": [
                    {"accounting_voucher_id": "B1", "source_voucher_id": "V1"}
                ]
            },
        ),
        Break(
            ["accounting_voucher_id=B2", "no source voucher"],
            {
                "raw.platform_accounting_vouchers": [
                    {
                        "accounting_voucher_id": "B2",
                        "source_voucher_id": "V2",
                        "currency_code": "CNY",
                    }
                ]
            },
        ),
    ],
    "assert_each_approved_decision_has_its_row": [
        Break(
            ["action_id=77"],
            {
                "reconciliation.actions": [
                    {
                        "action_id": 77,
                        "action_kind": "write_off",
                        "suspense_item_id": "S:V1",
                        "effective_on": BROKEN_DATE,
                    }
                ],
                "reconciliation.action_approvals": [{"action_id": 77, "approved_by": "y"}],
            },
        ),
    ],
    "assert_adjustment_suspense_moves_with_what_is_suspended": [
        Break(
            ["channel=wechat", "suspended_minor=50", "posted_minor=0"],
            {
                "clearing.suspended_adjustments": [
                    {
                        "adjustment_id": "x:1",
                        "channel": "wechat",
                        "currency_code": "CNY",
                        "status": "suspended",
                        "funds_effect_minor": -50,
                        "suspended_on": BROKEN_DATE,
                    }
                ]
            },
        ),
        Break(
            ["channel=alipay", "suspended_minor=0", "posted_minor=-30"],
            {
                "ledger.postings": [
                    {
                        "posting_id": "ADJ:x:2:charged",
                        "event_type": "adjustment_charged",
                        "source_kind": "statement",
                        "channel": "alipay",
                        "currency_code": "CNY",
                        "debit_account": "merchant_payable",
                        "credit_account": "adjustments_receivable",
                        "amount_minor": 30,
                    }
                ]
            },
        ),
    ],
    "assert_clearing_records_sum_to_entries": [
        Break(
            ["currency_code=CNY", "entries_minor=None", "records_minor=100"],
            {
                "clearing.clearing_records": [
                    {
                        "currency_code": "CNY",
                        "transaction_count": 1,
                        "transaction_amount_minor": 100,
                        "clearing_amount_minor": 100,
                    }
                ]
            },
        ),
        Break(
            ["currency_code=USD", "entries_minor=50", "records_minor=None"],
            {
                "clearing.clearing_entries": [
                    {
                        "entry_id": "T:V1",
                        "clearing_session_type": "adjustment",
                        "currency_code": "USD",
                        "settlement_mode": "net",
                        "transaction_amount_minor": 50,
                        "clearing_amount_minor": 50,
                        "arrival_date": BROKEN_DATE,
                        "payment_date": date(2026, 9, 4),
                    }
                ]
            },
        ),
    ],
    "assert_monthly_volumes_carry_what_cleared": [
        Break(
            ["account_id=A-lost", "opening_minor=None", "added_minor=None", "cleared_minor=50"],
            {
                "clearing.clearing_entries": [
                    {
                        "entry_id": "T:V-lost",
                        "clearing_session_type": "adjustment",
                        "account_id": "A-lost",
                        "currency_code": "EUR",
                        "settlement_mode": "net",
                        "transaction_amount_minor": 50,
                        "clearing_amount_minor": 50,
                        "arrival_date": BROKEN_DATE,
                        "payment_date": date(2026, 9, 4),
                    }
                ]
            },
        ),
        Break(
            ["account_id=A-more", "opening_minor=7", "carried_minor=0", "added_minor=3"],
            {
                "clearing.monthly_volumes": [
                    {
                        "account_id": "A-more",
                        "currency_code": "CNY",
                        "volume_month": date(2026, 9, 1),
                        "opening_volume_minor": 7,
                        "cleared_volume_minor": 3,
                        "month_volume_minor": 10,
                    }
                ]
            },
        ),
    ],
    "assert_disputes_take_and_give_back_in_turn": [
        Break(
            ["V-again", "charged_back_minor=3", "represented_minor=8", "charged_again_minor=0"],
            _dispute("V-again", ("first_chargeback", 3), ("representment", -8)),
        ),
        Break(
            ["V-twice", "charged_back_minor=4", "represented_minor=0", "charged_again_minor=4"],
            _dispute("V-twice", ("first_chargeback", 4), ("second_chargeback", 4)),
        ),
    ],
    "assert_channels_are_set_up": [
        Break(
            ["record_id=2026-09-01", "code_kind=channel switched off with open items", "code=gone"],
            {
                "reconciliation.suspense_rollforward": [
                    {
                        "accounting_date": BROKEN_DATE - timedelta(days=1),
                        "channel": "gone",
                        "side": "system",
                        "opened_count": 1,
                        "opened_amount_minor": 100,
                        "closing_count": 1,
                        "closing_amount_minor": 100,
                    }
                ]
            },
        ),
        Break(
            ["record_id=2026-09-01", "switched off with a date that is not paid", "code=unpaid"],
            {
                "reconciliation.suspense_rollforward": [
                    {
                        "accounting_date": BROKEN_DATE - timedelta(days=1),
                        "channel": "unpaid",
                        "side": "system",
                    }
                ]
            },
        ),
        Break(
            [":7", "code_kind=currency of the channel", "code=USD"],
            {
                "raw.unionpay_aerrn": [
                    {"line_number": 7, "adjustment_type": "chargeback", "currency_code": "USD"}
                ]
            },
        ),
        Break(
            ["record_id=fee0", "code_kind=fund bill of a channel", "code=newpay"],
            {
                "control.channel_files": [
                    {
                        "file_id": f"fee0{'0' * 12}",
                        "sha256": f"fee0{'0' * 60}",
                        "channel": "newpay",
                        "file_kind": "fund_bill_basic",
                        "row_count": 0,
                        "totals_status": "agree",
                        "status": "landed",
                        "masked_values": "[]",
                    }
                ]
            },
        ),
    ],
    "assert_codes_are_known": [
        Break(
            ["record_id=V3", "code_kind=channel", "code=newpay"],
            {"raw.platform_source_vouchers": [_voucher("V3", channel="newpay")]},
        ),
        Break(
            ["record_id=V4", "code_kind=transaction_type", "code=gift"],
            {"raw.platform_source_vouchers": [_voucher("V4", transaction_type="gift")]},
        ),
        Break(
            [":9", "code_kind=transaction_type", "code=lottery"],
            {
                "raw.unionpay_acomn": [
                    {"line_number": 9, "transaction_type": "lottery", "currency_code": "CNY"}
                ]
            },
        ),
        Break(
            [":8", "code_kind=adjustment_type", "code=apology"],
            {
                "raw.unionpay_aerrn": [
                    {"line_number": 8, "adjustment_type": "apology", "currency_code": "CNY"}
                ]
            },
        ),
    ],
    "assert_billed_fees_on_the_ledger_are_open_bills": [
        Break(
            ["account_id=A9", "bills_minor=0", "ledger_minor=77"],
            {
                "ledger.account_balances": [
                    {
                        "ledger_account": "billed_fee_receivable",
                        "subledger_id": "A9",
                        "currency_code": "CNY",
                        "debit_amount_minor": 77,
                        "closing_amount_minor": 77,
                    }
                ]
            },
        ),
    ],
    "assert_each_cleared_voucher_is_priced": [
        Break(
            ["voucher_id=P1", "no contract with a fee rule"],
            {"intermediate.int_pricing__priced_vouchers": [_priced("P1", contract_id=None)]},
        ),
        Break(
            ["voucher_id=P2", "no contract of this account"],
            {"intermediate.int_pricing__priced_vouchers": [_priced("P2", settlement_mode=None)]},
        ),
        Break(
            ["voucher_id=P3", "no fee"],
            {"intermediate.int_pricing__priced_vouchers": [_priced("P3", fee_amount_minor=None)]},
        ),
    ],
    "assert_each_record_is_reconciled_once": [
        Break(
            ["source_id=V5", "record_count=1", "result_count=0"],
            {
                "intermediate.int_reconciliation__pool": [
                    {"side": "system", "source_id": "V5", "is_open_item": False}
                ]
            },
        ),
        Break(
            ["source_id=V6", "record_count=0", "result_count=1"],
            {"reconciliation.reconciliation_results": [_result("O:1", "V6")]},
        ),
        Break(
            ["source_id=V7", "record_count=1", "result_count=2"],
            {
                "intermediate.int_reconciliation__pool": [
                    {"side": "system", "source_id": "V7", "is_open_item": False}
                ],
                "reconciliation.reconciliation_results": [
                    _result("O:2", "V7"),
                    _result("O:3", "V7", outcome="system_one_sided"),
                ],
            },
        ),
    ],
    "assert_fee_records_stand_once": [
        Break(
            [":71", "trace_number=000071", ":72"],
            {
                "raw.unionpay_fcp": [
                    _fee("000071", line_number=71),
                    _fee("000071", line_number=72),
                ]
            },
        ),
        Break(
            [":73", "trace_number=000073", ":74"],
            {
                "raw.unionpay_fcp": [_fee("000073", line_number=73)],
                "raw.unionpay_aerrn": [_fee("000073", line_number=74, funds_effect_minor=-501)],
            },
        ),
    ],
    "assert_frozen_sessions_keep_their_entries": [
        Break(
            ["entry_id=T:gone", "frozen_no=7", "built_no=None"],
            {
                "control.clearing_session_freezes": [
                    {
                        "freeze_id": 901,
                        "clearing_session_type": "transaction",
                        "clearing_session_no": 7,
                    }
                ],
                "control.clearing_session_members": [{"freeze_id": 901, "entry_id": "T:gone"}],
            },
        ),
        Break(
            ["entry_id=T:later", "frozen_no=None", "built_no=7"],
            {"clearing.clearing_entries": [_cleared("T:later")]},
        ),
        Break(
            ["entry_id=T:other", "frozen_minor=4", "built_minor=5"],
            {
                "control.clearing_session_members": [
                    {
                        "freeze_id": 901,
                        "entry_id": "T:other",
                        "transaction_amount_minor": 4,
                        "clearing_amount_minor": 4,
                    }
                ],
                "clearing.clearing_entries": [_cleared("T:other", transaction_amount_minor=5)],
            },
        ),
        Break(
            ["entry_id=T:fee", "frozen_fee_minor=1", "built_fee_minor=0"],
            {
                "control.clearing_session_members": [
                    {"freeze_id": 901, "entry_id": "T:fee", "fee_amount_minor": 1}
                ],
                "clearing.clearing_entries": [_cleared("T:fee")],
            },
        ),
    ],
    "assert_postings_are_in_the_chart": [
        Break(
            ["posting_id=E1", "credit_account=unheard_of"],
            {"ledger.postings": [_posting("E1", credit_account="unheard_of")]},
        ),
        Break(
            ["posting_id=E2", "debit_account=unheard_of"],
            {"ledger.postings": [_posting("E2", debit_account="unheard_of")]},
        ),
        Break(
            ["posting_id=E3", "rule=negative_balance.reclassed"],
            {"ledger.postings": [_posting("E3", rule="negative_balance.reclassed")]},
        ),
        Break(
            ["posting_id=E4", "rule=none"],
            {"ledger.postings": [_posting("E4", rule="none")]},
        ),
    ],
    "assert_each_posting_has_a_kind_of_voucher": [
        Break(
            ["posting_id=E5", "event_type=no_such_event"],
            {"ledger.postings": [_posting("E5", event_type="no_such_event")]},
        ),
    ],
    "assert_postings_say_what_their_source_voucher_says": [
        Break(
            ["source_id=V51", "transaction_type=refund"],
            _booked("V51", transaction_type="refund", amount_minor=-100),
        ),
        Break(["source_id=V52"], _booked("V52", amount_minor=101)),
        Break(["source_id=V53"], _booked("V53", account_id="A2")),
        Break(["source_id=V54", "credit_account=channel_receivable"], _booked("V54", swapped=True)),
        Break(["source_id=V55"], _booked("V55", booked_as="B-other")),
    ],
    "assert_source_voucher_ids_are_unique": [
        Break(
            ["voucher_id=V8", "voucher_count=2", "first_line=1", "last_line=2"],
            {
                "raw.platform_source_vouchers": [
                    _voucher("V8", line_number=1),
                    _voucher("V8", line_number=2),
                ]
            },
        ),
    ],
    "assert_suspense_ledger_equals_open_items": [
        Break(
            ["ledger_account=system_suspense", "open_items_minor=7", "ledger_minor=0"],
            {
                "reconciliation.suspense_rollforward": [
                    {
                        "channel": "wechat",
                        "side": "system",
                        "currency_code": "CNY",
                        "opened_amount_minor": 7,
                        "closing_amount_minor": 7,
                    }
                ]
            },
        ),
        Break(
            ["ledger_account=channel_suspense", "open_items_minor=0", "ledger_minor=-9"],
            {
                "ledger.account_balances": [
                    {
                        "ledger_account": "channel_suspense",
                        "subledger_id": "alipay",
                        "currency_code": "CNY",
                        "credit_amount_minor": 9,
                        "closing_amount_minor": -9,
                    }
                ]
            },
        ),
    ],
    "assert_vouchers_are_cleared_once": [
        Break(
            ["voucher_id=P9", "row_count=2"],
            {"intermediate.int_pricing__priced_vouchers": [_priced("P9"), _priced("P9")]},
        ),
    ],
}
CASES = [
    pytest.param(name, broken, id=f"{name.removeprefix('assert_')}-{number}")
    for name, breaks in BREAKS.items()
    for number, broken in enumerate(breaks)
]


# Tables that are not partitioned by date, besides those of the schema intermediate.
PLAIN_TABLES = {
    "clearing.original_movements",
    "control.channel_files",
    "control.clearing_session_freezes",
    "control.clearing_session_members",
    "reconciliation.actions",
    "reconciliation.action_approvals",
}


class Breaker:
    """Puts rows into tables of the database, filling in what they must have."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.line_number = 100

    def insert(self, table: str, day: date, row: Mapping[str, object]) -> None:
        """Insert one row of a date, with something in each NOT NULL column it does not name."""
        schema, name = table.split(".")
        values = {**self._required(table), "accounting_date": day, **row}
        if schema == "raw":
            self.line_number += 1
            provenance = {"file_id": self._file(name, day), "line_number": self.line_number}
            values = {**values, **provenance, **row}
        columns = self._columns(table)
        day = row.get("accounting_date", day)  # type: ignore[assignment]
        values = {column: value for column, value in values.items() if column in columns}
        if schema != "intermediate" and table not in PLAIN_TABLES:
            self.connection.execute(
                f"create table if not exists {schema}.{name}_{day:%Y%m%d} partition of {table}"
                f" for values in ('{day}')"
            )
        self.connection.execute(
            sql.SQL("insert into {} ({}) overriding system value values ({})").format(
                sql.Identifier(schema, name),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )

    def _columns(self, table: str) -> dict[str, tuple[str, bool]]:
        rows = self.connection.execute(
            "select attname, atttypid::regtype::text, attnotnull from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            [table],
        ).fetchall()
        return {name: (type_name, not_null) for name, type_name, not_null in rows}

    def _required(self, table: str) -> dict[str, object]:
        plain = {"text": "x", "boolean": False, "date": BROKEN_DATE, "numeric": 0}
        return {
            name: plain.get(type_name, f"{BROKEN_DATE}" if "time" in type_name else 0)
            for name, (type_name, not_null) in self._columns(table).items()
            if not_null
        }

    def _file(self, name: str, day: date) -> str:
        """Return a landed file of the table's kind and date."""
        channel, kind = name.split("_", 1)
        digest = sha256(f"{name}{day}".encode()).hexdigest()
        self.connection.execute(
            "insert into control.channel_files (file_id, file_name, file_url, sha256, size_bytes,"
            " channel, file_kind, accounting_date, booked_on, row_count, totals_status, status)"
            " values (left(%(hash)s, 16), %(kind)s, 'file:///x', %(hash)s, 1, %(channel)s,"
            " %(kind)s, %(day)s, %(day)s, 1, 'none_in_format', 'landed') on conflict do nothing",
            {"hash": digest, "channel": channel, "kind": kind, "day": day},
        )
        return digest[:16]


@pytest.fixture(scope="module")
def found_rows(built: Settings) -> dict[date, dict[str, tuple[str, ...]]]:
    """Every close test on a date on which all invariants are broken, and on one without rows."""
    with database.connect(built) as connection:
        breaker = Breaker(connection)
        for day in (BROKEN_DATE, DATE_WITHOUT_ROWS):
            connection.execute(
                "insert into control.accounting_days (accounting_date, state) values (%s, 'open')"
                " on conflict do nothing",
                [day],
            )
        for broken in (broken for breaks in BREAKS.values() for broken in breaks):
            for table, rows in broken.rows.items():
                for row in rows:
                    breaker.insert(table, broken.accounting_date, row)
    found = {}
    for day in (BROKEN_DATE, DATE_WITHOUT_ROWS):
        report = transform.run_dbt(
            built,
            ["test", "--select", "path:tests/close"],
            {**DATES, "TIEOUT_ACCOUNTING_DATE": day.isoformat()},
        )
        found[day] = {failure.name: failure.rows for failure in report.failures}
    with database.connect(built) as connection:
        connection.execute("truncate intermediate.int_pricing__priced_vouchers")
        connection.execute("truncate intermediate.int_reconciliation__pool")
    return found


def test_each_singular_test_has_a_broken_case() -> None:
    tests = {path.stem for path in CLOSE_TESTS.glob("*.sql")}
    assert len(tests) >= 10
    assert tests == set(BREAKS), "a data test that nobody has seen fail proves nothing"


@pytest.mark.parametrize(("name", "broken"), CASES)
def test_singular_test_goes_red(
    found_rows: dict[date, dict[str, tuple[str, ...]]], name: str, broken: Break
) -> None:
    rows = found_rows[broken.accounting_date].get(name, ())
    assert any(all(part in row for part in broken.says) for row in rows), (
        f"{name} did not say {broken.says}; it said {rows}"
    )


def test_singular_tests_are_green_on_a_date_that_holds(
    built: Settings, found_rows: dict[date, dict[str, tuple[str, ...]]]
) -> None:
    """The empty date was built with its tests; one without rows breaks none of its own."""
    assert set(found_rows[DATE_WITHOUT_ROWS]) <= {
        # Tables rebuilt each close hold the broken rows, whatever the date.
        "assert_each_cleared_voucher_is_priced",
        "assert_each_record_is_reconciled_once",
        "assert_vouchers_are_cleared_once",
        # The date before is the broken one: its rows were not built, and nothing carried them on.
        "assert_monthly_volumes_carry_what_cleared",
    }


# --- postings and their legs --------------------------------------------------------------------


def test_filter_on_the_date_reads_that_date_only(
    built: Settings, found_rows: dict[date, dict[str, tuple[str, ...]]]
) -> None:
    """Both legs come from the date's own partition, also where the date is known at run time."""
    assert BROKEN_DATE in found_rows, "its postings make a partition"
    with database.connect(built) as connection:
        partitions = connection.execute(
            "select count(*) from pg_inherits where inhparent = 'ledger.postings'::regclass"
        ).fetchone()
        assert partitions is not None
        assert partitions[0] >= 2
        plans = [
            connection.execute(f"explain (analyze) {READ_BY_DATE} {filter_sql}").fetchall()
            for filter_sql in (
                f"where accounting_date = '{BROKEN_DATE}'",
                "where accounting_date = (select max(accounting_date) from control.accounting_days"
                f" where accounting_date = '{BROKEN_DATE}')",
            )
        ]
        whole = connection.execute(f"explain {READ_BY_DATE}").fetchall()
    wanted = f"postings_{BROKEN_DATE:%Y%m%d}"
    assert len(scanned(whole)) == 2 * partitions[0]
    for plan in plans:
        assert scanned(plan) == [wanted, wanted]


def test_each_posting_is_two_entries_with_ids_of_their_own(
    built: Settings, found_rows: dict[date, dict[str, tuple[str, ...]]]
) -> None:
    assert BROKEN_DATE in found_rows
    with database.connect(built) as connection:
        counts = connection.execute(
            "select (select count(*) from ledger.postings), count(*),"
            " count(distinct (accounting_date, entry_id)),"
            " count(distinct (accounting_date, left(entry_id, -2)))"
            " from ledger.journal_entries where direction in ('debit', 'credit')"
        ).fetchone()
    assert counts is not None
    assert counts[0] >= 5
    assert counts == (counts[0], 2 * counts[0], 2 * counts[0], counts[0])


READ_BY_DATE = "select sum(amount_minor) from ledger.journal_entries"


def scanned(plan: Sequence[Sequence[str]]) -> list[str]:
    """Return the partitions that a plan reads, or has read where it ran."""
    lines = [str(line[0]) for line in plan]
    scans = [line for line in lines if " on postings_" in line and "never executed" not in line]
    return [line.partition(" on ")[2].split()[0] for line in scans]


SHAPE = {
    "columns": """
        select attname, format_type(atttypid, atttypmod), attnotnull
        from pg_attribute
        where attrelid = '{0}'::regclass and attnum > 0 and not attisdropped
        order by attnum
    """,
    "constraints": """
        select conname, pg_get_constraintdef(oid)
        from pg_constraint
        where conrelid = '{0}'::regclass
        order by conname
    """,
    "partitioned by": "select pg_get_partkeydef('{0}'::regclass)",
    "guards": """
        select tgname, pg_get_triggerdef(oid)
        from pg_trigger
        where tgrelid = '{0}'::regclass and not tgisinternal
        order by tgname
    """,
}


def test_migrated_journal_has_the_shape_that_dbt_builds(built: Settings) -> None:
    """A home of before gets, by the migration, the very table and view that a new one has."""
    migration = import_module("tieout.migrations.versions.0026_postings")
    later = import_module("tieout.migrations.versions.0049_own_money")
    with database.connect(built) as connection:
        new = {name: connection.execute(text.format("ledger.postings")).fetchall()
               for name, text in SHAPE.items()}  # fmt: skip
        view = "select pg_get_viewdef('ledger.journal_entries'::regclass)"
        new_view = connection.execute(view).fetchone()
        columns = connection.execute(SHAPE["columns"].format("ledger.journal_entries")).fetchall()
        # The same names aside from dbt's own; all of it is rolled back.
        connection.execute("alter schema ledger rename to ledger_of_dbt; create schema ledger")
        connection.execute(migration.POSTINGS)
        connection.execute(migration.ENTRIES.replace("\\:", ":"))
        connection.execute(later.POSTING_SOURCES)
        connection.execute(
            "select control.guard_parent('ledger.postings'::regclass, 'accounting_date')"
        )
        migrated = {name: connection.execute(text.format("ledger.postings")).fetchall()
                    for name, text in SHAPE.items()}  # fmt: skip
        rows = "select * from ledger.journal_entries limit 0"
        migrated_columns = [column.name for column in connection.execute(rows).description or ()]
        migrated_types = connection.execute(
            SHAPE["columns"].format("ledger.journal_entries")
        ).fetchall()
        connection.rollback()
    assert len(new["columns"]) > 20
    assert len(new["constraints"]) > 5
    assert migrated == new
    assert new_view is not None
    assert (migrated_columns, migrated_types) == ([name for name, *_ in columns], columns)


def test_view_is_replaced_where_it_stands_so_its_grants_stay(built: Settings) -> None:
    with database.connect(built) as connection:
        connection.execute("create role entries_reader")
        connection.execute("grant select on ledger.journal_entries to entries_reader")
    identity = "select oid, has_table_privilege('entries_reader', oid, 'select') from pg_class"
    where = " where oid = 'ledger.journal_entries'::regclass"
    try:
        with database.connect(built) as connection:
            before = connection.execute(identity + where).fetchone()
        report = transform.run_dbt(built, ["run", "--select", "journal_entries"], DATES)
        assert (report.failures, report.models) == ((), 1)
        with database.connect(built) as connection:
            assert connection.execute(identity + where).fetchone() == before
        assert before is not None
        assert before[1] is True
    finally:
        with database.connect(built) as connection:
            connection.execute("drop owned by entries_reader; drop role entries_reader")


# --- what a process does before it builds --------------------------------------------------------


def test_a_process_takes_over_what_was_parsed_for_another_date_and_server(
    built: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command has a process of its own, and a copied home another port: neither parses anew."""

    def refuse() -> None:
        raise AssertionError("dbt reads the source of each frame of the stack: seconds")

    # As in a new process, that finds another server than the one before it.
    monkeypatch.setattr(transform, "_manifests", {})
    monkeypatch.setattr(behavior_flags, "inspect", SimpleNamespace(stack=refuse))
    assert "127.0.0.1" in str(built.external_database_url)
    other = replace(
        built,
        external_database_url=str(built.external_database_url).replace("127.0.0.1", "localhost"),
    )
    manifest = built.dbt_dir / "target" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    day = dict.fromkeys(DATES, "2026-09-29")
    report = transform.run_dbt(other, ["build", "--select", "journal_entries"], day)
    assert (report.failures, report.models) == ((), 1)
    parsed = json.loads((built.dbt_dir / "target" / "perf_info.json").read_text(encoding="utf-8"))
    assert parsed["path_count"] > 400
    assert parsed["parsed_path_count"] == 0
    assert manifest.stat().st_mtime_ns == before


# --- reference data -----------------------------------------------------------------------------


def test_log_of_dbt_has_what_went_wrong_and_no_more(built: Settings, tmp_path: Path) -> None:
    """An error text sends its reader there."""
    log = built.dbt_dir / "logs" / "dbt.log"
    before = log.read_text("utf-8") if log.exists() else ""
    transform.run_dbt(built, ["test", "--select", "assert_nothing_of_the_kind"], {})
    said = log.read_text("utf-8").removeprefix(before)
    assert "assert_nothing_of_the_kind' does not match any enabled nodes" in said
    assert "Running with dbt" not in said


def test_calendar_seed_is_the_calendar_of_the_program() -> None:
    with SEED.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == workdays.SEED_COLUMNS
    assert len(rows) == 730
    expected = workdays.calendar_rows(workdays.FIRST_SEED_DATE, workdays.known_through())
    assert [tuple(row) for row in rows] == expected


def test_calendar_seed_knows_the_sample_week(built: Settings) -> None:
    with database.connect(built) as connection:
        rows = connection.execute(
            "select calendar_date::text, is_working_day, next_working_day::text"
            " from reference.calendar_days"
            " where calendar_date between '2026-09-24' and '2026-10-01' order by calendar_date"
        ).fetchall()
    assert rows == [
        ("2026-09-24", True, "2026-09-28"),
        ("2026-09-25", False, "2026-09-28"),
        ("2026-09-26", False, "2026-09-28"),
        ("2026-09-27", False, "2026-09-28"),
        ("2026-09-28", True, "2026-09-29"),
        ("2026-09-29", True, "2026-09-30"),
        ("2026-09-30", True, "2026-10-08"),
        ("2026-10-01", False, "2026-10-08"),
    ]


def test_seed_file_is_where_the_tests_look(tmp_path: Path) -> None:
    written = workdays.write_seed(tmp_path / "calendar_days.csv")
    assert written == 730
    assert (tmp_path / "calendar_days.csv").read_bytes() == SEED.read_bytes()
