"""NaN and infinities in tables of artifacts: the real client reads those of tracker, and vice versa."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

import tracker
from differential import sides

pytestmark = pytest.mark.differential

TABLES: dict[str, list[Any]] = {
    "numbers": [1.0, math.nan, math.inf, -math.inf, None],
    "infinities": [1.0, math.inf, -math.inf],
    "lists": [[1.0, math.nan], [math.inf, 2.0]],
    "dicts": [{"a": math.nan, "b": [math.inf]}],
}
# Prints the column that the real client reads from each table file in a folder.
READ = """
import json, sys, wandb
from pathlib import Path
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    table = wandb.Table.from_json(json.loads(path.read_text()), None)
    print(json.dumps([path.stem, repr(table.get_column("x"))]))
"""
# Writes a table file with the real client, and prints its digest.
WRITE = """
import math, shutil, sys, wandb
artifact = wandb.Artifact("held", "dataset")
entry = artifact.add(wandb.Table(columns=["x"], data=[[cell] for cell in eval(sys.argv[2], vars(math))]), "t")
shutil.copy(entry.local_path, sys.argv[1])
print(entry.digest)
"""


def real(code: str, *arguments: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [sides.real_python(), "-c", code, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def entry_of(cells: list[Any], name: str = "held") -> tracker.Artifact:
    artifact = tracker.Artifact(name, "dataset")
    artifact.add(tracker.Table(columns=["x"], data=[[cell] for cell in cells]), "t")
    return artifact


def test_the_real_client_reads_tables_of_tracker(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with tracker.init(project="p") as run:
        for name, cells in TABLES.items():
            run.log_artifact(entry_of(cells, name))
    for name in TABLES:
        folder = tracker.Api().artifact(f"p/{name}:v0").download()
        Path(folder, "t.table.json").rename(tmp_path / "files" / f"{name}.json")
    lines = real(READ, tmp_path / "files", folder=tmp_path).splitlines()
    assert dict(map(json.loads, lines)) == {name: repr(cells) for name, cells in TABLES.items()}


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        ("[1.0, inf, -inf]", [1.0, math.inf, -math.inf]),
        ("[1.0, nan, inf]", [1.0, None, math.inf]),  # wandb writes null for NaN
    ],
)
def test_tracker_reads_tables_of_the_real_client(cells: str, read: list[Any], tmp_path: Path) -> None:
    digest = real(WRITE, tmp_path / "t.table.json", cells, folder=tmp_path).strip()
    artifact = tracker.Artifact("held", "dataset")
    artifact.add_file(tmp_path / "t.table.json")
    assert artifact.manifest.entries["t.table.json"].digest == digest
    with tracker.init(project="p") as run:
        run.log_artifact(artifact)
    assert repr(tracker.Api().artifact("p/held:v0").get("t").get_column("x")) == repr(read)


def test_a_table_with_infinities_has_the_real_clients_digest(tmp_path: Path) -> None:
    digest = real(WRITE, tmp_path / "t.table.json", "[1.0, inf, -inf]", folder=tmp_path).strip()
    assert entry_of(TABLES["infinities"]).manifest.entries["t.table.json"].digest == digest
