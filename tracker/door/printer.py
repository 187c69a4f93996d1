"""``wandb.sdk.lib.printer``: a printer, which lm-eval creates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.ground.terminal import say


class Printer:
    """A printer of lines to stderr, in the format of tracker's own messages."""

    def display(self, text: str | Iterable[str], *_level: Any, **_options: Any) -> None:
        """Print one or more lines."""
        for line in [text] if isinstance(text, str) else text:
            say(line)

    def link(self, link: str, text: str | None = None) -> str:
        """Return the text that is printed for a link."""
        return link if text is None else f"{text} ({link})"


def new_printer(*_settings: Any, **_options: Any) -> Printer:
    """Return a printer."""
    return Printer()
