// Completion of a query: the fields, operators and values that fit at the place of the caret.
import type { Schema } from "./api";
import { formatField, formatTerm, OPERATORS, takeField, takeSign, valueFor } from "./query-text";

export interface Suggestion {
  label: string;
  /** What the suggestion is, such as "config key". */
  hint: string;
  /** The text that replaces the part before the caret. */
  insert: string;
}

export interface Completion {
  /** The first character that a suggestion replaces. */
  from: number;
  suggestions: Suggestion[];
  /** A text or a field: the server may know more names with this text, or more values of this field. */
  ask: string | null;
}

type Field = Schema<"FieldInfo">;

/** Fields that every run has, with their known values. */
export const RUN_FIELDS: { field: string; hint: string; values?: string[] }[] = [
  { field: "name", hint: "name" },
  { field: "id", hint: "id" },
  { field: "state", hint: "state", values: ["running", "finished", "failed", "crashed", "preempting", "preempted"] },
  { field: "tag", hint: "tag" },
  { field: "group", hint: "group" },
  { field: "job_type", hint: "job type" },
  { field: "archived", hint: "true or false", values: ["true"] },
  { field: "host", hint: "host" },
  { field: "notes", hint: "notes" },
  { field: "created", hint: "time, such as 2026-01-31" },
  { field: "updated", hint: "time, such as 2026-01-31" },
  { field: "duration", hint: "seconds" },
  { field: "last_step", hint: "number" },
];
const MOST = 12;

const hintOf = ({ field, numbers, min, max }: Field): string =>
  `${field.startsWith("config.") ? "config" : "summary"}${numbers && min !== null && max !== null ? `, ${min} to ${max}` : ""}`;

/** Returns the first texts that contain what was typed; those that begin with it come first. */
function matching<T>(items: T[], textOf: (item: T) => string, typed: string): T[] {
  const wanted = typed.toLowerCase();
  const place = (item: T) => textOf(item).toLowerCase().indexOf(wanted);
  return items
    .filter((item) => place(item) >= 0)
    .sort((a, b) => Math.min(1, place(a)) - Math.min(1, place(b)))
    .slice(0, MOST);
}

/** Returns the first character of the word before the caret. Spaces within quotes do not end a word. */
function wordStart(text: string): number {
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === "\\" && quoted) at += 1;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && /[\s()]/.test(char)) start = at + 1;
  }
  return text[start] === "-" ? start + 1 : start;
}

function namesOf(fields: Field[], typed: string, from: number, after: string): Completion {
  const plain = typed.replace(/"/g, "");
  const known = RUN_FIELDS.map(({ field, hint }) => ({ label: field, hint }));
  const keys = fields.filter(({ field }) => field.includes(".")).map((field) => ({ label: field.field, hint: hintOf(field) }));
  const suggestions = matching([...known, ...keys], (item) => item.label, plain).map((item) => ({
    ...item,
    insert: `${formatField(item.label)}${after}`,
  }));
  return { from, suggestions, ask: plain };
}

/** Returns the suggestions for the text before the caret. */
export function complete(before: string, fields: Field[]): Completion {
  const from = wordStart(before);
  const found = takeField(before, from);
  if (found === null) return namesOf(fields, before.slice(from), from, "");
  const sign = takeSign(before, found.end);
  const isKnown = fields.some(({ field }) => field === found.field) || RUN_FIELDS.some(({ field }) => field === found.field);
  if (sign === null) {
    if (found.end < before.length || !isKnown) return namesOf(fields, before.slice(from), from, "");
    const names = namesOf(fields, before.slice(from), from, "").suggestions.filter((item) => item.label !== found.field);
    const signs = OPERATORS.filter(({ id }) => id !== "has").map(({ id, title }) => ({
      label: `${found.field} ${id}`,
      hint: title,
      insert: formatField(found.field) + id,
    }));
    return { from, suggestions: [...signs, ...names].slice(0, MOST), ask: null };
  }
  const begin = found.end + sign.length;
  if (found.field === "has" && sign === ":") return namesOf(fields, before.slice(begin), begin, " ");
  if (sign.endsWith("~")) return { from: begin, suggestions: [], ask: null };
  const comma = before.lastIndexOf(",");
  const start = comma >= begin ? comma + 1 : begin;
  const typed = before.slice(start).replace(/"/g, "");
  const info = fields.find(({ field }) => field === found.field);
  const fixed = RUN_FIELDS.find(({ field }) => field === found.field)?.values ?? [];
  const values = [...new Set([...fixed, ...(info?.values ?? [])])];
  const isKey = found.field.includes(".");
  const suggestions = matching(values, (value) => value, typed)
    .filter((value) => value !== typed)
    .map((value) => ({
      label: value,
      hint: "value",
      insert: formatTerm({ field: "x", operator: ":", values: [valueFor(value, isKey)] }).slice(2) + " ",
    }));
  return { from: start, suggestions, ask: info?.more ? found.field : null };
}

/** Whether the last word of a query has no value yet, or an open quote: the server would refuse it. */
export function isUnfinished(text: string): boolean {
  const from = wordStart(text);
  const found = takeField(text, from);
  const sign = found === null ? null : takeSign(text, found.end);
  const lacksValue = found !== null && sign !== null && found.end + sign.length === text.trimEnd().length;
  return lacksValue || (text.slice(from).replace(/\\./g, "").split('"').length - 1) % 2 === 1;
}
