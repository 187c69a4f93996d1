"""``User`` and ``Team``: each entity is one user and one team. `Api` does not read a server's users."""

from __future__ import annotations

from typing import Any

from tracker.api.attrs import Attrs
from tracker.errors import UnsupportedError

_ROLES = "give the user a role with `tracker member` on the server, or on the dashboard"
_KEYS = "create a key with `tracker key --user NAME` on the server, or on the dashboard"


class User(Attrs):
    """The user of an entity. Both ``name`` and ``username`` are the entity's name.

    Attributes:
        entity: The entity.
    """

    def __init__(self, entity: str) -> None:
        self.entity = entity

    @property
    def username(self) -> str:
        """The entity."""
        return self.entity

    @property
    def name(self) -> str:
        """The entity."""
        return self.entity

    @property
    def teams(self) -> list[str]:
        """Names of the user's teams: the entity itself."""
        return [self.entity]

    @property
    def api_keys(self) -> list[str]:
        """Names of API keys: none are known here."""
        return []

    def generate_api_key(self, description: str | None = None) -> str:
        """Raise UnsupportedError."""
        raise UnsupportedError("User.generate_api_key", _KEYS)

    def delete_api_key(self, api_key: str) -> bool:
        """Raise UnsupportedError."""
        raise UnsupportedError("User.delete_api_key", _KEYS)

    def _fields(self) -> dict[str, Any]:
        return {"id": self.entity, "email": None, "admin": False, "flags": None, "deletedAt": None}

    def __repr__(self) -> str:
        return f"<User {self.username}>"


class Team(Attrs):
    """An entity as a team; its only member is the user of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def members(self) -> list[User]:
        """The members: only the user of the same name."""
        return [User(self.name)]

    def invite(self, username_or_email: str, admin: bool = False) -> bool:
        """Raise UnsupportedError."""
        raise UnsupportedError("Team.invite", _ROLES)

    def create_service_account(self, description: str) -> Any:
        """Raise UnsupportedError."""
        raise UnsupportedError("Team.create_service_account", _KEYS)

    def _fields(self) -> dict[str, Any]:
        return {"id": self.name, "available": True}

    def __repr__(self) -> str:
        return f"<Team {self.name}>"
