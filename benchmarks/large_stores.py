"""Large stores of sealed runs, without journals and a recorder.

    python -m benchmarks.large_stores --runs 1000 --metrics 100 --steps 1000 FOLDER

The store is equal to one whose runs a recorder applied and sealed: `tests/benchmarks/test_large_stores.py`
compares them. The runs are a sweep: groups of runs with the same config and different seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from msgspec.structs import asdict
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from tracker.ground.records import (
    COMMIT,
    Process,
    Record,
    Row,
    RunFinished,
    RunStarted,
    SummaryChanged,
    encode,
)
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import Gone, SegmentFold, SegmentState, pack_state
from tracker.runstate.merge import RunView, SegmentView, merge_segments
from tracker.store.catalog.models import Clock, Part, Project, Run, RunField, Rung, Segment
from tracker.store.catalog.run_index import fields_of, row_of
from tracker.store.history.columns import Encoded, make_table
from tracker.store.history.compaction import LARGE_ROWS
from tracker.store.history.parquet import write_table
from tracker.store.history.parts import NewPart, publish_part
from tracker.store.ingest.run_row import count_change, find_or_make_project
from tracker.store.objects.checksummed_json import publish_checksummed
from tracker.store.published.models import FORMAT, PublishedPart, PublishedRun, PublishedSegment
from tracker.store.published.runs import new_run_row
from tracker.store.store import Store

ENTITY, PROJECT = "local", "sweep"
START = 1_700_000_000.0
# Number of runs in one transaction.
RUNS_AT_ONCE = 100
METRICS = ("loss", "accuracy", "error", "f1", "auc", "perplexity", "grad_norm", "entropy", "margin", "norm")
SECTIONS = ("train", "val", "test")
# Reasons for the ends of the few runs that do not finish, by the last two digits of the run's number.
FAILED, CRASHED = 41, 83
# The columns of a segment that have the same name in the run's file.
SEGMENT_COLUMNS = ("segment", "rank", "attempt", "started_at", "start_step", "ended", "sealed", "sequence")
KINDS = {"f": "double", "i": "int64", "b": "bool"}


class SealedRun(NamedTuple):
    """The records of a run with one writer.

    Attributes:
        segment: The id of the writer's segment, 32 hex digits.
        started: The first record.
        after: The records after the rows.
        times: The time of each row in unix seconds. The steps are 0, 1, 2, ...
        columns: For each key its values of all rows: float64, int64 or bool.
        before: The records before the rows. No definition may ask for an aggregate in the summary.
        gone: Why the writer counts as dead, if ``after`` has no ``RunFinished``.
    """

    segment: str
    started: RunStarted
    after: Sequence[Record]
    times: np.ndarray = np.empty(0)
    columns: Mapping[str, np.ndarray] = MappingProxyType({})
    before: Sequence[Record] = ()
    gone: Gone | None = None


def write_runs(store: Store, runs: Iterable[SealedRun]) -> None:
    """Write new runs into one project of a store, as a recorder leaves them after it has sealed them.

    The files are not forced to the disk, which would take a third of the time. After a power failure, write
    the store again.
    """
    waiting = iter(runs)
    with patch("os.fsync"):
        while batch := list(islice(waiting, RUNS_AT_ONCE)):
            written = [(run, fold_records(run), write_parts(store, run)) for run in batch]
            with store.writing() as session:
                _add_runs(store, session, written)


def fold_records(run: SealedRun) -> SegmentState:
    """Return the state of a run's segment after all its records.

    The first and the last row decide everything except the counts, so only these two are folded.
    """
    fold = SegmentFold(SegmentState())
    count = len(run.times)
    for record in (run.started, *run.before):
        fold.fold(record)
    for at in sorted({0, count - 1} if count else ()):
        data = {key: values[at].item() for key, values in run.columns.items()}
        fold.fold(Row(at, at, COMMIT, float(run.times[at]), data))
    state = fold.state
    if state.aggregates:
        raise ValueError(f"The aggregates of {', '.join(state.aggregates)} need all rows.")
    state.rows = count
    for facts in state.keys.values():
        facts.count = count
    for record in run.after:
        fold.fold(record)
    state.gone = run.gone
    return fold.state


def write_parts(store: Store, run: SealedRun) -> list[NewPart]:
    """Write the rows of a run as parts, and publish these."""
    started = run.started
    folder = store.layout.run(started.entity, started.project, started.run_id) / "history"
    runtimes = run.times - started.time + started.runtime_base
    parts = []
    for first in range(0, len(run.times), LARGE_ROWS):
        numbers = np.arange(first, min(first + LARGE_ROWS, len(run.times)))
        fixed = [numbers, numbers, runtimes[numbers], run.times[numbers]]
        keys: dict[str, Encoded] = {
            key: (KINDS[values.dtype.kind], pa.array(values[numbers]), None)
            for key, values in run.columns.items()
        }
        table = make_table([pa.array(each) for each in fixed], keys)
        extent = (first, int(numbers[-1]), len(numbers))
        parts.append(publish_part(store, folder, run.segment, extent, partial(write_table, table=table)))
    return parts


def _add_runs(
    store: Store, session: Session, written: list[tuple[SealedRun, SegmentState, list[NewPart]]]
) -> None:
    """Publish the descriptions of runs, and add the runs to the catalog.

    The rows of a table are inserted together. One by one, as a recorder adds them, they take twice as long.
    """
    first = written[0][0].started
    project = find_or_make_project(session, first.entity, first.project, first.time)
    last = {table: session.scalar(select(func.max(table.id))) or 0 for table in (Run, Segment, Part)}
    before = count_change(session) - 1
    session.get_one(Clock, 1).revision += len(written) - 1
    others: dict[Any, list[dict[str, Any]]] = {Segment: [], Part: [], Rung: [], RunField: []}
    for at, (run, state, parts) in enumerate(written, 1):
        number, segment_number = last[Run] + at, last[Segment] + at
        segment = _describe_segment(store, run, state, parts)
        described = _describe_run(run.started, segment, number, before + at)
        path = store.layout.run_file(described.entity, described.project, described.id)
        publish_checksummed(store.layout.new_temporary(), path, described.to_json())
        row = new_run_row(described, project, number)
        row.revision = described.revision
        session.add(row)
        kept = {name: getattr(segment, name) for name in SEGMENT_COLUMNS}
        kept |= {"process": encode(run.started.process), "state": pack_state(state)}
        others[Segment].append({"id": segment_number, "run_id": number, **kept})
        for part, named in zip(parts, segment.parts, strict=True):
            last[Part] += 1
            others[Part].append({"id": last[Part], "segment_id": segment_number, **asdict(named)})
            others[Rung] += [
                {"part_id": last[Part], "key": key, "bucket_rows": size, "data": data}
                for key, size, data in part.rungs
            ]
        fields = fields_of(described.config, described.summary, described.tags)
        others[RunField] += [row_of(number, project.id, name, value) for name, value in fields.items()]
    session.flush()
    for table, rows in others.items():
        if rows:
            session.execute(insert(table), rows)


def _describe_segment(
    store: Store, run: SealedRun, state: SegmentState, parts: list[NewPart]
) -> PublishedSegment:
    return PublishedSegment(
        segment=run.segment,
        rank=run.started.rank,
        attempt=run.started.attempt,
        started_at=run.started.time,
        start_step=state.start_step,
        ended=state.finished.state if state.finished is not None else "crashed",
        sealed=True,
        sequence=1 + len(run.before) + len(run.times) + len(run.after),
        parts=[
            PublishedPart(
                str(part.path.relative_to(store.root)), part.rows, part.first_row, part.last_row, part.size
            )
            for part in parts
        ],
        state=state,
    )


def _describe_run(started: RunStarted, segment: PublishedSegment, number: int, revision: int) -> PublishedRun:
    assert segment.state is not None
    view = SegmentView(
        segment.segment,
        segment.rank,
        segment.attempt,
        segment.started_at,
        segment.start_step,
        segment.ended,
        segment.state,
    )
    merged = merge_segments(started.run_id, [view], {})
    return PublishedRun(
        format=FORMAT,
        entity=started.entity,
        project=started.project,
        id=started.run_id,
        number=number,
        revision=revision,
        files=[],
        uses=[],
        segments=[segment],
        **{name: getattr(merged, name) for name in RunView.__dataclass_fields__ if name != "archived"},
    )


def make_sweep(
    runs: int, metrics: int, steps: int, *, seeds: int = 5, entity: str = ENTITY, project: str = PROJECT
) -> Iterator[SealedRun]:
    """Yield the runs of a sweep. The same arguments give the same runs.

    Args:
        runs: The number of runs. Of each hundred, one failed and one crashed.
        metrics: The number of metrics of each run.
        steps: The number of rows of each run.
        seeds: The number of runs with the same config, except for the seed. They are one group.
        entity: The entity of the project.
        project: The name of the project.
    """
    return (_make_run(at, metrics, steps, seeds, entity, project) for at in range(runs))


def metric_name(at: int) -> str:
    """Return the name of a metric, for example ``train/loss``."""
    section, metric = divmod(at, len(METRICS))
    return f"{SECTIONS[section] if section < len(SECTIONS) else f'layer{section:03}'}/{METRICS[metric]}"


def _make_run(at: int, metrics: int, steps: int, seeds: int, entity: str, project: str) -> SealedRun:
    group, seed = divmod(at, seeds)
    chance = random.Random(group)
    config: dict[str, Any] = {
        "lr": 10 ** chance.uniform(-5, -1),
        "batch_size": chance.choice((32, 64, 128, 256)),
        "optimizer": chance.choice(("adam", "adamw", "sgd", "lion")),
        "model": {"width": chance.choice((128, 256, 512)), "depth": chance.randrange(2, 13, 2)},
        "dropout": chance.choice((0.0, 0.1, 0.2)),
        "seed": seed,
    }
    name = f"{config['optimizer']}-w{config['model']['width']}-d{config['model']['depth']}"
    run_id = f"run{at:06}"
    start = START + 60.0 * at
    started = RunStarted(
        entity,
        project,
        run_id,
        start,
        Process(f"node{at % 8}", "boot", 1, 42, at),
        name=f"{name}-{group}-s{seed}",
        config=config,
        group=f"{name}-{group}",
        job_type="train" if at % 10 else "eval",
        tags=[*(["baseline"] if group % 20 == 0 else []), config["optimizer"]],
        notes=f"Group {group}, repeated with {seeds} seeds." if seed == 0 else None,
        program="train.py",
    )
    columns = make_curves(at, metrics, steps, math.log10(config["lr"]) + 6)
    times = start + 1.0 + np.arange(steps) * 0.5
    end = start + 1.0 + steps * 0.5
    best = min(columns[metric_name(0)].tolist()) if metrics and steps else 0.0
    after: list[Record] = [SummaryChanged({"best": best})]
    gone = None
    if at % 100 == FAILED:
        after.append(RunFinished(end, "failed", 1, "RuntimeError: CUDA out of memory", "exception"))
    elif at % 100 == CRASHED:
        gone = Gone("process gone", end)
    else:
        after.append(RunFinished(end, "finished", 0))
    segment = hashlib.sha256(f"{entity}/{project}/{run_id}".encode()).hexdigest()[:32]
    return SealedRun(segment, started, after, times, columns, gone=gone)


def make_curves(seed: int, metrics: int, steps: int, rate: float) -> dict[str, np.ndarray]:
    """Return noisy curves that fall or rise towards a limit, with values of single precision.

    Args:
        seed: The seed of the noise and of the limits.
        metrics: The number of curves.
        steps: The number of values of each curve.
        rate: The curves reach their limits this number of times faster than after all steps.
    """
    chance = np.random.default_rng(seed)
    limit, height, noise = (chance.uniform(0.05, 1.0, (metrics, 1)) for _ in range(3))
    signs = np.where(np.arange(metrics)[:, None] % 2, -1, 1)
    values = chance.standard_normal((metrics, steps), np.float32)
    values *= 0.1 * noise
    values += signs * height * np.exp(np.arange(steps) / max(steps, 1) * -rate) + limit
    return dict(zip(map(metric_name, range(metrics)), values.astype(np.float64), strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_stores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the store; it is created if it does not exist")
    for name, default in (("runs", 1000), ("metrics", 100), ("steps", 1000), ("seeds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--entity", default=ENTITY, help=f"default: {ENTITY}")
    parser.add_argument("--project", default=PROJECT, help=f"a new project; default: {PROJECT}")
    options = vars(parser.parse_args(arguments))
    with closing(open_store(options.pop("folder"))) as store:
        place = options["entity"], options["project"]
        with store.reading() as session:
            known = select(Project.id).where(Project.entity == place[0], Project.name == place[1])
            if session.scalar(known) is not None:
                parser.error(f"the store has a project {'/'.join(place)} already. Choose another --project.")
        write_runs(store, make_sweep(**options))
        print(f"{options['runs']:,} runs in project {'/'.join(place)} of {store.root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
