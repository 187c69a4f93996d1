"""Reading of YAML files: the ``hparams.yaml`` of Lightning's loggers, and the ``meta.yaml`` of MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracker.ground.values import to_plain
from tracker.importing.source import UnreadableError

HPARAMS = "hparams.yaml"


def read_hparams(folder: Path) -> dict[str, Any]:
    """Return the hyperparameters that a Lightning logger has stored in a folder; empty without them.

    Raises:
        UnreadableError: PyYAML is not installed, or the file is not YAML.
    """
    path = folder / HPARAMS
    return read_yaml(path) if path.is_file() else {}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file that contains a mapping. Python objects become texts.

    Raises:
        UnreadableError: PyYAML is not installed, or the file is not YAML.
        OSError: The file cannot be read.
    """
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise UnreadableError(f"reading {path.name} needs PyYAML. Run: pip install pyyaml") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
        pass

    def construct(loader: Any, _suffix: str, node: Any) -> Any:
        """Return the content of a node with an unknown tag, such as a tuple or an object of Python."""
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node)

    Loader.add_multi_constructor("", construct)
    Loader.add_multi_constructor("!", construct)
    try:
        with path.open(encoding="utf-8") as file:
            found = yaml.load(file, Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path.name} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, dict):
        return {}
    return {str(key): to_plain(value, str) for key, value in found.items()}
