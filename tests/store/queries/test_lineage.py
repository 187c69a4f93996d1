"""Lineage graphs, compared with a search in plain Python on random runs, versions, links and deletions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from builders import ENTITY, START, Writer, apply_all

from tracker.errors import NotFoundError, UsageError
from tracker.ground.artifact_views import LineageGraph
from tracker.ground.records import ArtifactChanged, ArtifactLinked
from tracker.reading.local import LocalReader
from tracker.recorder.open_store import open_store
from tracker.store.store import Store

Edge = tuple[str, str, str]
PROJECTS = ["one", "two"]


class Made(NamedTuple):
    """A random store, its edges as a model, and its nodes that exist."""

    store: Store
    edges: set[Edge]
    runs: list[str]
    versions: list[str]


def make(root: Path, seed: int) -> Made:
    """Make a random store. Runs use versions of each other and of themselves, so that there are cycles."""
    choose = random.Random(seed)
    store = open_store(root)
    projects = {f"r{at}": choose.choice(PROJECTS) for at in range(8)}
    writers = [
        Writer(store.layout, f"{at:032x}", run_id, start=START + at, project=project)
        for at, (run_id, project) in enumerate(projects.items())
    ]
    edges: set[Edge] = set()
    numbers: dict[str, int] = defaultdict(int)
    digests: dict[str, str] = {}
    sources: dict[str, str] = {}
    deleted: set[str] = set()

    def run_of(writer: Writer) -> str:
        return f"run:{ENTITY}/{projects[writer.run_id]}/{writer.run_id}"

    def new(collection: str) -> str:
        name = f"version:{collection}:v{numbers[collection]}"
        numbers[collection] += 1
        return name

    for step in range(60):
        writer = choose.choice(writers)
        alive = sorted(digests.keys() - deleted)
        action = choose.choice(["log", "log", "use", "use", "use", "link", "delete"])
        if action == "log" or not alive:
            name = choose.choice("abc")
            record = writer.artifact(name, {"f": b"%d" % step})
            version = new(f"{ENTITY}/{projects[writer.run_id]}/{name}")
            digests[version] = record.digest
            edges.add(("logged", run_of(writer), version))
        else:
            version = choose.choice(alive)
            collection, _, number = version.removeprefix("version:").rpartition(":v")
            entity, project, name = collection.split("/")
            if action == "use":
                writer.use(name, int(number), project, digests[version])
                edges.add(("used", version, run_of(writer)))
                source = sources.get(version)
                if source is not None and source not in deleted:
                    edges.add(("used", source, run_of(writer)))
            elif action == "link":
                source = sources.get(version, version)
                target = f"links{choose.randrange(2)}"
                place = f"{ENTITY}/registry/{target}"
                newest = f"version:{place}:v{numbers[place] - 1}"
                seen = (entity, project, name, int(number), digests[version])
                writer.put(ArtifactLinked(*seen, ENTITY, "registry", target, [], writer.tick()))
                if sources.get(newest) != source or newest in deleted:
                    link = new(place)
                    digests[link], sources[link] = digests[version], source
                    edges.add(("linked", source, link))
            elif choose.random() < 0.3:
                seen = (entity, project, name, int(number), digests[version])
                writer.put(ArtifactChanged(*seen, writer.tick(), deleted=True))
                deleted.add(version)
        apply_all(store)
    for writer in writers:
        writer.finish()
    apply_all(store)
    edges = {edge for edge in edges if not deleted & set(edge)}
    assert deleted
    assert {edge[0] for edge in edges} == {"logged", "used", "linked"}
    return Made(store, edges, [run_of(writer) for writer in writers], sorted(digests.keys() - deleted))


@pytest.fixture(scope="module", params=range(3))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    found = make(tmp_path_factory.mktemp("lineage") / "store", request.param)
    yield found
    found.store.close()


def starts(made: Made) -> list[str]:
    return random.Random(0).sample(made.runs + made.versions, 8)


def reach(edges: set[Edge], start: str, *, before: bool) -> dict[str, int]:
    """Return the distance of each node that can be reached."""
    following = defaultdict(set)
    for _, source, target in edges:
        following[target if before else source].add(source if before else target)
    found = {start: 0}
    level = [start]
    while level:
        level = [other for node in level for other in sorted(following[node]) if other not in found]
        distance = max(found.values()) + 1
        found.update(dict.fromkeys(level, distance))
        level = list(dict.fromkeys(level))
    return found


def ask(made: Made, node: str, **options: object) -> LineageGraph:
    kind, _, path = node.partition(":")
    entity, project, name = path.split("/")
    reader = LocalReader(made.store, follows=False)
    if kind == "run":
        return reader.run_lineage(entity, project, name, **options)
    return reader.version_lineage(entity, project, *name.split(":"), **options)


def neighbours(edges: set[Edge], node: str, *, before: bool) -> set[str]:
    return {
        source if before else target for _, source, target in edges if node == (target if before else source)
    }


@pytest.mark.parametrize("direction", ["both", "before", "after"])
def test_lineage_agrees_with_a_search(made: Made, direction: str) -> None:
    for start, depth in product(starts(made), (0, 1, 3, 50)):
        found = ask(made, start, direction=direction, depth=depth, limit=1000)
        sides = {
            before: {node: at for node, at in reach(made.edges, start, before=before).items() if at <= depth}
            for before in ([True, False] if direction == "both" else [direction == "before"])
        }
        shown = {node for side in sides.values() for node in side}
        assert found.start == start == found.nodes[0].id
        assert {node.id for node in found.nodes} == shown
        assert len(found.nodes) == len(shown)
        assert {(edge.kind, edge.source, edge.target) for edge in found.edges} == {
            edge for edge in made.edges if edge[1] in shown and edge[2] in shown
        }
        for node in found.nodes:
            distances = [
                -at if before else at
                for before, side in sides.items()
                if (at := side.get(node.id)) is not None
            ]
            assert abs(node.distance) == min(map(abs, distances))
            assert node.distance in distances
            beyond = {
                other
                for before, side in sides.items()
                if node.id in side
                for other in neighbours(made.edges, node.id, before=before)
            }
            assert node.missing == len(beyond - shown), node
        assert found.is_cut == any(node.missing for node in found.nodes)


def test_lineage_with_a_limit_names_where_it_was_cut(made: Made) -> None:
    for start, limit in product(starts(made), (1, 4, 9)):
        whole = ask(made, start, depth=50, limit=1000)
        found = ask(made, start, depth=50, limit=limit)
        shown = {node.id for node in found.nodes}
        assert len(shown) == len(found.nodes) == min(limit, len(whole.nodes))
        assert shown <= {node.id for node in whole.nodes}
        assert found.is_cut == (len(shown) < len(whole.nodes))
        distances = [abs(node.distance) for node in whole.nodes]
        assert [abs(node.distance) for node in found.nodes] == sorted(distances)[: len(shown)]
        ahead = set(reach(made.edges, start, before=False))
        behind = set(reach(made.edges, start, before=True))
        for node in found.nodes:
            beyond = set()
            if node.id in ahead and (node.distance >= 0):
                beyond |= neighbours(made.edges, node.id, before=False)
            if node.id in behind and (node.distance <= 0):
                beyond |= neighbours(made.edges, node.id, before=True)
            assert node.missing >= len(beyond - shown)


def test_unknown_starts_and_directions_are_refused(made: Made) -> None:
    reader = LocalReader(made.store, follows=False)
    with pytest.raises(NotFoundError):
        reader.run_lineage(ENTITY, "one", "nothing")
    with pytest.raises(NotFoundError):
        reader.version_lineage(ENTITY, "one", "nothing", "v0")
    with pytest.raises(UsageError, match="Unknown direction 'up'"):
        ask(made, made.runs[0], direction="up")
