// Asks the worker for smoothed lines, and keeps them as long as the lines.
import type { Line } from "../lib/lines";
import type { Smoothing } from "../lib/smoothing";
import type { SmoothAnswer, SmoothJob } from "./smooth-worker";

interface Smoothed {
  key: string;
  values: Float64Array;
}

const cache = new WeakMap<Line, Smoothed>();
const pending = new Map<number, (values: Float64Array) => void>();
let worker: Worker | null = null;
let jobs = 0;

const keyOf = ({ kind, strength }: Smoothing, range: number): string =>
  // The running average has no width of the axis in its formula.
  kind === "mean" ? `${kind} ${strength}` : `${kind} ${strength} ${range}`;

function start(): Worker {
  const started = new Worker(new URL("./smooth-worker.ts", import.meta.url), { type: "module" });
  started.onmessage = ({ data }: MessageEvent<SmoothAnswer>) => {
    pending.get(data.id)?.(data.values);
    pending.delete(data.id);
  };
  return started;
}

/** The values to smooth: one for each bucket, its mean unless the settings choose another value. */
const sourceOf = ({ y, buckets, aggregated }: Line): Float64Array =>
  buckets !== null && buckets.mean.length > 0 && aggregated !== true ? buckets.mean : y;

/** Returns the newest smoothed values of a line; null if there are none. They can be of another strength. */
export function smoothedOf(line: Line): Float64Array | null {
  return cache.get(line)?.values ?? null;
}

/** Smooths lines in the worker. Resolves when `smoothedOf` has the values. `range` is the width of the x axis. */
export async function smoothLines(lines: Line[], smoothing: Smoothing, range: number): Promise<void> {
  const key = keyOf(smoothing, range);
  const wanted = lines.filter((line) => cache.get(line)?.key !== key);
  if (wanted.length === 0) return;
  const total = wanted.reduce((sum, line) => sum + line.x.length, 0);
  const columns = new Float64Array(2 * total);
  let at = 0;
  for (const line of wanted) {
    columns.set(line.x, at);
    columns.set(sourceOf(line), total + at);
    at += line.x.length;
  }
  worker ??= start();
  const job: SmoothJob = { id: ++jobs, smoothing, range, lengths: wanted.map((line) => line.x.length), columns };
  const answer = new Promise<Float64Array>((resolve) => pending.set(job.id, resolve));
  worker.postMessage(job, [columns.buffer]);
  const values = await answer;
  at = 0;
  for (const line of wanted) {
    cache.set(line, { key, values: values.subarray(at, at + line.x.length) });
    at += line.x.length;
  }
}
