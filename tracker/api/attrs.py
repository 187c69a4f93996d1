"""``Attrs``: the base class of the objects of ``Api``, with extra attributes and display in a notebook."""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from typing import Any


def as_time(seconds: float) -> str:
    """Return Unix seconds in the format of wandb's API: UTC, such as ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Attrs:
    """A base class that offers the fields of wandb's API as attributes (wandb: ``apis/attrs.py``).

    A field such as ``createdAt`` is the attribute ``created_at`` and the attribute ``createdAt``.
    """

    def _fields(self) -> dict[str, Any]:
        """Return the extra fields under wandb's names (camelCase)."""
        return {}

    def snake_to_camel(self, string: str) -> str:
        """Return ``createdAt`` for ``created_at``."""
        camel = "".join(part.title() for part in string.split("_"))
        return camel[:1].lower() + camel[1:]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            fields = self._fields()
            for key in (self.snake_to_camel(name), name):
                if key in fields:
                    return fields[key]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def to_html(self, height: int = 420, hidden: bool = False) -> str | None:
        """Return HTML that shows the page of this object, or None if the object does not have a page.

        Args:
            height: The height of the frame in pixels.
            hidden: Whether the frame is collapsed at first.
        """
        url = getattr(self, "url", None)
        if not url:
            return None
        style = f"border:none;width:100%;height:{height}px;"
        frame = f'<iframe src="{escape(url)}" style="{style}"></iframe>'
        name = escape(type(self).__name__.lower())
        return f"<details><summary>{name}</summary>{frame}</details>" if hidden else frame

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show this object in a notebook; return False without a notebook or without a page."""
        from sys import modules

        html = self.to_html(height, hidden)
        interactive: Any = modules.get("IPython")  # imported already if this is a notebook
        if html is None or interactive is None:
            return False
        if type(interactive.get_ipython()).__name__ != "ZMQInteractiveShell":
            return False
        interactive.display.display(interactive.display.HTML(html))
        return True

    def _repr_html_(self) -> str:
        return self.to_html() or escape(repr(self))
