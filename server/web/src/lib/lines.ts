// Converts decoded series into the content of a line chart: sorted lines with bands and marks on one x
// column.
import type { BucketSeries, ChartSeries } from "./chart-data";

/** null interrupts a line; undefined only means that the line has no point here. */
export type Cell = number | null | undefined;

/** A value without a height (or a bucket with such a value): NaN, Infinity or -Infinity at some x. */
export interface Mark {
  x: number;
  value: number;
}

/**
 * The contents of the bucket of one drawn point. A field is null if the server does not send it or no
 * value is finite.
 */
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
  x: number[];
  y: (number | null)[];
  /** Lowest and highest value of each point, if the points are buckets. */
  band: { low: (number | null)[]; high: (number | null)[] } | null;
  /** The contents of each bucket; null if the points are single values. */
  buckets: Bucket[] | null;
  marks: Mark[];
  /** The newest value, possibly not finite; null if there is none. */
  last: number | null;
}

const finite = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;

function sortedOrder(x: Float64Array): number[] {
  const order: number[] = [];
  let sorted = true;
  for (let i = 0; i < x.length; i++) {
    const value = x[i] as number;
    if (!Number.isFinite(value)) continue;
    const before = order.at(-1);
    if (before !== undefined && (x[before] as number) > value) sorted = false;
    order.push(i);
  }
  if (!sorted) order.sort((a, b) => (x[a] as number) - (x[b] as number) || a - b);
  return order;
}

/** Points without a finite x are omitted, because they have no position. */
export function toLine(series: ChartSeries): Line {
  const order = sortedOrder(series.x);
  const values = series.kind === "points" ? series.y : series.last;
  const marks: Mark[] = [];
  for (const i of order) {
    const value = values[i] as number;
    if (!Number.isFinite(value)) marks.push({ x: series.x[i] as number, value });
    // A bucket does not store which non-finite value it contains. NaN is by far the most frequent.
    else if (series.kind === "buckets" && (series.nonfinite[i] ?? 0) > 0) {
      marks.push({ x: series.x[i] as number, value: NaN });
    }
  }
  const pick = (column: Float64Array) => order.map((i) => finite(column[i]));
  return {
    x: order.map((i) => series.x[i] as number),
    y: pick(values),
    band: series.kind === "buckets" ? { low: pick(series.min), high: pick(series.max) } : null,
    buckets: series.kind === "buckets" ? order.map((i) => bucketAt(series, i)) : null,
    marks,
    last: values.length > 0 ? (values[values.length - 1] as number) : null,
  };
}

function bucketAt(series: BucketSeries, i: number): Bucket {
  return {
    count: series.count[i] ?? 0,
    nonfinite: series.nonfinite[i] ?? 0,
    mean: finite(series.mean[i]),
    low: finite(series.min[i]),
    high: finite(series.max[i]),
    lowStep: finite(series.minStep[i]),
    highStep: finite(series.maxStep[i]),
  };
}

/** The value of a line at the crosshair. */
export interface Reading {
  x: number;
  /** The nearest value. It can be NaN or infinite; null if there is no value. */
  value: number | null;
  bucket: Bucket | null;
}

/**
 * Reads the point nearest to `x`, or the newest one if `x` is null; undefined if no point is within reach.
 */
export function readLine(line: Line, x: number | null, reach: number): Reading | undefined {
  if (x === null) {
    const end = line.x.at(-1);
    return end === undefined ? undefined : { x: end, value: line.last, bucket: null };
  }
  const place = nearest(line.x, line.x, x, reach);
  const at = line.x[place];
  if (at === undefined) return undefined;
  const mark = line.y[place] === null ? line.marks.find((each) => each.x === at) : undefined;
  return { x: at, value: mark?.value ?? line.y[place] ?? null, bucket: line.buckets?.[place] ?? null };
}

/** Computes a debiased exponential moving average. Gaps remain gaps. A `weight` of 0 changes nothing. */
export function smooth(y: (number | null)[], weight: number): (number | null)[] {
  if (weight <= 0) return y;
  let average = 0;
  let seen = 0;
  return y.map((value) => {
    if (value === null) return null;
    average = average * weight + (1 - weight) * value;
    seen += 1;
    return average / (1 - weight ** seen);
  });
}

export interface Aligned {
  x: number[];
  /** One column for each input column, in the same order. */
  columns: Cell[][];
}

export interface Columns {
  x: number[];
  columns: Cell[][];
}

/** Merges sorted lines on a common x. If a line repeats an x, the result repeats it too. */
export function align(lines: Columns[]): Aligned {
  const only = lines[0];
  if (lines.length === 1 && only !== undefined) return { x: only.x, columns: only.columns };
  const x: number[] = [];
  const columns = lines.flatMap((line) => line.columns.map((): Cell[] => []));
  const heads = lines.map(() => 0);
  for (;;) {
    let next = Infinity;
    for (const [i, line] of lines.entries()) next = Math.min(next, line.x[heads[i] as number] ?? Infinity);
    if (next === Infinity) return { x, columns };
    const row = x.push(next) - 1;
    let column = 0;
    for (const [i, line] of lines.entries()) {
      const head = heads[i] as number;
      const here = line.x[head] === next;
      if (here) heads[i] = head + 1;
      for (const source of line.columns) {
        (columns[column] as Cell[])[row] = here ? source[head] : undefined;
        column += 1;
      }
    }
  }
}

/**
 * Returns the index of the point nearest to `x` among sorted positions that have a value. Returns -1 if there is
 * no such point, or if `x` is further than `reach` outside of the points.
 */
export function nearest(xs: number[], ys: Cell[], x: number, reach = Infinity): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((xs[middle] as number) < x) low = middle + 1;
    else high = middle;
  }
  let left = low - 1;
  let right = low;
  while (left >= 0 && ys[left] == null) left -= 1;
  while (right < xs.length && ys[right] == null) right += 1;
  const within = (at: number) => Math.abs((xs[at] as number) - x) <= reach;
  if (left < 0) return right < xs.length && within(right) ? right : -1;
  if (right >= xs.length) return within(left) ? left : -1;
  return x - (xs[left] as number) <= (xs[right] as number) - x ? left : right;
}

/**
 * Returns the y range to show, with padding and never empty. On a logarithmic axis only positive values
 * count.
 */
export function valueRange(columns: Cell[][], log: boolean): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const column of columns) {
    for (const value of column) {
      if (value == null || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  if (low === high) {
    const room = low === 0 ? 1 : Math.abs(low) * 0.1;
    return [low - room, high + room];
  }
  const room = (high - low) * 0.06;
  // Near the largest double the padding would overflow.
  return [Math.max(low - room, -Number.MAX_VALUE), Math.min(high + room, Number.MAX_VALUE)];
}
