"""Questions about a store with runs of every kind, for each method of ``Reader``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scripts
from serving import Server

import tracker
from tracker.errors import Error
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.store.objects.layout import Layout

P = ("team", "p")
R0, R1, R2 = ((*P, f"r{at}") for at in range(3))
NEW = ("team", "new")


def log_runs(store: Path) -> None:
    """Log the runs."""
    for at in range(6):
        _log(store, at)


def change_runs(server: Server) -> None:
    """Archive, delete, move and link through the server of the store, once all runs are sealed."""
    with server.client() as api:
        scripts.wait_for(lambda: _is_sealed(server.store), "all segments to be sealed")
        assert api.patch("/projects/team/p/runs/r3", json={"archived": True}).is_success
        assert api.delete("/projects/team/p/runs/r4").is_success
        move = {"to_project": "new"}
        assert api.post("/projects/team/p/runs/r5/move", json=move).is_success
        view = {"name": "my view", "content": {"order": "-loss"}}
        assert api.post("/projects/team/p/documents/views", json=view).is_success
        tags = {"tags": ["t"], "description": "d"}
        assert api.patch("/projects/team/p/collections/data", json=tags).is_success
        link = {"entity": "team", "project": "p", "name": "data", "version": 1, "digest": "", "time": 1.0}
        target = {"target_entity": "team", "target_project": "registry", "target_name": "best"}
        assert api.post("/artifacts/link", json={**link, **target, "aliases": ["x"]}).is_success


def _is_sealed(store: Path) -> bool:
    return Layout(store).list_journals() == []


def _log(store: Path, at: int) -> None:
    run = tracker.init(
        entity="team", project="p", id=f"r{at}", name=f"run {at}", tags=[f"t{at % 2}"], group="g",
        config={"lr": at / 10, "kind": "ab"[at % 2]}, reinit="create_new",
        settings={"store": store, "silent": True, "console": "off"},
    )  # fmt: skip
    run.define_metric("loss", step_metric="epoch", summary="min")
    for step in range(8):
        run.log({"epoch": step // 2, "loss": math.nan if step == 3 else at - step / 2})
    rows = [[row, row * at / 4, "xy"[row % 2]] for row in range(5)]
    run.log({"table": tracker.Table(["id", "score", "label"], rows)})
    if at in (0, 1, 5):
        artifact = tracker.Artifact("data", "dataset", metadata={"at": at})
        with artifact.new_file("sub/a.txt") as file:
            file.write(f"content {at}")
        run.log_artifact(artifact, aliases=[f"a{at}"]).wait()
    if at in (1, 2, 5):
        run.use_artifact("data:v0")
    run.finish()


def page(reader: Any, **options: Any) -> Any:
    return reader.runs(*P, **{"limit": 9, "offset": 0, "order": "name", **options})


def version(reader: Any, reference: str = "v1") -> Any:
    return reader.artifact(*P, "data", reference)


def without_revision(answer: Any) -> str:
    """Return an answer as text. Revisions of the store differ after a rebuild."""
    return re.sub(r"revision=\d+", "revision=0", repr(answer))


CURVES: dict[str, Any] = {"groups": {"a": ["r0", "r2"], "b": ["r1"]}, "keys": ["loss"]}
ORDER = "-summary.loss,name"
# By method of ``Reader``: questions about the store.
QUESTIONS: dict[str, list[Callable[[Any], Any]]] = {
    "projects": [lambda r: sorted((each.entity, each.name, each.runs) for each in r.projects())],
    "runs": [
        lambda r: page(r).runs,
        lambda r: page(r, query='tag:t0 config.lr<0.3 "run"').runs,
        lambda r: page(r, filters={"archived": True}).runs,
        lambda r: page(r, limit=1, order=ORDER, cursor=page(r, limit=1, order=ORDER).next).runs,
        lambda r: r.runs(*NEW, limit=9, offset=0, order="name").runs,
        lambda r: page(r, query="(state:failed"),
    ],
    "run_values": [lambda r: r.run_values(*P, ["name", "config.lr"], limit=9, offset=0, order="name").runs],
    "run_groups": [lambda r: r.run_groups(*P, by=["config.kind"], metrics=["loss"]).groups],
    "fields": [
        lambda r: r.fields(*P),
        lambda r: r.fields(*P, search="KIND", values=1),
        lambda r: r.fields(*NEW, limit=2),
    ],
    "run": [
        lambda r: r.run(*R0),
        lambda r: r.run(*NEW, "r5"),
        lambda r: r.run(*P, "r5"),
        lambda r: r.run(*P, "r4"),
    ],
    "deleted_runs": [lambda r: [(each.id, each.name, each.token) for each in r.deleted_runs(*P).runs]],
    "moved_run": [lambda r: r.moved_run(*P, "r5"), lambda r: r.moved_run(*R0)],
    "history": [lambda r: r.history(*R0, None, False), lambda r: r.history(*NEW, "r5", ["loss"], True)],
    "table": [lambda r: r.table(*R0, ["loss"], None).to_pydict()],
    "export_history": [
        lambda r: b"".join(r.export_history(*R0, "jsonl")),
        lambda r: b"".join(r.export_history(*R1, "csv", min_step=3)),
    ],
    "system": [lambda r: r.system(*R0)],
    "export_system": [lambda r: b"".join(r.export_system(*R0, "jsonl"))],
    "console": [lambda r: r.console(*R0, tail=5)],
    "output_text": [lambda r: b"".join(r.output_text(*R0))],
    "metrics": [
        lambda r: r.metrics(*P, ["r0", "r1"]),
        lambda r: r.metrics(*P, query="config.kind:a"),
        lambda r: r.metrics(*P, filters={"archived": True}),
        lambda r: r.metrics(*P, ["r5"]),
        lambda r: r.metrics(*P, ["r0"], query="tag:t0"),
    ],
    "run_lines": [
        lambda r: r.run_lines(*P, ["r0", "r1"], ["loss", "epoch"], points=3),
        lambda r: r.run_lines(*P, ["no"], ["loss"]),
    ],
    "grouped_curves": [lambda r: r.grouped_curves(*P, CURVES["groups"], CURVES["keys"])],
    "distribution": [lambda r: r.distribution(*P, ["r0", "r1"], "loss", bins=4)],
    "table_page": [lambda r: r.table_page(*R2, "table", order=["-score"], limit=2, filters={"label": "x"})],
    "table_groups": [lambda r: r.table_groups(*R2, "table", by=["label"], columns=["score"])],
    "compare_tables": [
        lambda r: r.compare_tables(*P, ("r1", "table", None), ("r2", "table", None), on=["id"])
    ],
    "files": [lambda r: [(each.path, each.size, each.sha256) for each in r.files(*R0)]],
    "file_page": [lambda r: [each.path for each in r.file_page(*R0, prefix="media/", limit=1).files]],
    "file_chunks": [lambda r: [b"".join(r.file_chunks(*R0, each)) for each in r.files(*R0)]],
    "artifacts": [lambda r: r.artifacts(*P, None, None), lambda r: r.artifacts(*NEW, "r5", None)],
    "artifact": [
        version,
        lambda r: version(r, "a5"),
        lambda r: r.artifact("team", "registry", "best", "x"),
        lambda r: version(r, "no"),
    ],
    "used_artifacts": [lambda r: r.used_artifacts(*NEW, "r5")],
    "collections": [lambda r: r.collections(*P, None)],
    "links": [lambda r: r.links(version(r))],
    "manifest": [lambda r: r.manifest(version(r)).entries],
    "folder": [lambda r: r.folder(version(r)), lambda r: r.folder(version(r), search="a.t")],
    "difference": [lambda r: r.difference(version(r, "v0"), version(r))],
    "chunks": [lambda r: [b"".join(r.chunks(version(r), each)) for each in r.manifest(version(r)).entries]],
    "version_lineage": [lambda r: r.version_lineage(*P, "data", "v0")],
    "run_lineage": [lambda r: r.run_lineage(*NEW, "r5")],
    "registry": [lambda r: r.registry("team")],
    "artifact_sizes": [lambda r: r.artifact_sizes(*P, None)],
    "documents": [lambda r: r.documents(*P, "views")],
    "document": [
        lambda r: r.document(*P, "views", r.documents(*P, "views")[0].id),
        lambda r: r.document(*P, "views", "no"),
    ],
}
# By method of ``Reader``: changes. Files that cannot be written refuse them.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "edit": lambda r: r.edit(*R0, {"name": "x"}),
    "delete_run": lambda r: r.delete_run(*R0, False),
    "restore_run": lambda r: r.restore_run(*P, "r4"),
    "purge_run": lambda r: r.purge_run(*P, "r4"),
    "move_run": lambda r: r.move_run(*R0, "other"),
    "change_collection": lambda r: r.change_collection(*P, "data", {"description": "x"}),
    "create_document": lambda r: r.create_document(*P, "views", "x", {}),
    "update_document": lambda r: r.update_document(*P, "views", r.documents(*P, "views")[0].id, 1, name="x"),
    "delete_document": lambda r: r.delete_document(*P, "views", r.documents(*P, "views")[0].id, 1),
    "change": lambda r: r.change(ArtifactChanged(*P, "data", 0, "", 1.0, values={"description": "x"})),
    "link": lambda r: r.link(ArtifactLinked(*P, "data", 0, "", *P, "x", [], 1.0)),
}
# Methods without a question here: they concern the reader itself, or have their own tests.
OTHERS = {
    "url",
    "api_overrides",
    "catch_up",
    "close",
    "journals",
    "can_change",
    "blob",
    "fetch",
    "change_runs",
}


def answer(question: Callable[[Any], Any], reader: Any) -> str:
    """Return the answer of a reader, or its error, as text."""
    try:
        return without_revision(question(reader))
    except Error as error:
        message = error.message.removeprefix(f"{reader.url}: ")  # a server is named
        return f"{type(error).__name__}: {message}"
