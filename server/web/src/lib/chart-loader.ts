// Groups simultaneous requests for lines into few calls: many runs and many keys in each.
import type { ChartSeries } from "./chart-data";

export interface LineRequest {
  entity: string;
  project: string;
  run: string;
  key: string;
  /** The x axis; null for the axis that the run defines for the key. */
  x: string | null;
  /** All rows of this segment; null for the newest branch. */
  segment: string | null;
  /** The interval of x; null for all. */
  zoom: [number, number] | null;
  /** Only values from this x on; null for all. */
  since: number | null;
  /** A line with more values is sent in this many buckets. */
  points: number;
  /** Whether buckets have the steps of their extremes. */
  steps: boolean;
}

export interface LineCall extends Omit<LineRequest, "key" | "run"> {
  runs: string[];
  keys: string[];
}

export interface LoaderOptions {
  fetch: (call: LineCall) => Promise<ChartSeries[]>;
  /** Runs the collected requests a little later. */
  defer: (work: () => void) => void;
  /** About this many points are asked for in one call; a key of many runs is never split. */
  pointsPerCall?: number;
  callsAtOnce?: number;
}

interface Waiting {
  request: LineRequest;
  resolve: (series: ChartSeries | null) => void;
  reject: (error: unknown) => void;
}

export interface ChartLoader {
  /** Returns the series of one key of one run; null if the run does not have the key. */
  load: (request: LineRequest) => Promise<ChartSeries | null>;
  /** Sends the requests that were collected, without waiting for more. */
  flush: () => void;
}

/** The limits of the server for one call. */
const MOST_KEYS = 200;
const MOST_POINTS = 2_000_000;

/** Groups requests into calls, in the order in which their first request came. */
export function planCalls<T extends { request: LineRequest }>(waiting: T[], pointsPerCall: number): { call: LineCall; items: T[] }[] {
  const groups = new Map<string, { common: Omit<LineCall, "runs" | "keys">; byKey: Map<string, Map<string, T[]>> }>();
  for (const item of waiting) {
    const { run, key, ...common } = item.request;
    // The server reads one segment of one run at a time. New values of each run begin at an x of its own.
    const alone = common.segment !== null || common.since !== null ? run : null;
    const id = JSON.stringify([common, alone]);
    const group = groups.get(id) ?? { common, byKey: new Map<string, Map<string, T[]>>() };
    groups.set(id, group);
    const runs = group.byKey.get(key) ?? new Map<string, T[]>();
    group.byKey.set(key, runs);
    runs.set(run, [...(runs.get(run) ?? []), item]);
  }
  const calls: { call: LineCall; items: T[] }[] = [];
  for (const { common, byKey } of groups.values()) {
    // Keys of the same runs share calls.
    const sameRuns = new Map<string, string[]>();
    for (const [key, runs] of byKey) {
      const id = JSON.stringify([...runs.keys()]);
      sameRuns.set(id, [...(sameRuns.get(id) ?? []), key]);
    }
    for (const [id, keys] of sameRuns) {
      const all = JSON.parse(id) as string[];
      const most = Math.max(1, Math.floor(MOST_POINTS / common.points));
      for (let first = 0; first < all.length; first += most) {
        const runs = all.slice(first, first + most);
        const each = Math.min(MOST_KEYS, Math.max(1, Math.floor(pointsPerCall / (runs.length * common.points))));
        for (let at = 0; at < keys.length; at += each) {
          const some = keys.slice(at, at + each);
          const items = some.flatMap((key) => runs.flatMap((run) => byKey.get(key)?.get(run) ?? []));
          calls.push({ call: { ...common, runs, keys: some }, items });
        }
      }
    }
  }
  return calls;
}

export function createChartLoader(options: LoaderOptions): ChartLoader {
  const pointsPerCall = options.pointsPerCall ?? 250_000;
  const callsAtOnce = options.callsAtOnce ?? 4;
  let collected: Waiting[] = [];
  const queue: ReturnType<typeof planCalls<Waiting>> = [];
  let active = 0;

  async function perform({ call, items }: (typeof queue)[number]): Promise<void> {
    try {
      const series = await options.fetch(call);
      const nameOf = (run: string, key: string) => `${run} ${key}`;
      const found = new Map(series.map((each) => [nameOf(each.run || (call.runs[0] as string), each.key), each]));
      for (const { request, resolve } of items) resolve(found.get(nameOf(request.run, request.key)) ?? null);
    } catch (error) {
      for (const item of items) item.reject(error);
    }
  }

  function pump(): void {
    while (active < callsAtOnce) {
      const next = queue.shift();
      if (next === undefined) return;
      active += 1;
      void perform(next).finally(() => {
        active -= 1;
        pump();
      });
    }
  }

  function flush(): void {
    queue.push(...planCalls(collected, pointsPerCall));
    collected = [];
    pump();
  }

  return {
    load: (request) =>
      new Promise((resolve, reject) => {
        if (collected.length === 0) options.defer(flush);
        collected.push({ request, resolve, reject });
      }),
    flush,
  };
}
