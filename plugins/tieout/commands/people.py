"""`tieout people`: who decides, and with which login."""

from __future__ import annotations

from typing import Annotated

import typer

from tieout import database
from tieout.commands import shared
from tieout.core.progress import say
from tieout.database import persons

__all__ = ["app"]

app = typer.Typer(
    help="List who decides and give people logins of their own. 决定人与登录。",
    no_args_is_help=True,
)
Person = Annotated[str, typer.Argument(metavar="PERSON", help="The name, as decisions show it")]


@app.command()
def add(
    person: Person,
    login: Annotated[
        str, typer.Option("--login", help="The person's login of the database; made where missing.")
    ],
    airflow_user: Annotated[
        str | None, typer.Option("--airflow-user", help="The same person's user of Airflow.")
    ] = None,
) -> None:
    """Give a person a login. From the first one on, nobody decides without a login."""
    path = persons.add(shared.home(), person, login, airflow_user)
    say(f"{person} decides with the login {login}")
    if path is None:
        say("the login was there before: its password stays as it is")
    else:
        say(f"its URL, with a drawn password, is in {path} (0600): hand it over and remove it")
    say("next: the person decides with TIEOUT_DATABASE_URL_PEOPLE set to it: tieout gate list")


@app.command()
def role(
    person: Person,
    decision_role: Annotated[str, typer.Argument(metavar="ROLE", help="officer or supervisor")],
) -> None:
    """Give a person the limits of a role (`reference.decision_limits`), from now on."""
    persons.give_role(shared.home(), person, decision_role)
    say(f"{person} decides within the limits of: {decision_role}")
    say("next: tieout people list")


@app.command()
def gateway(
    login: Annotated[
        str, typer.Option("--login", help="A new login of the database, for the API server alone.")
    ],
) -> None:
    """Make the login with which Airflow's API server speaks for its users."""
    path = persons.add_gateway(shared.home(), login)
    say(f"{login} speaks for users of Airflow who are people here, and for nobody else")
    say(f"its URL, with a drawn password, is in {path} (0600); whoever has it is any of them")
    say("next: give it to the API server alone, as TIEOUT_DATABASE_URL_GATEWAY, and remove it")


@app.command()
def leave(person: Person) -> None:
    """Take from a person that they decide. What they decided stays."""
    persons.leave(shared.home(), person)
    say(f"{person} does not decide any more; who they were stays on record")
    say("next: tieout people list")


@app.command("list")
def list_people() -> None:
    """List who decides, and with which login."""
    with database.connect(shared.home()) as connection:
        rows = connection.execute(
            "select person, database_login, coalesce(airflow_user, '-'),"
            " control.decision_role(person),"
            " case when is_active then 'decides' else 'left' end"
            " from control.persons order by person"
        ).fetchall()
    made = shared.table(
        "People who decide 决定人", ("person", "login", "Airflow", "limits of", "state")
    )
    for row in rows:
        made.add_row(*map(str, row))
    shared.console().print(made)
    if not rows:
        say("nobody has a login yet: decisions carry the names that are typed, and prove nobody")
    say(f"{len(rows)} people; next: tieout people add NAME --login LOGIN")
