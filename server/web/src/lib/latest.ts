// Drops outdated answers: of several overlapping calls only the newest delivers its answer.

export interface Latest {
  /** Starts a new call and aborts the previous one. Resolves to undefined if a newer call has replaced it. */
  run: <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T | undefined>;
  cancel: () => void;
}

export function createLatest(): Latest {
  let current: AbortController | null = null;
  return {
    async run(work) {
      current?.abort();
      const mine = new AbortController();
      current = mine;
      try {
        const result = await work(mine.signal);
        return current === mine ? result : undefined;
      } catch (error) {
        if (current !== mine || mine.signal.aborted) return undefined;
        throw error;
      }
    },
    cancel() {
      current?.abort();
      current = null;
    },
  };
}
