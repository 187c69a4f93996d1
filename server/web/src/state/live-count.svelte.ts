// A number that grows when runs have changed, for lists that load again. It grows at most once in three seconds.
import type { Schema } from "../lib/api";
import { onLive } from "./live.svelte";

const PAUSE_MS = 3000;

/** Counts changes of the runs that `concerns` accepts, while the calling component exists. */
export function createLiveCount(concerns: (run: Schema<"RunName">) => boolean): { readonly count: number } {
  let count = $state(0);
  let waiting: ReturnType<typeof setTimeout> | undefined;
  $effect(() =>
    onLive((runs) => {
      if (waiting !== undefined || !runs.some(concerns)) return;
      waiting = setTimeout(() => {
        waiting = undefined;
        count += 1;
      }, PAUSE_MS);
    }),
  );
  $effect(() => () => clearTimeout(waiting));
  return {
    get count() {
      return count;
    },
  };
}
