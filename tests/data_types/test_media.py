"""Media of all types: their history values, which equal those of the real client 0.31, and their files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from media_files import content, logged

import tracker
from tracker.data_types.media import Media
from tracker.ground.settings import load_settings
from tracker.reading.open_reader import open_reader
from tracker.sdk.run.run import Run

pytestmark = pytest.mark.usefixtures("without_recorder")

MOLECULE = "HETATM    1  C1  UNL     1       0.000   0.000   0.000  1.00  0.00           C  \nEND\n"


@pytest.fixture
def run() -> Run:
    return tracker.init(project="p", id="abc", settings={"silent": True})


class Point(Media):
    """A user-defined media type, as a developer adds one: it needs only this class."""

    _log_type = "point-file"
    folder = "point"

    def __init__(self, path: str | Path) -> None:
        self._take_file(str(path))


def test_a_user_defined_media_type_is_read_back_from_artifacts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "point.json").write_text("[1, 2]")
    point = Point(tmp_path / "point.json")
    artifact = tracker.Artifact("points", "dataset")
    artifact.add(point, "alone")
    artifact.add(tracker.Table(columns=["point"], data=[[point]]), "table")
    run.log({"one": point, "several": [point, point]})
    run.log_artifact(artifact)
    run.finish()
    keys = open_reader(load_settings()).run("local", "p", "abc").keys
    assert [(each.key, each.kind) for each in keys] == [("one", "media"), ("several", "media")]
    found = tracker.Api().artifact("p/points:latest")
    assert found.get("alone") == point
    assert found.get("table").data[0][0] == point


def test_audio(run: Run, tmp_path: Path) -> None:
    samples = np.sin(np.arange(8000) / 10)
    clip = tracker.Audio(samples, sample_rate=8000, caption="a tone")
    (tmp_path / "given.mp3").write_bytes(b"not decoded")
    given = tracker.Audio(tmp_path / "given.mp3")
    (tmp_path / "given.mp3").unlink()  # the clip has read the file already
    run.log({"clip": clip, "given": given, "many": [tracker.Audio(samples, sample_rate=8000), given]})
    run.finish()
    (row,) = logged(run)
    digest = row["clip"]["sha256"]
    assert row["clip"] == {
        "_type": "audio-file",
        "caption": "a tone",
        "path": f"media/audio/clip_0_{digest[:20]}.wav",
        "sha256": digest,
        "size": 16044,
    }
    assert row["given"]["path"].endswith(".mp3")
    assert content(row["given"]) == b"not decoded"
    many = row["many"]
    assert (many["_type"], many["count"], len(many["audio"])) == ("audio", 2, 2)
    assert (many["sampleRates"], many["durations"], "captions" in many) == ([8000, None], [1.0, None], False)
    import wave

    with wave.open(io.BytesIO(content(row["clip"]))) as file:
        assert (file.getframerate(), file.getnframes(), file.getnchannels()) == (8000, 8000, 1)
        played = np.frombuffer(file.readframes(8000), "<i2") / 32767
    assert np.abs(played - samples).max() < 1e-4
    with pytest.raises(ValueError, match="sample_rate"):
        tracker.Audio(samples)


def test_audio_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    samples = np.stack([np.linspace(-1, 1, 50), np.zeros(50)], axis=1)
    with_soundfile = tracker.Audio(samples, sample_rate=100)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    without = tracker.Audio(samples, sample_rate=100)
    # libsndfile scales by 32768 and truncates, so that values differ by at most one.
    first, second = (
        np.frombuffer(each.data_bytes[44:], "<i2").astype(int) for each in (with_soundfile, without)
    )
    assert np.abs(first - second).max() <= 1
    whole = tracker.Audio(np.array([0, -(2**15), 2**15 - 1], dtype=np.int16), sample_rate=100)
    assert np.frombuffer(whole.data_bytes[44:], "<i2").tolist() == [0, -(2**15), 2**15 - 1]


def test_video_of_frames_and_of_a_file(run: Run, tmp_path: Path) -> None:
    frames = np.zeros((5, 3, 8, 12), dtype=np.uint8)
    frames[:, 0] = np.arange(5)[:, None, None] * 50
    video = tracker.Video(frames, fps=10, format="gif", caption="red")
    (tmp_path / "v.mp4").write_bytes(b"a film")
    run.log({"v": video, "file": tracker.Video(str(tmp_path / "v.mp4"))})
    run.log({"batch": tracker.Video(np.stack([frames] * 3), format="gif"), "list": [video, video]})
    run.finish()
    first, second = logged(run)
    assert (first["v"]["width"], first["v"]["height"], first["v"]["caption"]) == (12, 8, "red")
    assert first["file"]["path"].startswith("media/videos/file_0_")
    assert (second["batch"]["width"], second["batch"]["height"]) == (4 * 12, 8)  # wandb: 4 places in a row
    assert (second["list"]["_type"], second["list"]["captions"]) == ("videos", ["red", "red"])
    import PIL.Image

    image = PIL.Image.open(io.BytesIO(content(first["v"])))
    assert (image.n_frames, image.info["duration"]) == (5, 100)
    with pytest.raises(ValueError, match="requires a `format`"):
        tracker.Video(frames)
    with pytest.raises(ValueError, match="formats"):
        tracker.Video("film.avi")
    with pytest.raises(ValueError, match="at least 4 dimensions"):
        tracker.Video(frames[0], format="gif")


def test_video_as_mp4(run: Run) -> None:
    pytest.importorskip("imageio_ffmpeg")
    video = tracker.Video(np.zeros((4, 3, 16, 16), dtype=np.uint8), format="mp4")
    assert video.data_bytes[4:8] == b"ftyp"
    run.finish()


def test_html(run: Run, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html><body>x</body></html>")
    run.log({"h": tracker.Html("<p>hi</p>"), "file": tracker.Html(str(tmp_path / "page.html"), inject=False)})
    run.log({"hs": [tracker.Html("a", inject=False), tracker.Html(io.StringIO("b"), inject=False)]})
    run.finish()
    first, second = logged(run)
    # The digest is that of the real client for the same page.
    assert first["h"]["sha256"] == "cbe1d5fa9a8d6c57fa843cfee50aa7e7395ce253e94e61a800d3f5d4ac1ef65f"
    assert content(first["file"]) == b"<html><body>x</body></html>"
    assert [content(page) for page in second["hs"]["html"]] == [b"a", b"b"]
    with pytest.raises(ValueError, match="string or an io object"):
        tracker.Html(3)


def test_point_clouds_models_and_scenes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.obj").write_text("v 0 0 0\n")
    box = tracker.box3d(
        center=(0, 0, 0), size=(2, 2, 2), orientation=(1, 0, 0, 0), color=(1, 0, 0), label="b"
    )
    scene = tracker.Object3D.from_point_cloud(points=[[0, 0, 0]], boxes=[box], vectors=[])
    run.log(
        {
            "o": tracker.Object3D(np.zeros((3, 3))),
            "model": tracker.Object3D(str(tmp_path / "m.obj"), caption="a point"),
            "scene": scene,
            "os": [tracker.Object3D.from_numpy(np.ones((2, 6)))],
        }
    )
    run.finish()
    (row,) = logged(run)
    # The digest is that of the real client.
    assert row["o"]["path"] == "media/object3D/o_0_8c96519f179b2a3e15b8.pts.json"
    assert row["model"]["path"].endswith(".obj")
    stored = json.loads(content(row["scene"]))
    assert (stored["type"], stored["points"], stored["vectors"]) == ("lidar/beta", [[0, 0, 0]], [])
    assert stored["boxes"][0]["corners"][0] == [-1, -1, -1]
    assert row["os"]["filenames"] == [row["os"]["objects"][0]["path"].rpartition("/")[2]]
    for bad in (np.zeros((3, 2)), {"type": "other"}, "cloud.txt", 3):
        with pytest.raises(ValueError):
            tracker.Object3D(bad)
    with pytest.raises(ValueError, match="zero quaternion"):
        tracker.box3d(center=(0, 0, 0), size=(1, 1, 1), orientation=(0, 0, 0, 0), color=(0, 0, 0))


def test_molecules(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.pdb").write_text(MOLECULE)
    made = tracker.Molecule(io.StringIO(MOLECULE), caption="methane", file_type="pdb")
    run.log({"m": tracker.Molecule(str(tmp_path / "m.pdb")), "ms": [made]})
    run.finish()
    (row,) = logged(run)
    assert row["m"]["_type"] == "molecule-file"
    assert content(row["m"]).decode() == MOLECULE
    assert row["ms"] == {
        "_type": "molecule",
        "filenames": [f"media/molecule/ms_0_{row['m']['sha256'][:20]}.pdb"],
        "count": 1,
        "captions": ["methane"],
    }
    with pytest.raises(ValueError, match="only supports files of the type"):
        tracker.Molecule("m.txt")
    with pytest.raises(ValueError, match="file_type"):
        tracker.Molecule(io.StringIO(MOLECULE))


def test_molecules_by_rdkit(run: Run) -> None:
    pytest.importorskip("rdkit")
    run.log({"ethanol": tracker.Molecule.from_smiles("CCO")})
    run.finish()
    (row,) = logged(run)
    assert content(row["ethanol"]).decode().count("HETATM") == 9  # 2 C, 1 O, 6 H
    with pytest.raises(ValueError, match="SMILES"):
        tracker.Molecule.from_smiles("no molecule")


def test_histograms(run: Run) -> None:
    counts = np.histogram([1, 2, 3], bins=2)
    run.log({"h": tracker.Histogram([1, 2, 3], num_bins=2), "np": tracker.Histogram(np_histogram=counts)})
    run.finish()
    (row,) = logged(run)
    assert row["h"] == row["np"] == {"_type": "histogram", "values": [1, 2], "bins": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match="maximum length"):
        tracker.Histogram([1], num_bins=513)
    with pytest.raises(ValueError, match="len\\(bins\\)"):
        tracker.Histogram(np_histogram=([1], [1]))


def test_media_in_nested_dicts_in_mixed_lists_and_logged_twice(run: Run) -> None:
    page = tracker.Html("x")
    run.log({"deep": {"a": {"page": page}}, "mix": [page, tracker.Audio([0.0], sample_rate=1)]})
    run.log({"again": page, "weird: key/../a.b": tracker.Html("y")})
    run.finish()
    first, second = logged(run)
    path = first["deep"]["a"]["page"]["path"]
    assert path.startswith("media/html/page_0_")
    assert [each["_type"] for each in first["mix"]] == ["html-file", "audio-file"]
    assert second["again"]["path"] == path  # one file, as in wandb
    assert second["weird: key/../a.b"]["path"].startswith("media/html/weird: key/__/a.b_1_")


def test_a_missing_package_is_named_in_the_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rdkit.Chem", None)
    with pytest.raises(tracker.Error, match="needs the package rdkit: pip install rdkit"):
        tracker.Molecule.from_smiles("CCO")
    for name in ("imageio.v2", "moviepy.video.io.ImageSequenceClip"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tracker.Error, match="pip install imageio imageio-ffmpeg"):
        tracker.Video(np.zeros((2, 3, 8, 8)), format="mp4")
    run.finish()
