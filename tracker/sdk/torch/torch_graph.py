"""The graph of a torch model, built while its layers run for the first time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tracker.data_types.graph import Graph, Node
from tracker.sdk.torch.hooks import Hook

if TYPE_CHECKING:
    from torch.nn import Module

# A mark on watched modules. The name is wandb's, because scripts reset it.
MARK = "_wandb_watch_called"


class LayerGraph:
    """Waits until each layer of a model has run once, then passes on the graph.

    Layers are the model's children. ``Sequential``, ``ModuleList`` and ``ModuleDict`` are replaced by their
    own children.

    Args:
        model: The model.
        done: Called with the graph when all layers have run.
    """

    def __init__(self, model: Module, done: Callable[[Graph], None]) -> None:
        self._graph = Graph("torch")
        self._done = done
        self._waiting: dict[int, Any] = {}
        for name, layer in _layers(model, ""):
            if id(layer) not in self._waiting:
                self._waiting[id(layer)] = layer.register_forward_hook(Hook(self._ran, name))

    @property
    def handles(self) -> list[Any]:
        """The hooks of layers that have not run yet."""
        return list(self._waiting.values())

    def _ran(self, name: str, layer: Module, _given: Any, output: Any) -> None:
        handle = self._waiting.pop(id(layer), None)
        if handle is None:
            return
        handle.remove()
        parameters = [(key, list(parameter.size())) for key, parameter in layer.named_parameters()]
        node = Node(
            id=id(layer),
            name=name,
            class_name=str(layer),
            output_shape=_shape(output if isinstance(output, tuple) else (output,), set()),
            parameters=parameters,
            num_parameters=[math.prod(size) for _, size in parameters],
        )
        self._graph.add_node(node)
        for parameter in layer.parameters():
            self._graph.nodes_by_id[id(parameter)] = node
        if not self._waiting:
            self._done(self._graph)


def mark(model: Module) -> None:
    """Mark a model whose graph is recorded.

    Raises:
        ValueError: The model is marked already.
    """
    if getattr(model, MARK, False):
        raise ValueError("The graph of this model is already watched. Call wandb.unwatch(model) first.")
    setattr(model, MARK, True)


def _layers(module: Module, prefix: str) -> Iterator[tuple[str, Module]]:
    from torch import nn

    for name, child in module.named_children():
        name = f"{prefix}.{name}" if prefix else name
        if isinstance(child, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            yield from _layers(child, name)
        else:
            yield name, child


def _shape(value: Any, seen: set[int]) -> Any:
    """Return the shapes of tensors in nested containers, with the same nesting. Other values give ``[]``."""
    if hasattr(value, "size") and callable(value.size):
        return list(value.size())
    if hasattr(value, "shape"):
        return list(value.shape)
    if id(value) in seen or isinstance(value, (str, bytes)):
        return []
    seen.add(id(value))
    if isinstance(value, Mapping):
        value = value.values()
    try:
        return [_shape(item, seen) for item in value]
    except TypeError:
        return []
