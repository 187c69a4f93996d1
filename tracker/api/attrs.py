"""What all objects of ``Api`` share: further fields as attributes, and showing themselves in a notebook."""

from __future__ import annotations

from datetime import datetime, timezone
from html import escape
from typing import Any


def as_time(seconds: float) -> str:
    """Return unix seconds as wandb's API writes a time: UTC, ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Attrs:
    """Gives the fields that wandb's API calls ``createdAt`` as ``created_at`` and as ``createdAt``."""

    def _fields(self) -> dict[str, Any]:
        """Return further fields by wandb's name (camelCase)."""
        return {}

    def snake_to_camel(self, string: str) -> str:
        """Return ``created_at`` as ``createdAt``."""
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
        """Return HTML that shows this object; None when nothing serves it.

        Args:
            height: Of the frame, in pixels.
            hidden: Whether it is folded away at first.
        """
        url = getattr(self, "url", None)
        if not url:
            return None
        style = f"border:none;width:100%;height:{height}px;"
        frame = f'<iframe src="{escape(url)}" style="{style}"></iframe>'
        name = escape(type(self).__name__.lower())
        return f"<details><summary>{name}</summary>{frame}</details>" if hidden else frame

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """Show this object in a notebook; return whether there was one, and something to show."""
        from sys import modules

        html = self.to_html(height, hidden)
        interactive: Any = modules.get("IPython")  # a notebook has imported it
        if html is None or interactive is None:
            return False
        if type(interactive.get_ipython()).__name__ != "ZMQInteractiveShell":
            return False
        interactive.display.display(interactive.display.HTML(html))
        return True

    def _repr_html_(self) -> str:
        return self.to_html() or escape(repr(self))
