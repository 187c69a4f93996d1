"""Members of ``Run`` other than ``log``: names and notes that can be set, alerts, files, code."""

from __future__ import annotations

import inspect
import os
import pickle
import time
from datetime import timedelta
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import open_reader
from tracker.recorder.follow import catch_up
from tracker.recorder.open_store import open_store
from tracker.sdk.run import folder
from tracker.sdk.run.run import Run
from tracker.store.queries.media import list_files
from tracker.store.queries.runs import get_run, run_detail

pytestmark = pytest.mark.usefixtures("without_recorder")


def files_of(run_id: str) -> dict[str, str]:
    """Return the path and text of each file of a run, from the catalog."""
    settings = load_settings()
    store = open_store(settings.store)
    catch_up(store)
    with store.reading() as session:
        files = list_files(session, get_run(session, "local", "p", run_id))
        return {each.path: store.blobs.read(each.sha256).decode() for each in files}


def test_name_notes_and_tags_can_be_set_and_a_later_edit_wins() -> None:
    run = tracker.init(project="p", id="set", tags=["a"], name="first")
    run.name = "second"
    run.notes = "more"
    run.tags += ("b",)
    assert (run.name, run.notes, run.tags) == ("second", "more", ("a", "b"))
    public = tracker.Api().run("p/set")
    assert (public.name, public.notes, public.tags) == ("second", "more", ["a", "b"])
    public.name = "by hand"
    public.update()
    run.finish()
    assert tracker.Api().run("p/set").name == "by hand"
    again = tracker.init(project="p", id="set", resume="must")
    assert (again.name, again.tags, again.notes) == ("by hand", ("a", "b"), "more")
    again.name = "third"
    again.finish()
    assert tracker.Api().run("p/set").name == "third"


def test_invalid_names_and_tags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run = tracker.init(project="p")
    with pytest.raises(tracker.UsageError, match="must be a string, not int"):
        run.name = 3  # type: ignore[assignment]
    run.tags = ["fine"]
    run.tags = ["x" * 65]
    assert run.tags == ("fine",)
    assert "Tags not updated" in capsys.readouterr().err
    run.finish()
    with pytest.raises(tracker.UsageError, match=r"is finished\. The call to `name` will be ignored"):
        run.name = "late"


def test_alerts_are_stored_and_repetitions_are_ignored() -> None:
    run = tracker.init(project="p", id="alarm")
    run.alert("low", "accuracy is low", tracker.AlertLevel.WARN)
    run.alert("low", "and again")
    run.alert("other", "text", level="ERROR", wait_duration=timedelta(0))
    tracker.alert("other", "at once")
    with pytest.raises(ValueError, match="level must be one of"):
        run.alert("t", "x", level="LOUD")
    with pytest.raises(TypeError, match="wait_duration must be"):
        run.alert("t", "x", wait_duration="soon")  # type: ignore[arg-type]
    run.finish()
    alerts = open_reader(load_settings()).run("local", "p", "alarm").alerts
    assert [(each.title, each.text, each.level) for each in alerts] == [
        ("low", "accuracy is low", "WARN"),
        ("other", "text", "ERROR"),
        ("other", "at once", "INFO"),
    ]


def test_files_in_the_runs_folder_become_files_of_the_run(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    run = tracker.init(project="p", id="folder")
    assert not (tmp_path / "wandb").exists()  # created on first access
    assert Path(run.dir).parent.name.endswith("-folder")
    assert Path(run.dir).parent.parent.name == "wandb"
    Path(run.dir, "deep").mkdir()
    Path(run.dir, "deep", "note.txt").write_text("hello")
    Path(run.dir, "link.txt").symlink_to(secret)
    Path(run.dir, "inner.txt").symlink_to(Path(run.dir, "deep", "note.txt"))
    run.finish()
    assert files_of("folder") == {"deep/note.txt": "hello", "inner.txt": "hello"}


def test_save_takes_patterns_and_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "LOOK_SECONDS", 0.02)
    for name in ("a.txt", "b.txt", "c.csv", "late.txt", "once.txt"):
        (tmp_path / "data" / "in").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "in" / name).write_text("old")
    run = tracker.init(project="p", id="saved")
    saved = run.save("data/in/[ab].txt", base_path="data")
    assert saved == [os.path.join(run.dir, "in", name) for name in ("a.txt", "b.txt")]
    assert Path(saved[0]).read_text() == "old"
    run.save(str(tmp_path / "data/in/c.csv"))
    run.save("data/in/late.txt", policy="end")
    run.save("data/in/once.txt", policy="now")
    assert run.save("data/nothing*") == []
    (tmp_path / "data/in/a.txt").write_text("changed")
    deadline = time.monotonic() + 30
    while files_of("saved")["in/a.txt"] != "changed" and time.monotonic() < deadline:
        os.sched_yield()  # a thread checks live files; each check of this loop takes time by itself
    for name in ("late.txt", "once.txt"):
        (tmp_path / "data/in" / name).write_text("newer")
    assert "data/in/late.txt" not in files_of("saved")
    run.finish()
    assert files_of("saved") == {
        "in/a.txt": "changed",
        "in/b.txt": "old",
        "in/c.csv": "old",
        "data/in/late.txt": "newer",
        "data/in/once.txt": "old",
    }


def test_restore_fetches_a_file_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("first")
    run = tracker.init(project="p", id="giver")
    run.save("weights.txt")
    run.log({"loss": 1})
    run.finish()
    with pytest.raises(ValueError, match="run_path required"):
        tracker.restore("weights.txt")
    target = tmp_path / "elsewhere"
    with tracker.restore("weights.txt", run_path="p/giver", root=str(target)) as file:  # type: ignore[union-attr]
        assert file.read() == "first"
    (target / "weights.txt").write_text("mine")
    with tracker.restore("weights.txt", "p/giver", root=str(target)) as file:  # type: ignore[union-attr]
        assert file.read() == "mine"
    run = tracker.init(project="p", id="taker")
    again = run.restore("weights.txt", "p/giver", replace=True, root=str(target))
    assert again is not None and again.read() == "first"
    assert run.restore("absent.txt", "p/giver") is None
    assert Path(run.restore("weights.txt", "p/giver").name) == Path(run.dir, "weights.txt")  # type: ignore
    run.finish()


def test_save_refuses_invalid_patterns() -> None:
    run = tracker.init(project="p")
    with pytest.raises(ValueError, match=r'Only "live", "end" and "now"'):
        run.save("a", policy="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="may not walk above"):
        run.save("../a")
    with pytest.raises(ValueError, match=r"may not start with '\*'"):
        run.save("*/a")
    assert run.save("s3://bucket/a") == []


def test_save_code_stores_the_script_and_code_dir_its_folder(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "model.py").write_text("layers = 3\n")
    script = (
        "import tracker\n"
        "for name, settings in (('script', {}), ('all', {'code_dir': 'src'})):\n"
        "    run = tracker.init(project='p', id=name, save_code=True, settings=settings)\n"
        "    run.finish()\n"
    )
    (tmp_path / "train.py").write_text(script)
    scripts.run(
        "import subprocess, sys; subprocess.check_call([sys.executable, 'train.py'])",
        tmp_path,
        TRACKER_X_DISABLE_META="false",
    )
    for name, logged in (("script", []), ("all", ["model.py"])):
        run = tracker.Api().run(f"p/{name}")
        artifacts = [each for each in run.logged_artifacts() if each.type == "code"]
        assert [path for each in artifacts for path in each.manifest.entries] == logged
        assert files_of(name)["code/train.py"] == script


def test_log_code_creates_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("train.py", "notes.md", "requirements.txt"):
        (tmp_path / "src" / name).write_text("x")
    run = tracker.init(project="p", id="code")
    artifact = run.log_code("src", name="source")
    assert artifact is not None
    assert (artifact.wait().type, sorted(each.path for each in artifact.files())) == (
        "code",
        ["requirements.txt", "train.py"],
    )
    only = run.log_code("src", name="notes", include_fn=lambda path: path.endswith(".md"))
    assert only is not None and sorted(each.path for each in only.wait().files()) == ["notes.md"]
    assert run.log_code("src", include_fn=lambda path, root: False) is None
    run.finish()


def test_a_failure_after_mark_preempting_counts_as_preemption(tmp_path: Path) -> None:
    for run_id, call in (("one", "run.mark_preempting()"), ("two", "pass")):
        scripts.run(
            f"import tracker\nrun = tracker.init(project='p', id={run_id!r})\n{call}\nrun.finish(3)",
            tmp_path,
        )
    api = tracker.Api()
    assert [api.run(f"p/{run_id}").state for run_id in ("one", "two")] == ["preempted", "failed"]


def test_a_disabled_run_does_nothing(tmp_path: Path) -> None:
    run = tracker.init(project="p", mode="disabled")
    assert (run.name, run.disabled, run.step, run.entity) == (f"dummy-{run.id}", True, 0, "dummy")
    run.log({"a": {"b": 1}})
    run.log({"c": 2}, step=7)
    assert (run.summary["a"]["b"], run.summary["c"], run.step) == (1, 2, 0)
    assert run.save("*") is False
    assert run.restore("x") is None
    assert run.use_artifact("no:v0") is None
    assert run.log_artifact("no").wait().version.anything() is not None
    assert run.define_metric("a", summary="bogus").name == "dummy"
    assert run.log_code() is None and run.status() is None
    run.finish()
    assert tracker.run is None
    run.log({"after": 1})
    assert not list(tmp_path.iterdir())


def test_fields_alerts_and_files_survive_the_loss_of_the_catalog(tmp_path: Path) -> None:
    run = tracker.init(project="p", id="kept", name="first")
    run.define_metric("loss", summary="mean")
    run.log({"loss": 1})
    run.log({"loss": 3})
    run.name, run.tags = "second", ("a",)
    run.alert("low", "text")
    run.save(str(tmp_path / "absent*"))
    Path(run.dir, "note.txt").write_text("hello")
    run.finish()
    settings = load_settings()
    store = open_store(settings.store)
    catch_up(store)
    store.close()
    for file in settings.store.glob("catalog*"):
        file.unlink()
    found = open_reader(settings).run("local", "p", "kept")
    catalog = open_store(settings.store)
    catch_up(catalog)
    with catalog.reading() as session:
        detail = run_detail(session, "local", "p", "kept")
    for each in (found, detail):
        assert (each.name, each.tags, each.summary["loss"]) == ("second", ["a"], {"mean": 2})
        assert [alert.title for alert in each.alerts] == ["low"]
    assert files_of("kept") == {"note.txt": "hello"}


WANDBS = {
    "alert",
    "config",
    "config_static",
    "define_metric",
    "dir",
    "disabled",
    "display",
    "entity",
    "finish",
    "finish_artifact",
    "group",
    "id",
    "job_type",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_code",
    "log_model",
    "mark_preempting",
    "name",
    "notes",
    "offline",
    "path",
    "pin_config_keys",
    "project",
    "project_url",
    "restore",
    "resumed",
    "save",
    "settings",
    "start_time",
    "starting_step",
    "status",
    "step",
    "sweep_id",
    "sweep_url",
    "sync_dir",
    "tags",
    "to_html",
    "unwatch",
    "upsert_artifact",
    "url",
    "use_artifact",
    "use_model",
    "watch",
    "write_logs",
}
# Members that ``dir`` of wandb's ``Run`` does not list: older names of wandb, and ``fail``.
MORE = {"fail", "get_project_url", "get_url", "join", "project_name", "summary"}


def test_dir_of_a_run_lists_only_public_members() -> None:
    names = {name for name in dir(tracker.init(project="p")) if not name.startswith("_")}
    assert names - MORE == WANDBS
    assert names >= MORE


def test_functions_of_the_module_are_those_of_the_run() -> None:
    both = [name for name in dir(tracker) if name[0] != "_" and callable(getattr(Run, name, None))]
    assert {"log", "save", "watch"} < {*both}
    for name in both:
        function = getattr(tracker, name)
        of_run = inspect.signature(getattr(Run, name))
        without_self = of_run.replace(parameters=[*of_run.parameters.values()][1:])
        assert inspect.signature(function) == without_self
        assert function.__doc__
        assert pickle.loads(pickle.dumps(function)) is function


def test_finish_ends_all_threads(tmp_path: Path) -> None:
    code = """
import threading, tracker
for _ in range(3):
    run = tracker.init(project="p", settings={"x_stats_sampling_interval": 0.1})
    print("printed")
    run.log({"x": 1})
    assert len(threading.enumerate()) > 1
    run.finish()
    print([thread.name for thread in threading.enumerate()])
"""
    found = scripts.run(code, tmp_path).stdout.splitlines()
    assert found == ["printed", "['MainThread']"] * 3
    assert [run.state for run in tracker.Api().runs("p")] == ["finished"] * 3
