"""The committed outcomes of the real client, with one file for each area."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("golden")
SURFACE = Path(__file__).with_name("surface.json")
_LINE = 100


def load() -> dict[str, Any]:
    """Return the recorded outcomes by script."""
    outcomes: dict[str, Any] = {}
    for path in sorted(FOLDER.glob("*.json")):
        found = json.loads(path.read_text())
        outcomes |= {f"{path.stem}/{name}": outcome for name, outcome in found.items()}
    return outcomes


def save(outcomes: dict[str, Any]) -> None:
    """Replace the recorded outcomes."""
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for area, keys in groupby(sorted(outcomes), key=lambda key: key.partition("/")[0]):
        found = {key.partition("/")[2]: outcomes[key] for key in keys}
        (FOLDER / f"{area}.json").write_text(_text(found) + "\n")


def load_surface() -> dict[str, dict[str, list[str] | None]]:
    """Return the public names of the real client, with the parameters of callables."""
    found: dict[str, dict[str, list[str] | None]] = json.loads(SURFACE.read_text())
    return found


def save_surface(found: dict[str, Any]) -> None:
    """Replace the recorded names."""
    SURFACE.write_text(_text(found) + "\n")


def _text(value: Any, indent: int = 0) -> str:
    """Return JSON text in which each value that fits into a line is on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _LINE or not isinstance(value, (dict, list)) or not value:
        return line
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_text(item, indent + 1)}" for key, item in value.items()
        ]
    else:
        parts = [_text(item, indent + 1) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{' ' * indent}{closing}"
