// Lines of a chart: sorted typed columns with a band and marks, made from decoded series.
import type { BucketSeries, PointSeries } from "./chart-data";

/** The columns of a line, without its names. */
export type LineColumns = Omit<PointSeries, "run" | "axis"> | Omit<BucketSeries, "run" | "axis">;

/** A value without a height (or a bucket with such a value): NaN, Infinity or -Infinity at some x. */
export interface Mark {
  x: number;
  value: number;
}

/** The contents of buckets, a column for each field. NaN: the server does not send it, or no value is finite. */
export interface Buckets {
  count: Float64Array;
  nonfinite: Float64Array;
  mean: Float64Array;
  lowStep: Float64Array;
  highStep: Float64Array;
}

/** The contents of one bucket; null for what is not known. */
export interface Bucket {
  count: number;
  nonfinite: number;
  mean: number | null;
  low: number | null;
  high: number | null;
  lowStep: number | null;
  highStep: number | null;
}

export interface Line {
  /** Sorted and finite. */
  x: Float64Array;
  /** NaN where the point has no finite value: it interrupts the line. */
  y: Float64Array;
  /** Lowest and highest value of each point, if the points are buckets. */
  band: { low: Float64Array; high: Float64Array } | null;
  /** Null if the points are single values. */
  buckets: Buckets | null;
  marks: Mark[];
  /** The newest value, possibly not finite; null if there is none. */
  last: number | null;
  /** Whether `y` has the mean or an extreme of each bucket, and not its last value. */
  aggregated?: boolean;
}

export const NO_LINE: Line = {
  x: new Float64Array(0),
  y: new Float64Array(0),
  band: null,
  buckets: null,
  marks: [],
  last: null,
};

/** Returns the order of the points with a finite x by x; null if all points are already in this order. */
function sortedOrder(x: Float64Array): number[] | null {
  let before = -Infinity;
  let sorted = true;
  for (let i = 0; i < x.length && sorted; i++) {
    const value = x[i] as number;
    if (!(value >= before) || value === Infinity || value === -Infinity) sorted = false;
    before = value;
  }
  if (sorted) return null;
  const order: number[] = [];
  for (let i = 0; i < x.length; i++) if (Number.isFinite(x[i])) order.push(i);
  return order.sort((a, b) => (x[a] as number) - (x[b] as number) || a - b);
}

/** Replaces infinities by NaN. */
function finiteColumn(column: Float64Array): Float64Array {
  let copy: Float64Array | null = null;
  for (let i = 0; i < column.length; i++) {
    const value = column[i] as number;
    if (value !== Infinity && value !== -Infinity) continue;
    copy ??= column.slice();
    copy[i] = NaN;
  }
  return copy ?? column;
}

/** Points without a finite x are omitted, because they have no position. */
export function toLine(series: LineColumns): Line {
  const order = sortedOrder(series.x);
  const pick = (column: Float64Array) =>
    order === null || column.length === 0 ? column : Float64Array.from(order, (i) => column[i] as number);
  const raw = series.kind === "points" ? series.y : series.last;
  const x = pick(series.x);
  const values = pick(raw);
  const marks: Mark[] = [];
  const nonfinite = series.kind === "buckets" ? pick(series.nonfinite) : null;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) marks.push({ x: x[i] as number, value });
    // A bucket does not store which non-finite value it contains. NaN is by far the most frequent.
    else if (nonfinite !== null && (nonfinite[i] ?? 0) > 0) marks.push({ x: x[i] as number, value: NaN });
  }
  const last = raw.length > 0 ? (raw[raw.length - 1] as number) : null;
  const line = { x, y: finiteColumn(values), marks, last };
  if (series.kind === "points") return { ...line, band: null, buckets: null };
  return {
    ...line,
    band: { low: finiteColumn(pick(series.min)), high: finiteColumn(pick(series.max)) },
    buckets: {
      count: pick(series.count),
      nonfinite: pick(series.nonfinite),
      mean: pick(series.mean),
      lowStep: pick(series.minStep),
      highStep: pick(series.maxStep),
    },
  };
}

const aggregates = new WeakMap<Line, Map<string, Line>>();

/** Returns the line of another value of each bucket; the same line for the same arguments. */
export function aggregate(line: Line, kind: "mean" | "min" | "max"): Line {
  const { band, buckets } = line;
  const y = kind === "mean" ? buckets?.mean : kind === "min" ? band?.low : band?.high;
  if (y === undefined || y.length === 0) return line;
  const made = aggregates.get(line) ?? new Map<string, Line>();
  aggregates.set(line, made);
  const found = made.get(kind) ?? { ...line, y, aggregated: true };
  made.set(kind, found);
  return found;
}

const known = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;

/** Returns the contents of the bucket of a point; null if the point is a single value. */
export function bucketAt({ band, buckets }: Line, i: number): Bucket | null {
  if (buckets === null) return null;
  return {
    count: buckets.count[i] ?? 0,
    nonfinite: buckets.nonfinite[i] ?? 0,
    mean: known(buckets.mean[i]),
    low: known(band?.low[i]),
    high: known(band?.high[i]),
    lowStep: known(buckets.lowStep[i]),
    highStep: known(buckets.highStep[i]),
  };
}

/** Returns the index of the first position that is at least `x`. */
export function firstFrom(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((xs[middle] as number) < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns the index of the sorted position nearest to `x`; -1 without positions. */
export function nearest(xs: ArrayLike<number>, x: number): number {
  const right = firstFrom(xs, x);
  if (right === 0) return xs.length === 0 ? -1 : 0;
  if (right === xs.length) return right - 1;
  return x - (xs[right - 1] as number) <= (xs[right] as number) - x ? right - 1 : right;
}

/** Number of single values that a request for new values asks for again, to notice that old ones have changed. */
const OVERLAP = 8;

/** Returns the x from which a line must be requested to continue it; null if it must be loaded whole. */
export function continueFrom({ x, buckets }: Line): number | null {
  return x[x.length - 1 - (buckets === null ? OVERLAP : 0)] ?? null;
}

/** Appends the values from `since` on. Returns null if old values have changed: then the line must be loaded whole. */
export function appendLine(line: Line, more: Line, since: number): Line | null {
  if (more.buckets !== null) return null;
  const { band, buckets } = line;
  const cut = firstFrom(line.x, since);
  // The newest old value is replaced, because its row may have got a value meanwhile. A bucket stays.
  const same = buckets === null ? line.x.length - cut - 1 : 1;
  for (let i = 0; i < same; i++) {
    if (more.x[i] !== line.x[cut + i] || !Object.is(more.y[i], line.y[cut + i])) return null;
  }
  const skip = buckets === null ? 0 : 1;
  const kept = cut + skip;
  const join = (a: Float64Array, b: Float64Array) => {
    const joined = new Float64Array(kept + b.length - skip);
    joined.set(a.subarray(0, kept));
    joined.set(b.subarray(skip), kept);
    return joined;
  };
  const marks = [...line.marks.filter((mark) => mark.x < since), ...more.marks];
  const joined = { x: join(line.x, more.x), y: join(line.y, more.y), marks, last: more.last ?? line.last };
  if (band === null || buckets === null) return { ...joined, band: null, buckets: null };
  const fill = (old: Float64Array, value: (y: number) => number) =>
    old.length === 0 ? old : join(old, more.y.map(value));
  return {
    ...joined,
    band: { low: join(band.low, more.y), high: join(band.high, more.y) },
    buckets: {
      count: fill(buckets.count, () => 1),
      nonfinite: fill(buckets.nonfinite, (y) => (Number.isNaN(y) ? 1 : 0)),
      mean: fill(buckets.mean, (y) => y),
      lowStep: fill(buckets.lowStep, () => NaN),
      highStep: fill(buckets.highStep, () => NaN),
    },
  };
}
