"""What the handlers of references share: content that is gone, and objects below a prefix of a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from tracker.errors import ArtifactError
from tracker.ground.terminal import say
from tracker.store.blobs.manifest import Entry

CHUNK = 1024 * 1024
# Requests that are under way at once: each mostly waits for an answer.
PARALLEL_REQUESTS = 16
T = TypeVar("T")


class MissingError(ArtifactError):
    """What a reference points to is gone, or out of reach; ``allow_missing_references`` passes it over."""


class Found(NamedTuple):
    """An object in a bucket."""

    key: str
    etag: str
    size: int


def changed_error(entry: Entry, found: str) -> ArtifactError:
    """Return the error for a reference whose target has another digest than was noted."""
    return ArtifactError(f"{entry.ref} has changed: its digest is {found}, {entry.digest} was noted")


def check_size(entry: Entry, size: int) -> None:
    """Refuse content of another size than was noted; 0 was noted where the size was not known.

    Raises:
        ArtifactError: The sizes differ.
    """
    if entry.size and size != entry.size:
        raise ArtifactError(f"{entry.ref} has changed: it has {size} bytes, {entry.size} were noted")


def limit_objects(objects: Iterable[T], address: str, max_objects: int) -> Iterator[T]:
    """Yield at most so many objects; say so when there are more."""
    rest = iter(objects)
    yield from islice(rest, max_objects)
    if next(rest, None) is not None:
        say(f"{address} has more than {max_objects} objects: only the first were added; pass max_objects")


def path_in_artifact(key: str, prefix: str, name: str | None) -> str:
    """Return where an object of a prefix stands in the artifact; doubled slashes count once, as in wandb."""
    inside = PurePosixPath(key.removeprefix(prefix).lstrip("/"))
    return str(PurePosixPath(name or "") / inside)
