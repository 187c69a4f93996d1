"""``tracker sync --to`` sends the complete runs of a store to a server, each run only once."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import scripts
from logged import log_everything
from serving import COMMAND, Server, command, serving
from store_contents import assert_same, content_of, wait_until_sealed

import tracker

# Everything that ``log_everything`` does not log.
SCRIPT = """
import os, time
import tracker

def begin(run_id, **given):
    return tracker.init(project="more", entity="team", id=run_id, **given)

print("printed before")
run = begin("resumed", config={"lr": 0.1}, settings={"x_stats_sampling_interval": 0.1})
print("printed 1")
for step in range(5):
    run.log({"epoch": step, "loss": 1.0 / (step + 1)})
run.log({"acc": 0.5})
run.define_metric("loss", step_metric="epoch", summary="min,mean")
run.define_metric("acc", step_metric="epoch", summary="max")
for step in range(5, 9):
    run.log({"epoch": step, "loss": 1.0 / (step + 1), "_timestamp": 1e9 + step / 3})
    run.log({"acc": 0.1 * step})
run.log({"aside": 1}, step=2)
run.alert("look", "at this")
run.config.update({"late": [1, 2]})
run.tags = ("a", "b")
run.summary["best"] = 2**80
while tracker.Api().run("team/more/resumed").system_metrics == {}:
    time.sleep(0.05)
run.finish()
run = begin("resumed", resume="must", config={"lr": 0.2}, settings={"allow_val_change": True})
run.log({"loss": 0.01, "epoch": 20})
artifact = tracker.Artifact("weights", "model")
with artifact.new_file("w.txt") as file:
    file.write("weights")
logged = run.log_artifact(artifact, aliases=["good"])
logged.wait()
run.link_artifact(logged, "team/registry/chosen", aliases=["prod"])
run.finish()
run = begin("used")
run.use_artifact("weights:good")
run.log({"x": float("nan")})
run.finish()
edited = tracker.Api().run("team/more/used")
edited.name = "an edited name"
edited.config["added"] = 1
edited.update()
run = begin("killed")
run.log({"x": 1})
os.kill(os.getpid(), 9)
"""


def _fill(folder: Path) -> Path:
    log_everything(folder)
    ended = scripts.run(SCRIPT, folder, check=False, TRACKER_MODE="offline")
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return folder / "tracker-store"


def _sync(root: Path, server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    key = {"TRACKER_API_KEY": server.key} if server.key else {}
    return command("sync", *arguments, "--to", server.url, folder=root.parent, **key)


@pytest.mark.slow
def test_a_whole_store_arrives_once(tmp_path: Path) -> None:
    root = _fill(tmp_path)
    with serving(tmp_path / "server-store", key=True) as server:
        done = _sync(root, server)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert f"{server.url}: 13 runs sent, 0 already there, 0 still active" in done.stdout
        expected = content_of(root)
        assert expected["team/more/killed"]["detail"]["state"] == "crashed"
        wait_until_sealed(server.store)
        assert_same(content_of(server.store), expected)
        again = _sync(root, server)
        assert f"{server.url}: 0 runs sent, 13 already there, 0 still active" in again.stdout
        assert again.returncode == 0
        assert_same(content_of(server.store), expected)
        assert not list((root / "sending").rglob("*.journal"))


@pytest.mark.slow
def test_an_interrupted_call_is_continued(tmp_path: Path) -> None:
    root = tmp_path / "tracker-store"
    scripts.run(
        """
import tracker
for at in range(3):
    with tracker.init(project="p", id=f"r{at}") as run:
        for step in range(4000):
            run.log({"x": step, "text": f"{step} " * 400})
""",
        tmp_path,
    )
    wait_until_sealed(root)
    with serving(tmp_path / "server-store", key=True) as server:
        arrived = server.store / "journals" / "@ingest"
        killed = 0
        while True:
            sync = subprocess.Popen(
                [*COMMAND, "sync", "--store", str(root), "--to", server.url],
                env=scripts.environment(TRACKER_API_KEY=server.key or ""),
                stdout=subprocess.PIPE,
                text=True,
            )
            before = _received(arrived)
            scripts.wait_for(lambda: _received(arrived) > before or sync.poll() is not None, "news")  # noqa: B023
            sync.kill()
            sync.communicate()
            if sync.returncode == 0:
                break
            killed += 1
        assert killed
        wait_until_sealed(server.store)
        assert_same(content_of(server.store), content_of(root))


def _received(folder: Path) -> int:
    """Return the number of bytes of journals on a server that are not sealed."""
    return sum(path.stat().st_size for path in folder.glob("*.journal")) if folder.is_dir() else 0


@pytest.mark.slow
def test_named_runs_live_runs_and_deleted_runs(tmp_path: Path) -> None:
    for run_id in ("one", "two", "gone"):
        with tracker.init(project="p", id=run_id, mode="offline", reinit="create_new") as run:
            run.log({"x": 1})
    live = tracker.init(project="p", id="live", mode="offline", reinit="create_new")
    live.log({"x": 1})
    root = tmp_path / "tracker-store"
    with serving(tmp_path / "server-store", key=True) as server, server.client() as api:

        def there() -> list[str]:
            return sorted(run["id"] for run in api.get("/projects/local/p/runs").json()["runs"])

        done = _sync(root, server, str(root), "p/one", "gone")
        assert done.returncode == 0, done.stderr
        assert there() == ["gone", "one"]
        assert api.delete("/projects/local/p/runs/gone").status_code == 200
        done = _sync(root, server)
        assert done.returncode == 0
        assert there() == ["one", "two"]
        assert "local/p/gone was deleted on" in done.stderr
        assert "local/p/live has not ended. Run this command again later." in done.stderr
        assert f"{server.url}: 1 runs sent, 1 already there, 1 still active" in done.stdout
        assert _sync(root, server, "live").returncode == 1
        live.finish()
        done = _sync(root, server, "live")
        assert (done.returncode, there()) == (0, ["live", "one", "two"])


@pytest.mark.slow
def test_later_edits_are_sent_and_the_newest_edit_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with tracker.init(project="p", id="one", mode="offline", config={"a": 1, "b": 2}) as run:
        run.log({"x": 1})
    root = tmp_path / "tracker-store"
    with serving(tmp_path / "server-store", key=True) as server, server.client() as api:

        def there() -> tuple[str, Any]:
            found = api.get("/projects/local/p/runs/one").json()
            return found["name"], found["config"]

        assert _sync(root, server).returncode == 0
        assert (
            f"{server.url}: 0 runs sent, 1 already there" in _sync(root, server).stdout
        )  # sealed or not yet
        edited = tracker.Api().run("p/one")
        edited.name = "here"
        edited.config["a"] = 10
        del edited.config["b"]
        edited.update()
        assert f"{server.url}: 1 runs sent" in _sync(root, server).stdout
        assert there() == ("here", {"a": 10})
        assert api.patch("/projects/local/p/runs/one", json={"name": "there"}).status_code == 200
        edited = tracker.Api().run("p/one")
        edited.config["c"] = 3
        edited.update()
        assert f"{server.url}: 1 runs sent" in _sync(root, server).stdout
        assert there() == ("there", {"a": 10, "c": 3})
        with server.client() as again:
            assert len(again.get("/projects/local/p/runs/one").json()["segments"]) == 1


def test_invalid_input_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "tracker-store"
    url = "http://127.0.0.1:9"
    monkeypatch.setenv("TRACKER_BASE_URL", url)
    with tracker.init(project="p", id="one", mode="offline") as run:
        run.log({"x": 1})
    assert f"is kept in {root} until `tracker sync --to {url}` sends it" in capsys.readouterr().err
    for arguments, said in (
        (("sync", "one"), "'one' is not the folder of a store. To send a run: tracker sync one --to URL"),
        (("sync", "--to", "host:8080"), "Invalid server address 'host:8080'. Use http://host:port."),
        (("sync", "two", "--to", url), f"'two' is neither a folder nor a run of {root}"),
        (("sync", str(tmp_path), "--to", url), f"there is no store at {tmp_path}"),
        (("sync", "--to", url), f"cannot reach the tracker server at {url}"),
    ):
        done = command(*arguments, folder=tmp_path)
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    done = command("sync", folder=tmp_path, TRACKER_BASE_URL=url)
    assert f"{root} contains 1 runs. To send them: tracker sync --to {url}" in done.stdout
