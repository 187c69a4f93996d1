// Components take colours, spaces, sizes of text and radii from the tokens of app.css.
import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";

const SOURCES = new URL("../", import.meta.url);
const LITERAL_COLOR = /#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch)a?\(|:\s*(?:white|black|red|green|blue|gr[ae]y)\b/i;
const SPACED = /(?:^|[\s;{])(?:padding|margin|gap|row-gap|column-gap|font|font-size|border-radius)(?:-[a-z-]+)?:[^;]*?(\d+(?:\.\d+)?)px/g;
const HAIRLINE = 3; // pixels that no token has
// Colours of data, and colours of a terminal.
const ALLOWED = ["charts/HeatMap.svelte", "views/run/LogLine.svelte"];

const components = readdirSync(SOURCES, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".svelte"))
  .map((path) => path.replaceAll("\\", "/"));
const styleOf = (path: string) => readFileSync(new URL(path, SOURCES), "utf8").match(/<style>([^]*)<\/style>/)?.[1] ?? "";

test.each(components)("%s has no colour, space or size of its own", (path) => {
  const css = styleOf(path).replace(/\/\*[^]*?\*\/|calc\([^;]*/g, "");
  if (!ALLOWED.includes(path)) expect(css).not.toMatch(LITERAL_COLOR);
  expect([...css.matchAll(SPACED)].filter(([, size]) => Number(size) > HAIRLINE).map(([found]) => found.trim())).toEqual([]);
});

test("tokens that a component uses exist", () => {
  const css = readFileSync(new URL("app.css", SOURCES), "utf8");
  const defined = new Set([...css.matchAll(/(--[a-z0-9-]+):/g)].map(([, name]) => name));
  const sources = components.map((path) => readFileSync(new URL(path, SOURCES), "utf8")).join("\n");
  const own = new Set([...sources.matchAll(/(--[a-z0-9-]+)[:=]/g)].map(([, name]) => name));
  const used = new Set([...sources.matchAll(/var\((--[a-z0-9-]+)/g)].map(([, name]) => name));
  expect([...used].filter((name) => !defined.has(name) && !own.has(name))).toEqual([]);
});
