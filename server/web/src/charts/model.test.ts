// Tests of a chart's ranges, of the paths of its lines, of the lines near the pointer, and of exports.
import { describe, expect, it } from "vitest";
import type { Line } from "../lib/lines";
import { dotIndices, trace, type Area } from "./draw";
import { csvOf } from "./export";
import { buildModel, viewOf, xRange, yRange, zoomOf, type ChartView, type NamedLine } from "./model";
import { nearestLines } from "./near";
import { movedRange } from "./plot";
import { svgOf } from "./svg";
import { projectRoute } from "../lib/route";

const view: ChartView = { axis: "_step", zoom: null };
const style = { color: "#000000", dash: [] };
const column = (...values: number[]) => Float64Array.from(values);
const area: Area = { left: 0, top: 0, width: 100, height: 100, ratio: 1 };

function named(y: number[], change: Partial<NamedLine> & { x?: number[]; more?: Partial<Line> } = {}): NamedLine {
  const { x = y.map((_, i) => i), more, ...rest } = change;
  const line: Line = { x: column(...x), y: column(...y), band: null, buckets: null, marks: [], last: y.at(-1) ?? null, ...more };
  return { id: "a", name: "a", style, line, ...rest };
}

describe("ranges", () => {
  it("exist for every input", () => {
    expect(xRange([7, 7], null, "_step")).toEqual([6.5, 7.5]);
    expect(xRange(null, null, "_step")).toEqual([0, 1]);
    expect(xRange([0, 9], [2, 3], "_step")).toEqual([2, 3]);
    expect(xRange([0, 9], null, "_step", [null, 20])).toEqual([0, 20]);
    expect(yRange([named([1, 2, 3])], [1, 1], view)).toEqual([1.8, 2.2]);
    expect(yRange([], [0, 1], { ...view, logY: true })).toEqual([0.5, 2]);
    expect(yRange([named([0])], [0, 1], view)).toEqual([-1, 1]);
    expect(yRange([named([-Number.MAX_VALUE, Number.MAX_VALUE])], [0, 1], view).every(Number.isFinite)).toBe(true);
    expect(yRange([named([1, 9])], [0, 1], { ...view, yRange: [0, null] })[0]).toBe(0);
  });

  it("of logarithmic axes begin above 0", () => {
    const model = buildModel([named([-5, 0, 1, 100])], { ...view, logX: true, logY: true }, "_step");
    expect(model.x).toEqual([1, 3]);
    expect(model.y[0]).toBeGreaterThan(0);
  });

  it("leave out outliers if asked for", () => {
    const values = Array.from({ length: 200 }, (_, i) => (i === 50 ? 1e9 : Math.sin(i)));
    expect(yRange([named(values)], [0, 199], view)[1]).toBeGreaterThan(1e9);
    expect(yRange([named(values)], [0, 199], { ...view, clip: true })[1]).toBeLessThan(1.3);
  });

  it("use a zoom only on the axis that it was made on", () => {
    const route = { ...projectRoute("e", "p"), zoom: [1, 2] as [number, number] };
    expect(zoomOf(viewOf(route), "_step")).toEqual([1, 2]);
    expect(zoomOf(viewOf(route), "epoch")).toBeNull();
    expect(zoomOf(viewOf({ ...route, zoomAxis: "epoch" }), "epoch")).toEqual([1, 2]);
  });

  it("move and scale, also on a logarithmic axis", () => {
    expect(movedRange([0, 10], false, 0.5, 1, 0)).toEqual([5, 15]);
    expect(movedRange([0, 10], false, 0, 0.5, 1)).toEqual([5, 10]);
    expect(movedRange([1, 100], true, 0.5, 1, 0).map(Math.round)).toEqual([10, 1000]);
  });
});

describe("paths", () => {
  function pathOf(each: NamedLine, change: Partial<ChartView> = {}): string[] {
    const parts: string[] = [];
    const show = (letter: string) => (x: number, y: number) => parts.push(`${letter}${Math.round(x)},${Math.round(y)}`);
    const model = { ...buildModel([each], { ...view, ...change }, "_step"), y: [1, 101] as [number, number] };
    trace({ moveTo: show("M"), lineTo: show("L") }, each.line.x, each.line.y, model, area);
    return parts;
  }

  it("are interrupted by values without a height", () => {
    expect(pathOf(named([1, 101, NaN, 51, 51]))).toEqual(["M0,100", "L25,0", "M75,50", "L100,50"]);
    expect(pathOf(named([1, 0, 101]), { logY: true })).toEqual(["M0,100", "M100,0"]);
  });

  it("have few points in each pixel column, and keep the extremes", () => {
    const values = Array.from({ length: 10_000 }, (_, i) => (i === 5000 ? 101 : i === 5001 ? 1 : 51));
    const parts = pathOf(named(values));
    expect(parts.length).toBeLessThan(500);
    expect(parts).toContain("L50,0");
    expect(parts).toContain("L50,100");
  });

  it("show a dot for an isolated value", () => {
    const ys = new Float64Array(50).fill(1);
    ys[10] = ys[12] = NaN;
    expect(dotIndices(ys)).toEqual([11]);
    expect(dotIndices(column(5, NaN))).toEqual([0]);
  });
});

describe("the lines near the pointer", () => {
  const lines = [0, 40, 60, 100].map((height, i) => named([height, height], { id: String(i), x: [0, 10] }));

  it("are ordered by their distance to it", () => {
    const model = { ...buildModel(lines, view, "_step"), y: [0, 100] as [number, number] };
    const near = nearestLines(model, area, { x: 0, left: 0, top: 45 });
    expect(near.map((each) => each.index)).toEqual([2, 1, 3, 0]);
    expect(near[0]).toMatchObject({ value: 60, smoothed: null, distance: 5 });
  });

  it("have both values with smoothing, and are never ghosts", () => {
    const some = [named([1, 9], { smoothed: column(2, 8) }), named([1, 9], { ghost: true })];
    const near = nearestLines(buildModel(some, view, "_step"), area, { x: 1, left: 100, top: 0 });
    expect(near).toHaveLength(1);
    expect(near[0]).toMatchObject({ value: 9, smoothed: 8, drawn: 8 });
  });

  it("report values without a height last", () => {
    const some = [named([NaN, 1], { more: { marks: [{ x: 0, value: Infinity }] } }), named([5, 1])];
    const near = nearestLines(buildModel(some, view, "_step"), area, { x: 0, left: 0, top: 50 });
    expect(near.map((each) => [each.value, each.drawn])).toEqual([
      [5, 5],
      [Infinity, null],
    ]);
  });
});

describe("exports", () => {
  it("write logged names as text only", () => {
    const model = buildModel([named([1, NaN, 3], { name: '<script>"&\u0001', more: { marks: [{ x: 1, value: NaN }] } })], view, "_step");
    const { text } = svgOf(model, "<title>", "light");
    expect(text).toContain("&lt;script&gt;&quot;&amp;<");
    expect(text).toContain("&lt;title&gt;");
    expect(text).not.toContain("NaN");
  });

  it("have the visible points with all their digits", () => {
    const each = named([0.1, NaN, 3], { name: "=a,b", smoothed: column(0.2, NaN, 2), more: { marks: [{ x: 1, value: Infinity }] } });
    const model = buildModel([each], { ...view, zoom: [0, 1] }, "_step");
    expect(csvOf(model).split("\r\n")).toEqual(["run,_step,value,smoothed", `"'=a,b",0,0.1,0.2`, `"'=a,b",1,Infinity,`, ""]);
  });
});
