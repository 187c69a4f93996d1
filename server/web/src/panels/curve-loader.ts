// Loads grouped curves: the panels that come into view at the same time share few requests.
import type { Curve } from "../lib/curves";
import type { RunGroup } from "../lib/run-groups";
import { ApiError } from "../lib/api";
import { activity, api } from "../state/services";

export interface CurveRequest {
  entity: string;
  project: string;
  groups: RunGroup[];
  key: string;
  /** Null for the axis that the runs define for the key. */
  x: string | null;
  zoom: [number, number] | null;
  /** Whether each rank counts as a run, or has a curve of its own; null for the first rank of each run. */
  ranks: "mean" | "each" | null;
}

interface Waiting {
  request: CurveRequest;
  resolve: (curves: Curve[]) => void;
  reject: (error: unknown) => void;
}

const POINTS = 500;
const KEYS_PER_CALL = 8;
const DELAY = 16; // milliseconds
let collected: Waiting[] = [];

async function perform(call: Waiting[]): Promise<void> {
  const { entity, project, groups, x, zoom, ranks } = (call[0] as Waiting).request;
  const keys = [...new Set(call.map(({ request }) => request.key))];
  const body = {
    groups: Object.fromEntries(groups.map(({ label, ids }) => [label, ids])),
    keys,
    points: POINTS,
    ...(zoom === null ? {} : { min: zoom[0], max: zoom[1] }),
    ...(ranks === null ? {} : { rank: "all" as const, by_rank: ranks === "each" }),
  };
  try {
    const curves = await api.curves(entity, project, x === null ? body : { ...body, x });
    for (const { request, resolve } of call) resolve(curves.filter((curve) => curve.key === request.key));
  } catch (error) {
    // Runs that define different axes for a key have no common one: each key on its own, then over steps.
    if (error instanceof ApiError && error.status === 400 && x === null) {
      if (call.length > 1) for (const each of call) void perform([each]);
      else for (const each of call) void perform([{ ...each, request: { ...each.request, x: "_step" } }]);
    } else for (const { reject } of call) reject(error);
  }
}

function flush(): void {
  const calls: Waiting[][] = [];
  const same = (a: CurveRequest, b: CurveRequest) =>
    a.groups === b.groups && a.x === b.x && a.ranks === b.ranks && JSON.stringify(a.zoom) === JSON.stringify(b.zoom);
  for (const item of collected) {
    const call = calls.find((each) => each.length < KEYS_PER_CALL && same((each[0] as Waiting).request, item.request));
    if (call === undefined) calls.push([item]);
    else call.push(item);
  }
  collected = [];
  for (const call of calls) void perform(call);
}

/** The most answers that are kept, so that a panel that comes into view again asks for nothing. */
const MOST_KEPT = 200;
/** The answers by groups: other groups, or groups of changed runs, are another list. */
const kept = new WeakMap<RunGroup[], Map<string, Promise<Curve[]>>>();

/** Returns the curves of all groups for a key. */
export function loadCurves(request: CurveRequest): Promise<Curve[]> {
  const { groups, key, x, zoom, ranks } = request;
  if (groups.length === 0) return Promise.resolve([]); // the server refuses a question about no group
  const known = kept.get(groups) ?? new Map<string, Promise<Curve[]>>();
  kept.set(groups, known);
  const id = JSON.stringify([key, x, zoom, ranks]);
  const found = known.get(id);
  if (found !== undefined) return found;
  const loading = new Promise<Curve[]>((resolve, reject) => {
    if (collected.length === 0) activity.later(flush, DELAY);
    collected.push({ request, resolve, reject });
  });
  known.set(id, loading);
  loading.catch(() => known.delete(id)); // a failed request can be repeated
  const [oldest] = known.keys();
  if (known.size > MOST_KEPT && oldest !== undefined) known.delete(oldest);
  return loading;
}
