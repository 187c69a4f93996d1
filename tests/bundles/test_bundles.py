"""A bundle carries runs with their artifacts to another store, once and completely or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import PROJECT, START, Writer, log_every_kind, seal_all
from serving import COMMAND
from sqlalchemy import select
from store_contents import assert_same, content_of

from tracker.bundles.bundle_file import DIGEST_SIZE, HEADER, MAGIC, VERSION, BundleFile
from tracker.bundles.manifest import BundledJournal, BundleError, Manifest
from tracker.bundles.staging import Staging
from tracker.cli.main import main
from tracker.ground.records import ArtifactChanged, Process, Row, RunFinished, RunStarted, pack
from tracker.journal.format import checksum_seed, pack_frame, pack_header
from tracker.recorder.follow import Follower
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import Alias, Run, Segment, Version
from tracker.store.ingest.deletion import delete_run
from tracker.store.ingest.run_edits import apply_edit, make_edit
from tracker.store.queries import runs
from tracker.store.store import Store

FILES = {"notes.txt": b"some notes", "more/other.txt": b"other", "big.bin": b"x" * 100_000}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "A")
    log_every_kind(store, "run1", "run2", files=FILES)
    Follower(store).poll()
    yield store
    store.close()


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test changes."""
    store = open_store(tmp_path_factory.mktemp("bundled") / "A")
    log_every_kind(store, "run1", "run2", files=FILES)
    Follower(store).poll()
    store.close()
    return bundle(store)


def bundle(store: Store, *arguments: str, name: str = "out.tbundle") -> Path:
    path = store.root.parent / name
    main(["bundle", "create", "--store", str(store.root), "-e", "team", "-o", str(path), *arguments])
    return path


def load(path: Path, *arguments: str, to: str = "B") -> Path:
    root = path.parent / to
    main(["bundle", "import", str(path), "--store", str(root), *arguments])
    return root


def edit(store: Store, run_id: str, notes: str) -> None:
    apply_edit(store, make_edit("team", PROJECT, run_id, {"notes": notes}))


def refused(*arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
    return ended.value.code


def files_of(root: Path) -> dict[str, bytes]:
    """Return the contents of a store's files about runs, artifacts and contents."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("runs", "artifacts", "blobs", "journals")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def test_a_bundle_carries_everything_and_a_second_import_changes_nothing(
    source: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(source)
    root = load(path)
    assert "2 runs copied, 0 already there" in capsys.readouterr().out
    assert_same(content_of(root), content_of(source.root))
    before = files_of(root)
    load(path)
    assert "0 runs copied, 2 already there" in capsys.readouterr().out
    assert files_of(root) == before
    assert not list((root / "tmp").iterdir())


def test_a_run_without_an_end_is_crashed_on_the_other_side(source: Store) -> None:
    from tracker.store.ingest.apply import finish_segment

    writer = Writer(source.layout, "dd" * 16, "killed")
    writer.log({"loss": 1})
    Follower(source).poll()
    finish_segment(source, "dd" * 16, "crashed")
    seal_all(source)
    root = load(bundle(source, f"team/{PROJECT}/killed"))
    found = content_of(root)
    assert list(found) == [f"team/{PROJECT}/killed"]
    assert_same(found, {name: each for name, each in content_of(source.root).items() if name in found})
    assert found[f"team/{PROJECT}/killed"]["detail"]["state"] == "crashed"


@pytest.mark.slow
def test_since_last_leaves_out_what_the_other_side_has(
    source: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first = bundle(source)
    root = load(first)
    capsys.readouterr()
    assert not bundle(source, "--since-last", name="empty").exists()
    assert "Nothing new" in capsys.readouterr().out
    writer = Writer(source.layout, "dd" * 16, "later", start=START + 500)
    writer.file("big.bin", FILES["big.bin"])
    writer.file("new.txt", b"new")
    writer.artifact("model", {"weights": b"3"})
    writer.finish()
    Follower(source).poll()
    edit(source, "run2", "an edit")
    second = bundle(source, "--since-last", "--json", name="second")
    described = json.loads(capsys.readouterr().out)
    assert (described["segments"], described["left_out_contents"]) == (3, 1)
    assert described["contents"] == 3  # new.txt, weights, and the manifest
    load(second)
    assert_same(content_of(root), content_of(source.root))
    # A store without the first bundle does not have the content that the second one leaves out.
    message = refused("bundle", "import", str(second), "--store", str(second.parent / "C"))
    assert "1 contents" in message
    assert "Import that bundle first" in message
    assert content_of(second.parent / "C") == {}


def test_only_the_named_runs_are_in_a_bundle(source: Store) -> None:
    root = load(bundle(source, "-q", "id:run2"))
    assert list(content_of(root)) == [f"team/{PROJECT}/run2"]


def _wrong(manifest: Manifest, **fields: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(manifest, **fields))


def _parts(path: Path) -> tuple[Manifest, bytes]:
    data = path.read_bytes()
    length = HEADER.unpack(data[: HEADER.size])[3]
    manifest = msgspec.json.decode(data[HEADER.size :][:length], type=Manifest)
    return manifest, data[HEADER.size + length : -DIGEST_SIZE]


def _join(path: Path, manifest: bytes, members: bytes) -> Path:
    data = HEADER.pack(MAGIC, VERSION, 0, len(manifest)) + manifest + members
    path.write_bytes(data + hashlib.sha256(data).digest())
    return path


def test_a_damaged_bundle_is_refused_at_every_byte(bundled: Path, tmp_path: Path) -> None:
    data = bundled.read_bytes()
    broken = tmp_path / "broken"
    step = max(1, len(data) // 60)
    for at in [*range(0, len(data), step), len(data) - 1]:
        for wrong in (data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :], data[:at]):
            broken.write_bytes(wrong)
            with pytest.raises(BundleError), Staging(tmp_path / "staging") as staging:
                BundleFile(broken, staging).verify()
    for wrong in (data + b"x", data[:-1], b"", data[:-50] + bytes(50)):
        broken.write_bytes(wrong)
        refused("bundle", "import", str(broken), "--store", str(tmp_path / "B"))
    assert not list((tmp_path / "staging").iterdir())
    store = open_store(tmp_path / "B")
    with store.reading() as session:
        assert (session.scalars(select(Run)).all(), session.scalars(select(Segment)).all()) == ([], [])
    store.close()
    assert not list((tmp_path / "B" / "tmp").iterdir())
    assert files_of(tmp_path / "B") == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: {"journals": [msgspec.structs.replace(m.journals[0], size=2**60), *m.journals[1:]]},
            "free",
        ),
        (
            lambda m: {"contents": [msgspec.structs.replace(m.contents[0], size=2**60), *m.contents[1:]]},
            "is damaged",
        ),
        (lambda m: {"contents": m.contents[:-1]}, "more data than its manifest lists"),
        (lambda m: {"runs": m.runs[1:]}, "not listed"),
        (lambda m: {"origin": "../../x"}, "its manifest is invalid"),
        (lambda m: {"journals": [BundledJournal("../../etc", 1, "0" * 64)]}, "its manifest is invalid"),
        (lambda m: {"format": 2}, "upgrade airgap-tracker"),
    ],
)
def test_a_manifest_cannot_lead_the_reader_astray(
    bundled: Path, tmp_path: Path, change: Any, message: str
) -> None:
    manifest, members = _parts(bundled)
    wrong = _join(tmp_path / "wrong", _wrong(manifest, **change(manifest)), members)
    assert message in refused("bundle", "import", str(wrong), "--store", str(tmp_path / "B"))
    assert files_of(tmp_path / "B") == {}


def _bundle_of(path: Path, records: list[Any]) -> Path:
    """Write a bundle with one journal of any records."""
    import pyarrow as pa

    segment = "ee" * 16
    journal = pack_header(segment, 0)
    for sequence, record in enumerate(records):
        journal += pack_frame(pack(record), sequence, checksum_seed(segment))
    started = records[0]
    manifest = {
        "format": 1,
        "bundle": "ab" * 16,
        "created_at": 1.0,
        "store": "",
        "origin": "A",
        "after": [],
        "runs": [
            {
                "entity": getattr(started, "entity", ""),
                "project": getattr(started, "project", ""),
                "id": getattr(started, "run_id", ""),
                "segments": [segment],
                "ended": True,
            }
        ],
        "journals": [
            {"segment": segment, "size": len(journal), "sha256": hashlib.sha256(journal).hexdigest()}
        ],
        "contents": [],
        "needs": [],
    }
    return _join(path, msgspec.json.encode(manifest), pa.compress(journal, "zstd", asbytes=True))


BEGIN = RunStarted("team", "demo", "evil", START, Process("h", "b", 1, 1, 1))
END = RunFinished(START + 1, "finished")


@pytest.mark.parametrize(
    "records",
    [
        [Row(1, 0, 1, START, {"x": 1}), END],
        [RunStarted("..", "demo", "a/b", START, Process("h", "b", 1, 1, 1)), END],
        [BEGIN, ArtifactChanged("team", "demo", "model", 0, "", START + 9, deleted=True), END],
        [BEGIN, BEGIN, END],
    ],
)
def test_records_that_no_copied_run_has_are_refused(tmp_path: Path, records: list[Any]) -> None:
    wrong = _bundle_of(tmp_path / "wrong", records)
    assert "cannot be imported" in refused("bundle", "import", str(wrong), "--store", str(tmp_path / "B"))
    assert content_of(tmp_path / "B") == {}


def test_another_run_with_the_same_id_and_deleted_runs_stay_as_they_are(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(source)
    root = load(path)
    store = open_store(root)
    delete_run(store, "team", PROJECT, "run2")
    store.close()
    capsys.readouterr()
    load(path)
    assert f"team/{PROJECT}/run2: not copied, because the run was deleted there" in capsys.readouterr().out
    other = open_store(tmp_path / "C")
    writer = Writer(other.layout, "dd" * 16, "run1")
    writer.finish()
    Follower(other).poll()
    other.close()
    with pytest.raises(SystemExit):
        load(path, to="C")
    assert f"another run team/{PROJECT}/run1 exists" in capsys.readouterr().err
    found = content_of(tmp_path / "C")
    assert list(found[f"team/{PROJECT}/run1"]["rows"]) == ["dd" * 16]
    assert f"team/{PROJECT}/run2" in found


def _aliases(root: Path) -> dict[str, tuple[int, str]]:
    store = open_store(root, create=False)
    with store.reading() as session:
        query = select(Alias.alias, Version.index, Version.digest).join(
            Version, Version.id == Alias.version_id
        )
        found = {alias: (number, digest) for alias, number, digest in session.execute(query)}
    store.close()
    return found


def test_versions_keep_their_numbers_and_taken_numbers_are_renamed(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = _aliases(source.root)
    other = open_store(tmp_path / "B")
    writer = Writer(other.layout, "dd" * 16, "own", start=START + 50)
    same = writer.artifact("model", {"weights": b"1"}, ["latest"])
    own = writer.artifact("model", {"weights": b"9"}, ["latest", "best"])
    writer.finish()
    Follower(other).poll()
    other.close()
    load(bundle(source))
    out = capsys.readouterr().out
    assert f"team/{PROJECT}/model:v1: becomes v2, which is new, with the alias A-v1" in out
    found = _aliases(tmp_path / "B")
    # v0 has the same content in both stores. The other store logged its own v1 later.
    assert found == {
        "first": (0, same.digest),
        "best": (1, own.digest),
        "A-v1": (2, here["best"][1]),
        "latest": (1, own.digest),
    }
    assert here["first"] == (0, same.digest)


def test_a_version_keeps_its_number_without_the_versions_before_it(source: Store) -> None:
    writer = Writer(source.layout, "dd" * 16, "later", start=START + 500)
    writer.artifact("model", {"weights": b"3"}, ["prod"])
    writer.finish()
    Follower(source).poll()
    later = bundle(source, "later", name="later")
    root = load(later)
    assert {name: number for name, (number, _) in _aliases(root).items()} == {"prod": 2, "latest": 2}
    load(bundle(source))
    assert {name: number for name, (number, _) in _aliases(root).items()} == {
        "prod": 2,
        "latest": 2,
        "first": 0,
        "best": 1,
    }


def test_confirm_records_what_arrived_and_frees_only_complete_runs(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(source)
    load(path, "--receipt", str(tmp_path / "receipt.json"))
    # run2 changes after the bundle was made: the other side does not have all of it.
    edit(source, "run2", "later")
    main(["bundle", "confirm", str(tmp_path / "receipt.json"), "--store", str(source.root)])
    assert "arrived" in capsys.readouterr().out
    free = ["bundle", "confirm", str(tmp_path / "receipt.json"), "--store", str(source.root), "--free"]
    main([*free, "--dry-run"])
    assert f"team/{PROJECT}/run1: would be deleted" in capsys.readouterr().out
    main(free)
    assert f"tracker rm --undo team/{PROJECT}/run1" in capsys.readouterr().out
    assert [name for name in content_of(source.root) if "/run" in name] == [f"team/{PROJECT}/run2"]
    main(["rm", "--undo", f"team/{PROJECT}/run1", "--store", str(source.root)])
    assert_same(content_of(source.root), content_of(source.root))
    assert f"team/{PROJECT}/run1" in content_of(source.root)


@pytest.mark.slow
def test_a_receipt_makes_the_next_bundle_exact(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = open_store(tmp_path / "B")
    Writer(other.layout, "dd" * 16, "run1").finish()
    Follower(other).poll()
    other.close()
    path = bundle(source)
    with pytest.raises(SystemExit):
        load(path)  # another run has the id of run1
    main(["bundle", "confirm", f"{path}.receipt.json", "--store", str(source.root)])
    assert "arrived in part" in capsys.readouterr().out
    bundle(source, "--since-last", "--json", name="second")
    assert json.loads(capsys.readouterr().out)["segments"] == 3  # run1: two attempts, and its files and uses
    assert "was not made from" in refused(
        "bundle", "confirm", f"{path}.receipt.json", "--store", str(tmp_path / "B")
    )


@pytest.mark.slow
def test_moved_runs_follow_their_moves(source: Store, tmp_path: Path) -> None:
    from tracker.store.ingest.moves import move_run

    root = load(bundle(source))
    move_run(source, "team", PROJECT, "run2", None, "elsewhere")
    load(bundle(source, name="second"))
    store = open_store(root, create=False)
    with store.reading() as session:
        assert runs.run_detail(session, "team", "elsewhere", "run2").id == "run2"
    # A move on the other side stays.
    move_run(store, "team", PROJECT, "run1", None, "kept")
    store.close()
    edit(source, "run1", "later")
    load(bundle(source, name="third"))
    store = open_store(root, create=False)
    with store.reading() as session:
        assert runs.run_detail(session, "team", "kept", "run1").notes == "later"
        assert len(session.scalars(select(Run)).all()) == 2
    store.close()


def keygen(path: Path) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True, timeout=60
    )
    return path


def sign(key: Path, file: Path) -> None:
    signature = file.with_name(f"{file.name}.sig")
    signature.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "tracker-bundle", "-f", str(key), str(file)],
        check=True,
        timeout=60,
    )
    assert signature.is_file()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_only_a_bundle_with_a_valid_signature_is_imported(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bundle(source)
    key, other = keygen(tmp_path / "key"), keygen(tmp_path / "other")
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"alice@lab {key.with_suffix('.pub').read_text()}")
    wanted = (
        "bundle",
        "import",
        str(path),
        "--store",
        str(tmp_path / "B"),
        "--verify-signature",
        str(allowed),
    )
    assert "does not exist" in refused(*wanted)
    sign(other, path)
    assert "is not signed by a key in" in refused(*wanted)
    sign(key, path)
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    assert "the signature" in refused(*wanted)
    assert not (tmp_path / "B").exists()
    path.write_bytes(data)
    main([*wanted])
    assert "signed by alice@lab" in capsys.readouterr().out
    assert_same(content_of(tmp_path / "B"), content_of(source.root))


def test_an_encrypted_bundle_is_imported_with_its_key(source: Store, tmp_path: Path) -> None:
    pyrage = pytest.importorskip("pyrage")
    mine, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    (tmp_path / "mine").write_text(f"# created by a test\n{mine}\n")
    (tmp_path / "other").write_text(f"{other}\n")
    assert "Invalid recipient" in refused(
        "bundle", "create", "--store", str(source.root), "-o", str(tmp_path / "x"), "--recipient", "age1x"
    )
    path = bundle(source, "--recipient", str(mine.to_public()))
    assert b"TRKBNDL" not in path.read_bytes()
    load_it = ("bundle", "import", str(path), "--store", str(tmp_path / "B"))
    assert "is encrypted" in refused(*load_it)
    assert "cannot be decrypted" in refused(*load_it, "--identity", str(tmp_path / "other"))
    main([*load_it, "--identity", str(tmp_path / "mine")])
    assert_same(content_of(tmp_path / "B"), content_of(source.root))
    assert not list((tmp_path / "B" / "tmp").iterdir())
    assert not list((source.root / "tmp").iterdir())


def test_encryption_without_its_package_says_how_to_get_it(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    line = refused(
        "bundle", "create", "--store", str(source.root), "-o", str(tmp_path / "x"), "--recipient", "age1x"
    )
    assert "pip install 'airgap-tracker[encryption]'" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_an_import_that_is_killed_again_and_again_is_completed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "A")
    for number in range(12):
        writer = Writer(store.layout, f"{number:032x}", f"run{number}", start=START + 100 * number)
        for value in range(50):
            writer.log({"loss": value})
        writer.file("own.bin", bytes([number]) * 300_000)
        writer.artifact("model", {"weights": b"%d" % number * 1000}, ["latest", f"of-{number}"])
        writer.finish()
    Follower(store).poll()
    store.close()
    path = tmp_path / "out.tbundle"
    main(["bundle", "create", "--store", str(tmp_path / "A"), "-o", str(path)])
    root = tmp_path / "B"
    stages: list[tuple[str, int]] = [
        ("tmp/*", 5),
        ("blobs/sha256/*", 3),
        ("blobs/sha256/*", 20),
        ("journals/@bundle/*", 1),
        ("runs/*/*/*/run.json", 3),
        ("artifacts/*/*/*/versions/*", 6),
        ("runs/*/*/*/run.json", 9),
    ]
    killed = 0
    for pattern, count in stages:
        child = subprocess.Popen(
            [*COMMAND, "bundle", "import", str(path), "--store", str(root)], stdout=subprocess.DEVNULL
        )
        while child.poll() is None and len(list(root.glob(pattern))) < count:
            pass
        child.kill()
        killed += child.wait() != 0
    assert killed >= 4
    main(["bundle", "import", str(path), "--store", str(root)])
    assert_same(content_of(root), content_of(tmp_path / "A"))
    receipt = json.loads((tmp_path / "out.tbundle.receipt.json").read_text())
    assert receipt["complete"]
    assert len(receipt["segments"]) == 24
    assert not list((root / "journals").rglob("*.journal"))


def test_files_that_cannot_be_written_are_one_line_and_change_nothing(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("bundle", "import", str(bundled), "--store", str(tmp_path / "B"), "--receipt")
    assert "Name another file with --receipt" in refused(*given, str(tmp_path / "missing" / "r.json"))
    assert not (tmp_path / "B").exists()
    store = open_store(tmp_path / "A")
    Writer(store.layout, "dd" * 16, "own").finish()
    Follower(store).poll()

    def fail(_source: Any) -> Iterator[bytes]:
        yield b"a part"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracker.bundles.bundle_file.make_bundle", fail)
    target = tmp_path / "full"
    target.write_bytes(b"an older bundle")
    line = refused("bundle", "create", "--store", str(store.root), "-o", str(target))
    assert "No space left on device" in line
    assert target.read_bytes() == b"an older bundle"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A", "full"]
    assert not store.layout.list_sent_bundles()
    store.close()
