// A change of a run from what a person typed: only the parts that the person changed, so that two people who edit the
// same run keep each other's changes.
import type { RunEdit, Schema } from "./api";

export interface RunTexts {
  name: string;
  tags: string[];
  group: string | null;
  notes: string | null;
}

const asText = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

/** Returns the editable parts of a run. */
export function textsOf(run: { name: string; [field: string]: unknown }): RunTexts {
  const tags = Array.isArray(run["tags"]) ? run["tags"].map(String) : [];
  return { name: run.name, tags, group: asText(run["group"]), notes: asText(run["notes"]) };
}

/** Returns the text of tags as a list without repetition. */
export const parseTags = (text: string): string[] => [
  ...new Set(text.split(",").map((tag) => tag.trim()).filter((tag) => tag !== "")),
];

/** Returns the parts with one field replaced by a typed text. Empty text removes the group and the notes. */
export function withText(before: RunTexts, field: string, text: string): RunTexts {
  if (field === "tags") return { ...before, tags: parseTags(text) };
  const trimmed = text.trim();
  return { ...before, [field]: field === "name" ? trimmed : trimmed === "" ? null : field === "notes" ? text : trimmed };
}

/** Returns the change from one state of a run to another; null without a difference. Tags change one by one. */
export function editBetween(before: RunTexts, after: RunTexts): RunEdit | null {
  const edit: Partial<Schema<"RunEdit">> = {};
  for (const field of ["name", "group", "notes"] as const) {
    if (before[field] !== after[field]) (edit as Record<string, unknown>)[field] = after[field];
  }
  const added = after.tags.filter((tag) => !before.tags.includes(tag));
  const removed = before.tags.filter((tag) => !after.tags.includes(tag));
  if (added.length > 0) edit.tags_added = added;
  if (removed.length > 0) edit.tags_removed = removed;
  return Object.keys(edit).length === 0 ? null : (edit as RunEdit);
}

/** Returns the field that another person changed since `before` and that a change would replace; null if there is none. */
export function conflictOf(before: RunTexts, now: RunTexts, after: RunTexts): "name" | "group" | "notes" | null {
  const fields = ["name", "group", "notes"] as const;
  return fields.find((field) => ![before[field], now[field]].includes(after[field]) && now[field] !== before[field]) ?? null;
}
