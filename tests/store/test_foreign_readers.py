"""Programs without tracker read its Parquet files, as docs/store-layout.md describes them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import scripts
from exact import exact

import tracker
from tracker.ground.records import SystemSample
from tracker.recorder.open_store import open_store

DOCUMENT = (scripts.ROOT / "docs" / "store-layout.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)

# The document's examples set ``folder``, ``rows``, ``table`` and ``found``. The rest of this code follows the
# document's description of columns. If files have different types for a column, each file is read alone, as
# reading them together widens the type.
READER = """
import json, math, sys
import pyarrow as pa
import pyarrow.parquet as pq
{examples}
NONFINITE = {{"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}}
def number(item):
    return NONFINITE[item["value"]] if item.get("_type") == "number" else item
def parse(text):
    return json.loads(text, object_hook=number)
def roles_of(paths):
    known = {{}}
    for path in paths:
        described = json.loads(pq.read_schema(path).metadata[b"tracker"])
        assert described["format"] == 1
        for column, role in described["columns"].items():
            known.setdefault(column, []).append((role["key"], role["kind"]))
    return known
def mean(columns, known):
    out = {{}}
    for at, order in enumerate(columns["_row"]):
        row = {{"_step": columns["_step"][at]}}
        for column, roles in known.items():
            (key,) = {{key for key, _ in roles}}
            cell = columns[column][at]
            if cell is None:
                continue
            if roles[0][1] == "exact" or all(kind == "json" for _, kind in roles):
                cell = parse(cell)
            if key not in row or roles[0][1] == "exact":
                row[key] = cell
        out[order] = row
    return out
def text(value):
    if type(value) is dict:
        return "{{" + ", ".join(f"{{key!r}}: {{text(value[key])}}" for key in sorted(value)) + "}}"
    if type(value) is list:
        return "[" + ", ".join(map(text, value)) + "]"
    return repr(value)
def pandas_columns(frame):
    return {{name: pa.array(frame[name]).to_pylist() for name in frame.columns if name not in skipped}}
def polars_columns(frame):
    return {{name: frame[name].to_list() for name in frame.columns}}
def duckdb_columns(relation):
    return dict(zip(relation.columns, map(list, zip(*relation.fetchall()))))
def duckdb_alone(path):
    return duckdb.sql(f"SELECT * FROM read_parquet('{{path}}')")
skipped = []
paths = sorted(folder.glob("*.parquet"))
known = roles_of(paths)
changing = sorted(column for column, roles in known.items() if len({{kind for _, kind in roles}}) > 1)
def show(together, alone):
    skipped[:] = changing
    rows = mean(together(), {{column: roles for column, roles in known.items() if column not in changing}})
    assert list(rows) == sorted(rows)
    skipped.clear()
    for path in paths if changing else []:
        for order, row in mean(alone(path), roles_of([path])).items():
            assert row.items() >= {{key: cell for key, cell in rows[order].items() if cell == cell}}.items()
            rows[order] = row
    return [text(row) for row in rows.values()]
answer = {{
    "pandas": show(
        lambda: pandas_columns(rows),
        lambda path: pandas_columns(pd.read_parquet(path, dtype_backend="pyarrow")),
    ),
    "polars": show(lambda: polars_columns(table), lambda path: polars_columns(pl.read_parquet(path))),
    "duckdb": show(lambda: duckdb_columns(found), lambda path: duckdb_columns(duckdb_alone(path))),
    "changing": changing,
    "columns": [list(rows.columns), table.columns, found.columns],
    "ours": sorted(name for name in sys.modules if name.partition(".")[0] in ("tracker", "server")),
}}
print(json.dumps(answer))
"""

ROWS: list[dict[str, Any]] = [
    {"loss": 0.5, "epoch": 0, "note": "start", "ok": True, "n": {"y": [1, None]}, "mixed": 1.5},
    {"loss": math.nan, "epoch": 1, "n": {"y": 2}, "mixed": 2**53 + 1, "big": 2**70},
    {"loss": -math.inf, "epoch": 2**53 + 1, "note": "größe", "ok": False, "mixed": "text", "~odd": 1},
    {"loss": -0.0, "mixed": None, "deep": {"nan": math.nan}, "list": [1, 2.5, "x"], "big": 1},
    {"loss": 5e-324, "mixed": True, "note": "", "_row": 7, "a.b/c d": 1.0, "big": -(2**64)},
]


def log(folder: Path, *, count: int) -> Any:
    run = tracker.init(
        entity="local",
        project="digits",
        id="RUN",
        settings={"store": folder / "tracker-store", "silent": True},
    )
    run.record(SystemSample(1.0, {"cpu": 5.0}))
    run.write_logs("said\n")
    for at in range(count):
        run.log(ROWS[at % len(ROWS)] if at < 5 else {"loss": at / 3, "epoch": at, "late": float(at)})
    return run


def read_foreign(folder: Path, *, sealed: bool = True) -> dict[str, Any]:
    """Run the document's examples and ``READER`` in a process that cannot import tracker.

    The examples of system metrics and output need a sealed run. Before that, these rows are in the catalog.
    """
    examples = [each for each in EXAMPLES if "blobs/" not in each and (sealed or "system/" not in each)]
    code = READER.format(examples="\n".join(examples))
    done = scripts.run(code, folder, PYTHONPATH="")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["ours"] == []
    return answer


def expected(count: int) -> list[str]:
    rows = [ROWS[at] if at < 5 else {"loss": at / 3, "epoch": at, "late": float(at)} for at in range(count)]
    return [exact({**row, "_step": step}) for step, row in enumerate(rows)]


def test_a_sealed_run(tmp_path: Path) -> None:
    log(tmp_path, count=40).finish()
    root = tmp_path / "tracker-store"
    scripts.wait_for(lambda: root.is_dir() and not list(root.rglob("*.journal")), "the run to be sealed")
    answer = read_foreign(tmp_path)
    for program in ("pandas", "polars", "duckdb"):
        assert answer[program] == expected(40), program
    columns = ["_row", "_step", "_runtime", "_timestamp", "loss", "epoch", "note", "ok", "n", "mixed"]
    columns += ["~exact:mixed", "big", "~exact:big", "~odd", "deep", "list", "~_row", "a.b/c d", "late"]
    for found in answer["columns"]:
        assert sorted(found) == sorted(name if name != "~odd" else "~~odd" for name in columns)


def test_a_live_run_in_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Parquet files of a running run contain its first rows, complete and in order."""
    from builders import apply_all

    monkeypatch.setattr("tracker.store.ingest.apply.HOT_ROWS", 4)
    monkeypatch.setattr("tracker.store.ingest.apply.BATCH_BYTES", 300)
    monkeypatch.setenv("TRACKER_JOURNAL_ONLY", "1")  # only this test applies journals
    run = log(tmp_path, count=38)
    store = open_store(tmp_path / "tracker-store")
    apply_all(store)
    files = list((tmp_path / "tracker-store").rglob("history/*.parquet"))
    assert len(files) > 3
    answer = read_foreign(tmp_path, sealed=False)
    cold = len(answer["pandas"])
    assert 30 < cold <= 38
    for program in ("pandas", "polars", "duckdb"):
        assert answer[program] == expected(38)[:cold], program
    for path in files:
        name = re.fullmatch(
            r"[0-9a-f]{32}-(\d{12})-(\d{12})-[0-9a-f]{8}(-[0-9a-f]{16}){2}\.parquet", path.name
        )
        assert name is not None, path.name
    store.close()
    run.finish()


def test_run_json_names_the_parts_of_each_segment(tmp_path: Path) -> None:
    log(tmp_path, count=10).finish()
    root = tmp_path / "tracker-store"
    scripts.wait_for(lambda: root.is_dir() and not list(root.rglob("*.journal")), "the run to be sealed")
    again = tracker.init(entity="local", project="digits", id="RUN", resume="must", settings={"silent": True})
    again.log({"loss": 1.0})
    again.finish()
    scripts.wait_for(lambda: not list(root.rglob("*.journal")), "the second attempt to be sealed")
    home = root / "runs" / "local" / "digits" / "RUN"
    described = json.loads((home / "run.json").read_text())
    named = [part["path"] for segment in described["segments"] for part in segment["parts"]]
    assert len(named) == 2
    assert sorted(named) == sorted(
        str(path.relative_to(root)) for path in (home / "history").glob("*.parquet")
    )
    assert [segment["attempt"] for segment in described["segments"]] == [0, 1]
