"""The parts of a corpus script: its function, its observations and its declared differences."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# Replaces a value that one side does not have.
ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """A place where tracker deliberately records another value than wandb.

    Attributes:
        at: Place in the outcome, with parts joined by ``/``: ``runs/0/history``.
        ours: tracker's value in normal form; ABSENT if it has none.
        wandb: Behaviour of wandb in words, for the page.
        tracker: Behaviour of tracker in words, for the page.
        because: The reason in words, and an issue such as ``wandb/wandb#4482``.
    """

    at: str
    ours: Any
    wandb: str
    tracker: str
    because: str


@dataclass
class Script:
    """One script of the corpus."""

    area: str
    name: str
    main: Callable[[Seen], None]
    differences: list[Difference] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The key ``AREA/NAME``."""
        return f"{self.area}/{self.name}"


_scripts: dict[str, Script] = {}


def script(main: Callable[[Seen], None]) -> Script:
    """Add a function to the corpus as a script. Its area is the name of its module."""
    made = Script(main.__module__.rsplit(".", 1)[-1], main.__name__, main)
    if made.key in _scripts:
        raise ValueError(f"two scripts are called {made.key}")
    _scripts[made.key] = made
    return made


def differs(at: str, ours: Any, *, wandb: str, tracker: str, because: str) -> Callable[[Script], Script]:
    """Return a decorator that declares a deliberate difference of a script; see ``Difference``."""

    def declare(made: Script) -> Script:
        made.differences.insert(0, Difference(at, ours, wandb, tracker, because))
        return made

    return declare


def load_corpus() -> dict[str, Script]:
    """Return all scripts by key. Their modules import the ``wandb`` of this process."""
    from differential import corpus

    for module in pkgutil.iter_modules(corpus.__path__, "differential.corpus."):
        importlib.import_module(module.name)
    return dict(sorted(_scripts.items()))


def entity_of(key: str) -> str:
    """Return the entity for the runs of a script in a store of all scripts."""
    return "of-" + key.replace("/", "-").replace("_", "-")


class Seen:
    """The observations of a script while it runs."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, label: str, value: Any) -> None:
        """Record a value: plain data unchanged, any other object as the name of its class."""
        if label in self.values:
            raise ValueError(f"{label} was seen before")
        self.values[label] = plain(value)

    @contextmanager
    def error(self, label: str, words: str = "") -> Iterator[None]:
        """Record the error that the block raises, and whether its text contains ``words``."""
        try:
            yield
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)]
            # pydantic, which wandb uses, raises ValidationError; scripts catch its base class ValueError.
            names = [name for name in names if name != "ValidationError"]
            self(label, {"raised": names, **({"says": words in str(error)} if words else {})})
        else:
            self(label, {"raised": []})


def plain(value: Any) -> Any:
    """Return a value as plain data with JSON types only. NaN and infinities become text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value if type(value) in (type(None), bool, int, str) else type(value).__base__(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else f"<{float(value)}>"
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else {"tuple": items}
    return f"<{type(value).__name__}>"
