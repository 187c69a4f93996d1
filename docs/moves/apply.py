"""Move modules as ``modules.tsv`` says, and change every import and path that names one of them.

    python3 docs/moves/apply.py

Run it in a branch that was begun before a move: what has moved already is left alone, and imports of the old
places are changed. Then run ``ruff check --fix`` and ``ruff format``, which put imports in order.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("modules.tsv")
# Fixtures and their makers are what older versions wrote, the changelog what they said.
FROZEN = ("tests/fixtures/", "CHANGELOG.md", "docs/moves/")
PACKAGES = ("tracker.store.migrations",)
CHANGED = (".py", ".pyi", ".md", ".toml", ".importlinter", ".ts", ".svelte", ".mako")


def main() -> None:
    """Move the files, then change the texts."""
    moves = dict(line.split("\t") for line in TABLE.read_text().splitlines())
    for old, new in moves.items():
        source = _path(old)
        target = _path(new) if source.suffix else ROOT / new.replace(".", "/")
        if source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["git", "mv", source, target], cwd=ROOT, check=True)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if name.endswith(CHANGED) and not name.startswith(FROZEN):
            _change(ROOT / name, moves)


def _path(module: str) -> Path:
    file = ROOT / _as_path(module)
    return file if file.exists() or module not in PACKAGES else file.with_suffix("")


def _as_path(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _change(file: Path, moves: dict[str, str]) -> None:
    text = before = file.read_text()
    for old, new in moves.items():
        package, _, leaf = old.rpartition(".")
        if leaf not in text:
            continue
        # `from tracker.store import fold, parts` names the module after the other names of its package.
        text = re.sub(
            rf"(?m)^([ \t]*)from {re.escape(package)} import (.*\b{leaf}\b(?: as \w+)?.*)$",
            lambda found, new=new, leaf=leaf, package=package: _split(found, package, leaf, new),
            text,
        )
        # A package may have the name that a module had: what is already named in it stays.
        inside = "|".join(each.rpartition(".")[2] for each in moves.values() if each.startswith(f"{old}."))
        guard = rf"(?!(?:\.| import )(?:{inside})\b)" if inside else ""
        text = re.sub(rf"(?<![\w/.])(airgap_)?{re.escape(old)}\b{guard}", rf"\g<1>{new}", text)
        paths = [(_as_path(old), _as_path(new))]
        if old in PACKAGES:
            paths = [(old.replace(".", "/"), new.replace(".", "/"))]
        if old.count(".") > 1:  # `store/fold.py`, as documents name files
            paths.append((_as_path(old.partition(".")[2]), _as_path(new.partition(".")[2])))
        for before_it, after_it in paths:
            text = re.sub(rf"(?<![\w/.]){re.escape(before_it)}\b", after_it, text)
    if text != before:
        file.write_text(text)


def _split(found: re.Match[str], package: str, leaf: str, new: str) -> str:
    indent, names = found[1], [name.strip() for name in found[2].split(",")]
    moved = [name for name in names if name.partition(" ")[0] == leaf]
    if not moved:
        return found[0]
    target, _, renamed = new.rpartition(".")
    alias = moved[0].partition(" as ")[2] or (leaf if leaf != renamed else "")
    lines = [
        f"{indent}from {target} import {renamed}" + (f" as {alias}" if alias and alias != renamed else "")
    ]
    if kept := [name for name in names if name not in moved]:
        lines.append(f"{indent}from {package} import {', '.join(kept)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
