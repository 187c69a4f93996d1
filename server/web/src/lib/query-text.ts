// The text of a query as the terms that must all be true, so that a filter builder and the text change each other.
// The server has the full grammar (docs/rest-api.md); here, everything but a plain test stays text.

export interface Value {
  text: string;
  /** In quotes, a number or a word such as `true` is a string. */
  quoted: boolean;
}

export interface Test {
  field: string;
  operator: Operator;
  values: Value[];
}

/** A term that the builder can show in parts, or else its text. */
export type Term = Test | string;

export const OPERATORS = [
  { id: ":", title: "is" },
  { id: "!=", title: "is not" },
  { id: ">", title: ">" },
  { id: ">=", title: "≥" },
  { id: "<", title: "<" },
  { id: "<=", title: "≤" },
  { id: "~", title: "matches" },
  { id: "!~", title: "does not match" },
  { id: "has", title: "exists" },
] as const;
export type Operator = (typeof OPERATORS)[number]["id"];

const NAME = /(?:[^\s()":=<>~!]|!(?![=~]))+/y;
const SIGN = /:(?:[<>]=?)?|!=|!~|==?|[<>]=?|~/y;
const VALUE = /[^\s()",]+/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/sy;
const SPACE = /\s*/y;

function take(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

/** Returns the name of a field at a place in the text, with its quoted key; null without one. */
export function takeField(text: string, at: number): { field: string; end: number } | null {
  const name = take(NAME, text, at);
  if (name === null) return null;
  const end = at + name.length;
  const key = /^(config|summary|summary_metrics)\.$/.test(name) ? take(QUOTED, text, end) : null;
  return key === null ? { field: name, end } : { field: name + unquote(key, false), end: end + key.length };
}

export function takeSign(text: string, at: number): string | null {
  return take(SIGN, text, at);
}

function operatorOf(sign: string): Operator {
  if (sign === "=" || sign === "==") return ":";
  return (sign.length > 1 && sign.startsWith(":") ? sign.slice(1) : sign) as Operator;
}

function unquote(quoted: string, pattern: boolean): string {
  return quoted.slice(1, -1).replace(pattern ? /\\(")/g : /\\(["\\])/g, "$1");
}

/** Returns the test at a place; null if there is something else. */
function takeTest(text: string, from: number): { test: Test; end: number } | null {
  const found = takeField(text, from);
  const sign = found === null ? null : takeSign(text, found.end);
  if (found === null || sign === null) return null;
  let at = found.end + sign.length;
  if (found.field === "has" && sign === ":") {
    const wanted = takeField(text, at);
    return wanted === null ? null : { test: { field: wanted.field, operator: "has", values: [] }, end: wanted.end };
  }
  const operator = operatorOf(sign);
  const values: Value[] = [];
  for (;;) {
    const quoted = take(QUOTED, text, at);
    const part = quoted ?? take(VALUE, text, at);
    if (part === null) return null;
    at += part.length;
    values.push({ text: quoted === null ? part : unquote(part, operator.endsWith("~")), quoted: quoted !== null });
    if (text[at] !== "," || !(operator === ":" || operator === "!=")) break;
    at += 1;
  }
  return { test: { field: found.field, operator, values }, end: at };
}

/** Returns the end of a term that is not a plain test: a text, a negation or a group; null if it is not closed. */
function skipOther(text: string, from: number): number | null {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const char = text[at] as string;
    if (depth === 0 && at > from && /[\s)]/.test(char)) break;
    if (char === '"') {
      const quoted = take(QUOTED, text, at);
      if (quoted === null) return null;
      at += quoted.length;
      continue;
    }
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    if (depth < 0) return null;
    at += 1;
  }
  return depth === 0 ? at : null;
}

/** Returns the terms of a query that must all be true. Alternatives and invalid texts are one term. */
export function parseTerms(query: string): Term[] {
  const text = query.trim();
  if (text === "") return [];
  const terms: Term[] = [];
  let at = 0;
  while (at < text.length) {
    const word = /^(AND|OR|NOT)(?=[\s()]|$)/.exec(text.slice(at))?.[0];
    if (word === "OR") return [text];
    if (word === "AND") {
      at += 3 + (take(SPACE, text, at + 3) ?? "").length;
      continue;
    }
    const begin = at;
    if (word === "NOT") at += 3 + (take(SPACE, text, at + 3) ?? "").length;
    const test = word === undefined && text[at] !== "-" ? takeTest(text, at) : null;
    const closed = test !== null && (test.end === text.length || /\s/.test(text[test.end] as string));
    const end = closed ? test.end : skipOther(text, at);
    if (end === null) return [text];
    terms.push(closed ? test.test : text.slice(begin, end));
    at = end + (take(SPACE, text, end) ?? "").length;
    if (at === begin) return [text];
  }
  return terms;
}

const quote = (text: string, pattern: boolean) => `"${text.replace(pattern ? /"/g : /["\\]/g, "\\$&")}"`;

/** Returns the text of a field. A key with spaces or operators is quoted. */
export function formatField(field: string): string {
  const dot = field.indexOf(".");
  const key = field.slice(dot + 1);
  const plain = dot < 0 || take(NAME, field, 0) === field;
  return plain && key !== "" ? field : `${field.slice(0, dot + 1)}${quote(key, false)}`;
}

/** Returns a value that a field can be compared with. Texts that look like another value are quoted if `text`. */
export function valueFor(text: string, isText: boolean): Value {
  const special = /^(null|true|false|nan|[+-]?inf|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)$/i.test(text);
  return { text, quoted: isText && special };
}

function formatValue({ text, quoted }: Value, pattern: boolean): string {
  return quoted || take(VALUE, text, 0) !== text ? quote(text, pattern) : text;
}

export function formatTerm(term: Term): string {
  if (typeof term === "string") return term;
  const field = formatField(term.field);
  if (term.operator === "has") return `has:${field}`;
  const pattern = term.operator.endsWith("~");
  return `${field}${term.operator}${term.values.map((value) => formatValue(value, pattern)).join(",")}`;
}

/** Returns the query whose terms must all be true. */
export function formatTerms(terms: Term[]): string {
  const texts = terms.map(formatTerm).filter((text) => text.trim() !== "");
  // Alternatives among other terms need parentheses.
  return texts.length === 1 ? (texts[0] as string) : texts.map((text) => (hasAlternatives(text) ? `(${text})` : text)).join(" ");
}

const hasAlternatives = (text: string) => {
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/gs, '""');
  let depth = 0;
  for (const [at, char] of [...bare].entries()) {
    if (char === "(") depth += 1;
    if (char === ")") depth -= 1;
    if (depth === 0 && /^\sOR[\s(]/.test(bare.slice(at))) return true;
  }
  return false;
};

/** Returns whether a query has a term. */
export function hasTerm(query: string, term: string): boolean {
  return parseTerms(query).some((each) => formatTerm(each) === term);
}

/** Returns the query with a term added, or removed if it has it. */
export function toggleTerm(query: string, term: string): string {
  const terms = parseTerms(query);
  const rest = terms.filter((each) => formatTerm(each) !== term);
  return formatTerms(rest.length < terms.length ? rest : [...terms, term]);
}
