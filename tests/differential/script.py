"""What a script of the corpus is made of: the function, what it saw, and how tracker may differ."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# In place of a value: what one side has not got at all.
ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """Where tracker deliberately records something else than wandb.

    Attributes:
        at: Place in the outcome, its parts joined by ``/``: ``runs/0/history``.
        ours: What tracker has there, in normal form; ABSENT when nothing.
        wandb: What wandb does, in words, for the page.
        tracker: What tracker does, in words.
        because: The section of wandb's surface that says so, or the complaint: ``wandb/wandb#4482``.
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
        """``AREA/NAME``."""
        return f"{self.area}/{self.name}"


_scripts: dict[str, Script] = {}


def script(main: Callable[[Seen], None]) -> Script:
    """Make a function a script of the corpus; its area is its module's name."""
    made = Script(main.__module__.rsplit(".", 1)[-1], main.__name__, main)
    if made.key in _scripts:
        raise ValueError(f"two scripts are called {made.key}")
    _scripts[made.key] = made
    return made


def differs(at: str, ours: Any, *, wandb: str, tracker: str, because: str) -> Callable[[Script], Script]:
    """Declare a deliberate difference of the script below; see ``Difference``."""

    def declare(made: Script) -> Script:
        made.differences.insert(0, Difference(at, ours, wandb, tracker, because))
        return made

    return declare


def load_corpus() -> dict[str, Script]:
    """Return all scripts by key. The modules import ``wandb``: whichever this process has under that name."""
    from differential import corpus

    for module in pkgutil.iter_modules(corpus.__path__, "differential.corpus."):
        importlib.import_module(module.name)
    return dict(sorted(_scripts.items()))


class Seen:
    """What a script observes of the client while it runs."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, label: str, value: Any) -> None:
        """Note a value: plain data as it is, of any other object its class."""
        if label in self.values:
            raise ValueError(f"{label} was seen before")
        self.values[label] = plain(value)

    @contextmanager
    def error(self, label: str, says: str = "") -> Iterator[None]:
        """Note which error the block raises, and whether its text contains ``says``."""
        try:
            yield
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception)]
            # Of pydantic, which wandb uses inside; scripts catch its ValueError.
            names = [name for name in names if name != "ValidationError"]
            self(label, {"raised": names, **({"says": says in str(error)} if says else {})})
        else:
            self(label, {"raised": []})


def plain(value: Any) -> Any:
    """Return plain data for a value, JSON's types only; floats that JSON lacks become text."""
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
