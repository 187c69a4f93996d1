"""The journal writer: what it puts on the disk, and what a failed write does to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.errors import JournalError
from tracker.journal.format import FRAME, HEADER, MAX_PAYLOAD
from tracker.journal.reader import Frame, NotYet, TornTail, read_frames, read_header
from tracker.journal.writer import JournalWriter

SEGMENT = "5e" * 16
ROOT = Path(__file__).resolve().parents[2]


def payloads(path: Path) -> list[bytes]:
    return [
        outcome.payload
        for outcome in read_frames(path, SEGMENT, sequence=None, final=True)
        if isinstance(outcome, Frame)
    ]


def test_appended_frames_are_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, SEGMENT, index=3, sequence=10)
    assert read_header(path) == (SEGMENT, 3, 1)
    assert writer.append(b"first") == HEADER.size + FRAME.size + 5 == path.stat().st_size
    assert writer.append(b"") == path.stat().st_size
    assert (writer.sequence, writer.offset) == (12, path.stat().st_size)
    outcomes = list(read_frames(path, SEGMENT, sequence=10, final=False))
    assert [each.sequence for each in outcomes if isinstance(each, Frame)] == [10, 11]
    writer.close()
    writer.close()  # a second call does nothing


def test_records_survive_sigkill_of_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    code = (
        "import os, signal, sys; from pathlib import Path; from tracker.journal.writer import JournalWriter\n"
        "writer = JournalWriter(Path(sys.argv[1]), sys.argv[2])\n"
        "for at in range(50): writer.append(b'%d' % at)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path), SEGMENT], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert payloads(path) == [b"%d" % at for at in range(50)]


def test_existing_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(b"somebody's")
    with pytest.raises(JournalError, match="File exists") as raised:
        JournalWriter(path, SEGMENT)
    assert raised.value.operation == "open"
    assert path.read_bytes() == b"somebody's"


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        JournalWriter(tmp_path / "nowhere" / "a.journal", SEGMENT)


def test_too_large_payload_leaves_the_writer_usable(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, SEGMENT)
    writer.append(b"before")
    with pytest.raises(JournalError, match=f"has {MAX_PAYLOAD + 1} bytes; the limit is {MAX_PAYLOAD}"):
        writer.append(bytes(MAX_PAYLOAD + 1))
    assert not writer.poisoned
    writer.append(b"behind")
    writer.close()
    assert payloads(path) == [b"before", b"behind"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tracker.errors import JournalError
from tracker.journal.writer import JournalWriter

path, segment, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails with EFBIG instead
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    writer = JournalWriter(path, segment)
except JournalError as error:
    print("made:", error.reason)
    sys.exit()
for payload in (b"x" * 50, b"y" * 50, b"z"):
    try:
        writer.append(payload)
    except JournalError as error:
        print(writer.poisoned, writer.sequence, error.offset, error.reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
try:
    writer.append(b"room again")
except JournalError as error:
    print("still:", error.reason)
"""


def limited(path: Path, limit: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), SEGMENT, str(limit)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_short_write_poisons(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    first = HEADER.size + FRAME.size + 50
    assert limited(path, first + 30) == [
        f"True 1 {first} only 30 of 70 bytes were written (disk full?)",
        f"True 1 {first} an earlier write failed",
        "still: an earlier write failed",
    ]
    assert path.stat().st_size == first + 30  # nothing was added behind the short write
    *kept, torn = read_frames(path, SEGMENT, sequence=0, final=True)
    assert [each.payload for each in kept if isinstance(each, Frame)] == [b"x" * 50]
    assert torn == TornTail(first, 30, "the frame is cut off")


def test_failed_write_poisons(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    first = HEADER.size + FRAME.size + 50
    assert limited(path, first) == [
        f"True 1 {first} File too large",
        f"True 1 {first} an earlier write failed",
        "still: an earlier write failed",
    ]
    assert payloads(path) == [b"x" * 50]


def test_header_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    assert limited(path, 10) == ["made: only 10 of 32 bytes were written (disk full?)"]
    assert read_header(path) is None


def test_full_disk_poisons(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.symlink_to("/dev/full")
    with pytest.raises(JournalError, match="File exists"):  # O_EXCL refuses a link as well
        JournalWriter(path, SEGMENT)
    path.unlink()
    writer = JournalWriter(path, SEGMENT)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._fd)  # the disk fills up under the open file
    os.close(full)
    with pytest.raises(JournalError, match="No space left on device"):
        writer.append(b"lost")
    assert writer.poisoned
    assert (writer.sequence, writer.offset) == (0, HEADER.size)
    with pytest.raises(JournalError, match="an earlier write failed"):
        writer.append(b"refused")
    writer.close()


def test_failed_sync_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, SEGMENT)
    writer.append(b"kept")
    ours, theirs = os.pipe()  # a pipe cannot be forced to a disk
    os.dup2(theirs, writer._fd)
    for descriptor in (ours, theirs):
        os.close(descriptor)
    with pytest.raises(JournalError, match=r"cannot sync journal .* Invalid argument"):
        writer.sync()
    writer.close()
    assert payloads(path) == [b"kept"]


def test_closed_writer_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, SEGMENT)
    writer.close()
    with pytest.raises(JournalError, match="Bad file descriptor"):
        writer.append(b"late")
    assert list(read_frames(path, SEGMENT, final=False)) == [NotYet(HEADER.size, 0)]


def test_new_file_continues_with_the_next_sequence_number(tmp_path: Path) -> None:
    first = JournalWriter(tmp_path / "0.journal", SEGMENT)
    first.append(b"zero")
    first.sync()
    first.close()
    second = JournalWriter(tmp_path / "1.journal", SEGMENT, 1, first.sequence)
    second.append(b"one")
    second.close()
    outcomes = list(read_frames(tmp_path / "1.journal", SEGMENT, sequence=1, final=True))
    assert [each.sequence for each in outcomes if isinstance(each, Frame)] == [1]


def test_touch_is_a_sign_of_life(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(path, SEGMENT)
    os.utime(path, (1, 1))
    writer.touch()
    assert path.stat().st_mtime > 1_000_000_000
    assert path.stat().st_size == HEADER.size
    spare = writer.duplicate()
    assert os.fstat(spare).st_ino == path.stat().st_ino
    os.close(spare)
    writer.close()
    writer.touch()  # nothing to say any more, nothing raised
