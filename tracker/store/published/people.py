"""``people.json``: users, roles, private projects and keys, for a rebuild. Only its owner can read the file.

It contains hashes of passwords and keys, but not the secrets themselves.
"""

from __future__ import annotations

import msgspec

from tracker.errors import StoreError
from tracker.ground.parsed_types import Digest, Time, prepare
from tracker.ground.people import Role, Scope
from tracker.store.objects.atomic_files import publish, write_new
from tracker.store.objects.checksummed_json import encode
from tracker.store.objects.layout import Layout
from tracker.store.objects.store_file import mark_with_people
from tracker.store.published.models import read_published_model

_REMEDY = (
    "Restore the file from a backup. Or run `tracker rebuild --without-people`: users, roles, private "
    "projects and API keys are then lost"
)


class PublishedUser(msgspec.Struct):
    """A user: see ``tracker.store.catalog.models.User``."""

    id: int
    name: str
    created_at: Time
    full_name: str = ""
    email: str = ""
    is_service: bool = False
    is_admin: bool = False
    password: str | None = None
    issuer: str | None = None
    subject: str | None = None
    disabled_at: Time | None = None


class PublishedMember(msgspec.Struct):
    """The role of a user, by its number, in a project or an entity."""

    entity: str
    project: str
    user_id: int
    role: Role


class PublishedPrivateProject(msgspec.Struct):
    """A private project."""

    entity: str
    project: str


class PublishedKey(msgspec.Struct):
    """An API key: see ``tracker.store.catalog.models.ApiKey``."""

    id: int
    sha256: Digest
    created_at: Time
    user_id: int | None = None
    name: str = ""
    scope: Scope = "write"
    entity: str | None = None
    project: str | None = None
    expires_at: Time | None = None


class PublishedPeople(msgspec.Struct):
    """The content of ``people.json``."""

    format: int
    users: list[PublishedUser]
    members: list[PublishedMember]
    private_projects: list[PublishedPrivateProject]
    keys: list[PublishedKey]


prepare(PublishedPeople)


def publish_people(layout: Layout, people: PublishedPeople) -> None:
    """Replace ``people.json``. Then record in ``store.json`` whether the store has users."""
    temporary = layout.new_temporary()
    write_new(temporary, encode(people), private=True)
    publish(temporary, layout.people)
    mark_with_people(layout, bool(people.users or people.private_projects))


def lost_people(layout: Layout) -> str:
    """Return the text of the error if neither ``people.json`` nor the catalog has the users of a store."""
    return f"{layout.people} is missing, and the catalog, which also had the users, is lost. {_REMEDY}"


def read_people(layout: Layout) -> PublishedPeople | None:
    """Return the content of ``people.json``, or None if the file is missing.

    Raises:
        StoreError: The file cannot be read, or is damaged.
    """
    try:
        return read_published_model(layout.people, PublishedPeople)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StoreError(
            f"cannot read users and keys from {layout.people}: run this as the owner of the file"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read users and keys from {layout.people}: {error}. {_REMEDY}") from error
