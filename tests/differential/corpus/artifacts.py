"""Artifacts: digests, manifests, aliases and errors."""

from __future__ import annotations

import os

import wandb

from differential.script import Seen, differs, script


def _write(path: str, text: str) -> str:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


@script
def one_file(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact(
        "data", type="dataset", description="words", metadata={"n": 1, "nested": {"a": [1, 2]}}
    )
    entry = artifact.add_file(_write("file1.txt", "hello"))
    seen("entry", [entry.path, entry.digest, entry.size])
    run.log_artifact(artifact)
    run.finish()


@script
def named_otherwise(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("file1.txt", "hello"), name="great-file.txt")
    seen("draft", [artifact.is_draft(), artifact.name, artifact.type])
    seen("digest", artifact.digest)
    run.log_artifact(artifact, aliases=["best", "mine"], tags=["t1", "t2"])
    run.finish()


@script
def folders(seen: Seen) -> None:
    for path, text in {"d/a.txt": "a", "d/sub/b.txt": "b", "d/sub/ü c.txt": "c", "d/.hidden": "h"}.items():
        _write(path, text)
    run = wandb.init(project="demo")
    whole = wandb.Artifact("whole", "dataset")
    whole.add_dir("d")
    run.log_artifact(whole)
    below = wandb.Artifact("below", "dataset")
    below.add_dir("d", name="prefix")
    run.log_artifact(below)
    seen("files", sorted(whole.manifest.entries))
    run.finish()


@script
def by_path(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = run.log_artifact(_write("model.pt", "weights"), name="model", type="model")
    seen("name", artifact.name.split(":")[0])
    run.log_artifact(_write("folder/x.txt", "x") and "folder", name="folder", type="data")
    with seen.error("missing"):
        run.log_artifact("nowhere.pt", name="none", type="model")
    run.finish()


@script
def by_path_without_names(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = run.log_artifact(_write("model.pt", "weights"))
    seen("type", artifact.type)
    run.finish()


@script
def new_files(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("notes", "text")
    with artifact.new_file("a.txt") as file:
        file.write("first")
    with artifact.new_file("b/c.bin", mode="wb") as file:
        file.write(b"\x00\x01")
    with seen.error("again"):
        with artifact.new_file("a.txt") as file:
            file.write("second")
    run.log_artifact(artifact)
    with seen.error("broken off"):
        with artifact.new_file("d.txt") as file:
            raise KeyError("stop")
    run.finish()


@script
def same_content_again(seen: Seen) -> None:
    run = wandb.init(project="demo")
    for aliases in (["first"], ["second"]):
        artifact = wandb.Artifact("data", "dataset")
        artifact.add_file(_write("a.txt", "same"))
        run.log_artifact(artifact, aliases=aliases)
    run.finish()


@script
def two_versions(seen: Seen) -> None:
    run = wandb.init(project="demo")
    for at, aliases in enumerate((["best"], ["latest"], ["best"])):
        artifact = wandb.Artifact("data", "dataset", metadata={"at": at})
        artifact.add_file(_write("a.txt", f"version {at}"))
        run.log_artifact(artifact, aliases=aliases)
    run.finish()


@script
def references(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("refs", "dataset")
    path = os.path.abspath(_write("big.bin", "big"))
    artifact.add_reference("https://example.com/data.csv", name="data.csv", checksum=False)
    seen("file", [entry.digest for entry in artifact.add_reference(f"file://{path}", name="local")])
    seen("entries", {name: entry.digest for name, entry in artifact.manifest.entries.items()})
    seen("digest", artifact.digest)
    with seen.error("no scheme"):
        artifact.add_reference("no-scheme")
    run.finish()


@script
def names_it_refuses(seen: Seen) -> None:
    for name in ("a b", "a/b", "a:b", "ä", "a" * 129, ""):
        with seen.error(f"name {name[:5]}", words="Artifact name" if name else ""):
            wandb.Artifact(name, "dataset")
    with seen.error("type"):
        wandb.Artifact("data", "wandb-x")
    with seen.error("job"):
        wandb.Artifact("data", "job")
    with seen.error("metadata"):
        wandb.Artifact("data", "dataset", metadata=[1])
    seen("good", wandb.Artifact("a-b_c.d", "any type").name)


_DRAFT = {
    "wandb": "an artifact without a version, as all artifacts offline, cannot be read",
    "tracker": "an added object can be read immediately; KeyError for an object that was not added",
    "because": "artifacts work offline; wandb/wandb#5309",
}


@differs(
    "seen/entry",
    {"raised": ["KeyError", "LookupError", "Exception"]},
    **_DRAFT,
)
@script
def files_it_refuses(seen: Seen) -> None:
    artifact = wandb.Artifact("data", "dataset")
    with seen.error("missing file"):
        artifact.add_file("nowhere.txt")
    with seen.error("missing folder"):
        artifact.add_dir("nowhere")
    artifact.add_file(_write("a.txt", "one"))
    artifact.add_file(_write("a.txt", "one"))
    with seen.error("other content"):
        artifact.add_file(_write("a.txt", "two"))
    artifact.add_file("a.txt", overwrite=True)
    with seen.error("policy"):
        artifact.add_file("a.txt", name="b", policy="sometimes")
    with seen.error("entry"):
        artifact.get_entry("nope")
    artifact.remove("a.txt")
    seen("left", sorted(artifact.manifest.entries))
    with seen.error("remove"):
        artifact.remove("a.txt")


@script
def aliases_it_refuses(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("a.txt", "one"))
    for alias in ("a/b", "a:b"):
        with seen.error(f"alias {alias}"):
            run.log_artifact(artifact, aliases=[alias])
    with seen.error("tag"):
        run.log_artifact(artifact, tags=["a,b"])
    run.finish()


@script
def finalized(seen: Seen) -> None:
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("a.txt", "one"))
    artifact.finalize()
    with seen.error("add_file"):
        artifact.add_file(_write("b.txt", "two"))
    with seen.error("new_file"):
        with artifact.new_file("c.txt") as file:
            file.write("c")
    seen("metadata", artifact.metadata)


@script
def drafts_know_little(seen: Seen) -> None:
    artifact = wandb.Artifact("data", "dataset")
    for field in ("version", "id", "aliases", "created_at", "entity", "project", "url", "source_name"):
        with seen.error(field):
            getattr(artifact, field)
    for method in ("download", "delete", "logged_by", "used_by", "wait", "checkout", "verify"):
        with seen.error(method):
            getattr(artifact, method)()
    seen("state", str(artifact.state))
    seen("size", artifact.size)
    seen("description", artifact.description)
    seen("metadata", artifact.metadata)


@differs(
    "runs/0/artifacts/0/metadata/nan",
    "<nan>",
    wandb="NaN becomes null",
    tracker="NaN is kept",
    because="NaN and null are different values",
)
@script
def metadata_of_many_types(seen: Seen) -> None:
    import numpy as np

    run = wandb.init(project="demo")
    metadata = {
        "np": np.float32(0.5),
        "array": np.arange(3),
        "none": None,
        "nan": float("nan"),
        "tuple": (1, 2),
    }
    artifact = wandb.Artifact("data", "dataset", metadata=metadata)
    artifact.metadata["later"] = "yes"
    artifact.description = "later too"
    artifact.add_file(_write("a.txt", "one"))
    run.log_artifact(artifact)
    run.finish()


@differs(
    "seen/get",
    {"raised": []},
    **_DRAFT,
)
@differs(
    "seen/get_path",
    {"raised": []},
    **_DRAFT,
)
@script
def get_added(seen: Seen) -> None:
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("a.txt", "one"), name="inside.txt")
    seen("added", artifact.get_added_local_path_name("a.txt"))
    with seen.error("get_path"):
        artifact.get_path("inside.txt")
    with seen.error("get"):
        artifact.get("nope")


@script
def model(seen: Seen) -> None:
    run = wandb.init(project="demo", id="the-run")
    run.log_model(_write("model.pt", "weights"), name="my-model", aliases=["best"])
    run.log_model("model.pt")
    run.finish()


@script
def module_functions(seen: Seen) -> None:
    wandb.init(project="demo")
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("a.txt", "one"))
    seen("returned", wandb.log_artifact(artifact) is artifact)
    wandb.finish()


@differs(
    "seen/use",
    {"raised": []},
    wandb="use_artifact raises TypeError offline",
    tracker="use_artifact works offline",
    because="artifacts work offline; wandb/wandb#5309, wandb/wandb#5712, wandb/wandb#9631",
)
@script
def use_while_offline(seen: Seen) -> None:
    run = wandb.init(project="demo")
    artifact = wandb.Artifact("data", "dataset")
    artifact.add_file(_write("a.txt", "one"))
    run.log_artifact(artifact)
    with seen.error("use"):
        run.use_artifact("data:latest")
    run.finish()


@script
def log_code(seen: Seen) -> None:
    _write("src/train.py", "print(1)\n")
    _write("src/data.csv", "1\n")
    _write("src/lib/util.py", "x = 1\n")
    run = wandb.init(project="demo", id="the-run")
    artifact = run.log_code("src")
    seen("type", artifact.type)
    none = run.log_code("src", include_fn=lambda path: path.endswith(".nothing"))
    seen("nothing", none)
    run.log_code("src", name="other", include_fn=lambda path: path.endswith(".csv"))
    run.finish()
