"""Settings: arguments, ``wandb.Settings``, environment variables, and their precedence."""

from __future__ import annotations

import os

import wandb

from differential.script import Seen, differs, script


@script
def from_the_environment(seen: Seen) -> None:
    os.environ |= {
        "WANDB_PROJECT": "from-env",
        "WANDB_NAME": "name of env",
        "WANDB_RUN_ID": "id-of-env",
        "WANDB_RUN_GROUP": "group of env",
        "WANDB_JOB_TYPE": "job of env",
        "WANDB_TAGS": "a,b , c",
        "WANDB_NOTES": "notes of env",
    }
    run = wandb.init()
    seen("tags", run.tags)
    run.finish()


@script
def arguments_win(seen: Seen) -> None:
    os.environ |= {"WANDB_PROJECT": "env", "WANDB_NAME": "env", "WANDB_TAGS": "env", "WANDB_NOTES": "env"}
    wandb.init(project="argument", name="argument", tags=["argument"], notes="argument").finish()


@script
def disabled_by_the_environment(seen: Seen) -> None:
    os.environ["WANDB_MODE"] = "disabled"
    run = wandb.init(project="demo")
    run.log({"a": 1})
    seen("disabled", run.disabled)
    run.finish()


_DISABLED = {
    "wandb": "0.31 ignores WANDB_DISABLED",
    "tracker": "uses it",
    "because": "scripts still set this older variable",
}


@differs("runs", [], **_DISABLED)
@differs("seen/disabled", True, **_DISABLED)
@script
def disabled_by_the_older_variable(seen: Seen) -> None:
    os.environ["WANDB_DISABLED"] = "true"
    run = wandb.init(project="demo")
    seen("disabled", run.disabled)
    run.finish()


@script
def dryrun(seen: Seen) -> None:
    os.environ["WANDB_MODE"] = "dryrun"
    run = wandb.init(project="demo")
    seen("offline", run.offline)
    run.log({"a": 1})
    run.finish()


@script
def settings_object(seen: Seen) -> None:
    settings = wandb.Settings(
        project="of-settings", run_group="g", run_job_type="j", run_name="n", run_notes="notes"
    )
    run = wandb.init(settings=settings)
    seen("project", run.project)
    seen(
        "settings",
        [run.settings.project, run.settings.run_group, run.settings.mode, run.settings.run_id == run.id],
    )
    run.finish()


@script
def settings_dict(seen: Seen) -> None:
    run = wandb.init(project="demo", settings={"run_name": "named", "console": "off", "_disable_stats": True})
    seen("name", run.name)
    run.finish()


@script
def settings_it_refuses(seen: Seen) -> None:
    with seen.error("unknown"):
        wandb.Settings(no_such_setting=1)
    with seen.error("mode"):
        wandb.Settings(mode="sometimes")
    with seen.error("console"):
        wandb.Settings(console="loud")
    with seen.error("project"):
        wandb.Settings(project="a/b")
    with seen.error("run id"):
        wandb.Settings(run_id="a/b")


@script
def config_paths(seen: Seen) -> None:
    with open("defaults.yaml", "w") as file:
        file.write("lr:\n  desc: learning rate\n  value: 0.5\nplain:\n  value: 3\n")
    settings = wandb.Settings(config_paths=["defaults.yaml"])
    run = wandb.init(project="demo", config={"lr": 0.1}, settings=settings)
    seen("config", dict(run.config))
    run.finish()


@script
def config_defaults_file(seen: Seen) -> None:
    with open("config-defaults.yaml", "w") as file:
        file.write("batch:\n  value: 32\nlr:\n  value: 1\n")
    run = wandb.init(project="demo", config={"lr": 0.1})
    seen("config", dict(run.config))
    run.finish()


@script
def setup_login_and_friends(seen: Seen) -> None:
    wandb.setup()
    wandb.require("core")
    wandb.termlog("a line")
    wandb.termwarn("a warning")
    wandb.termerror("an error")
    seen("offline login", wandb.login())
    seen("generated id", len(wandb.sdk.lib.runid.generate_id()))
    seen("version", isinstance(wandb.__version__, str))
    seen("levels", [level.name for level in wandb.AlertLevel])
    wandb.init(project="demo").finish()
    wandb.teardown()


@script
def after_teardown(seen: Seen) -> None:
    wandb.init(project="demo", id="one").finish()
    wandb.teardown()
    os.environ["WANDB_PROJECT"] = "later"
    wandb.init(id="two").finish()


@script
def names_in_wandb_env(seen: Seen) -> None:
    names = ("PROJECT", "ENTITY", "MODE", "RUN_ID", "NAME", "TAGS", "NOTES", "API_KEY", "BASE_URL", "DIR")
    seen("names", {name: getattr(wandb.env, name, None) for name in names})


@differs(
    "seen/bases/UnsupportedError",
    ["UsageError", "Error", "NotImplementedError", "RuntimeError", "Exception"],
    wandb="UnsupportedError is a UsageError",
    tracker="it is also a NotImplementedError",
    because="code that catches NotImplementedError also catches it",
)
@script
def errors_there_are(seen: Seen) -> None:
    seen(
        "bases",
        {
            name: [base.__name__ for base in getattr(wandb.errors, name).__mro__[1:-2]]
            for name in ("Error", "UsageError", "CommError", "AuthenticationError", "UnsupportedError")
        },
    )
    seen("top", [wandb.Error is wandb.errors.Error])
