// The address of a run or a version of a lineage graph.
import type { LineageNode } from "../../lib/lineage";
import { projectRoute } from "../../lib/route";
import { hrefTo } from "../../state/nav.svelte";

/** Returns the page of a run, or the lineage of a version. */
export function hrefOfNode({ kind, entity, project, name, version }: LineageNode): string {
  const route = projectRoute(entity, project);
  if (kind === "run") return hrefTo({ ...route, run: name });
  return hrefTo({ ...route, tab: "artifacts", artifact: `${name}:${version ?? "latest"}`, section: "lineage" });
}
