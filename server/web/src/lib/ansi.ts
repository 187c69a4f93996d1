// Splits terminal output into pieces with styles and colours. Other control sequences are removed at capture.

export interface Run {
  text: string;
  /** Space-separated classes: `fg1` (red) to `fg15`, `bold`, `dim`, `italic`, `underline`, `strike`; empty for plain text. */
  look: string;
  /** A colour without a class, as `#rrggbb`; null for the colour of the class or of the page. */
  color: string | null;
  background: string | null;
}

const SEQUENCE = /\u001b\[([0-9;:]*)m/g;

/** Splits a line at its changes of style. */
export function parseAnsi(line: string): Run[] {
  const runs: Run[] = [];
  let look: Look = PLAIN;
  let at = 0;
  const push = (text: string) => {
    if (text !== "") runs.push({ text, ...shownAs(look) });
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

/** One of the sixteen colours of a theme, or a colour as `#rrggbb`. */
type Color = number | string;

interface Look {
  color: Color | null;
  background: Color | null;
  inverse: boolean;
  classes: readonly string[];
}
const PLAIN: Look = { color: null, background: null, inverse: false, classes: [] };

const STYLES: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike" };
const ENDS: Record<number, string[]> = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 29: ["strike"] };

/** The sixteen colours of xterm: for backgrounds, because a text on them has black or white. */
const SIXTEEN = "000000 cd0000 00cd00 cdcd00 1e60ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00 5c8cff ff00ff 00ffff ffffff".split(" ");

const hex = (parts: number[]) => `#${parts.map((part) => Math.max(0, Math.min(255, part || 0)).toString(16).padStart(2, "0")).join("")}`;

/** Returns colour `index` of the 256 colours: sixteen of the theme, a cube of 216, and 24 greys. */
function colorOf(index: number): Color | null {
  if (!(index >= 0 && index < 256)) return null;
  if (index < 16) return index;
  if (index >= 232) return hex([0, 0, 0].map(() => 8 + 10 * (index - 232)));
  const level = (step: number) => (step === 0 ? 0 : 55 + 40 * step);
  return hex([Math.floor((index - 16) / 36), Math.floor((index - 16) / 6) % 6, (index - 16) % 6].map(level));
}

function apply(before: Look, parameters: string): Look {
  let look = before;
  const set = (change: Partial<Look>) => (look = { ...look, ...change });
  const paint = (isText: boolean, color: Color | null) => set(isText ? { color } : { background: color });
  const parts = parameters === "" ? ["0"] : parameters.split(";");
  for (let i = 0; i < parts.length; i += 1) {
    // A colour has its own parameters after it, with semicolons or with colons.
    const own = (parts[i] ?? "").split(":").map(Number);
    const code = own[0] ?? 0;
    if (code === 38 || code === 48) {
      const isInline = own.length > 1;
      const rest = isInline ? own.slice(1) : parts.slice(i + 1, i + 5).map(Number);
      const isIndex = rest[0] === 5;
      if (isIndex) paint(code === 38, colorOf(rest[1] ?? -1));
      else if (rest[0] === 2) paint(code === 38, hex(isInline ? own.slice(-3) : rest.slice(1, 4)));
      if (!isInline) i += isIndex ? 2 : 4;
    } else if (code === 0) look = PLAIN;
    else if (STYLES[code] !== undefined) set({ classes: [...new Set([...look.classes, STYLES[code]])].sort() });
    else if (ENDS[code] !== undefined) set({ classes: look.classes.filter((name) => !ENDS[code]?.includes(name)) });
    else if (code === 7 || code === 27) set({ inverse: code === 7 });
    else if (code === 39 || code === 49) paint(code === 39, null);
    else if (code >= 30 && code <= 37) paint(true, code - 30);
    else if (code >= 90 && code <= 97) paint(true, code - 82);
    else if (code >= 40 && code <= 47) paint(false, code - 40);
    else if (code >= 100 && code <= 107) paint(false, code - 92);
  }
  return look;
}

const exact = (color: Color) => (typeof color === "number" ? `#${SIXTEEN[color]}` : color);

/** Returns black or white, the one that is easier to read on a colour. */
function readableOn(background: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => (parseInt(background.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
}

function shownAs({ color, background, inverse, classes }: Look): Omit<Run, "text"> {
  if (inverse || background !== null) {
    // Black or white text is readable on every background, also where the colour of the text is not.
    const behind = exact((inverse ? color : background) ?? (inverse ? 7 : 0));
    return { look: classes.join(" "), color: readableOn(behind), background: behind };
  }
  const look = typeof color === "number" ? [`fg${color}`, ...classes] : classes;
  return { look: look.join(" "), color: typeof color === "string" ? color : null, background: null };
}
