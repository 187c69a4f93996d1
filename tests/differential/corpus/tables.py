"""``Table``: creation, errors and stored files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import wandb

from differential.script import Seen, differs, script

PIXELS = (np.arange(4 * 5 * 3) % 256).astype(np.uint8).reshape(4, 5, 3)


@script
def plain_table(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["id", "name", "score"], data=[[1, "a", 0.5], [2, "b", None]])
    table.add_data(3, "c", 0.75)
    seen("columns", table.columns)
    seen("data", table.data)
    run.log({"results": table})
    run.finish()


_NAN = {
    "wandb": "writes null for NaN into the artifact of a table, so that it is read back as None",
    "tracker": "writes a bare NaN, which wandb reads back as NaN; the digests of the table differ",
    "because": "NaN and null are different values; docs/decisions/0031",
}


@differs("runs/0/artifacts/0/digest", "4c0697385715c0e84b4c4a08315d3f34", **_NAN)
@differs("runs/0/artifacts/0/manifest/frame.table.json/digest", "UhNbMHpgy/IHNw9fXQ2V8g==", **_NAN)
@differs(
    "runs/0/files/media/table/frame_0_<hash>.table.json/0/json/data/1/1",
    {"_type": "number", "value": "NaN"},
    wandb="writes a bare NaN into a table file, which is not valid JSON and which browsers cannot read",
    tracker="writes NaN as an object",
    because="NaN is kept in valid JSON; wandb/wandb#1671",
)
@script
def of_a_frame(seen: Seen) -> None:
    run = wandb.init(project="demo")
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, float("nan")], "text": ["a", "b"], "flag": [True, False]})
    run.log({"frame": wandb.Table(dataframe=frame)})
    run.finish()


_CELLS = {
    "wandb": "a media cell has only the name of its class in the run's copy; the artifact has the media",
    "tracker": "the run's copy has the path of the media file in the run; the artifact is as in wandb",
    "because": "the dashboard shows the media without the artifact; docs/decisions/0031",
}


@differs(
    "runs/0/files/media/images/pictures_0_<hash>.png",
    [
        {"format": "PNG", "mode": "RGB", "size": [5, 4], "pixels": "e64dc410872989e7b13b0a7046ee648f"},
        {"format": "PNG", "mode": "RGB", "size": [5, 4], "pixels": "ea0fb8f1d9e8436d6312bd67726b533e"},
    ],
    **_CELLS,
)
@differs(
    "runs/0/files/media/table/pictures_0_<hash>.table.json/0/json/data/0/1",
    {
        "_type": "image-file",
        "format": "png",
        "height": 4,
        "path": "media/images/pictures_0_<hash>.png",
        "sha256": "<of the file>",
        "size": "<of the file>",
        "width": 5,
    },
    **_CELLS,
)
@differs(
    "runs/0/files/media/table/pictures_0_<hash>.table.json/0/json/data/1/1",
    {
        "_type": "image-file",
        "format": "png",
        "height": 4,
        "path": "media/images/pictures_0_<hash>.png",
        "sha256": "<of the file>",
        "size": "<of the file>",
        "width": 5,
    },
    **_CELLS,
)
@script
def with_images(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["id", "image"])
    for at in range(2):
        table.add_data(at, wandb.Image(PIXELS + at))
    run.log({"pictures": table})
    run.finish()


@script
def rows_that_do_not_fit(seen: Seen) -> None:
    table = wandb.Table(columns=["a", "b"])
    table.add_data(1, "x")
    table.add_data(None, "y")
    table.add_data(2.5, None)
    with seen.error("type", words="Data row contained incompatible types"):
        table.add_data("text", "z")
    with seen.error("length"):
        table.add_data(1)
    mixed = wandb.Table(columns=["a"], allow_mixed_types=True)
    mixed.add_data(1)
    mixed.add_data("text")
    seen("mixed", mixed.data)
    run = wandb.init(project="demo")
    run.log({"table": table, "mixed": mixed})
    run.finish()


@script
def refuses(seen: Seen) -> None:
    with seen.error("data is not a list"):
        wandb.Table(columns=["a"], data=3)
    with seen.error("rows of other length"):
        wandb.Table(columns=["a"], data=[[1, 2]])
    with seen.error("frame that is none"):
        wandb.Table(dataframe=[1])
    with seen.error("columns"):
        wandb.Table(columns=[1.5], data=[[1]])
    with seen.error("missing column"):
        wandb.Table(columns=["a"], data=[[1]]).get_column("b")


@script
def columns(seen: Seen) -> None:
    table = wandb.Table(columns=["a", "b"], data=[[1, 2], [3, 4]])
    table.add_column("c", [5, 6])
    seen("column", table.get_column("c"))
    seen("array", table.get_column("a", convert_to="numpy").tolist())
    table.add_computed_columns(lambda index, row: {"sum": row["a"] + row["b"] + index})
    seen("sum", table.get_column("sum"))
    seen("rows", [[int(index), row] for index, row in table.iterrows()])
    with seen.error("length"):
        table.add_column("d", [1])
    with seen.error("there is one"):
        table.add_column("a", [1, 2])
    seen("frame", table.get_dataframe().to_dict("list"))
    run = wandb.init(project="demo")
    run.log({"table": table})
    run.finish()


@script
def numpy_cells(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["i", "f", "list", "array", "dict"])
    table.add_data(np.int64(1), np.float32(0.5), [1, 2], np.arange(3), {"a": 1})
    run.log({"table": table})
    run.finish()


@script
def default_columns(seen: Seen) -> None:
    table = wandb.Table()
    seen("columns", table.columns)
    array = wandb.Table(data=np.arange(4).reshape(2, 2), columns=["x", "y"])
    seen("array", array.data)
    seen("equal", wandb.Table(columns=["a"], data=[[1]]) == wandb.Table(columns=["a"], data=[[1]]))


@script
def logged_twice(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["a"], data=[[1]])
    run.log({"table": table})
    table.add_data(2)
    run.log({"table": table})
    run.finish()


@script
def mutable(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["a"], data=[[1]], log_mode="MUTABLE")
    run.log({"table": table})
    table.add_data(2)
    run.log({"table": table})
    run.finish()


@differs(
    "runs/0/artifacts/1/manifest/None-<time>.table.table.json",
    {"digest": "<of the names>"},
    wandb="offline, a version of an incremental artifact lists only its new files",
    tracker="also lists the files of the previous version, as a server does",
    because="artifacts work offline",
)
@script
def incremental(seen: Seen) -> None:
    run = wandb.init(project="demo")
    table = wandb.Table(columns=["a"], log_mode="INCREMENTAL")
    for at in range(2):
        table.add_data(at)
        run.log({"table": table})
    run.finish()


@script
def key_with_slash(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"val/table one": wandb.Table(columns=["a"], data=[[1]])})
    run.finish()


@script
def in_an_artifact(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("data", "dataset")
    artifact.add(wandb.Table(columns=["a", "b"], data=[[1, "x"]]), "my_table")
    artifact.add(wandb.Image(PIXELS), "picture")
    run.log_artifact(artifact)
    run.finish()


@script
def joined(seen: Seen) -> None:
    run = wandb.init(project="demo")
    left = wandb.Table(columns=["id", "a"], data=[[1, "x"]])
    right = wandb.Table(columns=["id", "b"], data=[[1, "y"]])
    artifact = wandb.Artifact("joined", "dataset")
    artifact.add(wandb.JoinedTable(left, right, "id"), "join")
    run.log_artifact(artifact)
    run.finish()
