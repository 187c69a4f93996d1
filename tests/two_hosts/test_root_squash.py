"""A mount through which root has no rights of its own, like NFS with ``root_squash``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
from mounts import two_mounts
from users import folder_for_all

pytestmark = pytest.mark.mounts

WRITE = """
import tracker
run = tracker.init(project="p", id="one")
run.log({"x": 1})
run.finish()
"""
READ = """
import tracker
run = tracker.Api().run("p/one")
print(run.state, [row["x"] for row in run.history(pandas=False)])
print([each.id for each in tracker.Api().runs("p")])
"""
CHANGE = """
import tracker
open("new", "w").write("new")
run = tracker.Api().run("p/one")
for change in (lambda: run.upload_file("new"), run.delete):
    try:
        change()
    except tracker.Error as error:
        assert "\\n" not in str(error)
        print(type(error).__name__, error)
    else:
        raise AssertionError(change)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that every user can enter."""
    with folder_for_all() as folder:
        yield folder


def test_root_reads_a_store_that_it_may_not_write(place: Path) -> None:
    with two_mounts(place, "nobody") as (here, there):
        scripts.run(WRITE, here, TRACKER_STORE=str(here / "store"))
        for path in ((place / "shared"), *(place / "shared").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        temporary = place / "tmp"
        temporary.mkdir()
        variables = {"TRACKER_STORE": str(there / "store"), "TMPDIR": str(temporary)}
        assert scripts.run(READ, place, **variables).stdout == "finished [1]\n['one']\n"
        said = scripts.run(CHANGE, place, **variables).stdout.splitlines()
        refused = f"ReadOnlyError the store {there / 'store'} is read-only for this user: "
        assert [line.startswith(refused) for line in said] == [True, True], said
        journals = list((place / "shared").glob("store/journals/*/*"))
        written = scripts.run(WRITE, place, **variables)
        lines = [line for line in written.stderr.splitlines() if "cannot use" in line]
        assert len(lines) == 1
        assert "The run is kept in " in lines[0]
        assert list((place / "shared").glob("store/journals/*/*")) == journals
