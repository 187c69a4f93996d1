// Groups runs by the values of fields.
import { formatNumber, stringify } from "./format";
import { flatten, isObject, type Json } from "./json";

export interface RunGroup {
  /** Unique among the groups. */
  label: string;
  ids: string[];
}

/** What the groups of a route depend on: fields, or all settings but some. */
export interface Grouping {
  fields: string[];
  allBut: string[] | null;
}

/** Reads the keys of an address: with a leading `-`, all keys of the config but these. */
export function readGrouping(group: string[]): Grouping {
  const not = group.filter((key) => key.startsWith("-")).map((key) => key.slice(1).replace(/^config\./, ""));
  return not.length > 0 ? { fields: [], allBut: not } : { fields: group, allBut: null };
}

/** Returns the fields of runs that a grouping needs. */
export function fieldsOf(grouping: Grouping): string[] {
  return ["id", ...(grouping.allBut === null ? grouping.fields.map((field) => (field === "tag" ? "tags" : field)) : ["config"])];
}

/** Returns the values of the groups that a run is in: several if runs are grouped by tag and the run has several tags. */
function allValuesOf(row: Record<string, Json>, grouping: Grouping): [string, Json][][] {
  if (!grouping.fields.includes("tag")) return [valuesOf(row, grouping)];
  const tags = Array.isArray(row["tags"]) && row["tags"].length > 0 ? [...new Set(row["tags"])] : [null];
  return tags.map((tag) => valuesOf({ ...row, tag }, grouping));
}

function valuesOf(row: Record<string, Json>, { fields, allBut }: Grouping): [string, Json][] {
  if (allBut === null) return fields.map((field) => [field, row[field] ?? null]);
  const config = isObject(row["config"]) ? row["config"] : {};
  const isLeftOut = (key: string) => ["_wandb", ...allBut].some((name) => key === name || key.startsWith(`${name}.`));
  return flatten(config)
    .filter(([key, value]) => !isLeftOut(key) && value !== null)
    .map(([key, value]): [string, Json] => [`config.${key}`, value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** True is 1 and false is 0, as in filters. */
const plain = (value: Json): Json => (typeof value === "boolean" ? Number(value) : value);

function show(value: Json): string {
  if (value === null) return "none";
  return typeof value === "number" ? formatNumber(value) : typeof value === "string" ? value : stringify(value);
}

/** Returns the groups in natural order of their labels. A label names only the fields that differ. */
export function groupRuns(rows: Record<string, Json>[], grouping: Grouping): RunGroup[] {
  const found = new Map<string, { values: Map<string, Json>; ids: string[] }>();
  for (const [row, given] of rows.flatMap((row) => allValuesOf(row, grouping).map((values) => [row, values] as const))) {
    const values = given.map(([key, value]): [string, Json] => [key, plain(value)]);
    const id = stringify(values as Json);
    const group = found.get(id) ?? { values: new Map(values), ids: [] };
    group.ids.push(String(row["id"]));
    found.set(id, group);
  }
  const groups = [...found.values()];
  const keys = [...new Set(groups.flatMap((group) => [...group.values.keys()]))];
  const differ = keys.filter(
    (key) => new Set(groups.map((group) => stringify(group.values.get(key) ?? null))).size > 1,
  );
  const named = differ.length > 0 ? differ : grouping.allBut === null ? keys : [];
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const numeric = (value: Json | undefined) => (typeof value === "number" ? value : null);
  return groups
    .sort((a, b) => {
      for (const key of named) {
        const [x, y] = [a.values.get(key) ?? null, b.values.get(key) ?? null];
        const [m, n] = [numeric(x), numeric(y)];
        const order = m !== null && n !== null ? m - n : compare(show(x), show(y));
        if (order !== 0) return order;
      }
      return 0;
    })
    .map(({ values, ids }) => ({
      label: named.map((key) => `${key.replace(/^(config|summary)\./, "")}=${show(values.get(key) ?? null)}`).join(", ") || "all runs",
      ids,
    }));
}
