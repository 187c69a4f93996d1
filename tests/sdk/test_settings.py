"""``Settings``: wandb's fields, errors for other fields, and the precedence of several sources."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import scripts

import tracker
from tracker.ground.settings import load_settings

pytestmark = pytest.mark.usefixtures("without_recorder")


def test_fields_are_read_written_and_checked() -> None:
    settings = tracker.Settings(
        run_name="n", silent="true", _disable_stats=True, x_stats_gpu_device_ids="[0, 2]"
    )
    assert (settings.run_name, settings.silent, settings.x_disable_stats) == ("n", True, True)
    assert settings.x_stats_gpu_device_ids == (0, 2)
    assert (settings.console, settings.init_timeout, settings.save_code) == ("auto", 90.0, None)
    assert settings.x_stats_disk_paths == ("/",)
    settings.mode = "dryrun"
    assert settings._offline and not settings._noop
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "key-of-mine" not in repr(tracker.Settings(api_key="key-of-mine"))
    for wrong in (
        {"bogus": 1},
        {"mode": "xyz"},
        {"console": "loud"},
        {"disable_git": "maybe"},
        {"init_timeout": "x"},
    ):
        (name,) = wrong
        with pytest.raises(ValueError, match=name):
            tracker.Settings(**wrong)
        with pytest.raises(tracker.UsageError, match=name):
            setattr(settings, name, wrong[name])
        with pytest.raises(tracker.UsageError, match=name):
            tracker.init(settings=wrong)
    with pytest.raises(tracker.UsageError, match="Invalid project name"):
        tracker.Settings(project="a/b")
    with pytest.raises(AttributeError, match="bogus"):
        settings.bogus  # noqa: B018
    with pytest.raises(TypeError, match="settings must be"):
        tracker.init(settings=["silent"])  # type: ignore[arg-type]


def test_settings_of_a_run(tmp_path: Path) -> None:
    given = tracker.Settings(run_name="from settings", run_tags="one", run_group="g", silent=True, entity="e")
    with tracker.init(project="p", settings=given) as run:
        assert (run.name, run.tags, run.group, run.path) == ("from settings", ("one",), "g", f"e/p/{run.id}")
        assert (run.settings.run_name, run.settings.run_id) == (run.name, run.id)
        assert (run.settings.project, run.settings.mode) == ("p", "online")
    with tracker.init(name="argument", settings=given) as run:
        assert run.name == "argument"


def test_settings_of_setup_are_defaults_for_init_until_teardown(tmp_path: Path) -> None:
    tracker.setup(settings={"project": "set up", "silent": True})
    assert tracker.setup().settings.project == "set up"
    run = tracker.init()
    assert run.project == "set up"
    other = tracker.init(settings={"project": "own"}, reinit="create_new")
    assert other.project == "own"
    tracker.teardown()
    assert tracker.run is None
    with pytest.raises(tracker.UsageError, match="finished"):
        other.log({"a": 1})
    assert tracker.setup().settings.project == "uncategorized"


def test_settings_without_an_effect_are_reported_once(tmp_path: Path) -> None:
    code = """
import tracker as wandb
for _ in range(2):
    with wandb.init(settings=wandb.Settings(start_method="thread", heartbeat_seconds=9, init_timeout=90)):
        pass
"""
    printed = scripts.run(code, tmp_path).stderr
    assert printed.count("these settings have no effect here: heartbeat_seconds, start_method\n") == 1
    assert "init_timeout" not in printed  # the value is the default


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ("dryrun", "offline"),
        ("run", "online"),
        ("shared", "online"),
        ("disabled", "disabled"),
        ("offline", "offline"),
    ],
)
def test_modes(given: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings({"WANDB_MODE": given}).mode == mode
    assert load_settings({"WANDB_MODE": "online"}, mode=given).mode == mode
    assert load_settings({"WANDB_MODE": "online", "TRACKER_MODE": given}).mode == mode


def test_requirements() -> None:
    tracker.require("service")
    tracker.require(["core"])
    with pytest.raises(NotImplementedError, match="time-travel"):
        tracker.require("time-travel")
