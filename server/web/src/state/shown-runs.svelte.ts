// The runs drawn on the charts: their details, colours, and versions. A live change raises the version.
import { assignSlots, lineStyle, type LineStyle } from "../lib/colors";
import type { Schema } from "../lib/api";
import { api } from "./services";
import { theme } from "./theme.svelte";

export const DEFAULT_SHOWN = 10;
/** More lines than this cannot be distinguished. */
export const MOST_SHOWN = 32;

export interface ShownRun {
  id: string;
  detail: Schema<"RunDetail"> | null;
  error: unknown;
  version: number;
}

export class ShownRuns {
  runs = $state.raw<ShownRun[]>([]);
  slots = $state.raw<ReadonlyMap<string, number>>(new Map());

  #entity = "";
  #project = "";
  #open = new AbortController();

  /** Clears the set for another project. */
  open(entity: string, project: string): void {
    this.#open.abort();
    this.#open = new AbortController();
    this.#entity = entity;
    this.#project = project;
    this.runs = [];
    this.slots = new Map();
  }

  /** Sets the runs to draw. */
  set(ids: string[]): void {
    const known = new Map(this.runs.map((run) => [run.id, run]));
    this.slots = assignSlots(this.slots, ids);
    this.runs = ids.map((id) => known.get(id) ?? { id, detail: null, error: null, version: 0 });
    for (const id of ids) if (!known.has(id)) void this.#load(id);
  }

  /** Loads changed runs again. Charts see the new version after the details have arrived. */
  changed(refs: Schema<"RunName">[]): void {
    for (const ref of refs) {
      if (ref.entity !== this.#entity || ref.project !== this.#project) continue;
      if (this.runs.some((run) => run.id === ref.id)) void this.#load(ref.id);
    }
  }

  retry(): void {
    for (const run of this.runs) if (run.error !== null) void this.#load(run.id);
  }

  /** Returns the line style of a run; null if the run is not drawn. */
  style(id: string): LineStyle | null {
    const slot = this.slots.get(id);
    return slot === undefined ? null : lineStyle(slot, theme.current);
  }

  async #load(id: string): Promise<void> {
    const { signal } = this.#open;
    try {
      const detail = await api.run(this.#entity, this.#project, id, signal);
      this.#update(id, signal, { detail, error: null });
    } catch (error) {
      this.#update(id, signal, { error });
    }
  }

  #update(id: string, signal: AbortSignal, change: Partial<ShownRun>): void {
    if (signal.aborted) return;
    this.runs = this.runs.map((run) => (run.id === id ? { ...run, ...change, version: run.version + 1 } : run));
  }
}
