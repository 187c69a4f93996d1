"""The whole crash test: kill writers and appliers, then compare everything."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from tracker.crashtest import appliers, check, damage, writer
from tracker.crashtest.children import ask
from tracker.ground.processes import host_name
from tracker.recorder.open_store import open_store
from tracker.runstate.fold import unpack_state
from tracker.store.blobs.content import BlobStore
from tracker.store.blobs.finalize import FinalizedDraft, receive_finalized
from tracker.store.blobs.packs import read_index
from tracker.store.catalog.models import Segment, Version
from tracker.store.objects.layout import Layout

# A kill outside a burst of writes proves nothing. The test fails if more than a tenth are outside.
LEAST_INSIDE = 0.9
# Greatest number of damaged copies.
MOST_DAMAGED = 60


@dataclass
class Report:
    """Counts and failures of a crash test. ``failures`` is empty if the test passed."""

    folder: str
    seed: int
    kills: int = 0
    kills_inside_a_burst: int = 0
    recorder_kills: int = 0
    applier_kills: int = 0
    acknowledged_calls: int = 0
    calls_in_the_store: int = 0
    unacknowledged_but_whole: int = 0
    tables_read: int = 0
    torn_tails: int = 0
    damaged_journals: int = 0
    failures: list[str] = field(default_factory=list)


def crash_test(folder: Path, kills: int, seed: int, print_line: Callable[[str], None]) -> Report:
    """Run a crash test in an empty folder. The caller removes the files that it leaves there.

    Args:
        folder: Folder on the file system to test.
        kills: Number of writers to kill.
        seed: Seed of all random choices.
        print_line: Is called with one line before each part of the test.
    """
    for name in list(os.environ):
        if name.startswith(("TRACKER_", "WANDB_")):
            del os.environ[name]  # the settings of the user must not redirect the runs of the test
    folder = folder.absolute()  # a recorder changes its working folder
    chance = random.Random(seed)
    report = Report(str(folder), seed)
    print_line(f"killing {kills} writers, and the processes that apply their journals")
    killed = _kill_writers(folder / "live", kills, chance, report)
    _judge_kills(killed, report)
    print_line("applying the same journals once, and by two processes at the same time, which are killed too")
    _apply_copies(folder, killed, chance, report)
    print_line("comparing the stores with the calls that returned")
    _compare(folder, killed, report)
    print_line("damaging copies of journals")
    _damage(folder, killed, chance, report)
    return report


def _kill_writers(store: Path, kills: int, chance: random.Random, report: Report) -> list[writer.Killed]:
    ask(_make_store, store)
    running = [
        appliers.Restarted(appliers.run_recorder, store, chance=chance, longest_life=1.5),
        appliers.Restarted(appliers.apply_forever, store, chance=chance, longest_life=0.7),
    ]
    killed = []
    try:
        for number in range(kills):
            killed.append(writer.kill_a_writer(store, number, chance))
            for applier in running:
                applier.look()
    finally:
        for applier in running:
            applier.stop()
    report.recorder_kills, report.applier_kills = (applier.kills for applier in running)
    return killed


def _judge_kills(killed: list[writer.Killed], report: Report) -> None:
    report.kills = len(killed)
    report.kills_inside_a_burst = sum(each.inside for each in killed)
    report.acknowledged_calls = sum(each.acknowledged + 1 for each in killed)
    if report.kills_inside_a_burst < LEAST_INSIDE * report.kills:
        report.failures.append(
            f"only {report.kills_inside_a_burst} of {report.kills} kills came inside a burst of writes: "
            "the test proves too little; run it again when the machine is less busy"
        )


def _apply_copies(folder: Path, killed: list[writer.Killed], chance: random.Random, report: Report) -> None:
    ask(appliers.apply_all, folder / "live")
    for name in ("once", "twice"):
        journals = _store_like_live(folder, name)
        for each in killed:
            (journals / each.name).write_bytes(each.journal)
            if each.following:
                (journals / each.name.replace("-000000", "-000001")).write_bytes(each.following)
    ask(appliers.apply_all, folder / "once")
    report.applier_kills += appliers.apply_by_two(folder / "twice", chance, kills=max(2, len(killed) // 20))


def _compare(folder: Path, killed: list[writer.Killed], report: Report) -> None:
    acknowledged = check.acknowledged_by(killed)
    live, once, twice = (ask(check.check, folder / name, acknowledged) for name in ("live", "once", "twice"))
    for name, found in (("live", live), ("once", once), ("twice", twice)):
        report.failures += [f"{name}: {line}" for line in found.lines]
    report.failures += check.compare(live.digests, once.digests, "live and once")
    report.failures += check.compare(once.digests, twice.digests, "once and twice")
    report.calls_in_the_store, report.tables_read = live.calls, live.tables
    report.unacknowledged_but_whole = live.unacknowledged


def _damage(folder: Path, killed: list[writer.Killed], chance: random.Random, report: Report) -> None:
    journals = _store_like_live(folder, "damaged")
    made = []
    for each in chance.sample(killed, min(MOST_DAMAGED, len(killed))):
        copy = damage.damage(each, folder, chance)
        if copy is not None:
            made.append(copy)
            (journals / copy.name).write_bytes(copy.content)
            report.failures += damage.check_reading(journals / copy.name, copy)
    report.damaged_journals = len(made)
    report.torn_tails = sum(copy.missing is None for copy in made)
    report.failures += ask(damage.check_applied, folder / "damaged", made)


def _store_like_live(folder: Path, name: str) -> Path:
    """Make a store with the files that the live store's journals name; return its folder of journals."""
    layout = Layout(folder / name)
    ask(_make_store, layout.root)
    for part in ("blobs", "drafts"):
        shutil.copytree(folder / "live" / part, layout.root / part, dirs_exist_ok=True)
    ask(_undo_sealing, folder / "live", layout.root)
    journals = layout.host_journals(host_name())
    journals.mkdir(parents=True)
    return journals


def _undo_sealing(live: Path, root: Path) -> None:
    """Restore in a copy the files of the live store before sealing: run files as blobs, notes of drafts."""
    store = open_store(live)
    layout = Layout(root)
    blobs = BlobStore(layout)
    for pack in store.layout.list_packs():
        for content in read_index(pack):
            blobs.add_chunks(store.blobs.chunks(pack.stem, content.offset, content.size))
    with store.reading() as session:
        for state in session.scalars(select(Segment.state)):
            for token, digest in unpack_state(state).drafts.items():
                version = session.scalars(select(Version).where(Version.digest == digest)).first()
                if version is not None:
                    became = FinalizedDraft(version.manifest, digest, version.size, version.file_count)
                    receive_finalized(layout, token, became)
    store.close()


def _make_store(root: Path) -> None:
    open_store(root).close()
