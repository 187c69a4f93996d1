// @vitest-environment happy-dom
// Tests of the legend and of the values at the crosshair.
import { expect, it } from "vitest";
import { styleOf } from "../lib/colors";
import { projectRoute } from "../lib/route";
import { go, nav } from "../state/nav.svelte";
import { all, click, only, show, texts } from "../testing";
import Legend from "./Legend.svelte";
import type { NearLine } from "./near";
import Readout from "./Readout.svelte";

const run = (at: number) => ({ id: `r${at}`, name: `a-long-name-of-a-sweep-seed-${at}`, style: styleOf(`r${at}`, "light") });
const runs = (count: number) => Array.from({ length: count }, (_, at) => run(at));
const shown = () => (nav.route.page === "project" ? { shown: nav.route.shown, hidden: nav.route.hidden } : null);

it("hides runs, shows one alone, and shows the hidden ones again", async () => {
  go(projectRoute("team", "vision"));
  show(Legend, { runs: runs(4), width: 600 });
  expect(texts("button.name")).toEqual(["…0", "…1", "…2", "…3"]);
  click(await only('[aria-label="Hide a-long-name-of-a-sweep-seed-1"]'));
  click(await only('[aria-label="Hide a-long-name-of-a-sweep-seed-2"]'));
  expect(shown()).toEqual({ shown: null, hidden: ["r1", "r2"] });
  expect(texts("button.link")).toEqual(["Show 2 hidden"]);
  click((await only("button.link")) as HTMLElement);
  expect(shown()?.hidden).toEqual([]);
  click(await only('[aria-label="Hide a-long-name-of-a-sweep-seed-3"]'), { altKey: true });
  expect(shown()).toEqual({ shown: ["r3"], hidden: [] });
});

it("shows two rows of many runs until all are asked for", async () => {
  go(projectRoute("team", "vision"));
  show(Legend, { runs: runs(30), width: 480 });
  expect(all("button.name")).toHaveLength(7);
  const more = await only("button[aria-expanded=false].link");
  expect(more.textContent).toBe("and 23 more");
  click(more);
  expect(all("button.name")).toHaveLength(30);
  click(more);
  expect(all("button.name")).toHaveLength(7);
});

function readout(near: Partial<NearLine>[], count: number): void {
  const lines = runs(count).map((each) => ({ ...each, line: {} as never }));
  const usual = { x: 5, value: 1, smoothed: null, drawn: 1, bucket: null, distance: 0 };
  const props = { lines, axis: "_step", left: 100, before: 0, after: 0, width: 400 };
  show(Readout, { near: near.map((each, index) => ({ ...usual, index, ...each })), ...props });
}

it("lists the nearest lines first, with the smoothed and the logged value", () => {
  readout([{ index: 3, value: 2, smoothed: 1.5 }, { index: 0, value: 7, smoothed: 6.5 }], 4);
  expect(texts("[data-testid=reading] .name")).toEqual(["…3", "…0"]);
  expect(texts("[data-testid=reading] .value")).toEqual(["1.5", "6.5"]);
  expect(texts("[data-testid=reading] .raw")).toEqual(["(2)", "(7)"]);
  expect(all("[data-testid=reading].nearest")).toHaveLength(1);
  expect(all("[data-testid=reading]")[0]?.classList.contains("nearest")).toBe(true);
});

it("lists twelve lines at most and counts the others; the box is right of the crosshair", () => {
  readout(runs(20).map(() => ({})), 20);
  expect(all("[data-testid=reading]")).toHaveLength(12);
  expect(texts(".at").at(-1)).toBe("and 8 more");
  const box = all("[data-testid=readout]")[0] as HTMLElement;
  expect(Number.parseFloat(box.style.left)).toBeGreaterThan(100);
});

it("explains the bucket of few lines, with its NaN values", () => {
  const bucket = { count: 40, nonfinite: 3, mean: 0.5, low: 0.1, high: 0.9, lowStep: 17, highStep: 12 };
  readout([{ bucket }], 1);
  expect(texts("[data-testid=bucket] dt")).toEqual(["max", "mean", "last", "min"]);
  expect(texts("[data-testid=bucket] .step")).toEqual(["at step 12", "at step 17"]);
  expect(texts(".odd")).toEqual(["3 NaN or infinite"]);
});
