"""Facts of a run's start become files of the run, without secrets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scripts
from sqlalchemy import select

from tracker.capture import git as git_module
from tracker.capture.git import difference, find_repository
from tracker.capture.secrets import HIDDEN, hide, hide_in_address, hide_in_arguments, is_secret_name
from tracker.recorder.follow import catch_up
from tracker.recorder.open_store import open_store
from tracker.store.catalog.models import RunFile

SCRIPT = """
import tracker
run = tracker.init(project="p", id="r", settings={"silent": True})
run.log({"x": 1})
run.finish()
"""


def git(folder: Path, *command: str) -> None:
    identity = ["-c", "user.email=a@b.c", "-c", "user.name=n", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *command], cwd=folder, check=True, capture_output=True)


def run_script(folder: Path, *arguments: str, script: str = "train.py", **variables: str) -> None:
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=folder,
        env=scripts.environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def files(folder: Path) -> dict[str, bytes]:
    store = open_store(folder / "tracker-store", create=False)
    catch_up(store)
    with store.reading() as session:
        found = {file.path: store.blobs.read(file.sha256) for file in session.scalars(select(RunFile))}
    store.close()
    return found


def metadata(folder: Path) -> dict[str, Any]:
    return json.loads(files(folder)["wandb-metadata.json"])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "src").mkdir()
    (folder / "src" / "train.py").write_text(SCRIPT)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    git(folder, "remote", "add", "origin", "https://user:hunter2hunter2@example.com/me/code.git")
    return folder


def test_machine_program_git_packages_and_job(repository: Path) -> None:
    (repository / "src" / "train.py").write_text(SCRIPT + "# changed\n")
    (repository / "staged.txt").write_text("new\n")
    git(repository, "add", "staged.txt")
    run_script(
        repository,
        "--lr",
        "0.1",
        script="src/train.py",
        SLURM_JOB_ID="77",
        SLURM_JOB_NODELIST="n[1-2]",
        SLURM_JWT="not-to-be-kept",
        WANDB_SAVE_CODE="true",
    )
    found = files(repository)
    facts = json.loads(found["wandb-metadata.json"])
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=repository, text=True).strip()
    assert facts["git"] == {"remote": "https://example.com/me/code.git", "commit": commit}
    assert facts["program"] == str(repository / "src" / "train.py")
    assert (facts["codePath"], facts["codePathLocal"]) == ("src/train.py", "src/train.py")
    assert (facts["args"], facts["root"]) == (["--lr", "0.1"], str(repository))
    assert facts["slurm"] == {"job_id": "77", "job_nodelist": "n[1-2]"}
    assert facts["executable"] == sys.executable
    assert facts["python"].startswith("CPython 3.")
    assert facts["cpu_count_logical"] == os.cpu_count()
    assert int(facts["memory"]["total"]) > 2**28
    assert facts["startedAt"].endswith("Z")
    packages = found["requirements.txt"].decode().splitlines()
    assert any(line.startswith("msgspec==") for line in packages)
    assert any(line.startswith("nvidia-ml-py==") for line in packages)
    assert b"+# changed" in found["diff.patch"]
    assert b"+new" in found["diff.patch"]
    assert found["code/src/train.py"].decode() == SCRIPT + "# changed\n"
    everything = b"".join(found.values())
    assert b"hunter2" not in everything
    assert b"not-to-be-kept" not in everything


def test_secrets_of_arguments_environment_and_differences_are_not_kept(repository: Path) -> None:
    (repository / "src" / "train.py").write_text(
        SCRIPT + "KEY = 'from-the-environment'\n# ghp_" + "a" * 36 + "\n"
    )
    run_script(
        repository,
        *("--api-key", "one-secret", "--token=two-secret", "db.password=three-secret", "--data"),
        *(
            "https://me:four-secret@host/x",
            "--hf",
            "from-the-environment",
            "--max-tokens",
            "128",
            "--tokenizer",
            "gpt2",
        ),
        script="src/train.py",
        MY_API_KEY="from-the-environment",
    )
    found = files(repository)
    assert json.loads(found["wandb-metadata.json"])["args"] == [
        *("--api-key", HIDDEN, f"--token={HIDDEN}", f"db.password={HIDDEN}", "--data", "https://host/x"),
        *("--hf", HIDDEN, "--max-tokens", "128", "--tokenizer", "gpt2"),
    ]
    everything = b"".join(found.values())
    for secret in (b"-secret", b"from-the-environment", b"ghp_"):
        assert secret not in everything
    assert b"+KEY = '[hidden]'" in found["diff.patch"]


SECRET = "hunter2-Tr0ub4dor"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--password", SECRET],
        [f"--password={SECRET}"],
        ["--pw", SECRET],
        [f"--pw={SECRET}"],
        ["-pw", SECRET],
        ["--db.passwd", SECRET],
        ["--hf-token", SECRET],
        [f"token={SECRET}"],
        [f"+trainer.logger.api_key={SECRET}"],
        [f'--json={{"password": "{SECRET}"}}'],
        ["--json", f'{{"auth": {{"user": "me", "api_key": "{SECRET}"}}}}'],
        ["--config", f"{{password: {SECRET}, lr: 1}}"],
        ["--header", f"Authorization: Bearer {SECRET}"],
        [f"--header=Authorization: Basic {SECRET}"],
        ["-H", f"X-Api-Key: {SECRET}"],
        ["-H", f"Cookie: session={SECRET}"],
        [f"https://host/x?lr=1&token={SECRET}&n=2"],
        [f"postgresql://me:{SECRET}@host/db"],
        ["sh", "-c", f"DB_PASSWORD={SECRET} python train.py"],
        ["-u", f"me:{SECRET}"],
        ["-p", SECRET],
        ["-k", f"{SECRET}!"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(SECRET, "X"),
)
def test_a_secret_is_hidden_in_every_form_and_marked(arguments: list[str]) -> None:
    kept = hide_in_arguments(arguments)
    assert SECRET not in " ".join(kept)
    assert HIDDEN in " ".join(kept) or "://" in arguments[0]
    assert len(kept) == len(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "5"],
        ["-p", "8080"],
        ["-m", "package.module"],
        ["-o", "out/model_1"],
        ["--max-tokens", "512"],
        ["--token-dim=64"],
        ["--key", "value"],
        ["--json", '{"lr": 0.1, "monkey": "x"}'],
        ["--passes", "3"],
        ["-n", "experiment-7"],
        ["https://host/x?lr=1"],
        ["--basic", "True"],
    ],
    ids=" ".join,
)
def test_arguments_that_are_not_secret_are_kept(arguments: list[str]) -> None:
    assert hide_in_arguments(arguments) == arguments


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"+password: {SECRET}", f"+password: {HIDDEN}"),
        (f"+PASSWORD={SECRET}", f"+PASSWORD={HIDDEN}"),
        (f'+    "api_key": "{SECRET}",', f'+    "api_key": "{HIDDEN}",'),
        (f"+token = '{SECRET}'", f"+token = '{HIDDEN}'"),
        (f"+client = Client(token='{SECRET}', lr=1)", f"+client = Client(token='{HIDDEN}', lr=1)"),
        ("+def login(password: str = None, token: str | None = None):", None),
        ("+token = get_token()", None),
        ("+password = os.environ['PASSWORD']", None),
        ("+tokens = tokenizer(text)", None),
        ("+token = tokens[0]", None),
    ],
)
def test_secrets_in_a_difference(line: str, kept: str | None) -> None:
    assert hide(line) == (line if kept is None else kept)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[
            (name, True)
            for name in ("--api-key", "HF_TOKEN", "openaiApiKey", "db.password", "AWS_SECRET_ACCESS_KEY")
        ],
        *[
            (name, False)
            for name in ("--tokenizer", "--max-tokens", "--token-dim", "--key", "--keyboard", "monkey")
        ],
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_addresses_lose_users_and_passwords() -> None:
    assert hide_in_address("https://ghp_token@github.com/a/b") == "https://github.com/a/b"
    assert hide_in_address("ssh://git:pw@host:22/a") == "ssh://git@host:22/a"
    assert hide_in_address("git@github.com:a/b.git") == "git@github.com:a/b.git"
    assert hide("see s3://bucket/key and a@b.c") == "see s3://bucket/key and a@b.c"
    assert hide_in_arguments(["--password", "--verbose", "-x=1"]) == ["--password", "--verbose", "-x=1"]


def test_settings_override_detected_facts(repository: Path) -> None:
    (repository / "train.py").write_text(
        "import tracker\ntracker.init(project='p', settings={'username': 'me', 'silent': True}).finish()\n"
    )
    run_script(repository, WANDB_HOST="node", WANDB_USER_EMAIL="me@example.com", WANDB_PROGRAM="other.py")
    facts = metadata(repository)
    said = {name: facts[name] for name in ("host", "username", "email", "program", "codePath")}
    assert said == {
        "host": "node",
        "username": "me",
        "email": "me@example.com",
        "program": "other.py",
        "codePath": "train.py",
    }


def test_disabled_facts_are_not_stored(repository: Path) -> None:
    (repository / "src" / "train.py").write_text(SCRIPT + "# changed\n")
    without_code, without_git, without_facts = (
        shutil.copytree(repository, repository.with_name(name)) for name in ("code-2", "code-3", "code-4")
    )
    run_script(without_code, script="src/train.py", WANDB_DISABLE_CODE="true", WANDB_SAVE_CODE="true")
    found = files(without_code)
    assert "git" in json.loads(found["wandb-metadata.json"])
    assert set(found) == {"wandb-metadata.json", "requirements.txt"}
    run_script(
        without_git, script="src/train.py", WANDB_DISABLE_GIT="true", WANDB_X_DISABLE_MACHINE_INFO="true"
    )
    found = files(without_git)
    assert not {"git", "email", "memory"} & json.loads(found["wandb-metadata.json"]).keys()
    assert "diff.patch" not in found
    run_script(without_facts, script="src/train.py", WANDB_X_DISABLE_META="true")
    assert files(without_facts) == {}


def test_without_git_the_other_facts_are_stored(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    run_script(tmp_path, PATH="/nonexistent")
    facts = metadata(tmp_path)
    assert facts["codePath"] == "train.py"
    assert "git" not in facts


def test_a_long_difference_is_cut_and_marked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "LARGEST_DIFFERENCE", 1000)
    (repository / "src" / "train.py").write_text("x = 1\n" * 1000)
    found = find_repository(str(repository))
    assert found is not None
    patch = difference(found)
    assert patch is not None
    assert len(patch) < 1100
    assert patch.endswith(b"# cut off: the difference is above 1000 bytes\n")


def test_a_git_that_hangs_is_not_waited_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_module, "PATIENCE_SECONDS", 0.3)
    assert find_repository(str(repository)) is None


def test_programs_that_a_repository_configures_are_not_run(repository: Path) -> None:
    """A program for differences, or to watch files, would run with the permissions of the training."""
    git(repository, "config", "diff.external", "touch ran-external; true")
    git(repository, "config", "core.fsmonitor", "touch ran-monitor; true")
    (repository / "src" / "train.py").write_text("x = 1\n")
    found = find_repository(str(repository))
    assert found is not None
    assert difference(found) is not None
    assert not list(repository.glob("ran-*"))


def test_equal_packages_of_two_runs_are_one_blob(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace('id="r", ', "") * 2)
    run_script(tmp_path)
    store = open_store(tmp_path / "tracker-store", create=False)
    catch_up(store)
    with store.reading() as session:
        found = session.execute(
            select(RunFile.run_id, RunFile.sha256).where(RunFile.path == "requirements.txt")
        ).all()
    store.close()
    assert len(found) == 2
    assert len({sha256 for _, sha256 in found}) == 1


def test_cards_and_driver_are_described(tmp_path: Path, driver: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    run_script(tmp_path, LD_LIBRARY_PATH=str(driver))
    facts = metadata(tmp_path)
    assert (facts["gpu"], facts["gpu_count"], facts["cudaVersion"]) == ("NVIDIA Test 80GB", 2, "12.4")
    assert facts["gpu_nvidia"][1] == {
        "name": "NVIDIA Test 80GB",
        "memoryTotal": str(80 << 30),
        "uuid": "GPU-1",
    }


def test_a_notebooks_session_is_kept(tmp_path: Path) -> None:
    code = """
import os
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
os.environ["WANDB_SAVE_CODE"] = "true"
shell.run_cell("import tracker; run = tracker.init(project='p', id='r')", store_history=True)
shell.run_cell("40 + 2", store_history=True)
shell.run_cell("run.finish()", store_history=True)
"""
    scripts.run(code, tmp_path, IPYTHONDIR=str(tmp_path / "ipython"))
    notebook = json.loads(files(tmp_path)["code/_session_history.ipynb"])
    assert [cell["source"] for cell in notebook["cells"]][:2] == [
        "import tracker; run = tracker.init(project='p', id='r')",
        "40 + 2",
    ]
    assert notebook["cells"][1]["outputs"][0]["text"] == "42"
