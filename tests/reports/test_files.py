"""Files, media and tables that other trackers lost or stored under names that they could not read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

import tracker

pytestmark = pytest.mark.usefixtures("without_recorder")

PIXELS = np.arange(90, dtype=np.uint8).reshape(6, 5, 3)
KEYS = [
    "x" * 300,
    "é" * 140,
    "val/" + "/".join(["a_folder_whose_name_says_at_length_what_is_shown"] * 3) + "/" + "p" * 250,
    "my key: an identifier",
    "[TRAIN] img*",
    "/image/nice",
    "/../x/../../y",
    "a//./b",
    "C:\\x\\y",
    "q?x=1&y#z",
    "%2e%2e/x",
    "tab\tand\nline",
    "con",
    "..",
    " lead and trail.",
]


@pytest.mark.parametrize("kind", ["image", "html"])
def test_media_under_any_key_can_be_read(kind: str, tmp_path: Path) -> None:
    """wandb/wandb#5406 (too long), #2359 (colon), #3171 (brackets), #8735 (.. and a leading slash), #4046."""
    run = tracker.init(project="keys", id="r")
    for key in KEYS:
        run.log({key: tracker.Image(PIXELS) if kind == "image" else tracker.Html(f"<b>{len(key)}</b>")})
    run.finish()
    found = tracker.Api().run("keys/r")
    rows = found.history(pandas=False, samples=10**6)
    for key, row in zip(KEYS, rows, strict=True):
        path = PurePosixPath(row[key]["path"])
        assert path.parts[0] == "media"
        assert not path.is_absolute()
        assert ".." not in path.parts
        with found.file(str(path)).download(root="got", replace=True) as file:
            data = Path(file.name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row[key]["sha256"]
        assert Path(file.name).resolve().is_relative_to(tmp_path / "got")


def test_saved_files_are_copies_and_keep_their_names() -> None:
    """wandb/wandb#2967 (source deleted), #2242 and #2809 (folders), #11510 (names taken for patterns)."""
    deep = Path("src/deep")
    deep.mkdir(parents=True)
    for name, text in {
        "cfg.yaml": "v1",
        "deep/c.txt": "C",
        "epoch=1-val[0].ckpt": "b",
        "star*.txt": "s",
    }.items():
        Path("src", name).write_text(text)
    Path("src/link.yaml").symlink_to(Path("src/cfg.yaml").resolve())
    run = tracker.init(project="save", id="r")
    run.save("src/cfg.yaml", policy="now")
    run.save(str((deep / "c.txt").resolve()), base_path=str(deep.resolve()))
    run.save(Path("src/epoch=1-val[0].ckpt"), base_path="src", glob=False)
    run.save("src/star*.txt", base_path="src", glob=False)
    run.save("src/link.yaml", base_path="src", policy="now")
    run.save("src/deep/*", base_path="src", policy="end")
    (deep / "c.txt").write_text("C2")
    run.finish()
    shutil.rmtree("src")
    found = tracker.Api().run("save/r")
    texts = {}
    for file in found.files(per_page=1000):
        with file.download(root="got", replace=True) as opened:
            texts[file.name] = opened.read()
    wanted = {
        "src/cfg.yaml": "v1",
        "deep/c.txt": "C2",
        "epoch=1-val[0].ckpt": "b",
        "star*.txt": "s",
        "link.yaml": "v1",
    }
    assert {name: texts.get(name) for name in wanted} == wanted
    assert texts["c.txt"] in ("C", "C2")  # a file with the policy "live" may be read again at the end


@pytest.mark.parametrize("mode", ["MUTABLE", "INCREMENTAL"])
def test_rows_added_to_a_logged_table_are_kept(mode: str) -> None:
    """wandb/wandb#6935, #2981, #6341, #2768, #4027: rows were missing, or images belonged to other rows."""
    run = tracker.init(project="tables", id="r")
    table = tracker.Table(columns=["at", "image"], log_mode=mode)
    for at in range(4):
        table.add_data(at, tracker.Image(np.full((4, 4, 3), 40 * at, np.uint8)))
        run.log({"t": table})
    run.finish()
    found = tracker.Api().run("tables/r")
    for row in found.history(pandas=False):
        with found.file(row["t"]["path"]).download(root="got", replace=True) as file:
            assert len(json.load(file)["data"]) == (row["t"]["nrows"] if mode == "MUTABLE" else 1)
    if mode == "INCREMENTAL":
        folder = Path(tracker.Api().artifact("tables/run-r-incr-t:latest").download())
        parts = [json.loads(file.read_text())["data"] for file in folder.rglob("*.table.json")]
        assert sorted(row[0] for part in parts for row in part) == [0, 1, 2, 3]
        return
    kept = tracker.Api().artifact("tables/run-r-t:latest").get("t")
    assert [row[0] for row in kept.data] == [0, 1, 2, 3]
    assert [np.asarray(row[1].image).mean() for row in kept.data] == [0, 40, 80, 120]
