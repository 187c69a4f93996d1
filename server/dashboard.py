"""The built files of the dashboard."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles

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


def add_dashboard(app: FastAPI) -> None:
    """Serve ``/assets``, and the page at every other address outside the API."""
    assets = STATIC / "assets"
    names = {file.name for file in STATIC.iterdir() if file.is_file()} if STATIC.is_dir() else set()
    if assets.is_dir():
        app.mount("/assets", StaticFiles(directory=assets), name="assets")

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> Response:
        if path.startswith("api/"):
            raise HTTPException(404, f"Address {path!r} does not exist.")
        if path and "/" not in path and path in names:
            return FileResponse(STATIC / path, headers=HEADERS)
        if not (STATIC / "index.html").is_file():
            return PlainTextResponse(
                "This installation does not contain the dashboard. Install a wheel of airgap-tracker, or run "
                "`pip install .` in the source tree. The API is at /api/v1.\n",
                503,
            )
        return FileResponse(STATIC / "index.html", headers=HEADERS)
