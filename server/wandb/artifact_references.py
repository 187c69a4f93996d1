"""References from one artifact to files of others, which the client writes with the other version's id."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec

from server.wandb.artifact_objects import entries_of, get_version
from server.wandb.context import Context
from server.wandb.ids import make_id
from tracker.errors import UsageError
from tracker.runstate.collection import parse_version_name
from tracker.store.blobs.manifest import Entry

# A reference of tracker: ``tracker-artifact://ENTITY/PROJECT/NAME:vN/PATH``.
SCHEME = "tracker-artifact://"
# The same in a manifest of the client: ``wandb-artifact://ID/PATH``, with the bytes of the id in hex.
_CLIENT_SCHEME = "wandb-artifact://"


def stored_reference(context: Context, entry: Entry) -> Entry:
    """Return the entry of a reference that a client has sent. One to a file of a version names the version.

    Raises:
        NotFoundError: The caller does not see the version.
        UsageError: The version does not have the file.
    """
    ref = entry.ref or ""
    if not ref.startswith(_CLIENT_SCHEME):
        if ref.startswith(SCHEME):
            raise UsageError(f"{entry.path} has a reference that only the server makes.")
        return entry
    id, _, target = ref.removeprefix(_CLIENT_SCHEME).partition("/")
    try:
        version = get_version(context, b64encode(bytes.fromhex(id)).decode())
    except ValueError as error:
        raise UsageError(f"{entry.path} refers to {ref!r:.200}, which names no artifact.") from error
    for each in entries_of(context.store.blobs, version.manifest):
        if each.path == target:
            named = version.source or f"{version.entity}/{version.project}/{version.name}:{version.version}"
            further = each.ref is not None and each.ref.startswith(SCHEME)
            address = each.ref if further else f"{SCHEME}{named}/{target}"
            return msgspec.structs.replace(entry, digest=each.digest, size=each.size, ref=address)
    raise UsageError(f"{entry.path} refers to {target!r:.200}, which the other artifact does not have.")


def client_reference(ref: str) -> str:
    """Return a reference to a file of another version as the client writes it."""
    parts = ref.removeprefix(SCHEME).split("/", 3)
    (entity, project, name), number = parse_version_name("/".join(parts[:3]))
    id = make_id("Artifact", entity, project, name, f"v{number}")
    return f"{_CLIENT_SCHEME}{b64decode(id).hex()}/{parts[3]}"
