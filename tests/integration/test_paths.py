"""The module paths of wandb's integrations, supported and unsupported."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import scripts

from tracker.errors import UnsupportedError

UNSUPPORTED = sorted(
    path.stem
    for path in (scripts.ROOT / "tracker" / "integration").glob("*.py")
    if "import refuse" in path.read_text()
)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_integration_names_an_alternative(name: str) -> None:
    module = import_module(f"tracker.integration.{name}")
    with pytest.raises(UnsupportedError, match=rf"wandb\.integration\.{name}\.autolog is not supported: "):
        module.autolog  # noqa: B018


def test_tensorboard_is_found_under_each_of_its_paths(tmp_path: Path) -> None:
    done = scripts.run(
        "import sys\n"
        "import tracker as wandb\n"
        "from tracker.integration.tensorboard import patch\n"
        "assert wandb.integration.tensorboard.patch is wandb.tensorboard.patch is patch\n"
        "assert 'torch' not in sys.modules and 'tensorboard' not in sys.modules\n"
        "print('ok')",
        tmp_path,
    )
    assert done.stdout == "ok\n"


def test_a_module_is_one_object_under_all_its_names(tmp_path: Path) -> None:
    code = (
        "import wandb.integration.sklearn, wandb.sklearn, wandb.plot.charts, tracker.plot.charts, tracker\n"
        "assert wandb.integration.sklearn is wandb.sklearn is tracker.integration.sklearn\n"
        "assert wandb.plot.charts is tracker.plot.charts\n"
        "print('ok')\n"
    )
    (tmp_path / "same.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "tracker.cli.main", "run", "python", "same.py"],
        cwd=tmp_path,
        env=scripts.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def test_libraries_can_use_internal_names_of_wandb(tmp_path: Path) -> None:
    done = scripts.run(
        "import tracker as wandb\n"
        "from tracker.sdk.lib import telemetry\n"
        "from tracker.sdk.lib.paths import FilePathStr, LogicalPath, StrPath, URIStr\n"
        "from tracker.sdk.wandb_metric import Metric\n"
        "import tracker.sdk.data_types.video as video\n"
        "with telemetry.context(run=None) as noted:\n"
        "    noted.feature.ultralytics_yolov8 = True\n"
        "path = LogicalPath('foo/bar.txt')\n"
        "assert (path.parent / 'baz.txt', path.name) == ('foo/baz.txt', 'bar.txt')\n"
        "assert type(path.relative_to('foo')) is LogicalPath\n"
        "assert len(video.util.generate_id()) == 8\n"
        "run = wandb.init(mode='disabled')\n"
        "assert isinstance(run.define_metric('a'), Metric)\n"
        "print('ok')",
        tmp_path,
    )
    assert done.stdout == "ok\n"
