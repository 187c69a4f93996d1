// Tests of the binary chart answer. The answers are built by hand from docs/rest-api.md.
import { describe, expect, it } from "vitest";
import { ChartFormatError, decodeChart } from "./chart-data";

function encode(header: object, columns: number[][]): ArrayBuffer {
  const values = columns.flat();
  let text = JSON.stringify({ size: values.length * 8, ...header });
  while ((4 + new TextEncoder().encode(text).length) % 8 !== 0) text += " ";
  const bytes = new TextEncoder().encode(text);
  const buffer = new ArrayBuffer(4 + bytes.length + values.length * 8);
  const view = new DataView(buffer);
  view.setUint32(0, bytes.length, true);
  new Uint8Array(buffer).set(bytes, 4);
  for (const [i, value] of values.entries()) view.setFloat64(4 + bytes.length + i * 8, value, true);
  return buffer;
}

const POINTS = { key: "bücher/loss", kind: "points", length: 3, offsets: { x: 0, y: 24 } };
const OFFSETS = { x: 48, last: 64, min: 80, max: 96, count: 112 };
const BUCKETS = { key: "b", kind: "buckets", length: 2, offsets: OFFSETS };

describe("decodeChart", () => {
  it("reads points, buckets and empty series in order", () => {
    const empty = { key: "none", kind: "points", length: 0, offsets: { x: 48, y: 48 } };
    const buffer = encode({ x: "_step", series: [POINTS, empty, BUCKETS] }, [
      [0, 1, 2],
      [0.5, NaN, -Infinity],
      [10, 20],
      [1, 2],
      [0, 1],
      [3, 4],
      [100, 7],
    ]);
    const [points, none, buckets] = decodeChart(buffer);
    expect(points).toMatchObject({ key: "bücher/loss", run: "", axis: "_step", y: new Float64Array([0.5, NaN, -Infinity]) });
    expect(none).toMatchObject({ key: "none", x: new Float64Array(0) });
    expect(buckets).toMatchObject({ max: new Float64Array([3, 4]), count: new Float64Array([100, 7]) });
    expect(buckets).toMatchObject({ minStep: new Float64Array(0), nonfinite: new Float64Array(0) });
  });

  it("reads the steps of the extremes of buckets", () => {
    const offsets = { x: 0, last: 8, min: 16, max: 24, count: 32, min_step: 40, max_step: 48 };
    const series = [{ key: "b", kind: "buckets", length: 1, offsets }];
    const chart = decodeChart(encode({ x: "_step", series }, [[9], [1], [0], [5], [4], [7], [8]]));
    expect(chart[0]).toMatchObject({ minStep: new Float64Array([7]), maxStep: new Float64Array([8]) });
  });

  it("reads blocks of many runs, each line with its axis", () => {
    const block = (run: string, x: string, values: number[][]) =>
      encode({ x: null, series: [{ ...POINTS, run, x, length: 1, offsets: { x: 0, y: 8 } }] }, values);
    const blocks = [block("a", "_step", [[1], [2]]), block("b", "epoch", [[3], [4]])].map((each) => new Uint8Array(each));
    const joined = new Uint8Array(blocks.reduce((size, each) => size + each.length, 0));
    joined.set(blocks[0] as Uint8Array);
    joined.set(blocks[1] as Uint8Array, blocks[0]?.length);
    const [first, second] = decodeChart(joined.buffer);
    expect(first).toMatchObject({ run: "a", axis: "_step", y: new Float64Array([2]) });
    expect(second).toMatchObject({ run: "b", axis: "epoch", x: new Float64Array([3]) });
  });

  it("reads columns at positions, which series can share", () => {
    const series = [
      { ...POINTS, length: 2, offsets: { x: 0, y: 16 } },
      { ...POINTS, key: "other", length: 2, offsets: { x: 0, y: 32 } },
    ];
    const [first, second] = decodeChart(encode({ x: "_step", series }, [[1, 2], [3, 4], [5, 6]]));
    expect(first).toMatchObject({ x: new Float64Array([1, 2]), y: new Float64Array([3, 4]) });
    expect(second).toMatchObject({ key: "other", y: new Float64Array([5, 6]) });
    expect(second?.x).toBe(first?.x);
  });

  it("ignores unknown columns", () => {
    const series = [{ ...POINTS, length: 1, offsets: { x: 0, mean: 8, y: 16 } }];
    const chart = decodeChart(encode({ x: "_step", series }, [[1], [2], [3]]));
    expect(chart[0]).toMatchObject({ y: new Float64Array([3]) });
  });

  it.each([
    ["nothing", new ArrayBuffer(2)],
    ["a header beyond the end", new Uint8Array([255, 0, 0, 0, 1, 2, 3, 4]).buffer],
    ["a column cut short", encode({ x: "_step", series: [POINTS] }, [[0, 1, 2], [1]])],
    ["an unknown kind", encode({ x: "_step", series: [{ ...POINTS, kind: "heat" }] }, [[0, 1, 2], [1, 2, 3]])],
    ["a missing column", encode({ x: "_step", series: [{ ...POINTS, offsets: { x: 0 } }] }, [[0, 1, 2]])],
    ["a header that is not JSON", new Uint8Array([4, 0, 0, 0, 1, 2, 3, 4]).buffer],
  ])("refuses %s", (_name, buffer) => {
    expect(() => decodeChart(buffer)).toThrow(ChartFormatError);
  });
});
