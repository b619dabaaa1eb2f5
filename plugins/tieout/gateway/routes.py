"""The gateway's addresses: what waits, a request, an approval. Airflow says who asks."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from tieout.core.errors import TieoutError
from tieout.core.settings import load_settings
from tieout.gateway import decisions

__all__ = ["AskedBody", "router_for"]

# What a decision answers: a number, a text, a list.
Answer = TypeVar("Answer")
REFUSED = 409
NOT_HERE = 403


class AskedBody(BaseModel):
    """A request, as `decisions.Asked`; a field nobody knows is refused."""

    model_config = ConfigDict(extra="forbid")

    about: Annotated[str, Field(min_length=1, max_length=4000)]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    decision: Annotated[str, Field(max_length=40)] = ""
    other: Annotated[str | None, Field(max_length=200)] = None
    effective_on: date | None = None


def require_own_page(request: Request) -> None:
    """Refuse what another site's page makes a browser send, and any body that is no JSON.

    Airflow's login is a cookie, too, which a browser sends along whoever asked for the request.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(NOT_HERE, "not asked for by a page of this server")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise HTTPException(NOT_HERE, "not asked for by a page of this server")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method == "POST" and kind != "application/json":
        raise HTTPException(415, "a decision is sent as application/json")


def router_for(user_name: Callable[..., str]) -> APIRouter:
    """Return the gateway's router.

    Args:
        user_name: a dependency of FastAPI that gives the name of the user whom Airflow has
            authenticated, and ends the request where there is none.
    """
    router = APIRouter(prefix="/decisions", dependencies=[Depends(require_own_page)])
    user = Annotated[str, Depends(user_name)]

    @router.get("")
    def waiting(name: user) -> list[dict[str, Any]]:
        """Return what waits for a second person."""
        return _answer(lambda: decisions.waiting(_user(name)))

    @router.post("/{kind}", status_code=201)
    def request(kind: decisions.Kind, body: AskedBody, name: user) -> dict[str, Any]:
        """Ask, as the first of two people; the answer has the request's number."""
        asked = decisions.Asked(**body.model_dump())
        number = _answer(lambda: decisions.REQUESTS[kind](_user(name), asked))
        return {"number": number, "next": f"another person: POST {kind}/{number}/approval"}

    @router.post("/{kind}/{number}/approval", status_code=201)
    def approve(kind: decisions.Kind, number: int, name: user) -> dict[str, Any]:
        """Approve, as the second person, what another one has asked for."""
        return {"next": _answer(lambda: decisions.APPROVALS[kind](_user(name), number))}

    return router


def _user(name: str) -> decisions.User:
    return decisions.user_of(load_settings(), name)


def _answer(call: Callable[[], Answer]) -> Answer:
    """Return what a decision says; its refusal in the program's own words, and no traceback."""
    try:
        return call()
    except TieoutError as error:
        raise HTTPException(
            REFUSED,
            {"what": error.what, "where": error.where, "why": error.why, "next": error.next_step},
        ) from error
