"""Who the caller is, and what the server can do."""

from __future__ import annotations

from typing import Any

from server.rights import is_own_key, require_unlimited
from server.wandb.artifact_registry import OrganizationOfEntity
from server.wandb.context import Context
from server.wandb.executor import Fields
from server.wandb.ids import make_id, read_id
from server.wandb.pages import connection
from server.wandb.run_reads import models
from tracker.errors import NotFoundError
from tracker.ground.people import User
from tracker.store.ingest.people import changing_people
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
    "UPDATE_RUN_STATE",
)


def viewer(context: Context) -> UserObject:
    """Return the caller."""
    roles = {entity for entity, _ in context.caller.rights.roles} | {context.default_entity}
    caller = context.caller
    return UserObject(context, caller.user, caller.rights.is_admin, context.default_entity, roles)


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
            found.append(UserObject(context, each, each.is_admin, each.name, entities))
    return connection(found)


def _people(context: Context) -> People:
    with context.store.reading() as session:
        return load_people(session)


class UserObject(Fields):
    """A user, or a caller without one.

    Args:
        context: The request.
        user: The user; None for a caller without one.
        is_admin: Whether this is an administrator of the server.
        entity: The default entity.
        entities: The entities with a role of the user.
    """

    typename = "User"

    def __init__(
        self, context: Context, user: User | None, is_admin: bool, entity: str, entities: set[str]
    ) -> None:
        self._context = context
        self._user = user
        self.username = context.caller.name if user is None else user.name
        self.name = self.username if user is None else user.full_name or user.name
        self.id = make_id("User", self.username)
        self.email = "" if user is None else user.email
        self.admin = is_admin
        self.flags = "{}"
        self.entity = entity
        self.deleted_at = None
        teams = [{"__typename": "Entity", "id": make_id("Entity", each), "name": each} for each in entities]
        self.teams = connection(sorted(teams, key=lambda each: each["name"]))

    @property
    def api_keys(self) -> dict[str, Any]:
        """The keys, without their secrets."""
        caller, user = self._context.caller, self._user
        keys = _people(self._context).keys.values()
        return connection(
            [
                _key(key.id, key.name or f"key {key.id}", key.name)
                for key in keys
                if (is_own_key(caller, key) if user is None else key.user == user.name)
            ]
        )


def _key(number: int, name: str, description: str) -> dict[str, Any]:
    return {
        "__typename": "ApiKey",
        "id": make_id("ApiKey", number),
        "name": name,
        "description": description,
    }


def generate_api_key(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Create a key of the caller. The client reads the key itself as its name, once."""
    require_unlimited(context.caller)
    user = context.caller.user
    description = str(input.get("description") or "")
    with changing_people(context.store, context.actor) as change:
        row, secret = change.add_key(None if user is None else user.name, name=description)
        number = row.id
    return {"apiKey": _key(number, secret, description)}


def delete_api_key(context: Context, input: dict[str, Any]) -> dict[str, Any]:
    """Revoke a key: an own one or, for an administrator of the server, any."""
    caller = context.caller
    require_unlimited(caller)
    number = read_id("ApiKey", input.get("id"), 1)[0]
    keys = [key for key in _people(context).keys.values() if str(key.id) == number]
    if not any(is_own_key(caller, key) or caller.rights.is_admin for key in keys):
        raise NotFoundError(f"there is no key {number:.40}")
    with changing_people(context.store, context.actor) as change:
        change.revoke_key(keys[0].id)
    return {"success": True}


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
                    "accountType": "SERVICE" if user.is_service else "USER",
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
