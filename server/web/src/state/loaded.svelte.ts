// What a view shows of the server: loaded when it is wanted, and anew when what the question reads has changed.

import { createLatest } from "../lib/latest";
import { messageOf } from "./services";

export interface Loaded<T> {
  /** The newest answer; null before the first one. A failure later on leaves it. */
  readonly value: T | null;
  /** Why the newest question was not answered; null when it was. */
  readonly error: string | null;
  retry: () => void;
}

/**
 * Asks in an effect of the component that calls this.
 * `ask` reads the state that the answer depends on and returns the call; null while nothing is wanted.
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
