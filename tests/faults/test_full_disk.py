"""Writes that the kernel refuses: logging neither raises nor blocks, and recovers by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import scripts
from sqlalchemy import select

import tracker
from tracker.ground.records import FileSaved, decode
from tracker.journal.format import HEADER
from tracker.journal.reader import Frame, read_frames
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote
from tracker.recorder.send import Sender
from tracker.recorder.spool import spool_of
from tracker.runstate.fold import unpack_state
from tracker.store.blobs.content import BlobStore
from tracker.store.catalog.models import Segment
from tracker.store.objects.layout import Layout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


SETTINGS = {"journal_only": True, "fsync_seconds": 0.05}
WRITER = """
import sys, tracker
run = tracker.init(project="p", id="run", settings={settings})
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Script:
    """A script that executes lines of code that a test sends to it."""

    def __init__(self, place: Path, code: str = WRITER) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, "-c", code.format(settings=SETTINGS)],
            cwd=place,
            env=scripts.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, line: str) -> None:
        """Execute a line in the script, and wait until it has returned."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "done\n":
            raise AssertionError(f"the script failed: {self.process.communicate()[1]}")

    def end(self, status: int = 0) -> str:
        """End the script; return its stderr."""
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == status, err
        assert "Traceback" not in err, err
        return err

    def journals(self) -> list[Path]:
        """Return the journal files of the script."""
        return [each.path for each in Layout(self.place / "tracker-store").list_journals()]


def read(place: Path, tmp_path: Path) -> tuple[list[int], tracker.api.api.Run]:
    """Return the values of ``x`` and the run, from a copy of the store on a disk with room for a catalog."""
    copy = tmp_path / "copy"
    shutil.copytree(place / "tracker-store", copy / "tracker-store")
    run = tracker.Api({"store": copy / "tracker-store"}).run("p/run")
    return [row["x"] for row in run.history(keys=["x"], pandas=False)], run


def fill(place: Path) -> Path:
    """Fill the file system completely."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


@pytest.fixture(params=["0", "0.05"], ids=["written immediately", "held back"])
def append_seconds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the rows of scripts immediately, or several rows with one write."""
    monkeypatch.setenv("TRACKER_APPEND_SECONDS", request.param)


@pytest.mark.usefixtures("append_seconds")
def test_rows_wait_in_memory_and_are_written_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    script = Script(small_disk)
    script.do("run.log({'x': 0})")
    # A journal that has only a header is replaced by one of the same name.
    scripts.wait_for(lambda: script.journals()[0].stat().st_size > HEADER.size, "a record in the journal")
    filler = fill(small_disk)
    script.do("[run.log({'x': at, 'pad': 'y' * 1000}) for at in range(1, 3000)]")
    script.do("[run.log({'x': at}, step=run.step, commit=True) for at in range(3000, 3010)]")
    filler.unlink()
    # The file system of 2 MB cannot hold 3 MB: some rows are written, the others wait for more room.
    assert subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)]).returncode == 0
    # The file may be there before there is room: it needs none while it is empty.
    scripts.wait_for(lambda: len(script.journals()) > 1, "a new file")
    script.do("run.log({'x': 3010})")
    said = script.end()
    assert said.count("cannot write to") == 1
    assert said.count("tracker: writing to") == 1
    assert "were lost" not in said
    seen, run = read(small_disk, tmp_path)
    assert seen == list(range(3011))
    assert run.state == "finished"
    assert any("no record was lost" in line for line in run._info.problems)


FORKING = """
import os, sys, tracker
run = tracker.init(project="p", id="run", settings={settings})
def fork():
    pid = os.fork()
    if pid == 0:
        [run.log({{"child": at}}) for at in range(10)]
        print("done", flush=True)
        sys.stdin.readline()
        run.log({{"child": 10}})
        run.journal.close()
        print("done", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


@pytest.mark.usefixtures("append_seconds")
def test_a_child_that_is_forked_while_the_disk_is_full_loses_nothing(
    small_disk: Path, tmp_path: Path
) -> None:
    script = Script(small_disk, FORKING)
    script.do("run.log({'x': 0})")
    filler = fill(small_disk)
    script.do("fork()")  # the child answers when it has logged
    assert len(script.journals()) == 1
    filler.unlink()
    scripts.wait_for(lambda: len(script.journals()) == 2, "the child's journal")
    script.do("")  # the child reads this line and ends
    script.end()
    copy = tmp_path / "copy"
    shutil.copytree(small_disk / "tracker-store", copy)
    store = open_store(copy)
    Follower(store).poll()
    with store.reading() as session:
        rows = [unpack_state(segment.state).rows for segment in session.scalars(select(Segment))]
    store.close()
    assert sorted(rows) == [1, 11]


@pytest.mark.slow
def test_records_beyond_the_memory_limit_are_counted(small_disk: Path, tmp_path: Path) -> None:
    script = Script(small_disk)
    script.do("run.log({'x': 0})")
    filler = fill(small_disk)
    script.do("[run.log({'x': at, 'pad': 'y' * 1000_000}) for at in range(1, 81)]")  # 80 MB
    assert subprocess.run(["mount", "-o", "remount,size=128m", str(small_disk)]).returncode == 0
    filler.unlink()
    scripts.wait_for(lambda: sum(path.stat().st_size for path in script.journals()) > 60e6, "the rows")
    script.do("run.log({'x': 81})")
    assert "records were lost" in script.end()
    seen, run = read(small_disk, tmp_path)
    kept = len(seen) - 2
    assert seen == [*range(kept + 1), 81]
    assert kept == 64 * 2**20 // 1_000_050
    (problem,) = (line for line in run._info.problems if "records were lost" in line)
    assert problem.startswith(f"{80 - kept} records were lost at ")
    assert "No space left on device" in problem or "disk full" in problem


@pytest.mark.usefixtures("append_seconds")
def test_a_disk_that_stays_full_is_reported_at_the_end(small_disk: Path, tmp_path: Path) -> None:
    script = Script(small_disk)
    script.do("run.log({'x': 0})")
    fill(small_disk)
    script.do("[run.log({'x': at, 'pad': 'y' * 1000}) for at in range(1, 10)]")
    said = script.end()
    assert "records could not be written" in said
    assert "All earlier records are safe" in said
    seen, run = read(small_disk, tmp_path)
    assert seen == list(range(len(seen)))
    assert run.state == "crashed"


def test_media_are_kept_in_memory_too(small_disk: Path, tmp_path: Path) -> None:
    script = Script(small_disk)
    script.do("run.log({'x': 0})")
    filler = fill(small_disk)
    script.do("run.log({'x': 1, 'table': tracker.Table(['a'], [['z' * 300_000]])})")
    filler.unlink()
    scripts.wait_for(lambda: len(script.journals()) > 1, "a new file")
    script.do("run.log({'x': 2})")
    script.end()
    seen, run = read(small_disk, tmp_path)
    assert seen == [0, 1, 2]
    table = run.history(keys=["table"], pandas=False)[0]["table"]
    content = BlobStore(Layout(tmp_path / "copy" / "tracker-store")).read(table["sha256"])
    assert content.count(b"z") == 300_000


def test_media_beyond_the_memory_limit_leave_other_rows_readable(small_disk: Path, tmp_path: Path) -> None:
    script = Script(small_disk)
    script.do("pass")  # returns when the run has started
    filler = fill(small_disk)
    script.do("run.log({'x': 0, 'table': tracker.Table(['a'], [['z' * 70_000_000]])})")
    filler.unlink()
    scripts.wait_for(lambda: len(script.journals()) > 1, "a new file")
    script.do("run.log({'x': 1})")
    assert "1 records were lost" in script.end()
    seen, run = read(small_disk, tmp_path)
    assert seen == [0, 1]
    assert any("1 records were lost" in line for line in run._info.problems)


def test_an_interrupt_while_the_backlog_is_written_neither_loses_nor_repeats_rows(
    small_disk: Path, tmp_path: Path
) -> None:
    """Ctrl-C in ``finish`` may interrupt the change to a new file at any point."""
    # Without the helper thread, finish writes the backlog.
    code = WRITER.replace("for line", "run._journal._writer._wake.set()\nfor line")
    script = Script(small_disk, code)
    script.do("run.log({'x': 0})")
    filler = fill(small_disk)
    script.do("[run.log({'x': at, 'pad': 'y' * 100}) for at in range(1, 2000)]")
    filler.unlink()
    interrupted = """
import signal
def again(number, frame):
    global rounds
    rounds += 1
    if rounds < 300: signal.setitimer(signal.ITIMER_REAL, 0.0002)
    while frame is not None and frame.f_code.co_name != 'flush': frame = frame.f_back
    if frame is not None: raise KeyboardInterrupt  # only where the loop below can catch it
rounds = 0
signal.signal(signal.SIGALRM, again)
signal.setitimer(signal.ITIMER_REAL, 0.0001)
while True:
    try:
        if run._journal._writer.flush(): break
    except KeyboardInterrupt: pass
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
"""
    script.do(f"exec({interrupted!r})")
    script.do("run.log({'x': 2000})")
    script.end()
    seen, run = read(small_disk, tmp_path)
    assert seen == list(range(2001))
    assert run.state == "finished"
    assert not [line for line in run._info.problems if "again" in line or "missing" in line]


@pytest.mark.parametrize("where", ["put", "_write_backlog", "sync", "close"])
def test_an_interrupt_in_finish_leaves_the_rest_to_the_end_of_the_process(
    small_disk: Path, tmp_path: Path, where: str
) -> None:
    """After a Ctrl-C while ``finish`` writes the records in memory, the script ends and nothing is lost."""
    code = WRITER.replace("for line", "run._journal._writer._wake.set()\nfor line")
    script = Script(small_disk, code)
    script.do("run.log({'x': 0})")
    filler = fill(small_disk)
    script.do("[run.log({'x': at, 'pad': 'y' * 100}) for at in range(1, 2000)]")
    filler.unlink()
    interrupted = """
import os, signal, sys
def interrupt(frame, event, argument):
    # A signal that a process sends to itself is handled before the first line of the called function.
    if event == 'call' and frame.f_code.co_name == {where!r} and 'tracker' in frame.f_code.co_filename:
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGINT)
sys.settrace(interrupt)
try: run.finish()
except KeyboardInterrupt: print('interrupted', file=sys.stderr)
sys.settrace(None)
"""
    script.do(f"exec({interrupted.format(where=where)!r})")
    said = script.end()
    assert said.count("interrupted") == 1
    assert "are lost" not in said
    seen, run = read(small_disk, tmp_path)
    assert seen == list(range(2000))
    assert run.state == "finished"
    assert not [line for line in run._info.problems if "again" in line or "missing" in line]


@contextmanager
def failing(
    script: Script, calls: str, error: str = "EIO", when: str = "1", only: Path | None = None
) -> Iterator[Path]:
    """Make system calls of a script on its journals fail, also on journals that it opens later.

    Args:
        script: The script.
        calls: Names of the system calls.
        error: Name of the error.
        when: Which calls fail: only the first (``1``), or all from the first (``1+``).
        only: Path of the only journal to affect.

    Yields:
        A file that lists the calls.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    first = script.journals()[0]
    journals = [first.with_name(first.name.replace("-000000.", f"-{number:06d}.")) for number in range(9)]
    tracer = subprocess.Popen(
        f"strace -f -o {(log := script.place / 'strace.log')} -e trace={calls}".split()
        + ["-e", f"inject={calls}:error={error}:when={when}"]
        + [part for each in (journals if only is None else [only]) for part in ("-P", str(each))]
        + ["-p", str(script.process.pid)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    lines = iter(tracer.stderr.readline, "")
    line = next((line for line in lines if "Requested path" not in line), "")  # it resolves links
    if "attached" not in line:
        pytest.skip(f"strace may not trace here: {line.strip()}")
    try:
        yield log
    finally:
        tracer.send_signal(signal.SIGINT)  # detaches from the script
        tracer.communicate(timeout=90)


@pytest.mark.parametrize(
    ("error", "text"), [("EROFS", "Read-only file system"), ("EDQUOT", "Disk quota exceeded")]
)
def test_a_file_system_that_refuses_all_writes_for_a_while(tmp_path: Path, error: str, text: str) -> None:
    """Neither a record nor a new file can be written. Logged rows are kept in memory and written later."""
    script = Script(tmp_path)
    script.do("run.log({'x': 0})")
    with failing(script, "write,openat", error, when="1+") as log:
        script.do("[run.log({'x': at}) for at in range(1, 50)]")
        scripts.wait_for(lambda: log.read_text().count("openat(") > 2, "attempts at a new file")
        assert len(script.journals()) == 1
        script.do("run.log({'x': 50})")
    scripts.wait_for(lambda: len(script.journals()) == 2, "a new file")
    script.do("run.log({'x': 51})")
    said = script.end()
    assert said.count("cannot write to") == said.count("tracker: writing to") == 1
    assert text in said
    seen, run = read(tmp_path, tmp_path)
    assert (seen, run.state) == (list(range(52)), "finished")
    assert any(f"{text}; no record was lost" in line for line in run._info.problems)


@pytest.mark.usefixtures("append_seconds")
def test_a_write_that_fails_goes_to_a_new_file(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.do("run.log({'x': 0})")
    with failing(script, "write,writev"):
        script.do("[run.log({'x': at}) for at in range(1, 50)]")
        scripts.wait_for(lambda: len(script.journals()) == 2, "a new file")
    script.do("run.log({'x': 50})")
    said = script.end()
    assert said.count("cannot write to") == said.count("tracker: writing to") == 1
    seen, run = read(tmp_path, tmp_path)
    assert (seen, run.state) == (list(range(51)), "finished")
    assert any("Input/output error; no record was lost" in line for line in run._info.problems)


def test_a_journal_that_cannot_be_synced_is_not_written_again(tmp_path: Path) -> None:
    """The kernel may drop data that it could not write, and report success for the next sync."""
    script = Script(tmp_path)
    script.do("run.log({'x': 0})")
    with failing(script, "fdatasync"):
        script.do("run.log({'x': 1})")
        scripts.wait_for(lambda: len(script.journals()) == 2, "a new file")
    old, new = script.journals()
    size = old.stat().st_size
    script.do("run.log({'x': 2})")
    assert old.stat().st_size == size
    assert "Input/output error (syncing" in script.end()
    seen, run = read(tmp_path, tmp_path)
    assert (seen, run.state) == ([0, 1, 2], "finished")
    assert any("Input/output error (syncing" in line for line in run._info.problems)
    assert new.stat().st_size > 32


def test_a_sync_that_fails_again_is_not_forgotten(tmp_path: Path) -> None:
    """A second failure within a minute does not open a new file: the file is synced again, later replaced."""
    patience = "import tracker.sdk.process.segment_writer as segment; segment.SYNC_PATIENCE = 5\nrun ="
    script = Script(tmp_path, WRITER.replace("run =", patience, 1))
    script.do("run.log({'x': 0})")
    with failing(script, "fdatasync"):
        script.do("run.log({'x': 1})")
        scripts.wait_for(lambda: len(script.journals()) == 2, "a new file")
    with failing(script, "fdatasync", only=script.journals()[-1]) as trace:
        script.do("run.log({'x': 2})")  # no later record would cause a sync
        scripts.wait_for(lambda: trace.read_text().count("fdatasync(") >= 2, "another sync")
        assert len(script.journals()) == 2
        scripts.wait_for(lambda: len(script.journals()) == 3, "a new file")
    assert script.end().count("Input/output error (syncing") == 2
    seen, run = read(tmp_path, tmp_path)
    assert (seen, run.state) == ([0, 1, 2], "finished")


def test_a_quiet_writer_touches_its_journal_between_rare_syncs(tmp_path: Path) -> None:
    often = "import tracker.sdk.process.segment_writer as segment; segment.TOUCH_SECONDS = 0\nrun ="
    code = WRITER.replace("run =", often, 1)
    script = Script(tmp_path, code.replace("{settings}", "{{'journal_only': True, 'fsync_seconds': 3000}}"))
    script.do("run.log({'x': 0})")
    (journal,) = script.journals()
    os.utime(journal, (0, 0))
    scripts.wait_for(lambda: journal.stat().st_mtime > 0, "a heartbeat")
    script.end()


MEDIA = """
import sys, tracker
run = tracker.init(project="p", id="run")
run.log({"x": 0, "table": tracker.Table(["a"], [["z" * 3000]])})
artifact = tracker.Artifact("a", "model")
with artifact.new_file("weights") as file: file.write("w")
run.log_artifact(artifact)
print("logged", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("outbox", [False, True])
def test_the_writer_syncs_files_that_no_recorder_here_applies(tmp_path: Path, outbox: bool) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    where = {"TRACKER_BASE_URL": "http://127.0.0.1:9"} if outbox else {"TRACKER_JOURNAL_ONLY": "1"}
    trace = tmp_path / "trace"
    script = subprocess.Popen(
        ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync", sys.executable, "-c", MEDIA],
        cwd=tmp_path,
        env=scripts.environment(**where),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert script.stdout is not None
    if script.stdout.readline() != "logged\n":
        pytest.skip(f"strace may not trace here: {script.communicate()[1]}")
    (journal,) = (tmp_path / "tracker-store").rglob("*.journal")
    blobs = [path for path in (tmp_path / "tracker-store").rglob("blobs/sha256/*") if path.is_file()]
    assert len(blobs) == 1  # the table
    drafts = list((tmp_path / "tracker-store").rglob("drafts/*/*"))
    assert {path.name for path in drafts} >= {"pack", "draft.json"}  # the artifact
    blobs += drafts
    wanted = {journal, journal.parent, *journal.parents[1:3], *blobs, *(path.parent for path in blobs)}
    scripts.wait_for(lambda: all(f"<{path}>" in trace.read_text() for path in wanted), "the syncs")
    script.communicate("\n", timeout=60)


def test_a_full_spool_is_written_again_when_the_mover_has_freed_it(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tracker.recorder.folder_target.RESERVED_BYTES", 64 * 1024)  # the disk is small
    monkeypatch.setattr("tracker.sdk.process.segment_writer.ensure_recorder", lambda _: False)
    for name, value in (("SPOOL", str(small_disk)), ("JOURNAL_ONLY", "1"), ("FINISH_SECONDS", "0")):
        monkeypatch.setenv(f"TRACKER_{name}", value)
    store, waiting = Layout(tmp_path / "tracker-store"), spool_of(small_disk, tmp_path / "tracker-store")
    run = tracker.init(project="p", settings={"fsync_seconds": 0.05, "x_disable_stats": True})
    sender = Sender(waiting, Remote(str(store.root), None))
    sender.poll(patient=False)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 400, 400, 3), np.uint8)
    for image in pixels[:3]:
        run.log({"image": tracker.Image(image)})
    artifact = tracker.Artifact("data", "dataset")
    artifact.add_file(__file__)
    run.log_artifact(artifact)
    with (small_disk / "other").open("wb", buffering=0) as other, pytest.raises(OSError, match="No space"):
        while True:  # another program takes the rest
            other.write(bytes(4096))
    run.log({"image": tracker.Image(pixels[3])})
    said = capsys.readouterr().err
    assert said.count(f"cannot write to {waiting.root}: No space left on device") == 1
    sender.poll(patient=False)
    assert "No space left" in str(sender.faults)
    sender.poll(patient=False)  # with the reserve
    assert sender.faults == {}
    said = ""

    def works_again() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "works again" in said

    scripts.wait_for(works_again, "the spool to be written again")
    run.finish()
    sender.poll(patient=False)
    assert sender.faults == {}
    sender.close()
    assert waiting.list_journals() == []
    named = [
        record.sha256
        for journal in store.list_journals()
        for frame in read_frames(journal.path, journal.segment, final=True)
        if isinstance(frame, Frame) and isinstance(record := decode(frame.payload), FileSaved)
    ]
    blobs = BlobStore(store)
    assert len(named) >= 4
    assert tracker.Api().artifact("p/data:v0").file_count == 1
    assert all(blobs.has(name) for name in named)
