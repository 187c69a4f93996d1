"""Each command of docs/airgap.md has the effect that the page describes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from builders import START, Writer
from store_contents import assert_same, content_of

from tracker.cli.main import main
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")

PAGE = (scripts.ROOT / "docs" / "airgap.md").read_text()
BLOCKS = [
    textwrap.dedent(block).strip().splitlines()
    for block in re.findall(r"^ *```sh\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
]
SIGN, CREATE, IMPORT, CONFIRM, NEXT, FREE, ENCRYPT, COPY, MERGE = range(len(BLOCKS))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in place of the root folder, with a store of two runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_ENTITY", "team")
    (tmp_path / "media" / "usb").mkdir(parents=True)
    log(tmp_path, 1, "first", b"1")
    log(tmp_path, 2, "second", b"2", state="failed")
    yield tmp_path


def log(place: Path, number: int, run_id: str, content: bytes, state: str = "finished") -> None:
    store = open_store(place / "data" / "tracker-store")
    writer = Writer(store.layout, f"{number:032x}", run_id, start=START + 100 * number, project="digits")
    writer.log({"loss": number})
    writer.artifact("model", {"weights": content})
    writer.finish(state)
    Follower(store).poll()
    store.close()


def run(block: int, place: Path, *lines: int) -> None:
    """Run lines of a block of the page, with another root folder; all lines by default."""
    for line in [BLOCKS[block][each] for each in lines] or BLOCKS[block]:
        line = re.sub(r"(?<![\w.])/(data|srv|media)\b", rf"{place}/\1", line)
        if line.startswith("tracker ") and "$(" not in line:
            main(shlex.split(line)[1:])
        elif line.startswith("tracker "):
            words = subprocess.run(
                ["bash", "-c", f"printf '%s\\0' {line}"],
                check=True,
                cwd=place,
                capture_output=True,
                text=True,
            )
            main(words.stdout.split("\0")[1:-1])
        else:
            subprocess.run(["bash", "-c", line], check=True, cwd=place, timeout=60)


def here(place: Path) -> dict[str, object]:
    return content_of(place / "data" / "tracker-store")


def there(place: Path) -> dict[str, object]:
    return content_of(place / "srv" / "tracker-store")


@pytest.mark.slow
def test_runs_cross_the_gap_and_the_isolated_side_is_freed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(SIGN, place)
    run(CREATE, place)
    run(IMPORT, place)
    assert "signed by cluster" in capsys.readouterr().out
    assert_same(there(place), here(place))
    run(CONFIRM, place)
    assert "arrived" in capsys.readouterr().out
    log(place, 3, "third", b"1")
    run(NEXT, place, 0)
    assert "of 3 runs" in capsys.readouterr().out
    run(NEXT, place, 1)
    assert_same(there(place), here(place))
    assert "1 run copied, 2 already there" in capsys.readouterr().out
    run(FREE, place, 0)
    assert "team/digits/first: would be deleted" in capsys.readouterr().out
    assert "team/digits/first" in here(place)
    run(FREE, place, 1)
    # The second bundle is not confirmed, so its run stays.
    assert sorted(here(place)) == ["team/digits/model/v2", "team/digits/third"]
    assert "team/digits/first" in there(place)
    # A side that did not get the first bundle is told so.
    log(place, 4, "fourth", b"new")
    main(["bundle", "create", "--store", "data/tracker-store", "--since-last", "-o", "3.tbundle"])
    main(["bundle", "import", "3.tbundle", "--store", "other"])
    first = json.loads((place / "media" / "usb" / "1.tbundle.receipt.json").read_text())["bundle"]
    assert f"the earlier bundle {first} was not imported here" in capsys.readouterr().err


def test_an_encrypted_bundle_crosses_with_ssh_keys(place: Path) -> None:
    pytest.importorskip("pyrage")
    run(ENCRYPT, place)
    assert_same(there(place), here(place))


@pytest.mark.slow
def test_runs_are_copied_moved_and_merged(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = here(place)
    run(COPY, place, 0)
    assert not (place / "media" / "usb" / "copy").exists()
    run(COPY, place, 1)
    assert_same(content_of(place / "media" / "usb" / "copy"), before)
    run(COPY, place, 2)
    assert "team/digits/second" in content_of(place / "media" / "usb" / "failed")
    run(COPY, place, 3)
    assert sorted(here(place)) == ["team/archive/first", "team/digits/model/v0"]
    open_store(place / "srv" / "tracker-store").close()
    run(MERGE, place, 0)
    assert there(place) == {}
    run(MERGE, place, 1)
    assert_same(there(place), before)
