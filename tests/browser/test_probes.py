"""Logged texts run nothing: each field of a store has a probe, and each screen, menu and dialog is opened."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page
from serving import Server, serving

from .conftest import checked_page
from .filled_store import ADMIN, PASSWORD
from .probes import FIELDS, MARKDOWN, PLACE, expect_safe, fill_probes, probe
from .test_accessibility import TABS

SECTIONS = ("files", "about", "lineage")
HEADERS = {"x-tracker-dashboard": "1"}
# All texts of a page: also those of fields and of attributes that a person sees.
TEXTS = """() => {
    const names = ["title", "aria-label", "placeholder"];
    const named = [...document.querySelectorAll("[title], [aria-label], [placeholder]")];
    const fields = [...document.querySelectorAll("input, textarea, option")];
    return [
        document.body.innerText,
        ...named.flatMap((each) => names.map((name) => each.getAttribute(name))),
        ...fields.map((each) => each.value),
        ...[...document.querySelectorAll("svg text, svg title")].map((each) => each.textContent),
    ].join("\\n");
}"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the server of a store with a probe in each field. No test changes it."""
    with serving(fill_probes(tmp_path_factory.mktemp("probes")), key=True) as server:
        yield server


@pytest.fixture
def page(chromium: Browser, probed: Server) -> Iterator[Page]:
    """Yield a page without the policy against scripts, so that a probe that becomes an element runs."""
    with checked_page(chromium, bypass_csp=True, reduced_motion="reduce") as opened:
        credentials = {"name": ADMIN, "password": PASSWORD}
        answer = opened.request.post(f"{probed.url}/api/v1/session", data=credentials, headers=HEADERS)
        assert answer.ok, answer.text()
        yield opened


def look(page: Page, address: str, opened: set[str]) -> str:
    """Open an address, and menus and dialogs of new kinds; return all texts. Fail if a probe ran."""
    page.goto(address)
    page.evaluate("window.trackerIdle()")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.evaluate("window.trackerIdle()")
    check(page, address)
    texts = [page.evaluate(TEXTS)]
    buttons = page.locator("button[aria-haspopup]:visible:enabled")
    labels = buttons.evaluate_all("all => all.map(each => each.getAttribute('aria-label') ?? each.innerText)")
    for at, label in enumerate(labels):
        kind = re.sub(r"\S*\W+img src=x.*", "", label)
        if kind in opened:
            continue
        opened.add(kind)
        buttons.nth(at).click()
        page.evaluate("window.trackerIdle()")
        check(page, address)
        texts.append(page.evaluate(TEXTS))
        page.keyboard.press("Escape")
        page.evaluate("window.trackerIdle()")
    return "\n".join(texts)


def check(page: Page, what: str) -> None:
    assert page.evaluate("window.ran") is None, what
    assert page.locator("img[src=x]").count() == 0, what


def save_view(page: Page, url: str) -> str:
    """Save a view whose texts are probes; return its id."""
    key = f"config.{probe('key')}"
    settings = {
        "line": {"type": "line", "metrics": ["loss"], "title": probe("panel")},
        "text": {"type": "markdown", "text": MARKDOWN},
        "points": {"type": "scatter", "x": key, "y": "summary.loss"},
        "bars": {"type": "bars", "x": key, "y": "summary.loss"},
        "media": {"type": "media", "metrics": ["picture"]},
    }
    panels = {name: {"own": True, "section": "own", "settings": each} for name, each in settings.items()}
    layout = {"manual": True, "sections": {"own": {"title": probe("section"), "own": True}}, "panels": panels}
    body = {"name": probe("view"), "content": {"layout": layout, "query": ""}}
    address = f"{url}/api/v1/projects/{PLACE}/documents/views"
    answer = page.request.post(address, data=body, headers=HEADERS)
    assert answer.ok, answer.text()
    return str(answer.json()["id"])


@pytest.mark.slow
def test_no_field_runs_a_script(page: Page, probed: Server) -> None:
    page.allowed_errors.append("status of 40[04]")  # type: ignore[attr-defined]
    view = save_view(page, probed.url)
    file = quote(f"{probe('file').replace('/', '')}.txt")
    key = quote(f"config.{probe('key')}")
    opened: set[str] = set()
    seen = "\n".join(
        look(page, f"{probed.url}/{path}", opened)
        for path in (
            "",
            ":users",
            ":audit",
            ":account",
            f"{PLACE}/:members",
            f"{PLACE}?show=*",
            f"{PLACE}?show=*&view={view}",
            f"{PLACE}?tab=runs&baseline=first&pin=second",
            f"{PLACE}?tab=runs&group=group",
            f"{PLACE}?show=*&group={key}",
            f"{PLACE}?show=*&color={key}",
            f"{PLACE}?tab=compare&runs=first,second",
            f"{PLACE}?tab=compare&runs=first,captured",
            f"{PLACE}?tab=artifacts",
            f"{PLACE}?tab=artifacts&artifact=model",
            *(f"{PLACE}?tab=artifacts&artifact=model:v0&section={each}" for each in SECTIONS),
            f"{PLACE}?tab=artifacts&artifact=model:v1&section=difference",
            *(f"{PLACE}?run=first&tab={tab}" for tab in TABS),
            *(f"{PLACE}?run=captured&tab={tab}" for tab in ("overview", "logs", "code", "system", "files")),
            f"{PLACE}?run=captured&tab=code&path=code/train.py",
            *(f"{PLACE}?run=captured&tab=files&path={path}" for path in ("requirements.txt", "diff.patch")),
            f"{PLACE}?run=first&tab=files&path={file}",
        )
    )  # fmt: skip
    # Some places quote a text, as JSON or for a shell.
    missing = [field for field in FIELDS if not re.search(rf"\b{field}\W+img src=x", seen)]
    assert missing == []


@pytest.mark.slow
def test_no_part_of_the_address_runs_a_script(page: Page, probed: Server) -> None:
    page.allowed_errors.append("status of 4")  # type: ignore[attr-defined]
    route = (Path(__file__).parents[2] / "server/web/src/lib/route.ts").read_text()
    codecs = route[route.index("const CODECS") : route.index("const PARTS")]
    parts = re.findall(r'(?:text|names|flag)\("(\w+)"|parameter: "(\w+)"', codecs)
    names = ["".join(part) for part in parts]
    assert {"q", "metric", "panel", "artifact", "path", "find", "zoom"} <= set(names)
    chosen = [name for name in names if name not in ("tab", "run", "artifact", "embed")]
    every = "&".join(f"{name}={quote(probe(name))}" for name in chosen)
    for path in (
        *(f"{PLACE}?tab={tab}&{every}" for tab in ("charts", "runs", "compare", "artifacts")),
        *(f"{PLACE}?run=first&tab={tab}&{every}" for tab in TABS),
        *(f"{PLACE}?{name}={quote(probe(name))}" for name in names),
        f"{PLACE}?embed=1&panel={quote(probe('panel'))}",
        f"{PLACE}?tab=artifacts&artifact=model:v0&{every}",
        quote(probe("entity")),
        f"team/{quote(probe('project'))}",
        f"a/b/c/{quote(probe('path'))}",
        f"team/probes#{quote(probe('hash'))}",
        "team/probes?run=javascript:window.ran=1&panel=javascript:window.ran=1",
    ):  # fmt: skip
        page.goto(f"{probed.url}/{path}")
        page.evaluate("window.trackerIdle()")
        check(page, path)


@pytest.mark.slow
def test_texts_and_files_run_nothing(page: Page, probed: Server, tmp_path: Path) -> None:
    """Check Markdown in notes and panels, links of facts, pictures and pages among files, and CSV files."""
    page.allowed_errors.append("status of 404")  # type: ignore[attr-defined]
    view = save_view(page, probed.url)
    for path in (
        f"{PLACE}?run=first&tab=overview",
        f"{PLACE}?show=*&view={view}",
        f"{PLACE}?run=first&tab=files&path=evil.md",
    ):
        page.goto(f"{probed.url}/{path}")
        page.evaluate("window.trackerIdle()")
        text = page.get_by_test_id("markdown").first
        text.scroll_into_view_if_needed()
        page.evaluate("window.trackerIdle()")
        expect_safe(text)
        check(page, path)
    for run, tab in (("captured", "overview"), ("captured", "logs"), ("first", "overview")):
        page.goto(f"{probed.url}/{PLACE}?run={run}&tab={tab}")
        page.evaluate("window.trackerIdle()")
        links = page.locator("a[href]").evaluate_all("all => all.map(a => a.href)")
        assert links
        assert not [link for link in links if not re.match("https?://|mailto:", link)]

    # A preview shows no script, and the address of the file gives it to no page as its own.
    for name in ("evil.svg", "evil.html"):
        page.goto(f"{probed.url}/{PLACE}?run=first&tab=files&path={name}")
        page.evaluate("window.trackerIdle()")
        page.get_by_test_id("preview").wait_for()
        check(page, name)
        assert page.locator("svg[onload]").count() == 0
        answer = page.request.get(f"{probed.url}/api/v1/projects/{PLACE}/runs/first/files/{name}")
        assert answer.ok
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"

    # Spreadsheets calculate nothing of an exported file.
    page.request.patch(
        f"{probed.url}/api/v1/projects/{PLACE}/runs/second",
        data={"group": "=cmd|' /C calc'!A0", "tags": ["@SUM(A1)"], "name": "-1+1"},
        headers=HEADERS,
    )
    page.goto(f"{probed.url}/{PLACE}?tab=runs")
    page.evaluate("window.trackerIdle()")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Export as CSV").click()
    downloading.value.save_as(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(encoding="utf-8", newline="") as opened:
        row = next(each for each in csv.DictReader(opened) if each["id"] == "second")
    assert (row["name"], row["group"], row["tags"]) == ("'-1+1", "'=cmd|' /C calc'!A0", "'@SUM(A1)")
