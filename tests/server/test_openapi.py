"""The OpenAPI document: complete, stable and the same as the committed one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from server import dashboard
from server.app import OPEN, describe

COMMITTED = Path(__file__).parents[2] / "server" / "web" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    """Return the document of this version."""
    return describe()


def operations() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the path and the description of each operation by its id."""
    found = [
        (operation["operationId"], (path, operation))
        for path, methods in document()["paths"].items()
        for operation in methods.values()
    ]
    assert len(dict(found)) == len(found), "two operations have the same id"
    return dict(found)


def references(value: object) -> list[str]:
    """Return all references in a JSON document."""
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("operation", sorted(operations()))
def test_operation_is_described(operation: str) -> None:
    path, described = operations()[operation]
    assert path.startswith("/api/v1/")
    assert described["description"]
    declared = {each["name"] for each in described.get("parameters", []) if each["in"] == "path"}
    assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    success = {status: each for status, each in described["responses"].items() if status in ("200", "201")}
    assert success or "204" in described["responses"]
    for answer in success.values():
        for kind in answer["content"].values():
            schemas = kind["schema"].get("anyOf", [kind["schema"]])
            assert all("$ref" in schema or schema.get("type") == "string" for schema in schemas)
    for kind in described.get("requestBody", {}).get("content", {}).values():
        assert "$ref" in kind["schema"] or kind["schema"] == {"type": "string", "format": "binary"}
    assert (described.get("security") == []) == (operation in OPEN)
    assert described["responses"]["503"] == {"$ref": "#/components/responses/503"}


def test_references_have_targets() -> None:
    assert document()["openapi"].startswith("3.1")
    for reference in references(document()):
        found = document()
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    assert "HTTPValidationError" not in document()["components"]["schemas"]


def test_committed_document_is_the_current_one() -> None:
    current = json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert COMMITTED.read_text(encoding="utf-8") == current, (
        "the API changed: run `python -m server.print_openapi > server/web/openapi.json`"
    )


def test_server_sends_the_document_and_its_page(api: httpx.Client) -> None:
    assert api.get("/openapi.json").json() == document()
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    # FastAPI's own page loads scripts from another host.
    assert "://" not in page.text
    assert page.headers["content-security-policy"] == dashboard.HEADERS["Content-Security-Policy"]
