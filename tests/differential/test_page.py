"""docs/compatibility.md is up to date with the corpus."""

from __future__ import annotations

from differential import page


def test_the_committed_page_is_up_to_date() -> None:
    assert page.PAGE.read_text() == page.text(), "run: python tests/differential/page.py"
