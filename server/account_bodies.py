"""JSON bodies of requests about users, keys and roles."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from server.bodies import Body
from tracker.ground.people import Role, Scope

Text = Annotated[str, Field(max_length=200)]
Password = Annotated[str, Field(max_length=10_000)]


class OwnChange(Body):
    """A change of the caller's own account. A new password needs the current one, if there is one."""

    full_name: Text | None = None
    email: Text | None = None
    password: Password | None = None
    current_password: Password | None = None


class KeyWanted(Body):
    """A new API key. ``entity`` and ``project`` restrict it to one project.

    ``expires_at`` is in unix seconds. ``user`` is the name of its user, if it is not the caller: only for
    administrators of the server.
    """

    name: Text = ""
    scope: Scope = "write"
    entity: Text | None = None
    project: Text | None = None
    expires_at: float | None = None
    user: Text | None = None


class NewUser(Body):
    """A new user. Without a password it signs in with a link, or with single sign-on."""

    name: Text
    full_name: Text = ""
    email: Text = ""
    is_service: bool = False
    is_admin: bool = False
    password: Password | None = None


class UserChange(Body):
    """A change of a user. A field that is not given stays."""

    full_name: Text | None = None
    email: Text | None = None
    is_admin: bool | None = None
    disabled: bool | None = None
    password: Password | None = None


class RoleWanted(Body):
    """A role in a project or an entity."""

    role: Role


class Access(Body):
    """Whether only the members of a project can see it."""

    private: bool
