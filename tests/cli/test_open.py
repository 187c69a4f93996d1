"""`tracker open` shows files of other programs in place, in real processes, and writes nothing there."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import scripts
from event_files import image, scalar, write_events
from forking import run_command
from imported import rows as rows_of
from opening import environment, opened
from wandb_files import exit_record, field, history, record, run_record, write

from tracker.importing import folder_tree
from tracker.importing.folder_tree import FolderTree
from tracker.importing.in_place import KINDS, project_names

OLD = 1_700_000_000.0
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 20


def age(path: Path, seconds: float = 3600.0) -> Path:
    """Let a file look as if it was written earlier."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def state_of(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return the content, the time and the number of links of each file and folder."""
    found = {}
    for top, folders, names in os.walk(folder):
        for name in [*folders, *names, "."]:
            path = Path(top, name)
            content = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = (content, path.stat().st_mtime_ns, path.stat().st_nlink)
    return found


def metrics(count: int, begin: int = 0) -> list[bytes]:
    return [history(step, {"loss": step / 2}) for step in range(begin, begin + count)]


def scalars(count: int, begin: int = 0) -> list[bytes]:
    values = range(begin, begin + count)
    return [scalar(at, tag, at / 2, OLD + at) for at in values for tag in ("loss", "acc")]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with logs of three programs: runs that have ended, and media."""
    folder = tmp_path / "logs"
    run = folder / "wandb/offline-run-20240101_000000-done"
    shown = {
        "_type": "image-file",
        "path": "media/images/cat.png",
        "size": len(PNG),
        "sha256": sha256(PNG).hexdigest(),
    }
    files = record(6, field(1, field(1, "media/images/cat.png")))
    records = [run_record("done"), *metrics(3), history(3, {"cat": shown}), files, exit_record()]
    write(run / "run-done.wandb", records)
    (run / "files/media/images").mkdir(parents=True)
    (run / "files/media/images/cat.png").write_bytes(PNG)
    (folder / "wandb/latest-run").symlink_to(run.name)
    events = [*scalars(4), image(4, "dog", PNG, OLD + 4)]
    age(write_events(folder / "tb/first/events.out.tfevents.1700000000.node7.1.0", events))
    (folder / "csv").mkdir()
    age(folder / "csv", 0)
    (folder / "csv/metrics.csv").write_text("epoch,step,loss\n0,0,1.5\n0,1,1.25\n")
    age(folder / "csv/metrics.csv")
    return folder


def test_a_folder_of_several_kinds_is_shown_and_nothing_is_written_there(tmp_path: Path, logs: Path) -> None:
    before = state_of(logs)
    with opened(tmp_path, str(logs)) as page:
        found = page.wait_until_read()
        assert (found["folders"], found["files"], found["problems"]) == ([str(logs)], 3, [])
        assert page.get("/session")["in_place"] is True
        assert page.run("p", "done")["state"] == "finished"
        assert [row["loss"] for row in page.rows("p", "done")[:3]] == [0.0, 0.5, 1.0]
        runs = page.runs("logs")
        assert {name: (each["state"], each["summary"]["loss"]) for name, each in runs.items()} == {
            "tb/first": ("finished", 1.5),
            "csv": ("finished", 1.25),
        }
        rows = page.rows("logs", runs["tb/first"]["id"])
        assert rows[:2] == [{"_step": 0, "loss": 0.0, "acc": 0.0}, {"_step": 1, "loss": 0.5, "acc": 0.5}]
        for path, run in (
            (rows[4]["dog"]["path"], f"logs/runs/{runs['tb/first']['id']}"),
            ("media/images/cat.png", "p/runs/done"),
        ):
            assert page.client.get(f"/projects/local/{run}/files/{path}").content == PNG
        # Nothing can be changed, and the page shows no controls for it.
        assert page.get("/projects/local/p/access")["role"] == "viewer"
        refused = page.client.patch(
            "/projects/local/p/runs/done", json={"name": "x"}, headers={"X-Tracker-Dashboard": "1"}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "read_only")
        # The file of the run is linked, not copied.
        (link,) = (tmp_path / "state").rglob(sha256(PNG).hexdigest())
        assert link.is_symlink() or link.stat().st_size == len(PNG)
        page.process.kill()
    assert state_of(logs) == before


def test_a_wandb_run_is_followed_until_its_end(tmp_path: Path) -> None:
    path = tmp_path / "wandb/offline-run-1-live/run-live.wandb"
    start = [run_record("live"), *metrics(3)]
    write(path, start)
    with opened(tmp_path, str(tmp_path / "wandb")) as page:
        page.wait_until_read()
        assert page.run("p", "live")["state"] == "running"
        assert len(page.rows("p", "live")) == 3
        revision = page.get("/live")["revision"]
        whole = write(tmp_path / "next", [*start, *metrics(5, 3)]).read_bytes()
        with path.open("ab") as file:  # half a record first
            file.write(whole[path.stat().st_size : -7])
        changed = page.get("/live", since=revision, timeout=60)
        assert [each["id"] for each in changed["runs"]] == ["live"]
        scripts.wait_for(lambda: len(page.rows("p", "live")) == 7, "rows of a growing file")
        with path.open("ab") as file:
            file.write(whole[-7:])
        scripts.wait_for(lambda: len(page.rows("p", "live")) == 8, "the completed row")
        assert page.get("/folders")["growing"] == 1
        path.write_bytes(write(tmp_path / "next", [*start, *metrics(5, 3), exit_record(3)]).read_bytes())
        scripts.wait_for(lambda: page.run("p", "live")["state"] == "failed", "the end")
        assert [row["_step"] for row in page.rows("p", "live")] == list(range(8))
        # A run that begins while the page is open.
        write(tmp_path / "wandb/offline-run-2-new/run-new.wandb", [run_record("new"), *metrics(2)])
        scripts.wait_for(lambda: page.run("p", "new").get("state") == "running", "a new run")


def test_a_tensorboard_log_is_followed(tmp_path: Path) -> None:
    path = write_events(tmp_path / "logs/a/events.out.tfevents.1.node7", scalars(3))
    with opened(tmp_path, str(tmp_path / "logs")) as page:
        page.wait_until_read()
        (run,) = page.runs("logs").values()
        assert run["state"] == "running"
        data = b"".join(scalars(4, 3))
        with path.open("ab") as file:
            file.write(data[:-5])

        def steps() -> list[int]:
            return [row["_step"] for row in page.rows("logs", run["id"])]

        scripts.wait_for(lambda: max(steps()) == 6, "the rows of whole events")
        with path.open("ab") as file:
            file.write(data[-5:])
        scripts.wait_for(lambda: page.rows("logs", run["id"])[-1].get("acc") == 3.0, "the last event")
        assert sorted(set(steps())) == list(range(7))
        # A second file of the folder continues the run.
        write_events(tmp_path / "logs/a/events.out.tfevents.2.node7", scalars(2, 7), start=OLD + 100)
        scripts.wait_for(lambda: max(steps()) == 8, "the second file")
        assert len(page.runs("logs")) == 1


def test_a_file_that_was_silent_for_long_continues(tmp_path: Path) -> None:
    path = age(write_events(tmp_path / "logs/a/events.out.tfevents.1.node7", scalars(3)))
    with opened(tmp_path, str(tmp_path / "logs")) as page:
        page.wait_until_read()
        (run,) = page.runs("logs").values()
        assert run["state"] == "finished"
        with path.open("ab") as file:
            file.write(b"".join(scalars(2, 3)))
        scripts.wait_for(lambda: len(page.rows("logs", run["id"])) == 5, "the new rows")
        (run,) = page.runs("logs").values()
        assert run["state"] == "running"
        assert [row["_step"] for row in page.rows("logs", run["id"])] == list(range(5))


@pytest.mark.slow
def test_a_csv_log_is_followed_when_lightning_writes_it_again(tmp_path: Path) -> None:
    path = tmp_path / "logs/version_0/metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,loss\n0,1.0\n1,0.5\n")
    with opened(tmp_path, str(tmp_path / "logs")) as page:
        page.wait_until_read()
        (run,) = page.runs("logs").values()

        def rows() -> list[dict[str, Any]]:
            return page.rows("logs", run["id"])

        scripts.wait_for(lambda: len(rows()) == 2, "both rows")
        with path.open("a") as file:
            file.write("2,0.25\n")
        scripts.wait_for(lambda: len(rows()) == 3, "an appended row")
        path.write_text("step,loss,val\n0,1.0,\n1,0.5,\n2,0.25,\n3,,9.0\n")
        scripts.wait_for(lambda: len(rows()) == 4, "the row with a new column")
        assert rows()[2:] == [{"_step": 2, "loss": 0.25}, {"_step": 3, "val": 9.0}]


@pytest.mark.slow
def test_the_second_open_reads_only_what_is_new(tmp_path: Path, logs: Path) -> None:
    live = age(write_events(logs / "tb/second/events.out.tfevents.2.node7", scalars(3)), 600)
    with opened(tmp_path, str(logs)) as page:
        page.wait_until_read()
        again = run_command(["open", "--no-browser", str(logs)], tmp_path, environment(tmp_path))
        assert again.returncode == 0 and "open already" in again.stdout
        page.stop()
    (index,) = (tmp_path / "state").rglob("files.json")
    assert len(index.read_text()) > 100
    with live.open("ab") as file:
        file.write(b"".join(scalars(2, 3)))
    # These would be problems if they were read.
    done = next(logs.rglob("run-done.wandb"))
    stamp = done.stat()
    content = done.read_bytes()
    done.write_bytes(bytes(len(content)))
    os.utime(done, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    with opened(tmp_path, str(logs)) as page:
        page.wait_until_read()
        scripts.wait_for(lambda: page.runs("logs").get("tb/second", {}).get("state") == "running", "growth")
        run = page.runs("logs")["tb/second"]
        scripts.wait_for(lambda: len(page.rows("logs", run["id"])) == 5, "the new rows")
        assert len(page.rows("p", "done")) == 4
        page.stop()
    done.unlink()  # a run that is gone is not shown any more
    with opened(tmp_path, str(logs)) as page:
        page.wait_until_read()
        assert page.runs("p") == {}
        page.process.kill()
    assert not list((tmp_path / "state").rglob("files.json"))  # so that the next start trusts nothing


def test_a_silent_run_has_ended_and_damage_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    whole = write(folder / "run-cut.wandb", [run_record("cut"), *metrics(3)])
    whole.write_bytes(whole.read_bytes()[:-5])
    (folder / "run-odd.wandb").write_bytes(b"not a log" * 100)
    events = write_events(folder / "tb/events.out.tfevents.1.node7", scalars(50))
    data = bytearray(events.read_bytes())
    data[len(data) // 2] ^= 0xFF
    events.write_bytes(data)
    for path in (whole, folder / "run-odd.wandb", events):
        age(path)
    with opened(tmp_path, str(folder)) as page:
        found = page.wait_until_read()
        assert {Path(each["path"]).name for each in found["problems"]} == {
            "run-cut.wandb", "run-odd.wandb", events.name,
        }  # fmt: skip
        run = page.run("p", "cut")
        assert (run["state"], run["reason"]) == ("crashed", "host silent")
        assert len(page.rows("p", "cut")) == 2
        assert len(page.runs("runs")) == 1
        errors = page.stop()
    assert "run-odd.wandb cannot be shown: it is not a .wandb file" in errors
    assert "ends in an incomplete record" in errors and "is damaged at byte" in errors


def test_our_own_store_is_only_read(tmp_path: Path) -> None:
    import tracker

    store = tmp_path / "tracker-store"
    with tracker.init(project="p", id="a", settings={"store": store, "silent": True}) as run:
        run.log({"x": 1})
    scripts.wait_for(lambda: not list(store.rglob("*.journal")), "the journal to be sealed")
    assert rows_of("p/a") == [{"_step": 0, "x": 1}]
    before = state_of(store)
    with opened(tmp_path, str(store)) as page:
        assert page.run("p", "a")["state"] == "finished"
        assert page.get("/session")["in_place"] is True
        page.stop()
    assert state_of(store) == before


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("nothing")
    (tmp_path / "empty/other").symlink_to(tmp_path)
    for arguments, text in (
        (["empty"], "Looked for *.wandb (wandb), *tfevents* (TensorBoard), metrics.csv (Lightning)."),
        (["empty", "--kind", "csv"], "Looked for metrics.csv (Lightning). 1 links to folders were not"),
        (["lost"], "lost does not exist."),
    ):
        result = run_command(["open", *arguments], tmp_path, environment(tmp_path))
        assert result.returncode == 1
        assert text in result.stderr and result.stderr.count("\n") == 1


def test_loops_stores_and_large_trees_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(tmp_path / "a/b/events.out.tfevents.1.n", [])
    (tmp_path / "a/b/loop").symlink_to(tmp_path)
    (tmp_path / "a/b/same.tfevents").hardlink_to(tmp_path / "a/b/events.out.tfevents.1.n")
    (tmp_path / "a/store/journals").mkdir(parents=True)
    (tmp_path / "a/store/store.json").touch()
    os.mkfifo(tmp_path / "a/pipe.wandb")
    tree = FolderTree([tmp_path], KINDS)
    assert [each.path.name for each in tree.look(60)] == ["events.out.tfevents.1.n"]
    assert (tree.links, tree.stores, tree.is_whole) == (1, [tmp_path / "a/store"], True)
    for number in range(10):
        (tmp_path / f"{number}").mkdir()
    monkeypatch.setattr(folder_tree, "MOST_FOLDERS", 5)
    tree = FolderTree([tmp_path], KINDS)
    tree.look(60)
    assert "more than 5 folders" in tree.problems[tmp_path]


def test_projects_of_folders_have_different_names(tmp_path: Path) -> None:
    folders = [tmp_path / "one/logs", tmp_path / "two/logs", tmp_path / "100%"]
    for each in folders:
        each.mkdir(parents=True)
    assert list(project_names(folders).values()) == ["logs", "two-logs", "100-"]
