// A change that a form or a button requests: whether it is pending, and the error of the last attempt.
import { messageOf } from "./services";

export interface Action {
  readonly busy: boolean;
  readonly error: string | null;
  /** Makes the change. Returns whether it succeeded; while another one is pending, it does nothing. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
}

export function createAction(): Action {
  let busy = $state(false);
  let error = $state<string | null>(null);
  return {
    get busy() {
      return busy;
    },
    get error() {
      return error;
    },
    async run(work) {
      if (busy) return false;
      busy = true;
      error = null;
      try {
        await work();
        return true;
      } catch (problem) {
        error = messageOf(problem);
        return false;
      } finally {
        busy = false;
      }
    },
  };
}
