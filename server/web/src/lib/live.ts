// The long-poll loop: one request at a time, growing pauses after errors, no requests while the tab is
// hidden.
import type { Schema } from "./api";

export interface LiveOptions {
  poll: (since: number | undefined, timeout: number, signal: AbortSignal) => Promise<Schema<"Changes">>;
  /** Gets the runs that changed, were deleted or were moved. */
  onChange: (runs: Schema<"RunName">[]) => void;
  onConnection: (connected: boolean) => void;
  /** Resolves after some milliseconds, or immediately when the signal fires. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  now: () => number;
}

const TIMEOUT = 25; // seconds that the server may hold the request; 0 after a failure, to notice a recovery at once
const REST = 1000; // fewest milliseconds between two updates, so that a busy run does not redraw permanently
const FIRST_BACKOFF = 1000;
/** A person who looks at the page learns of a restarted server at once. Hidden pages send nothing. */
const LAST_BACKOFF = 2000;

/** Returns whether a run in this state can still log. */
export function isLive(state: string): boolean {
  return state === "running" || state === "preempting";
}

/** Returns the milliseconds to wait after the n-th failure in a row (n starts at 1). */
export function backoff(failures: number): number {
  return Math.min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1));
}

/** Polls until the signal fires. Returns the last revision, to continue from it later. */
export async function followLive(
  options: LiveOptions,
  signal: AbortSignal,
  since: number | undefined,
): Promise<number | undefined> {
  let revision = since;
  let failures = 0;
  while (!signal.aborted) {
    const started = options.now();
    try {
      const reply = await options.poll(revision, failures > 0 ? 0 : TIMEOUT, signal);
      if (signal.aborted) break;
      // A smaller revision means that another store answers now. Treat everything as changed.
      revision = reply.revision;
      failures = 0;
      options.onConnection(true);
      const changed = [...reply.runs, ...reply.removed];
      if (changed.length > 0) options.onChange(changed);
      const spent = options.now() - started;
      if (spent < REST) await options.pause(REST - spent, signal);
    } catch {
      if (signal.aborted) break;
      failures += 1;
      // A single failure may be a proxy that closes a quiet connection. Report only repeated failures.
      if (failures > 1) options.onConnection(false);
      await options.pause(backoff(failures), signal);
    }
  }
  return revision;
}
