"""The location of the store: settings decide it; ``dir`` and a changed working folder do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.ground import config_files, launch
from tracker.ground.settings import load_settings

pytestmark = pytest.mark.usefixtures("without_recorder")


def log(run_id: str, **arguments: object) -> None:
    """Log a run with one row."""
    with tracker.init(project="p", id=run_id, **arguments) as run:
        run.log({"x": 1})


def ids(store: Path) -> list[str]:
    """Return the ids of the runs in a store."""
    return sorted(run.id for run in tracker.Api({"store": store}).runs("p"))


def test_the_variable_beats_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "shared"))
    log("one", dir=tmp_path / "logs")
    assert ids(tmp_path / "shared") == ["one"]
    assert not (tmp_path / "logs" / "tracker-store").exists()


@pytest.mark.parametrize("name", ["TRACKER_DIR", "WANDB_DIR"])
def test_dir_sets_only_the_folder_of_run_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "files"))
    with tracker.init(project="p", id="one") as run:
        assert Path(run.dir).is_relative_to(tmp_path / "files" / "wandb")
    with tracker.init(project="p", id="two", dir="others") as run:
        assert Path(run.dir).is_relative_to(tmp_path / "others" / "wandb")
    with tracker.init(project="p", id="three", dir=".") as run:
        assert Path(run.dir).parents[2] == tmp_path
    assert ids(tmp_path / "tracker-store") == ["one", "three", "two"]


def test_api_in_the_same_process_sees_the_run(tmp_path: Path) -> None:
    log("one", dir="logs")
    assert tracker.Api().run("p/one").summary["x"] == 1
    log("two", settings={"store": "other"})
    assert tracker.Api().run("p/two").summary["x"] == 1
    assert tracker.Api({"store": tmp_path / "tracker-store"}).run("p/one").state == "finished"
    log("three")
    assert [run.id for run in tracker.Api().runs("p")] == ["one", "three"]
    with pytest.raises(tracker.UsageError, match=r"'dir' is not supported\. Use 'store'"):
        tracker.Api({"dir": tmp_path})


def test_precedence_of_settings_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = tmp_path / "project" / "scripts"
    launched.mkdir(parents=True)
    monkeypatch.setattr(launch, "_launched_in", str(launched))

    def found(**given: object) -> str:
        return str(load_settings(**given).store.relative_to(tmp_path))

    assert found() == "project/scripts/tracker-store"
    log("above", settings={"store": tmp_path / "tracker-store"})
    assert found() == "tracker-store"
    log("nearer", settings={"store": tmp_path / "project" / "tracker-store"})
    assert found() == "project/tracker-store"
    config_files.write(config_files.folder_file(launched), {"store": str(tmp_path / "noted")})
    assert found() == "noted"
    monkeypatch.setenv("TRACKER_STORE", "variable")  # relative to the folder of the launch
    assert found() == "project/scripts/variable"
    assert found(store="argument") == "argument"


@pytest.mark.parametrize(("group", "mode", "used"), [(1, 0o770, False), (0, 0o770, True), (0, 0o750, False)])
def test_a_store_of_another_user_in_a_parent_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, mode: int, used: bool
) -> None:
    log("one")
    store = tmp_path / "tracker-store"
    store.chmod(mode)
    owner = store.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr(os, "getegid", lambda: owner.st_gid + 1)
    monkeypatch.setattr(os, "getgroups", lambda: [owner.st_gid + group])
    monkeypatch.setattr(launch, "_launched_in", str(tmp_path / "below"))
    assert load_settings().store == (store if used else tmp_path / "below" / "tracker-store")


def test_an_empty_folder_is_not_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tracker-store").mkdir()
    monkeypatch.setattr(launch, "_launched_in", str(tmp_path / "below"))
    assert load_settings().store == tmp_path / "below" / "tracker-store"


def test_a_folder_remembers_its_store(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracker.cli.main"]
    for arguments in (["init", "--store", "kept"], ["init", "--project", "p"]):
        subprocess.run([*command, *arguments], cwd=tmp_path, env=scripts.environment(), check=True)
    log("one", dir="logs")
    assert ids(tmp_path / "kept") == ["one"]
    subprocess.run([*command, "init", "--reset"], cwd=tmp_path, env=scripts.environment(), check=True)
    assert load_settings().store == tmp_path / "tracker-store"


# Actions of frameworks between the launch and `init`. Each runs in a new process and its own folder.
LOG = "import tracker; tracker.init(project='p', id='one').finish(); tracker.Api().run('p/one')"
CHANGES = {
    "a script changes it": f"import os, tracker; os.chdir(elsewhere); {LOG}",
    "before tracker is imported": f"import multiprocessing, os; os.chdir(elsewhere); {LOG}",
    "Hydra, import in the job": f"""
from types import ModuleType, SimpleNamespace
import os, sys
class HydraConfig:
    initialized = staticmethod(lambda: True)
    get = staticmethod(lambda: SimpleNamespace(runtime=SimpleNamespace(cwd=launched)))
sys.modules["hydra.core.hydra_config"] = ModuleType("hydra.core.hydra_config")
sys.modules["hydra.core.hydra_config"].HydraConfig = HydraConfig
os.chdir(elsewhere)
{LOG}
""",
    "Ray, import in the trial": f"""
import os
os.environ.setdefault("TUNE_ORIG_WORKING_DIR", os.getcwd())
os.chdir(elsewhere)
{LOG}
""",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_working_folder_does_not_move_the_store(tmp_path: Path, change: str) -> None:
    launched, elsewhere = tmp_path / "launched", tmp_path / "elsewhere"
    launched.mkdir()
    elsewhere.mkdir()
    scripts.run(f"launched, elsewhere = {str(launched)!r}, {str(elsewhere)!r}\n{CHANGES[change]}", launched)
    assert ids(launched / "tracker-store") == ["one"]
    assert not (elsewhere / "tracker-store").exists()


SPAWNING = """
import multiprocessing, os, sys

def child(run_id):
    import tracker
    tracker.init(project="p", id=run_id).finish()

if __name__ == "__main__":
    import tracker
    os.chdir(sys.argv[1])
    for method in ("spawn", "forkserver", "fork"):
        process = multiprocessing.get_context(method).Process(target=child, args=(method,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def test_processes_that_are_started_after_a_change_use_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "launched").mkdir()
    (tmp_path / "launched" / "train.py").write_text(SPAWNING)
    command = [sys.executable, str(tmp_path / "launched" / "train.py"), str(tmp_path / "elsewhere")]
    subprocess.run(command, cwd=tmp_path / "launched", env=scripts.environment(), check=True)
    assert ids(tmp_path / "launched" / "tracker-store") == ["fork", "forkserver", "spawn"]


def test_in_an_interactive_session_the_current_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.chdir(tmp_path / "project")
    assert load_settings().store == tmp_path / "project" / "tracker-store"


def test_tracker_is_imported_in_a_folder_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    scripts.run("import os; os.rmdir(os.getcwd()); import tracker", tmp_path / "gone")


# Stores that older versions made in the folder of `dir`.


@pytest.fixture
def former(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    store = tmp_path / "logs" / "tracker-store"
    log("old", settings={"store": store})
    capfd.readouterr()
    return store


@pytest.mark.parametrize("how", [{"resume": "must"}, {"resume": "allow"}, {"resume_from": "old?_step=0"}])
@pytest.mark.parametrize("named", ["argument", "variable"])
def test_a_run_of_a_former_store_is_continued_there(
    tmp_path: Path,
    former: Path,
    how: dict[str, str],
    named: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "tracker-store"))
    if named == "variable":
        monkeypatch.setenv("WANDB_DIR", "logs")
    given = {} if named == "variable" else {"dir": "logs"}
    run = tracker.init(project="p", **({"id": "old"} if "resume" in how else {}), **given, **how)
    run.log({"x": 2})
    run.finish()
    lines = [line for line in capfd.readouterr().err.splitlines() if "is continued in" in line]
    assert len(lines) == 1 and str(former) in lines[0] and str(tmp_path / "tracker-store") in lines[0]
    assert [row["x"] for row in tracker.Api().run("p/old").history(pandas=False)] == [1, 2]
    assert ids(former) == ["old"]


def test_new_runs_do_not_use_a_former_store_and_one_line_names_both(
    tmp_path: Path, former: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log("new", dir="logs")
    lines = [line for line in capfd.readouterr().err.splitlines() if str(former) in line]
    assert len(lines) == 1 and f"this run goes to {tmp_path / 'tracker-store'}" in lines[0]
    assert f"`tracker server --store {former}`" in lines[0]
    log("quiet", dir="logs", settings={"silent": True})
    log("named", dir="logs", settings={"store": tmp_path / "other"}, resume="allow")
    log("here", dir=tmp_path / "logs" / "..")
    assert str(former) not in capfd.readouterr().err
    assert ids(tmp_path / "tracker-store") == ["here", "new", "quiet"]
    assert ids(former) == ["old"]
