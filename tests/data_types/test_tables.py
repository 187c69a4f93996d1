"""Tables: column types, changes, logging, and tables in artifacts."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_files import content, logged

import tracker
from tracker.data_types.table import Table
from tracker.sdk.run.run import Run

pytestmark = pytest.mark.usefixtures("without_recorder")


@pytest.fixture
def run() -> Run:
    return tracker.init(project="p", id="abc", settings={"silent": True})


def types_of(table: Table) -> dict[str, str]:
    return {key: str(each) for key, each in table._column_types.params["type_map"].items()}


def test_the_first_values_determine_the_column_types() -> None:
    table = tracker.Table(columns=["n", "t", "b", "l", "any"])
    table.add_data(None, None, None, None, None)
    table.add_data(1, "x", True, [1, 2], {"a": 1})
    table.add_data(2.5, None, False, [3], {"a": 2})
    table.add_data(np.float32(3), "y", np.bool_(True), [], {"a": 3})
    for row in (
        ("x", "x", True, [1], {}),
        (1, 1, True, [1], {}),
        (1, "x", 1, [1], {}),
        (1, "x", True, ["x"], {}),
    ):
        with pytest.raises(TypeError, match="Data row contained incompatible types"):
            table.add_data(*row)
    assert len(table.data) == 4
    assert types_of(table)["n"] == "None or Number"
    with pytest.raises(ValueError, match="expects 5 columns"):
        table.add_data(1)
    mixed = tracker.Table(columns=["x"], data=[[1], ["a"], [None]], allow_mixed_types=True)
    assert mixed.get_column("x") == [1, "a", None]


def test_dtypes_and_optional() -> None:
    table = tracker.Table(columns=["a", "b"], dtype=[int, str], optional=[False, True])
    table.add_data(1, None)
    with pytest.raises(TypeError):
        table.add_data(None, "x")
    with pytest.raises(TypeError):
        table.add_data(float("nan"), "x")  # as in wandb: NaN counts as None
    with pytest.raises(TypeError):
        table.add_data("x", "x")
    table.cast("b", ["yes", "no"], optional=True)
    table.add_data(1, "yes")
    with pytest.raises(TypeError):
        table.add_data(1, "perhaps")
    with pytest.raises(AssertionError, match="list of strings or ints"):
        tracker.Table(columns=[1.5])  # type: ignore[list-item]
    with pytest.raises(AssertionError, match="Invalid log_mode"):
        tracker.Table(log_mode="OTHER")  # type: ignore[arg-type]


def test_columns_are_added_computed_and_read() -> None:
    table = tracker.Table(columns=["x", "y"], data=[[3, 1], [4, 6]])
    table.add_column("z", np.array([1, 2]))
    table.add_computed_columns(lambda index, row: {"diff": row["x"] - row["y"], "at": int(index)})
    assert table.columns == ["x", "y", "z", "diff", "at"]
    assert table.get_column("diff") == [2, -2]
    assert table.get_column("x", convert_to="numpy").tolist() == [3, 4]
    with pytest.raises(AssertionError, match="Expected length 2"):
        table.add_column("w", [1])
    with pytest.raises(TypeError):
        table.add_column("w", [1, "x"])
    assert table.columns[-1] == "at"
    assert [len(row) for row in table.data] == [5, 5]
    assert [(index, row[0]) for index, row in table.iterrows()] == [(0, 3), (1, 4)]
    assert table.index_ref(1).get_row()["diff"] == -2


def test_data_frames_and_arrays() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"], "when": pandas.to_datetime(["2026-01-01"] * 2)})
    table = tracker.Table(dataframe=frame)
    assert table.columns == ["a", "b", "when"]
    assert tracker.Table(data=frame) == table
    assert table.get_dataframe()["a"].tolist() == [1, 2]
    assert tracker.Table(columns=["a", "b"], data=np.eye(2)).data[1][1] == 1


def test_a_logged_table_is_stored_in_the_run_and_as_an_artifact(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    table = tracker.Table(columns=["x", "y"], data=[[1, 2]])
    run.log({"viz": table, "df": pandas.DataFrame({"a": [1, 2]})})
    run.log({"viz": table})
    image = tracker.Image(np.zeros((2, 2)))
    row = [image, tracker.Html("x"), tracker.Audio([0.0], sample_rate=1), np.arange(40), float("nan")]
    run.log({"cells": tracker.Table(columns=["i", "h", "a", "n", "f"], data=[row])})
    run.finish()
    first, second, third = logged(run)
    # The digests are those of the real client for the same tables.
    assert first["viz"]["path"] == "media/table/viz_0_ba67c0fa8c56c78584d1.table.json"
    assert first["df"]["path"] == "media/table/df_0_7cad2a554f5ba00c989f.table.json"
    assert (first["viz"]["_type"], first["viz"]["ncols"], first["viz"]["nrows"]) == ("table-file", 2, 1)
    assert first["viz"]["log_mode"] == "IMMUTABLE"
    assert first["viz"]["artifact_path"].startswith("wandb-client-artifact://")
    assert second["viz"] == first["viz"]  # the table is logged only once
    (stored,) = json.loads(content(third["cells"]))["data"]
    assert [cell["_type"] for cell in stored[:3]] == ["image-file", "html-file", "audio-file"]
    assert stored[3] == list(range(40))
    found = tracker.Api().artifact("p/run-abc-cells:latest")
    assert (found.type, found.aliases) == ("run_table", ["latest"])
    again = found.get("cells")
    assert isinstance(again.data[0][0], tracker.Image)
    assert again.data[0][1].html == tracker.Html("x").html
    assert math.isnan(again.data[0][4])
    assert again.data[0][3] == list(range(40))
    assert tracker.Api().artifact("p/run-abc-viz:latest").version == "v0"


NAN, INF = math.nan, math.inf
NUMBERS: dict[str, tuple[list[Any], list[Any]]] = {  # the logged values and the values that are read
    "numbers": ([1.0, NAN, INF, -INF, None], [1.0, NAN, INF, -INF, None]),
    "scalars of numpy": ([np.float32("nan"), np.float64("inf"), np.float64("nan")], [NAN, INF, NAN]),
    "lists": ([[1.0, NAN], [INF, 2.0]], [[1.0, NAN], [INF, 2.0]]),
    "lists that begin without": ([[1.0, 2.0], [NAN, -INF]], [[1.0, 2.0], [NAN, -INF]]),
    "lists in lists": ([[[1.0, NAN], [2.0, INF]]], [[[1.0, NAN], [2.0, INF]]]),
    "dicts": ([{"a": NAN, "b": [INF, NAN]}], [{"a": NAN, "b": [INF, NAN]}]),
    "short arrays": ([np.array([1.0, NAN, INF]), np.zeros(3)], [[1.0, NAN, INF], [0.0, 0.0, 0.0]]),
    "long arrays": ([np.full(200, NAN)], [np.full(200, NAN)]),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_nan_and_infinities_are_read_back(run: Run, what: str) -> None:
    cells, read = NUMBERS[what]
    table = tracker.Table(columns=["x"], data=[[cell] for cell in cells])
    artifact = tracker.Artifact("held", "dataset")
    artifact.add(table, "t")
    run.log({"logged": table})
    run.log_artifact(artifact)
    run.finish()
    api = tracker.Api()
    for found in (api.artifact("p/held:v0").get("t"), api.artifact("p/run-abc-logged:v0").get("logged")):
        assert repr(found.get_column("x")) == repr(read)


def test_nan_in_a_column_that_is_not_optional_can_be_read(run: Run) -> None:
    """Scalars of numpy are numbers even if they are NaN. The table file declares the column as optional."""
    table = tracker.Table(columns=["x"], data=[[np.float32(1)], [np.float32("nan")]], optional=False)
    artifact = tracker.Artifact("held", "dataset")
    artifact.add(table, "t")
    run.log_artifact(artifact)
    run.finish()
    assert repr(tracker.Api().artifact("p/held:v0").get("t").data) == "[[1.0], [nan]]"


def test_null_in_a_list_of_numbers_is_nan(run: Run) -> None:
    """wandb and older versions of tracker wrote NaN as null, and infinities as objects with a ``_type``."""
    types = {"v": {"wb_type": "list", "params": {"element_type": {"wb_type": "number"}, "length": 2}}}
    described = {
        "_type": "table",
        "columns": ["v"],
        "data": [[[1.0, None]], [[{"_type": "number", "value": "Infinity"}, 2.0]]],
        "column_types": {"wb_type": "typedDict", "params": {"type_map": types}},
    }
    artifact = tracker.Artifact("old", "dataset")
    with artifact.new_file("t.table.json") as file:
        json.dump(described, file)
    run.log_artifact(artifact)
    run.finish()
    assert repr(tracker.Api().artifact("p/old:v0").get("t").data) == "[[[1.0, nan]], [[inf, 2.0]]]"


def test_a_changed_table_is_logged_again_if_it_is_mutable(run: Run) -> None:
    fixed = tracker.Table(columns=["x"], data=[[1]])
    mutable = tracker.Table(columns=["x"], data=[[1]], log_mode="MUTABLE")
    for step in range(2):
        run.log({"fixed": fixed, "mutable": mutable})
        fixed.add_data(step)
        mutable.add_data(step)
    run.finish()
    first, second = logged(run)
    # As in wandb: the same file, but the current number of rows.
    assert second["fixed"] == {**first["fixed"], "nrows": 2}
    assert (first["mutable"]["nrows"], second["mutable"]["nrows"]) == (1, 2)
    assert json.loads(content(second["mutable"]))["data"] == [[1], [0]]


def test_an_incremental_table_logs_only_new_rows(run: Run) -> None:
    table = tracker.Table(columns=["x"], log_mode="INCREMENTAL")
    for value in range(3):
        table.add_data(value)
        run.log({"t": table})
    with pytest.raises(tracker.Error, match="not supported for tables with log_mode='INCREMENTAL'"):
        table.add_column("y", [1, 2, 3])
    run.finish()
    rows = [row["t"] for row in logged(run)]
    assert [row["_type"] for row in rows] == ["incremental-table-file"] * 3
    assert [row["increment_num"] for row in rows] == [0, 1, 2]
    assert [len(row["previous_increments_paths"]) for row in rows] == [0, 1, 2]
    assert json.loads(content(rows[2]))["data"] == [[2]]
    found = tracker.Api().artifact("p/run-abc-incr-t:latest")
    assert found.type == "wandb-run-incremental-table"
    name = next(path for path in found.content_paths() if path.startswith("2-"))
    assert found.get(name).data == [[0], [1], [2]]


def test_keys_link_tables(run: Run) -> None:
    people = tracker.Table(columns=["name", "nick"], data=[["ann", "a"], ["bob", "b"]])
    people.set_pk("name")
    visits = tracker.Table(columns=["who"], data=[["bob"]])
    visits.set_fk("who", people, "name")
    with pytest.raises(AssertionError, match="multiple primary keys"):
        people.set_pk("nick")
    with pytest.raises(AssertionError, match="same table"):
        people.set_fk("nick", people, "name")
    rows = tracker.Table(columns=["row"], data=[[people.index_ref(1)]])
    artifact = tracker.Artifact("linked", "dataset")
    artifact.add(visits, "visits")
    artifact.add(rows, "rows")
    run.log_artifact(artifact).wait()
    run.finish()
    found = tracker.Api().artifact("p/linked:latest")
    assert found.get("visits").data[0][0]._table.columns == ["name", "nick"]
    assert found.get("rows").data[0][0].get_row() == {"name": "bob", "nick": "b"}


def test_objects_of_every_type_in_an_artifact(run: Run, tmp_path: Path) -> None:
    classes = tracker.Classes([{"id": 0, "name": "road"}, {"id": 1, "name": "car"}])
    mask = {"mask_data": np.eye(2, dtype=np.uint8)}
    image = tracker.Image(np.zeros((2, 2)), masks={"m": mask}, classes=classes, caption="c")
    (tmp_path / "m.pdb").write_text("END\n")
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    table = tracker.Table(columns=["when", "big", "i"], data=[[when, np.eye(20), image]])
    objects = {
        "table": table,
        "image": image,
        "audio": tracker.Audio([0.0], sample_rate=1, caption="a"),
        "html": tracker.Html("x"),
        "cloud": tracker.Object3D(np.zeros((3, 3))),
        "molecule": tracker.Molecule(str(tmp_path / "m.pdb")),
        "video": tracker.Video(np.zeros((2, 3, 4, 4), dtype=np.uint8), format="gif"),
        "classes": classes,
    }
    artifact = tracker.Artifact("objects", "dataset")
    for name, obj in objects.items():
        artifact.add(obj, name)
    # As in wandb: the artifact has the image already.
    assert artifact.add(image, "other").path == "image.image-file.json"
    run.log_artifact(artifact).wait()
    run.finish()
    found = tracker.Api().artifact("p/objects:latest")
    paths = set(found.content_paths())
    assert {"table.table.json", "audio.audio-file.json", "cloud.object3D-file.json"} < paths
    assert any(path.startswith("media/serialized_data/") for path in paths)
    for name, obj in objects.items():
        assert type(found.get(name)) is type(obj), name
    again = found.get("table")
    assert again.data[0][0] == when
    assert (again.data[0][1] == np.eye(20)).all()
    assert found.get("image") == image
    assert np.asarray(found.get("image")._masks["m"]._source).size
    with pytest.raises(ValueError, match="Non-point cloud"):
        (tmp_path / "m.obj").write_text("v 0 0 0")
        tracker.Artifact("x", "y").add(tracker.Object3D(str(tmp_path / "m.obj")), "model")


def test_joined_and_partitioned_tables(run: Run) -> None:
    artifact = tracker.Artifact("joined", "dataset")
    left = tracker.Table(columns=["id", "x"], data=[[1, 2]])
    right = tracker.Table(columns=["id", "y"], data=[[1, 3]])
    artifact.add(tracker.JoinedTable(left, right, "id"), "both")
    for part in range(2):
        artifact.add(tracker.Table(columns=["n"], data=[[part]]), f"parts/{part}")
    artifact.add(tracker.PartitionedTable("parts"), "all")
    run.log_artifact(artifact).wait()
    run.log({"joined": tracker.JoinedTable(left, right, ["id", "id"])})
    run.finish()
    found = tracker.Api().artifact("p/joined:latest")
    both = found.get("both")
    assert (both._join_key, both._table1, both._table2) == ("id", left, right)
    assert list(found.get("all").iterrows()) == [(0, [0]), (1, [1])]
    (row,) = logged(run)
    assert row["joined"]["_type"] == "joined-table"
    assert row["joined"]["artifact_path"].endswith("/joined.joined-table.json")
    for bad in ((left, right, 3), ("t.json", right, "id"), (left, 1, "id")):
        with pytest.raises(ValueError, match="JoinedTable"):
            tracker.JoinedTable(*bad)


def test_eval_tables(run: Run) -> None:
    table = tracker.EvalTable(
        input_columns=["q"], output_columns=["a"], score_columns=["s"], data=[["?", "!", 1]]
    )
    run.log({"e": table})
    with pytest.raises(ValueError, match="do not exist"):
        run.log({"bad": tracker.EvalTable(columns=["q"], input_columns=["other"])})
    run.finish()
    row = logged(run)[0]["e"]
    assert (row["_type"], row["input_columns"], row["score_columns"]) == ("eval-table", ["q"], ["s"])
    with pytest.raises(tracker.UsageError, match="log_mode='IMMUTABLE'"):
        tracker.EvalTable(log_mode="MUTABLE")
