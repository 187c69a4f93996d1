"""A store in a group-shared folder, used by two users of the group and one user outside the group."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import scripts
from users import PACKAGES, find_python, folder_for_all

# Ids of users and groups (user, group) without an entry in /etc/passwd.
FIRST, SECOND, OUTSIDER = (54_001, 54_100), (54_002, 54_100), (54_003, 54_101)
Run = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

WRITE = """
import sys, numpy, tracker
name = sys.argv[1]
run = tracker.init(project="p", id=name)
run.log({"x": 1, "image": tracker.Image(numpy.zeros((4, 4, 3), dtype="uint8"))})
open(f"{name}.large", "wb").write(b"large" * 100_000)
open(f"{name}.small", "wb").write(name.encode())
artifact = tracker.Artifact(f"made-by-{name}", "model")
artifact.add_file(f"{name}.large", policy="immutable")
artifact.add_file(f"{name}.small")
run.log_artifact(artifact)
run.finish()
"""
READ = """
import sys, tracker
for name in sys.argv[1:]:
    run = tracker.Api().run(f"p/{name}")
    assert run.state == "finished", run.state
    assert [row["x"] for row in run.history(pandas=False)][0] == 1
    (image,) = [file for file in run.files() if file.name.endswith(".png")]
    image.download(root=f"media-{name}", replace=True)
    artifact = tracker.Api().artifact(f"p/made-by-{name}:latest", type="model")
    artifact.download(root=f"artifact-{name}")
    assert open(f"artifact-{name}/{name}.small").read() == name
"""
RESUME = """
import sys, tracker
with tracker.init(project="p", id=sys.argv[1], resume="must") as run:
    run.log({"x": 2})
    artifact = run.use_artifact(f"made-by-{sys.argv[1]}:latest")
    artifact.aliases.append("again")
    artifact.save()
print([row["x"] for row in tracker.Api().run(f"p/{sys.argv[1]}").history(pandas=False)])
"""


@pytest.fixture(scope="module")
def python() -> str:
    """Return the path of an interpreter that other users may run."""
    return find_python(FIRST)


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that every user can enter."""
    with folder_for_all() as folder:
        yield folder


def shared_folder(place: Path, mode: int) -> Path:
    shared = place / "shared"
    shared.mkdir()
    os.chown(shared, 0, FIRST[1])
    shared.chmod(mode)
    return shared


@pytest.fixture
def start(place: Path, python: str) -> Run:
    """Start Python as a user, by default with umask 077, in a folder of that user."""

    def start(
        user: tuple[int, int], *arguments: str, umask: int = 0o077, **variables: str
    ) -> subprocess.Popen[str]:
        home = place / str(user[0])
        if not home.exists():
            home.mkdir(0o700)
            os.chown(home, *user)
        own = {"HOME": str(home), "TRACKER_CONFIG_DIR": str(home), "NETRC": str(home / "netrc")}
        store = {
            "TRACKER_STORE": str(place / "shared/store"),
            "TRACKER_SILENT": "true",
            "PYTHONPATH": PACKAGES,
        }
        environment = scripts.environment(**own, **store, **variables)
        return subprocess.Popen(
            [python, *arguments], cwd=home, env=environment, user=user[0], group=user[1], extra_groups=[],
            umask=umask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def ended(process: subprocess.Popen[str]) -> str:
    said, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "denied" not in errors
    return said


def modes(root: Path) -> dict[str, int]:
    """Return the modes of the folder of a store and of its content, except private files of users."""
    own = [root / "server.key", root / "people.json"]
    own += [*root.glob("locks/recorder-*"), *root.glob("outbox/*/remote.json")]
    paths = [path for path in (root, *root.rglob("*")) if path not in own]
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):  # a recorder that ends closes the catalog and removes its log
            found[str(path.relative_to(root))] = path.lstat()
    assert {each.st_gid for each in found.values()} == {FIRST[1]}
    return {name: stat.S_IMODE(each.st_mode) for name, each in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o2770, 0o2775])
def test_one_member_applies_reads_and_resumes_a_run_of_another(place: Path, start: Run, mode: int) -> None:
    root = shared_folder(place, mode) / "store"
    for user, other, name in ((FIRST, SECOND, "one"), (SECOND, FIRST, "two")):
        ended(start(user, "-c", WRITE, name, TRACKER_JOURNAL_ONLY="1"))
        assert list(root.glob("journals/*/*")), "another process has already applied the journal"
        ended(start(other, "-m", "tracker.cli.main", "sync"))
        assert not list(root.glob("journals/*/*"))
    for user, name in ((FIRST, "two"), (SECOND, "one")):
        ended(start(user, "-c", READ, "one", "two"))
        assert ended(start(user, "-c", RESUME, name)) == "[1, 2]\n"
    ended(start(FIRST, "-m", "tracker.cli.main", "gc", "--grace", "0"))
    for user in (FIRST, SECOND):
        ended(start(user, "-c", READ, "one", "two"))
    unusual = {
        name: f"{found:o}"
        for name, found in modes(root).items()
        if found != (mode if (root / name).is_dir() else mode & 0o666)
    }
    assert unusual == {}


@pytest.mark.slow
def test_a_umask_that_lets_the_group_write_makes_a_shared_store(place: Path, start: Run) -> None:
    root = shared_folder(place, 0o775) / "store"
    ended(start(FIRST, "-c", WRITE, "one", umask=0o002))
    ended(start(SECOND, "-c", WRITE, "two"))
    ended(start(SECOND, "-c", READ, "one", "two"))
    ended(start(FIRST, "-c", READ, "one", "two"))
    scripts.wait_for_recorders(place)
    found = {f"{mode:o}" for name, mode in modes(root).items() if not (root / name).is_symlink()}
    assert found == {"2770", "660"}


@pytest.mark.parametrize(("umask", "expected"), [(0o002, {0o664, 0o444}), (0o027, {0o640, 0o440})])
def test_files_of_an_existing_folder_have_the_mode_of_the_umask(
    place: Path, start: Run, umask: int, expected: set[int]
) -> None:
    root = shared_folder(place, 0o775) / "store"
    root.mkdir()
    os.chown(root, *FIRST)
    root.chmod(0o775)
    ended(start(FIRST, "-c", WRITE, "one", umask=umask))
    scripts.wait_for_recorders(place)
    files = {name: mode for name, mode in modes(root).items() if (root / name).is_file()}
    assert set(files.values()) == expected, files


@pytest.mark.slow
def test_members_can_create_a_store_at_the_same_time(place: Path, start: Run) -> None:
    shared_folder(place, 0o2770)
    names = [f"run{number}" for number in range(6)]
    writers = [start(FIRST if number % 2 else SECOND, "-c", WRITE, name) for number, name in enumerate(names)]
    for process in writers:
        ended(process)
    for user in (FIRST, SECOND):
        ended(start(user, "-c", READ, *names))


@pytest.mark.slow
def test_a_user_outside_the_group_cannot_read_the_store(place: Path, start: Run) -> None:
    root = shared_folder(place, 0o2770) / "store"
    ended(start(FIRST, "-c", WRITE, "one"))
    code = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1]):
    print(folder, folders, files)
"""
    assert ended(start(OUTSIDER, "-c", code, str(root))) == ""
    assert [name for name, mode in modes(root).items() if mode & 0o007] == []


@pytest.mark.slow
def test_each_member_has_an_outbox_for_a_server(place: Path, start: Run) -> None:
    root = shared_folder(place, 0o2770) / "store"
    away = {"TRACKER_BASE_URL": "http://127.0.0.1:9", "TRACKER_FINISH_SECONDS": "0"}
    for user, name in ((FIRST, "one"), (SECOND, "two")):
        ended(start(user, "-c", "import sys, tracker; tracker.init(id=sys.argv[1]).finish()", name, **away))
        sync = start(user, "-m", "tracker.cli.main", "sync")
        assert "denied" not in sync.communicate(timeout=100)[1]
    keys = list(root.glob("outbox/*/remote.json"))
    assert sorted(key.stat().st_uid for key in keys) == [FIRST[0], SECOND[0]]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


@pytest.mark.slow
def test_only_the_member_who_manages_users_rebuilds_them(place: Path, start: Run) -> None:
    root = shared_folder(place, 0o2770) / "store"
    ended(start(FIRST, "-c", "import tracker; tracker.init(project='p', id='one').finish()"))
    scripts.wait_for_recorders(place)
    commands = "-m", "tracker.cli.main"
    ended(start(FIRST, *commands, "user", "add", "ann", "--admin"))
    assert ended(start(SECOND, *commands, "user", "list")).splitlines()[1].startswith("ann ")
    (root / "catalog.db").unlink()
    refused = start(SECOND, *commands, "user", "list")
    _, errors = refused.communicate(timeout=100)
    assert errors == (
        f"tracker: cannot read users and keys from {root}/people.json: run this as the owner of the file\n"
    )
    assert ended(start(FIRST, *commands, "user", "list")).splitlines()[1].startswith("ann ")
    ended(start(SECOND, *commands, "user", "add", "bob"))
    assert (root / "people.json").stat().st_uid == SECOND[0]
    assert stat.S_IMODE((root / "people.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "store.json").stat().st_mode) == 0o660


@pytest.mark.slow
def test_a_store_without_a_recorded_mode_keeps_its_modes(place: Path, start: Run) -> None:
    root = shared_folder(place, 0o2770) / "store"
    ended(start(FIRST, "-c", WRITE, "one"))
    scripts.wait_for_recorders(place)  # running recorders have read the mode
    (root / "store.json").write_text('{"format": 1, "id": "0123456789abcdef0123456789abcdef"}')
    before = modes(root)
    ended(start(FIRST, "-c", WRITE, "two"))
    # SQLite copies the mode of the catalog to its logs.
    new = {
        name: mode
        for name, mode in modes(root).items()
        if name not in before and not name.endswith(("-wal", "-shm"))
    }
    assert new
    assert {mode & 0o077 for name, mode in new.items() if (root / name).is_file()} <= {0, 0o044}
