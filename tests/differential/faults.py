"""Differences that nobody wanted and nobody has mended yet, by script: the places where they are."""

from __future__ import annotations

KNOWN: dict[str, list[str]] = {}
