"""The documentation site builds without a network, and its pages load nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import scripts

from tracker.cli.main import make_parser

pytestmark = pytest.mark.slow

# Tags and attributes whose address a browser loads by itself, unlike a link that a reader clicks.
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("link", "href"),
    ("source", "src"),
    ("video", "src"),
}


class Loaded(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        marks = dict(attrs)
        if tag == "link" and marks.get("rel") in ("next", "prev", "canonical"):
            return
        self.addresses += [value for name, value in attrs if value and (tag, name) in LOADED]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # A new network namespace has no way out. If it cannot be made, a dead proxy takes its place.
    isolated = ["unshare", "--user", "--map-root-user", "--net"]
    can = subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode == 0
    done = subprocess.run(
        [*(isolated if can else []), sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", folder],
        cwd=scripts.ROOT,
        env={
            **scripts.environment(),
            "NO_MKDOCS_2_WARNING": "1",
            "https_proxy": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text())
        assert not [each for each in parser.addresses if re.match(r"(\w+:)?//", each)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import ['\"]?(https?:)?//", style.read_text()), style


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "cli.html").read_text()
    commands = next(each for each in make_parser()._subparsers._group_actions).choices  # type: ignore[union-attr]
    assert len(commands) > 15
    for name in commands:
        assert f'id="tracker-{name}"' in page


def test_the_python_api_is_in_the_reference(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference" / "api").glob("*.html"))
    for name in (
        "init",
        "Run.log",
        "Artifact.add_file",
        "Api.runs",
        "Table.add_data",
        "WandbLogger",
        "sweep",
    ):
        assert re.search(rf'id="tracker[\w.]*\.{re.escape(name)}"', pages), name


def test_every_decision_is_listed(site: Path) -> None:
    page = (site / "decisions" / "index.html").read_text()
    for path in (scripts.ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        assert f'href="{path.stem}.html"' in page
