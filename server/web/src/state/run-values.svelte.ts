// Some fields of all runs that match a query, for panels over runs. Loaded again after changes, but seldom.
import type { Json } from "../lib/json";
import { createLoaded, type Loaded } from "./loaded.svelte";
import { onLive } from "./live.svelte";
import { api } from "./services";

export type RunRow = Record<string, Json>;

export interface RunRows {
  runs: RunRow[];
  /** The number of all matching runs; the rows are at most `MOST_VALUES`. */
  total: number;
}

interface Wanted {
  entity: string;
  project: string;
  query: string;
  fields: string[];
}

/** Milliseconds between two loads after changes: the values of thousands of runs are large. */
const REST = 10_000;

/** Call it while a component is set up. `ask` returns null while nothing is needed. */
export function createRunValues(ask: () => Wanted | null): Loaded<RunRows> {
  let version = $state(0);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wanted = $derived(JSON.stringify(ask()));

  $effect(() => {
    const stop = onLive((refs) => {
      const now = JSON.parse(wanted) as Wanted | null;
      if (timer !== undefined || now === null) return;
      if (!refs.some((ref) => ref.entity === now.entity && ref.project === now.project)) return;
      timer = setTimeout(() => {
        timer = undefined;
        version += 1;
      }, REST);
    });
    return () => {
      stop();
      clearTimeout(timer);
      timer = undefined;
    };
  });

  return createLoaded(() => {
    void version;
    const now = JSON.parse(wanted) as Wanted | null;
    if (now === null) return null;
    return (signal) => api.runValues(now.entity, now.project, now.query, now.fields, signal);
  });
}
