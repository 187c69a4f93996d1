"""``tracker run`` and ``tracker env``: ``import wandb`` imports tracker in one process tree only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import scripts
from differential.sides import real_python

import tracker

COMMAND = (sys.executable, "-m", "tracker.cli.main")


def tracker_run(
    *arguments: str | Path, folder: Path, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``tracker run ARGUMENTS`` in a folder."""
    done = subprocess.run(
        [*COMMAND, "run", *map(str, arguments)],
        cwd=folder,
        env=scripts.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


SCRIPT = """
import sys, wandb
with wandb.init(config={"arguments": sys.argv[1:]}) as run:
    wandb.log({"loss": 0.5})
print(run.path)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["python", "train.py"],
        ["train.py"],
        ["-m", "train"],
        ["--", "python", "-u", "-W", "error::SyntaxWarning", "train.py"],
        ["sh", "-c", 'exec python "$0" "$@"', "train.py"],
        ["env", "RANK=0", "python", "train.py"],
    ],
    ids=" ".join,
)
def test_a_program_for_wandb_logs_here(
    tmp_path: Path, script: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tracker_run(
        "--project", "p", "--store", "kept", *words, "--lr", "1", "--project=x", folder=tmp_path
    )
    path = done.stdout.strip()
    assert path.startswith("local/p/")
    monkeypatch.setenv("TRACKER_STORE", str(tmp_path / "kept"))
    run = tracker.Api().run(path)
    assert run.config == {"arguments": ["--lr", "1", "--project=x"]}
    assert run.summary["loss"] == 0.5


def test_subprocesses_import_tracker_too(tmp_path: Path, script: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, 'train.py'], check=True)"
    assert "uncategorized" in tracker_run("-c", code, folder=tmp_path).stdout


def test_exit_status_and_signals_are_those_of_the_program(tmp_path: Path) -> None:
    assert tracker_run("-c", "raise SystemExit(7)", folder=tmp_path, check=False).returncode == 7
    assert (
        tracker_run("-c", "import os; os.kill(os.getpid(), 9)", folder=tmp_path, check=False).returncode == -9
    )
    process = subprocess.Popen(
        [*COMMAND, "run", "python", "-c", "print('here', flush=True); input()"],
        cwd=tmp_path,
        env=scripts.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    assert process.returncode in (-signal.SIGINT, 130)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["no-such-program"], 127, "cannot run no-such-program: No such file or directory"),
        ([], 1, "No program given"),
        (["-m"], 1, "Option -m needs a value"),
        (["python", "-I", "train.py"], 1, "python -I makes Python ignore PYTHONPATH"),
        (["python3", "-uE", "-m", "train"], 1, "python3 -uE makes Python ignore PYTHONPATH"),
        (["srun", "python", "-X", "dev", "-I", "train.py"], 1, "python -I makes Python ignore PYTHONPATH"),
    ],
    ids=str,
)
def test_an_impossible_command_is_reported_in_one_line(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    done = tracker_run(*words, folder=tmp_path, check=False)
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_options_of_a_program_are_not_options_of_python(tmp_path: Path) -> None:
    done = tracker_run("python", "-c", "import sys; print(sys.argv[1:])", "-I", "-E", folder=tmp_path)
    assert done.stdout == "['-I', '-E']\n"


def test_a_python_without_tracker_is_reported_in_one_line(tmp_path: Path) -> None:
    """``-S`` leaves out site-packages, so that Python has no tracker."""
    done = tracker_run(
        "-c",
        "import subprocess, sys, os; os.environ['PYTHONPATH'] = os.environ['PYTHONPATH'].split(':')[0];"
        "sys.exit(subprocess.run([sys.executable, '-S', '-c', 'import wandb']).returncode)",
        folder=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert (
        "has no tracker, or an older one. Install tracker for this Python too."
        in done.stderr.splitlines()[-1]
    )


PROBES = """
import importlib.metadata, importlib.util
assert importlib.metadata.version("wandb") == "0.31.0"
spec = importlib.util.find_spec("wandb")
assert spec is not None and spec.name == "wandb" and spec.loader is not None
import wandb, tracker
assert wandb.__version__ == "0.31.0" and wandb.__spec__ is not None
assert importlib.util.find_spec("wandb.sdk.lib.runid") is not None
assert importlib.util.find_spec("wandb.nothing") is None
from wandb.sdk.lib import RunDisabled
from wandb.wandb_run import Run
from wandb.sdk.wandb_run import Run as Run2
assert Run is Run2 is wandb.Run is tracker.Run
from wandb.sdk.lib.runid import generate_id
import wandb.util
assert len(wandb.util.generate_id()) == 8 and len(generate_id(12)) == 12
from wandb.sdk.artifacts.artifact import Artifact
from wandb.sdk.data_types.image import Image
from wandb.sdk.wandb_settings import Settings
assert (Artifact, Image, Settings) == (tracker.Artifact, tracker.Image, tracker.Settings)
from wandb.errors import CommError, Error, UsageError
from wandb.errors.term import termwarn
from wandb.apis.public import Api
assert Api is wandb.Api is tracker.Api and wandb.apis.public.Api is Api
assert wandb.env.PROJECT == "WANDB_PROJECT"
assert wandb.sdk.wandb_run.Run is Run
for path in ("wandb.sdk.launch", "wandb.nothing", "wandb.sdk.nothing"):
    try:
        __import__(path)
    except ModuleNotFoundError as error:
        assert path in str(error)
    else:
        raise AssertionError(path)
for module in (wandb, wandb.sdk, wandb.sdk.lib, wandb.util):
    assert not hasattr(module, "nothing_like_it"), module
assert not hasattr(wandb, "store") and not hasattr(wandb, "names")
namespace = {}
exec("from wandb.errors import *", namespace)
assert namespace["CommError"] is CommError and "CommError" in dir(wandb.errors)
hasattr(wandb, "keras")  # an answer, whether keras is installed or not
try:
    wandb.controller({})
except NotImplementedError as error:
    assert isinstance(error, UsageError) and "controller() is not supported: agents choose" in str(error)
else:
    raise AssertionError("controller")
print("good")
"""


def test_names_that_libraries_look_for_exist(tmp_path: Path) -> None:
    assert tracker_run("-c", PROBES, folder=tmp_path).stdout == "good\n"


def test_import_tracker_gives_the_same_objects(tmp_path: Path) -> None:
    code = """
import tracker as wandb
assert len(wandb.util.generate_id()) == 8
assert wandb.sdk.lib.runid.generate_id is wandb.util.generate_id
assert wandb.sdk.wandb_run.Run is wandb.Run
from tracker.sdk.lib import RunDisabled
from tracker.apis.public import Api
assert Api is wandb.Api
import sys
assert not [name for name in sys.modules if name.partition(".")[0] == "wandb"]
"""
    scripts.run(code, tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a folder with another distribution of the name wandb."""
    site = tmp_path / "other"
    (site / "wandb").mkdir(parents=True)
    (site / "wandb" / "__init__.py").write_text("__version__ = '0.1.real'\n")
    (site / "wandb-0.1.dist-info").mkdir()
    (site / "wandb-0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: wandb\nVersion: 0.1\n"
    )
    return site


WHICH = "import wandb, importlib.metadata; print(wandb.__version__, importlib.metadata.version('wandb'))"


def which(folder: Path, command: str, other: Path) -> str:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{other}:{scripts.ROOT}", "PYTHON": sys.executable, "CODE": WHICH},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_without_tracker_run_an_installed_wandb_is_imported(tmp_path: Path, other: Path) -> None:
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    plain, through = '"$PYTHON" -B -c "$CODE"', '"$PYTHON" -m tracker.cli.main run -c "$CODE"'
    assert which(tmp_path, f"{plain}; {through}; {plain}", other).splitlines() == [
        "0.1.real 0.1",
        "0.31.0 0.31.0",
        "0.1.real 0.1",
    ]
    found = {
        path: path.read_bytes()
        for path in other.rglob("*")
        if path.is_file() and "__pycache__" not in str(path)
    }
    assert found == before


def test_tracker_env_changes_a_shell_and_undoes_the_change(tmp_path: Path, other: Path) -> None:
    plain = '"$PYTHON" -c "$CODE"'
    there = 'eval "$("$PYTHON" -m tracker.cli.main env)"'
    back = 'eval "$("$PYTHON" -m tracker.cli.main env --undo)"'
    variables = 'echo "$PYTHONPATH $PATH ${TRACKER_PYTHON-}"'
    lines = which(
        tmp_path, f"{variables}; {there}; {plain}; {there}; {variables}; {back}; {plain}; {variables}", other
    )
    before, opened, during, closed, after = lines.splitlines()
    assert (opened, closed) == ("0.31.0 0.31.0", "0.1.real 0.1")
    assert after == before
    assert (during.count("/door/site:"), during.count("/door/bin:")) == (1, 1)


@pytest.fixture(scope="module")
def real_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site-packages of an environment with the real wandb."""
    asked = "import importlib.util as u, pathlib; print(pathlib.Path(u.find_spec('wandb').origin).parents[1])"
    command = [real_python(), "-c", asked]
    folder = tmp_path_factory.mktemp("elsewhere")
    return Path(
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.strip()
    )


@pytest.mark.differential
def test_without_tracker_run_the_real_wandb_is_imported(tmp_path: Path, real_site: Path) -> None:
    """The same as above, with the real wandb."""
    site = real_site
    before = sorted((path, path.stat().st_mtime_ns) for path in (site / "wandb").rglob("*.py"))
    code = "import wandb; print(wandb.Run.__module__)"
    plain, through = '"$PYTHON" -B -c "$CODE"', '"$PYTHON" -m tracker.cli.main run "$PYTHON" -c "$CODE"'
    done = subprocess.run(
        ["sh", "-c", f"{plain}; {through}; {plain}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{scripts.ROOT}:{site}", "PYTHON": sys.executable, "CODE": code},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["wandb.sdk.wandb_run", "tracker.sdk.run.run", "wandb.sdk.wandb_run"]
    assert sorted((path, path.stat().st_mtime_ns) for path in (site / "wandb").rglob("*.py")) == before
