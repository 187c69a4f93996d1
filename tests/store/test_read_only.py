"""Read-only stores: on a read-only mount as root, and for a user without write permission."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import scripts
from serving import ADDRESS, serving
from store_contents import assert_same, content_of
from users import PACKAGES, find_python, folder_for_all

from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.catalog.lease import catalog_of
from tracker.store.objects.layout import Layout

READER = (54_011, 54_111)
Start = Callable[..., subprocess.Popen[str]]
# Mounts $0 read-only, visible only to the command.
MOUNT = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and be several users"),
]

WRITE = """
import os, signal, sys, numpy, tracker
name = sys.argv[1]
run = tracker.init(project="p", id=name, config={"lr": 0.5})
for step in range(5):
    run.log({"x": step})
run.log({"image": tracker.Image(numpy.zeros((4, 4, 3), dtype="uint8"))})
run.summary["best"] = 7
print("printed by", name)
open(f"{name}.large", "wb").write(b"large" * 100_000)
open(f"{name}.small", "wb").write(name.encode())
artifact = tracker.Artifact(f"made-by-{name}", "model")
artifact.add_file(f"{name}.large")
artifact.add_file(f"{name}.small")
run.log_artifact(artifact, aliases=["best"])
if "killed" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
run.finish()
"""
READ = """
import sys, tracker
api = tracker.Api()
for name in sys.argv[1:]:
    run = api.run(f"p/{name}")
    assert run.state in ("finished", "crashed"), run.state
    assert run.config["lr"] == 0.5 and run.summary["best"] == 7
    assert [row["x"] for row in run.history(pandas=False) if row.get("x") is not None] == [0, 1, 2, 3, 4]
    assert len(list(run.scan_history(keys=["x"]))) == 5
    (image,) = [file for file in run.files() if file.name.endswith(".png")]
    image.download(root=f"media-{name}", replace=True)
    artifact = api.artifact(f"p/made-by-{name}:best", type="model")
    artifact.download(root=f"artifact-{name}")
    assert open(f"artifact-{name}/{name}.small").read() == name
    assert open(f"artifact-{name}/{name}.large", "rb").read() == b"large" * 100_000
    assert [each.name for each in run.logged_artifacts()] == [f"made-by-{name}:v0"]
assert sorted(run.id for run in api.runs("p")) == sorted(sys.argv[1:])
assert [each.id for each in api.runs("p", {"summary_metrics.best": 7})]
"""
# Leaves the catalog like a killed process, with a write-ahead log.
HOLD = """
import os, signal, sys
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.store import Store
follower = Follower(open_store(sys.argv[1]))
follower.poll()
os.kill(os.getpid(), signal.SIGKILL)
"""
EDITS = """
import sys, tracker
from tracker.errors import ReadOnlyError
open("new", "w").write("new")
run = tracker.Api().run(f"p/{sys.argv[1]}")
artifact = tracker.Api().artifact(f"p/made-by-{sys.argv[1]}:v0")
def edit():
    run.tags = ["new"]
    run.update()
def alias():
    artifact.aliases.append("new")
    artifact.save()
def delete():
    artifact.delete(delete_aliases=True)
for change in (edit, alias, run.delete, delete, lambda: run.upload_file("new")):
    try:
        change()
    except ReadOnlyError as error:
        assert "is read-only for this user" in str(error) and "\\n" not in str(error)
    else:
        raise AssertionError(change)
"""


@pytest.fixture(scope="module")
def python() -> str:
    """Return the path of an interpreter that other users may run."""
    return find_python(READER)


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that every user can enter."""
    with folder_for_all() as folder:
        yield folder


def write(place: Path, code: str, *arguments: str, check: bool = True, **variables: str) -> None:
    """Run Python as the owner of the store."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=place,
        env=scripts.environment(TRACKER_STORE=str(place / "store"), TRACKER_SILENT="true", **variables),
        capture_output=True,
        text=True,
        timeout=100,
    )
    if check:
        assert done.returncode == 0, done.stderr


def closed_store(place: Path) -> list[str]:
    """Make a store that was closed cleanly."""
    write(place, WRITE, "one")
    scripts.wait_for_recorders(place)
    assert not list((place / "store").glob("*-wal"))
    return ["one"]


def store_of_a_killed_process(place: Path) -> list[str]:
    """Make a store whose catalog has a write-ahead log."""
    write(place, WRITE, "one", TRACKER_JOURNAL_ONLY="1")
    write(place, HOLD, str(place / "store"), check=False)
    assert catalog_of(Layout(place / "store")).with_name("catalog.db-wal").stat().st_size > 0
    return ["one"]


def store_with_journals(place: Path) -> list[str]:
    """Make a store with an applied run, and with a killed and a finished run that only have journals."""
    names = closed_store(place)
    write(place, WRITE, "two", "killed", check=False, TRACKER_JOURNAL_ONLY="1")
    write(place, WRITE, "three", TRACKER_JOURNAL_ONLY="1")
    assert len(list((place / "store").glob("journals/*/*"))) == 2
    return [*names, "two", "three"]


def store_of_journals_only(place: Path) -> list[str]:
    """Make a store with journals that were never applied, so that it does not have a catalog."""
    write(place, WRITE, "one", TRACKER_JOURNAL_ONLY="1")
    assert not list((place / "store").glob("catalog*"))
    return ["one"]


STORES = [closed_store, store_of_a_killed_process, store_with_journals, store_of_journals_only]


def tree(root: Path) -> dict[str, tuple[int, ...]]:
    """Return the state of all files in a folder, to detect any change."""
    paths = [root, *root.rglob("*")]
    found = {str(path.relative_to(root)): path.lstat() for path in paths}
    return {
        name: (each.st_ino, each.st_mode, each.st_size, each.st_mtime_ns, each.st_nlink)
        for name, each in found.items()
    }


@pytest.fixture(params=["mount", "user"])
def start(request: pytest.FixtureRequest, place: Path, python: str) -> Iterator[Start]:
    """Start Python in a new folder, as a process that can only read the store."""
    home = place / "home"
    home.mkdir()
    temporary = home / "tmp"
    temporary.mkdir()
    for folder in (home, temporary):
        os.chown(folder, *READER)

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        store = place / "store"
        own = {"HOME": str(home), "TRACKER_CONFIG_DIR": str(home), "TMPDIR": str(temporary)}
        environment = scripts.environment(**own, TRACKER_STORE=str(store), **variables)
        environment["PYTHONPATH"] = PACKAGES
        command = [python, *arguments]
        who: dict[str, object] = {}
        if request.param == "mount":
            command = ["unshare", "-m", "sh", "-c", MOUNT, str(store), *command]
        else:
            for path in (store, *store.rglob("*")):
                mode = stat.S_IMODE(path.lstat().st_mode)
                path.chmod(mode | (0o055 if path.is_dir() else 0o044))
            who = {"user": READER[0], "group": READER[1], "extra_groups": []}
        return subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **who,  # type: ignore[call-overload]
        )  # fmt: skip

    if request.param == "mount":
        (place / "probe").mkdir()
        command = ["unshare", "-m", "sh", "-c", MOUNT, str(place / "probe"), "true"]
        probe = subprocess.run(command, capture_output=True, text=True)
        if probe.returncode:
            pytest.skip(f"mounting is not allowed here: {probe.stderr}")
    yield start
    assert list(temporary.iterdir()) == [], "private copies are left"


def ended(process: subprocess.Popen[str]) -> str:
    said, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return said


@pytest.mark.parametrize("make", STORES)
def test_api_reads_a_read_only_store_and_changes_nothing(
    place: Path, start: Start, make: Callable[[Path], list[str]]
) -> None:
    names = make(place)
    ended(start("-c", "import tracker"))  # `start` gives the reader permissions on the store
    before = tree(place / "store")
    ended(start("-c", READ, *names))
    ended(start("-c", EDITS, names[-1]))
    assert tree(place / "store") == before


REFUSED = """
import json, sys
from tracker.cli.main import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as error:
        print(line, json.dumps(error.code))
    else:
        print(line, "was done")
"""


def test_commands_read_a_read_only_store(place: Path, start: Start) -> None:
    names = store_with_journals(place)

    def command(*arguments: str) -> str:
        return ended(start("-m", "tracker.cli.main", *arguments))

    command("--version")
    before = tree(place / "store")
    listed = command("artifact", "ls")
    assert all(f"made-by-{name}" in listed for name in names)
    assert "best" in command("artifact", "ls", "p/made-by-two")
    assert "3 versions" in command("artifact", "verify")
    assert "0 missing or damaged" in command("verify", "--all")
    assert command("artifact", "get", "p/made-by-two").strip()
    assert "two.small" in os.listdir(place / "home/artifacts/made-by-two:v0")
    assert "png" in command("pull", "p/two")
    assert "config" in command("restore", "--no-git", "p/two")
    assert tree(place / "store") == before


def test_runs_of_a_read_only_store_are_copied(place: Path, start: Start) -> None:
    names = store_with_journals(place)
    store, state = place / "store", str(place / "home/state")

    ended(start("-c", "import tracker"))
    before = tree(store)
    done = [
        *("cp -p p ./copy", "cp -p p --dry-run ./copy", f"merge {store} --into ./copy --apply"),
        *("bundle create --since-last -o 1.tbundle", "bundle create --since-last -o 2.tbundle"),
        *("bundle import 1.tbundle --store ./imported", "bundle confirm 1.tbundle.receipt.json"),
    ]
    refused = ["mv -p p ./moved", "mv one other", "bundle confirm 1.tbundle.receipt.json --free"]
    said = ended(start("-c", REFUSED, *done, *refused, XDG_STATE_HOME=state))
    assert "3 runs copied, 0 already there" in said
    assert said.count("0 runs to copy, 3 already there") == 1
    assert said.count("Nothing new since the last bundle") == 1
    assert re.search(r"^bundle \w+ arrived$", said, re.MULTILINE)
    assert all(f"{line} was done\n" in said for line in done)
    for line in refused:
        assert f'{line} "tracker: the store {store} is read-only for this user: ' in said
    assert not (place / "home/moved").exists()
    assert tree(store) == before

    source = open_store(store)
    Follower(source).poll()
    source.close()
    expected = content_of(store)
    assert {name.split("/")[2] for name in expected} >= {*names}
    for copy in ("copy", "imported"):
        assert_same(content_of(place / "home" / copy), expected)


def test_runs_of_a_read_only_store_are_sent_to_a_server(place: Path, start: Start) -> None:
    names = store_with_journals(place)
    store, target = place / "store", place / "target"

    ended(start("-c", "import tracker"))
    before = tree(store)
    with serving(target) as server:
        send = ("-m", "tracker.cli.main", "sync", "--to", server.url)
        assert f"{len(names)} runs sent, 0 already there" in ended(start(*send))
        assert "0 runs sent, 2 already there" in ended(start(*send, "one", names[-1]))
    assert tree(store) == before

    for root in (store, target):
        opened = open_store(root)
        Follower(opened).poll()  # seals the runs: until then, answers can differ in details
        opened.close()
    assert_same(content_of(target), content_of(store))


def test_commands_that_change_a_store_fail_with_one_line(place: Path, start: Start) -> None:
    closed_store(place)
    ended(start("-c", "import tracker"))
    before = tree(place / "store")
    commands = [
        "sync",
        "gc",
        "gc --dry-run",
        "rebuild",
        "key",
        "key list",
        "user add ann",
        "user list",
        "user link ann",
        "member lab ann viewer",
        "private lab/digits on",
        "audit",
        "verify",
        "server --link",
        "artifact rm --aliases p/made-by-one:v0",
        "artifact alias p/made-by-one:v0 again",
    ]
    said = ended(start("-c", REFUSED, *commands)).splitlines()
    assert len(said) == len(commands)
    for line, command in zip(said, commands, strict=True):
        assert line.startswith(
            f'{command} "tracker: the store {place / "store"} is read-only for this user: '
        )
    process = start("-m", "tracker.cli.main", "doctor")
    found, errors = process.communicate(timeout=100)
    assert errors == ""
    assert "is read-only for this user" in found
    assert "rebuild" not in found
    assert tree(place / "store") == before


def test_a_run_is_logged_to_another_store(place: Path, start: Start) -> None:
    closed_store(place)
    ended(start("-c", "import tracker"))
    before = tree(place / "store")
    code = "import tracker; run = tracker.init(project='p'); run.log({'x': 1}); run.finish()"
    process = start("-c", code)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert f"cannot use {place / 'store'} as a store: " in errors.splitlines()[0]
    assert "The run is kept in " in errors.splitlines()[0]
    assert tree(place / "store") == before
    kept = next((place / "home/tmp").iterdir())
    scripts.wait_for_recorders(kept)
    shutil.rmtree(kept)


LIVE = """
import sys, tracker
run = tracker.init(project="p", id="live")
artifacts = 0
for line in sys.stdin:
    if line.startswith("end"):
        break
    artifact = tracker.Artifact("kept", "model")
    with artifact.new_file("content") as file:
        file.write(line)
    run.log_artifact(artifact)
    run.log({"x": int(line)})
    print("logged", flush=True)
run.finish()
print("ended", flush=True)
"""
FOLLOW = """
import time, tracker
api = tracker.Api()
while True:
    time.sleep(0.2)
    run = api.run("p/live")
    print(run.state, len(run.history(pandas=False)), len(list(run.logged_artifacts())), flush=True)
"""


def ask(process: subprocess.Popen[str], line: object) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    said = process.stdout.readline().strip()
    assert said, process.stderr.read()  # type: ignore[union-attr]
    return said


def test_a_reader_sees_new_rows_of_a_read_only_store(place: Path, start: Start) -> None:
    store = {"TRACKER_STORE": str(place / "store"), "TRACKER_SILENT": "true"}
    writer = scripts.start(LIVE, place, **store)
    assert ask(writer, 0) == "logged"
    follower = start("-c", FOLLOW)
    seen: list[str] = []
    assert follower.stdout is not None
    reading = threading.Thread(target=lambda: seen.extend(iter(follower.stdout.readline, "")))  # type: ignore[union-attr]
    reading.start()

    def sees(answer: str) -> None:
        scripts.wait_for(lambda: seen and seen[-1].strip() == answer, f"{answer}: {seen[-1:]}", 60)

    try:
        sees("running 1 1")
        for number in range(1, 4):
            assert ask(writer, number) == "logged"
            sees(f"running {number + 1} {number + 1}")
        assert ask(writer, "end") == "ended"
        sees("finished 4 4")
        scripts.wait_for_recorders(place)
        assert not list((place / "store").glob("journals/*/*"))
        count = len(seen)
        scripts.wait_for(lambda: len(seen) > count + 3, "more answers")
        sees("finished 4 4")
    finally:
        follower.send_signal(signal.SIGINT)
        follower.wait()
        reading.join()
        writer.communicate(timeout=60)
        for pipe in (follower.stdout, follower.stderr):
            pipe.close()  # type: ignore[union-attr]


class ReadOnlyServer:
    """A server of the read-only store; see ``serving.Server``."""

    def __init__(self, start: Start, *arguments: str) -> None:
        self.process = start("-m", "tracker.cli.main", "server", "--port", "0", *arguments)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = ADDRESS.match(line)
        assert found, self.process.stderr.read()  # type: ignore[union-attr]
        self.url = found[1]

    def __enter__(self) -> httpx.Client:
        self._client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=60, trust_env=False)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.process.send_signal(signal.SIGTERM)
        _, self.errors = self.process.communicate(timeout=60)


def test_a_server_shows_a_read_only_store_and_rejects_changes(place: Path, start: Start) -> None:
    store_with_journals(place)
    ended(start("-c", "import tracker"))
    before = tree(place / "store")
    server = ReadOnlyServer(start, "--no-key")
    with server as client:
        project = "/projects/local/p"
        runs = client.get(f"{project}/runs").json()["runs"]
        assert {run["id"]: run["state"] for run in runs} == {
            "one": "finished",
            "two": "crashed",
            "three": "finished",
        }
        for name in ("one", "two"):
            rows = client.get(f"{project}/runs/{name}/history", params={"key": "x"}).json()
            assert len(rows["rows"]) == 5, rows
            files = client.get(f"{project}/runs/{name}/files").json()["files"]
            (image,) = [file["path"] for file in files if file["path"].endswith(".png")]
            assert client.get(f"{project}/runs/{name}/files/{image}").content[1:4] == b"PNG"
            content = client.get(f"{project}/artifacts/made-by-{name}/best/files/{name}.large").content
            assert content == b"large" * 100_000
        answers = [
            client.patch(f"{project}/runs/one", json={"tags": ["new"]}),
            client.delete(f"{project}/runs/one"),
            client.patch(f"{project}/collections/made-by-one", json={"tags": ["new"]}),
            client.post("/ingest/blobs/missing", json={"sha256": []}),
            client.get(f"/ingest/journals/{'0' * 32}-000000"),
            client.put(
                f"/ingest/blobs/{'0' * 64}",
                content=b"",
                headers={"content-type": "application/octet-stream"},
            ),
        ]
        for answer in answers:
            assert answer.status_code == 403, answer.text
            error = answer.json()["error"]
            assert error["code"] == "read_only"
            assert str(place / "store") in error["message"]
        assert client.get(f"{project}/runs/one").json()["tags"] == []
    assert server.errors.count("\n") == 1, server.errors
    assert tree(place / "store") == before


def test_a_server_with_a_key_signs_a_browser_in(place: Path, start: Start) -> None:
    closed_store(place)
    ended(start("-c", "import tracker"))
    server = ReadOnlyServer(start)
    with server as client:
        assert client.get("/projects").status_code == 401
        assert client.patch("/projects/local/p/runs/one", json={"tags": ["new"]}).status_code == 401
        link = server.process.stdout.readline().split()[-1]  # type: ignore[union-attr]
        assert client.get(link).status_code == 303
        for name in ("two", "three"):  # the key stays valid with each new copy of the catalog
            write(place, WRITE, name)
            scripts.wait_for(
                lambda: client.get("/projects/local/p/runs").json()["total"] == (2 if name == "two" else 3),  # noqa: B023
                "the run",
                20,
            )
    scripts.wait_for_recorders(place)


def test_a_server_reports_changes_of_a_read_only_store(place: Path, start: Start) -> None:
    closed_store(place)
    ended(start("-c", "import tracker"))
    server = ReadOnlyServer(start, "--no-key")
    with server as client:
        since = client.get("/live").json()["revision"]
        for name in ("two", "three"):
            write(place, WRITE, name)
            changed: set[str] = set()
            while name not in changed:
                answer = client.get("/live", params={"since": since, "timeout": 20}).json()
                assert answer["revision"] > since, answer
                since = answer["revision"]
                changed |= {run["id"] for run in answer["runs"]}
    scripts.wait_for_recorders(place)
