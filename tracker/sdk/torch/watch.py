"""``watch``: histograms of a torch model's gradients and parameters, and the graph of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from tracker.data_types.graph import Graph
from tracker.errors import Error, UsageError
from tracker.ground.terminal import say
from tracker.sdk.torch import torch_graph
from tracker.sdk.torch.hooks import Hook
from tracker.sdk.torch.tensor_histogram import count_tensor

if TYPE_CHECKING:
    from torch.nn import Module

    from tracker.sdk.run.run import Run

WORDS = ("gradients", "parameters", "all", None)
# A module stores the names of its hooks in this attribute. The name is wandb's.
NAMES = "_wandb_hook_names"

# The number of watched models. wandb also numbers them through all runs of a process.
_count = 0
_handles: WeakKeyDictionary[Run, dict[str, Any]] = WeakKeyDictionary()
# The models that each run watches.
_models: WeakKeyDictionary[Run, WeakSet[Module]] = WeakKeyDictionary()


def watch(
    run: Run,
    models: Module | Sequence[Module],
    log: str | None = "gradients",
    log_freq: int = 1000,
    idx: int | None = None,
    log_graph: bool = False,
) -> None:
    """Hook models. See ``Run.watch``."""
    global _count
    if log not in WORDS:
        raise ValueError(f"Invalid log={log!r}. Use 'gradients', 'parameters', 'all' or None.")
    watched = _as_modules(models)
    if run.finished:
        raise UsageError(f"Run ({run.id}) is finished. Start a new run with init().")
    first = _count if idx is None else idx
    _count += len(watched)
    if run.disabled:
        return
    if run not in _models:
        run.before_end(lambda: _release_models(run))
    handles = _handles.setdefault(run, {})
    _models.setdefault(run, WeakSet()).update(watched)
    for number, model in enumerate(watched, first):
        prefix = f"graph_{number}" if number > 0 else ""
        gradients = _gradients(model, prefix) if log in ("gradients", "all") else {}
        for name in gradients:
            if name in handles and _is_on(handles[name]):
                raise ValueError(
                    f"{name!r} is already watched. Call wandb.unwatch() first, or use another idx."
                )
        if log_graph:
            torch_graph.mark(model)
        hooked: list[str] = model.__dict__.setdefault(NAMES, [])
        if log in ("parameters", "all"):
            name = f"parameters/{prefix}"
            if name in handles:
                handles[name].remove()
            counted = Hook(_log_parameters, run, prefix, _Every(log_freq))
            handles[name] = model.register_forward_hook(counted)
            hooked.append(name)
        for name, parameter in gradients.items():
            handles[name] = parameter.register_hook(Hook(_log_gradient, run, name, _Every(log_freq)))
            hooked.append(name)
        if log_graph:
            for handle in torch_graph.LayerGraph(model, Hook(_keep_graph, run, f"graph_{number}")).handles:
                handles[f"topology/{id(handle)}"] = handle
                hooked.append(f"topology/{id(handle)}")


def unwatch(run: Run, models: Module | Sequence[Module] | None = None) -> None:
    """Remove hooks. See ``Run.unwatch``."""
    handles = _handles.get(run, {})
    if models is None or (isinstance(models, (list, tuple)) and not models):
        for handle in handles.values():
            handle.remove()
        handles.clear()
        return
    for model in models if isinstance(models, (list, tuple)) else [models]:
        names = model.__dict__.pop(NAMES, None)
        if names is None:
            say(f"{type(model).__name__} is not watched", silent=run.journal.settings.silent)
        for name in names or []:
            handle = handles.pop(name, None)
            if handle is not None:
                handle.remove()
        model.__dict__.pop(torch_graph.MARK, None)


def _release_models(run: Run) -> None:
    """Remove the hooks and marks of a run that ends, so that the next run can watch the models."""
    unwatch(run)
    for model in _models.pop(run, ()):
        model.__dict__.pop(NAMES, None)
        model.__dict__.pop(torch_graph.MARK, None)


class _Every:
    """Returns True once in ``calls`` calls."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._count = 0

    def __call__(self) -> bool:
        self._count += 1
        if self._count < self._calls:
            return False
        self._count = 0
        return True


def _log_gradient(run: Run, name: str, due: _Every, gradient: Any) -> None:
    if due() and gradient is not None:
        _log(run, name, gradient)


def _log_parameters(run: Run, prefix: str, due: _Every, model: Module, _given: Any, _output: Any) -> None:
    if due():
        for name, parameter in model.named_parameters():
            _log(run, f"parameters/{prefix}{name}", parameter)


def _log(run: Run, name: str, tensor: Any) -> None:
    if not run.finished and (histogram := count_tensor(tensor)) is not None:
        run.log({name: histogram}, commit=False)


def _keep_graph(run: Run, name: str, graph: Graph) -> None:
    if not run.finished:
        run.summary[name] = graph.to_history(run.media_sink(), name, "summary")


def _gradients(model: Module, prefix: str) -> dict[str, Any]:
    return {
        f"gradients/{prefix}{name}": parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def _is_on(handle: Any) -> bool:
    hooks = handle.hooks_dict_ref()
    return hooks is not None and handle.id in hooks


def _as_modules(models: Any) -> Sequence[Module]:
    try:
        from torch.nn import Module
    except ImportError:
        raise Error("watch() needs PyTorch, but torch cannot be imported. Run: pip install torch") from None
    found = models if isinstance(models, (list, tuple)) else [models]
    for model in found:
        if not isinstance(model, Module):
            raise TypeError(f"watch() needs a torch.nn.Module, not {type(model).__name__}")
    return found
