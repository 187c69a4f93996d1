"""Tests of commands that save settings, and of ``pull``, ``restore`` and ``login``."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
import scripts
from serving import command, serving

import tracker
from tracker.ground import config_files


def succeed(folder: Path, *arguments: str) -> str:
    done = command(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(succeed(folder, "status"))
    return found


def test_a_folder_remembers_project_and_mode(tmp_path: Path) -> None:
    succeed(tmp_path, "init", "--project", "mine", "-e", "team")
    with tracker.init() as run:
        assert run.path == f"team/mine/{run.id}"
    succeed(tmp_path, "offline")
    assert (status(tmp_path)["mode"], status(tmp_path)["project"]) == ("offline", "mine")
    succeed(tmp_path, "disabled")
    with tracker.init() as run:
        assert run.disabled
    with tracker.init(mode="online", project="argument") as run:
        assert (run.disabled, run.project) == (False, "argument")
    succeed(tmp_path, "enabled")
    assert tracker.init().disabled is False
    tracker.finish()
    succeed(tmp_path, "init", "--reset")
    assert (status(tmp_path)["mode"], status(tmp_path)["project"]) == ("online", "uncategorized")
    refused = command("init", folder=tmp_path)
    assert refused.returncode == 1
    assert "No setting given" in refused.stderr


def test_server_address_in_settings_of_wandb_is_ignored(tmp_path: Path) -> None:
    """A script must not contact a host that the user never configured for tracker."""
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(
        "[default]\nbase_url = https://api.wandb.ai\nproject = old\ndisabled = false\n"
    )
    assert (status(tmp_path)["base_url"], status(tmp_path)["project"]) == (None, "old")
    (tmp_path / "wandb" / "settings").write_text("[default\nproject")
    broken = command("status", folder=tmp_path)
    assert broken.returncode == 1
    assert "cannot read the settings in" in broken.stderr and len(broken.stderr.splitlines()) == 1


def test_login_without_a_server_changes_nothing(tmp_path: Path) -> None:
    code = "import tracker as wandb; print(wandb.login(), wandb.login(key='k'))"
    done = scripts.run(code, tmp_path)
    assert done.stdout == "True True\n"
    assert "no login is needed. Runs are kept in" in done.stderr
    done = scripts.run("import tracker as wandb; print(wandb.login())", tmp_path, WANDB_MODE="offline")
    assert done.stdout == "False\n"
    assert "Unable to verify login in offline mode" in done.stderr
    assert command("login", "some-key", folder=tmp_path).returncode == 0
    assert not (tmp_path / ".netrc").exists()


def test_login_to_a_server(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine other\n  login me\n  password secret\n")
    (tmp_path / "server").mkdir()
    with serving(tmp_path / "server" / "tracker-store", key=True) as server:
        refused = command("login", "--host", server.url, "local-wrong", folder=tmp_path)
        assert refused.returncode == 1
        assert "refuses the given API key" in refused.stderr
        assert status(tmp_path)["base_url"] is None
        assert "local-wrong" not in (tmp_path / ".netrc").read_text()
        assert server.key is not None
        assert server.url in succeed(tmp_path, "login", "--host", server.url, server.key)
        noted = tmp_path / ".netrc"
        assert stat.S_IMODE(noted.stat().st_mode) == 0o600
        assert noted.read_text().count("machine") == 2
        assert "password secret" in noted.read_text()
        shown = status(tmp_path)
        assert (shown["base_url"], shown["api_key"]) == (server.url, "set")
        assert "were logged and read back" in succeed(tmp_path, "verify")
        with server.client(Authorization=f"Bearer {server.key}") as api:
            assert '"verify"' in api.get("/projects").text
        done = scripts.run("import tracker; print(tracker.login())", tmp_path)
        assert done.stdout == "True\n"
    away = scripts.run("import tracker; print(tracker.login())", tmp_path)
    assert away.stdout == "True\n"
    assert "Runs are kept here until the server answers" in away.stderr


def test_pull_downloads_the_files_of_a_run(tmp_path: Path) -> None:
    with tracker.init(project="p", id="r", config={"lr": 0.5}, settings={"silent": True}) as run:
        run.log({"x": 1})
    (tmp_path / "there").mkdir()
    store = ("--store", str(tmp_path / "tracker-store"))
    said = succeed(tmp_path / "there", "pull", "p/r", *store)
    assert "config.yaml\n" in said
    assert "lr" in (tmp_path / "there" / "config.yaml").read_text()
    assert "config.yaml is up to date" in succeed(tmp_path / "there", "pull", "-p", "p", "r", *store)
    gone = command("pull", "p/nothing", *store, folder=tmp_path / "there")
    assert gone.returncode == 4
    assert "nothing" in gone.stderr and len(gone.stderr.splitlines()) == 1


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_restore_checks_out_the_code_and_writes_the_config(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "code.py").write_text("one\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    commit = git(work, "rev-parse", "HEAD")
    store = str(tmp_path / "tracker-store")
    with tracker.init(project="p", id="r", config={"lr": 0.5}, settings={"silent": True}):
        pass
    run = tracker.Api().run("p/r")
    (tmp_path / "wandb-metadata.json").write_text(json.dumps({"git": {"commit": commit}}))
    (tmp_path / "diff.patch").write_text(
        "diff --git a/code.py b/code.py\n--- a/code.py\n+++ b/code.py\n@@ -1 +1 @@\n-one\n+one, changed\n"
    )
    for name in ("wandb-metadata.json", "diff.patch"):
        run.upload_file(name)
    (work / "code.py").write_text("two\n")
    dirty = command("restore", "p:r", "--store", store, folder=work)
    assert dirty.returncode == 1
    assert "uncommitted changes" in dirty.stderr
    git(work, "commit", "-qam", "second")
    said = succeed(work, "restore", "p:r", "--store", store)
    assert f"code: {commit} on branch wandb/r" in said
    assert git(work, "rev-parse", "--abbrev-ref", "HEAD") == "wandb/r"
    assert (work / "code.py").read_text() == "one, changed\n"
    assert "lr" in (work / "wandb" / "config.yaml").read_text()


def test_put_accepts_the_arguments_of_wandb(tmp_path: Path) -> None:
    (tmp_path / "my weights.bin").write_bytes(b"w")
    assert succeed(tmp_path, "artifact", "put", "my weights.bin") == "local/uncategorized/my_weights.bin:v0\n"
    put = ("artifact", "put", "-n", "p/model", "-t", "model", "-a", "best", "my weights.bin")
    assert succeed(tmp_path, *put) == "local/p/model:v0\n"
    assert "model" in succeed(tmp_path, "artifact", "ls", "-t", "model", "p")
    got = succeed(tmp_path, "artifact", "get", "--type", "model", "p/model:best").strip()
    assert (Path(got) / "my weights.bin").read_bytes() == b"w"
    wrong = command("artifact", "get", "--type", "dataset", "p/model:best", folder=tmp_path)
    assert wrong.returncode == 1
    assert "Nothing to clean" in succeed(tmp_path, "artifact", "cache", "cleanup", "10GB")


@pytest.mark.parametrize("key", ["", "two words", "ümlaut", "new\nline"])
def test_invalid_key_is_refused(key: str) -> None:
    with pytest.raises(tracker.UsageError, match="contains a space or a non-ASCII character"):
        config_files.write_key("http://host:1", key)
    assert not os.path.exists(os.environ["NETRC"])
