// Line colours that colour-blind people can distinguish. When the colours repeat, the dash pattern changes.

export interface LineStyle {
  color: string;
  dash: number[];
}

export type Theme = "light" | "dark";

// Eight hues after the set of Okabe and Ito, made darker or lighter for each background.
const COLORS: Record<Theme, string[]> = {
  light: ["#0072b2", "#d55e00", "#00875f", "#b5449c", "#b07c00", "#3f9fd8", "#7a2048", "#6b7280"],
  dark: ["#56a8e8", "#f5833b", "#2cc295", "#e58bc8", "#e6b325", "#9bdcfb", "#d0648f", "#a3aab8"],
};

const DASHES: number[][] = [[], [6, 4], [2, 3], [10, 4, 2, 4]];

export const SLOTS = (COLORS.light.length * DASHES.length) as 32;

export function lineStyle(slot: number, theme: Theme): LineStyle {
  const colors = COLORS[theme];
  const at = ((slot % SLOTS) + SLOTS) % SLOTS;
  return {
    color: colors[at % colors.length] as string,
    dash: DASHES[Math.floor(at / colors.length)] as number[],
  };
}

/**
 * Keeps the slots of remaining ids, and gives new ids the lowest free slots, so that colours do not
 * change.
 */
export function assignSlots(previous: ReadonlyMap<string, number>, ids: string[]): Map<string, number> {
  const next = new Map<string, number>();
  const taken = new Set<number>();
  for (const id of ids) {
    const slot = previous.get(id);
    if (slot !== undefined && !taken.has(slot)) {
      next.set(id, slot);
      taken.add(slot);
    }
  }
  let free = 0;
  for (const id of ids) {
    if (next.has(id)) continue;
    while (taken.has(free)) free += 1;
    next.set(id, free);
    taken.add(free);
  }
  return new Map(ids.map((id) => [id, next.get(id) as number]));
}

/** Returns the colour with an alpha channel, for bands and unsmoothed lines. */
export function withAlpha(color: string, alpha: number): string {
  const byte = Math.round(Math.min(1, Math.max(0, alpha)) * 255);
  return `${color}${byte.toString(16).padStart(2, "0")}`;
}
