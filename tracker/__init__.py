"""Experiment tracking that needs no network: ``import tracker as wandb``.

Names are those of wandb. Everything is loaded when first used, so that ``import tracker`` costs
almost nothing; what is not here yet raises AttributeError.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import tracker.ground.launch  # noqa: F401 - it notes the working folder before a framework changes it
from tracker.ground import face
from tracker.version import __version__

if TYPE_CHECKING:
    from tracker.api.api import Api
    from tracker.artifacts.artifact import Artifact
    from tracker.artifacts.ttl import ArtifactTTL
    from tracker.data_types.audio import Audio
    from tracker.data_types.classes import Classes
    from tracker.data_types.eval_table import EvalTable
    from tracker.data_types.graph import Graph
    from tracker.data_types.histogram import Histogram
    from tracker.data_types.html import Html
    from tracker.data_types.image import Image
    from tracker.data_types.joined import JoinedTable, PartitionedTable
    from tracker.data_types.molecule import Molecule
    from tracker.data_types.object3d import Object3D, box3d
    from tracker.data_types.plotly import Plotly
    from tracker.data_types.table import Table
    from tracker.data_types.video import Video
    from tracker.errors import AuthenticationError, CommError, ConfigError, Error, UsageError
    from tracker.plot.custom_chart import plot_table, visualize
    from tracker.sdk.module import (
        alert,
        define_metric,
        finish,
        join,
        link_artifact,
        link_model,
        log,
        log_artifact,
        log_code,
        log_model,
        mark_preempting,
        restore,
        save,
        unwatch,
        use_artifact,
        use_model,
        watch,
    )
    from tracker.sdk.process.term import termerror, termlog, termwarn
    from tracker.sdk.run.alerts import AlertLevel
    from tracker.sdk.run.run import Run
    from tracker.sdk.run.settings import Settings
    from tracker.sdk.start.init import init
    from tracker.sdk.start.login import login
    from tracker.sdk.start.setup import require, setup, teardown

_HOMES = {
    "AlertLevel": "tracker.sdk.run.alerts",
    "Api": "tracker.api.api",
    "Artifact": "tracker.artifacts.artifact",
    "ArtifactTTL": "tracker.artifacts.ttl",
    "Audio": "tracker.data_types.audio",
    "AuthenticationError": "tracker.errors",
    "Classes": "tracker.data_types.classes",
    "CommError": "tracker.errors",
    "Config": "tracker.sdk.run.config",
    "ConfigError": "tracker.errors",
    "Error": "tracker.errors",
    "EvalTable": "tracker.data_types.eval_table",
    "Graph": "tracker.data_types.graph",
    "Histogram": "tracker.data_types.histogram",
    "Html": "tracker.data_types.html",
    "Image": "tracker.data_types.image",
    "JoinedTable": "tracker.data_types.joined",
    "Molecule": "tracker.data_types.molecule",
    "Object3D": "tracker.data_types.object3d",
    "PartitionedTable": "tracker.data_types.joined",
    "Plotly": "tracker.data_types.plotly",
    "Run": "tracker.sdk.run.run",
    "Settings": "tracker.sdk.run.settings",
    "Table": "tracker.data_types.table",
    "UsageError": "tracker.errors",
    "Video": "tracker.data_types.video",
    "_attach": "tracker.sdk.start.attach",
    "_sync_folder": "tracker.sdk.start.sync_tensorboard",
    "agent": "tracker.sdk.sweeps.api",
    "alert": "tracker.sdk.module",
    "attach": "tracker.sdk.start.attach",
    "box3d": "tracker.data_types.object3d",
    "controller": "tracker.sdk.sweeps.api",
    "define_metric": "tracker.sdk.module",
    "ensure_configured": "tracker.sdk.start.setup",
    "finish": "tracker.sdk.module",
    "init": "tracker.sdk.start.init",
    "join": "tracker.sdk.module",
    "link_artifact": "tracker.sdk.module",
    "link_model": "tracker.sdk.module",
    "log": "tracker.sdk.module",
    "log_artifact": "tracker.sdk.module",
    "log_code": "tracker.sdk.module",
    "log_model": "tracker.sdk.module",
    "login": "tracker.sdk.start.login",
    "mark_preempting": "tracker.sdk.module",
    "pin_config_keys": "tracker.sdk.module",
    "plot_table": "tracker.plot.custom_chart",
    "require": "tracker.sdk.start.setup",
    "restore": "tracker.sdk.module",
    "save": "tracker.sdk.module",
    "setup": "tracker.sdk.start.setup",
    "sweep": "tracker.sdk.sweeps.api",
    "teardown": "tracker.sdk.start.setup",
    "termerror": "tracker.sdk.process.term",
    "termlog": "tracker.sdk.process.term",
    "termwarn": "tracker.sdk.process.term",
    "unwatch": "tracker.sdk.module",
    "use_artifact": "tracker.sdk.module",
    "use_model": "tracker.sdk.module",
    "visualize": "tracker.plot.custom_chart",
    "watch": "tracker.sdk.module",
}
face.package = sys.modules[__name__]  # its names are loaded when first used
# What changes with the active run is asked for each time.
_LIVE = ("run", "config", "summary")

__all__ = [
    "AlertLevel",
    "Api",
    "Artifact",
    "ArtifactTTL",
    "Audio",
    "AuthenticationError",
    "Classes",
    "CommError",
    "ConfigError",
    "Error",
    "EvalTable",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "JoinedTable",
    "Molecule",
    "Object3D",
    "PartitionedTable",
    "Plotly",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "__version__",
    "alert",
    "box3d",
    "config",
    "define_metric",
    "finish",
    "init",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_code",
    "log_model",
    "login",
    "mark_preempting",
    "plot_table",
    "require",
    "restore",
    "run",
    "save",
    "setup",
    "summary",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "use_model",
    "visualize",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name in _LIVE:
        _prepare()
        from tracker.sdk import module

        return module.live(name)
    home = _HOMES.get(name)
    if home is None:
        return _module(name)
    from importlib import import_module

    _prepare()
    value = getattr(import_module(home.replace("tracker", __name__, 1)), name.lstrip("_"))
    globals()[name] = value
    return value


def _module(name: str) -> Any:
    """Return what ``wandb.plot`` and the like are, or raise AttributeError."""
    if not name.startswith("_"):
        from tracker.door import modules

        if modules.is_known(f"wandb.{name}"):
            return modules.show(f"wandb.{name}")
        modules.refuse("wandb", name)
    raise AttributeError(f"module 'tracker' has no attribute {name!r}")


class _Finder:
    """Finds wandb's module paths under ``tracker``: ``from tracker.sdk.lib import runid``."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module that lies under another path here, or None."""
        if not name.startswith(f"{__name__}."):
            return None
        from tracker.door.modules import check_not_hidden, find

        found = find(name)
        if found is None:
            check_not_hidden(name)
        return found


sys.meta_path.append(_Finder())


def _prepare() -> None:
    from tracker.ground.lean import import_msgspec

    import_msgspec()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
