"""The operations of the protocol by name, and the function behind each."""

from __future__ import annotations

from server.wandb import (
    account,
    artifact_edits,
    artifact_reads,
    artifact_registry,
    artifact_writes,
    introspection,
    run_files,
    run_reads,
    run_start,
    stops,
    sweeps,
)
from server.wandb.audit import audited
from server.wandb.executor import Executor, Resolver

QUERIES: dict[str, Resolver] = {
    "__type": introspection.type_of,
    "artifact": artifact_reads.artifact,
    "artifactCollection": artifact_reads.artifact_collection,
    "clientIDMapping": artifact_reads.client_id_mapping,
    "entity": account.entity,
    "model": run_start.model,
    "models": run_reads.models,
    "organization": artifact_registry.find_organization,
    "project": run_reads.project,
    "serverInfo": account.server_info,
    "users": account.users,
    "viewer": account.viewer,
}
MUTATIONS: dict[str, Resolver] = {
    "addAliases": audited(artifact_edits.add_aliases),
    "agentHeartbeat": sweeps.agent_heartbeat,
    "commitArtifact": artifact_writes.commit_artifact,
    "completeMultipartUploadArtifact": artifact_writes.complete_multipart_upload_artifact,
    "createAgent": sweeps.create_agent,
    "createArtifact": artifact_writes.create_artifact,
    "createArtifactCollectionTagAssignments": audited(artifact_edits.add_collection_tags),
    "createArtifactFiles": artifact_writes.create_artifact_files,
    "createArtifactManifest": artifact_writes.create_artifact_manifest,
    "createRunFiles": run_files.create_run_files,
    "deleteAliases": audited(artifact_edits.delete_aliases),
    "deleteApiKey": account.delete_api_key,
    "deleteArtifact": audited(artifact_edits.delete_artifact),
    "deleteArtifactCollectionTagAssignments": audited(artifact_edits.delete_collection_tags),
    "deleteArtifactPortfolio": audited(artifact_edits.remove_collection),
    "deleteArtifactSequence": audited(artifact_edits.remove_collection),
    "deleteFiles": audited(run_files.delete_files),
    "deleteRun": audited(run_reads.delete_run),
    "enqueueSweepRun": sweeps.enqueue_sweep_run,
    "generateApiKey": account.generate_api_key,
    "linkArtifact": audited(artifact_writes.link_artifact),
    "markRunFilesUploaded": run_files.mark_run_files_uploaded,
    "moveArtifactSequence": audited(artifact_edits.move_artifact_sequence),
    "notifyScriptableRunAlert": run_start.notify_scriptable_run_alert,
    "rewindRun": run_start.rewind_run,
    "stopRun": audited(stops.stop_run),
    "unlinkArtifact": audited(artifact_edits.unlink_artifact),
    "updateArtifact": audited(artifact_edits.update_artifact),
    "updateArtifactManifest": artifact_writes.update_artifact_manifest,
    "updateArtifactPortfolio": audited(artifact_edits.update_collection),
    "updateArtifactSequence": audited(artifact_edits.update_collection),
    "updateRunState": audited(run_reads.update_run_state),
    "upsertBucket": audited(run_start.upsert_bucket),
    "upsertModel": run_reads.upsert_model,
    "upsertSweep": audited(sweeps.upsert_sweep),
    "useArtifact": artifact_writes.use_artifact,
}


def make_executor() -> Executor:
    """Return an executor of all operations."""
    return Executor(QUERIES, MUTATIONS)
