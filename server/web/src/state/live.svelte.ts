// Live updates for the views: one long poll, which pauses while the tab is hidden.
import { followLive } from "../lib/live";
import type { Schema } from "../lib/api";
import { meta } from "./root";
import { api } from "./services";

type Listener = (runs: Schema<"RunName">[]) => void;

const listeners = new Set<Listener>();
let connected = $state(true);
// The page has the revision of the moment before it was sent: then its data need not wait for one.
let revision: number | undefined = Number(meta?.dataset["revision"]) || undefined;
let stop: AbortController | null = null;

export const live = {
  get connected(): boolean {
    return connected;
  },
};

/** Calls `listener` with the runs that changed, were deleted or were moved. The returned function stops this. */
export function onLive(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

function follow(onFirst: () => void): void {
  if (stop !== null || document.hidden) return onFirst();
  if (revision !== undefined) onFirst();
  const mine = new AbortController();
  stop = mine;
  void followLive(
    {
      poll: async (since, timeout, signal) => {
        const reply = await api.live(since, timeout, signal);
        revision = reply.revision;
        onFirst();
        return reply;
      },
      onChange: (runs) => {
        for (const listener of listeners) listener(runs);
      },
      onConnection: (up) => {
        connected = up;
      },
      pause,
      now: () => performance.now(),
    },
    mine.signal,
    revision,
  );
}

function rest(): void {
  stop?.abort();
  stop = null;
}

/** Starts the long poll. The promise resolves when the revision is known, but after one second at the latest, so
 * that views which load afterwards miss no change. */
export function startLive(): { ready: Promise<void>; stop: () => void } {
  const ready = new Promise<void>((resolve) => {
    follow(resolve);
    setTimeout(resolve, 1000);
  });
  const onVisibility = () => {
    if (document.hidden) rest();
    else follow(() => undefined);
  };
  document.addEventListener("visibilitychange", onVisibility);
  return {
    ready,
    stop: () => {
      document.removeEventListener("visibilitychange", onVisibility);
      rest();
      revision = undefined;
      connected = true;
    },
  };
}
