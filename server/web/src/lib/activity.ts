// Counts pending work, so that a browser test can wait until the page is idle.

export interface Activity {
  /** Marks the start of some work. The returned function marks its end; further calls of it do nothing. */
  begin: () => () => void;
  /** Does some work after `ms` milliseconds. It is pending until then. The returned function cancels it. */
  later: (work: () => void, ms: number) => () => void;
  /** Resolves when no work has been pending for `quiet` milliseconds. */
  idle: (quiet?: number) => Promise<void>;
  pending: () => number;
}

/** `drawn` resolves when the page shows its state, and has told observers what came into view. */
export function createActivity(drawn: () => Promise<void> = () => Promise.resolve()): Activity {
  let pending = 0;
  let changes = 0;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  function begin(): () => void {
    pending += 1;
    changes += 1;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      pending -= 1;
      changes += 1;
    };
  }
  return {
    begin,
    later(work, ms) {
      const done = begin();
      const timer = setTimeout(() => {
        try {
          work();
        } finally {
          done();
        }
      }, ms);
      return () => {
        clearTimeout(timer);
        done();
      };
    },
    async idle(quiet = 60) {
      for (;;) {
        const before = changes;
        await pause(quiet);
        await drawn();
        if (pending === 0 && changes === before) return;
      }
    },
    pending: () => pending,
  };
}
