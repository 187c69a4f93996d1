// What differs between runs: settings, facts, and the point at which two curves part.
import type { ChartSeries } from "./chart-data";
import { flatten, isObject, type Json, type JsonObject } from "./json";

export interface ComparedRow {
  key: string;
  /** One value for each run; undefined if the run does not have the key. */
  values: (Json | undefined)[];
  differs: boolean;
}

const exact = (value: Json | undefined): string =>
  value === undefined
    ? ""
    : JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item));

/** Aligns the settings of several runs by key: first the keys that differ, then the others, each in order of name. */
export function alignRows(runs: [key: string, value: Json][][]): ComparedRow[] {
  const maps = runs.map((pairs) => new Map(pairs));
  const keys = [...new Set(runs.flatMap((pairs) => pairs.map(([key]) => key)))].sort();
  const rows = keys.map((key) => {
    const values = maps.map((map) => map.get(key));
    return { key, values, differs: new Set(values.map(exact)).size > 1 };
  });
  return [...rows.filter((row) => row.differs), ...rows.filter((row) => !row.differs)];
}

/** Returns the settings of a config or a summary, without the keys that the recorder adds. */
export function settingsOf(config: JsonObject): [string, Json][] {
  return flatten(config).filter(([key]) => !key.startsWith("_"));
}

export interface Facts {
  code: [string, Json][];
  machine: [string, Json][];
  packages: [string, Json][];
}

const CODE = new Set(["args", "program", "codePath", "codePathLocal", "executable", "git", "python", "root", "docker", "colab"]);
/** Facts that differ between any two runs and say nothing, as does the used space of disks. */
const NOISE = new Set(["startedAt", "heartbeatAt", "writerId", "state", "email", "host_time"]);

/** Sorts the facts of a run by what they are about. */
export function factsOf(metadata: Json, packages: string[]): Facts {
  const all = isObject(metadata) ? metadata : {};
  const some = (wanted: boolean) =>
    flatten(
      Object.fromEntries(Object.entries(all).filter(([key]) => CODE.has(key) === wanted && !NOISE.has(key))),
    ).filter(([key]) => !key.endsWith(".used"));
  return {
    code: some(true),
    machine: some(false),
    packages: packages.map((line): [string, Json] => {
      const [name = "", version = ""] = line.split("==");
      return [name, version];
    }),
  };
}

/** Relative size below which two values are the same: less than a rounding of float32. */
const SAME = 1e-7;

const same = (a: number, b: number) =>
  Object.is(a, b) || a === b || Math.abs(a - b) <= SAME * Math.max(Math.abs(a), Math.abs(b));

function columnsOf(series: ChartSeries): Float64Array[] {
  return series.kind === "points" ? [series.y] : [series.min, series.max, series.mean, series.last];
}

export interface Parting {
  /** The x value at which two curves part: a logged one, or the first of a range. */
  x: number;
  /** The next x value, if the answer is only a range; null if it is exact. */
  to: number | null;
}

/**
 * Returns where two curves part: the first x with values of both that differ. Null if they never do. Curves without
 * a common x part nowhere. For buckets, the answer is the range between two bucket positions.
 */
export function partingOf(a: ChartSeries, b: ChartSeries): Parting | null {
  if (a.kind !== b.kind) return null;
  const [left, right] = [columnsOf(a), columnsOf(b)];
  let before = -Infinity;
  for (let i = 0, j = 0; i < a.x.length && j < b.x.length; ) {
    const [x, y] = [a.x[i] as number, b.x[j] as number];
    if (x < y) i += 1;
    else if (y < x) j += 1;
    else {
      const equal = left.every((column, at) => same(column[i] as number, right[at]?.[j] as number));
      if (!equal && a.kind === "points") return { x, to: null };
      if (!equal) return { x: before, to: x };
      before = x;
      i += 1;
      j += 1;
    }
  }
  return null;
}
