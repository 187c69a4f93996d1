"""All screens of the dashboard, checked with axe-core in light, dark and on a phone, with open menus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from serving import Server

from .conftest import checked_page
from .filled_store import PLACE

WEB = Path(__file__).parents[2] / "server" / "web"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
RUN_TABS = re.search(r"RUN_TABS = \[(.*?)\]", (WEB / "src/lib/route.ts").read_text(), re.DOTALL)
assert RUN_TABS is not None
TABS = re.findall(r'"(\w+)"', RUN_TABS[1])

SCREENS = {
    "projects": "",
    "entity": "team",
    "workspace": PLACE,
    "workspace of media": f"{PLACE}?show=media",
    "runs": f"{PLACE}?tab=runs",
    "compare": f"{PLACE}?tab=compare&runs=train0,train3,media",
    "nothing to compare": f"{PLACE}?tab=compare",
    "artifacts": f"{PLACE}?tab=artifacts",
    "version": f"{PLACE}?tab=artifacts&artifact=model:v0",
    "metadata": f"{PLACE}?tab=artifacts&artifact=model:v0&section=about",
    "registry": f"{PLACE}?tab=artifacts&section=registry",
    **{f"run {tab}": f"{PLACE}?run=media&tab={tab}" for tab in TABS},
    **{
        f"captured {tab}": f"{PLACE}?run=captured&tab={tab}" for tab in ("system", "logs", "code", "overview")
    },
    "used versions": f"{PLACE}?run=user&tab=artifacts",
    "failed run": f"{PLACE}?run=train3&tab=overview",
    "absent project": "team/absent",
    "account": ":account",
    "users": ":users",
    "audit": ":audit",
    "members": f"{PLACE}/:members",
    "unknown page": "a/b/c/d",
}
PHONE = {"width": 390, "height": 844}
# Names of controls that opened a menu or a dialog: each is opened on the first page that has it.
opened: set[str] = set()


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds on a page by some rules, or by all: a line for each rule and element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate(
        """async (rules) => {
            // Logged HTML in a sandboxed frame is foreign, and its origin refuses messages of axe-core.
            const chosen = rules.length > 0 ? { runOnly: rules } : {};
            const options = { iframes: false, resultTypes: ["violations"], ...chosen };
            const { violations } = await window.axe.run(document, options);
            return violations.flatMap(({ id, nodes }) => nodes.slice(0, 3).map((node) => {
                const { contrastRatio, fgColor, bgColor } = node.any[0]?.data ?? {};
                const ratio = contrastRatio ? ` ${contrastRatio} ${fgColor} on ${bgColor}` : "";
                return `${id}:${ratio} ${node.html.slice(0, 160)}`;
            }));
        }""",
        rules,
    )
    return list(found)


def both_themes(page: Page) -> list[str]:
    """Return what axe-core finds in light, and in dark, where only colours differ."""
    found = violations(page)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    idle(page)
    found += [f"dark: {line}" for line in violations(page, "color-contrast")]
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    idle(page)
    return found


def on_a_phone(page: Page) -> list[str]:
    """Return what is wrong at the width of a phone."""
    size = page.viewport_size
    page.set_viewport_size(PHONE)
    idle(page)
    found = violations(page)
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 0:
        found.append(f"the page is {wide} px wider than the window")
    assert size is not None
    page.set_viewport_size(size)
    idle(page)
    return [f"phone: {line}" for line in found]


def idle(page: Page) -> None:
    page.evaluate("window.trackerIdle()")


def popups(page: Page) -> list[str]:
    """Open the menus and dialogs of a page one by one; return what axe-core finds in them."""
    found: list[str] = []
    buttons = page.locator("button[aria-haspopup]:visible:enabled")
    labels = buttons.evaluate_all("all => all.map(each => each.getAttribute('aria-label') ?? each.innerText)")
    for at, label in enumerate(labels):
        general = re.sub(r" \S*[/\d].*| of .*", "", label)  # without the name of a run or a panel
        if general in opened:
            continue
        opened.add(general)
        buttons.nth(at).click()
        idle(page)
        found += [f"{label} open: {line}" for line in both_themes(page)]
        page.keyboard.press("Escape")
        idle(page)
        if buttons.count() != len(labels):
            break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_screens_have_no_violations(chromium: Browser, filled: Server, signed_in: dict, screen: str) -> None:
    with checked_page(chromium, storage_state=signed_in, reduced_motion="reduce") as page:
        # The canvas is that of axe-core.
        page.allowed_errors.extend(["status of 404", "willReadFrequently"])  # type: ignore[attr-defined]
        page.goto(f"{filled.url}/{SCREENS[screen]}")
        idle(page)
        found = both_themes(page) + on_a_phone(page) + popups(page)
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_frame_has_no_violations(chromium: Browser, filled: Server, signed_in: dict) -> None:
    """Check the sign-in page, the command palette and the page of shortcuts."""
    with checked_page(chromium, reduced_motion="reduce") as page:
        page.goto(f"{filled.url}/{PLACE}")
        idle(page)
        found = both_themes(page) + on_a_phone(page)
        page.get_by_role("button", name="Use an API key").click()
        found += violations(page)
    with checked_page(chromium, storage_state=signed_in, reduced_motion="reduce") as page:
        page.goto(f"{filled.url}/{PLACE}?tab=artifacts")
        idle(page)
        page.get_by_role("button", name=re.compile("^Find")).click()
        page.get_by_test_id("palette").get_by_role("combobox").fill("tr")
        page.get_by_test_id("palette").get_by_role("option", name="train/loss").wait_for()
        found += both_themes(page) + on_a_phone(page)
        page.keyboard.press("Escape")
        page.get_by_test_id("palette").wait_for(state="detached")
        page.keyboard.press("?")
        page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
        found += both_themes(page) + on_a_phone(page)
    assert not found, "\n".join(found)
