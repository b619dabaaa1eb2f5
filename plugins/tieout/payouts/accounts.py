"""The account a currency's payouts are paid from, its rail, and what its bank takes."""

from __future__ import annotations

from typing import Any

import psycopg

from tieout.core.errors import TieoutError
from tieout.payouts.batches import Debtor

__all__ = ["paying_account", "paying_accounts"]

_ACCOUNTS = """
    select
        accounts.currency_code,
        accounts.account_name,
        accounts.bank_account_id,
        accounts.bank_code,
        accounts.bank_name,
        accounts.payment_message,
        payout_rails.rail,
        payout_rails.customer_id,
        payout_rails.payments_per_file,
        payout_rails.payment_limit_minor,
        payout_rails.creditor_address
    from reference.bank_accounts as accounts
    inner join reference.payout_rails as payout_rails
        on accounts.bank_account_id = payout_rails.bank_account_id
    where accounts.account_kind = 'client_reserve'
    order by accounts.currency_code, accounts.bank_account_id
"""


def paying_accounts(connection: psycopg.Connection[Any]) -> dict[str, list[Debtor]]:
    """Return the client-reserve accounts that have a rail, by currency."""
    accounts: dict[str, list[Debtor]] = {}
    for row in connection.execute(_ACCOUNTS).fetchall():
        currency_code, name, account_id, bank_code, bank_name, message_name, rail = map(
            str, row[:7]
        )
        customer_id, payments_per_file, limit_minor, address = row[7:]
        accounts.setdefault(currency_code, []).append(
            Debtor(
                name=name,
                bank_account_id=account_id,
                bank_code=bank_code,
                bank_name=bank_name,
                message_name=message_name,
                rail=rail,
                customer_id=customer_id or "",
                payments_per_file_max=payments_per_file,
                payment_minor_max=limit_minor,
                is_address_wanted=address == "structured",
            )
        )
    return accounts


def paying_account(connection: psycopg.Connection[Any], currency_code: str) -> Debtor:
    """Return the one account that payouts of a currency are paid from.

    Raises:
        TieoutError: reference data has none with a rail, or several.
    """
    found = paying_accounts(connection).get(currency_code, [])
    if len(found) != 1:
        raise TieoutError(
            what=f"{len(found)} client-reserve accounts with a rail for {currency_code}",
            where="reference.bank_accounts, reference.payout_rails",
            why="a payout needs exactly one account to be paid from, and one way to its bank",
            next_step="correct the seeds bank_accounts and payout_rails and load them again",
        )
    return found[0]
