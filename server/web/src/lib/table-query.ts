// The order, filters and groups of a logged table: as text in the address, and as parameters of the server.
import { csvLine } from "./csv";
import { asNumber, isObject, type Json } from "./json";

export const OPERATORS = ["=", "≠", "<", "≤", ">", "≥", "contains", "matches", "is empty", "is not empty"] as const;
export type Operator = (typeof OPERATORS)[number];

export interface RowFilter {
  column: string;
  operator: Operator;
  value: string;
}

export interface TableQuery {
  /** Columns to sort by, most important first; a leading `-` reverses the order. */
  order: string[];
  /** Columns with equal values in each group; empty for no groups. */
  by: string[];
  filters: RowFilter[];
}

export const NO_QUERY: TableQuery = { order: [], by: [], filters: [] };

export const needsValue = (operator: Operator): boolean => !operator.startsWith("is ");

/** Writes a query as text; empty for no query. */
export function formatTableQuery({ order, by, filters }: TableQuery): string {
  const parts = new URLSearchParams();
  for (const column of order) parts.append("sort", column);
  for (const column of by) parts.append("by", column);
  for (const { column, operator, value } of filters) parts.append("where", JSON.stringify([column, operator, value]));
  return parts.toString();
}

/** Reads a query. Invalid parts are left out. */
export function parseTableQuery(text: string): TableQuery {
  const parts = new URLSearchParams(text);
  const filters = parts.getAll("where").flatMap((given): RowFilter[] => {
    let list: unknown;
    try {
      list = JSON.parse(given);
    } catch {
      return [];
    }
    if (!Array.isArray(list) || list.length !== 3 || !list.every((part) => typeof part === "string")) return [];
    const [column, operator, value] = list as [string, Operator, string];
    return OPERATORS.includes(operator) ? [{ column, operator, value }] : [];
  });
  return { order: parts.getAll("sort").slice(0, 5), by: parts.getAll("by").slice(0, 3), filters };
}

/** Returns the filters in the language of the server; undefined without filters. */
export function serverFilters(filters: RowFilter[]): string | undefined {
  const conditions = filters.flatMap(({ column, operator, value }) => {
    const condition = conditionOf(operator, value);
    return condition === null ? [] : [{ [column]: condition }];
  });
  return conditions.length === 0 ? undefined : JSON.stringify({ $and: conditions });
}

const COMPARISONS: Partial<Record<Operator, string>> = { "<": "$lt", "≤": "$lte", ">": "$gt", "≥": "$gte" };

function conditionOf(operator: Operator, value: string): object | null {
  if (operator === "is empty") return { $exists: false };
  if (operator === "is not empty") return { $exists: true };
  if (value === "") return null;
  const number = value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
  const flag = value === "true" ? true : value === "false" ? false : null;
  // A column can have numbers, or texts of digits.
  const equal = [value, ...(number === null ? [] : [number]), ...(flag === null ? [] : [flag])];
  if (operator === "=") return { $in: equal };
  if (operator === "≠") return { $nin: equal };
  if (operator === "matches") return { $regex: value };
  if (operator === "contains") return { $regex: `(?i)${value.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}` };
  const name = COMPARISONS[operator];
  return name === undefined ? null : { [name]: number ?? value };
}

/** Returns the order after a click on a column: ascending, descending, none. With `add`, other columns stay. */
export function nextTableOrder(order: string[], column: string, add: boolean): string[] {
  const others = add ? order.filter((each) => each !== column && each !== `-${column}`) : [];
  if (order.includes(column)) return [...others, `-${column}`];
  if (order.includes(`-${column}`)) return others;
  return [...others, column].slice(-5);
}

/** Returns rows as CSV. Files are their paths, other objects JSON; null is empty. */
export function tableCsv(columns: (string | number)[], rows: Json[][]): string {
  return [columns, ...rows].map((row) => csvLine(row.map(csvText))).join("");
}

function csvText(cell: Json): string | number | bigint | boolean | null {
  if (cell === null || typeof cell !== "object") return cell;
  const number = asNumber(cell);
  if (number !== null) return number;
  if (isObject(cell) && typeof cell["path"] === "string") return cell["path"];
  return JSON.stringify(cell, (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item));
}
