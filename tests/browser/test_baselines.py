"""Screens of the dashboard compared with stored pictures. tests/README.md tells how to write them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser
from serving import Server, serving

from .baselines import FLAGS, FOLDER, SCREENS, SHARE, difference, fill_fixed, fixed_page, photograph
from .conftest import launched

RESULTS = Path(__file__).parents[2] / "test-results" / "baselines"
WRITE = "python -m tests.browser.take_pictures --baselines"
ADD_RULE = """rule => {
    const added = new CSSStyleSheet();
    added.replaceSync(rule);
    document.adoptedStyleSheets.push(added);
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with launched(*FLAGS) as browser:
        yield browser


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(fill_fixed(tmp_path_factory.mktemp("fixed"))) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("name", SCREENS)
def test_screen_equals_its_baseline(chromium: Browser, fixed: Server, name: str) -> None:
    with fixed_page(chromium, fixed.url, SCREENS[name]) as page:
        found = photograph(page)
    share, shown = difference(found, Image.open(FOLDER / f"{name}.png").convert("RGB"))
    if share > SHARE:
        RESULTS.mkdir(parents=True, exist_ok=True)
        found.save(RESULTS / f"{name}.png")
        shown.save(RESULTS / f"{name}-difference.png")
        pytest.fail(
            f"{share:.3%} of the pixels of “{name}” differ from {FOLDER / name}.png. The new picture and the "
            f"difference are in {RESULTS}. If the change is intended, run: {WRITE}"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", ["button.small { color: #777 !important }", "[data-testid=panel] { translate: 0 6px }"]
)
def test_small_changes_are_found(chromium: Browser, fixed: Server, rule: str) -> None:
    """Change the colour of buttons, and the position of panels."""
    with fixed_page(chromium, fixed.url, SCREENS["workspace"]) as page:
        before = photograph(page)
        assert difference(photograph(page), before)[0] == 0
        page.evaluate(ADD_RULE, rule)
        assert difference(photograph(page), before)[0] > SHARE
