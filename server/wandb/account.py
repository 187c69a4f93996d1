"""Who the caller is, and what the server can do."""

from __future__ import annotations

from typing import Any

from server.wandb.artifact_registry import OrganizationOfEntity
from server.wandb.context import Context
from server.wandb.ids import make_id

# Only features that change how the client sends or asks for something that this server supports.
_FEATURES = (
    "LARGE_FILENAMES",
    "ARTIFACT_TAGS",
    "CLIENT_IDS",
    "STRUCTURED_CONSOLE_LOGS",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING",
    "FILESTREAM_GZIP",
    "ARTIFACT_REGISTRY_SEARCH",
)


def viewer(context: Context) -> dict[str, Any]:
    """Return the caller."""
    user = context.caller.user
    name = context.caller.name
    entities = sorted({entity for entity, _ in context.caller.rights.roles} | {context.default_entity})
    return {
        "__typename": "User",
        "id": make_id("User", name),
        "name": name if user is None else user.full_name or name,
        "username": name,
        "email": "" if user is None else user.email,
        "admin": context.caller.rights.is_admin,
        "flags": "{}",
        "entity": context.default_entity,
        "deletedAt": None,
        "teams": {
            "edges": [
                {"node": {"__typename": "Entity", "id": make_id("Entity", each), "name": each}}
                for each in entities
            ]
        },
        "apiKeys": {"edges": []},
    }


def server_info(context: Context) -> dict[str, Any]:
    """Return the versions of the client that work, and the features of this server."""
    return {
        "__typename": "ServerInfo",
        "cliVersionInfo": {"max_cli_version": "99.0.0", "min_cli_version": "0.10.0"},
        "latestLocalVersionInfo": None,
        "features": [{"name": each, "isEnabled": True} for each in _FEATURES],
    }


def entity(context: Context, name: str | None = None) -> EntityObject:
    """Return an entity."""
    return EntityObject(context, name or context.default_entity)


class EntityObject(OrganizationOfEntity):
    """An entity."""

    typename = "Entity"

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.id = make_id("Entity", name)
        self.name = name
