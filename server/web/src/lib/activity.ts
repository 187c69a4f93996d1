// Counts pending work, so that a browser test can wait until the page is idle.

export interface Activity {
  /** Marks the start of some work. The returned function marks its end; further calls of it do nothing. */
  begin: () => () => void;
  /** Resolves when no work has been pending for `quiet` milliseconds. */
  idle: (quiet?: number) => Promise<void>;
  pending: () => number;
}

export function createActivity(): Activity {
  let pending = 0;
  let changes = 0;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  return {
    begin() {
      pending += 1;
      changes += 1;
      let open = true;
      return () => {
        if (!open) return;
        open = false;
        pending -= 1;
        changes += 1;
      };
    },
    async idle(quiet = 60) {
      for (;;) {
        const before = changes;
        await pause(quiet);
        if (pending === 0 && changes === before) return;
      }
    },
    pending: () => pending,
  };
}
