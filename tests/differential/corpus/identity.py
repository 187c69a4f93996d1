"""The id, name, project and tags of a run; modes and errors of ``init``; the end of a run."""

from __future__ import annotations

import sys

import wandb

from differential.script import Seen, differs, script


@script
def described(seen: Seen) -> None:
    run = wandb.init(
        project="demo",
        name="first run",
        id="my-run",
        notes="some\nnotes",
        tags=["b", "a"],
        group="g",
        job_type="train",
    )
    for field in (
        "id",
        "name",
        "project",
        "notes",
        "tags",
        "group",
        "job_type",
        "resumed",
        "offline",
        "disabled",
    ):
        seen(field, getattr(run, field))
    seen("starting_step", run.starting_step)
    seen("sweep_id", run.sweep_id)
    seen("active", wandb.run is run)
    seen("start_time", isinstance(run.start_time, float))
    run.finish()
    seen("after", wandb.run)


@script
def undescribed(seen: Seen) -> None:
    run = wandb.init()
    for field in ("project", "notes", "tags", "group", "job_type"):
        seen(field, getattr(run, field))
    seen("length of id", len(run.id))
    seen("url", run.url)
    run.finish()


@script
def changed_while_it_runs(seen: Seen) -> None:
    run = wandb.init(project="demo", tags=["one"])
    run.name = "better name"
    run.notes = "better notes"
    run.tags = ("two", "three")
    run.tags += ("four",)
    seen("name", run.name)
    seen("tags", run.tags)
    seen("notes", run.notes)
    run.finish()


_ONE_TAG = {
    "wandb": "splits a plain string into letters",
    "tracker": "uses a plain string as one tag",
    "because": "a user who gives one string means one tag",
}


@differs("runs/1/tags", ["debug"], **_ONE_TAG)
@differs("seen/text", {"tuple": ["debug"]}, **_ONE_TAG)
@script
def tags_twice_and_as_text(seen: Seen) -> None:
    wandb.init(project="demo", tags=("a", "a", "b")).finish()
    run = wandb.init(project="demo", tags="debug")
    seen("text", run.tags)
    run.finish()


@script
def names_it_refuses(seen: Seen) -> None:
    with seen.error("slash in project", words="Invalid project name"):
        wandb.init(project="a/b")
    with seen.error("long project", words="Invalid project name"):
        wandb.init(project="p" * 129)
    for sign in ":;,#?/'":
        with seen.error(f"id with {sign}"):
            wandb.init(project="demo", id=f"a{sign}b")
    with seen.error("empty id"):
        wandb.init(project="demo", id="")
    with seen.error("id of spaces"):
        wandb.init(project="demo", id="  ")
    with seen.error("long tag"):
        wandb.init(project="demo", tags=["t" * 65])
    with seen.error("empty tag"):
        wandb.init(project="demo", tags=[""])
    with seen.error("mode"):
        wandb.init(project="demo", mode="sometimes")
    with seen.error("resume"):
        wandb.init(project="demo", resume="perhaps")
    with seen.error("reinit"):
        wandb.init(project="demo", reinit="perhaps")
    with seen.error("unknown argument"):
        wandb.init(project="demo", nonsense=1)
    seen("run", wandb.run)


@script
def init_twice(seen: Seen) -> None:
    first = wandb.init(project="demo", config={"a": 1})
    second = wandb.init(project="other", config={"b": 2})
    seen("same", second is first)
    wandb.log({"x": 1})
    wandb.finish()
    seen("after", wandb.run)
    third = wandb.init(project="demo")
    seen("new id", third.id != first.id)
    third.finish()


@script
def reinit_create_new(seen: Seen) -> None:
    first = wandb.init(project="demo", id="first")
    second = wandb.init(project="demo", id="second", reinit="create_new")
    seen("active", wandb.run.id)
    second.log({"b": 1})
    first.log({"a": 1})
    second.finish()
    seen("still active", wandb.run.id)
    first.finish()


@script
def reinit_finish_previous(seen: Seen) -> None:
    first = wandb.init(project="demo", id="first")
    second = wandb.init(project="demo", id="second", reinit="finish_previous")
    seen("active", wandb.run.id)
    with seen.error("first is finished"):
        first.log({"a": 1})
    second.log({"b": 1})
    second.finish()


@script
def reinit_true_and_return_previous(seen: Seen) -> None:
    first = wandb.init(project="demo", id="first")
    second = wandb.init(project="demo", id="second", reinit=True)
    seen("true makes a new one", second.id)
    third = wandb.init(project="demo", id="third", reinit="return_previous")
    seen("returns", third.id)
    seen("first", first.id)
    third.finish()


@script
def disabled(seen: Seen) -> None:
    run = wandb.init(project="demo", mode="disabled", config={"a": 1})
    run.log({"loss": 1})
    run.summary["x"] = 3
    run.define_metric("loss", summary="min")
    seen("disabled", run.disabled)
    seen("config", dict(run.config))
    seen("summary", run.summary["x"])
    seen("module", wandb.run is run)
    seen("name", run.name.startswith("dummy-"))
    seen("artifact", type(run.log_artifact(wandb.Artifact("a", "t"))).__name__)
    run.finish()
    seen("after", wandb.run)


@script
def exit_codes(seen: Seen) -> None:
    wandb.init(project="demo", id="zero").finish()
    wandb.init(project="demo", id="three").finish(exit_code=3)
    wandb.init(project="demo", id="left")


@script
def ends_with_an_error(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.log({"a": 1})
    raise ValueError("it broke")


@script
def ends_with_sys_exit(seen: Seen) -> None:
    wandb.init(project="demo")
    wandb.log({"a": 1})
    sys.exit(5)


@script
def as_context(seen: Seen) -> None:
    with wandb.init(project="demo", id="good") as run:
        run.log({"a": 1})
    seen("after", wandb.run)
    with seen.error("passes"):
        with wandb.init(project="demo", id="bad") as run:
            raise KeyError("x")
    seen("after the error", wandb.run)


@script
def finish_twice_and_without_a_run(seen: Seen) -> None:
    wandb.finish()
    run = wandb.init(project="demo")
    run.finish()
    run.finish()
    wandb.finish()
    with seen.error("config"):
        run.config["late"] = 1
    with seen.error("summary"):
        run.summary["late"] = 1
    with seen.error("metric"):
        run.define_metric("late")
    with seen.error("artifact"):
        run.log_artifact(wandb.Artifact("a", "t"))


@script
def before_init(seen: Seen) -> None:
    seen("run", wandb.run)
    with seen.error("config", words="You must call wandb.init() before wandb.config"):
        wandb.config["a"] = 1
    with seen.error("config attribute", words="You must call wandb.init() before wandb.config"):
        wandb.config.a  # noqa: B018
    with seen.error("summary", words="You must call wandb.init() before wandb.summary"):
        wandb.summary["a"] = 1
    with seen.error("save", words="You must call wandb.init() before wandb.save()"):
        wandb.save("x")
    with seen.error("watch"):
        wandb.watch(None)
    with seen.error("artifact", words="You must call wandb.init() before wandb.log_artifact()"):
        wandb.log_artifact(wandb.Artifact("a", "t"))
    with seen.error("alert"):
        wandb.alert("a", "b")


@script
def path_and_dir(seen: Seen) -> None:
    run = wandb.init(project="demo", id="the-run")
    seen("path ends", run.path.endswith("demo/the-run"))
    seen("dir", run.dir.replace("\\", "/").rsplit("-", 2)[-1])
    seen("folder", run.dir.split("/")[-1])
    with open(f"{run.dir}/mine.txt", "w") as file:
        file.write("mine")
    run.finish()


@script
def alerts(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.alert(title="Low", text="accuracy is low", level=wandb.AlertLevel.WARN)
    run.alert("plain", "text")
    wandb.alert(title="module", text="text", level="ERROR")
    with seen.error("level"):
        run.alert("x", "y", level="LOUD")
    run.finish()
