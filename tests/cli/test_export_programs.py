"""Exports for other programs, read back: from a folder, a server, and a node that sees only the folder."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scripts
import wandb_files
from serving import Server, serving
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util.tensor_util import make_ndarray
from varied_runs import HOSTILE, log_runs

import tracker
from tracker.cli.main import main
from tracker.exporting import html_page, wandb_folder
from tracker.exporting.run_colors import RUN_COLORS, color_of
from tracker.ground.values import dumps, flatten
from tracker.importing.wandb_log import WandbLog

GENERATED = ("config.yaml", "wandb-summary.json", "output.log")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("programs")
    store = folder / "tracker-store"
    with pytest.MonkeyPatch.context() as given:
        given.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
        given.chdir(folder)
        log_runs(store, folder)
    tracker.Api({"store": store}).projects()
    with serving(store, key=True) as server:
        yield server


@pytest.fixture
def here(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_STORE", str(served.store))


def export(*arguments: str, code: int = 0) -> str:
    """Run ``tracker export``, which must end with an exit code; return its error message."""
    ended: Any = 0
    try:
        main(["export", *arguments])
    except SystemExit as error:
        ended = error.code
    assert (1 if isinstance(ended, str) else ended) == code
    return str(ended)


def rows_of(api: Any, path: str) -> list[dict[str, Any]]:
    return list(api.run(path).scan_history())


def imported(kind: str, folder: Path) -> Any:
    """Import exported files into a new store; return an ``Api`` of it."""
    store = folder.parent / f"{folder.name}-store"
    main(["import", kind, str(folder), "--store", str(store)])
    return tracker.Api({"store": store, "mode": "offline"})


def single(value: float) -> float:
    """Return a number with the precision of TensorBoard."""
    return float(np.float32(value))


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return the step, the time and the numbers of a row, these with the precision of TensorBoard."""
    axes = {"_step": row["_step"], "_timestamp": row["_timestamp"]}
    logged = {key: value for key, value in flatten(row) if not key.startswith("_")}
    return axes | {
        key: single(value) for key, value in sorted(logged.items()) if isinstance(value, (int, float))
    }


def test_tensorboard_reads_the_same_steps_values_and_times(
    place: str, served: Server, tmp_path: Path
) -> None:
    export("demo/full", "--format", "tensorboard", "-o", "logs")
    folder = tmp_path / "logs/local/demo/full"
    (file,) = folder.iterdir()
    assert "tfevents" in file.name
    sizes = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    theirs = event_accumulator.EventAccumulator(str(folder), size_guidance=sizes).Reload()
    rows = rows_of(tracker.Api({"store": served.store, "mode": "offline"}), "demo/full")
    for tag in ("loss", "acc", "ok", "epoch", "val/loss", "inf"):
        ours = [(row["_step"], row["_timestamp"], single(row[tag])) for row in rows if tag in row]
        read = [(each.step, each.wall_time, each.value) for each in theirs.Scalars(tag)]
        assert repr(ours) == repr(read) and ours, tag
    assert [each.value for each in theirs.Scalars("nested.a")] == list(range(30))
    tensors = {tag: theirs.Tensors(tag)[0] for tag in theirs.Tags()["tensors"]}
    assert sorted(tensors) == ["beep", "img", "note", "two", "weights"]
    assert make_ndarray(tensors["note"].tensor_proto).item().decode() == "the hé text"
    assert make_ndarray(tensors["weights"].tensor_proto).tolist() == [[0, 0.5, 1], [0.5, 1, 2], [1, 2, 5]]
    assert make_ndarray(tensors["img"].tensor_proto)[:2].tolist() == [b"5", b"4"]
    assert make_ndarray(tensors["img"].tensor_proto)[2].startswith(b"\x89PNG")
    assert len(make_ndarray(tensors["two"].tensor_proto)) == 4
    assert make_ndarray(tensors["beep"].tensor_proto)[0][0].startswith(b"RIFF")
    plugins = {tag: theirs.SummaryMetadata(tag).plugin_data.plugin_name for tag in tensors}
    assert plugins == {
        "beep": "audio", "img": "images", "note": "text", "two": "images", "weights": "histograms",
    }  # fmt: skip
    assert sorted(theirs.PluginTagToContent("hparams")) == [
        "_hparams_/session_end_info", "_hparams_/session_start_info",
    ]  # fmt: skip


@pytest.mark.usefixtures("here")
def test_an_exported_tensorboard_log_is_imported_with_the_same_rows(
    served: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second export replaces the first one
        export("demo/full", "sweep/trial1", "--format", "tensorboard", "-o", "logs")
    assert "html (html-file), table (table-file)" in capsys.readouterr().err
    here, there = (
        tracker.Api({"store": served.store, "mode": "offline"}),
        imported("tensorboard", tmp_path / "logs"),
    )
    runs = {run.name: run for run in there.runs("uncategorized")}
    assert sorted(runs) == ["local/demo/full", "local/sweep/trial1"]
    for path in ("demo/full", "sweep/trial1"):
        run = runs[f"local/{path}"]
        found, ours = ([numbers(row) for row in rows] for rows in (run.scan_history(), rows_of(here, path)))
        assert repr([row for row in found if len(row) > 2]) == repr([row for row in ours if len(row) > 2])
    assert runs["local/demo/full"].config == {
        "lr": 0.1, "opt.name": "adam", "opt.betas": "[0.9,0.99]", "layers": 3, "flag": True,
    }  # fmt: skip
    assert [runs[f"local/{path}"].state for path in ("demo/full", "sweep/trial1")] == ["finished", "failed"]
    full = {key: value for row in runs["local/demo/full"].scan_history() for key, value in row.items()}
    ours = {key: value for row in rows_of(here, "demo/full") for key, value in row.items()}
    assert (full["weights"], full["note"], full["nested.a"]) == (ours["weights"], ours["note"], 29)
    for key in ("img", "beep"):
        assert full[key]["sha256"] == ours[key]["sha256"]
    assert [len(each["filenames"]) for each in (full["two"], ours["two"])] == [2, 2]


@pytest.mark.usefixtures("here")
def test_the_documented_commands_write_what_they_name(tmp_path: Path) -> None:
    text = (scripts.ROOT / "docs/import-export.md").read_text()
    commands = re.findall(r"^tracker export (.*)$", text, re.MULTILINE)
    for command in commands:
        for name, ours in {"digits/3k2j": "demo/full", "digits": "sweep", "group:sweep1": "has:lr"}.items():
            command = command.replace(name, ours)
        export(*shlex.split(command))
    assert [path.name for path in (tmp_path / "logs/local/demo/full").iterdir()] != []
    assert list(Page(tmp_path / "report.html").charts) == ["val/acc"]
    assert len(list((tmp_path / "to-wandb").glob("offline-run-*-full/run-full.wandb"))) == 1
    assert len(commands) == 3


@pytest.mark.usefixtures("here")
def test_folders_of_exports_need_an_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export("demo/full", "--format", "tensorboard", code=1)
    (tmp_path / "file").touch()
    export("demo/full", "--format", "tensorboard", "-o", "file", code=1)
    export("demo/full", "--format", "tensorboard", "-o", "out", "--runs", code=1)
    export("-q", "state:preempted", "--format", "tensorboard", "-o", "out", code=4)
    export("demo/full", "--format", "tensorboard", "-o", "out", "--metrics", "val/*", "--json")
    (path,) = [file["path"] for file in json.loads(capsys.readouterr().out)["files"]]
    theirs = event_accumulator.EventAccumulator(os.path.dirname(path)).Reload()
    assert theirs.Tags()["scalars"] == ["val/loss"]


class Page(HTMLParser):
    """The parts of an exported page that a test compares.

    Attributes:
        charts: By metric: the range of the axes, and the coordinates of each run's line.
        addresses: Addresses that the page would load or link to.
        texts: All texts.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.charts: dict[str, tuple[list[float], dict[int, list[tuple[int, int]]]]] = {}
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the lines of a chart."""
        given = dict(attrs)
        self.tags.add(tag)
        self.addresses += [str(given[name]) for name in ("src", "href", "srcset", "action") if name in given]
        if "data-range" in given:
            self._lines: dict[int, list[tuple[int, int]]] = {}
            self.charts[self.texts[-1]] = (
                [float(each) for each in str(given["data-range"]).split()],
                self._lines,
            )
        if tag == "path" and str(given["class"]).startswith("line"):
            found = [int(each) for each in re.findall(r"\d+", str(given["d"]))]
            self._lines[int(str(given["data-run"]))] = list(zip(found[::2], found[1::2], strict=True))

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data)

    def values(self, metric: str, run: int) -> list[tuple[float, float]]:
        """Return the points of a line as its values."""
        (x0, x1, y0, y1), lines = self.charts[metric]
        return [(x0 + x / 10_000 * (x1 - x0), y1 - y / 10_000 * (y1 - y0)) for x, y in lines[run]]


def test_an_html_file_has_the_runs_and_their_lines(place: str, served: Server, tmp_path: Path) -> None:
    export("sweep/trial0", "sweep/trial1", "demo/full", "-o", "page.html")
    page = Page(tmp_path / "page.html")
    assert (page.addresses, page.tags & {"img", "link", "iframe", "a"}) == ([], set())
    assert HOSTILE in page.texts and "trial 1" in page.texts
    assert sorted(page.charts) == ["acc", "epoch", "inf", "loss", "ok", "val/acc", "val/loss"]
    short = page.values("loss", 1)
    assert [x for x, _ in short] == pytest.approx(range(20), abs=0.2)
    assert [y for _, y in short] == pytest.approx([1 / (step + 1) for step in range(20)], abs=1e-3)
    long = page.values("val/acc", 0)
    assert 300 < len(long) <= 1000 and long[-1] == pytest.approx((2999, 149.95), rel=1e-3)
    assert len(page.values("val/loss", 2)) == 2  # the third value is NaN
    export("-q", "has:lr", "-p", "sweep", "--format", "html", "-m", "val/*", "-o", "some.html")
    assert list(Page(tmp_path / "some.html").charts) == ["val/acc"]


@pytest.mark.usefixtures("here")
def test_the_limits_of_an_html_file_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    export("-q", "has:lr", "-o", "page.html", "--rank", "all", code=1)
    export("-q", "has:lr", "-o", "page.html", "-m", "nothing", code=1)
    export("-q", "state:preempted", "-o", "page.html", code=4)
    monkeypatch.setattr(html_page, "MOST_RUNS", 2)
    export("-q", "has:lr", "-p", "sweep", "-o", "page.html", code=1)
    monkeypatch.setattr(html_page, "MOST_CHARTS", 1)
    monkeypatch.setattr(html_page, "_ALL_POINTS", 100)
    export("sweep/trial0", "sweep/trial1", "-o", "page.html")
    said = capsys.readouterr().err
    assert "has the 1 metrics that most runs have, of 2" in said
    assert "at most 50 points" in said
    page = Page(tmp_path / "page.html")
    assert list(page.charts) == ["loss"] and len(page.values("loss", 0)) <= 50
    assert any("at most 50 points" in text for text in page.texts)


def test_a_line_has_gaps_at_values_that_are_not_finite() -> None:
    assert list(html_page._pieces([0, 1, 2, 3], [5, 6, -1, 7])) == [(0, 2), (3, 4)]
    assert html_page._places([0.0, math.nan, 1.0, math.inf], 0.0, 1.0) == [0, -1, 10_000, -1]
    assert html_page._ticks(0.0, 97.0) == [0.0, 20.0, 40.0, 60.0, 80.0]
    largest = html_page._range([np.array([-1.7e308, 1.7e308])], 0.04)
    assert math.isfinite(largest[1] - largest[0])


@pytest.mark.usefixtures("without_recorder")
def test_lines_with_different_axes_are_drawn_by_step(tmp_path: Path) -> None:
    for at in range(2):
        run = tracker.init(project="p", id=f"run{at}", reinit="create_new", settings={"silent": True})
        if at:
            run.define_metric("loss", step_metric="epoch")
            run.define_metric("own", step_metric="epoch")
        for step in range(3):
            run.log({"epoch": 10 * step, "loss": step} | ({"own": step} if at else {}))
        run.finish()
    export("run0", "run1", "-p", "p", "-m", "loss", "-m", "own", "-o", "page.html")
    page = Page(tmp_path / "page.html")
    assert [round(x) for x, _ in page.values("loss", 1)] == [0, 1, 2]
    assert [round(x) for x, _ in page.values("own", 1)] == [0, 10, 20]
    assert re.findall(r'data-axis="(\w+)"', (tmp_path / "page.html").read_text()) == ["_step", "epoch"]


def test_runs_have_the_colours_of_the_dashboard() -> None:
    source = (scripts.ROOT / "server/web/src/lib/colors.ts").read_text()
    light, dark = re.search(
        r"RUN_COLORS.*?light: \[(.*?)\],\n  dark: \[(.*?)\],\n\}", source, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    for theme, listed in ("light", light), ("dark", dark):
        assert RUN_COLORS[theme] == re.findall(r"#[0-9a-f]{6}", listed)  # type: ignore[index]
    assert color_of("3k9xw2ab", "light") == "#096cab"  # as in server/web/src/lib/values.test.ts


def answers(api: Any, path: str) -> dict[str, Any]:
    """Return what ``Api`` answers about a run."""
    run = api.run(path)
    info = run._info
    rows = [{key: value for key, value in row.items() if key != "_runtime"} for row in run.scan_history()]
    contents = {file.name: b"".join(file.chunks()) for file in run.files() if file.name not in GENERATED}
    artifacts = {
        artifact.name: (artifact.digest, artifact.aliases, artifact.metadata, artifact.description)
        for artifact in run.logged_artifacts()
    }
    metrics = run._reader.metrics(*run.path[:2], [run.id]).metrics
    return {
        "rows": dumps(rows, sort_keys=True),
        "fields": (run.name, run.tags, run.notes, run.group, run.job_type, run.state, run.config),
        "summary": dumps(info.summary, sort_keys=True),
        "end": (info.reason, info.host),
        "console": [(line.content, line.level) for line in run.console_logs()],
        "system": [row["system.cpu"] for row in run.history(stream="system", pandas=False)],
        "alerts": [(alert.title, alert.text, alert.level) for alert in run._detail().alerts],
        "files": contents,
        "artifacts": artifacts,
        "metrics": [(each.key, each.x, each.goal, each.hidden) for each in metrics],
    }


def test_an_exported_wandb_folder_is_imported_with_equal_answers(
    place: str, served: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export("demo/full", "sweep/trial1", "--format", "wandb", "-o", "out")
    assert capsys.readouterr().err == ""
    folders = sorted((tmp_path / "out").iterdir())
    assert [re.sub(r"\d+_\d+", "TIME", folder.name) for folder in folders] == [
        "offline-run-TIME-full", "offline-run-TIME-trial1",
    ]  # fmt: skip
    assert {path.name for path in (folders[0] / "files").iterdir()} == {
        "config.yaml", "media", "output.log", "saved.txt", "wandb-summary.json",
    }  # fmt: skip
    assert (folders[0] / "files/output.log").read_text() == "out\nerr\nthe hé line\n"
    here, there = tracker.Api({"store": served.store, "mode": "offline"}), imported("wandb", tmp_path / "out")
    for path in ("demo/full", "sweep/trial1"):
        ours, theirs = answers(here, path), answers(there, path)
        for name, answer in ours.items():
            assert theirs[name] == answer, (path, name)
    kept = there.artifact("demo/model:best")
    assert (
        Path(kept.download(root=tmp_path / "model", allow_missing_references=True), "sub/new.txt").read_text()
        == "new 1"
    )


@pytest.mark.usefixtures("here")
def test_a_wandb_folder_is_never_replaced(tmp_path: Path) -> None:
    export("sweep/trial1", "--format", "wandb", "-o", "out")
    (folder,) = (tmp_path / "out").iterdir()
    (folder / "own").touch()
    said = export("sweep/trial1", "--format", "wandb", "-o", "out", code=1)
    export("sweep/trial1", "--format", "wandb", "-o", "other", "--rank", "0", code=1)
    assert f"out/{folder.name} exists. Remove it, or use another folder." in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == [folder.name]
    assert (folder / "own").exists()


@pytest.mark.parametrize("size", [0, 1, 32_740, 32_747, 32_748, 32_754, 32_755, 100_000])
def test_records_of_any_size_have_the_framing_of_the_client(size: int, tmp_path: Path) -> None:
    records = [bytes([number]) * size for number in range(5)]
    path = wandb_files.write(tmp_path / "run-x.wandb", records)
    assert b"".join(wandb_folder.frame(records)) == path.read_bytes()
    assert [record for record, _ in WandbLog(path).records()] == records


def test_missing_contents_are_named_and_the_rest_is_written(
    served: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shutil.copytree(
        served.store, tmp_path / "tracker-store", ignore=shutil.ignore_patterns("leases", "locks")
    )
    shutil.rmtree(store / "blobs")
    monkeypatch.setenv("TRACKER_STORE", str(store))
    export("demo/full", "--format", "tensorboard", "-o", "logs")
    said = capsys.readouterr().err
    assert re.search(r"^local/demo/full: media/images/img_31_\w+\.png is not exported: ", said, re.MULTILINE)
    theirs = event_accumulator.EventAccumulator(str(tmp_path / "logs/local/demo/full")).Reload()
    assert len(theirs.Scalars("loss")) == 30 and "img" not in theirs.Tags()["tensors"]
    export("demo/full", "--format", "wandb", "-o", "out")
    said = capsys.readouterr().err
    for name in (r"saved\.txt", r"media/images/img_31_\w+\.png", "artifact model:v1"):
        assert re.search(rf"^local/demo/full: {name} is not exported: ", said, re.MULTILINE), name
    api = imported("wandb", tmp_path / "out")
    assert len(rows_of(api, "demo/full")) == 34
