"""Random scenarios of several runs: a rebuilt catalog gives the same answers as the former one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import ENTITY, PROJECT, START, Writer, apply_all, seal_all
from hypothesis import given, settings
from hypothesis import strategies as st
from rebuilding import again, everything, shown, small_parts  # noqa: F401 - a fixture among them

from tracker.recorder.open_store import open_store
from tracker.store.ingest.apply import finish_segment
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.ingest.salvage import clear_forgotten

pytestmark = pytest.mark.usefixtures("small_parts")

STEP = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.just("log"), st.integers(0, 5), st.integers(1, 9)),
    st.tuples(st.just("artifact"), st.integers(0, 5), st.integers(0, 2), st.sampled_from(["best", "x"])),
    st.tuples(st.just("use"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("file"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("edit"), st.integers(0, 2), st.sampled_from(["name", "notes", "group"])),
    st.tuples(st.just("finish"), st.integers(0, 5)),
    st.tuples(st.just("crash"), st.integers(0, 5)),
    st.tuples(st.just("seal"), st.integers(0, 5)),
    st.tuples(st.just("apply")),
    st.tuples(st.just("rebuild")),
)


class Scenario:
    """Several runs at the same time in one store. Every record has a different time."""

    def __init__(self, root: Path) -> None:
        self.store = open_store(root)
        self.writers: list[Writer] = []
        self.ended: dict[str, str] = {}
        self.clock = START

    def play(self, steps: list[tuple[Any, ...]]) -> None:
        """Perform the steps."""
        for name, *arguments in steps:
            if name in ("begin", "edit", "apply", "rebuild"):
                getattr(self, name)(*arguments)
            elif self.writers:
                writer = self.writers[arguments[0] % len(self.writers)]
                if writer.segment not in self.ended or name == "seal":
                    self.clock = writer.clock = self.clock + 1
                    getattr(self, name)(writer, *arguments[1:])
                    self.clock = writer.clock

    def begin(self, run: int, rank: int) -> None:
        attempts = sum(each.run_id == f"run{run}" for each in self.writers)
        self.clock += 1
        # The order of the names differs from the order of the ids, so that a mix-up of both is found.
        segment = f"{(len(self.writers) * 7 + 3) % 97:02x}" * 16
        self.writers.append(
            Writer(
                self.store.layout, segment, f"run{run}", start=self.clock,
                rank=rank, attempt=attempts, start_step=attempts * 3,
                name=f"name {attempts}" if attempts % 2 else None, config={f"key {attempts}": self.clock},
            )
        )  # fmt: skip

    def log(self, writer: Writer, count: int) -> None:
        for at in range(count):
            writer.log({"x": self.clock + at, f"only {writer.run_id}": at})

    def artifact(self, writer: Writer, content: int, alias: str) -> None:
        writer.artifact("data", {"a": b"%d" % content}, [alias])
        self.apply()  # versions are numbered in the order of applying

    def use(self, writer: Writer, version: int) -> None:
        writer.use("data", version)
        self.apply()

    def file(self, writer: Writer, content: int) -> None:
        writer.file("file.txt", b"%d" % content)
        self.apply()

    def edit(self, run: int, field: str) -> None:
        self.apply()
        if any(writer.run_id == f"run{run}" for writer in self.writers):
            self.clock += 1
            edit = make_edit(ENTITY, PROJECT, f"run{run}", {field: f"edited at {self.clock}"})
            apply_edit(self.store, type(edit)(ENTITY, PROJECT, f"run{run}", self.clock, edit.values))

    def finish(self, writer: Writer) -> None:
        writer.finish()
        self.ended[writer.segment] = "finished"

    def crash(self, writer: Writer) -> None:
        writer.journal.close()
        self.apply()
        self.ended[writer.segment] = "crashed"
        self.notice()

    def seal(self, _writer: Writer) -> None:
        self.apply()
        self.notice()
        seal_all(self.store)

    def apply(self) -> None:
        apply_all(self.store)

    def notice(self) -> None:
        """End the segments of dead writers, as a recorder does."""
        for segment, ended in self.ended.items():
            if ended == "crashed":
                finish_segment(self.store, segment, "crashed")

    def rebuild(self) -> None:
        self.apply()
        before = shown(everything(self.store))
        self.store, found = again(self.store)
        assert found.broken == []
        self.apply()
        self.notice()
        assert clear_forgotten(self.store, found.forgotten, set()) == []
        assert shown(everything(self.store)) == before


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(STEP, min_size=5, max_size=40))
def test_any_scenario(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]) -> None:
    root = tmp_path_factory.mktemp("scenario")
    scenario = Scenario(root / "store")
    try:
        scenario.play([("begin", 0, 0), *steps, ("rebuild",), ("seal", 0), ("rebuild",)])
    finally:
        scenario.store.close()
        shutil.rmtree(root)
