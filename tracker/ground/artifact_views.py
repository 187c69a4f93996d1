"""Frozen records about artifacts: folders, differences, lineage, registries, sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracker.ground.read_models import ArtifactDetail, ArtifactInfo, CollectionInfo


@dataclass(frozen=True, slots=True)
class CollectionList:
    """Artifact collections, by name."""

    collections: list[CollectionInfo]


@dataclass(frozen=True, slots=True)
class VersionList:
    """Artifact versions."""

    artifacts: list[ArtifactInfo]


@dataclass(frozen=True, slots=True)
class LinkList:
    """Links to an artifact version in other collections, the oldest first."""

    artifacts: list[ArtifactDetail]


@dataclass(frozen=True, slots=True)
class DeletedVersions:
    """The number of versions that were deleted."""

    deleted: int


@dataclass(frozen=True, slots=True)
class FolderItem:
    """A file or a folder in a folder of a version.

    Attributes:
        name: Last part of the path.
        path: Path in the version.
        kind: ``"file"`` or ``"folder"``.
        size: Size in bytes; for a folder, the total size of its files at all levels.
        file_count: Number of files; 1 for a file.
        digest: Digest of a file as in the manifest; None for a folder.
        sha256: SHA-256 of a file; None for a folder or a reference.
        ref: URI of a reference; None for other files.
    """

    name: str
    path: str
    kind: str
    size: int
    file_count: int
    digest: str | None = None
    sha256: str | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactFolder:
    """A page of the content of a folder of a version.

    Attributes:
        path: Path of the folder in the version; empty for the root.
        size: Total size in bytes of the files of the folder, at all levels.
        file_count: Number of the files of the folder, at all levels.
        total: Number of all items that match the query.
        items: The items of this page: folders by name, then files by name. For a search: files by path.
    """

    path: str
    size: int
    file_count: int
    total: int
    items: list[FolderItem]


@dataclass(frozen=True, slots=True)
class FileDifference:
    """One file of two versions. The fields of a version without the file are None.

    Attributes:
        path: Path of the file.
        state: ``"added"``, ``"removed"``, ``"changed"`` or ``"same"``.
        size_before: Size in the first version, in bytes.
        size_after: Size in the second version, in bytes.
        digest_before: Digest in the manifest of the first version.
        digest_after: Digest in the manifest of the second version.
        ref_before: URI in the first version, if the file is a reference there.
        ref_after: URI in the second version, if the file is a reference there.
    """

    path: str
    state: str
    size_before: int | None
    size_after: int | None
    digest_before: str | None
    digest_after: str | None
    ref_before: str | None
    ref_after: str | None


@dataclass(frozen=True, slots=True)
class DifferenceTotal:
    """The number of files in one state, and their total size in bytes in each of the two versions."""

    files: int = 0
    size_before: int = 0
    size_after: int = 0


@dataclass(frozen=True, slots=True)
class MetadataDifference:
    """A value of the metadata that differs. Keys of nested dicts are joined by dots.

    ``state`` is ``"added"``, ``"removed"`` or ``"changed"``. A value that does not exist is None.
    """

    key: str
    state: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ArtifactDifference:
    """The difference between two versions.

    Attributes:
        before: ``ENTITY/PROJECT/NAME:vN`` of the first version.
        after: The same of the second version.
        added: Total of the files that only the second version has.
        removed: Total of the files that only the first version has.
        changed: Total of the files with different contents.
        same: Total of the files with equal contents.
        metadata_total: Number of all differences of the metadata.
        metadata: The first 1,000 of them, by key.
        total: Number of all files that match the query.
        files: The files of this page, by path.
    """

    before: str
    after: str
    added: DifferenceTotal
    removed: DifferenceTotal
    changed: DifferenceTotal
    same: DifferenceTotal
    metadata_total: int
    metadata: list[MetadataDifference]
    total: int
    files: list[FileDifference]


@dataclass(frozen=True, slots=True)
class LineageNode:
    """A run or a version in a lineage graph.

    Attributes:
        id: ``run:ENTITY/PROJECT/ID`` or ``version:ENTITY/PROJECT/NAME:vN``.
        kind: ``"run"`` or ``"version"``.
        entity: Entity of the project.
        project: Project.
        name: Id of the run, or name of the collection.
        type: Type of the artifact, or job type of the run.
        created_at: Creation time in unix seconds.
        distance: Number of edges from the start; negative for nodes before the start.
        version: ``vN``; None for a run.
        label: Display name of the run; None for a version.
        state: State of the run; None for a version.
        missing: Number of neighbours in the requested direction that the graph does not contain, because of
            its depth or its limit. The graph was cut at the nodes with a number other than 0.
    """

    id: str
    kind: str
    entity: str
    project: str
    name: str
    type: str | None
    created_at: float
    distance: int
    version: str | None = None
    label: str | None = None
    state: str | None = None
    missing: int = 0


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """An edge of a lineage graph, in the direction of the data.

    ``kind`` is ``"logged"`` (from a run to a version), ``"used"`` (from a version to a run) or ``"linked"``
    (from a version to a link to it). ``source`` and ``target`` are ids of nodes.
    """

    kind: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """The runs and versions from which a node was made, and those that were made from it.

    Attributes:
        start: Id of the node at which the graph starts.
        nodes: The nodes, the nearest first. ``start`` is the first.
        edges: All edges between these nodes.
        is_cut: Whether the graph is incomplete: some nodes have ``missing`` neighbours.
    """

    start: str
    nodes: list[LineageNode]
    edges: list[LineageEdge]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class RegistryCollection(CollectionInfo):
    """A collection with links to versions of other collections, such as a registered model.

    Attributes:
        links: Number of its versions that are links.
        source: ``ENTITY/PROJECT/NAME:vN`` of the version that the newest link points to.
        named: The version of each alias, as ``vN``.
    """

    links: int = 0
    source: str | None = None
    named: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """A page of the collections of an entity that have links. ``total`` counts all that match the query."""

    total: int
    collections: list[RegistryCollection]


@dataclass(frozen=True, slots=True)
class ArtifactSizes:
    """Sizes of all versions of a project or a collection, in bytes.

    Attributes:
        versions: Number of versions.
        files: Number of files in all versions. A file that versions share counts once for each version.
        logical_size: Size of these files, as if each version had its own copy. Without references.
        stored_size: Size of their different contents. Each content counts once.
        saved_size: ``logical_size`` minus ``stored_size``.
        disk_size: Size of the store's files with these contents: blobs, packs, and manifests. A pack can also
            have contents of other versions, and contents that nothing uses any more.
        referenced_size: Size of the contents of references, which the store does not have.
        unreadable: Number of versions whose manifest is missing or cannot be read. The other fields except
            ``versions`` do not count them.
    """

    versions: int
    files: int
    logical_size: int
    stored_size: int
    saved_size: int
    disk_size: int
    referenced_size: int
    unreadable: int
