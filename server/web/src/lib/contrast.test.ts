// The colours of app.css and of lines: readable on every surface, and apart for colour-blind people.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { lineStyle, RUN_COLORS, type Theme } from "./colors";

type Rgb = [number, number, number];

const css = readFileSync(new URL("../app.css", import.meta.url), "utf8");
const SELECTORS: Record<Theme, string> = { light: ":root", dark: ':root[data-theme="dark"]' };
const THEMES: Theme[] = ["light", "dark"];

function tokens(theme: Theme): Map<string, string> {
  const read = (selector: string) => {
    const start = css.indexOf(`\n${selector} {`);
    const block = css.slice(start, css.indexOf("}", start));
    return [...block.matchAll(/--([a-z-]+):\s*([^;]+);/g)].map((found) => [found[1], found[2]] as [string, string]);
  };
  return new Map([...read(SELECTORS.light), ...read(SELECTORS[theme])]);
}

const rgb = (hex: string): Rgb => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255) as Rgb;
const linear = (color: Rgb): Rgb => color.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)) as Rgb;
const mix = (color: Rgb, share: number, under: Rgb): Rgb =>
  color.map((v, at) => v * share + (under[at] as number) * (1 - share)) as Rgb;
const times = (matrix: number[][], v: Rgb): Rgb =>
  matrix.map((row) => row.reduce((sum, factor, at) => sum + factor * (v[at] as number), 0)) as Rgb;

/** The contrast ratio of WCAG 2. */
function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [a, b]
    .map((color) => linear(color).reduce((sum, v, at) => sum + v * ([0.2126, 0.7152, 0.0722][at] as number), 0))
    .sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

// Machado, Oliveira and Fernandes 2009: complete loss of one kind of cone, for linear RGB.
const VISION: Record<string, number[][]> = {
  full: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
};

/** OKLab coordinates times 100, so that a just visible difference is about 2. */
function lab(color: Rgb, vision: string): Rgb {
  const seen = times(VISION[vision] as number[][], linear(color)).map((v) => Math.min(1, Math.max(0, v))) as Rgb;
  const cones = times(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]],
    seen,
  ).map(Math.cbrt) as Rgb;
  return times(
    [[21.04542553, 79.3617785, -0.40720468], [197.79984951, -242.8592205, 45.05937099], [2.59040371, 78.27717662, -80.8675766]],
    cones,
  );
}

const TEXTS = ["text", "muted", "accent", "good", "bad", "warn", "info"];
const SURFACES = ["ground", "panel", "raised", "hover", "selected"];
const TONES = ["good", "bad", "warn", "info"];

for (const theme of THEMES) {
  const all = tokens(theme);
  const color = (name: string) => rgb(all.get(name) as string);

  test.each(TEXTS)(`${theme}: %s is readable on every surface`, (name) => {
    for (const surface of SURFACES) expect(contrast(color(name), color(surface)), surface).toBeGreaterThanOrEqual(4.5);
  });

  test.each(TONES)(`${theme}: a badge in %s is readable`, (name) => {
    const share = parseFloat(all.get("tint") as string) / 100;
    expect(contrast(color(name), mix(color(name), share, color("panel")))).toBeGreaterThanOrEqual(4.5);
  });

  test(`${theme}: text on the accent is readable`, () => {
    expect(contrast(color("accent-text"), color("accent"))).toBeGreaterThanOrEqual(4.5);
  });

  test(`${theme}: the outline of the focus and the borders of controls are visible`, () => {
    for (const surface of SURFACES) expect(contrast(color("accent"), color(surface)), surface).toBeGreaterThanOrEqual(3);
  });

  test.each(Object.keys(VISION))(`${theme}: the first eight line colours are apart with %s vision`, (vision) => {
    const seen = Array.from({ length: 8 }, (_, slot) => lab(rgb(lineStyle(slot, theme).color), vision));
    const apart = seen.flatMap((a, at) => seen.slice(at + 1).map((b) => Math.hypot(...a.map((v, k) => v - (b[k] as number)))));
    expect(Math.min(...apart)).toBeGreaterThanOrEqual(11);
  });

  test.each(Object.entries({ full: 6.4, protanopia: 4.6, deuteranopia: 4.6 }))(
    `${theme}: the colours of runs are apart with %s vision`,
    (vision, least) => {
      const seen = RUN_COLORS[theme].map((each) => lab(rgb(each), vision));
      const apart = seen.flatMap((a, at) => seen.slice(at + 1).map((b) => Math.hypot(...a.map((v, k) => v - (b[k] as number)))));
      expect(apart.length).toBe((42 * 41) / 2);
      expect(Math.min(...apart)).toBeGreaterThanOrEqual(least);
    },
  );

  test.each(RUN_COLORS[theme])(`${theme}: the run colour %s is visible on a panel`, (each) => {
    expect(contrast(rgb(each), color("panel"))).toBeGreaterThanOrEqual(3);
  });

  test(`${theme}: line colours are visible on a panel`, () => {
    for (let slot = 0; slot < 8; slot += 1) {
      expect(contrast(rgb(lineStyle(slot, theme).color), color("panel")), String(slot)).toBeGreaterThanOrEqual(2.5);
    }
  });
}
