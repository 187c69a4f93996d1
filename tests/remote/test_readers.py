"""One contract for all readers: the same calls on a store, on a server, and on published files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scripts
from builders import no_catalog
from readers import READERS, reading_with
from serving import Server, serving

import tracker
from tracker.api.runs import Runs
from tracker.errors import NotFoundError, UsageError
from tracker.reading.catalog_free import CatalogFreeReader
from tracker.reading.local import LocalReader
from tracker.reading.reader import ArtifactReader, Reader
from tracker.reading.remote import RemoteReader
from tracker.recorder.open_store import open_store
from tracker.recorder.outbox import Remote, outbox_folder
from tracker.store.objects.layout import Layout

CONTENT = {"a.txt": b"content of v1", "nested/ü %2F?#.bin": bytes(range(256)) * 8192, "empty": b""}
LOSSES = [1.0, math.nan, math.inf, -math.inf, 0.1, 2**70, -0.0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a store with runs and artifacts that were logged on its host."""
    folder = tmp_path_factory.mktemp("readers")
    _log(folder)
    with serving(folder / "tracker-store", key=True) as server:
        with server.client() as api:
            scripts.wait_for(
                lambda: (
                    api.get("/projects/team/p/runs").json()["total"] == 5
                    and all(
                        run["state"] == "finished" for run in api.get("/projects/team/p/runs").json()["runs"]
                    )
                ),
                "all runs to be applied",
            )
        yield server


def _log(folder: Path) -> None:
    for at in range(5):
        run = tracker.init(
            entity="team",
            project="p",
            id=f"run {at}+ü",
            name=f"name {at}",
            tags=["t"],
            config={"at": at, "nan": math.nan, "deep": {"list": [1, {"x": None}]}},
            reinit="create_new",
            settings={"store": folder / "tracker-store", "silent": True},
        )
        for step, loss in enumerate(LOSSES):
            run.log(
                {"loss": loss, "image": tracker.Image(np.zeros((2, 2), np.uint8))} if at else {"loss": loss}
            )
            if step % 2:
                run.log({"rare/key": [step, "x"], "step": step})
        if at < 2:
            artifact = tracker.Artifact("data", "dataset", description="d", metadata={"at": at})
            for name, content in ({"a.txt": b"v0"} if at == 0 else CONTENT).items():
                with artifact.new_file(name, "wb") as file:
                    file.write(content)
            aliases = ["first", "moved"] if at == 0 else ["moved", "ü ✓"]
            run.log_artifact(
                artifact, aliases=aliases
            ).wait()  # so that its version is smaller than that of the next run
        if at == 2:
            run.use_artifact("data:v1")
        run.finish()


def open_local(server: Server) -> LocalReader:
    """Read the store's catalog."""
    return LocalReader(open_store(server.store, create=False))


def open_remote(server: Server) -> RemoteReader:
    """Read from the server, with an empty outbox."""
    return RemoteReader(Remote(server.url, server.key), Layout(outbox_folder(server.store, server.url)))


def open_files(server: Server) -> CatalogFreeReader:
    """Read published files and journals only."""
    return CatalogFreeReader(Layout(server.store), no_catalog)


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, served: Server) -> Iterator[Reader]:
    """Every reader with all methods of ``Reader``."""
    with reading_with(request.param, served) as opened:
        yield opened


def test_charts_of_many_runs_are_the_same_locally_and_remotely(served: Server) -> None:
    local, remote = open_local(served), open_remote(served)
    ids = [f"run {at}+ü" for at in range(5)]
    for x, points, window in ((None, 1000, {}), ("step", 2, {}), ("_step", 3, {"low": 1, "high": 5})):
        options = {"x": x, "points": points, **window}
        lines = [each.run_lines("team", "p", ids, ["loss", "step"], **options) for each in (local, remote)]
        assert repr(lines[0]) == repr(lines[1])
        curves = [
            each.grouped_curves("team", "p", {"a ü": ids[:2], "b": ids}, ["loss"], **options)
            for each in (local, remote)
        ]
        assert repr(curves[0]) == repr(curves[1])
        assert [curve.runs for curve in curves[0]] == [2, 5]
    keys = ["loss", *(f"none {at}" for at in range(9))]  # several blocks
    lines = [each.run_lines("team", "p", ids, keys, points=20_000) for each in (local, remote)]
    assert repr(lines[0]) == repr(lines[1])
    for options in ({}, {"source": "summary"}, {"edges": [0, 1, 2], "probabilities": [0.5]}):
        found, other = (each.distribution("team", "p", ids, "loss", **options) for each in (local, remote))
        assert found == other
        assert found.runs == 5
    with pytest.raises(NotFoundError, match="'gone'"):
        remote.run_lines("team", "p", ["gone"], ["loss"])
    with pytest.raises(UsageError, match="edges must be"):
        remote.distribution("team", "p", ids, "loss", edges=[1, 0])
    local.close()
    remote.close()


@pytest.fixture(params=[open_local, open_remote, open_files], ids=["local", "remote", "files"])
def artifact_reader(request: pytest.FixtureRequest, served: Server) -> Iterator[ArtifactReader]:
    """Every reader with the methods of ``ArtifactReader``."""
    opened = request.param(served)
    yield opened
    opened.close()


def test_projects(reader: Reader) -> None:
    (project,) = reader.projects()
    assert (project.entity, project.name, project.runs) == ("team", "p", 5)


def test_runs_in_pages_and_order(reader: Reader) -> None:
    page = reader.runs("team", "p", limit=2, offset=1, order="-config.at")
    assert page.total == 5
    assert [run.id for run in page.runs] == ["run 3+ü", "run 2+ü"]
    assert [run.config["at"] for run in reader.runs("team", "p", limit=9, offset=0, order="name").runs] == [
        0,
        1,
        2,
        3,
        4,
    ]
    found = reader.runs("team", "p", limit=9, offset=0, order="name", search="3+Ü")
    assert [run.id for run in found.runs] in ([], ["run 3+ü"])  # SQLite folds ASCII only
    assert reader.runs("team", "p", limit=9, offset=0, order="name", search="ME 4").total == 1
    assert reader.runs("team", "nothing", limit=9, offset=0, order="name").runs == []
    with pytest.raises(UsageError, match="cannot order by 'colour'"):
        reader.runs("team", "p", limit=1, offset=0, order="colour")


def test_runs_that_match_a_filter(reader: Reader) -> None:
    found = Runs(reader, "team", "p", {"config.at": {"$gte": 1}, "tags": "t"}, "-config.at", 3)
    assert len(found) == 4
    assert [run.config["at"] for run in found] == [4, 3, 2, 1]
    assert (found[0].config["at"], found[-1].config["at"]) == (4, 1)
    for part in (
        slice(2),
        slice(1, 3),
        slice(None),
        slice(-2, None),
        slice(None, None, -2),
        slice(3, 99),
        slice(7, 9),
    ):
        assert [run.config["at"] for run in found[part]] == [4, 3, 2, 1][part]
    with pytest.raises(IndexError):
        found[4]
    nan = Runs(reader, "team", "p", {"config.nan": math.nan, "created_at": {"$gt": np.float64(1)}}, "", 50)
    assert len(nan) == 5
    with pytest.raises(UsageError, match=r"config.at: \$in takes a list, not 1"):
        len(Runs(reader, "team", "p", {"config.at": {"$in": 1}}, "", 50))
    with pytest.raises(UsageError, match="filters: "):
        Runs(reader, "team", "p", {"config.at": object()}, "", 50)


@pytest.mark.parametrize(
    "wrong", ["{", "[1]", '{"colour": 1}', '{"name": "\\ud800"}', "[" * 5_000, '{"a": NaN']
)
def test_wrong_filters_over_http_are_refused(served: Server, wrong: str) -> None:
    with served.client() as client:
        answer = client.get("/projects/team/p/runs", params={"filters": wrong})
        assert answer.status_code == 400
        assert "\n" not in answer.json()["error"]["message"]
        assert client.get("/projects/team/p/runs").json()["total"] == 5


def test_a_run_is_exact(reader: Reader) -> None:
    run = reader.run("team", "p", "run 1+ü")
    assert (run.entity, run.project, run.name, run.state, run.tags) == (
        "team",
        "p",
        "name 1",
        "finished",
        ["t"],
    )
    assert repr(run.config) == repr({"at": 1, "nan": math.nan, "deep": {"list": [1, {"x": None}]}})
    assert repr(run.summary["loss"]) == "-0.0"
    assert (run.last_step, run.attempts, run.problems) == (9, 1, [])
    assert {each.key: (each.kind, each.count) for each in run.keys} == {
        "loss": ("number", 7),
        "image": ("image", 7),
        "rare/key": (next(each.kind for each in run.keys if each.key == "rare/key"), 3),
        "step": ("number", 3),
    }
    with pytest.raises(NotFoundError, match="there is no run team/p/absent"):
        reader.run("team", "p", "absent")


def test_history_is_exact(reader: Reader) -> None:
    rows = reader.history("team", "p", "run 0+ü", None, False)
    assert [row["_step"] for row in rows] == list(range(10))
    assert repr([row["loss"] for row in rows if "loss" in row]) == repr(LOSSES)
    assert all(type(row["_timestamp"]) is float for row in rows)
    some = reader.history("team", "p", "run 0+ü", ["rare/key"], False)
    assert [row["rare/key"] for row in some] == [[1, "x"], [3, "x"], [5, "x"]]
    assert all("loss" not in row for row in some)
    assert reader.history("team", "p", "run 0+ü", ["rare/key", "loss"], True) == []
    assert len(reader.history("team", "p", "run 0+ü", ["rare/key", "step"], True)) == 3
    assert reader.history("team", "p", "run 0+ü", ["nothing"], False) == []
    with pytest.raises(NotFoundError):
        reader.history("team", "p", "absent", None, False)


def test_store_and_server_give_the_same_answers(served: Server) -> None:
    local, remote = open_local(served), open_remote(served)
    for run in local.runs("team", "p", limit=9, offset=0, order="name").runs:
        assert repr(remote.run("team", "p", run.id)) == repr(local.run("team", "p", run.id))
        arguments = ("team", "p", run.id, None, False)
        assert repr(remote.history(*arguments)) == repr(local.history(*arguments))
        for keys in ([], ["_step"], ["loss"], ["_step", "loss"], ["nothing"]):
            for complete in (False, True):
                asked = ("team", "p", run.id, keys, complete)
                assert repr(remote.history(*asked)) == repr(local.history(*asked))
            columns = ("team", "p", run.id, keys, None)
            assert repr(remote.table(*columns).to_pydict()) == repr(local.table(*columns).to_pydict())
    assert repr(remote.artifacts("team", "p", None, None)) == repr(local.artifacts("team", "p", None, None))
    local.close()
    remote.close()


def test_lists_of_artifacts(reader: Reader) -> None:
    found = reader.artifacts("team", "p", None, None)
    assert [(each.name, each.version, each.logged_by) for each in found] == [
        ("data", "v1", "run 1+ü"),
        ("data", "v0", "run 0+ü"),
    ]
    assert [each.version for each in reader.artifacts("team", "p", "run 0+ü", None)] == ["v0"]
    assert len(reader.artifacts("team", "p", None, "data")) == 2
    assert reader.artifacts("team", "p", None, "other") == []


@pytest.mark.parametrize(
    ("reference", "version"),
    [("v0", "v0"), ("v1", "v1"), ("latest", "v1"), ("moved", "v1"), ("first", "v0"), ("ü ✓", "v1")],
)
def test_a_version_by_every_name(artifact_reader: ArtifactReader, reference: str, version: str) -> None:
    found = artifact_reader.artifact("team", "p", "data", reference)
    assert (found.entity, found.project, found.name, found.version) == ("team", "p", "data", version)
    assert (found.type, found.description) == ("dataset", "d")
    by_digest = artifact_reader.artifact("team", "p", "data", found.digest)
    assert by_digest == found
    assert sorted(found.aliases) == (["first"] if version == "v0" else ["latest", "moved", "ü ✓"])


def test_files_of_a_version(artifact_reader: ArtifactReader) -> None:
    found = artifact_reader.artifact("team", "p", "data", "latest")
    entries = artifact_reader.manifest(found).entries
    assert {entry.path: entry.size for entry in entries} == {
        name: len(data) for name, data in CONTENT.items()
    }
    assert (found.file_count, found.size) == (3, sum(map(len, CONTENT.values())))
    assert found.metadata == {"at": 1}
    for entry in entries:
        assert b"".join(artifact_reader.chunks(found, entry)) == CONTENT[entry.path]
    # An incomplete read does not affect the next read.
    large = max(entries, key=lambda entry: entry.size)
    for _ in artifact_reader.chunks(found, large):
        break
    assert b"".join(artifact_reader.chunks(found, large)) == CONTENT[large.path]


@pytest.mark.parametrize(
    ("name", "reference", "words"),
    [
        ("nothing", "latest", "there is no artifact team/p/nothing"),
        ("data", "v2", "no version or alias 'v2'"),
        ("data", "worst", "aliases: first, latest, moved"),
        ("data", f"v{10**30}", "no version or alias"),
        ("data", "../v0", "no version or alias|does not exist"),
    ],
)
def test_missing_versions(artifact_reader: ArtifactReader, name: str, reference: str, words: str) -> None:
    with pytest.raises(NotFoundError, match=words):
        artifact_reader.artifact("team", "p", name, reference)
