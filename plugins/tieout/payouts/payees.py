"""Payees whom no payment file can name: found before statements are computed, and withheld.

Landing refuses such a payee. What landed before it did, or by an older definition, is found here:
names and account numbers are ciphertext, and only the program can look at them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from tieout.core.payment_texts import address_text
from tieout.core.settings import Settings
from tieout.database import connect
from tieout.payouts import batches, rails
from tieout.payouts.accounts import paying_accounts
from tieout.payouts.batches import Address, Debtor, Payment
from tieout.protection import tokens
from tieout.protection.tokens import SecretsError

# What every rail can hold, in place of what differs from payment to payment.
_ANY_TEXT: Final = "1"

# The snapshot that the statements of the payment date take their payees from.
_PAYEES = """
    with landed as (
        select
            payees.payee_id,
            payees.payee_version,
            payees.bank_name,
            payees.bank_code,
            payees.account_number_ciphertext,
            payees.account_name_ciphertext,
            payees.currency_code,
            payees.town,
            payees.country_code,
            payees.post_code,
            payees.street_ciphertext,
            payees.building_ciphertext,
            payees.accounting_date
        from raw.platform_payees as payees
        inner join control.channel_files as files
            on payees.file_id = files.file_id
        where
            files.status = 'landed'
            and payees.payee_status = 'active'
            and payees.accounting_date < %(payment_date)s
            and payees.accounting_date >= %(payment_date)s::date - 31
    )

    select
        payee_id,
        payee_version,
        bank_name,
        bank_code,
        account_number_ciphertext,
        account_name_ciphertext,
        currency_code,
        town,
        country_code,
        post_code,
        street_ciphertext,
        building_ciphertext
    from landed
    where accounting_date = (select max(accounting_date) from landed)
    order by payee_id, payee_version
"""


def note_unwritable(settings: Settings, payment_date: date) -> int:
    """Put on record whom no file of ``payment_date`` can name, in place of an earlier run's rows.

    Returns how many there are. A ciphertext that does not open is left to `submit`, which stops.
    """
    with connect(settings) as connection, connection.transaction():
        rows = connection.execute(_PAYEES, {"payment_date": payment_date}).fetchall()
        debtors = paying_accounts(connection)
        found = [
            (payment_date, str(payee_id), int(version), reason)
            for payee_id, version, *texts in rows
            if (reason := _why(settings, debtors, (str(payee_id), str(version)), *texts))
            is not None
        ]
        connection.execute(
            "delete from payout.unwritable_payees where payment_date = %s", [payment_date]
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into payout.unwritable_payees"
                " (payment_date, payee_id, payee_version, reason) values (%s, %s, %s, %s)",
                found,
            )
    return len(found)


_VERSION = """
    select
        payees.bank_name,
        payees.bank_code,
        payees.account_number_ciphertext,
        payees.account_name_ciphertext,
        payees.currency_code,
        payees.town,
        payees.country_code,
        payees.post_code,
        payees.street_ciphertext,
        payees.building_ciphertext
    from raw.platform_payees as payees
    inner join control.channel_files as files
        on payees.file_id = files.file_id
    where
        files.status = 'landed'
        and payees.payee_id = %(payee_id)s
        and payees.payee_version = %(payee_version)s
        and payees.accounting_date < %(day)s
        and payees.accounting_date >= %(day)s::date - 31
    order by payees.accounting_date desc, payees.file_id, payees.line_number
    limit 1
"""


def why_not_written(settings: Settings, payee_id: str, payee_version: int, day: date) -> str | None:
    """Say why no payment file of ``day`` can name a payee's version, or None; no clear text."""
    with connect(settings) as connection:
        row = connection.execute(
            _VERSION, {"payee_id": payee_id, "payee_version": payee_version, "day": day}
        ).fetchone()
        debtors = paying_accounts(connection)
    if row is None:
        return f"no payees file of the month before {day} has it"
    return _why(settings, debtors, (payee_id, str(payee_version)), *row)


def _why(  # noqa: PLR0917  two callers, each with a row of a query
    settings: Settings,
    debtors: Mapping[str, Sequence[Debtor]],
    payee: tuple[str, str],
    bank_name: str,
    bank_code: str,
    number_ciphertext: str,
    name_ciphertext: str,
    currency_code: str,
    *address: str | None,
) -> str | None:
    try:
        number = tokens.decrypt_bound(
            number_ciphertext, ("account_number", *payee), settings=settings
        )
        name = tokens.decrypt_bound(name_ciphertext, ("account_name", *payee), settings=settings)
        structured = address_of(settings, payee, *address)
    except SecretsError:
        return None
    payment = Payment(
        end_to_end_id=_ANY_TEXT,
        amount_minor=1,
        currency_code=currency_code,
        bank_code=bank_code,
        bank_name=bank_name,
        account_number=number,
        account_name=name,
        remittance_text=_ANY_TEXT,
        address=structured,
    )
    # A currency without one account is told by `submit`; until then the usual rail's texts count.
    for debtor in debtors.get(currency_code, ()):
        why = rails.of(debtor.rail).why_unwritable(payment) or batches.why_no_address(
            debtor, payment
        )
        if why is not None:
            return why
    return next(iter(rails.RAILS.values())).why_unwritable(payment)


def address_of(  # noqa: PLR0917  the columns of a landed payee
    settings: Settings,
    payee: tuple[str, str],
    town: str | None = None,
    country_code: str | None = None,
    post_code: str | None = None,
    street_ciphertext: str | None = None,
    building_ciphertext: str | None = None,
) -> Address | None:
    """Return a payee's structured address; None without its town and country, which banks want.

    Raises:
        SecretsError: a ciphertext does not open, or is of another row.
    """
    if town is None or country_code is None:
        return None
    street, building = _opened(settings, payee, street_ciphertext, building_ciphertext)
    return Address(town, country_code, street, building, post_code)


def address_text_of(  # noqa: PLR0917  the columns of a landed payee
    settings: Settings,
    payee: tuple[str, str],
    town: str | None,
    country_code: str | None,
    post_code: str | None,
    street_ciphertext: str | None,
    building_ciphertext: str | None,
) -> str:
    """Return what a payee's address states as the text its token is of, in clear.

    Raises:
        SecretsError: a ciphertext does not open, or is of another row.
    """
    street, building = _opened(settings, payee, street_ciphertext, building_ciphertext)
    return address_text(town, country_code, post_code, street, building)


def _opened(
    settings: Settings,
    payee: tuple[str, str],
    street_ciphertext: str | None,
    building_ciphertext: str | None,
) -> tuple[str | None, str | None]:
    street, building = (
        None if text is None else tokens.decrypt_bound(text, (field, *payee), settings=settings)
        for field, text in (("street", street_ciphertext), ("building", building_ciphertext))
    )
    return street, building
