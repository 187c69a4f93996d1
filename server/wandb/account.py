"""Who the caller is, and what the server can do."""

from __future__ import annotations

from typing import Any

from server.wandb.artifact_registry import OrganizationOfEntity
from server.wandb.context import Context
from server.wandb.ids import make_id
from server.wandb.pages import connection
from server.wandb.run_reads import models
from tracker.ground.people import User
from tracker.store.queries.people import People, load_people

# Only features that change how the client sends or asks for something that this server supports.
_FEATURES = (
    "LARGE_FILENAMES",
    "ARTIFACT_TAGS",
    "CLIENT_IDS",
    "STRUCTURED_CONSOLE_LOGS",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING",
    "FILESTREAM_GZIP",
    "SWEEPS_LOCAL_SCHEDULER",
    "ARTIFACT_REGISTRY_SEARCH",
)


def viewer(context: Context) -> dict[str, Any]:
    """Return the caller."""
    roles = {entity for entity, _ in context.caller.rights.roles} | {context.default_entity}
    name = context.caller.name
    user = context.caller.user
    return _user(name, user, context.caller.rights.is_admin, context.default_entity, roles)


def users(context: Context, query: str | None = None, **_: Any) -> dict[str, Any]:
    """Return users by the begin or the end of their name or mail address.

    Only an administrator of the server sees other users.
    """
    text = (query or "").lower()
    people = _people(context)
    found = []
    for each in people.users.values():
        names = (each.name.lower(), each.email.lower())
        if not any(name.startswith(text) or name.endswith(text) for name in names):
            continue
        if context.caller.rights.is_admin or each == context.caller.user:
            entities = {entity for entity, _ in people.roles.get(each.id, {})}
            found.append(_user(each.name, each, each.is_admin, each.name, entities))
    return connection(found, None, None)


def _people(context: Context) -> People:
    with context.store.reading() as session:
        return load_people(session)


def _user(name: str, user: User | None, is_admin: bool, entity: str, entities: set[str]) -> dict[str, Any]:
    return {
        "__typename": "User",
        "id": make_id("User", name),
        "name": name if user is None else user.full_name or name,
        "username": name,
        "email": "" if user is None else user.email,
        "admin": is_admin,
        "flags": "{}",
        "entity": entity,
        "deletedAt": None,
        "teams": {
            "edges": [
                {"node": {"__typename": "Entity", "id": make_id("Entity", each), "name": each}}
                for each in sorted(entities)
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


class EntityObject(OrganizationOfEntity):
    """An entity: a team or the own one of a user.

    Args:
        context: The request.
        name: The entity.
    """

    typename = "Entity"

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.id = make_id("Entity", name)
        self.name = name
        self.available = True
        self.photo_url = None
        self.read_only = not context.caller.rights.may("writer", name, "")
        self.read_only_admin = False
        self.is_team = True
        self.entity_type = "TEAM"
        self.private_only = False
        self.storage_bytes = 0
        self.code_saving_enabled = True
        self.default_access = "USER_WRITE"
        self.is_paid = None

    @property
    def members(self) -> list[dict[str, Any]]:
        """The users with a role in the whole entity. A caller without a role in it sees none.

        Mail addresses of others are for administrators of the server, as in ``users``.
        """
        if self._context.caller.rights.entity_role(self.name) is None:
            return []
        people, caller = _people(self._context), self._context.caller
        found = []
        for each in people.members():
            user = people.user(each.user)
            if each.entity != self.name or each.project or user is None:
                continue
            found.append(
                {
                    "__typename": "Member",
                    "id": make_id("User", user.name),
                    "name": user.full_name or user.name,
                    "username": user.name,
                    "email": user.email if caller.rights.is_admin or user == caller.user else "",
                    "admin": each.role == "admin",
                    "pending": False,
                    "photoUrl": None,
                    "accountType": "SERVICE" if user.is_service else "MEMBER",
                    "apiKey": None,
                }
            )
        return found

    def projects(self, after: str | None = None, first: int | None = None, **_: Any) -> dict[str, Any]:
        """Return the projects of the entity."""
        return models(self._context, self.name, after, first)


def entity(context: Context, name: str | None = None) -> EntityObject:
    """Return an entity."""
    return EntityObject(context, name or context.default_entity)
