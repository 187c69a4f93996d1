// The part of a name that distinguishes it from other names.

/** Words and what separates them. A dot separates nothing: "0.1" is one word. */
const PARTS = /[\s/_:=,;|-]+|[^\s/_:=,;|-]+/g;

/**
 * Returns for each name the words that the others do not share, with `…` for what is cut. Words at the start and at
 * the end are compared; if all names have equally many, those between too. A name that would be empty stays whole.
 */
export function distinguish(names: string[]): string[] {
  const distinct = [...new Set(names)].map((name) => name.match(PARTS) ?? []);
  const [first = []] = distinct;
  if (distinct.length < 2) return names;
  const shortest = Math.min(...distinct.map((parts) => parts.length));
  const same = (at: (parts: string[]) => string | undefined) => distinct.every((parts) => at(parts) === at(first));
  let start = 0;
  while (start < shortest && same((parts) => parts[start])) start += 1;
  let end = 0;
  while (end < shortest - start && same((parts) => parts.at(-1 - end))) end += 1;
  const aligned = distinct.every((parts) => parts.length === first.length);
  const shared = (i: number, count: number) =>
    i < start || i >= count - end || (aligned && same((parts) => parts[i]));
  return names.map((name) => {
    const parts = name.match(PARTS) ?? [];
    const cut = parts.map((part, i) => (shared(i, parts.length) ? null : part));
    if (cut.every((part) => part === null)) return name;
    const joined = cut.map((part, i) => {
      if (part !== null) return part;
      if (i > 0 && cut[i - 1] === null) return "";
      // The sign for what is cut has the length of a single separator.
      const alone = cut[i + 1] !== null && (parts[i] as string).length === 1;
      return alone ? (parts[i] as string) : "…";
    });
    return joined.join("");
  });
}
