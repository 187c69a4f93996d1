"""Repositories with their own module ``tracker``, ``server`` or ``sqlalchemy``."""

from __future__ import annotations

import ast
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import scripts

import tracker

DOOR = (sys.executable, scripts.ROOT / "airgap_tracker_start.py", "tracker.cli.main", "run")
# The forms of a repository's Tracker: its file and the name of its module.
KINDS = {
    "package": ("tracker/__init__.py", "tracker"),
    "module": ("tracker.py", "tracker"),
    "folder without __init__": ("tracker/byte.py", "tracker.byte"),
}
CLASS = "class Tracker:\n    pass\n"


def run(*command: str | Path, folder: Path, status: int = 0, **variables: str) -> str:
    """Run a command and return its output."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=scripts.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def tracker_run(program: str, folder: Path, status: int = 0, **variables: str) -> str:
    """Run a program with ``tracker run`` and return the last line of its output."""
    (folder / "train.py").write_text(program)
    return run(*DOOR, "python", "train.py", folder=folder, status=status, **variables).splitlines()[-1]


# --- tracker run ---------------------------------------------------------------------------------------

PROGRAM = """
import collections, multiprocessing, sys
{imports}
assert Tracker.__module__ == "{module}"

def work(found):
    image, settings, run = found
    run.log({{"worker": 1}})
    assert type(image) is wandb.Image and type(settings) is wandb.Settings
    from {module} import Tracker
    return wandb.Image([[3, 4]]), settings, Tracker()

def loaded_twice():
    files = collections.Counter(
        module.__file__ for module in set(sys.modules.values()) if getattr(module, "__file__", None)
    )
    return [file for file, times in files.items() if times > 1 and file.startswith("{package}")]

if __name__ == "__main__":
    from wandb.sdk.wandb_run import Run
    with wandb.init(project="p", id="run", config={{"lr": 0.1}}) as run:
        assert type(run) is Run is wandb.Run and wandb.run is run and wandb.config["lr"] == 0.1
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            image, settings, theirs = pool.map(work, [(wandb.Image([[1, 2]]), wandb.Settings(), run)])[0]
        assert type(image) is wandb.Image and type(settings) is wandb.Settings and type(theirs) is Tracker
        table = wandb.Table(columns=["a"], data=[[1]])
        run.log({{"image": image, "table": table, "bars": wandb.plot.bar(table, "a", "a")}})
        wandb.log({{"loss": 0.5}})
    assert wandb.run is None and wandb.Api().run("p/run").summary["loss"] == 0.5
    assert issubclass(wandb.errors.UsageError, wandb.Error) and wandb.util.generate_id()
    assert not loaded_twice(), loaded_twice()
    print("good")
"""
FIRST, SECOND = "import wandb\nfrom {} import Tracker", "from {} import Tracker\nimport wandb"


def write_repository(kind: str, folder: Path, order: str = FIRST) -> str:
    """Write the Tracker of a repository and return a program that uses it."""
    file, module = KINDS[kind]
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(CLASS)
    return PROGRAM.format(imports=order.format(module), module=module, package=scripts.ROOT / "tracker")


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_has_its_own_tracker_and_wandb(kind: str, tmp_path: Path) -> None:
    assert tracker_run(write_repository(kind, tmp_path), tmp_path) == "good"
    summary = tracker.Api().run("p/run").summary
    assert (summary["image"]["_type"], summary["loss"]) == ("image-file", 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_on_pythonpath(kind: str, tmp_path: Path) -> None:
    program = write_repository(kind, tmp_path)
    (folder := tmp_path / "elsewhere").mkdir()
    assert tracker_run(program, folder, PYTHONPATH=f"{tmp_path}:{scripts.ROOT}") == "good"


@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_tracker_that_is_imported_before_wandb(kind: str, tmp_path: Path) -> None:
    assert tracker_run(write_repository(kind, tmp_path, SECOND), tmp_path) == "good"


def test_a_hidden_folder_without_init_is_named_in_the_error(tmp_path: Path) -> None:
    """Python prefers a package with ``__init__.py``, even if it is later on the path."""
    program = write_repository("folder without __init__", tmp_path, SECOND)
    last = tracker_run(program, tmp_path, status=1)
    assert f"({scripts.ROOT}/tracker) hides {tmp_path}/tracker" in last
    (tmp_path / "tracker" / "__init__.py").touch()  # the solution that the message names
    assert tracker_run(program, tmp_path) == "good"


def test_a_repository_without_a_tracker_uses_the_installed_package(tmp_path: Path) -> None:
    (tmp_path / "tracker" / "outputs").mkdir(parents=True)  # a folder without Python files is not a package
    program = """
import wandb, tracker, airgap_tracker.sdk.run.run, tracker.sdk.run.run
assert airgap_tracker is tracker and airgap_tracker.sdk.run.run is tracker.sdk.run.run
assert tracker.Run is wandb.Run and wandb.Run.__module__ == "tracker.sdk.run.run"
assert tracker.sdk.run.run.__spec__.name == "tracker.sdk.run.run"
print("good")
"""
    assert tracker_run(program, tmp_path) == "good"


def test_an_old_store_is_opened_next_to_another_tracker(tmp_path: Path) -> None:
    """Alembic runs the migrations and imports their files without tracker."""
    (tmp_path / "tracker.py").write_text(CLASS)
    shutil.copytree(scripts.ROOT / "tests/fixtures/revision-0002/store", tmp_path / "tracker-store")
    program = "import wandb\nfrom tracker import Tracker\nprint(len(wandb.Api().runs('team/demo')))"
    assert tracker_run(program, tmp_path) == "2"


def test_pickles_are_read_without_the_other_tracker(tmp_path: Path) -> None:
    (tmp_path / "tracker.py").write_text(CLASS)
    program = """
import pickle, wandb
from tracker import Tracker
pickle.dump([wandb.Settings(project="p"), wandb.Image([[1, 2]])], open("values.pkl", "wb"))
print(wandb.Settings.__module__)
"""
    assert tracker_run(program, tmp_path) == "airgap_tracker.sdk.run.settings"
    (folder := tmp_path / "elsewhere").mkdir()
    code = """
import pickle
settings, image = pickle.load(open("../values.pkl", "rb"))
import tracker
assert type(settings) is tracker.Settings and settings.project == "p" and type(image) is tracker.Image
"""
    scripts.run(code, folder)


def test_the_package_can_have_another_name() -> None:
    """``airgap_tracker`` replaces names, so no attribute is ``tracker`` and no string names a module."""
    module = re.compile(r"tracker(\.\w+)+")
    # These files compute the name of a module in this process.
    finding = {
        "tracker/__init__.py",
        "tracker/door/names.py",
        "tracker/sdk/run/config.py",
        "tracker/sdk/run/media.py",
    }
    for path in (scripts.ROOT / "tracker").rglob("*.py"):
        name = str(path.relative_to(scripts.ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr == "tracker"), name
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and name not in finding:
                assert not module.fullmatch(node.value), f"{name}: {node.value}"


# --- processes that tracker starts --------------------------------------------------------------------------


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """Create a repository in the working folder and return variables that put it first on PYTHONPATH.

    It also has modules with the names of dependencies, which the user's script does not import.
    """
    (tmp_path / "tracker.py").write_text(CLASS)
    for name in ("server", "sqlalchemy", "pyarrow", "uvicorn"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} of the repository')\n")
    return {"PYTHONPATH": f"{tmp_path}:{scripts.ROOT}"}


@pytest.fixture
def console(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the console script as pip writes it."""
    file = tmp_path_factory.mktemp("bin") / "tracker"
    file.write_text(
        f"#!{sys.executable}\nimport sys\nfrom airgap_tracker_start import main\nsys.exit(main())\n"
    )
    file.chmod(0o755)
    return file


def test_the_command_line(on_path: dict[str, str], console: Path, tmp_path: Path) -> None:
    assert run(console, "--version", folder=tmp_path, **on_path) == f"tracker {tracker.__version__}\n"
    tracker.init(project="p", id="run").finish()
    assert "0 runs still active" in run(console, "sync", folder=tmp_path, **on_path)


def test_the_server(on_path: dict[str, str], console: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [console, "server", "--port", "0", "--no-key"],
        cwd=tmp_path,
        env=scripts.environment(**on_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = line + process.communicate(timeout=90)[0]
    assert line.startswith("tracker server: http://127.0.0.1:"), said


@pytest.mark.parametrize("command", ["wandb --version", "python -m wandb --version"])
def test_the_command_wandb(command: str, on_path: dict[str, str], tmp_path: Path) -> None:
    assert run(*DOOR, *command.split(), folder=tmp_path, **on_path) == f"tracker {tracker.__version__}\n"


@pytest.mark.parametrize("safe_path", ["", "1"])
def test_the_recorder(safe_path: str, on_path: dict[str, str], tmp_path: Path) -> None:
    """The test does not read the run, so only the recorder can seal it."""
    program = "import wandb\nwandb.init(project='p', id='run').log({'a': 1})\nprint('good')"
    tracker_run(program, tmp_path, **on_path, PYTHONSAFEPATH=safe_path)
    scripts.wait_for(lambda: list(tmp_path.rglob("*.parquet")), "the recorder")


def test_a_sweeps_agent_and_its_programs(on_path: dict[str, str], console: Path, tmp_path: Path) -> None:
    program = "import wandb\nfrom tracker import Tracker\nrun = wandb.init()\n"
    (tmp_path / "train.py").write_text(program + "run.log({'loss': run.config['lr']})\n")
    sweep = "program: train.py\nmethod: grid\nmetric: {name: loss}\nparameters: {lr: {values: [1, 2]}}\n"
    (tmp_path / "sweep.yaml").write_text(sweep)
    made = run(console, "sweep", "sweep.yaml", "--project", "p", folder=tmp_path, **on_path)
    path = made.split()[-1]
    said = run(console, "agent", path, folder=tmp_path, **on_path)
    assert [run.state for run in tracker.Api().sweep(path).runs] == ["finished"] * 2, said


def test_packages_on_pythonpath_are_found_after_those_installed(tmp_path: Path) -> None:
    """Some clusters install packages with PYTHONPATH."""
    (tmp_path / "only_there.py").write_text(
        "def main(arguments):\n    import json; print(json.dumps(arguments))"
    )
    (tmp_path / "json.py").write_text("raise ImportError('json of the repository')\n")
    command = (sys.executable, scripts.ROOT / "airgap_tracker_start.py", "only_there", "one")
    assert run(*command, folder=tmp_path, PYTHONPATH=str(tmp_path)) == '["one"]\n'


@pytest.mark.parametrize("path", ["{}/", "{}//", "{}:", ":/nowhere"])
def test_the_standard_library_comes_first_in_each_form_of_pythonpath(path: str, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken from the repository')\n")
    command = (sys.executable, DOOR[1], "tracker.cli.main", "--version")
    assert run(*command, folder=tmp_path, PYTHONPATH=path.format(tmp_path)).startswith("tracker ")
