"""Decisions have one form, a status, and numbers without unexplained gaps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["What", "Why", "Costs", "Look again when"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name[:4])
def test_a_decision_has_the_form(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {int(path.name[:4])}\. [A-Z`].+\n\nStatus: ", text), text[:80]
    assert re.search(r"^Status: (accepted|replaced by \d+|withdrawn), \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(body.strip() for body in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])


def test_numbers_that_are_missing_are_explained() -> None:
    numbers = [int(path.name[:4]) for path in PAGES]
    assert len(numbers) == len(set(numbers))
    line = re.search(r"^Numbers (.+) were reserved", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert line is not None
    unused = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", line[1]):
        unused |= set(range(int(first), int(last or first) + 1))
    assert set(range(1, max(numbers) + 1)) - set(numbers) == unused
