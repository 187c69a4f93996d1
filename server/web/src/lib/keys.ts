// Metric names: filters, and groups by the part before the first slash.
import type { Schema } from "./api";

export type KeyKind = "number" | "image" | "media" | "table" | "histogram" | "text" | "null" | "other";

export interface KeyGroup {
  name: string;
  keys: string[];
}

const OTHER = "Charts";
const BOOKKEEPING = new Set(["_step", "_runtime", "_timestamp"]);

/** Whether a key is an axis that the recorder writes itself. */
export const isBookkeeping = (key: string): boolean => BOOKKEEPING.has(key);

const collator = new Intl.Collator("en", { numeric: true });

/** Returns the sorted keys of one kind over several runs, without internal keys. */
export function keysOfKind(lists: Schema<"KeyInfo">[][], kind: KeyKind): string[] {
  return keysThat(lists, (item) => item.kind === kind);
}

/** Returns the sorted keys that a chart can draw: those with any numbers, even if other values are texts. */
export function keysWithNumbers(lists: Schema<"KeyInfo">[][]): string[] {
  return keysThat(lists, (item) => item.numbers);
}

/** Returns the sorted keys with images, sound, video and other media. */
export function mediaKeys(list: Schema<"KeyInfo">[]): string[] {
  return [...keysOfKind([list], "image"), ...keysOfKind([list], "media")].sort(collator.compare);
}

function keysThat(lists: Schema<"KeyInfo">[][], fits: (item: Schema<"KeyInfo">) => boolean): string[] {
  const found = new Set<string>();
  for (const list of lists) {
    for (const item of list) {
      if (fits(item) && !isBookkeeping(item.key)) found.add(item.key);
    }
  }
  return [...found].sort(collator.compare);
}

/** Groups keys by prefix: first keys without a prefix, then the groups by name, last the system metrics. */
export function groupKeys(keys: string[]): KeyGroup[] {
  const groups = new Map<string, string[]>();
  for (const key of keys) {
    const slash = key.indexOf("/");
    const name = slash > 0 ? key.slice(0, slash) : OTHER;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [key]);
    else group.push(key);
  }
  const rank = (name: string) => (name === OTHER ? 0 : name === "system" ? 2 : 1);
  return [...groups]
    .map(([name, members]) => ({ name, keys: members }))
    .sort((a, b) => rank(a.name) - rank(b.name) || collator.compare(a.name, b.name));
}

/** Returns a filter for names: a regular expression if the text is a valid one, else plain text. */
export function nameFilter(text: string): (name: string) => boolean {
  const wanted = text.trim();
  if (wanted === "") return () => true;
  try {
    const pattern = new RegExp(wanted, "i");
    return (name) => pattern.test(name);
  } catch {
    const lower = wanted.toLowerCase();
    return (name) => name.toLowerCase().includes(lower);
  }
}
