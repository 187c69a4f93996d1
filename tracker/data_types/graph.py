"""The graph of a model's layers, which ``watch(log_graph=True)`` logs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tracker.data_types.media import FileSink, Media, file_name
from tracker.errors import UnsupportedError


class Node:
    """A layer of a model.

    Args:
        id: Id of the node, unique in the graph.
        name: Name of the layer, such as ``"encoder.0"``.
        class_name: Description of the layer, such as
            ``"Linear(in_features=4, out_features=1, bias=True)"``.
        size: Shape of a tensor.
        parameters: Name and shape of each parameter.
        output_shape: Shapes of the tensors that the layer returned, nested as the returned value.
        is_output: Whether the node is an output of the graph.
        num_parameters: Number of elements of each of ``parameters``.
        node: A node from which the new node copies everything except the id.
    """

    def __init__(
        self,
        id: Any = None,
        name: str | None = None,
        class_name: str | None = None,
        size: Any = None,
        parameters: Any = None,
        output_shape: Any = None,
        is_output: bool | None = None,
        num_parameters: Any = None,
        node: Node | None = None,
    ) -> None:
        described = dict(node.described) if node is not None else {}
        described.pop("id", None)
        given = {
            "id": id,
            "name": name,
            "class_name": class_name,
            "parameters": parameters,
            "size": None if size is None else list(size),
            "output_shape": output_shape,
            "is_output": is_output,
            "num_parameters": num_parameters,
        }
        self.described: dict[str, Any] = {
            "name": None,
            **described,
            **{key: value for key, value in given.items() if value is not None},
        }

    @property
    def id(self) -> Any:
        """The id of the node, to which edges refer."""
        return self.described.get("id")

    @property
    def name(self) -> str | None:
        """The name of the layer in the model."""
        name: str | None = self.described["name"]
        return name

    def __repr__(self) -> str:
        return repr(self.described)


class Edge:
    """A connection from one node to another."""

    def __init__(self, from_node: Node, to_node: Node) -> None:
        self.from_node = from_node
        self.to_node = to_node

    def __repr__(self) -> str:
        return f"<Edge {self.from_node.id} to {self.to_node.id}>"


class Graph(Media):
    """The layers of a model and the connections between them.

    Args:
        format: The framework of the model; ``"torch"`` for a graph that ``watch`` logs.
    """

    def __init__(self, format: str = "keras") -> None:
        self.format = format
        self.nodes: list[Node] = []
        self.nodes_by_id: dict[Any, Node] = {}
        self.edges: list[Edge] = []

    def add_node(self, node: Node | None = None, **described: Any) -> Node:
        """Add ``node``, or a new node with these arguments of ``Node``, and return it.

        Raises:
            ValueError: Both a node and arguments of one were given.
        """
        if node is None:
            node = Node(**described)
        elif described:
            raise ValueError(
                f"add_node got both a node ({node}) and arguments ({described}). Give one of them."
            )
        self.nodes.append(node)
        self.nodes_by_id[node.id] = node
        return node

    def add_edge(self, from_node: Node, to_node: Node) -> Edge:
        """Add a connection between two nodes and return it."""
        edge = Edge(from_node, to_node)
        self.edges.append(edge)
        return edge

    def __getitem__(self, node_id: Any) -> Node:
        return self.nodes_by_id[node_id]

    @classmethod
    def from_keras(cls, model: Any) -> Graph:
        """Not supported. The method of wandb works only with Keras 2.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError("Graph.from_keras", "add_node for each layer, then log the Graph")

    def to_history(self, sink: FileSink, key: str, step: int | str) -> dict[str, Any]:
        """See ``Media.to_history``. The history value has the ``_type`` ``graph-file``."""
        content = {
            "format": self.format,
            "nodes": [node.described for node in self.nodes],
            "edges": [[edge.from_node.id, edge.to_node.id] for edge in self.edges],
        }
        data = json.dumps(content, separators=(",", ":")).encode()
        path = file_name("media/graph", key, step, hashlib.sha256(data).hexdigest()[:20], ".graph.json")
        sha256 = sink.save_file(path, data, "application/json")
        return {"_type": "graph-file", "path": path, "sha256": sha256, "size": len(data)}
