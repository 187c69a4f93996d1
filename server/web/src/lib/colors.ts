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

// Between any two of the 42 colours is a distance of at least 4.6 in OKLab times 100 with protanopia and deuteranopia, and
// of 6.4 with full vision; each has a contrast of 3 with the panel (contrast.test.ts, decision 104). A place in both lists
// has a similar hue. Solid: dashes cost time when there are hundreds of lines, and hide noise.
export const RUN_COLORS: Record<Theme, string[]> = {
  light: [
    ...["#0900b4", "#f36c00", "#631b00", "#3690f3", "#00636c", "#a23f09", "#2d2d5a"],
    ...["#6336e1", "#d875a2", "#12ab5a", "#bd0075", "#096cab", "#2d48a2", "#757ec6"],
    ...["#872448", "#630936", "#a26363", "#d83f12", "#3f0990", "#753600", "#24a2a2"],
    ...["#1263fc", "#fc5a7e", "#752d87", "#cf63fc", "#6399c6", "#7e5187", "#875ac6"],
    ...["#7e7509", "#b45a87", "#1b2dc6", "#3f7ea2", "#879924", "#09512d", "#5151bd"],
    ...["#5a0975", "#5a3663", "#a27548", "#b42d51", "#5a9975", "#a2092d", "#3675e1"],
  ],
  dark: [
    ...["#0999d8", "#fc9000", "#ab6c00", "#09f3fc", "#63abb4", "#ab4800", "#007551"],
    ...["#996cfc", "#ea7eab", "#6cbd00", "#cf5a90", "#006ca2", "#3687a2", "#a2b4fc"],
    ...["#cf7e87", "#a29009", "#e19990", "#ead86c", "#515acf", "#c6905a", "#00fccf"],
    ...["#095af3", "#f3bd87", "#994890", "#b41bb4", "#5acfbd", "#cf99d8", "#f363ea"],
    ...["#bdcf00", "#fcabd8", "#63a2fc", "#24e1a2", "#d8ea00", "#5a9063", "#5a75d8"],
    ...["#bd6cbd", "#905a75", "#c6ab63", "#ab4851", "#bdeaa2", "#c66c51", "#63d8fc"],
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
