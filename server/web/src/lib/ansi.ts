// Splits terminal output into pieces with style classes. Other control sequences are removed.

export interface Run {
  text: string;
  /**
   * Space-separated classes: `fg1` (red) to `fg15`, `bold`, `dim`, `italic`, `underline`; empty for plain
   * text.
   */
  look: string;
}

const SEQUENCE = /\u001b\[([0-9;]*)m/g;

/** Splits a line at its changes of colour. */
export function parseAnsi(line: string): Run[] {
  const runs: Run[] = [];
  let look: Look = PLAIN;
  let at = 0;
  const push = (text: string) => {
    if (text !== "") runs.push({ text, look: classesOf(look) });
  };
  for (const match of line.matchAll(SEQUENCE)) {
    push(line.slice(at, match.index));
    look = apply(look, match[1] ?? "");
    at = match.index + match[0].length;
  }
  push(line.slice(at));
  return runs;
}

/** Returns the line without its colours. */
export function stripAnsi(line: string): string {
  return line.replace(SEQUENCE, "");
}

interface Look {
  color: number | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}
const PLAIN: Look = { color: null, bold: false, dim: false, italic: false, underline: false };

function apply(before: Look, parameters: string): Look {
  let look = before;
  const codes = parameters === "" ? [0] : parameters.split(";").map(Number);
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i] ?? 0;
    if (code === 0) look = PLAIN;
    else if (code === 1) look = { ...look, bold: true };
    else if (code === 2) look = { ...look, dim: true };
    else if (code === 3) look = { ...look, italic: true };
    else if (code === 4) look = { ...look, underline: true };
    else if (code === 22) look = { ...look, bold: false, dim: false };
    else if (code === 23) look = { ...look, italic: false };
    else if (code === 24) look = { ...look, underline: false };
    else if (code >= 30 && code <= 37) look = { ...look, color: code - 30 };
    else if (code >= 90 && code <= 97) look = { ...look, color: code - 82 };
    else if (code === 39) look = { ...look, color: null };
    else if (code === 38 || code === 48) {
      // One of 256 colours or of all colours: only the first sixteen have a class.
      const index = codes[i + 1] === 5 ? codes[i + 2] : undefined;
      if (code === 38) look = { ...look, color: index !== undefined && index < 16 ? index : null };
      i += codes[i + 1] === 5 ? 2 : 4;
    }
  }
  return look;
}

function classesOf(look: Look): string {
  const classes: string[] = [];
  if (look.color !== null) classes.push(`fg${look.color}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (look[name]) classes.push(name);
  return classes.join(" ");
}
