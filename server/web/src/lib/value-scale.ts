// Scales of plots over values of runs: numbers on a linear or logarithmic axis, other values as names side by side.
import { formatNumber, stringify } from "./format";
import { asNumber, type Json } from "./json";
import { linearTicks, logTicks } from "./ticks";

export type Cell = number | string | null;

/** Returns a value as a finite number or a text; null if there is neither. */
export function cellOf(value: Json | undefined): Cell {
  if (value === undefined || value === null) return null;
  const number = asNumber(value);
  if (number !== null) return Number.isFinite(number) ? number : null;
  return typeof value === "string" ? value : stringify(value);
}

export interface ValueScale {
  /** Whether the axis is logarithmic. */
  log: boolean;
  /** The names on the axis; null for an axis of numbers. */
  names: string[] | null;
  ticks: { at: number; text: string }[];
  /** Returns the pixel of a value; null if it has no place. */
  place: (value: Cell) => number | null;
  /** Returns the number at a pixel; NaN on an axis of names. */
  value: (pixel: number) => number;
}

export interface ScaleOptions {
  log?: boolean;
  range?: [number | null, number | null] | undefined;
  /** Pixels between two ticks. */
  space?: number;
}

/** Returns a scale for values between the pixels `from` and `to`. */
export function valueScale(values: Cell[], from: number, to: number, { log = false, range, space = 60 }: ScaleOptions = {}): ValueScale {
  const present = values.filter((value) => value !== null);
  const count = Math.max(2, Math.floor(Math.abs(to - from) / space));
  if (present.some((value) => typeof value === "string")) return nameScale(present.map(String), from, to, count);
  const usable = (present as number[]).filter((value) => !log || value > 0);
  if (log && usable.length === 0) return valueScale(values, from, to, { range, space });
  let [low, high] = usable.reduce<[number, number]>(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
  if (low > high) [low, high] = [0, 1];
  const isUsable = (end: number | null | undefined): end is number => end != null && !(log && end <= 0);
  if (isUsable(range?.[0])) low = range[0];
  if (isUsable(range?.[1])) high = range[1];
  if (!(low < high)) [low, high] = log ? [low / 2, low * 2] : [low - (Math.abs(low) || 1) / 2, low + (Math.abs(low) || 1) / 2];
  const forward = log ? Math.log10 : (value: number) => value;
  const back = log ? (value: number) => 10 ** value : (value: number) => value;
  const [first, last] = [forward(low), forward(high)];
  const pixel = (value: number) => from + ((forward(value) - first) / (last - first)) * (to - from);
  return {
    log,
    names: null,
    ticks: (log ? logTicks : linearTicks)(low, high, count).map((value) => ({ at: pixel(value), text: formatNumber(value, 4) })),
    place: (value) => (typeof value !== "number" || (log && value <= 0) ? null : pixel(value)),
    value: (at) => back(first + ((at - from) / (to - from)) * (last - first)),
  };
}

function nameScale(values: string[], from: number, to: number, count: number): ValueScale {
  const names = [...new Set(values)].sort(new Intl.Collator("en", { numeric: true }).compare);
  const step = (to - from) / names.length;
  const at = new Map(names.map((name, i) => [name, from + step * (i + 0.5)]));
  const every = Math.ceil(names.length / count);
  return {
    log: false,
    names,
    ticks: names.flatMap((name, i) => (i % every === 0 ? [{ at: at.get(name) ?? 0, text: name }] : [])),
    place: (value) => (value === null ? null : (at.get(String(value)) ?? null)),
    value: () => NaN,
  };
}

/** Rounds a number to a few digits that still lie inside or outside of it: `up` for the upper end of a range. */
export function roundEnd(value: number, up: boolean): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 2);
  return Number(((up ? Math.ceil : Math.floor)(value / unit) * unit).toPrecision(12));
}
