"""References from one artifact to files of others, which the client writes with the other version's id."""

from __future__ import annotations

from base64 import b64decode, b64encode

import msgspec

from server.wandb.artifact_objects import entries_of, find_pending, get_version
from server.wandb.context import Context
from server.wandb.ids import make_id
from tracker.errors import UsageError
from tracker.store.blobs.manifest import Entry
from tracker.store.queries.artifacts import VERSION

# A reference of tracker: ``tracker-artifact://ENTITY/PROJECT/NAME:vN/PATH``.
SCHEME = "tracker-artifact://"
# The same in a manifest of the client: ``wandb-artifact://ID/PATH``, with the bytes of the id in hex.
_CLIENT_SCHEME = "wandb-artifact://"
# In the id of a version that only its digest names.
_NO_TOKEN = 32 * "0"


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
    name, _, target = ref.removeprefix(_CLIENT_SCHEME).partition("/")
    try:
        id = b64encode(bytes.fromhex(name)).decode()
    except ValueError as error:
        raise UsageError(f"{entry.path} refers to {ref!r:.200}, which names no artifact.") from error
    if (waiting := _waiting(context, id, entry, target)) is not None:
        return waiting
    version = get_version(context, id)
    for each in entries_of(context.store.blobs, version.manifest):
        if each.path == target:
            named = version.source or f"{version.entity}/{version.project}/{version.name}:{version.version}"
            further = each.ref is not None and each.ref.startswith(SCHEME)
            address = each.ref if further else f"{SCHEME}{named}/{target}"
            return msgspec.structs.replace(entry, digest=each.digest, size=each.size, ref=address)
    raise UsageError(f"{entry.path} refers to {target!r:.200}, which the other artifact does not have.")


def _waiting(context: Context, id: str, entry: Entry, target: str) -> Entry | None:
    """Return the entry of a reference to an artifact that is not committed yet; None if it is.

    The client commits several artifacts at the same time, also one that refers to another. The number of the
    other version is not known then, so its digest names it.
    """
    waiting = find_pending(context, id)
    if waiting is None or not waiting[1].digest:
        return None
    token, pending = waiting
    place = (pending.entity, pending.project, pending.name)
    found = context.drafts.received(token).get(entry.digest)
    address = f"{SCHEME}{'/'.join(place)}:{pending.digest}/{target}"
    return msgspec.structs.replace(entry, size=found.size if found is not None else entry.size, ref=address)


def client_reference(ref: str) -> str:
    """Return a reference to a file of another version as the client writes it."""
    parts = ref.removeprefix(SCHEME).split("/", 3)
    name, _, reference = parts[2].partition(":")
    last = reference if VERSION.fullmatch(reference) else _NO_TOKEN + reference
    id = make_id("Artifact", parts[0], parts[1], name, last)
    return f"{_CLIENT_SCHEME}{b64decode(id).hex()}/{parts[3]}"
