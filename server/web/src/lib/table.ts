// The columns of the runs table: which exist, their content, and which are shown by default.
import type { Schema } from "./api";
import { formatAgo, formatDuration, formatNumber, formatTime, formatValue } from "./format";
import { asNumber, lookup, type Json } from "./json";

/** Fields of a run by their names in the API. A key of config or summary that the run does not have is left out. */
export interface RunRow {
  id: string;
  name: string;
  state: string;
  [field: string]: Json | undefined;
}

export interface Column {
  /** The name of the field. */
  id: string;
  label: string;
  /** Source of the label, for tooltips and the list of columns. */
  source: "run" | "summary" | "config";
  width: number;
  numeric: boolean;
  /** Whether the server can sort by it. */
  sortable: boolean;
}

const run = (id: string, label: string, width: number, numeric = false, sortable = true): Column => ({
  id,
  label,
  source: "run",
  width,
  numeric,
  sortable,
});

export const NAME_COLUMN = run("name", "Name", 210);
export const RUN_COLUMNS: Column[] = [
  run("state", "State", 124),
  run("created_at", "Created", 92),
  run("duration", "Duration", 84, true),
  run("last_step", "Last step", 84, true),
  run("tags", "Tags", 130, false, false),
  run("group", "Group", 110),
  run("job_type", "Job type", 90),
  run("notes", "Notes", 160, false, false),
  run("id", "Id", 100),
  run("host", "Host", 110),
  run("sweep", "Sweep", 100, false, false),
  run("updated_at", "Updated", 92),
];
/** The fields that a person can change in the table. */
export const EDITABLE = ["name", "tags", "group", "notes"];

const DEFAULT_METRICS = 4;
const DEFAULT_CONFIG = 3;
const METRIC_WIDTH = 116;
/** The server returns at most 200 fields. */
const MOST_FIELDS = 190;

/** Returns a column by its id, such as `summary.train/loss`; undefined for an invalid id. */
export function columnOf(id: string): Column | undefined {
  if (id === NAME_COLUMN.id) return NAME_COLUMN;
  const known = RUN_COLUMNS.find((column) => column.id === id);
  if (known !== undefined) return known;
  for (const source of ["summary", "config"] as const) {
    const prefix = `${source}.`;
    if (id.startsWith(prefix) && id.length > prefix.length) {
      const label = id.slice(prefix.length);
      const width = Math.min(200, Math.max(source === "config" ? 90 : METRIC_WIDTH, 34 + label.length * 7));
      return { id, label, source, width, numeric: source === "summary", sortable: true };
    }
  }
  return undefined;
}

type Field = Schema<"FieldInfo">;

const isInternal = (id: string) => /^(config|summary)\._/.test(id);
const isKey = (id: string) => /^(config|summary)\./.test(id);

/** Returns every column that a run of the project can fill, without internal keys. */
export function availableColumns(fields: Field[], sweeps = false): Column[] {
  const keys = fields.filter(({ field, numbers, texts, media }) => isKey(field) && !isInternal(field) && (numbers || texts || media !== null));
  const columns = keys.map(({ field }) => columnOf(field)).filter((column) => column !== undefined);
  const rank = (column: Column) => (column.source === "summary" ? 0 : 1);
  columns.sort((a, b) => rank(a) - rank(b));
  return [...RUN_COLUMNS.filter((column) => sweeps || column.id !== "sweep"), ...columns];
}

/** Returns state and age, tags and groups if there are any, some results, the settings that differ, and the length. */
export function defaultColumns(fields: Field[]): string[] {
  const has = (id: string) => fields.some(({ field }) => field === id);
  const keys = fields.filter(({ field }) => isKey(field) && !isInternal(field));
  const metrics = keys.filter(({ field, numbers }) => field.startsWith("summary.") && numbers);
  // A metric that is equal in all runs, or that only one run has, distinguishes no runs.
  metrics.sort((a, b) => Number(a.min === a.max) - Number(b.min === b.max));
  const differing = keys.filter(
    ({ field, min, max, values }) => field.startsWith("config.") && (min !== max || values.length > 1),
  );
  return [
    ...["state", "created_at"],
    ...(has("tag") ? ["tags"] : []),
    ...(has("group") ? ["group"] : []),
    ...metrics.slice(0, DEFAULT_METRICS).map(({ field }) => field),
    ...differing.slice(0, DEFAULT_CONFIG).map(({ field }) => field),
    ...["duration", "last_step"],
  ];
}

/** Returns the fields to ask for; null if there are more than one answer can have, so that whole runs are needed. */
export function fieldsOf(columns: string[]): string[] | null {
  const given = columns.filter((id) => id !== "sweep");
  const fields = [...new Set(["id", "name", "state", "error", "reason", "tags", "group", "notes", "archived", ...given])];
  return fields.length > MOST_FIELDS ? null : fields;
}

/** Returns fields for any number of columns. More columns than one answer can have become whole configs and summaries. */
export const fieldsToRead = (columns: string[]): string[] =>
  fieldsOf(columns) ?? [...(fieldsOf(columns.filter((id) => !id.includes("."))) ?? []), "config", "summary"];

/** Returns the value of a field in an answer with these fields, or in a whole run. */
export function valueOf(item: RunRow, id: string): Json | undefined {
  const value = item[id];
  if (value !== undefined || !isKey(id)) return value;
  const dot = id.indexOf(".");
  const source = item[id.slice(0, dot)];
  return typeof source === "object" && source !== null && !Array.isArray(source)
    ? lookup(source, id.slice(dot + 1))
    : undefined;
}

export const FORMATS = [
  { id: "auto", title: "Automatic" },
  { id: "0", title: "No decimals" },
  { id: "2", title: "2 decimals" },
  { id: "4", title: "4 decimals" },
  { id: "percent", title: "Percent" },
  { id: "exponent", title: "Exponent" },
  { id: "exact", title: "All digits" },
] as const;
export type Format = (typeof FORMATS)[number]["id"];

/** Formats a number of a column. */
export function formatIn(format: Format, value: number): string {
  if (format === "auto" || !Number.isFinite(value)) return formatNumber(value);
  const sign = (text: string) => text.replace(/^-/, "−");
  if (format === "percent") return `${sign(formatNumber(value * 100, 4))}%`;
  if (format === "exponent") return sign(value.toExponential(3));
  return sign(format === "exact" ? String(value) : value.toFixed(Number(format)));
}

/** Returns the text of a cell. */
export function cellText(item: RunRow, column: Column, now: number, format: Format = "auto"): string {
  const value = valueOf(item, column.id);
  switch (column.id) {
    case "created_at":
    case "updated_at":
      return formatAgo(asNumber(value) ?? NaN, now);
    case "duration":
      return formatDuration(asNumber(value));
    case "last_step":
      return formatNumber(asNumber(value));
    case "tags":
      return Array.isArray(value) ? value.join(", ") : "";
  }
  if (column.source === "run") return typeof value === "string" ? value : "";
  const number = format === "auto" ? null : asNumber(value);
  return number === null ? formatValue(value) : formatIn(format, number);
}

const NARROW = /[a-ln-vx-z0-9 .,:\u2212-]/g;
const ASCII = /^[ -~\u2212]*$/;

/**
 * Whether a text is certainly not wider than some pixels. A cell with such a text needs no clip: the browser keeps one
 * for each element that has one, and pays for all of them whenever the table scrolls.
 */
export function fitsIn(text: string, width: number, fontSize = 13): boolean {
  if (!ASCII.test(text)) return false;
  const narrow = text.match(NARROW)?.length ?? 0;
  return (text.length - narrow * 0.35) * fontSize <= width;
}

/** Returns the text of a cell's tooltip. */
export function cellTitle(item: RunRow, column: Column, now: number): string {
  const value = valueOf(item, column.id);
  switch (column.id) {
    case "state":
      return String(item["error"] ?? item["reason"] ?? item.state);
    case "created_at":
    case "updated_at":
      return formatTime(asNumber(value) ?? NaN);
    case "duration":
      return `${String(value)} s`;
    case "last_step":
      return String(value ?? "no step yet");
  }
  if (column.source === "run") return cellText(item, column, now);
  if (value === undefined) return `${column.label} was not logged`;
  return typeof value === "number" || typeof value === "bigint" ? String(value) : formatValue(value);
}

/** Returns the difference to the value of the baseline, absolute and in percent; empty without two numbers. */
export function differenceText(value: Json | undefined, baseline: Json | undefined): string {
  const [mine, other] = [asNumber(value), asNumber(baseline)];
  if (mine === null || other === null || !Number.isFinite(mine) || !Number.isFinite(other)) return "";
  const signed = (n: number, digits: number) => `${n > 0 ? "+" : ""}${formatNumber(n, digits)}`;
  const difference = mine - other;
  return signed(difference, 3) + (other === 0 ? "" : ` (${signed((difference / Math.abs(other)) * 100, 3)}%)`);
}
