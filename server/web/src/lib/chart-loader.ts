// Groups simultaneous chart requests into few calls: one for each run, axis and zoom, with many keys.
import type { ChartSeries } from "./chart-data";

export interface ChartRequest {
  entity: string;
  project: string;
  run: string;
  key: string;
  x: string;
  /** All rows of this segment; null for the newest branch. */
  segment: string | null;
  zoom: [number, number] | null;
}

export interface ChartCall extends Omit<ChartRequest, "key"> {
  keys: string[];
}

export interface LoaderOptions {
  fetch: (call: ChartCall) => Promise<ChartSeries[]>;
  /** Runs the collected requests a little later. */
  defer: (work: () => void) => void;
  keysPerCall?: number;
  callsAtOnce?: number;
}

interface Waiting {
  request: ChartRequest;
  resolve: (series: ChartSeries | null) => void;
  reject: (error: unknown) => void;
}

export interface ChartLoader {
  /** Returns the series of one key; null if the run does not have the key. */
  load: (request: ChartRequest) => Promise<ChartSeries | null>;
}

/** Groups requests into calls, and keeps their order. */
export function planCalls<T extends { request: ChartRequest }>(waiting: T[], keysPerCall: number): T[][] {
  const open = new Map<string, { keys: Set<string>; call: T[] }[]>();
  const calls: T[][] = [];
  for (const item of waiting) {
    const { entity, project, run, x, segment, zoom, key } = item.request;
    const id = JSON.stringify([entity, project, run, x, segment, zoom]);
    const groups = open.get(id) ?? [];
    open.set(id, groups);
    // A key that is already in a call needs no extra space, even if the call is full.
    let group = groups.find((other) => other.keys.has(key) || other.keys.size < keysPerCall);
    if (group === undefined) {
      group = { keys: new Set(), call: [] };
      groups.push(group);
      calls.push(group.call);
    }
    group.keys.add(key);
    group.call.push(item);
  }
  return calls;
}

export function createChartLoader(options: LoaderOptions): ChartLoader {
  const keysPerCall = options.keysPerCall ?? 24;
  const callsAtOnce = options.callsAtOnce ?? 5;
  let collected: Waiting[] = [];
  const queue: Waiting[][] = [];
  let active = 0;

  async function perform(group: Waiting[]): Promise<void> {
    const { key: _key, ...common } = (group[0] as Waiting).request;
    const keys = [...new Set(group.map((item) => item.request.key))];
    try {
      const series = await options.fetch({ ...common, keys });
      const byKey = new Map(series.map((item) => [item.key, item]));
      for (const item of group) item.resolve(byKey.get(item.request.key) ?? null);
    } catch (error) {
      for (const item of group) item.reject(error);
    }
  }

  function pump(): void {
    while (active < callsAtOnce) {
      const group = queue.shift();
      if (group === undefined) return;
      active += 1;
      void perform(group).finally(() => {
        active -= 1;
        pump();
      });
    }
  }

  function flush(): void {
    queue.push(...planCalls(collected, keysPerCall));
    collected = [];
    pump();
  }

  return {
    load: (request) =>
      new Promise((resolve, reject) => {
        if (collected.length === 0) options.defer(flush);
        collected.push({ request, resolve, reject });
      }),
  };
}
