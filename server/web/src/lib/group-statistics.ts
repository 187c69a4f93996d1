// Groups of runs: the query for the runs of a group, and the text of its statistics.
import type { Schema } from "./api";
import { formatDuration, formatNumber, stringify } from "./format";
import { asNumber, type Json } from "./json";
import { formatTerm, formatTerms, parseTerms, type Value } from "./query-text";
import { formatIn, type Format } from "./table";

export type Statistics = Schema<"MetricStatistics">;
export type RunGroup = Schema<"RunGroup">;

/** Fewer numbers than this give no interval. */
export const LEAST_FOR_INTERVAL = 3;

/** Returns the parameters `by` and `all_but` of the API for the groups in the address. */
export function groupParameters(keys: string[]): { by?: string; all_but?: string } {
  const leftOut = keys.filter((key) => key.startsWith("-")).map((key) => key.slice(1).replace(/^config\./, ""));
  return leftOut.length > 0 ? { all_but: leftOut.join(",") } : { by: keys.join(",") };
}

function valueText(field: string, value: Json | undefined): Value | null {
  if (value === null || value === undefined) return { text: "null", quoted: false };
  if (typeof value === "string") return { text: value, quoted: true };
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") {
    return { text: String(value), quoted: !field.includes(".") && typeof value !== "number" };
  }
  const number = asNumber(value);
  return number === null ? null : { text: String(number).replace("Infinity", "inf").toLowerCase(), quoted: false };
}

/** Returns the query for the runs of a group; null if a value is a list, which a query cannot find. */
export function groupQuery(search: string, values: { [field: string]: Json }): string | null {
  const terms = parseTerms(search);
  for (const [field, value] of Object.entries(values)) {
    const text = valueText(field, value);
    if (text === null) return null;
    terms.push({ field: field === "tags" ? "tag" : field, operator: ":", values: [text] });
  }
  return formatTerms(terms.map(formatTerm));
}

/** The summary keys that the server gives columns of numbers. */
const NUMBERS: Record<string, string> = { duration: "summary._runtime", last_step: "summary._step" };

/** Returns the name of a column as a metric of the API. */
export const metricOf = (column: string): string => NUMBERS[column] ?? column;

/** Returns the columns for which groups have statistics: those with numbers, except the keys of the groups. */
export function columnsWithStatistics(columns: string[], by: string[], isNumeric: (field: string) => boolean): string[] {
  return columns.filter(
    (id) => !by.includes(id) && (id in NUMBERS || id.startsWith("summary.") || (id.startsWith("config.") && isNumeric(id))),
  );
}

/** Returns the order of groups for an order of runs: by the mean of a column with statistics, or by a key of the groups. */
export function groupOrder(orders: { column: string; descending: boolean }[], by: string[], columns: string[]): string {
  const keyOf = (column: string) => {
    if (column === "name") return "runs";
    if (by.includes(column)) return column;
    return columns.includes(column) ? `${metricOf(column)}:mean` : null;
  };
  return orders
    .map(({ column, descending }) => ({ key: keyOf(column), descending }))
    .filter(({ key }) => key !== null)
    .map(({ key, descending }) => `${descending ? "-" : ""}${key}`)
    .join(",");
}

/** Returns the text of a value of a group. */
export function groupValue(value: Json): string {
  if (value === null) return "none";
  if (typeof value === "string") return value;
  const number = asNumber(value);
  return number === null ? stringify(value) : formatNumber(number);
}

export interface StatisticsText {
  mean: string;
  /** Half the width of the 95% interval, with its sign; empty with too few numbers. */
  interval: string;
  range: string;
  n: string;
}

/** Returns the texts of a cell of a group; null without a finite number. */
export function statisticsText(found: Statistics, format: Format = "auto", column = ""): StatisticsText | null {
  if (found.mean === null || found.min === null || found.max === null) return null;
  const text = (value: number, digits: number) => {
    if (column === "duration") return formatDuration(value);
    return format === "auto" ? formatNumber(value, digits) : formatIn(format, value);
  };
  const shown = (value: number) => text(value, 4);
  const half = found.ci_low === null || found.ci_high === null ? null : (found.ci_high - found.ci_low) / 2;
  const interval = half === null || found.n < LEAST_FOR_INTERVAL ? "" : `± ${text(half, 3)}`;
  return { mean: shown(found.mean), interval, range: `${shown(found.min)} to ${shown(found.max)}`, n: `n ${found.n}` };
}

/** Returns the name of a group: its values of some keys. */
export const groupTitle = (group: RunGroup, keys: string[]): string =>
  keys.map((key) => `${key.replace(/^config\./, "")}: ${groupValue(group.values[key] ?? null)}`).join(", ") || "all runs";

/** Returns what a cell of a group shows: statistics, or its value of a key. */
export function groupCell(group: RunGroup, column: string, format: Format): { text: string; note: string } {
  const metric = group.metrics[metricOf(column)];
  const found = metric === undefined ? null : statisticsText(metric, format, column);
  if (found !== null) return { text: `${found.mean} ${found.interval}`.trim(), note: `${found.n} · ${found.range}` };
  // The column that shows a key of the groups.
  const key = column === "tags" && "tag" in group.values ? "tag" : column;
  return { text: key in group.values ? groupValue(group.values[key] ?? null) : "", note: "" };
}
