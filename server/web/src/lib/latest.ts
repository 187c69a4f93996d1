// Drops stale answers: of several overlapping calls only the newest may deliver.

export interface Latest {
  /** Starts a new call, aborting the one before; resolves to undefined when a newer one has taken over. */
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
