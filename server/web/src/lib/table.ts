// The columns of the runs table: which exist, their content, and which are shown by default.
import { formatAgo, formatDuration, formatNumber, formatTime, formatValue } from "./format";
import { asNumber, flatten, lookup, typeOf, type Json } from "./json";
import type { Schema } from "./api";

export interface Column {
  /** Field by which the server sorts. */
  id: string;
  label: string;
  /** Source of the label, for tooltips and the column dialog. */
  source: "run" | "summary" | "config";
  width: number;
  numeric: boolean;
}

const run = (id: string, label: string, width: number, numeric: boolean): Column => ({
  id,
  label,
  source: "run",
  width,
  numeric,
});

export const NAME_COLUMN = run("name", "Name", 190, false);
export const RUN_COLUMNS: Column[] = [
  run("state", "State", 120, false),
  run("created_at", "Created", 92, false),
  run("duration", "Duration", 84, true),
  run("last_step", "Last step", 84, true),
];

const DEFAULT_METRICS = 4;
const METRIC_WIDTH = 116;

/** Returns a column by its id, such as `summary.train/loss`; undefined for an invalid id. */
export function columnOf(id: string): Column | undefined {
  const known = RUN_COLUMNS.find((column) => column.id === id);
  if (known !== undefined) return known;
  for (const source of ["summary", "config"] as const) {
    const prefix = `${source}.`;
    if (id.startsWith(prefix) && id.length > prefix.length) {
      const label = id.slice(prefix.length);
      const width = Math.min(200, Math.max(METRIC_WIDTH, 34 + label.length * 7));
      return { id, label, source, width, numeric: source === "summary" };
    }
  }
  return undefined;
}

function isScalar(value: Json): boolean {
  return typeOf(value) === null ? typeof value !== "object" : asNumber(value) !== null;
}

/**
 * Returns every column that the runs can fill, in order of first appearance; wandb's own `_` keys come
 * last.
 */
export function availableColumns(runs: Schema<"RunInfo">[]): Column[] {
  const found = new Set<string>();
  for (const source of ["summary", "config"] as const) {
    const late: string[] = [];
    for (const item of runs) {
      for (const [key, value] of flatten(item[source])) {
        if (!isScalar(value)) continue;
        if (key.startsWith("_")) late.push(key);
        else found.add(`${source}.${key}`);
      }
    }
    for (const key of late) found.add(`${source}.${key}`);
  }
  const columns = [...found].map(columnOf).filter((column) => column !== undefined);
  return [...RUN_COLUMNS, ...columns];
}

/** Returns state and age, the first few numeric results, then the other columns of the run. */
export function defaultColumns(runs: Schema<"RunInfo">[]): string[] {
  const metrics = new Set<string>();
  for (const item of runs) {
    for (const [key, value] of flatten(item.summary)) {
      if (!key.startsWith("_") && asNumber(value) !== null) metrics.add(`summary.${key}`);
      if (metrics.size === DEFAULT_METRICS) break;
    }
    if (metrics.size === DEFAULT_METRICS) break;
  }
  const [state, created, ...others] = RUN_COLUMNS.map((column) => column.id) as [string, string, ...string[]];
  return [state, created, ...metrics, ...others];
}

export interface CellText {
  text: string;
  title: string;
}

/** Returns the text of a cell and of its tooltip. */
export function cellText(item: Schema<"RunInfo">, column: Column, now: number): CellText {
  switch (column.id) {
    case "state":
      return { text: item.state, title: item.error ?? item.reason ?? item.state };
    case "created_at":
      return { text: formatAgo(item.created_at, now), title: formatTime(item.created_at) };
    case "duration":
      return { text: formatDuration(item.duration), title: `${item.duration} s` };
    case "last_step":
      return { text: formatNumber(item.last_step), title: String(item.last_step ?? "no step yet") };
  }
  const value = lookup(item[column.source === "config" ? "config" : "summary"], column.label);
  const text = formatValue(value);
  const exact = typeof value === "number" || typeof value === "bigint" ? String(value) : text;
  return { text, title: value === undefined ? `${column.label} was not logged` : exact };
}
