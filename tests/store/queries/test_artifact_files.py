"""Folders of versions and differences between versions, compared with a simple model on random files."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from tracker.errors import NotFoundError, UsageError
from tracker.ground.read_models import ArtifactInfo
from tracker.store.blobs.manifest import Entry, Manifest, make_manifest
from tracker.store.queries.artifact_files import compare_versions, list_folder

SEEDS = range(30)
PARTS = ["a", "b", "ab", "Ü", "x y", "0"]


def random_entry(choose: random.Random, path: str) -> Entry:
    content = choose.randrange(3)
    if choose.random() < 0.3:
        return Entry(path, f"etag {content}", content * 5, ref=f"s3://bucket/{choose.randrange(2)}")
    return Entry(path, f"md5 {content}", content * 10, f"{content:064}")


def random_manifest(choose: random.Random) -> Manifest:
    """Return files in nested folders. A path can be a file or a folder, not both."""
    files: set[str] = set()
    for _ in range(choose.randrange(40)):
        path = "/".join(choose.choice(PARTS) for _ in range(choose.randint(1, 4)))
        above = {path[:at] for at, letter in enumerate(path) if letter == "/"}
        if not above & files and not any(other.startswith(f"{path}/") for other in files):
            files.add(path)
    return make_manifest(random_entry(choose, path) for path in files)


def info(number: int, metadata: dict[str, object]) -> ArtifactInfo:
    return ArtifactInfo("e", "p", "n", "t", f"v{number}", [], 0, 0, "", 0.0, None, metadata, None, "")


@pytest.mark.parametrize("seed", SEEDS)
def test_folders_agree_with_a_walk(seed: int) -> None:
    manifest = random_manifest(random.Random(seed))
    folders = {""} | {
        entry.path[:at] for entry in manifest.entries for at, c in enumerate(entry.path) if c == "/"
    }
    for folder in folders:
        below = [each for each in manifest.entries if not folder or each.path.startswith(f"{folder}/")]
        inside = {
            child
            for child in folders | {each.path for each in below}
            if child and child.rpartition("/")[0] == folder
        }
        found = list_folder(manifest, folder)
        assert (found.size, found.file_count) == (sum(each.size for each in below), len(below))
        assert {item.path for item in found.items} == inside
        assert found.total == len(inside)
        by_order = [(item.kind == "file", item.name) for item in found.items]
        assert by_order == sorted(by_order)
        for item in found.items:
            own = [each for each in below if each.path == item.path or each.path.startswith(f"{item.path}/")]
            assert (item.size, item.file_count) == (sum(each.size for each in own), len(own))
            assert (item.kind == "folder") == (item.path in folders)
            if item.kind == "file":
                assert (item.digest, item.sha256 or "", item.ref) == (
                    own[0].digest,
                    own[0].sha256,
                    own[0].ref,
                )
        pages = [
            list_folder(manifest, folder, offset=at, limit=2).items for at in range(0, found.total + 1, 2)
        ]
        assert [item for page in pages for item in page] == found.items
        matching = [each.path for each in below if "b" in each.path.lower()]
        assert [item.path for item in list_folder(manifest, folder, search="B").items] == matching


def test_missing_folder_is_named() -> None:
    manifest = make_manifest([Entry("a/b", "", 1, "0" * 64)])
    assert list_folder(manifest, "/a/").path == "a"
    with pytest.raises(NotFoundError, match="no folder 'a/b'"):
        list_folder(manifest, "a/b")
    assert list_folder(make_manifest([]), "").items == []


@pytest.mark.parametrize("seed", SEEDS)
def test_difference_agrees_with_a_model(seed: int) -> None:
    choose = random.Random(seed)
    before, after = random_manifest(choose), random_manifest(choose)
    old = {entry.path: entry for entry in before.entries}
    # Some files are in both versions, whatever the random paths are.
    kept = [entry if choose.random() < 0.5 else random_entry(choose, entry.path) for entry in before.entries]
    after = make_manifest({entry.path: entry for entry in (*after.entries, *kept)}.values())
    new = {entry.path: entry for entry in after.entries}
    model = {}
    for path in old.keys() | new.keys():
        if path not in old or path not in new:
            model[path] = "added" if path in new else "removed"
        else:
            model[path] = "same" if old[path].digest == new[path].digest else "changed"
    states = ("added", "removed", "changed", "same")
    found = compare_versions((info(1, {}), before), (info(2, {}), after), states=states, limit=1000)
    assert {each.path: each.state for each in found.files} == model
    assert [each.path for each in found.files] == sorted(model)
    counts = Counter(model.values())
    for state in states:
        total = getattr(found, state)
        paths = [path for path in model if model[path] == state]
        assert total.files == counts[state]
        assert total.size_before == sum(old[path].size for path in paths if path in old)
        assert total.size_after == sum(new[path].size for path in paths if path in new)
    for each in found.files:
        was, now = old.get(each.path), new.get(each.path)
        assert (each.size_before, each.digest_before, each.ref_before) == (
            (was.size, was.digest, was.ref) if was else (None, None, None)
        )
        assert (each.size_after, each.digest_after, each.ref_after) == (
            (now.size, now.digest, now.ref) if now else (None, None, None)
        )
    some = compare_versions(
        (info(1, {}), before),
        (info(2, {}), after),
        states=["added", "changed"],
        search="A",
        offset=1,
        limit=3,
    )
    paths = [path for path in sorted(model) if model[path] in ("added", "changed") and "a" in path.lower()]
    assert (some.total, [each.path for each in some.files]) == (len(paths), paths[1:4])
    assert (some.same, some.added) == (found.same, found.added)


def test_metadata_is_compared_by_value() -> None:
    nothing = make_manifest([])
    old = {"lr": 0.1, "nan": math.nan, "deep": {"a": 1, "list": [1], "gone": None}, "kind": {"x": 1}, "n": 1}
    new = {"lr": 0.2, "nan": math.nan, "deep": {"a": 1, "list": [2], "new": {"y": 1}}, "kind": "x", "n": 1.0}
    found = compare_versions((info(1, old), nothing), (info(2, new), nothing))
    assert [(each.key, each.state, each.before, each.after) for each in found.metadata] == [
        ("deep.gone", "removed", None, None),
        ("deep.list", "changed", [1], [2]),
        ("deep.new", "added", None, {"y": 1}),
        ("kind", "changed", {"x": 1}, "x"),
        ("lr", "changed", 0.1, 0.2),
        ("n", "changed", 1, 1.0),
    ]
    assert found.metadata_total == 6
    assert (found.before, found.after) == ("e/p/n:v1", "e/p/n:v2")
    with pytest.raises(UsageError, match="Unknown state 'moved'"):
        compare_versions((info(1, old), nothing), (info(2, new), nothing), states=["moved"])
