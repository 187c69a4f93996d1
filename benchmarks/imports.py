"""Imports of other trackers' files: figures ``import-wandb`` and ``import-tensorboard``.

The lower bound of a ``.wandb`` file is a bare decoder of the same bytes: it checks the checksums, parses each
record with Google's protobuf, and decodes the JSON text of each value into a dict. It writes nothing. For a
TensorBoard log, it is ``EventAccumulator``, which keeps all values in memory. Both alternate with the import,
which ends when the run is sealed. CPU seconds are compared, because other programs use the machine too.

As a script (``python -m benchmarks.imports COMMAND ...``) this module writes the files, or is a lower bound.
"""

from __future__ import annotations

import json
import shutil
import statistics
import struct
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

from benchmarks.measuring import Options, metered, ours, print_answer, run_script, workplace
from benchmarks.report import ROOT, Result, row

KEYS = 10
WANDB_MOST, TENSORBOARD_MOST = 2.0, 1.0
# Bytes of a row of 10 values with the records that the client writes with it.
_ROW_BYTES = 928


def measure_wandb(options: Options) -> Result:
    """Measure the import of a large ``.wandb`` file."""
    rows = max(1, options.import_mb * 2**20 // _ROW_BYTES)
    return _measure(options, "wandb", rows, "bare decoder", WANDB_MOST)


def measure_tensorboard(options: Options) -> Result:
    """Measure the import of a TensorBoard log."""
    return _measure(options, "tensorboard", options.import_steps, "EventAccumulator", TENSORBOARD_MOST)


def _measure(options: Options, kind: str, rows: int, against: str, most: float) -> Result:
    used: dict[str, list[float]] = {"import": [], against: []}
    memory = 0.0
    with workplace(options) as folder:
        logs, store = folder / "logs", folder / "store"
        run_script(ours("imports", f"make-{kind}", logs, rows), folder)
        size = sum(path.stat().st_size for path in logs.rglob("*") if path.is_file())
        for _ in range(options.repeats):
            shutil.rmtree(store, ignore_errors=True)
            command = [sys.executable, "-m", "tracker.cli.main", "import", kind, str(logs)]
            done = metered([*command, "--store", str(store)], folder)
            used["import"].append(done.cpu)
            memory = max(memory, done.largest_mb)
            used[against].append(metered(ours("imports", f"read-{kind}", logs), folder).cpu)
    mine, least = (statistics.median(used[name]) for name in ("import", against))
    figure = f"import of {rows:,} rows of 10 from {kind}"
    note = f"{size / 1e6:.0f} MB; largest process {memory:.0f} MB"
    found = row(figure, "CPU s", mine, against, least, most=most, target=f"<= {most:g}x", note=note)
    return Result([found], {"rows": rows, "bytes": size, "cpu": used, "memory MB": memory})


def _make_wandb(logs: Path, rows: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests"))
    import wandb_files

    ends = [wandb_files.run_record("big")], [wandb_files.exit_record()]
    wandb_files.write(logs / "run-big.wandb", chain(ends[0], wandb_files.rows(rows, KEYS), ends[1]))
    return {}


def _make_tensorboard(logs: Path, steps: int) -> dict[str, Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(logs))
    for step in range(steps):
        for key in range(KEYS):
            value = Summary.Value(tag=f"metric/{key}", simple_value=1 / (1 + step + key))
            writer.add_event(Event(summary=Summary(value=[value]), step=step, wall_time=1.7e9 + step))
    writer.close()
    return {}


def _read_wandb(logs: Path) -> dict[str, Any]:
    """Decode a file as a program does that knows the format and does nothing else."""
    record_class = _record_class()
    count = 0
    parts: list[bytes] = []
    with next(logs.glob("*.wandb")).open("rb") as file:
        skip = 7
        while block := file.read(32768):
            at, skip = skip, 0
            while len(block) - at >= 7:
                checksum, length, kind = struct.unpack_from("<IHB", block, at)
                if kind == 0:
                    break
                data = block[at + 7 : at + 7 + length]
                if crc32(data, crc32(bytes([kind]))) != checksum:
                    raise ValueError("damaged")
                at += 7 + length
                parts.append(data)
                if kind in (1, 4):
                    record = record_class.FromString(b"".join(parts))
                    parts = []
                    if record.HasField("history"):
                        {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                        count += 1
                    elif record.HasField("summary"):
                        {item.nested_key[0]: json.loads(item.value_json) for item in record.summary.item}
    return {"rows": count}


def _record_class() -> Any:
    """Return the protobuf class of a record, with the fields that hold values."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="b", syntax="proto3")
    types = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> None:
        made = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            added = made.field.add(name=field, number=number, type=kind, label=label)  # type: ignore[arg-type]
            if of:
                added.type_name = of

    one, many = types.LABEL_OPTIONAL, types.LABEL_REPEATED
    text, inner = types.TYPE_STRING, types.TYPE_MESSAGE
    message(
        "Item",
        ("key", 1, text, one, ""),
        ("nested_key", 2, text, many, ""),
        ("value_json", 16, text, one, ""),
    )
    message("Items", ("item", 1, inner, many, ".b.Item"))
    message("Record", ("history", 2, inner, one, ".b.Items"), ("summary", 3, inner, one, ".b.Items"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("b.Record"))


def _read_tensorboard(logs: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing import event_accumulator

    sizes = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    loaded = event_accumulator.EventAccumulator(str(logs), size_guidance=sizes).Reload()
    return {"values": sum(len(loaded.Scalars(tag)) for tag in loaded.Tags()["scalars"])}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "make-wandb": lambda logs, rows: _make_wandb(Path(logs), int(rows)),
    "make-tensorboard": lambda logs, steps: _make_tensorboard(Path(logs), int(steps)),
    "read-wandb": lambda logs: _read_wandb(Path(logs)),
    "read-tensorboard": lambda logs: _read_tensorboard(Path(logs)),
}

if __name__ == "__main__":
    print_answer(COMMANDS[sys.argv[1]](*sys.argv[2:]))
