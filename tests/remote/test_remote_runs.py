"""Runs that are sent to a real server: rows, media, artifacts, resume, and unreachable or killed servers."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scripts
from sending import outbox_journals, sent, use, values_of
from serving import Server, command

import tracker
from benchmarks.relay import relaying
from tracker.errors import AuthenticationError, CommError, UsageError
from tracker.ground.processes import host_name
from tracker.recorder.main import IDLE_SECONDS
from tracker.recorder.outbox import Remote, list_outboxes, remote_of
from tracker.recorder.send import Sender
from tracker.sdk.run.run import Run

Begin = Callable[..., Run]


def test_rows_media_and_artifacts_arrive(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(shared, monkeypatch)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    logged = [1.0, math.nan, -math.inf, 2**70, "text ✓", [1, 2], {"a": None}]
    with tracker.init(project=project, name="a name", config={"nan": math.nan, "big": 2**70}) as run:
        assert run.url is not None
        assert run.url.startswith(shared.url)
        for value in logged:
            run.log({"x": value})
        run.log({"image": tracker.Image(pixels, caption="✓")})
        artifact = tracker.Artifact("model", "model", metadata={"a": 1})
        with artifact.new_file("weights.bin", "wb") as file:
            file.write(b"weights" * 1000)
        run.log_artifact(artifact, aliases=["best"])
        # wait() sends unsent journals first, because the server assigns the version.
        assert artifact.wait().version == "v0"
        assert sorted(artifact.aliases) == ["best", "latest"]
        live = tracker.Api().run(f"{project}/{run.id}")
        assert live.state == "running"
        assert repr([row["x"] for row in live.history(keys=["x"], pandas=False)][:6]) == repr(logged[:6])
    finished = tracker.Api().run(f"{project}/{run.id}")
    assert finished.state == "finished"
    assert finished.name == "a name"
    assert repr(finished.config) == repr({"nan": math.nan, "big": 2**70})
    assert repr([row["x"] for row in finished.history(keys=["x"], pandas=False)]) == repr(logged)
    with tracker.init(project=project) as user:
        used = user.use_artifact("model:best")
        folder = Path(used.download(tmp_path / "download"))
    assert (folder / "weights.bin").read_bytes() == b"weights" * 1000
    sent(tmp_path)
    with shared.client() as api:
        described = api.get(f"/projects/local/{project}/artifacts/model/v0").json()
        assert [run["id"] for run in described["used_by"]] == [user.id]
        media = api.get(f"/projects/local/{project}/runs/{run.id}/objects", params={"key": "image"}).json()
        assert media["steps"][0]["value"]["caption"] == "✓"
        url = shared.url + media["steps"][0]["value"]["url"]
        assert api.get(url).headers["content-type"] == "image/png"
    # The local folder does not have a catalog, because everything is on the server.
    assert not (tmp_path / "tracker-store" / "catalog.db").exists()


def test_only_the_owner_can_read_the_stored_key(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(shared, monkeypatch)
    tracker.init(project=project).finish()
    (outbox,) = list_outboxes(tmp_path / "tracker-store")
    assert remote_of(outbox) == Remote(shared.url, shared.key)
    assert (outbox.root / "remote.json").stat().st_mode & 0o077 == 0
    sent(tmp_path)


def test_resume_is_decided_by_the_server(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(shared, monkeypatch)
    with pytest.raises(UsageError, match=r"resume='must' was given, but .* has no run"):
        tracker.init(project=project, id="again", resume="must")
    for attempt in range(2):
        with tracker.init(
            project=project, id="again", resume="allow", config={f"c{attempt}": attempt}
        ) as run:
            assert run.resumed == (attempt == 1)
            assert run.step == 3 * attempt
            for value in range(3):
                run.log({"x": 10 * attempt + value})
    with pytest.raises(UsageError, match=r"resume='never' was given, but run .* exists"):
        tracker.init(project=project, id="again", resume="never")
    with tracker.init(project=project, id="again", resume="must") as run:
        assert run.config.as_dict() == {"c0": 0, "c1": 1}
        run.log({"x": 20})
    assert values_of(project, "again") == [0, 1, 2, 10, 11, 12, 20]
    detail = tracker.Api().run(f"{project}/again")
    assert (detail.state, detail.lastHistoryStep) == ("finished", 6)


def test_a_resumed_process_knows_the_state_on_the_server(
    shared: Server, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(shared, monkeypatch)
    code = f"""
import sys, tracker
run = tracker.init(project={project!r}, id="again", resume="allow")
run.define_metric("x", summary="min,mean,first")
for value in map(float, sys.stdin.read().split()):
    run.log({{"x": value}})
print({{key: value for key, value in run.summary.items() if key[0] != "_"}})
run.finish()
print(dict(tracker.Api().run("{project}/again").summary)["x"])
"""
    printed = []
    for at, values in enumerate(("3 1 2", "2 8")):
        (tmp_path / f"node {at}").mkdir()
        with scripts.start(code, tmp_path / f"node {at}", TRACKER_STORE=str(tmp_path / f"{at}")) as process:
            out, err = process.communicate(values, timeout=120)
        assert process.returncode == 0, err
        printed.append(out.splitlines())
        edited = tracker.Api().run(f"{project}/again")
        edited.summary["y"] = at
        edited.update()
    assert printed == [
        ["{'x': {'min': 1.0, 'mean': 2.0, 'first': 3.0}}", "{'min': 1.0, 'mean': 2.0, 'first': 3.0}"],
        ["{'x': {'min': 1.0, 'mean': 3.2, 'first': 3.0}, 'y': 0}", "{'min': 1.0, 'mean': 3.2, 'first': 3.0}"],
    ]


def test_each_rank_resumes_from_the_state_on_the_server(
    shared: Server, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(shared, monkeypatch)
    code = """
import sys, tracker
run = tracker.init(project=sys.argv[1], id="ranks", resume="allow")
print(run.step, flush=True)
sys.stdin.readline()
for at in range(3 - run._started.rank): run.log({"x": at})
"""
    code = code.replace("sys.argv[1]", repr(project))
    for attempt in range(2):
        ranks = [scripts.start(code, tmp_path, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
        began = [rank.stdout.readline() for rank in ranks if rank.stdout is not None]
        assert began == [f"{3 * attempt}\n", f"{2 * attempt}\n"]
        for rank in ranks:
            rank.communicate("\n", timeout=60)
        segments = [each for each in tracker.Api().run(f"{project}/ranks").segments if each.shown]
        assert [(each.rank, each.attempt) for each in segments] == [(0, at) for at in range(attempt + 1)]
    assert values_of(project, "ranks") == [0, 1, 2] * 2


def test_finish_waits_until_the_server_has_everything(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The end of a job may delete the node's disk. When `finish` returns, the data must be on the server."""
    use(shared, monkeypatch)
    code = f"""
import shutil, tracker
run = tracker.init(project={project!r}, id="r")
for value in range(20_000): run.log({{"x": value}})
artifact = tracker.Artifact("model", "model")
with artifact.new_file("weights", "wb") as file: file.write(bytes(range(256)) * 40_000)
run.log_artifact(artifact)
run.finish()
shutil.rmtree("tracker-store", ignore_errors=True)  # the recorder may still write there
"""
    scripts.run(code, tmp_path)
    assert values_of(project, "r") == list(range(20_000))
    content = Path(tracker.Api().artifact(f"{project}/model:v0").download()) / "weights"
    assert content.stat().st_size == 256 * 40_000


def test_finish_does_not_wait_for_a_server_that_is_unreachable_or_hangs(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "later" / "store"
    store.parent.mkdir()
    own.append(Server(store))
    use(own[0], monkeypatch)
    monkeypatch.setenv("TRACKER_FINISH_SECONDS", "3600")
    monkeypatch.delenv("TRACKER_SILENT")
    code = """
import tracker
from tracker.sdk.process import upload_wait
upload_wait.STALLED_SECONDS = 1.0
run = tracker.init(project="p", id="{name}")
input()
run.log({{"x": 1}})
run.finish()
"""
    standing = scripts.start(code.format(name="standing"), tmp_path)
    scripts.wait_for(lambda: outbox_journals(tmp_path), "the run to begin")
    os.kill(own[0].process.pid, signal.SIGSTOP)
    try:
        _, said = standing.communicate("\n", timeout=60)
        assert "bytes of run standing were not sent" in said
        assert "Keep this folder until" in said
    finally:
        os.kill(own[0].process.pid, signal.SIGCONT)
    own[0].stop()
    away = scripts.start(code.format(name="away"), tmp_path)
    _, said = away.communicate("\n", timeout=60)
    assert away.returncode == 0
    assert "bytes of run away were not sent" in said


def test_signal_handlers_are_detected(tmp_path: Path) -> None:
    code = """
import os, signal
from tracker.sdk.process.upload_wait import is_in_signal_handler
def inner(): return is_in_signal_handler()
def handler(*_): print(inner())
print(inner())
signal.signal(signal.SIGUSR1, handler)
os.kill(os.getpid(), signal.SIGUSR1)
"""
    assert scripts.run(code, tmp_path).stdout == "False\nTrue\n"


@pytest.mark.slow
def test_waiting_journals_are_sent_when_the_server_is_back(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "later" / "store"
    store.parent.mkdir()
    own.append(Server(store))
    own[0].stop()
    use(own[0], monkeypatch)
    monkeypatch.setenv("TRACKER_SENDING_SECONDS", "120")
    code = "import tracker\nrun = tracker.init(project='p', id='r')\nfor x in range(50): run.log({'x': x})"
    scripts.run(code, tmp_path)
    assert len(outbox_journals(tmp_path)) == 1
    ended = time.monotonic()
    scripts.wait_for(lambda: time.monotonic() - ended > 2 * IDLE_SECONDS, "a recorder without work to leave")
    own.append(own[0].again())
    scripts.wait_for(lambda: outbox_journals(tmp_path) == [], "the run to be sent", 60)
    assert values_of("p", "r") == list(range(50))


def test_a_server_that_starts_later_gets_everything(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "later" / "store"
    store.parent.mkdir()
    own.append(Server(store))
    port = own[0].port
    own[0].stop()
    use(own[0], monkeypatch)
    for name in ("first", "second"):  # returns although there is no server
        with tracker.init(project="p", name=name) as run:
            for value in range(100):
                run.log({"x": value})
            artifact = tracker.Artifact(name, "data")
            with artifact.new_file("a") as file:
                file.write(name)
            run.log_artifact(artifact)
    assert len(outbox_journals(tmp_path)) == 2
    with pytest.raises(CommError, match="cannot reach the tracker server at http://127"):
        tracker.Api().run("p/nothing")
    failed = command("sync", folder=tmp_path)
    assert failed.returncode == 1
    assert len(failed.stderr.splitlines()) == 1
    assert "cannot reach the tracker server" in failed.stderr
    assert len(outbox_journals(tmp_path)) == 2
    own.append(Server(store, port=port))
    done = command("sync", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert outbox_journals(tmp_path) == []
    runs = list(tracker.Api().runs("p"))
    assert [run.name for run in runs] == ["first", "second"]
    assert [values_of("p", run.id) for run in runs] == [list(range(100))] * 2
    assert Path(tracker.Api().artifact("p/second").download()).joinpath("a").read_text() == "second"


def test_a_wrong_key_does_not_stop_training_and_sync_sends_with_the_right_key(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(shared, monkeypatch, key="local-" + "0" * 40)
    with tracker.init(project=project, name="kept") as run:
        for value in range(10):
            run.log({"x": value})
    with pytest.raises(AuthenticationError, match=r"Invalid API key\. Check TRACKER_API_KEY"):
        list(tracker.Api().runs(project))
    refused = command("sync", folder=tmp_path)
    assert refused.returncode == 1
    assert "Invalid API key" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(outbox_journals(tmp_path)) == 1
    done = command("sync", folder=tmp_path, TRACKER_API_KEY=shared.key or "")
    assert done.returncode == 0, done.stderr
    assert outbox_journals(tmp_path) == []
    use(shared, monkeypatch)
    assert values_of(project, run.id) == list(range(10))


def test_records_are_sent_compressed(shared: Server, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with relaying(shared.port) as relay:
        use(shared, monkeypatch)
        monkeypatch.setenv("TRACKER_BASE_URL", relay.address)
        with tracker.init(project=project) as run:
            for at in range(2000):
                run.log({"x": at, **{f"metric/{key}": at / 8 for key in range(10)}})
        assert values_of(project, run.id) == list(range(2000))
    # In the journal, the names of the metrics alone take 160,000 bytes.
    assert relay.sent < 100_000


@pytest.mark.parametrize("key", ["local-x\r\nX-Injected: 1", "schlüssel-✓", "with space"])
def test_a_key_with_invalid_characters_is_reported(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    use(shared, monkeypatch, key=key)
    with pytest.raises(AuthenticationError, match="API key"):
        list(tracker.Api().runs(project))


def test_a_key_read_from_a_file_may_end_in_a_newline(
    shared: Server, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(shared, monkeypatch, key=f"{shared.key}\n")
    assert list(tracker.Api().runs(project)) == []


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://h:port", "http://h:99999", "http://[::1", "x y"]
)
def test_init_reports_an_invalid_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_BASE_URL", url)
    with pytest.raises(UsageError, match="Invalid server address"):
        tracker.init(project="p")


WRITER = """
import sys, tracker
run = tracker.init(project="p", id=sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    run.log({"x": int(line)})
    print("logged", flush=True)
run.finish()
"""


def start_writer(run_id: str, folder: Path) -> subprocess.Popen[str]:
    """Start a script that logs the numbers from its standard input."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, run_id],
        cwd=folder,
        env=scripts.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def log(writer: subprocess.Popen[str], value: int) -> None:
    """Let the script log a number; return after the script's call of ``log`` has returned."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{value}\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "logged\n"


def shown(server: Server, run_id: str) -> int:
    """Return the number of rows of a run on the server."""
    with server.client() as api:
        answer = api.get(f"/projects/local/p/runs/{run_id}/history")
        return len(answer.json()["rows"]) if answer.status_code == 200 else 0


def test_a_killed_server_neither_loses_nor_duplicates_rows(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    use(own[-1], monkeypatch)
    writer = start_writer("killed", tmp_path)
    value = 0
    for _ in range(2):
        before = shown(own[-1], "killed")
        while shown(own[-1], "killed") <= before:  # until the server has more rows than before
            log(writer, value)
            value += 1
        own[-1].kill()
        for _ in range(20):
            log(writer, value)
            value += 1
        own.append(own[-1].again())
    # The recorder retries at increasing intervals. Without a writer it would exit between two retries.
    scripts.wait_for(lambda: shown(own[-1], "killed") == value, "all rows on the third server", seconds=60)
    writer.communicate(timeout=60)
    assert writer.returncode == 0
    sent(tmp_path)
    run = tracker.Api().run("p/killed")
    assert run.state == "finished"
    assert values_of("p", "killed") == list(range(value))


def test_a_killed_training_process_is_a_crashed_run_with_all_its_rows(
    own: list[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    use(own[0], monkeypatch)
    writer = start_writer("crashed", tmp_path)
    for value in range(50):
        log(writer, value)
    scripts.wait_for(lambda: shown(own[0], "crashed"), "the recorder to send the first rows")
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    sent(tmp_path)
    run = tracker.Api().run("p/crashed")
    assert (run.state, run.reason, run.host) == ("crashed", "process gone", host_name())
    assert run.lastSeen is not None
    assert values_of("p", "crashed") == list(range(50))


def test_several_senders_of_an_outbox_send_it_only_once(
    shared: Server, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorder, `tracker sync` and reading processes may send at the same time."""
    use(shared, monkeypatch)
    run = tracker.init(project=project)
    failures: list[str] = []
    over = threading.Event()

    def send() -> None:
        (outbox,) = list_outboxes(tmp_path / "tracker-store")
        sender = Sender(outbox, Remote(shared.url, shared.key))
        while not over.is_set():
            try:
                sender.poll(patient=False)
            except Exception as error:
                failures.append(repr(error))
                return

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for value in range(300):
        run.log({"x": value})
    run.finish()
    sent(tmp_path)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert values_of(project, run.id) == list(range(300))
    assert tracker.Api().run(f"{project}/{run.id}").state == "finished"


def test_sending_again_changes_nothing(
    shared: Server, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the run has arrived, a copy of its outbox is sent, as from a copied disk."""
    use(shared, monkeypatch, key="wrong")  # so that the outbox is not sent before it is copied
    with tracker.init(project=project) as run:
        run.log({"x": 0})
        artifact = tracker.Artifact("data", "data")
        with artifact.new_file("a") as file:
            file.write("content")
        run.log_artifact(artifact)
        run.log({"x": 1})
    shutil.copytree(tmp_path / "tracker-store", tmp_path / "copy")
    key = shared.key or ""
    assert command("sync", folder=tmp_path, TRACKER_API_KEY=key).returncode == 0
    assert outbox_journals(tmp_path) == []
    with shared.client() as api:
        where = f"/projects/local/{project}"
        before = (api.get(f"{where}/runs/{run.id}").json(), api.get(f"{where}/artifacts").json())
        assert before[0]["state"] == "finished"
        for _ in range(2):
            assert len(list((tmp_path / "copy").rglob("*.journal"))) == 1
            again = tmp_path / "again"
            shutil.copytree(tmp_path / "copy", again)
            done = command("sync", "--store", str(again), folder=tmp_path, TRACKER_API_KEY=key)
            assert (done.returncode, done.stderr) == (0, "")
            assert list(again.rglob("*.journal")) == []
            shutil.rmtree(again)
        assert (api.get(f"{where}/runs/{run.id}").json(), api.get(f"{where}/artifacts").json()) == before
    use(shared, monkeypatch)
    assert values_of(project, run.id) == [0, 1]


def test_a_client_survives_lost_connections_and_server_restarts(own: list[Server], tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    own.append(Server(tmp_path / "served" / "store"))
    api = tracker.Api({"base_url": own[0].url})
    assert list(api.runs("p")) == []
    own[0].kill()
    with pytest.raises(CommError, match="cannot reach"):
        list(api.runs("p"))
    own.append(own[0].again())
    assert list(api.runs("p")) == []
    own[1].stop()
    own.append(own[0].again())
    assert list(api.runs("p")) == []  # over a connection that the server has closed


def test_offline_mode_sends_nothing(
    shared: Server, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(shared, monkeypatch)
    with tracker.init(project=project, mode="offline") as run:
        run.log({"x": 1})
        assert run.url is None
    assert outbox_journals(tmp_path) == []
    with shared.client() as api:
        assert api.get(f"/projects/local/{project}/runs").json()["total"] == 0
    monkeypatch.delenv("TRACKER_BASE_URL")
    assert values_of(project, run.id) == [1]
    assert json.loads((tmp_path / "tracker-store" / "store.json").read_text())["format"] == 2
