// The entries of the command palette: which match a text, and in which order.

export interface Entry {
  id: string;
  title: string;
  /** The heading above the entry. */
  section: string;
  /** A second text, such as the id of a run. It is searched too. */
  detail?: string;
  /** A shortcut that does the same. */
  keys?: string | undefined;
  run: () => void;
}

/** Returns how well a text matches the words of a query: larger is better, 0 if a word is missing. */
export function score(text: string, words: string[]): number {
  const lower = text.toLowerCase();
  let total = words.length === 0 ? 1 : 0;
  for (const word of words) {
    const at = lower.indexOf(word);
    if (at < 0) return 0;
    const begins = at === 0 || /[^\p{L}\p{N}]/u.test(lower[at - 1] as string);
    total += at === 0 ? 3 : begins ? 2 : 1;
  }
  return total;
}

export const wordsOf = (query: string): string[] => query.toLowerCase().split(/\s+/).filter((word) => word !== "");

/**
 * Returns the matching entries. Sections keep their order, except that one whose title matches comes before those where
 * only details match. A section has at most `most` entries.
 */
export function rank(entries: Entry[], query: string, most: number): Entry[] {
  const words = wordsOf(query);
  const sections = new Map<string, { entry: Entry; points: number }[]>();
  for (const entry of entries) {
    const points = Math.max(2 * score(entry.title, words), score(`${entry.title} ${entry.detail ?? ""}`, words));
    if (points > 0) sections.set(entry.section, [...(sections.get(entry.section) ?? []), { entry, points }]);
  }
  const best = (found: { points: number }[]) => Math.max(...found.map(({ points }) => points));
  return [...sections.values()]
    .map((found) => found.sort((a, b) => b.points - a.points))
    .sort((a, b) => (words.length === 0 ? 0 : best(b) - best(a)))
    .flatMap((found) => found.slice(0, most).map(({ entry }) => entry));
}
