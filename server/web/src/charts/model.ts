// The content of one chart as plain data: its lines, and the ranges of both axes.
import type { LineStyle } from "../lib/colors";
import { firstFrom, type Line } from "../lib/lines";
import type { Aggregation } from "../lib/panel-settings";
import type { ProjectRoute } from "../lib/route";

export interface NamedLine {
  id: string;
  name: string;
  style: LineStyle;
  line: Line;
  /** The smoothed values of the line; then the values themselves are drawn pale. */
  smoothed?: Float64Array | null;
  /** Whether the line is drawn pale and never read, such as an abandoned branch. */
  ghost?: boolean;
}

export type Range = [number, number];
/** A range whose ends follow the data where they are null. */
export type FixedRange = [number | null, number | null];

/** How panels are drawn. All fields but `axis` and `zoom` can be left out. */
export interface ChartView {
  /** The x axis; empty for the axis that each metric defines. */
  axis: string;
  zoom: Range | null;
  /** The axis that `zoom` belongs to: panels with another axis ignore the zoom. Empty for `axis` or `_step`. */
  zoomAxis?: string;
  /** Kind and strength, such as `ema:0.6`; empty for none. See lib/smoothing.ts. */
  smoothing?: string;
  logX?: boolean;
  logY?: boolean;
  /** Whether outliers may be outside the value axis. */
  clip?: boolean;
  xRange?: FixedRange;
  yRange?: FixedRange;
  /** The value that is drawn where a point contains several values. */
  aggregation?: Aggregation;
}

/** Returns the settings in an address: the default of all panels. */
export function viewOf({ axis, zoom, zoomAxis, smoothing, logX, logY, clip }: ProjectRoute): ChartView {
  return { axis, zoom, zoomAxis, smoothing, logX, logY, clip };
}

/** With more lines than this, bands would hide the lines, and dashes could not be told apart. */
export const MOST_BANDS = 12;
export const MOST_DASHED = 24;
/** The share of the values that may be outside the value axis at each end, if outliers are cut off. */
const OUTLIERS = 0.02;
/** The most values that the percentiles are computed from. */
const SAMPLES = 20_000;

/** Returns the zoom as far as it belongs to an axis. */
export function zoomOf(view: ChartView, axis: string): Range | null {
  return (view.zoomAxis || view.axis || "_step") === axis ? view.zoom : null;
}

/** Returns the first and the last x of lines; on a logarithmic axis the first positive one. Null without points. */
export function xExtent(lines: { line: Line }[], log = false): Range | null {
  let low = Infinity;
  let high = -Infinity;
  for (const { line } of lines) {
    const first = line.x[log ? firstFrom(line.x, Number.MIN_VALUE) : 0];
    const last = line.x[line.x.length - 1];
    if (first === undefined || last === undefined) continue;
    low = Math.min(low, first);
    high = Math.max(high, last);
  }
  return low <= high ? [low, high] : null;
}

/** Returns the x range of a chart. A single position gets space on both sides. */
export function xRange(extent: Range | null, zoom: Range | null, axis: string, fixed?: FixedRange, log = false): Range {
  if (zoom !== null && !(log && zoom[0] <= 0)) return zoom;
  const [low, high] = extent ?? (log ? [1, 10] : [0, 1]);
  const first = log && (fixed?.[0] ?? 1) <= 0 ? low : (fixed?.[0] ?? low);
  const last = zoom?.[1] ?? fixed?.[1] ?? high;
  if (first < last) return [first, last];
  if (log) return [first / 2, first * 2];
  const room = axis === "_timestamp" ? 30 : Math.max(0.5, Math.abs(first) * 0.05);
  return [first - room, first + room];
}

/** Returns how far beyond its ends a line still reports a value: a single line always, others only nearby. */
export function reachOf(single: boolean, low: number, high: number): number {
  return single ? Infinity : (high - low) * 0.02;
}

/** Calls `each` with the columns that are drawn, and the part of them between two x positions. */
function eachColumn(
  lines: NamedLine[],
  [low, high]: Range,
  each: (column: Float64Array, from: number, to: number) => void,
): void {
  const bands = lines.length <= MOST_BANDS;
  for (const { line, smoothed } of lines) {
    const from = firstFrom(line.x, low);
    let to = firstFrom(line.x, high);
    while (to < line.x.length && line.x[to] === high) to += 1;
    each(line.y, from, to);
    if (smoothed) each(smoothed, from, to);
    if (bands && line.band !== null) {
      each(line.band.low, from, to);
      each(line.band.high, from, to);
    }
  }
}

function extremes(lines: NamedLine[], x: Range, log: boolean): Range | null {
  let low = Infinity;
  let high = -Infinity;
  eachColumn(lines, x, (column, from, to) => {
    for (let i = from; i < to; i++) {
      const value = column[i] as number;
      if (log && value <= 0) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  });
  return low <= high ? [low, high] : null;
}

/** Returns the range without the lowest and the highest values of the lines themselves. */
function percentiles(lines: NamedLine[], x: Range, log: boolean): Range | null {
  let count = 0;
  const plain = lines.map(({ line, ...rest }) => ({ ...rest, line: { ...line, band: null } }));
  eachColumn(plain, x, (_column, from, to) => (count += to - from));
  const every = Math.max(1, Math.ceil(count / SAMPLES));
  const values: number[] = [];
  eachColumn(plain, x, (column, from, to) => {
    for (let i = from; i < to; i += every) {
      const value = column[i] as number;
      if (log ? value > 0 : !Number.isNaN(value)) values.push(value);
    }
  });
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const cut = Math.floor(sorted.length * OUTLIERS);
  return [sorted[cut] as number, sorted[sorted.length - 1 - cut] as number];
}

/** Adds space, so that a range is never empty and no line touches an edge. */
export function padded([low, high]: Range, log: boolean): Range {
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  if (low === high) {
    const room = low === 0 ? 1 : Math.abs(low) * 0.1;
    return [low - room, high + room];
  }
  const room = (high - low) * 0.06;
  // Near the largest double the padding would overflow.
  return [Math.max(low - room, -Number.MAX_VALUE), Math.min(high + room, Number.MAX_VALUE)];
}

/** Returns the y range of the part of the lines between two x positions. */
export function yRange(lines: NamedLine[], x: Range, view: ChartView): Range {
  const log = view.logY === true;
  const found = view.clip === true ? percentiles(lines, x, log) : extremes(lines, x, log);
  const [low, high] = padded(found ?? extremes(lines, [-Infinity, Infinity], log) ?? (log ? [1, 1] : [0, 0]), log);
  const valid = (value: number | null | undefined) => value != null && !(log && value <= 0);
  const [fixedLow, fixedHigh] = view.yRange ?? [null, null];
  const first = valid(fixedLow) ? (fixedLow as number) : low;
  const last = valid(fixedHigh) ? (fixedHigh as number) : high;
  if (first < last) return [first, last];
  return valid(fixedLow) ? padded([first, first], log) : padded([last, last], log);
}

export interface ChartModel {
  lines: NamedLine[];
  axis: string;
  x: Range;
  y: Range;
  logX: boolean;
  logY: boolean;
}

export function buildModel(lines: NamedLine[], view: ChartView, axis: string): ChartModel {
  const logX = view.logX === true;
  const x = xRange(xExtent(lines, logX), zoomOf(view, axis), axis, view.xRange, logX);
  return { lines, axis, x, y: yRange(lines, x, view), logX, logY: view.logY === true };
}
