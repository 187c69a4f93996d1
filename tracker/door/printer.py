"""``wandb.sdk.lib.printer``: a printer that lm-eval makes and keeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tracker.ground.terminal import say


class Printer:
    """Prints lines as tracker's own messages are printed, to stderr."""

    def display(self, text: str | Iterable[str], *_level: Any, **_options: Any) -> None:
        """Print a text, or several."""
        for line in [text] if isinstance(text, str) else text:
            say(line)

    def link(self, link: str, text: str | None = None) -> str:
        """Return how an address is shown."""
        return link if text is None else f"{text} ({link})"


def new_printer(*_settings: Any, **_options: Any) -> Printer:
    """Return a printer."""
    return Printer()
