// Line colours: few that colour-blind people can distinguish, and those of runs, which follow from the id of the run.

export interface LineStyle {
  color: string;
  dash: number[];
}

export type Theme = "light" | "dark";

// Eight colours that differ in lightness too. Between any two of them is a distance of at least 11 in OKLab times 100,
// with full vision, protanopia and deuteranopia (contrast.test.ts; a just visible difference is about 2).
const COLORS: Record<Theme, string[]> = {
  light: ["#063385", "#ff7900", "#00706b", "#d77cf4", "#9a4b00", "#3969e0", "#6b0745", "#959596"],
  dark: ["#00c4ff", "#d1400c", "#8dfc83", "#bd5dd1", "#b1a309", "#d9eaff", "#fc929f", "#6d767c"],
};

const DASHES: number[][] = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

export const SLOTS = (COLORS.light.length * DASHES.length) as 32;

/** Returns the style of a number; equal numbers modulo `SLOTS` have equal styles. */
export function lineStyle(slot: number, theme: Theme): LineStyle {
  const colors = COLORS[theme];
  const at = ((slot % SLOTS) + SLOTS) % SLOTS;
  return {
    color: colors[at % colors.length] as string,
    dash: DASHES[Math.floor(at / colors.length)] as number[],
  };
}

// 14 hues in three degrees of lightness (OKLCH), so that two runs seldom get similar colours. Solid: dashes cost
// time when there are hundreds of lines, and hide noise.
const RUN_COLORS: Record<Theme, string[]> = {
  light: [
    ...["#0274c7", "#b74c05", "#05893e", "#ae4090", "#8f6b09", "#13808a", "#bd3964"],
    ...["#8254c4", "#687c02", "#4c66d3", "#a55d0c", "#158374", "#c13c3b", "#9b49ae"],
    ...["#064f89", "#803200", "#015e28", "#831169", "#624902", "#05585f", "#8f0641"],
    ...["#5e2b9a", "#475408", "#2c3ea8", "#723e06", "#045a4f", "#940015", "#731f85"],
    ...["#319cfc", "#ea6f2f", "#2eb45c", "#da69b9", "#be9014", "#09acba", "#eb648a"],
    ...["#a97cf0", "#8ca507", "#7190fd", "#dc7d12", "#16b09b", "#ef6661", "#c571d8"],
  ],
  dark: [
    ...["#63b0fc", "#fe8449", "#47c86e", "#ef7bcc", "#d6a20a", "#0dc1d0", "#fe799d"],
    ...["#ba92fd", "#9eb919", "#8ba6fd", "#f68c11", "#1dc5ae", "#fe7f78", "#d984ed"],
    ...["#afd5fe", "#fec1a6", "#73f094", "#feb8e6", "#fec84b", "#15ecfe", "#fdbdca"],
    ...["#d9c6fe", "#c3e151", "#c0d0fd", "#fdc495", "#0df1d5", "#ffbfb8", "#f1bafe"],
    ...["#1289e7", "#d55c13", "#03a14a", "#c656a6", "#a87f09", "#0698a4", "#d55078"],
    ...["#9769dc", "#7c9209", "#5f7ceb", "#c46d01", "#0f9b89", "#da534f", "#b25ec5"],
  ],
};

/** Returns a number below `count` that depends on a text alone: FNV-1a, whose last step mixes the high bits in. */
export function hashOf(text: string, count: number): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) >>> 0) % count;
}

/** Returns the style of a run, a group or a value: the same on every page, on every day. */
export function styleOf(text: string, theme: Theme): LineStyle {
  const colors = RUN_COLORS[theme];
  return { color: colors[hashOf(text, colors.length)] as string, dash: [] };
}

/** Returns the dash pattern of the n-th of several lines with the same colour. */
export const dashOf = (index: number): number[] => DASHES[index % DASHES.length] as number[];

/** The colours that a person can choose for a run. */
export const palette = (theme: Theme): string[] => RUN_COLORS[theme].slice(0, 28);

// A scale from dark to light on a light page, and the reverse on a dark one: its ends differ from the background.
const RAMPS: Record<Theme, string[]> = {
  light: ["#2b0b6e", "#3d3fa8", "#2a73b8", "#1b9aa0", "#3fa45a", "#a3a11c", "#d98a12"],
  dark: ["#7d6bff", "#4f8dff", "#2fb1e6", "#2fcfb0", "#74dc7a", "#c9dc4e", "#ffd54a"],
};

/** Returns the colour of a share from 0 to 1 on the sequential scale. */
export function rampColor(share: number, theme: Theme): string {
  const ramp = RAMPS[theme];
  const at = Math.min(1, Math.max(0, Number.isNaN(share) ? 0 : share)) * (ramp.length - 1);
  const from = Math.min(ramp.length - 2, Math.floor(at));
  const channel = (color: string, i: number) => parseInt(color.slice(1 + 2 * i, 3 + 2 * i), 16);
  const mixed = [0, 1, 2].map((i) => {
    const [a, b] = [channel(ramp[from] as string, i), channel(ramp[from + 1] as string, i)];
    return Math.round(a + (b - a) * (at - from)).toString(16).padStart(2, "0");
  });
  return `#${mixed.join("")}`;
}

/** The colours of the values of a field: numbers on the sequential scale, other values each with a colour of its own. */
export interface ValueColors {
  /** The range of the scale; null if the values are not all numbers. */
  range: [number, number] | null;
  /** The distinct values that are not on the scale. */
  names: string[];
  styleOf: (value: number | string | null) => LineStyle;
}

const NO_VALUE: Record<Theme, string> = { light: "#9aa0ab", dark: "#767d8a" };

export function valueColors(values: (number | string | null)[], theme: Theme): ValueColors {
  const present = values.filter((value) => value !== null);
  const numbers = present.filter((value) => typeof value === "number" && Number.isFinite(value)) as number[];
  const none: LineStyle = { color: NO_VALUE[theme], dash: [] };
  if (numbers.length > 0 && numbers.length === present.length && new Set(numbers).size > 1) {
    const [low, high] = numbers.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
    // Learning rates and sizes often have several magnitudes.
    const log = low > 0 && high / low >= 100;
    const place = (n: number) => (log ? Math.log(n / low) / Math.log(high / low) : (n - low) / (high - low));
    return {
      range: [low, high],
      names: [],
      styleOf: (value) => (typeof value === "number" ? { color: rampColor(place(value), theme), dash: [] } : none),
    };
  }
  return {
    range: null,
    names: [...new Set(present.map(String))],
    styleOf: (value) => (value === null ? none : styleOf(String(value), theme)),
  };
}

/** Returns the colour with an alpha channel, for bands and unsmoothed lines. */
export function withAlpha(color: string, alpha: number): string {
  const byte = Math.round(Math.min(1, Math.max(0, alpha)) * 255);
  return `${color}${byte.toString(16).padStart(2, "0")}`;
}
