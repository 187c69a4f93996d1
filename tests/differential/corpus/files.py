"""``save`` and ``restore``: files of a run."""

from __future__ import annotations

import os

import wandb

from differential.script import Seen, script


def _write(path: str, text: str) -> str:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


@script
def save_now(seen: Seen) -> None:
    run = wandb.init(project="demo")
    saved = run.save(_write("notes.txt", "some notes"), policy="now")
    seen("saved", [os.path.basename(path) for path in saved])
    wandb.save(_write("module.txt", "by the module"), policy="now")
    run.finish()


@script
def save_glob(seen: Seen) -> None:
    for name in ("a.txt", "b.txt", "c.log"):
        _write(f"logs/{name}", name)
    run = wandb.init(project="demo")
    saved = run.save("logs/*.txt", policy="end")
    seen("saved", sorted(os.path.relpath(path, run.dir) for path in saved))
    run.finish()


@script
def save_with_base(seen: Seen) -> None:
    path = os.path.abspath(_write("deep/er/x.txt", "x"))
    run = wandb.init(project="demo")
    saved = run.save(path, base_path=os.path.abspath("deep"))
    seen("saved", [os.path.relpath(one, run.dir) for one in saved])
    plain = run.save(os.path.abspath(_write("far/away/y.txt", "y")))
    seen("absolute", [os.path.relpath(one, run.dir) for one in plain])
    run.finish()


@script
def save_changed_until_the_end(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.save(_write("live.txt", "first"), policy="live")
    _write("live.txt", "last")
    run.finish()


@script
def save_refuses(seen: Seen) -> None:
    run = wandb.init(project="demo")
    with seen.error("policy"):
        run.save("a.txt", policy="sometimes")
    seen("missing", run.save("missing.txt"))
    seen("no match", run.save("nothing/*.txt"))
    with seen.error("base"):
        run.save("/etc/hostname", base_path="/usr")
    with seen.error("number"):
        run.save(3)
    run.finish()


@script
def written_into_the_folder(seen: Seen) -> None:
    run = wandb.init(project="demo")
    with open(os.path.join(run.dir, "model.txt"), "w") as file:
        file.write("weights")
    os.makedirs(os.path.join(run.dir, "sub"))
    with open(os.path.join(run.dir, "sub", "x.txt"), "w") as file:
        file.write("x")
    run.finish()


@script
def restore_while_offline(seen: Seen) -> None:
    with seen.error("without a run"):
        wandb.restore("x.txt")


@script
def mark_preempting_and_status(seen: Seen) -> None:
    run = wandb.init(project="demo")
    run.mark_preempting()
    seen("status", run.status().sync_items_pending)
    run.log({"a": 1})
    run.finish()
