"""Shared parts of the handlers of references: errors, and objects with a prefix in a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from tracker.errors import ArtifactError
from tracker.ground.terminal import say
from tracker.store.blobs.manifest import Entry

CHUNK = 1024 * 1024
# The maximum number of parallel requests. A request spends most of its time waiting for the answer.
PARALLEL_REQUESTS = 16
T = TypeVar("T")


class MissingError(ArtifactError):
    """The target of a reference does not exist or cannot be reached.

    ``allow_missing_references`` skips such references.
    """


class Found(NamedTuple):
    """An object in a bucket."""

    key: str
    etag: str
    size: int


def changed_error(entry: Entry, found: str) -> ArtifactError:
    """Return the error for a reference whose target has another digest than the recorded one."""
    return ArtifactError(f"{entry.ref} has changed: its digest is {found}, not {entry.digest}.")


def check_size(entry: Entry, size: int) -> None:
    """Compare the size of a target with the recorded size. A recorded size of 0 means an unknown size.

    Raises:
        ArtifactError: The sizes differ.
    """
    if entry.size and size != entry.size:
        raise ArtifactError(f"{entry.ref} has changed: its size is {size} bytes, not {entry.size}.")


def limit_objects(objects: Iterable[T], address: str, max_objects: int) -> Iterator[T]:
    """Yield at most ``max_objects`` objects; print a message if there are more.

    Args:
        objects: The objects.
        address: The address of the prefix, for the message.
        max_objects: The maximum number of objects.
    """
    rest = iter(objects)
    yield from islice(rest, max_objects)
    if next(rest, None) is not None:
        say(f"{address} has more than {max_objects} objects. Only the first were added. Pass max_objects.")


def path_in_artifact(key: str, prefix: str, name: str | None) -> str:
    """Return the path of an object inside the artifact.

    Double slashes count as one slash (wandb: ``sdk/artifacts/storage_handlers/s3_handler.py``).

    Args:
        key: The key of the object.
        prefix: The prefix of the reference.
        name: The folder inside the artifact; None for the root.
    """
    inside = PurePosixPath(key.removeprefix(prefix).lstrip("/"))
    return str(PurePosixPath(name or "") / inside)
