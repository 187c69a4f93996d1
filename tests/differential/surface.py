"""The public names of the client in this interpreter, and the parameters of its callables.

    python -m differential.surface wandb|tracker

The command prints JSON: owner -> name -> parameters (name, default, kind), or null for a property or a value.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import Any

# Public names of the module. Not all of them are in its ``__all__``.
_MODULE = [
    "init",
    "finish",
    "setup",
    "teardown",
    "save",
    "sweep",
    "controller",
    "agent",
    "config",
    "log",
    "summary",
    "join",
    "login",
    "Api",
    "Graph",
    "Image",
    "Plotly",
    "Video",
    "Audio",
    "Table",
    "EvalTable",
    "Html",
    "box3d",
    "Object3D",
    "Molecule",
    "Histogram",
    "ArtifactTTL",
    "Artifact",
    "log_artifact",
    "use_artifact",
    "log_model",
    "use_model",
    "link_model",
    "define_metric",
    "watch",
    "unwatch",
    "plot_table",
    "plot",
    "Run",
    "Settings",
    "alert",
    "mark_preempting",
    "restore",
    "log_code",
    "link_artifact",
    "run",
    "termlog",
    "termwarn",
    "termerror",
    "require",
    "errors",
    "util",
    "env",
    "data_types",
    "sdk",
    "AlertLevel",
    "Error",
    "UsageError",
    "CommError",
    "AuthenticationError",
]
_PLOT = [
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "pr_curve",
    "roc_curve",
    "scatter",
    "plot_table",
    "CustomChart",
]
_TYPES = [
    "Image",
    "Audio",
    "Video",
    "Html",
    "Histogram",
    "Object3D",
    "Molecule",
    "Plotly",
    "Table",
    "JoinedTable",
    "PartitionedTable",
    "Graph",
    "Node",
    "Edge",
    "ImageMask",
    "BoundingBoxes2D",
    "Classes",
    "EvalTable",
    "WBValue",
    "Bokeh",
]


@dataclass(frozen=True)
class Owner:
    """A module or class with public names: its place in each client, and the names (None for all)."""

    wandb: str
    tracker: str
    names: list[str] | None = None


OWNERS = {
    "wandb": Owner("wandb", "tracker", _MODULE),
    "wandb.plot": Owner("wandb.plot", "tracker.plot", _PLOT),
    "wandb.data_types": Owner("wandb.data_types", "tracker.data_types", _TYPES),
    "wandb.Run": Owner("wandb:Run", "tracker:Run"),
    "wandb.Artifact": Owner("wandb:Artifact", "tracker:Artifact"),
    "wandb.Table": Owner("wandb:Table", "tracker:Table"),
    "wandb.Config": Owner("wandb.sdk.wandb_config:Config", "tracker.sdk.run.config:Config"),
    "wandb.Api": Owner("wandb:Api", "tracker:Api"),
    "public Run": Owner("wandb.apis.public:Run", "tracker.api.run:Run"),
    "public File": Owner("wandb.apis.public:File", "tracker.api.files:File"),
    "public Project": Owner("wandb.apis.public:Project", "tracker.api.projects:Project"),
    "public Sweep": Owner("wandb.apis.public:Sweep", "tracker.api.sweeps:Sweep"),
}


def look(side: str, wanted: dict[str, list[str]] | None = None) -> dict[str, dict[str, Any]]:
    """Return the names of each owner in this client, with the parameters of callables.

    Args:
        side: ``"wandb"`` or ``"tracker"``.
        wanted: The names of each owner. By default the list of the owner, or all its names.
    """
    found: dict[str, dict[str, Any]] = {}
    for title, owner in OWNERS.items():
        names = owner.names if wanted is None else wanted[title]
        thing = find(getattr(owner, side))
        found[title] = {} if thing is None else _names(thing, names)
    return found


def find(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        found = importlib.import_module(module)
        return getattr(found, name) if name else found
    except (ImportError, AttributeError):
        return None


def _names(thing: Any, wanted: list[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted(wanted or dir(thing)):
        if name.startswith("_"):
            continue
        try:
            # A property is not read, because its value depends on a run or on a network.
            static = inspect.getattr_static(thing, name, None) if inspect.isclass(thing) else None
            found[name] = None if isinstance(static, property) else _parameters(getattr(thing, name))
        except Exception:
            # An attribute of objects only, or an attribute that raises an error before init.
            if _of_each(thing, name) or name in ("config", "summary"):
                found[name] = None
    return found


def _of_each(thing: Any, name: str) -> bool:
    """Return whether objects of the class have an attribute of that name."""
    classes = [
        base
        for base in getattr(thing, "__mro__", ())
        if base.__module__.split(".")[0] in ("tracker", "wandb")
    ]
    return any(re.search(rf"\bself\.{name}\b[^=\n(]*=[^=]", inspect.getsource(base)) for base in classes)


def _parameters(value: Any) -> list[str] | None:
    """Return the parameters as source text, without ``self``; None for a value that is not callable."""
    if not callable(value):
        return None
    try:
        parameters = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return None
    written: list[str] = []
    for at, parameter in enumerate(parameters):
        if at == 0 and parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in written):
            written.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={_default(parameter.default)}"
        written.append(f"{stars}{parameter.name}{default}")
    return written


def _default(default: Any) -> str:
    if callable(default):
        return "<function>"
    if type(default) is int and default == os.getpid():
        return "<object>"
    return re.sub(r"<.* at 0x[0-9a-f]+>", "<object>", repr(default))


def misfits(owner: str, wandb: dict[str, Any], tracker: dict[str, Any]) -> dict[str, str]:
    """Return ``OWNER.NAME`` and the problem for each name that is missing or has incompatible parameters."""
    found = {}
    for name, parameters in wandb.items():
        why = misfit(parameters, tracker[name]) if name in tracker else "missing"
        if why is not None:
            found[f"{owner}.{name}"] = why
    return found


def misfit(wandb: list[str] | None, tracker: list[str] | None) -> str | None:
    """Return why a call with wandb's parameters would fail in tracker; None if it would work.

    tracker may have further parameters with defaults. Its ``*args`` and ``**kwargs`` accept all arguments.
    """
    if wandb is None or tracker is None:
        return None if (wandb is None) == (tracker is None) else "only one of them is callable"
    any_place, any_name = (any(_stars(text) == stars for text in tracker) for stars in ("*", "**"))
    ours = [text for text in tracker if not text.startswith("*")]
    for at, text in enumerate(text for text in wandb if text != "*"):
        name, _, default = text.partition("=")
        found = next((one for one in ours if one.partition("=")[0] == name), None)
        if found is None:
            if not (any_name or any_place):
                return f"no parameter {text}"
        elif default not in ("", "<object>") and found.partition("=")[2] != default:
            return f"{found} instead of {text}"
        elif "*" not in wandb and ours.index(found) != at and not any_place:
            return f"{name} has another position"
    known = {text.partition("=")[0] for text in wandb}
    more = [text for text in ours if "=" not in text and text not in known]
    return f"requires {', '.join(more)}" if more else None


def _stars(text: str) -> str:
    return text[: len(text) - len(text.lstrip("*"))] if text.strip("*") else ""


if __name__ == "__main__":
    json.dump(look(sys.argv[1]), sys.stdout)
