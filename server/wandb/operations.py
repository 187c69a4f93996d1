"""The operations of the protocol by name, and the function behind each."""

from __future__ import annotations

from server.wandb import account, run_files, run_reads, run_start, stops, sweeps
from server.wandb.executor import Executor, Resolver

QUERIES: dict[str, Resolver] = {
    "entity": account.entity,
    "model": run_start.model,
    "models": run_reads.models,
    "project": run_reads.project,
    "serverInfo": account.server_info,
    "users": account.users,
    "viewer": account.viewer,
}
MUTATIONS: dict[str, Resolver] = {
    "agentHeartbeat": sweeps.agent_heartbeat,
    "createAgent": sweeps.create_agent,
    "createRunFiles": run_files.create_run_files,
    "deleteFiles": run_files.delete_files,
    "deleteRun": run_reads.delete_run,
    "enqueueSweepRun": sweeps.enqueue_sweep_run,
    "markRunFilesUploaded": run_files.mark_run_files_uploaded,
    "notifyScriptableRunAlert": run_start.notify_scriptable_run_alert,
    "rewindRun": run_start.rewind_run,
    "stopRun": stops.stop_run,
    "updateRunState": run_reads.update_run_state,
    "upsertBucket": run_start.upsert_bucket,
    "upsertModel": run_reads.upsert_model,
    "upsertSweep": sweeps.upsert_sweep,
}


def make_executor() -> Executor:
    """Return an executor of all operations."""
    return Executor(QUERIES, MUTATIONS)
