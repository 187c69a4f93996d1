"""The OpenAPI document of the REST API: errors, ways to send a key, examples, and stable operation ids."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from server.routing import operations
from tracker.store.blobs.manifest import Manifest

# Records of stored files that are sent as they are.
STORED = (Manifest,)
BINARY = "application/octet-stream"
EVENT = {
    "title": "ServerEvent",
    "description": "A server-sent event. `id` is a revision, `data` is JSON.",
    "type": "object",
    "properties": {
        "event": {"enum": ["changes", "reset"]},
        "id": {"type": "string"},
        "data": {"type": "string"},
    },
}
BYTES = {"type": "string", "format": "binary"}
PROBLEM = "application/problem+json"
DESCRIPTION = (
    "Times are unix seconds, sizes are bytes. JSON has no NaN and no infinities: they are "
    '`{"_type": "number", "value": "NaN"}`. Integers are exact, also beyond 2^53. '
    "An operation or a field that will be removed is marked as deprecated for at least two minor versions."
)
# The errors of an operation, besides those of its own description.
ERRORS = {
    400: "The request is invalid.",
    401: "The key is missing or invalid.",
    403: "The caller may not do this, or the server can only read its store.",
    404: "The named object does not exist.",
    409: "The request contradicts the current state.",
    412: "Another editor has changed the document, or it exists already.",
    413: "The body is too large.",
    429: "Too many failed attempts to sign in. `Retry-After` has the seconds to wait.",
    422: "A parameter or a field of the body is missing or has the wrong type.",
    503: "The store cannot be read at the moment.",
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "User `api`, with an API key as the password.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "tracker_session",
        "description": "A signed-in browser. A change also needs the header `X-Tracker-Dashboard`.",
    },
}
PARAMETERS: dict[str, Any] = {
    "entity": "team",
    "project": "demo",
    "run_id": "m3tx9k2p",
    "reference": "latest",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "segment": "0f3b2c5d8e914a6f8c7d6e5f4a3b2c1d",
    "token": "0f3b2c5d8e914a6f8c7d6e5f4a3b2c1d",
    "order": "-summary.loss",
    "filters": '{"config.lr": {"$gte": 0.01}, "state": "finished"}',
}


# Operations that make an object: the parameter that names it, its place in the answer, and the operations
# that take it. Parameters of the path with the same name stay the same.
LINKS = {
    "create_document": ("document_id", "/id", ("get_document", "update_document", "delete_document")),
    "create_key": ("key_id", "/key/id", ("revoke_key",)),
    "add_user": ("user_name", "/name", ("edit_user", "create_link", "delete_user")),
}


def content(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer that is not JSON of a known form.

    Args:
        media_types: The media types of the answer.
    """
    found = {media_type: {"schema": BYTES} for media_type in media_types}
    return {200: {"description": "The content.", "content": found}}


def columns() -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer that is sent as JSON or as binary columns."""
    return {200: {"description": "Successful Response", "content": {BINARY: {"schema": BYTES}}}}


def stored(kind: type[msgspec.Struct]) -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer that is a stored file: the JSON of one of ``STORED``."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {200: {"description": "The file.", "content": {"application/json": {"schema": schema}}}}


def ranges() -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer with content of any type, which supports byte ranges."""
    found = {"content": {"*/*": {"schema": BYTES}}}
    return {
        200: {"description": "The whole content.", **found},
        206: {"description": "The requested range.", **found},
        304: {"description": "The caller has this content: its `If-None-Match` names the same `ETag`."},
        416: {"description": "The content has no such range."},
    }


def binary_body() -> dict[str, Any]:
    """Return the description of a request whose body is bytes."""
    return {"requestBody": {"required": True, "content": {BINARY: {"schema": BYTES}}}}


def add_document(app: FastAPI, open_operations: set[str]) -> None:
    """Give an application its OpenAPI document, which is made at the first request for it.

    Args:
        app: The application.
        open_operations: Ids of the operations that need no key.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=[route.described() for route in operations(app.routes)],
                servers=app.servers,
            )
            _complete(made, open_operations)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(document: dict[str, Any], open_operations: set[str]) -> None:
    components = document["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    _require_answers(document)
    _add_links(document)
    components["schemas"]["Problem"] = _problem()
    components["schemas"]["ServerEvent"] = EVENT
    _, files = msgspec.json.schema_components(STORED, ref_template="#/components/schemas/{name}")
    components["schemas"] |= files
    components["securitySchemes"] = SECURITY
    components["responses"] = {
        str(status): {
            "description": text,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, text in ERRORS.items()
    }
    document["security"] = [{name: []} for name in SECURITY]
    for path in document["paths"].values():
        for method, operation in path.items():
            if operation["operationId"] in open_operations:
                operation["security"] = []
            for status in _errors(operation, changes=method not in ("get", "head")):
                operation["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in PARAMETERS:
                    parameter["example"] = PARAMETERS[parameter["name"]]


def _add_links(document: dict[str, Any]) -> None:
    """Describe which operations take the name of an object that another operation has made."""
    for path in document["paths"].values():
        for operation in path.values():
            if operation["operationId"] not in LINKS:
                continue
            parameter, place, targets = LINKS[operation["operationId"]]
            same = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
            parameters = {parameter: f"$response.body#{place}"}
            parameters |= {name: f"$request.path.{name}" for name in same}
            operation["responses"]["201"]["links"] = {
                target: {"operationId": target, "parameters": parameters} for target in targets
            }


def _require_answers(document: dict[str, Any]) -> None:
    """Mark all fields of answers as required: the server sends them even if they have their default value."""
    schemas = document["components"]["schemas"]
    bodies = [each.get("requestBody") for path in document["paths"].values() for each in path.values()]
    of_bodies: set[str] = set()
    while found := set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(bodies))) - of_bodies:
        of_bodies |= found
        bodies = [schemas[name] for name in found]
    for name, schema in schemas.items():
        if name not in of_bodies and schema.get("properties"):
            schema["required"] = list(schema["properties"])


def _errors(operation: dict[str, Any], *, changes: bool) -> list[int]:
    parameters = operation.get("parameters", ())
    found = {400, 503}  # 400: not valid HTTP, for example
    if operation["operationId"] == "sign_in":
        found |= {429}
    if "security" not in operation:
        found |= {401, 403}
    if "requestBody" in operation or any(parameter["in"] == "path" for parameter in parameters):
        found |= {404}
    if parameters or "requestBody" in operation:
        found |= {422}
    if "requestBody" in operation:
        found |= {401, 413}
    if changes:
        found |= {409, 412} if "documents" in operation["tags"] else {409}
    return sorted(found)


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "title": "Problem",
        "description": "An error as in RFC 9457. `detail` is a line for people, `code` a word for programs.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"const": "about:blank"},
            "title": text | {"description": "The name of the HTTP status."},
            "status": {"type": "integer"},
            "detail": text,
            "code": text | {"description": "Does not change between versions."},
            "error": {
                "type": "object",
                "deprecated": True,
                "description": "Code and detail again, for trackers before 0.2.",
                "properties": {"code": text, "message": text},
            },
        },
        "examples": [problem(404, "not_found", "There is no run team/demo/m3tx9k2p in this store.")],
    }


def problem(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return the body of an error, as in RFC 9457.

    Args:
        status: HTTP status.
        code: Short code for programs.
        detail: Text for people, in one line.
    """
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "error": {"code": code, "message": detail},
    }
