"""Lineage: the runs and versions from which a run or version was made, and those that were made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from tracker.errors import UsageError
from tracker.ground.artifact_views import LineageEdge, LineageGraph, LineageNode
from tracker.runstate.collection import CollectionPath, parse_version_name, version_name
from tracker.store.catalog.models import ArtifactUse, Collection, Project, Run, Version
from tracker.store.queries.artifacts import find_named
from tracker.store.queries.visible import EVERYTHING, Visible

# Limits of one answer.
LARGEST_DEPTH, MOST_NODES = 50, 1000
# Each direction, and whether it includes the nodes before and after the start.
DIRECTIONS = {"both": (True, False), "before": (True,), "after": (False,)}
# The columns that name a version.
_NAME = (Project.entity, Project.name, Collection.name, Version.index)


class Node(NamedTuple):
    """A run or a version, by its id in the catalog."""

    is_run: bool
    id: int


def of_version(session: Session, collection: CollectionPath, reference: str, **options: Any) -> LineageGraph:
    """Return the lineage of a version.

    Args:
        session: A read transaction.
        collection: Entity, project and name of its collection.
        reference: A version such as ``v3``, an alias, or a digest.
        options: Arguments of ``trace``.

    Raises:
        NotFoundError: The version does not exist.
    """
    return trace(session, Node(False, find_named(session, *collection, reference).id), **options)


def of_run(session: Session, run: Run, **options: Any) -> LineageGraph:
    """Return the lineage of a run. ``options`` are arguments of ``trace``."""
    return trace(session, Node(True, run.id), **options)


def trace(
    session: Session,
    start: Node,
    *,
    direction: str = "both",
    depth: int = 5,
    limit: int = 200,
    visible: Visible = EVERYTHING,
) -> LineageGraph:
    """Return the lineage of a run or version.

    Nodes are added level by level. Among the neighbours of one level, runs come before versions, and the
    newest come first. A run that used its own version, or a version that runs exchange, makes a cycle: each
    node is added once.

    Args:
        session: A read transaction.
        start: The run or version.
        direction: ``"before"`` for the nodes from which the start was made, ``"after"`` for those that were
            made from it, or ``"both"``.
        depth: Maximum number of edges between the start and a node.
        limit: Maximum number of nodes.
        visible: The projects that the caller sees. Other nodes do not exist for this query.

    Raises:
        UsageError: The direction is unknown.
    """
    if direction not in DIRECTIONS:
        raise UsageError(f"Unknown direction {direction!r}. Use {', '.join(DIRECTIONS)}.")
    distances = {start: 0}
    beyond: dict[Node, set[Node]] = {}
    levels = {before: [start] for before in DIRECTIONS[direction]}
    seen = {before: {start} for before in levels}
    for distance in range(1, depth + 2):  # the last level only finds the neighbours that are missing
        for before, level in levels.items():
            found = []
            for node, other in _neighbours(session, level, visible, before=before):
                if other not in distances and (distance > depth or len(distances) >= limit):
                    beyond.setdefault(node, set()).add(other)
                elif other not in seen[before]:
                    seen[before].add(other)
                    distances.setdefault(other, -distance if before else distance)
                    found.append(other)
            levels[before] = found
    missing = {node: len(others - distances.keys()) for node, others in beyond.items()}
    nodes = _describe(session, distances, missing)
    return LineageGraph(
        nodes[start].id,
        [nodes[node] for node in distances],
        _edges(session, nodes, visible),
        any(node.missing for node in nodes.values()),
    )


def _neighbours(
    session: Session, nodes: list[Node], visible: Visible, *, before: bool
) -> list[tuple[Node, Node]]:
    """Return visible neighbours of nodes in one direction, as pairs of a node and its neighbour, in order."""
    runs = [node.id for node in nodes if node.is_run]
    versions = [node.id for node in nodes if not node.is_run]
    found: list[tuple[Node, Node]] = []
    logged = (  # a link has the run of its source
        select(Run.id, Version.id)
        .join_from(Run, Version, Version.run_id == Run.id)
        .where(Version.source.is_(None), Version.deleted_at.is_(None))
    )
    logged = visible.limit(logged, Run.project_id)
    used = (
        select(ArtifactUse.run_id, ArtifactUse.version_id)
        .join(Version, Version.id == ArtifactUse.version_id)
        .where(Version.deleted_at.is_(None))
    )
    if runs:
        query = (
            visible.limit_versions(used.where(ArtifactUse.run_id.in_(runs)))
            if before
            else logged.where(Version.run_id.in_(runs))
        )
        found += [(Node(True, run), Node(False, version)) for run, version in session.execute(query)]
    if versions:
        query = (
            logged.where(Version.id.in_(versions))
            if before
            else visible.limit_runs(used.where(ArtifactUse.version_id.in_(versions)), ArtifactUse.run_id)
        )
        found += [(Node(False, version), Node(True, run)) for run, version in session.execute(query)]
        pairs = (_sources if before else _links)(session, versions, visible)
        found += [(Node(False, each), Node(False, other)) for each, other in pairs]
    return sorted(found, key=lambda pair: (not pair[1].is_run, -pair[1].id, pair[0]))


def _sources(session: Session, links: list[int], visible: Visible) -> Iterator[tuple[int, int]]:
    """Yield the links among some versions, each with the version that it points to."""
    named = session.execute(select(Version.id, Version.source).where(Version.id.in_(links)))
    sources = {link: parse_version_name(source) for link, source in named if source is not None}
    wanted = {(*place, number) for place, number in sources.values()}
    query = select(Version.id, *_NAME).join_from(Version, Collection).join(Project)
    query = visible.limit_names(query, Project.entity, Project.name)
    rows = session.execute(query.where(tuple_(*_NAME).in_(wanted), Version.deleted_at.is_(None)))
    ids = {tuple(row[1:]): row[0] for row in rows} if wanted else {}
    for link, (place, number) in sources.items():
        if (source := ids.get((*place, number))) is not None:
            yield link, source


def _links(session: Session, versions: list[int], visible: Visible) -> Iterator[tuple[int, int]]:
    """Yield some versions, each with a link to it."""
    query = select(Version.id, *_NAME).join_from(Version, Collection).join(Project)
    rows = session.execute(query.where(Version.id.in_(versions)))
    named = {
        version_name((entity, project, name), index): each for each, entity, project, name, index in rows
    }
    links = select(Version.source, Version.id).where(Version.source.in_(named), Version.deleted_at.is_(None))
    for source, link in session.execute(visible.limit_versions(links)):
        yield named[source or ""], link


def _describe(
    session: Session, distances: dict[Node, int], missing: dict[Node, int]
) -> dict[Node, LineageNode]:
    """Return the descriptions of nodes. Large columns (config, summary, metadata) are not loaded."""
    runs = [node.id for node in distances if node.is_run]
    versions = [node.id for node in distances if not node.is_run]
    found: dict[Node, LineageNode] = {}

    def add(node: Node, name: str, place: CollectionPath, label: str | None, **fields: Any) -> None:
        kind = "run" if node.is_run else "version"
        fields |= {"distance": distances[node], "missing": missing.get(node, 0)}
        found[node] = LineageNode(f"{kind}:{name}", kind, *place, label=label, **fields)

    run_columns = (
        Project.entity,
        Project.name,
        Run.run_id,
        Run.name,
        Run.job_type,
        Run.state,
        Run.created_at,
    )
    query = select(Run.id, *run_columns).join_from(Run, Project).where(Run.id.in_(runs))
    for each, entity, project, run, label, kind, state, created in session.execute(query):
        place = (entity, project, run)
        add(Node(True, each), "/".join(place), place, label, type=kind, state=state, created_at=created)
    of_version = (Collection.type, Version.created_at)
    named = select(Version.id, *_NAME, *of_version).join_from(Version, Collection).join(Project)
    for each, entity, project, name, index, kind, created in session.execute(
        named.where(Version.id.in_(versions))
    ):
        place = (entity, project, name)
        full = version_name(place, index)
        add(Node(False, each), full, place, None, version=f"v{index}", type=kind, created_at=created)
    return found


def _edges(session: Session, nodes: dict[Node, LineageNode], visible: Visible) -> list[LineageEdge]:
    """Return all edges between nodes, sorted."""
    found = set()
    for node, other in _neighbours(session, list(nodes), visible, before=True):
        if other in nodes:
            kind = "used" if node.is_run else "logged" if other.is_run else "linked"
            found.add((kind, nodes[other].id, nodes[node].id))
    return [LineageEdge(*edge) for edge in sorted(found)]
