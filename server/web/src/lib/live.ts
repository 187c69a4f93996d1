// The long-poll loop: one request at a time, growing pauses after errors, a rest while nobody looks.
import type { LiveReply, RunRef } from "./records";

export interface LiveOptions {
  poll: (since: number | undefined, timeout: number, signal: AbortSignal) => Promise<LiveReply>;
  onChange: (runs: RunRef[]) => void;
  onConnection: (connected: boolean) => void;
  /** Resolves after some milliseconds, or at once when the signal fires. */
  pause: (ms: number, signal: AbortSignal) => Promise<void>;
  now: () => number;
}

const TIMEOUT = 25; // seconds the server may hold the request; 1 after a failure, to learn soon that all is well
const REST = 1000; // least milliseconds between two changes shown, so that a busy run does not redraw all the time
const FIRST_BACKOFF = 1000;
const LAST_BACKOFF = 30000;

/** Milliseconds to wait after the n-th failure in a row (from 1). */
export function backoff(failures: number): number {
  return Math.min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1));
}

/** Polls until the signal fires. Returns the last revision seen, to go on from. */
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
      const reply = await options.poll(revision, failures > 0 ? 1 : TIMEOUT, signal);
      if (signal.aborted) break;
      // A smaller revision means another store answers now: take everything as changed from here on.
      revision = reply.revision;
      failures = 0;
      options.onConnection(true);
      if (reply.runs.length > 0) options.onChange(reply.runs);
      const spent = options.now() - started;
      if (spent < REST) await options.pause(REST - spent, signal);
    } catch {
      if (signal.aborted) break;
      failures += 1;
      // One failure may be a proxy cutting a quiet connection; say so only when it lasts.
      if (failures > 1) options.onConnection(false);
      await options.pause(backoff(failures), signal);
    }
  }
  return revision;
}
