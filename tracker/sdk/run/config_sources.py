"""Sources of config values: dicts, namespaces, absl flags and YAML files."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from typing import Any

from tracker.errors import ConfigError, UsageError

# If this file exists in the working folder, each run takes its first config values from it.
DEFAULTS = "config-defaults.yaml"


def parse_config(
    given: Any, exclude: Collection[str] | None = None, include: Collection[str] | None = None
) -> dict[str, Any]:
    """Return a config as a dict.

    Args:
        given: A mapping, the path of a YAML file, absl flags, or an object with attributes.
        exclude: Keys to leave out.
        include: The only keys to take.

    Raises:
        UsageError: Both ``exclude`` and ``include`` are given.
        ConfigError: The file does not exist, or does not have wandb's form.
        TypeError: The type of ``given`` is not supported.
    """
    if exclude and include:
        raise UsageError("Expected at most only one of exclude or include")
    values = _as_dict(given)
    if include:
        return {key: value for key, value in values.items() if key in include}
    return {key: value for key, value in values.items() if key not in (exclude or ())}


def read_config_file(path: str) -> dict[str, Any]:
    """Return the values of a YAML file that contains ``key: {value: ...}`` for each key.

    Raises:
        ConfigError: The file does not exist, or has another form.
        UsageError: PyYAML is not installed.
    """
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise UsageError(f"Reading config file {path} needs PyYAML. Run: pip install pyyaml") from None
    try:
        with open(path) as file:
            found = yaml.safe_load(file)
    except FileNotFoundError:
        raise ConfigError(f"config file {path} doesn't exist") from None
    except OSError as error:
        raise ConfigError(f"Couldn't read config file: {path}: {error.strerror}") from None
    except yaml.YAMLError:
        raise ConfigError(f"Invalid YAML in config yaml: {path}") from None
    if not isinstance(found, dict):
        if found is None:
            return {}
        raise ConfigError(f"Config file {path} is not a mapping. Write `key: {{value: ...}}` for each key.")
    if found.pop("wandb_version", 1) != 1:
        raise ConfigError(f"Unknown config version in {path}")
    for key, item in found.items():
        if not isinstance(item, dict) or "value" not in item:
            raise ConfigError(f"Invalid key {key!r} in config file {path}. Write `{key}: {{value: ...}}`.")
    return {str(key): item["value"] for key, item in found.items()}


def initial_config(given: dict[str, Any]) -> dict[str, Any]:
    """Return the first config of a run: the file of defaults, ``given``, then named files.

    ``TRACKER_CONFIG_PATHS`` or ``WANDB_CONFIG_PATHS`` names YAML files, separated by commas. Values of these
    files replace those of ``given`` (corpus: ``settings.config_paths``). The file that is named first wins.
    """
    paths = os.environ.get("TRACKER_CONFIG_PATHS") or os.environ.get("WANDB_CONFIG_PATHS")
    found = read_config_file(DEFAULTS) if os.path.exists(DEFAULTS) else {}
    found.update(given)
    for path in reversed((paths or "").split(",")):
        if path.strip():
            found.update(read_config_file(path.strip()))
    return found


def _as_dict(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str):
        return read_config_file(given)
    kind = type(given).__module__
    if kind.startswith("omegaconf"):
        found: dict[str, Any] = sys.modules["omegaconf"].OmegaConf.to_container(given, resolve=True)
        return found
    if getattr(given, "__name__", "") == "absl.flags":  # the module itself
        given = given.FLAGS
        kind = type(given).__module__
    if kind == "absl.flags._flagvalues":
        return {name: given[name].value for name in dir(given)}
    if hasattr(given, "keys") and hasattr(given, "__getitem__"):  # a Config, or an object like it
        return {key: given[key] for key in given.keys()}  # noqa: SIM118
    if isinstance(given, type) or not hasattr(given, "__dict__"):
        raise TypeError("config must be a dict or have a __dict__ attribute.")
    return dict(vars(given))
