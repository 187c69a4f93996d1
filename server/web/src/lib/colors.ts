// Line colours that colour-blind people can distinguish. A colour belongs to a run: it follows from the run's id.

export interface LineStyle {
  color: string;
  dash: number[];
}

export type Theme = "light" | "dark";

// Eight hues after the set of Okabe and Ito, made darker or lighter for each background, and eight between them.
const COLORS: Record<Theme, string[]> = {
  light: [
    ...["#0072b2", "#d55e00", "#00875f", "#b5449c", "#b07c00", "#3f9fd8", "#7a2048", "#6b7280"],
    ...["#1b3f8b", "#a3392b", "#4f7a00", "#7b5bd6", "#7d5a3c", "#008c9e", "#e0558a", "#2f3e46"],
  ],
  dark: [
    ...["#56a8e8", "#f5833b", "#2cc295", "#e58bc8", "#e6b325", "#9bdcfb", "#d0648f", "#a3aab8"],
    ...["#8fa8ff", "#ff9d8a", "#a9d34f", "#c3a6ff", "#cfa98a", "#4fd6e0", "#ffb3d1", "#d7e0e6"],
  ],
};

const DASHES: number[][] = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

export const SLOTS = (COLORS.light.length * DASHES.length) as 64;

/** Returns the style of a number; equal numbers modulo `SLOTS` have equal styles. */
export function lineStyle(slot: number, theme: Theme): LineStyle {
  const colors = COLORS[theme];
  const at = ((slot % SLOTS) + SLOTS) % SLOTS;
  return {
    color: colors[at % colors.length] as string,
    dash: DASHES[Math.floor(at / colors.length)] as number[],
  };
}

/** Returns a number below `SLOTS` that depends on a text alone: FNV-1a, whose last step mixes the high bits in. */
export function slotOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) >>> 0) % SLOTS;
}

/** Returns the style of a run, a group or a value: the same on every page, on every day. */
export function styleOf(text: string, theme: Theme): LineStyle {
  return lineStyle(slotOf(text), theme);
}

/** Returns the colour with an alpha channel, for bands and unsmoothed lines. */
export function withAlpha(color: string, alpha: number): string {
  const byte = Math.round(Math.min(1, Math.max(0, alpha)) * 255);
  return `${color}${byte.toString(16).padStart(2, "0")}`;
}
