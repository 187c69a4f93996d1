"""Import of TensorBoard logs of torch and of TensorFlow's plugins, compared with TensorBoard's loader."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imported import import_all, rows, statuses
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as theirs_masked_crc32c
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.image.metadata import create_summary_metadata as image_metadata
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_ndarray, make_tensor_proto

import tracker
from tracker.importing import event_file

pytestmark = pytest.mark.usefixtures("without_recorder")


def load(folder: Path) -> event_accumulator.EventAccumulator:
    sizes = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    return event_accumulator.EventAccumulator(str(folder), size_guidance=sizes).Reload()


def run_named(name: str) -> tracker.api.PublicRun:
    (run,) = (each for each in tracker.Api().runs("uncategorized") if each.name == name)
    return run


def series(run: Any, key: str) -> list[tuple[int, Any]]:
    return [(row["_step"], row[key]) for row in run.scan_history() if row.get(key) is not None]


def same(ours: list[tuple[int, Any]], theirs: list[Any]) -> bool:
    """Return whether scalars are equal; ours are the shortest decimals of 32-bit numbers."""
    return [(step, np.float32(value).tobytes()) for step, value in ours] == [
        (each.step, np.float32(each.value).tobytes()) for each in theirs
    ]


def content(run: Any, media: dict[str, Any]) -> bytes:
    with run.file(media["path"]).download(root="down", replace=True) as file:
        return Path(file.name).read_bytes()


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 50_000])
def test_checksums_are_those_of_tensorboard(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert event_file.masked_crc32c(data) == theirs_masked_crc32c(data)


@pytest.mark.slow
def test_all_that_torch_writes_is_as_tensorboard_loads_it(tmp_path: Path) -> None:
    from torch import rand, tensor
    from torch.utils.tensorboard import SummaryWriter

    logs = tmp_path / "logs"
    writer = SummaryWriter(str(logs / "run one"))
    for step in range(50):
        writer.add_scalar("train/loss", 1 / (step + 3), step)
        if step % 10 == 0:
            writer.add_scalar("val/loss", math.nan if step == 20 else math.sin(step), step)
            writer.add_histogram("weights", rand(1000), step)
            writer.add_histogram("few", tensor([0.0, 1.0, 1.0, 4.0]), step, bins=[0.0, 1.0, 2.0, 5.0])
    writer.add_scalars("both", {"a": 1.0, "b": 2.0}, 1)
    writer.add_image("image", rand(3, 5, 7), 3)
    writer.add_images("images", rand(2, 3, 5, 7), 3)
    writer.add_audio("audio", rand(1, 100) - 0.5, 4, sample_rate=8000)
    writer.add_text("note", "# Title\n\nthe h\u00e9 text", 5)
    writer.add_pr_curve("curve", tensor([0, 1, 1, 0]), tensor([0.1, 0.8, 0.6, 0.7]), 6)
    writer.add_hparams(
        {"lr": 0.1, "layers": 3, "name": "adam", "flag": True}, {"hparam/best": 0.5}, run_name="trial"
    )
    writer.close()
    results, found = import_all("tensorboard", logs)
    assert not found.problems and not any(each.problems for each in results)
    assert {run.name for run in tracker.Api().runs("uncategorized")} == {
        "run one", "run one/both_a", "run one/both_b", "run one/trial",
    }  # fmt: skip
    run, theirs = run_named("run one"), load(logs / "run one")
    for tag in theirs.Tags()["scalars"]:
        assert same(series(run, tag), theirs.Scalars(tag)), tag
    for tag in ("a", "b"):
        assert same(
            series(run_named(f"run one/both_{tag}"), "both"),
            load(logs / f"run one/both_{tag}").Scalars("both"),
        )
    for tag in theirs.Tags()["images"]:
        (ours,), (image,) = series(run, tag), theirs.Images(tag)
        assert (ours[0], content(run, ours[1])) == (image.step, image.encoded_image_string)
        assert (ours[1]["width"], ours[1]["height"]) == (image.width, image.height)
    ((step, ours),), (audio,) = series(run, "audio"), theirs.Audio("audio")
    assert (step, content(run, ours)) == (audio.step, audio.encoded_audio_string)
    ((step, note),), (text,) = series(run, "note/text_summary"), theirs.Tensors("note/text_summary")
    assert (step, note.encode()) == (text.step, make_ndarray(text.tensor_proto).item())
    ((_, table),), (curve,) = series(run, "curve"), theirs.Tensors("curve")
    array = make_ndarray(curve.tensor_proto)
    points = json.loads(content(run, table))["data"]
    pairs = {(x, y) for x, y in zip(array[-1].tolist(), array[-2].tolist(), strict=True) if x or y}
    assert {tuple(point) for point in points} == pairs
    for tag in ("weights", "few"):
        for (step, ours), histogram in zip(series(run, tag), theirs.Histograms(tag), strict=True):
            value = histogram.histogram_value
            assert step == histogram.step
            assert sum(ours["values"]) == value.num == sum(value.bucket)
            assert len(ours["bins"]) == len(ours["values"]) + 1
            assert set(ours["bins"]) <= {value.min, *value.bucket_limit}
    trial = run_named("run one/trial")
    assert (trial.config, trial.state) == (
        {"lr": 0.1, "layers": 3, "name": "adam", "flag": True}, "finished",
    )  # fmt: skip
    assert same(series(trial, "hparam/best"), load(logs / "run one/trial").Scalars("hparam/best"))
    assert {each.status for each in import_all("tensorboard", logs)[0]} == {"unchanged"}


def add(writer: EventFileWriter, value: Any, step: int) -> None:
    summary = value if isinstance(value, Summary) else Summary(value=[value])
    writer.add_event(Event(summary=summary, step=step, wall_time=1000.0 + step))


def scalar(writer: EventFileWriter, tag: str, value: float, step: int) -> None:
    add(writer, Summary.Value(tag=tag, simple_value=value), step)


def test_summaries_of_tensorflow_2_are_as_tensorboard_loads_them(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path / "tf"))
    for step in range(3):
        add(writer, scalar_pb("loss", 0.1 * step), step)
    add(writer, histogram_pb("weights", np.array([0.0, 1.0, 1.0, 5.0]), buckets=3), 0)
    add(writer, text_pb("note", "text"), 1)
    encoded = [b"7", b"5", b"\x89PNG first", b"\x89PNG second"]
    images = Summary.Value(tag="images", tensor=make_tensor_proto(encoded), metadata=image_metadata(None, ""))
    add(writer, images, 2)
    double = Summary.Value(tag="double", tensor=make_tensor_proto(0.1))
    double.metadata.plugin_data.plugin_name = "scalars"
    add(writer, double, 2)
    writer.close()
    import_all("tensorboard", tmp_path)
    run, theirs = run_named("tf"), load(tmp_path / "tf")
    tensors = {tag: theirs.Tensors(tag) for tag in theirs.Tags()["tensors"]}
    assert [(step, np.float32(value)) for step, value in series(run, "loss")] == [
        (each.step, make_ndarray(each.tensor_proto)) for each in tensors["loss"]
    ]
    rows_of = make_ndarray(tensors["weights"][0].tensor_proto)
    ((_, ours),) = series(run, "weights")
    assert (ours["values"], ours["bins"]) == (
        rows_of[:, 2].tolist(),
        [*rows_of[:, 0].tolist(), rows_of[-1, 1]],
    )
    assert series(run, "note") == [(1, "text")]
    ((_, ours),) = series(run, "images")
    assert [content(run, {"path": path}) for path in ours["filenames"]] == encoded[2:]
    assert (ours["width"], ours["height"]) == (7, 5)


def test_events_of_one_step_are_a_row_and_new_events_are_added(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path / "a"))
    scalar(writer, "x", 1.0, 0)
    scalar(writer, "y", 2.0, 0)
    scalar(writer, "x", 3.0, 5)
    writer.flush()
    (result,), _ = import_all("tensorboard", tmp_path)
    assert (result.status, result.rows) == ("new", 2)
    assert import_all("tensorboard", tmp_path)[0][0].status == "unchanged"
    scalar(writer, "y", 4.0, 5)  # belongs to the last imported row
    scalar(writer, "x", 5.0, 9)
    scalar(writer, "late", 6.0, 2)
    writer.close()
    (result,), _ = import_all("tensorboard", tmp_path)
    assert (result.status, result.rows) == ("added", 3)
    run, theirs = run_named("a"), load(tmp_path / "a")
    for tag in ("x", "y", "late"):
        assert same(series(run, tag), theirs.Scalars(tag)), tag
    assert rows(f"uncategorized/{run.id}")[0] == {"x": 1.0, "y": 2.0, "_step": 0}


def test_a_second_file_of_a_folder_adds_to_the_run_and_a_restart_purges(tmp_path: Path) -> None:
    first = EventFileWriter(str(tmp_path / "a"), filename_suffix=".1")
    for step in range(10):
        scalar(first, "x", float(step), step)
    first.close()
    import_all("tensorboard", tmp_path)
    second = EventFileWriter(str(tmp_path / "a"), filename_suffix=".2")
    scalar(second, "y", 1.0, 4)
    second.close()
    import_all("tensorboard", tmp_path)
    (run,) = tracker.Api().runs("uncategorized")
    assert (len(series(run, "x")), series(run, "y")) == (10, [(4, 1.0)])
    third = EventFileWriter(str(tmp_path / "a"), filename_suffix=".3")
    third.add_event(Event(session_log=SessionLog(status=SessionLog.START), step=6, wall_time=3000.0))
    scalar(third, "x", 60.0, 6)
    third.close()
    import_all("tensorboard", tmp_path)
    (run,) = tracker.Api().runs("uncategorized")
    theirs = load(tmp_path / "a")
    assert same(series(run, "x"), theirs.Scalars("x"))
    assert series(run, "x")[-2:] == [(5, 5.0), (6, 60.0)]


def test_a_cut_file_is_read_up_to_its_end_and_other_files_are_named(tmp_path: Path) -> None:
    writer = EventFileWriter(str(tmp_path / "a"))
    for step in range(5):
        scalar(writer, "x", float(step), step)
    writer.close()
    (path,) = (tmp_path / "a").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-3])
    (tmp_path / "b").mkdir()
    (tmp_path / "b/events.out.tfevents.1.x").write_bytes(b"nothing of the kind")
    (tmp_path / "b/events.out.tfevents.2.x").touch()
    (result,), found = import_all("tensorboard", tmp_path)
    assert result.rows == 4 and "incomplete event" in result.problems[0]
    assert [problem.split(":")[0] for _, problem in found.problems] == [
        "it is not a tfevents file", "it contains no events",
    ]  # fmt: skip
    changed = bytearray(data)
    changed[-10] ^= 1
    path.write_bytes(changed)
    (result,), _ = import_all("tensorboard", tmp_path)
    assert "damaged" in result.problems[0]
    path.write_bytes(data)
    (result,), _ = import_all("tensorboard", tmp_path)
    (run,) = tracker.Api().runs("uncategorized")
    assert series(run, "x")[:4] == [(step, float(step)) for step in range(4)]
    assert statuses([result])[0][1:] == ("added", 1)
