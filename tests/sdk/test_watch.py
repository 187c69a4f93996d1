"""``watch``: gradients, parameters and the graph of torch models."""

from __future__ import annotations

import copy
import json
import math
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker
from tracker.ground.settings import load_settings
from tracker.sdk.torch import watch as watching
from tracker.sdk.torch.tensor_histogram import count_tensor
from tracker.store.blobs.content import BlobStore
from tracker.store.objects.layout import Layout

pytestmark = pytest.mark.usefixtures("without_recorder")

torch = pytest.importorskip("torch", reason="pip install torch")
nn = torch.nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4, sparse=True)
        self.recurrent = nn.LSTM(4, 4)
        self.head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, index: Any) -> Any:
        hidden, _ = self.recurrent(self.embedding(index))
        return self.head(hidden).mean()


@pytest.fixture(autouse=True)
def first_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the count, so that each test watches the first model of its process."""
    monkeypatch.setattr(watching, "_count", 0)


def train(model: Any, batches: int) -> None:
    for batch in range(batches):
        model(torch.tensor([1, 2, 3])).backward()
        tracker.log({"batch": batch})


def rows_of(run: tracker.Run) -> list[dict[str, Any]]:
    return tracker.Api().run(run.path).history(pandas=False)


def content(kept: dict[str, Any]) -> bytes:
    return BlobStore(Layout(load_settings().store)).read(kept["sha256"])


def test_histograms_are_in_the_row_of_their_batch(tmp_path: Path) -> None:
    run = tracker.init(project="p")
    model = Model()
    tracker.watch(model, log="all", log_freq=2)
    train(model, 4)
    run.finish()
    rows = rows_of(run)
    assert [row["batch"] for row in rows] == [0, 1, 2, 3]
    names = [name for name, _ in model.named_parameters()]
    for row, full in zip(rows, [False, True, False, True], strict=True):
        kept = {key for key in row if "/" in key}
        assert kept == (
            {f"{of}/{name}" for of in ("gradients", "parameters") for name in names} if full else set()
        )
    weight = model.head[0].weight.detach().numpy()
    counts, edges = np.histogram(weight, 64)
    kept = rows[1]["parameters/head.0.weight"]
    assert (kept["_type"], len(kept["values"]), sum(kept["values"])) == ("histogram", 64, weight.size)
    np.testing.assert_allclose(kept["bins"], edges, rtol=1e-5, atol=1e-7)  # an edge may be close to zero
    assert np.abs(np.cumsum(kept["values"]) - np.cumsum(counts)).max() <= 1  # a value may be on an edge


def test_zeros_that_a_sparse_gradient_leaves_out_are_counted() -> None:
    run = tracker.init(project="p")
    model = Model()
    run.watch(model, log_freq=1)
    train(model, 1)
    run.finish()
    kept = rows_of(run)[0]["gradients/embedding.weight"]
    assert sum(kept["values"]) == 40  # 10 rows of 4 values; only 3 rows are in the gradient
    zero = next(at for at in range(64) if kept["bins"][at] <= 0 < kept["bins"][at + 1])
    assert kept["values"][zero] >= 28


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_values_of_any_width_with_nan_and_infinity_are_counted(kind: str) -> None:
    run = tracker.init(project="p")
    model = nn.Linear(4, 1, bias=False, dtype=getattr(torch, kind))
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[float("nan"), float("inf"), 1.0, 3.0]]))
    run.watch(model, log="parameters", log_freq=1)
    model(torch.ones(1, 4, dtype=model.weight.dtype))
    run.log({})
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    model(torch.ones(1, 4, dtype=model.weight.dtype))
    run.log({"nothing finite": True})
    run.finish()
    first, second = rows_of(run)
    kept = first["parameters/weight"]
    assert (kept["values"][0], kept["values"][-1], sum(kept["values"])) == (1, 1, 2)
    assert (kept["bins"][0], kept["bins"][-1]) == (1, 3)
    assert "parameters/weight" not in second


def test_equal_values_have_one_bin() -> None:
    run = tracker.init(project="p")
    model = nn.Linear(3, 1)
    run.watch(model, log_freq=1)
    model(torch.ones(1, 3)).sum().backward()
    run.log({})
    run.finish()
    assert rows_of(run)[0]["gradients/weight"] == {"_type": "histogram", "values": [3.0], "bins": [0.5, 1.5]}


def test_the_graph_has_the_layers_in_the_order_in_which_they_ran() -> None:
    run = tracker.init(project="p")
    model = Model()
    run.watch(model, log=None, log_graph=True)
    train(model, 2)
    run.finish()
    kept = tracker.Api().run(run.path).summary["graph_0"]
    assert kept["_type"] == "graph-file"
    assert kept["path"] == f"media/graph/graph_0_summary_{kept['sha256'][:20]}.graph.json"
    graph = json.loads(content(kept))
    assert graph["format"] == "torch"
    nodes = graph["nodes"]
    assert [node["name"] for node in nodes] == ["embedding", "recurrent", "head.0", "head.1", "head.2"]
    assert nodes[2]["class_name"] == "Linear(in_features=4, out_features=8, bias=True)"
    assert nodes[2]["parameters"] == [["weight", [8, 4]], ["bias", [8]]]
    assert nodes[2]["num_parameters"] == [32, 8]
    assert nodes[1]["output_shape"] == [[3, 4], [[1, 4], [1, 4]]]


def test_each_watched_model_has_its_own_names() -> None:
    run = tracker.init(project="p")
    models = [nn.Linear(1, 1), nn.Linear(1, 1)]
    run.watch(models, log_freq=1)
    third = nn.Linear(1, 1)
    run.watch(third, log_freq=1)
    for model in [*models, third]:
        model(torch.ones(1, 1)).sum().backward()
    run.log({})
    run.finish()
    kept = {key for key in rows_of(run)[0] if key.startswith("gradients/")}
    assert kept == {
        f"gradients/{prefix}{name}" for prefix in ("", "graph_1", "graph_2") for name in ("weight", "bias")
    }


def test_a_model_can_be_watched_again_after_unwatch() -> None:
    run = tracker.init(project="p")
    first, second = nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.Linear(1, 1))
    run.watch([first, second], log="all", log_freq=1, log_graph=True)
    tracker.unwatch(first)
    for model in (first, second):
        model(torch.ones(1, 1)).sum().backward()
    run.log({})
    run.unwatch()
    second(torch.ones(1, 1)).sum().backward()
    run.log({"none": 1})
    run.watch(first, log_freq=1, log_graph=True, idx=0)
    first(torch.ones(1, 1)).sum().backward()
    run.log({"again": 1})
    run.finish()
    rows = rows_of(run)
    assert {key for key in rows[0] if "/" in key} == {
        f"{of}/graph_1{name}" for of in ("gradients", "parameters") for name in ("0.weight", "0.bias")
    }
    assert not [key for key in rows[1] if "/" in key]
    assert "gradients/0.weight" in rows[2]


def test_invalid_models_and_arguments_are_refused() -> None:
    with pytest.raises(tracker.Error, match=r"You must call wandb.init\(\) before wandb.watch\(\)"):
        tracker.watch(nn.Linear(1, 1))
    with pytest.raises(tracker.Error, match=r"You must call wandb.init\(\) before wandb.unwatch\(\)"):
        tracker.unwatch()
    run = tracker.init(project="p")
    with pytest.raises(TypeError, match="not str"):
        run.watch("model")
    with pytest.raises(ValueError, match="'gradients', 'parameters', 'all' or None"):
        run.watch(nn.Linear(1, 1), log="weights")
    model = nn.Sequential(nn.Linear(1, 1))
    run.watch(model, log_graph=True)
    with pytest.raises(ValueError, match="already watched"):
        run.watch(model, log_graph=True)
    with pytest.raises(ValueError, match="already watched"):
        run.watch(model, idx=0)
    run.finish()
    with pytest.raises(tracker.UsageError, match="is finished"):
        run.watch(nn.Linear(1, 1))


def test_copies_of_a_watched_model_log_nothing() -> None:
    run = tracker.init(project="p")
    model = nn.Linear(2, 1)
    run.watch(model, log="all", log_freq=1)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin(torch.ones(1, 2)).sum().backward()
    run.log({"copies": 2})
    run.finish()
    assert not [key for key in rows_of(run)[0] if "/" in key]


def test_finish_removes_the_hooks() -> None:
    model = nn.Linear(2, 1)
    for number in range(3):
        run = tracker.init(project="p")
        run.watch(model, log="all", log_freq=1, log_graph=True)
        model(torch.ones(1, 2)).sum().backward()
        run.log({})
        run.finish()
        assert sum("gradients" in key for key in rows_of(run)[0]) == 2, number
        model(torch.ones(1, 2)).sum().backward()  # training continues without a run
    assert not model._forward_hooks
    assert not model.weight._backward_hooks
    second = tracker.init(project="p")
    model(torch.ones(1, 2)).sum().backward()
    second.log({"x": 1})
    second.finish()
    assert [key for key in rows_of(second)[0] if key.startswith("gradients")] == []


@pytest.mark.parametrize(
    "values",
    [
        torch.full((5,), 1e16),
        torch.tensor([1e16, 1e16 + 2], dtype=torch.float64),
        torch.tensor([-1.7e308, 1.7e308], dtype=torch.float64),
        torch.tensor([1.0], dtype=torch.bfloat16),
        torch.full((4,), 1e-38),
        torch.tensor([True, False]),
        torch.tensor([[0.0, 3.0], [0.0, 0.0]]).to_sparse(),
        torch.tensor([1.0, math.nan, math.inf]),
        torch.tensor([0.1, 0.1 + 1e-8]),
    ],
    ids=str,
)
def test_histograms_of_unusual_tensors_have_rising_edges_and_count_all_values(values: Any) -> None:
    finite = int(torch.isfinite(values.to_dense()).sum())
    for histogram in (tracker.Histogram(values), count_tensor(values)):
        assert histogram is not None
        assert all(map(math.isfinite, histogram.bins))
        assert all(left < right for left, right in pairwise(histogram.bins))
        assert sum(histogram.histogram) == finite


def test_a_graph_made_by_hand_is_logged() -> None:
    graph = tracker.Graph("torch")
    first, second = graph.add_node(id=1, name="a"), graph.add_node(id=2, name="b", size=(2, 3))
    graph.add_edge(first, second)
    assert graph[2] is second
    run = tracker.init(project="p")
    run.log({"net": graph})
    run.finish()
    kept = rows_of(run)[0]["net"]
    assert json.loads(content(kept)) == {
        "format": "torch",
        "nodes": [{"name": "a", "id": 1}, {"name": "b", "id": 2, "size": [2, 3]}],
        "edges": [[1, 2]],
    }
    with pytest.raises(NotImplementedError, match="add_node"):
        tracker.Graph.from_keras(None)
