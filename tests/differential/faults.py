"""Places of unwanted differences that are not fixed yet, by script."""

from __future__ import annotations

KNOWN: dict[str, list[str]] = {}
