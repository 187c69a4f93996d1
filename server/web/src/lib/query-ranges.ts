// Ranges of numeric fields inside the text of a query: a brush adds them, and reads them back.

export interface FieldRange {
  /** Null for an open end. */
  low: number | null;
  high: number | null;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[^\s"]+(?:"(?:[^"\\]|\\.)*"[^\s"]*)*/g;
const SPECIAL = /[\s()"':<>=!~,]/;

/** Returns a field as a query writes it: keys with spaces or operators are quoted. */
export function writeField(field: string): string {
  const dot = field.indexOf(".");
  const key = field.slice(dot + 1);
  if (dot === -1 || !SPECIAL.test(key)) return field;
  return `${field.slice(0, dot)}."${key.replace(/[\\"]/g, "\\$&")}"`;
}

/** Whether all terms must be true, so that a range can be added or removed as a term. */
function isFlat(tokens: string[]): boolean {
  return tokens.every((token) => !["OR", "NOT", "AND"].includes(token) && !/^-?\(|\)$/.test(token));
}

function endOf(token: string, field: string): { side: "low" | "high"; value: number } | null {
  const written = writeField(field);
  if (!token.startsWith(written)) return null;
  const found = /^(>=|<=)([-+.\deE]+)$/.exec(token.slice(written.length));
  const value = Number(found?.[2]);
  return found === null || !Number.isFinite(value) ? null : { side: found[1] === ">=" ? "low" : "high", value };
}

const tokensOf = (query: string): string[] => query.match(TOKEN) ?? [];

/** Returns the range that the terms `FIELD>=A` and `FIELD<=B` of a query give; null without such terms. */
export function readRange(query: string, field: string): FieldRange | null {
  const tokens = tokensOf(query);
  if (!isFlat(tokens)) return null;
  const range: FieldRange = { low: null, high: null };
  let found = false;
  for (const token of tokens) {
    const end = endOf(token, field);
    if (end === null) continue;
    found = true;
    range[end.side] = end.value;
  }
  return found ? range : null;
}

/** Returns a query with the range of a field replaced; null removes it. */
export function writeRange(query: string, field: string, range: FieldRange | null): string {
  const tokens = tokensOf(query);
  const flat = isFlat(tokens);
  const kept = flat ? tokens.filter((token) => endOf(token, field) === null).join(" ") : query.trim();
  const terms: string[] = [];
  if (range !== null && range.low !== null) terms.push(`${writeField(field)}>=${range.low}`);
  if (range !== null && range.high !== null) terms.push(`${writeField(field)}<=${range.high}`);
  const before = !flat && terms.length > 0 && kept !== "" && !isWrapped(kept) ? `(${kept})` : kept;
  return [before, ...terms].filter((part) => part !== "").join(" ");
}

/** Whether one pair of parentheses encloses a whole text. */
function isWrapped(text: string): boolean {
  let depth = 0;
  const plain = text.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => "x".repeat(quoted.length));
  for (const [at, letter] of [...plain].entries()) {
    if (letter === "(") depth += 1;
    if (letter === ")") depth -= 1;
    if (depth === 0 && at < plain.length - 1) return false;
  }
  return plain.startsWith("(");
}
