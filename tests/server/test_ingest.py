"""Tests of receiving journals and blobs, without the client that usually sends them."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import scripts
from builders import Writer
from serving import Server, serving

from tracker.ground.records import ArtifactLogged, FileSaved, Process, Row, RunStarted, encode, pack
from tracker.journal.format import FRAME, HEADER, MARKER, MAX_PAYLOAD, pack_frame, pack_header
from tracker.journal.reader import Frame, read_frames
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.objects.layout import INGEST, Layout

BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that only receives. Each test sends its own segments."""
    with serving(tmp_path_factory.mktemp("receiving") / "store") as server:
        yield server
    assert server.errors == [], "".join(server.errors)


@pytest.fixture
def api(receiving: Server) -> Iterator[httpx.Client]:
    with receiving.client() as client:
        yield client


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return the folder of the sender's journals."""
    return Layout(tmp_path / "sender")


class Journal:
    """A journal of ten rows on the sender's side, with the address of its run."""

    def __init__(self, layout: Layout, *, finish: bool = True) -> None:
        self.segment = secrets.token_hex(16)
        self.name = f"{self.segment}-000000"
        self.run = f"/projects/team/demo/runs/run-{self.segment}"
        writer = Writer(layout, self.segment, f"run-{self.segment}")
        for value in range(10):
            writer.log({"x": value})
        if finish:
            writer.finish()
        self.data = writer.path.read_bytes()
        frames = read_frames(writer.path, self.segment, final=True)
        self.ends = [HEADER.size, *(frame.end for frame in frames if isinstance(frame, Frame))]


def post(
    api: httpx.Client, name: str, data: bytes, before: bytes = b"", **query: str | int
) -> httpx.Response:
    """Append ``data`` after the bytes ``before``, which were sent earlier."""
    asked = {"offset": len(before), "digest": hashlib.sha256(before).hexdigest(), **query}
    return api.post(f"/ingest/journals/{name}", params=asked, content=data, headers=BINARY)


def received(api: httpx.Client, name: str) -> dict[str, object]:
    """Return the state of a journal that the server reports."""
    answer: dict[str, object] = api.get(f"/ingest/journals/{name}").json()
    return answer


def state(data: bytes) -> dict[str, object]:
    """Return the state that the server should report."""
    return {"offset": len(data), "digest": hashlib.sha256(data).hexdigest(), "encodings": ["gzip"]}


def rows(api: httpx.Client, run: str) -> list[int]:
    """Return the values of a run that the server returns."""
    answer = api.get(f"{run}/history")
    return [row["x"] for row in answer.json()["rows"]] if answer.status_code == 200 else []


def taken(server: Server) -> set[Path]:
    """Return all files that senders can have created: journals, blobs, and files next to the store."""
    folders = (server.store.parent, server.store / "journals", server.store / "blobs")
    found = [path for folder in folders[1:] for path in folder.rglob("*")]
    return {*folders[0].iterdir(), *found}


def test_journal_is_received_frame_by_frame(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout)
    assert received(api, journal.name) == state(b"")
    sent = b""
    for end in journal.ends:
        piece = journal.data[len(sent) : end]
        answer = post(api, journal.name, piece, sent)
        sent += piece
        assert answer.status_code == 200
        assert answer.json() == state(sent)
    assert rows(api, journal.run) == list(range(10))
    assert api.get(journal.run).json()["state"] == "finished"


def test_row_is_visible_after_the_answer(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout)
    sent = journal.data[: journal.ends[6]]
    assert post(api, journal.name, sent).status_code == 200
    assert received(api, journal.name) == state(sent)
    # The last row stays open, because a later record may extend it.
    assert rows(api, journal.run)[:4] == [0, 1, 2, 3]
    assert api.get(journal.run).json()["state"] == "running"
    assert post(api, journal.name, journal.data[len(sent) :], sent).status_code == 200
    assert rows(api, journal.run) == list(range(10))


def test_non_continuing_data_is_a_conflict_and_not_stored(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout, finish=False)
    sent = journal.data[: journal.ends[3]]
    rest = journal.data[len(sent) :]
    assert post(api, journal.name, rest, sent).status_code == 409  # the server has no bytes yet
    assert post(api, journal.name, sent).status_code == 200
    for wrong in (
        post(api, journal.name, sent),
        post(api, journal.name, rest, sent, offset=len(sent) - 1),
        post(api, journal.name, rest, sent, offset=-1),
        post(api, journal.name, rest, sent, offset=10**30),
        post(api, journal.name, rest, sent, digest=hashlib.sha256(b"other").hexdigest()),
        post(api, journal.name, rest, sent, digest=""),
        post(api, journal.name, b"", sent, offset=0),
    ):
        assert wrong.status_code == 409
        assert wrong.json()["error"]["code"] == "conflict"
        assert received(api, journal.name) == state(sent)
    assert post(api, journal.name, rest, sent).status_code == 200


def test_only_whole_frames_are_accepted(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout, finish=False)
    sent = journal.data[: journal.ends[2]]
    assert post(api, journal.name, sent).status_code == 200
    rest = journal.data[len(sent) :]
    flipped = bytearray(rest)
    flipped[FRAME.size + 3] ^= 1
    skipped = journal.data[journal.ends[3] :]
    foreign = pack_frame(b"x", 2, 0)
    claim = FRAME.pack(MARKER, 2, MAX_PAYLOAD + 1, 0) + b"x" * 100
    for wrong in (rest[:-1], rest[1:], bytes(flipped), skipped, rest + rest, rest + b"\0", foreign, claim):
        answer = post(api, journal.name, wrong, sent)
        assert answer.status_code == 400
        assert "Send whole frames only" in answer.json()["error"]["message"]
        assert received(api, journal.name) == state(sent)
    assert post(api, journal.name, rest, sent).status_code == 200
    scripts.wait_for(lambda: rows(api, journal.run)[:9] == list(range(9)), "the rows")


def test_first_bytes_must_be_the_header_of_the_journal(
    api: httpx.Client, layout: Layout, receiving: Server
) -> None:
    journal, other = Journal(layout), Journal(layout)
    newer = bytearray(journal.data)
    newer[8] = 99
    for wrong, words in (
        (other.data, "does not begin with the header"),
        (journal.data[HEADER.size :], "does not begin with the header"),
        (b"", ""),
        (b"\0" * 100, "does not begin with the header"),
        (journal.data[:31], "does not begin with the header"),
        (pack_header(journal.segment, 1), "does not begin with the header"),
        (bytes(newer), "Upgrade airgap-tracker on the server"),
    ):
        answer = post(api, journal.name, wrong)
        if wrong:
            assert answer.status_code == 400
            assert words in answer.json()["error"]["message"]
        assert received(api, journal.name) == state(b"")
    assert not list(receiving.store.rglob(f"{journal.segment}*"))


@pytest.mark.parametrize(
    "name",
    [
        "journal",
        "0" * 32,
        f"{'0' * 32}-0",
        f"{'G' * 32}-000000",
        f"{'0' * 32}-000000.journal",
        f"{'0' * 32}-000000%0A",
        "..%2F..%2Fetc%2Fpasswd",
        "..",
        f"{'0' * 32}-00000x",
        "%00",
        "x" * 5000,
    ],
)
def test_invalid_journal_name_is_refused(api: httpx.Client, name: str, receiving: Server) -> None:
    files = taken(receiving)
    for answer in (api.get(f"/ingest/journals/{name}"), post(api, name, b"x")):
        assert answer.status_code in (400, 404, 405)
        assert set(answer.json()["error"]) == {"code", "message"}
    assert taken(receiving) - files == set()


def test_two_spellings_of_a_journal_name_are_one_journal(api: httpx.Client, layout: Layout) -> None:
    """Digits of other scripts are digits too. The server must not keep two records of one file."""
    journal = Journal(layout, finish=False)
    sent = journal.data[: journal.ends[3]]
    assert post(api, journal.name, sent).status_code == 200
    answer = api.get(f"/ingest/journals/{journal.segment}-{chr(0x660) * 6}")
    assert answer.status_code == 400 or answer.json() == state(sent)


@pytest.mark.parametrize("segment", ["0" * 31, "", "x", "0" * 32 + "-000000", "G" * 32, "%2E%2E"])
def test_invalid_segment_cannot_be_ended(api: httpx.Client, layout: Layout, segment: str) -> None:
    answer = api.post(f"/ingest/segments/{segment}/end", json={"state": "crashed"})
    assert answer.status_code in (400, 404, 405)


def test_ending_one_segment_does_not_change_others(api: httpx.Client, layout: Layout) -> None:
    ended, other = Journal(layout, finish=False), Journal(layout, finish=False)
    for journal in (ended, other):
        assert post(api, journal.name, journal.data).status_code == 200
    assert api.post(f"/ingest/segments/{ended.segment}/end", json={"state": "finished"}).status_code == 422
    for _ in range(2):
        answer = api.post(f"/ingest/segments/{ended.segment}/end", json={"state": "crashed"})
        assert answer.status_code == 200
        assert api.get(ended.run).json()["state"] == "crashed"
    assert rows(api, ended.run) == list(range(10))
    assert api.get(other.run).json()["state"] == "running"
    unknown = api.post(f"/ingest/segments/{'0' * 32}/end", json={"state": "crashed"})
    assert unknown.status_code == 200


def test_sign_of_life_clears_the_reason_of_a_silent_writer(tmp_path: Path, layout: Layout) -> None:
    reason = "no sign of life from node1 since 1970-01-01 00:00 UTC; that host may have more rows"
    journals = [Journal(layout, finish=False) for _ in range(3)]
    with serving(tmp_path / "store") as server, server.client() as api:

        def state_and_error(journal: Journal) -> tuple[str, str | None]:
            found = api.get(journal.run).json()
            return found["state"], found["error"]

        for journal in journals:
            sent = journal.data[: journal.ends[3]]
            assert post(api, journal.name, sent).status_code == 200
            os.utime(Layout(server.store).journal(INGEST, journal.segment, 0), (0.0, 0.0))
        store = open_store(server.store)
        Follower(store).poll()  # as `tracker sync` does
        store.close()
        assert [state_and_error(journal) for journal in journals] == [("crashed", reason)] * 3
        grows, lives, dies = journals
        for journal, data in ((grows, grows.data[grows.ends[3] :]), (lives, b"")):
            assert post(api, journal.name, data, journal.data[: journal.ends[3]]).status_code == 200
        assert api.post(f"/ingest/segments/{dies.segment}/end", json={"state": "crashed"}).status_code == 200
        assert state_and_error(grows) == ("running", None)
        assert state_and_error(dies) == ("crashed", None)
        scripts.wait_for(
            lambda: state_and_error(lives) == ("running", None), "the server to see the sign of life"
        )


def test_sealed_journal_can_be_sent_again(api: httpx.Client, layout: Layout, receiving: Server) -> None:
    journal = Journal(layout)
    assert post(api, journal.name, journal.data).status_code == 200
    for _ in range(2):
        scripts.wait_for(lambda: not list(receiving.store.rglob(f"{journal.name}.journal")), "sealing")
        assert received(api, journal.name) == state(b"")
        assert post(api, journal.name, journal.data).status_code == 200
    assert rows(api, journal.run) == list(range(10))
    assert api.get(journal.run).json()["attempts"] == 1


def test_concurrent_senders_of_one_journal_store_it_once(receiving: Server, layout: Layout) -> None:
    """Each sender sends the missing bytes. The server stores the journal once, in any order of senders."""
    journal = Journal(layout)
    failures: list[object] = []

    def send() -> None:
        with receiving.client() as client:
            for _ in range(200):
                here = int(str(received(client, journal.name)["offset"]))
                if here == len(journal.data) or client.get(journal.run).json().get("state") == "finished":
                    return
                end = min(end for end in journal.ends if end > here)
                answer = post(client, journal.name, journal.data[here:end], journal.data[:here])
                if answer.status_code not in (200, 409):
                    failures.append(answer.text)
            failures.append("the journal was never complete")

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with receiving.client() as client:
        assert rows(client, journal.run) == list(range(10))


def test_blobs_are_stored_by_digest(api: httpx.Client, receiving: Server) -> None:
    content = os.urandom(3_000_000)
    sha256 = hashlib.sha256(content).hexdigest()
    absent = hashlib.sha256(b"absent").hexdigest()
    ask = {"sha256": [sha256, absent]}
    assert api.post("/ingest/blobs/missing", json=ask).json() == {"missing": [sha256, absent]}
    wrong = api.put(f"/ingest/blobs/{absent}", content=content, headers=BINARY)
    assert wrong.status_code == 400
    assert wrong.json()["error"]["code"] == "bad_content"
    assert api.post("/ingest/blobs/missing", json=ask).json() == {"missing": [sha256, absent]}
    scripts.wait_for(lambda: not list((receiving.store / "tmp").iterdir()), "the temporary file to go")
    for _ in range(2):
        answer = api.put(f"/ingest/blobs/{sha256}", content=content, headers=BINARY)
        assert answer.status_code == 201
        assert answer.json() == {"sha256": sha256, "size": len(content)}
    assert api.post("/ingest/blobs/missing", json=ask).json() == {"missing": [absent]}
    path = Layout(receiving.store).blob(sha256)
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(
    "name", ["x", "..", "%2E%2E%2F%2E%2E", "A" * 64, "0" * 63, "0" * 65, "0" * 62 + "/x", chr(0x660) * 64]
)
def test_invalid_digest_is_refused(api: httpx.Client, name: str, receiving: Server) -> None:
    files = taken(receiving)
    assert api.put(f"/ingest/blobs/{name}", content=b"x", headers=BINARY).status_code in (400, 404, 405)
    assert api.post("/ingest/blobs/missing", json={"sha256": [name]}).status_code == 400
    assert taken(receiving) - files == set()


def test_disconnected_sender_leaves_no_file(receiving: Server, layout: Layout) -> None:
    """A connection that breaks inside a body leaves no blob, no partial journal and no temporary file."""
    journal = Journal(layout, finish=False)
    content = os.urandom(1000)

    def torn(data: bytes) -> Iterator[bytes]:
        yield data
        raise ConnectionError("the sender disconnected")

    with receiving.client() as api:
        digest = hashlib.sha256(b"").hexdigest()
        for method, path in (
            ("PUT", f"/ingest/blobs/{hashlib.sha256(content).hexdigest()}"),
            ("POST", f"/ingest/journals/{journal.name}?offset=0&digest={digest}"),
        ):
            with pytest.raises(ConnectionError):
                api.request(
                    method, path, content=torn(journal.data if method == "POST" else content), headers=BINARY
                )
    with receiving.client() as api:
        assert received(api, journal.name) == state(b"")
        scripts.wait_for(lambda: not list((receiving.store / "tmp").iterdir()), "the temporary file to go")
        assert post(api, journal.name, journal.data).status_code == 200


def test_too_large_body_is_refused(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout)
    answer = post(api, journal.name, journal.data + b"\0" * (MAX_PAYLOAD + 9 * 1024 * 1024))
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"
    assert received(api, journal.name) == state(b"")


def test_compressed_bytes_are_received(api: httpx.Client, layout: Layout) -> None:
    journal = Journal(layout)

    def post_packed(body: bytes, encoding: str = "gzip") -> int:
        asked: dict[str, str | int] = {"offset": 0, "digest": hashlib.sha256().hexdigest()}
        headers = {**BINARY, "Content-Encoding": encoding}
        return api.post(
            f"/ingest/journals/{journal.name}", params=asked, content=body, headers=headers
        ).status_code

    whole = gzip.compress(journal.data)
    assert post_packed(whole, "br") == 415
    bomb = gzip.compress(b"\0" * (MAX_PAYLOAD + 9 * 1024 * 1024))
    for damaged in (
        b"",
        b"no gzip",
        whole[:-1],
        whole + b"more",
        whole[:20] + b"\xff" * 9 + whole[29:],
        bomb,
    ):
        assert post_packed(damaged) == 400
    assert received(api, journal.name) == state(b"")
    assert post_packed(whole) == 200
    assert received(api, journal.name) == state(journal.data)
    assert rows(api, journal.run) == list(range(10))


HOSTILE = {
    "not a record": b"\xc1",
    "an unknown kind": encode([99, 1]),
    "a row before its run": pack(Row(0, 0, 1, 1.0, {"x": 1})),
    "an invalid time": encode(RunStarted("team", "demo", "nan", math.nan, Process("h", "b", 1, 1, 1))),
    "a step beyond 64 bits": encode(Row(0, 2**64 - 1, 1, 1.0, {"x": 1})),
    "a file outside": encode(FileSaved("a", "../../../etc/passwd", 1, "text/plain")),
    "a draft outside": encode(
        ArtifactLogged("a", "t", "", "", 0, 0, [], "c", 1.0, draft="../../../../victim")
    ),
    "an endless name": pack(RunStarted("team", "demo", "n" * 5000, 1.0, Process("h", "b", 1, 1, 1))),
    "names that are paths": pack(
        RunStarted("..", "../../..", "../../../../up", 1.0, Process("h", "b", 1, 1, 1), name="<b>\0\n")
    ),
    "an artifact without a manifest": pack(
        RunStarted("team", "demo", "bare", 1.0, Process("h", "b", 1, 1, 1))
    ),
    "a deep nest": pack(RunStarted("team", "demo", "deep", 1.0, Process("h", "b", 1, 1, 1))),
}


@pytest.mark.parametrize("what", list(HOSTILE))
def test_harmful_journal_affects_only_itself(
    api: httpx.Client, layout: Layout, receiving: Server, what: str
) -> None:
    """Well-formed frames with content that no SDK writes. The server still accepts and applies others."""
    segment = "00000" + secrets.token_hex(16)[5:]  # sorts before all others, so the follower reads it first
    seed_frames = [HOSTILE[what]]
    if what == "an artifact without a manifest":
        record = ArtifactLogged("bare", "t", "d" * 32, "ab" * 32, 1, 1, ["latest"], "client", 1.0)
        seed_frames.append(pack(record))
    if what == "a deep nest":
        seed_frames.append(
            b"\x95\x02\x00\x00\x01\xcb" + b"\0" * 8 + b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0"
        )
    from tracker.journal.format import checksum_seed

    data = pack_header(segment, 0) + b"".join(
        pack_frame(payload, at, checksum_seed(segment)) for at, payload in enumerate(seed_frames)
    )
    outside = sorted(receiving.store.parent.iterdir())
    answer = post(api, f"{segment}-000000", data)
    assert answer.status_code in (200, 400), answer.text
    good = Journal(layout)
    assert post(api, good.name, good.data).status_code == 200
    assert rows(api, good.run) == list(range(10))
    # The follower continues too: it seals ended segments, and wakes waiting requests.
    scripts.wait_for(lambda: not list(receiving.store.rglob(f"{good.name}.journal")), "sealing")
    assert api.get("/projects").status_code == 200
    assert api.get("/projects/team/demo/runs").status_code == 200
    assert sorted(receiving.store.parent.iterdir()) == outside
    for journal in receiving.store.rglob(f"{segment}*.journal"):
        journal.unlink()


def test_journal_torn_by_a_crash_is_cut_and_completed(tmp_path: Path, layout: Layout) -> None:
    journal = Journal(layout, finish=False)
    server = Server(tmp_path / "store")
    with server.client() as api:
        assert post(api, journal.name, journal.data).status_code == 200
    server.kill()
    (copy,) = (tmp_path / "store").rglob(f"{journal.name}.journal")
    for torn in (journal.ends[5] + 7, 10, 0):
        os.truncate(copy, torn)
        kept = journal.data[: max((end for end in journal.ends if end <= torn), default=0)]
        server = server.again()
        with server.client() as api:
            assert received(api, journal.name) == state(kept)
            assert post(api, journal.name, journal.data[len(kept) :], kept).status_code == 200
            assert received(api, journal.name) == state(journal.data)
            assert copy.read_bytes() == journal.data
            assert api.post(f"/ingest/segments/{'1' * 32}/end", json={"state": "crashed"}).status_code == 200
            assert rows(api, journal.run)[:9] == list(range(9))
            assert api.get(journal.run).json()["problems"] == []
        server.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield the folder of a file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path, layout: Layout) -> None:
    journal = Journal(layout, finish=False)
    sent = journal.data[: journal.ends[4]]
    with serving(small_disk / "store") as server, server.client() as api:
        assert post(api, journal.name, sent).status_code == 200
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while file.write(b"\0" * 4096):
                pass
        large = Journal(layout, finish=False)
        content = b"blob" * 500_000
        blob = f"/ingest/blobs/{hashlib.sha256(content).hexdigest()}"
        for answer in (
            post(api, large.name, large.data),
            api.put(blob, content=content, headers=BINARY),
        ):
            assert answer.status_code == 507
            error = answer.json()["error"]
            assert error == {
                "code": "storage",
                "message": "The server cannot write to its store: No space left on device.",
            }
        assert received(api, large.name) == state(b"")
        assert received(api, journal.name) == state(sent)
        assert api.get("/health").status_code == 200
        assert rows(api, journal.run)[:2] == [0, 1]
        ballast.unlink()
        assert post(api, journal.name, journal.data[len(sent) :], sent).status_code == 200
        assert post(api, large.name, large.data).status_code == 200
        assert api.put(blob, content=content, headers=BINARY).status_code == 201
        for each in (journal, large):
            scripts.wait_for(lambda each=each: rows(api, each.run)[:9] == list(range(9)), "the rows")
