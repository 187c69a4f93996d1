// The runs on the charts: which of those that match are drawn, their styles, versions and metrics.
import type { Answer, Schema } from "../lib/api";
import { styleOf, valueColors, type LineStyle, type ValueColors } from "../lib/colors";
import { asNumber, lookup } from "../lib/json";
import { createLatest } from "../lib/latest";
import type { ProjectRoute } from "../lib/route";
import { nav } from "./nav.svelte";
import { chosenStyle, openRunColors } from "./run-colors.svelte";
import { api } from "./services";
import { theme } from "./theme.svelte";

/** Without a choice, this many of the first runs in the table are drawn. */
export const DEFAULT_SHOWN = 10;
/** The most runs that are drawn at once. */
export const MOST_SHOWN = 500;

export interface DrawnRun {
  id: string;
  name: string;
  state: string;
  group: string | null;
  config: Schema<"RunInfo">["config"];
  pinned: boolean;
  /** Larger after each change of the run. */
  version: number;
}

export type Metric = Answer<"list_metrics">["metrics"][number];

type Selection = Pick<ProjectRoute, "entity" | "project" | "order" | "search" | "shown" | "hidden" | "pinned">;

export class RunSet {
  /** Pinned runs first, then in the order of the table. */
  drawn = $state.raw<DrawnRun[]>([]);
  /** The number of runs that match the query; null before the first answer. */
  matching = $state<number | null>(null);
  /** History keys of the drawn runs. */
  metrics = $state.raw<Metric[]>([]);
  /** Whether `drawn` and `metrics` belong to the current selection. */
  settled = $state(false);
  error = $state.raw<unknown>(null);

  #selection: Selection | null = null;
  #versions = new Map<string, number>();
  #latest = createLatest();
  #ids = $derived(new Set(this.drawn.map((run) => run.id)));
  // A text of its own: other changes of the address must not make new styles.
  #colorField = $derived(nav.route.page === "project" ? nav.route.color : "");
  #values = $derived(new Map(this.drawn.map((run) => [run.id, valueOf(run, this.#colorField)])));
  /** What the colours stand for, if not for runs. */
  colors = $derived<ValueColors | null>(
    this.#colorField === "" ? null : valueColors([...this.#values.values()], theme.current),
  );

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Returns the line style of a run, whether it is drawn or not. */
  style(id: string): LineStyle {
    const chosen = chosenStyle(id);
    if (chosen !== null) return chosen;
    const value = this.#values.get(id);
    return this.colors !== null && value !== undefined ? this.colors.styleOf(value) : styleOf(id, theme.current);
  }

  /** Draws another selection. The old runs stay until the answer. */
  open(selection: Selection): void {
    const before = this.#selection;
    if (before !== null && (before.entity !== selection.entity || before.project !== selection.project)) {
      this.drawn = [];
      this.metrics = [];
      this.matching = null;
    }
    this.#selection = selection;
    openRunColors(selection.entity, selection.project);
    this.settled = false;
    void this.#load();
  }

  /** Loads again after runs have changed. */
  changed(runs: Schema<"RunName">[]): void {
    for (const { id } of runs) this.#versions.set(id, (this.#versions.get(id) ?? 0) + 1);
    void this.#load();
  }

  retry(): void {
    void this.#load();
  }

  close(): void {
    this.#latest.cancel();
    this.#selection = null;
  }

  async #load(): Promise<void> {
    const selection = this.#selection;
    if (selection === null) return;
    try {
      await this.#latest.run(async (signal) => {
        const { entity, project, order, search, shown, hidden, pinned } = selection;
        // The usual selection: its metrics are asked for together with the runs.
        const isPlain = !Array.isArray(shown) && hidden.length + pinned.length === 0;
        const limit = shown === "all" ? MOST_SHOWN : DEFAULT_SHOWN;
        const [{ runs, matching }, early] = await Promise.all([
          chosenRuns(selection, signal),
          isPlain ? api.metrics(entity, project, { order, query: search, limit }, signal) : null,
        ]);
        const ids = runs.map((run) => run.id);
        const { metrics } = early ?? (ids.length === 0 ? { metrics: [] } : await api.metrics(entity, project, { runs: ids }, signal));
        if (signal.aborted) return;
        this.drawn = runs.map(({ id, name, state, group, config }) => {
          const version = this.#versions.get(id) ?? 0;
          return { id, name, state, group, config, pinned: pinned.includes(id), version };
        });
        this.matching = matching;
        this.metrics = metrics;
        this.settled = true;
        this.error = null;
      });
    } catch (error) {
      this.error = error;
    }
  }
}

/** Returns the value of the field that the colours stand for: a number, a text, or null. */
function valueOf(run: DrawnRun, field: string): number | string | null {
  if (field === "group") return run.group;
  const value = field.startsWith("config.") ? lookup(run.config, field.slice("config.".length)) : undefined;
  if (value === undefined || value === null) return null;
  return asNumber(value) ?? (typeof value === "object" ? JSON.stringify(value) : String(value));
}

/** Returns the runs of a selection, and how many runs match its query. */
async function chosenRuns(
  { entity, project, order, search, shown, hidden, pinned }: Selection,
  signal: AbortSignal,
): Promise<{ runs: Schema<"RunInfo">[]; matching: number }> {
  const byHand = Array.isArray(shown);
  const named = [...new Set([...pinned, ...(byHand ? shown : [])])].filter((id) => !hidden.includes(id));
  const most = shown === "all" ? MOST_SHOWN : DEFAULT_SHOWN;
  // Hidden runs among the first ones are replaced by the next ones only if all are drawn.
  const limit = byHand ? 0 : most;
  const [page, extra] = await Promise.all([
    api.runs(entity, project, { order, search, limit: Math.max(1, limit), offset: 0 }, signal),
    named.length === 0
      ? []
      : api
          .runs(entity, project, { order, search: "", limit: MOST_SHOWN, offset: 0, ids: named }, signal)
          .then(({ runs }) => runs),
  ]);
  const matching = page.runs.slice(0, limit).filter((run) => !hidden.includes(run.id));
  const first = extra.filter((run) => pinned.includes(run.id));
  const rest = [...extra, ...matching].filter((run) => !pinned.includes(run.id));
  return { runs: [...first, ...rest].slice(0, MOST_SHOWN), matching: page.total };
}
