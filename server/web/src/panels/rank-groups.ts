// A distributed run as a group. Panels with the same list of groups share their requests.
import type { ChartRun } from "../charts/ChartPanel.svelte";
import type { RunGroup } from "../lib/run-groups";

let newest: { id: string; groups: RunGroup[] } | null = null;

/** Returns the list: the same one until the run changes. */
export function groupsOfRun(entity: string, project: string, { id: run, name, version }: ChartRun): RunGroup[] {
  const id = JSON.stringify([entity, project, run, name, version]);
  if (newest?.id !== id) newest = { id, groups: [{ label: name, ids: [run] }] };
  return newest.groups;
}
