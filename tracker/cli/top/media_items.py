"""The media objects in a value of a history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tracker.cli.output import as_size, one_line

_IMAGES = ("image-file", "images/separated")
# The key under which a dict of several media contains them.
_SEVERAL = {"audio": "audio", "videos": "videos", "html": "html", "object3D": "objects"}


class MediaItem(NamedTuple):
    """A media object: its type, the path of its file in the run, its caption, its size in bytes."""

    type: str
    path: str
    caption: str = ""
    size: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether this is an image."""
        return self.type in _IMAGES

    def line(self) -> str:
        """Return the object in one line."""
        size = as_size(self.size) if self.size is not None else ""
        name = self.path if "://" in self.path else self.path.rpartition("/")[2]
        return one_line("  ".join(part for part in (self.type, self.caption, size, name) if part))


def media_by_key(key: str, value: Any) -> Iterator[tuple[str, list[MediaItem]]]:
    """Yield the media objects in a value of a history by key. Keys of nested dicts are joined by dots."""
    if isinstance(value, dict) and "_type" not in value:
        for name, each in value.items():
            yield from media_by_key(f"{key}.{name}", each)
    elif items := list(media_items(value)):
        yield key, items


def media_items(value: Any) -> Iterator[MediaItem]:
    """Yield all media objects in a value of a history. Anything else is left out."""
    if isinstance(value, list):
        for each in value:
            yield from media_items(each)
    if not isinstance(value, dict) or not isinstance(kind := value.get("_type"), str):
        return
    captions = value.get("captions")
    captions = captions if isinstance(captions, list) else []
    several = value.get(_SEVERAL.get(kind, "filenames"), value.get("filenames"))
    if isinstance(several, list):
        for at, each in enumerate(several):
            caption = _text(captions[at]) if at < len(captions) else ""
            if isinstance(each, str):
                yield MediaItem(kind, each, caption)
            else:
                yield from (item._replace(caption=item.caption or caption) for item in media_items(each))
    elif isinstance(path := value.get("path"), str):
        size = value.get("size")
        yield MediaItem(kind, path, _text(value.get("caption")), size if isinstance(size, int) else None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
