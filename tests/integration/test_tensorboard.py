"""TensorBoard events of a program are logged to the run with ``sync_tensorboard=True``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import wait_for
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

import tracker
from tracker.integration import tensorboard

pytestmark = pytest.mark.usefixtures("without_recorder")


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    yield
    tensorboard.unpatch()


def scalar(writer: EventFileWriter, tag: str, value: float, step: int, wall_time: float = 0.0) -> None:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    writer.add_event(Event(summary=summary, step=step, wall_time=wall_time or time.time()))


def add(writer: EventFileWriter, value: Any, step: int) -> None:
    summary = value if isinstance(value, Summary) else Summary(value=[value])
    writer.add_event(Event(summary=summary, step=step, wall_time=time.time()))


def rows(run: tracker.Run) -> list[dict[str, Any]]:
    return tracker.Api().run(run.path).history(pandas=False)


def values(run: tracker.Run) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if not key.startswith("_")} for row in rows(run)]


def test_events_of_one_step_are_one_row_and_none_is_lost_at_the_end() -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs", flush_secs=3600)  # the writer buffers all events
    for step in range(3):
        scalar(writer, "train/loss", 0.1 * step, step, wall_time=1000.0 + step)
        scalar(writer, "lr", 0.5, step, wall_time=1001.0 + step)
        scalar(writer, "lr", 0.25, step, wall_time=1002.0 + step)  # the last value of a step counts
    run.finish()
    assert values(run) == [
        {"train/loss": 0.0, "lr": 0.25, "global_step": 0},
        {"train/loss": 0.1, "lr": 0.25, "global_step": 1},
        {"train/loss": 0.2, "lr": 0.25, "global_step": 2},
    ]
    assert [row["_timestamp"] for row in rows(run)] == [1002.0, 1003.0, 1004.0]
    assert [row["_step"] for row in rows(run)] == [0, 1, 2]
    (event_file,) = Path("runs").iterdir()
    (kept,) = (file for file in tracker.Api().run(run.path).files() if "tfevents" in file.name)
    assert kept.name == f"runs/{event_file.name}"
    with kept.download(root="kept") as copy:
        assert Path(copy.name).read_bytes() == event_file.read_bytes()


def test_a_smaller_step_and_nan_are_logged() -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs")
    scalar(writer, "x", 1.0, 5)
    scalar(writer, "x", float("nan"), 3)
    scalar(writer, "x", float("inf"), 4)
    run.finish()
    found = values(run)
    assert [row["global_step"] for row in found] == [5, 3, 4]
    assert found[0]["x"] == 1.0
    assert np.isnan(found[1]["x"])
    assert found[2]["x"] == float("inf")


def test_the_distinct_parts_of_directories_are_prefixes_of_tags() -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    train, validation = EventFileWriter("logs/train"), EventFileWriter("logs/val/deep")
    scalar(train, "loss", 1.0, 0)
    scalar(validation, "loss", 2.0, 0)
    run.finish()
    assert sorted(values(run), key=str) == [
        {"train/loss": 1.0, "global_step": 0},
        {"val/deep/loss": 2.0, "global_step": 0},
    ]


def test_rows_are_logged_during_the_run_with_a_given_root() -> None:
    tensorboard.patch(root_logdir="logs", save=False)
    run = tracker.init(project="p")
    writer = EventFileWriter("logs/train")
    scalar(writer, "loss", 1.0, 0)
    scalar(writer, "loss", 2.0, 1)
    writer.flush()
    seen = wait_for(lambda: values(run), "the first row")
    assert seen[0] == {"train/loss": 1.0, "global_step": 0}
    run.finish()
    assert values(run) == [*seen, {"train/loss": 2.0, "global_step": 1}][:2]
    assert not [file for file in tracker.Api().run(run.path).files() if "tfevents" in file.name]


def test_histograms_images_and_curves_become_media_and_text_is_not_logged() -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs")
    buckets = Summary.Value(tag="old")
    buckets.histo.min, buckets.histo.max = -1.0, 3.0
    buckets.histo.bucket_limit.extend([0.0, 2.0, 4.0])
    buckets.histo.bucket.extend([1.0, 0.0, 2.0])
    add(writer, buckets, 0)
    empty_first = Summary.Value(tag="open")
    empty_first.histo.bucket_limit.extend([0.0, 2.0, 4.0])
    empty_first.histo.bucket.extend([0.0, 5.0, 2.0])
    add(writer, empty_first, 0)
    add(writer, histogram_pb("new", np.array([0.0, 1.0, 1.0]), buckets=2), 0)
    picture = Summary.Value(tag="picture")
    picture.image.encoded_image_string = png()
    picture.image.width = picture.image.height = 2
    add(writer, picture, 0)
    # The last two rows are precision and recall.
    table = np.array([[1, 1], [0, 1], [1, 0], [1, 1], [0.5, 1.0], [1.0, 0.5]])
    curve = Summary.Value(tag="pr", tensor=make_tensor_proto(table))
    curve.metadata.plugin_data.plugin_name = "pr_curves"
    add(writer, curve, 0)
    add(writer, text_pb("note", "hello"), 0)
    run.finish()
    (row,) = values(run)
    assert row["old"] == {"_type": "histogram", "values": [1, 0, 2], "bins": [-1, 0, 2, 4]}
    assert row["open"] == {"_type": "histogram", "values": [5, 2], "bins": [0, 2, 4]}
    assert row["new"] == {"_type": "histogram", "values": [1, 2], "bins": [0, 0.5, 1]}
    assert row["picture"]["_type"] == "images/separated"
    assert (row["picture"]["width"], row["picture"]["count"]) == (2, 1)
    assert (row["pr"]["_type"], row["pr"]["ncols"], row["pr"]["nrows"]) == ("table-file", 2, 2)
    assert set(row) == {"old", "open", "new", "picture", "pr", "global_step"}


def png() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_older_files_are_ignored_and_a_damaged_file_stops_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = EventFileWriter("runs")
    scalar(old, "old", 1.0, 0)
    old.close()
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs", filename_suffix=".new")
    scalar(writer, "new", 1.0, 0)
    writer.flush()
    Path("runs/events.out.tfevents.junk").write_bytes(b"\xff" * 64)
    run.finish()
    assert values(run) == [{"new": 1.0, "global_step": 0}]
    assert "runs/events.out.tfevents.junk is not a tfevents file, or is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["value", "zeros"])
def test_damaged_events_are_reported_and_not_logged(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    writer = EventFileWriter("before")
    scalar(writer, "loss", 1.0, 0)
    writer.flush()
    (path,) = Path("before").iterdir()
    size = path.stat().st_size
    scalar(writer, "loss", 2.0, 1)
    writer.close()
    data = bytearray(path.read_bytes())
    if damage == "value":
        data[-5] ^= 0x40  # the exponent of the float 2.0: the message stays valid with another number
    else:  # zero bytes, as some file systems leave after a power failure
        data[size:] = bytes(len(data) - size)
    path.write_bytes(data)
    run = tracker.init(project="p", sync_tensorboard=True)
    EventFileWriter("runs").close()
    path.rename(Path("runs") / path.name)
    run.finish()
    assert values(run) == [{"loss": 1.0, "global_step": 0}]
    assert f"damaged at byte {size}" in capsys.readouterr().err


def test_step_is_ignored_with_tensorboard_and_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs")
    scalar(writer, "loss", 1.0, 70)
    run.log({"mine": 1}, step=10)
    run.log({"mine": 2}, step=20)
    run.finish()
    assert [(row["_step"], row.get("mine")) for row in rows(run)] == [(0, 1), (1, 2), (2, None)]
    assert capsys.readouterr().err.count("Step cannot be set when using tensorboard syncing") == 1


def test_patching_twice_raises_and_unpatch_undoes_it() -> None:
    tensorboard.patch()
    with pytest.raises(ValueError, match="already patched"):
        tensorboard.patch()
    tensorboard.unpatch()
    run = tracker.init(project="p")
    writer = EventFileWriter("runs")
    scalar(writer, "loss", 1.0, 0)
    writer.close()
    run.finish()
    assert values(run) == []


def test_existing_event_files_become_a_run(tmp_path: Path) -> None:
    for name, loss in (("train", 1.0), ("val/deep", 2.0)):
        writer = EventFileWriter(f"old/{name}")
        scalar(writer, "loss", loss, 7, wall_time=1000.0)
        writer.close()
    tracker.init(project="other").finish()  # creates the store
    run = tracker.Api().sync_tensorboard("old", run_id="synced", project="p")
    assert (run.id, run.project, run.state) == ("synced", "p", "finished")
    found = [
        {key: row[key] for key in row if key != "_step" and key != "_runtime"} for row in run.scan_history()
    ]
    assert found == [
        {"train/loss": 1.0, "global_step": 7, "_timestamp": 1000.0},
        {"val/deep/loss": 2.0, "global_step": 7, "_timestamp": 1000.0},
    ]
    assert sorted(Path(file.name).parent.as_posix() for file in run.files() if "tfevents" in file.name) == [
        "train",
        "val/deep",
    ]
    assert tracker.run is None
    with pytest.raises(tracker.UsageError, match="There are no tfevents files below"):
        tracker.Api().sync_tensorboard("nothing")


def test_a_forked_child_logs_the_events_that_it_writes() -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs/parent")
    scalar(writer, "loss", 1.0, 0)
    child = os.fork()
    if child == 0:
        try:
            own = EventFileWriter("runs/child")
            scalar(own, "loss", 2.0, 0)
            run.finish()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.finish()
    found = tracker.Api().run(run.path)
    assert found.state == "finished"
    seen = [
        row["loss"] for segment in found.segments for row in found.history(pandas=False, segment=segment.id)
    ]
    assert sorted(seen) == [1.0, 2.0]


def test_a_disabled_run_stores_nothing_and_the_writer_works() -> None:
    run = tracker.init(project="p", mode="disabled", sync_tensorboard=True)
    writer = EventFileWriter("runs")
    scalar(writer, "loss", 1.0, 0)
    writer.close()
    run.finish()
    assert len(list(Path("runs").iterdir())) == 1
    assert not Path("tracker-store").exists()


def test_a_histogram_of_many_buckets_is_reduced_and_other_values_are_logged() -> None:
    """PyTorch writes more buckets by default than a histogram can have."""
    from torch.utils.tensorboard import SummaryWriter

    run = tracker.init(project="p", sync_tensorboard=True)
    writer = SummaryWriter("runs")
    generator = np.random.default_rng(0)
    for step in range(20):
        # Some values are tiny, so that more than 512 of the 1,500 buckets are used.
        logged = np.concatenate([generator.standard_normal(1000), 10.0 ** generator.uniform(-30, 10, 2000)])
        writer.add_histogram("weights", logged, step)
        writer.add_scalar("loss", step / 2, step)
    writer.close()
    run.finish()
    found = values(run)
    assert [row["loss"] for row in found] == [step / 2 for step in range(20)]
    for row in found:
        histogram = row["weights"]
        assert len(histogram["values"]) <= 512
        assert sum(histogram["values"]) == 3000
        assert histogram["bins"] == sorted(histogram["bins"])


def test_an_invalid_value_is_reported_and_other_values_are_logged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tracker.init(project="p", sync_tensorboard=True)
    writer = EventFileWriter("runs")
    for step in range(3):
        scalar(writer, "loss", float(step), step)
        image = Summary.Image(encoded_image_string=b"no image at all", height=1, width=1, colorspace=3)
        add(writer, Summary.Value(tag="picture", image=image), step)
        scalar(writer, "accuracy", 0.5, step)
    writer.close()
    run.finish()
    assert [(row["loss"], row["accuracy"]) for row in values(run)] == [(0, 0.5), (1, 0.5), (2, 0.5)]
    said = [line for line in capsys.readouterr().err.splitlines() if "picture" in line]
    assert len(said) == 1 and "is not logged" in said[0]
