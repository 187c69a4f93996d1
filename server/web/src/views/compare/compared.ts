// The data of the compared runs, and the sections of what changed.
import { ApiError, type Api, type Answer, type Schema } from "../../lib/api";
import { alignRows, factsOf, settingsOf, type ComparedRow, type Facts } from "../../lib/compare";
import { formatBytes } from "../../lib/format";
import type { Json } from "../../lib/json";
import { isCode, loadCode } from "../run/code-files";

export interface ComparedRun {
  detail: Schema<"RunDetail">;
  facts: Facts;
  /** Code, the difference to the commit, and lists of packages. */
  files: Schema<"FactsFile">[];
  used: [string, Json][];
}

export interface Compared {
  runs: ComparedRun[];
  /** Ids of runs that do not exist. */
  missing: string[];
}

export async function loadCompared(
  api: Api,
  entity: string,
  project: string,
  ids: string[],
  signal: AbortSignal,
): Promise<Compared> {
  const load = async (id: string): Promise<ComparedRun> => {
    const detail = await api.run(entity, project, id, signal);
    const [facts, used] = await Promise.all([
      api.ofRun(entity, project, id, "facts", {}, signal),
      api.call<Answer<"list_used_artifacts">>(["projects", entity, project, "runs", id, "used-artifacts"], { signal }),
    ]);
    const code = await loadCode(api, entity, project, id, facts.files, signal);
    const known = new Set(code.map((file) => file.path));
    const others = facts.files.filter((file) => !known.has(file.path) && !file.path.endsWith("wandb-metadata.json"));
    return {
      detail,
      facts: factsOf(facts.metadata, facts.packages),
      files: [...code, ...others],
      used: used.artifacts.map((each): [string, Json] => [`${each.type}: ${each.name}`, each.version]),
    };
  };
  const missing: string[] = [];
  const runs = await Promise.all(
    ids.map((id) =>
      load(id).catch((error: unknown) => {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
        missing.push(id);
        return null;
      }),
    ),
  );
  return { runs: runs.filter((run) => run !== null), missing };
}

export interface ComparedSection {
  title: string;
  rows: ComparedRow[];
  /** Whether the rows are settings of a run, and not its results. */
  isSetting: boolean;
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

const fileRows = ({ files }: ComparedRun): [string, Json][] =>
  files.filter(isCode).map((file) => [file.path, `${formatBytes(file.size)}, ${file.sha256.slice(0, 8)}`]);

/** Returns what can differ between runs, most telling first. */
export function sectionsOf(runs: ComparedRun[]): ComparedSection[] {
  const section = (title: string, pairs: (run: ComparedRun) => [string, Json][], isSetting = true) => ({
    title,
    rows: alignRows(runs.map(pairs)),
    isSetting,
  });
  return [
    section("Config", (run) => settingsOf(run.detail.config)),
    section("Command and code", (run) => [...run.facts.code, ...fileRows(run)]),
    section("Data and models used", (run) => run.used),
    section("Packages", (run) => run.facts.packages),
    section("Hardware and system", (run) => run.facts.machine),
    section("Run", runRows, false),
    section("Summary", (run) => settingsOf(run.detail.summary), false),
  ].filter(({ rows }) => rows.length > 0);
}

/** Returns which settings differ between the runs, in one sentence. */
export function changesText(sections: ComparedSection[]): string {
  const settings = sections.filter((section) => section.isSetting);
  const count = (rows: ComparedRow[]) => rows.filter((row) => row.differs).length;
  const changed = settings.filter(({ rows }) => count(rows) > 0).map(({ title, rows }) => `${title} (${count(rows)})`);
  const equal = settings.filter(({ rows }) => count(rows) === 0).map(({ title }) => title);
  const parts = [
    ...(changed.length > 0 ? [`Changed: ${changed.join(", ")}.`] : []),
    ...(equal.length > 0 ? [`Equal: ${equal.join(", ")}.`] : []),
  ];
  return parts.join(" ") || "The runs have no config and no facts to compare.";
}
