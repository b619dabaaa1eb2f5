"""The one Airflow plugin: the documents in Airflow's menu, and the decisions of Airflow's users.

Airflow does not protect a plugin's application: each page here asks Airflow's own login first.
"""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.plugins_manager import AirflowPlugin
from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse

from tieout.core.settings import load_settings
from tieout.gateway import users
from tieout.gateway.routes import router_for

PREFIX = "/tieout"
FOLDERS = {"dbt": "dbt", "data-docs": "data-docs"}

app = FastAPI(title="Tieout documents", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/docs/{name}/{path:path}")
def document(name: str, path: str, user: GetUserDep) -> FileResponse:
    """Return a file of the documents; 401 without a login, 404 where there is none."""
    if user is None or name not in FOLDERS:
        raise HTTPException(status_code=404)
    root = (load_settings().docs_dir / FOLDERS[name]).resolve()
    target = (root / (path or "index.html")).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(root) or not target.is_file():
        raise HTTPException(status_code=404, detail="not written yet: run `tieout docs`")
    return FileResponse(Path(target))


def user_name(user: GetUserDep) -> str:
    """Return the name of the user whom Airflow's auth manager has authenticated; else 401 or 403.

    A user without a deciding role is refused, whoever they are on record as: who looks at runs is
    not thereby somebody who decides.
    """
    return users.deciding_name(user, load_settings())


app.include_router(router_for(user_name))


class TieoutPlugin(AirflowPlugin):
    """Registers the application and its two menu entries."""

    name = "tieout"
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": "Tieout documents"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Tables (dbt docs)",
            "href": f"{PREFIX}/docs/dbt/",
            "destination": "nav",
            "category": "browse",
            "url_route": "tieout_dbt_docs",
        },
        {
            "name": "Gate (Data Docs)",
            "href": f"{PREFIX}/docs/data-docs/",
            "destination": "nav",
            "category": "browse",
            "url_route": "tieout_data_docs",
        },
    ]
