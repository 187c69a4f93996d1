// Data of a view from the server: loaded when needed, and again when the inputs of the request change.

import { createLatest } from "../lib/latest";
import { messageOf } from "./services";

export interface Loaded<T> {
  /** The newest answer; null before the first one. A later failure does not clear it. */
  readonly value: T | null;
  /** The error of the newest request; null if it succeeded. */
  readonly error: string | null;
  retry: () => void;
}

/**
 * Sends the request in an effect of the calling component.
 * `ask` reads the state that the answer depends on, and returns the call; null if no data is needed.

 */
export function createLoaded<T>(ask: () => ((signal: AbortSignal) => Promise<T>) | null): Loaded<T> {
  let value = $state.raw<T | null>(null);
  let error = $state<string | null>(null);
  let attempt = $state(0);
  const latest = createLatest();

  $effect(() => {
    void attempt;
    const call = ask();
    if (call === null) return;
    latest
      .run(call)
      .then((found) => {
        if (found === undefined) return;
        value = found;
        error = null;
      })
      .catch((problem: unknown) => (error = messageOf(problem)));
  });
  $effect(() => () => latest.cancel());

  return {
    get value() {
      return value;
    },
    get error() {
      return error;
    },
    retry: () => (attempt += 1),
  };
}
