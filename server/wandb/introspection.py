"""Answers to older clients, which ask for the schema before they send a mutation. 0.31 does not ask.

This server takes every field, so the lists only need the fields that a client looks for.
"""

from __future__ import annotations

from typing import Any

from server.wandb.context import Context

_INPUTS = {
    "CreateArtifactInput": (
        *("entityName", "projectName", "runName", "artifactTypeName", "artifactCollectionName"),
        *("artifactCollectionNames", "digest", "digestAlgorithm", "description", "aliases", "tags"),
        *("metadata", "labels", "ttlDurationSeconds", "historyStep", "enableDigestDeduplication"),
        *("distributedID", "clientID", "sequenceClientID", "storageRegion", "clientMutationId"),
    ),
    "CreateArtifactManifestInput": (
        *("artifactID", "baseArtifactID", "name", "digest", "entityName", "projectName", "runName", "type"),
        "clientMutationId",
    ),
    "DeleteFilesInput": ("files", "projectId", "clientMutationId"),
    "UseArtifactInput": (
        *("entityName", "projectName", "runName", "artifactID", "usedAs", "artifactEntityName"),
        *("artifactProjectName", "clientMutationId"),
    ),
}
_FIELDS = {
    "Artifact": (
        *("id", "aliases", "tags", "ttlDurationSeconds", "ttlIsInherited", "historyStep", "files"),
        *("artifactMemberships", "artifactSequence", "artifactType", "currentManifest", "versionIndex"),
    ),
    "Mutation": ("createRunFiles", "rewindRun", "updateArtifact", "useArtifact", "linkArtifact"),
    "Project": ("id", "internalId", "name", "artifactCollectionMembership", "artifactType", "artifactTypes"),
    "Query": ("artifact", "artifactCollection", "model", "project", "serverInfo", "viewer"),
    "Run": ("id", "name", "projectId", "project", "fileCount", "historyKeys", "inputArtifacts"),
    "ServerInfo": ("cliVersionInfo", "features", "latestLocalVersionInfo"),
}


def type_of(context: Context, name: str) -> dict[str, Any]:
    """Return the names of the fields of a type; none for an unknown one."""
    return {
        "__typename": "__Type",
        "name": name,
        "fields": [_named(each) for each in _FIELDS.get(name, ())],
        "inputFields": [_named(each) for each in _INPUTS.get(name, ())],
    }


def _named(name: str) -> dict[str, Any]:
    return {"__typename": "__Field", "name": name, "args": [], "type": None}
