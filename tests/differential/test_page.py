"""The page about compatibility is what the corpus says."""

from __future__ import annotations

from differential import page


def test_the_committed_page_is_what_would_be_written() -> None:
    assert page.PAGE.read_text() == page.text(), "run: python tests/differential/page.py"
