// The data of the compared runs, and the sections of what changed.
import type { Api, Answer, Schema } from "../../lib/api";
import { alignRows, factsOf, settingsOf, type ComparedRow, type Facts } from "../../lib/compare";
import type { Json } from "../../lib/json";

export interface ComparedRun {
  detail: Schema<"RunDetail">;
  facts: Facts;
  /** Files with the difference of the code, the packages and the code. */
  files: Schema<"FactsFile">[];
  used: [string, Json][];
}

export async function loadCompared(
  api: Api,
  entity: string,
  project: string,
  ids: string[],
  signal: AbortSignal,
): Promise<ComparedRun[]> {
  return Promise.all(
    ids.map(async (id) => {
      const [detail, facts, used] = await Promise.all([
        api.run(entity, project, id, signal),
        api.ofRun(entity, project, id, "facts", {}, signal),
        api.call<Answer<"list_used_artifacts">>(["projects", entity, project, "runs", id, "used-artifacts"], { signal }),
      ]);
      return {
        detail,
        facts: factsOf(facts.metadata, facts.packages),
        files: facts.files,
        used: used.artifacts.map((each): [string, Json] => [`${each.type}: ${each.name}`, each.version]),
      };
    }),
  );
}

export interface ComparedSection {
  title: string;
  rows: ComparedRow[];
}

const runRows = ({ detail }: ComparedRun): [string, Json][] => [
  ["state", detail.state],
  ["reason", detail.reason],
  ["duration", Math.round(detail.duration)],
  ["last step", detail.last_step],
  ["group", detail.group],
  ["job type", detail.job_type],
  ["tags", detail.tags.join(", ")],
  ["host", detail.host],
];

/** Returns what can differ between runs, most telling first. */
export function sectionsOf(runs: ComparedRun[]): ComparedSection[] {
  const section = (title: string, pairs: (run: ComparedRun) => [string, Json][]) => ({
    title,
    rows: alignRows(runs.map(pairs)),
  });
  return [
    section("Config", (run) => settingsOf(run.detail.config)),
    section("Command and code", (run) => run.facts.code),
    section("Data and models used", (run) => run.used),
    section("Packages", (run) => run.facts.packages),
    section("Hardware and system", (run) => run.facts.machine),
    section("Run", runRows),
    section("Summary", (run) => settingsOf(run.detail.summary)),
  ].filter(({ rows }) => rows.length > 0);
}
