"""Files of runs through ``Api``: list, download, add and delete files, in a store and on a server."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from serving import Server, command, rebuild

import tracker
from tracker.api.api import Api
from tracker.errors import ApiNotFoundError

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def log_media(folder: Path, run_id: str) -> None:
    run = tracker.init(
        entity="team", project="demo", id=run_id, settings={"store": folder / "tracker-store", "silent": True}
    )
    run.log({"picture": tracker.Image(PIXELS)})
    run.finish()


def test_files_of_a_run(api: Api, tmp_path: Path) -> None:
    run = api.run("one")
    source = tmp_path / "notes" / "über uns.txt"
    source.parent.mkdir()
    source.write_text("hello ✓")
    added = run.upload_file(str(source), root=str(tmp_path))
    assert (added.name, added.size, added.mimetype) == ("notes/über uns.txt", 9, "text/plain")
    assert added.md5 == base64.b64encode(hashlib.md5(source.read_bytes()).digest()).decode()
    assert added.updated_at.endswith("Z") and added.sizeBytes == 9
    assert repr(added) == "<File notes/über uns.txt (text/plain) 9.0B>"
    assert api.run("one").file(added.name).size == 9
    names = [file.name for file in run.files()]
    assert {"config.yaml", "wandb-summary.json", added.name} <= set(names) and names == sorted(names)
    assert [file.name for file in run.files(pattern="%SUMMARY.JS_N")] == ["wandb-summary.json"]
    assert [file.name for file in run.files([added.name, "none"])] == [added.name]
    assert len(run.files(per_page=1)) == len(names)
    with pytest.raises(ValueError, match="both names and pattern"):
        run.files(["a"], "b")

    root = tmp_path / "down"
    with added.download(root) as file:
        assert file.read() == "hello ✓" and Path(file.name) == root / added.name
    with pytest.raises(ValueError, match=r"exists already\. Pass replace=True"):
        added.download(root)
    (root / added.name).write_text("mine")
    with added.download(root, exist_ok=True) as file:
        assert file.read() == "mine"
    with added.download(root, replace=True) as file:
        assert file.read() == "hello ✓"

    source.write_text("another")
    assert run.upload_file(source, root=tmp_path).size == 7
    run.file(added.name).delete()
    assert added.name not in [file.name for file in api.run("one").files()]
    with pytest.raises(ApiNotFoundError, match="has no file notes/") as raised:
        run.file(added.name)
    assert isinstance(raised.value, tracker.CommError)
    with pytest.raises(ValueError, match="is not inside"):
        run.upload_file(source, root=tmp_path / "down")
    assert (
        run.segments == api.run("one").segments and len(run.segments) == 1
    )  # the segment that ``Api`` wrote does not count as a writer of the run
    assert (api.run("one").state, api.run("one").lastHistoryStep) == ("finished", 9)


def test_generated_files(api: Api, tmp_path: Path) -> None:
    run = api.run("two")
    with run.file("config.yaml").download(tmp_path) as file:
        assert '"lr":\n    value: 1\n' in file.read()
    with run.file("wandb-summary.json").download(tmp_path) as file:
        assert json.load(file)["loss"] == 0.1
    with pytest.raises(ValueError, match="is generated from the data of the run"):
        run.file("config.yaml").delete()
    path = tmp_path / "config.yaml"
    path.write_text("mine: 1\n")
    run.upload_file(path, root=tmp_path)  # a saved file replaces the generated file
    with run.file("config.yaml").download(tmp_path / "again") as file:
        assert file.read() == "mine: 1\n"
    run.file("config.yaml").delete()


def test_media_are_files_and_a_rebuild_keeps_added_files(tmp_path: Path) -> None:
    log_media(tmp_path, "pictures")
    where = {"entity": "team", "project": "demo", "store": tmp_path / "tracker-store"}
    run = Api(where).run("pictures")
    (picture,) = run.files(pattern="media/images/%")
    assert (picture.mimetype, picture.url) == ("image/png", picture.direct_url)
    assert picture.url.startswith("file://") and picture.path_uri == picture.url
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "gone.txt").write_text("gone")
    run.upload_file(tmp_path / "kept.txt", root=tmp_path)
    run.upload_file(tmp_path / "gone.txt", root=tmp_path).delete()
    before = [file.name for file in run.files()]
    run._reader.close()  # a rebuild needs the store for itself
    rebuild(tmp_path / "tracker-store")
    again = Api(where).run("pictures")
    assert [file.name for file in again.files()] == before
    with again.file("kept.txt").download(tmp_path / "down") as file:
        assert file.read() == "kept"


def test_a_file_name_outside_the_folder_is_refused(tmp_path: Path) -> None:
    from tracker.api.files import File
    from tracker.ground.read_models import FileInfo

    log_media(tmp_path, "odd")
    run = Api({"entity": "team", "project": "demo", "store": tmp_path / "tracker-store"}).run("odd")
    (picture,) = run.files(pattern="media/%")
    stored = picture._info
    odd = FileInfo("../../out.png", stored.size, stored.mimetype, stored.sha256)
    with pytest.raises(ValueError, match="points outside"):
        File(picture._reader, picture._run_path, odd, None).download(tmp_path / "a" / "b")
    assert not (tmp_path / "out.png").exists()


def test_artifacts_of_a_run_from_outside(api: Api, served: Server) -> None:
    run = api.run("three")
    tag = "store" if api.settings["base_url"] is None else "server"
    if tag == "store":
        logged = tracker.init(
            entity="team", project="demo", id="maker", settings={"store": served.store, "silent": True}
        )
        artifact = tracker.Artifact("data", "dataset")
        with artifact.new_file("a.txt") as file:
            file.write("a")
        logged.log_artifact(artifact).wait()
        logged.finish()
    found = api.artifact("data:latest")
    assert run.use_artifact(found) is found
    assert [each.name for each in run.used_artifacts()] == ["data:v0"]
    assert "three" in [user.id for user in found.used_by()]
    api.run("maker").log_artifact(found, aliases=[f"from-{tag}"], tags=["checked"])
    assert f"from-{tag}" in api.artifact("data:v0").aliases and api.artifact("data:v0").tags == ["checked"]
    for call in (run.use_artifact, run.log_artifact):
        with pytest.raises(ValueError, match="Only existing artifacts"):
            call(tracker.Artifact("draft", "dataset"))
        with pytest.raises(ValueError, match="You must pass"):
            call("data:latest")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="that another run logged is not supported"):
        run.log_artifact(found)


def test_files_with_names_beyond_255_bytes_are_downloaded_under_shorter_names(tmp_path: Path) -> None:
    key = "picture of " + "ä" * 200
    long = "n" * 300 + ".txt"
    run = tracker.init(project="p", id="long")
    run.log({key: tracker.Html("<p>hello</p>"), "x": 1})
    artifact = tracker.Artifact("data", "dataset")
    with artifact.new_file(long) as file:
        file.write("content")
    with artifact.new_file("short.txt") as file:
        file.write("short")
    run.log_artifact(artifact).wait()
    run.finish()
    media = [file for file in tracker.Api().run("p/long").files() if file.name.startswith("media/")]
    for file in media:
        with file.download(root=str(tmp_path / "out")) as copy:
            assert "hello" in copy.read()
    assert len(media) == 1
    found = tracker.Api().artifact("p/data:v0")
    folder = Path(found.download(root=str(tmp_path / "artifact")))
    assert sorted(path.read_text() for path in folder.iterdir()) == ["content", "short"]
    found.verify(str(folder))
    assert Path(found.get_entry(long).download(str(tmp_path / "one"))).read_text() == "content"
    pulled = command("pull", "p/long", folder=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
