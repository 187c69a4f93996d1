"""The built files of the dashboard and of the API reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from server.links import ROOT

STATIC = Path(__file__).parent / "static"
HEADERS = {
    # Logged content is not trusted, and the page loads nothing from other hosts.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Addresses of runs, sweeps and artifacts that the wandb client prints. Other pages have at most two parts.
_OF_WANDB = re.compile(
    r"(?P<entity>[^/:][^/]*)/(?P<project>[^/:][^/]*)/"
    r"(?P<part>runs(?:/(?P<run>[^/]+)(?:/.*)?)?|sweeps(?:/.*)?|artifacts(?:/[^/]+(?:/(?P<artifact>[^/]+(?:/.*)?))?)?"
    r"|workspace|table|reports)/?"
)


class _Assets(StaticFiles):
    """The built files. Their names contain a hash of their content, so that browsers need not ask again."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file that browsers keep."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def add_dashboard(
    app: FastAPI, find_revision: Callable[[Request], int | None], frame_origins: Sequence[str] = ()
) -> None:
    """Serve ``/assets``, the API reference, and the dashboard at every other address outside the API.

    Args:
        app: The application.
        find_revision: Returns the revision of the store for the caller of a page; None for a caller without
            rights. The page begins to follow changes at this revision, so it need not ask for one before it
            loads its data.
        frame_origins: Origins of the sites that may show single panels (``?embed=1``) in a frame.
    """
    assets = STATIC / "assets"
    names = {file.name for file in STATIC.iterdir() if file.is_file()} if STATIC.is_dir() else set()
    if assets.is_dir():
        app.mount("/assets", _Assets(directory=assets), name="assets")

    # Like the OpenAPI document that it shows, the reference is open and not an operation of the API.
    app.add_route("/api/v1/docs", lambda _request: _page("reference.html"), include_in_schema=False)

    def page(request: Request) -> Response:
        path: str = request.path_params["path"]
        if path.startswith("api/"):
            raise HTTPException(404, f"Address {path!r} does not exist.")
        if path and "/" not in path and path in names:
            return FileResponse(STATIC / path, headers=HEADERS)
        if (place := page_of_wandb(path)) is not None:
            return RedirectResponse(f"{ROOT.get()}{place}")
        answer = _page("index.html", find_revision(request))
        if frame_origins and request.query_params.get("embed") == "1":
            policy = answer.headers["Content-Security-Policy"]
            framed = policy.replace("frame-ancestors 'none'", f"frame-ancestors {' '.join(frame_origins)}")
            answer.headers["Content-Security-Policy"] = framed
        return answer

    app.add_route("/{path:path}", page, include_in_schema=False)


def page_of_wandb(path: str) -> str | None:
    """Return the address of the page that the wandb client means by an address that it prints, or None.

    Args:
        path: The path of the address, decoded and without a slash at the beginning.
    """
    found = _OF_WANDB.fullmatch(path)
    if found is None:
        return None
    query = {}
    if found["run"]:
        query["run"] = found["run"]
    elif found["artifact"]:
        name, _, version = found["artifact"].partition("/")
        query = {"tab": "artifacts", "artifact": f"{name}:{version.partition('/')[0] or 'latest'}"}
    elif found["part"].startswith("artifacts"):
        query["tab"] = "artifacts"
    elif found["part"].startswith(("sweeps", "table")):  # the table names the sweep of each run
        query["tab"] = "runs"
    project = f"/{quote(found['entity'], safe='')}/{quote(found['project'], safe='')}"
    return project + (f"?{urlencode(query)}" if query else "")


def _page(name: str, revision: int | None = None) -> Response:
    """Return a page. The addresses in its file start with ``./``, instead of the path of this server."""
    try:
        text = (STATIC / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return PlainTextResponse(
            "This installation does not contain the dashboard. Install a wheel of airgap-tracker, or run "
            "`pip install .` in the source tree. The API is at /api/v1.\n",
            503,
            HEADERS,
        )
    text = text.replace('"./', f'"{ROOT.get()}/')
    if revision is not None:
        text = text.replace('data-revision=""', f'data-revision="{revision}"')
    return HTMLResponse(text, headers=HEADERS)
