// Tests of logged media, and of charts that scripts logged.
import { describe, expect, it } from "vitest";
import { boxesOf, pointsOf, mediaItemsOf } from "./media";
import { customCharts, figureOf, numbers, plotOf } from "./plots";

const file = (type: string, path: string) => ({ _type: type, path, url: `/api/${path}`, size: 3 });

describe("media", () => {
  it("finds the kind from wandb's types and the file endings", () => {
    const kinds = [
      file("image-file", "a.png"),
      file("image-file", "a.tiff"),
      file("audio-file", "a.wav"),
      file("video-file", "a.mp4"),
      file("html-file", "a.html"),
      file("object3D-file", "a.pts.json"),
      file("object3D-file", "a.obj"),
      file("molecule-file", "a.pdb"),
      file("plotly-file", "a.plotly.json"),
    ].map((value) => mediaItemsOf(value)[0]?.kind);
    expect(kinds).toEqual(["image", "file", "audio", "video", "html", "cloud", "file", "file", "plotly"]);
    expect(mediaItemsOf(file("table-file", "t.table.json"))).toEqual([]);
    expect([1, "x", null, undefined, { a: 1 }].flatMap((value) => mediaItemsOf(value))).toEqual([]);
  });

  it("splits lists of media, with captions and layers", () => {
    const images = mediaItemsOf({
      _type: "images/separated",
      filenames: ["m/a.png", "m/b.png"],
      urls: ["/api/a", "/api/b"],
      captions: ["one", null],
      all_masks: [{ p: file("mask", "p.png") }, null],
      width: 4,
      height: 2,
    });
    expect(images.map(({ name, caption, masks }) => [name, caption, masks.length])).toEqual([
      ["a.png", "one", 1],
      ["b.png", null, 0],
    ]);
    const sounds = mediaItemsOf({ _type: "audio", audio: [file("audio-file", "a.wav")], captions: ["tone"] });
    expect(sounds[0]?.caption).toBe("tone");
    expect(mediaItemsOf([file("html-file", "a.html"), file("audio-file", "a.wav")])).toHaveLength(2);
  });

  it("reads boxes as fractions and in pixels, and points with and without colours", () => {
    const boxes = boxesOf(
      {
        class_labels: { "1": "car" },
        box_data: [
          { position: { minX: 0.1, maxX: 0.3, minY: 0, maxY: 0.5 }, class_id: 1 },
          { position: { middle: [50, 20], width: 20, height: 10 }, domain: "pixel", box_caption: "own" },
          { position: {} },
          "no box",
        ],
      },
      100,
      50,
    );
    expect(boxes.map((box) => box.label)).toEqual(["car", "own"]);
    expect(boxes[0]?.width).toBeCloseTo(0.2);
    expect([boxes[1]?.left, boxes[1]?.top, boxes[1]?.height]).toEqual([0.4, 0.3, 0.2]);
    expect(pointsOf([[1, 2, 3], [1, 2, 3, 255, 0, 16], ["x", 1, 2], [1]])).toEqual([
      { x: 1, y: 2, z: 3, color: null },
      { x: 1, y: 2, z: 3, color: "#ff0010" },
    ]);
    expect(pointsOf({ type: "lidar/beta", points: [[1, 2, 3, 4]] })).toHaveLength(1);
  });
});

const panel = (spec: string, fields: Record<string, string | null>, tableKey: string) => ({
  panel_config: {
    panelDefId: spec,
    fieldSettings: fields,
    stringSettings: { title: "T" },
    userQuery: { queryFields: [{ fields: [{ args: [{ name: "tableKey", value: tableKey }] }] }] },
  },
});

describe("charts of scripts", () => {
  const charts = customCharts({
    _wandb: { visualize: { b: panel("wandb/bar/v0", { label: "l", value: "v" }, "b_table"), a: panel("me/own", {}, 'q"_table') } },
  });
  it("are found in the config with their tables", () => {
    expect(charts.map((chart) => [chart.key, chart.tableKey])).toEqual([["a", 'q"_table'], ["b", "b_table"]]);
    expect(customCharts({})).toEqual([]);
  });

  it("are drawn by kind, if the kind and the columns are known", () => {
    const [own, bar] = charts as [(typeof charts)[0], (typeof charts)[0]];
    expect(plotOf(own, ["x"], [])).toBeNull();
    expect(plotOf(bar, ["l", "other"], [])).toBeNull();
    const plot = plotOf(bar, ["l", "v"], [["x", 1], ["y", 2]]);
    expect([plot?.kind, plot?.names, plot?.series[0]?.y, plot?.title]).toEqual(["bars", ["x", "y"], [1, 2], "T"]);
    const line = { ...bar, spec: "wandb/line/v0", fields: { x: "x", y: "y", stroke: "g" } };
    const lines = plotOf(line, ["x", "y", "g"], [[2, 20, "a"], [1, 10, "a"], [5, 1, "b"]]);
    expect(lines?.series).toEqual([
      { name: "a", x: [1, 2], y: [10, 20] },
      { name: "b", x: [5], y: [1] },
    ]);
    const matrix = { ...bar, spec: "wandb/confusion_matrix/v1", fields: { Actual: "A", Predicted: "P", nPredictions: "n" } };
    const cells = plotOf(matrix, ["A", "P", "n"], [["x", "x", 3], ["x", "y", 1], ["y", "x", 0], ["y", "y", 4]]);
    expect(cells?.cells).toEqual([[3, 1], [0, 4]]);
    const histogram = { ...bar, spec: "wandb/histogram/v0", fields: { value: "v" } };
    expect(plotOf(histogram, ["v"], [[1], [2], [2], [3]])?.series[0]?.y).toEqual([1, 3]);
  });

  it("of scikit-learn models are drawn from wandb's columns", () => {
    const viz = { proportions: { id: "wandb/class_proportions/v1" }, own: { id: "me/own" }, confusion: { id: "wandb/confusion_matrix/v1" } };
    const [confusion, proportions, ...others] = customCharts({ _wandb: { viz } });
    expect(others).toEqual([]);
    expect([confusion?.key, proportions?.tableKey]).toEqual(["confusion", "proportions"]);
    const rows = [["cat", "train", 3], ["cat", "test", 1], ["dog", "train", 5], ["dog", "test", 2]];
    const bars = plotOf(proportions as (typeof charts)[0], ["class", "dataset", "count"], rows);
    expect([bars?.kind, bars?.names]).toEqual(["bars", ["cat", "dog"]]);
    expect(bars?.series).toEqual([
      { name: "train", x: [0, 1], y: [3, 5] },
      { name: "test", x: [0, 1], y: [1, 2] },
    ]);
    const cells = plotOf(confusion as (typeof charts)[0], ["Predicted", "Actual", "Count"], [["x", "x", 3], ["y", "x", 1], ["x", "y", 0], ["y", "y", 4]]);
    expect(cells?.cells).toEqual([[3, 1], [0, 4]]);
    expect(plotOf(proportions as (typeof charts)[0], ["class"], [])).toBeNull();
  });

  it("of plotly are drawn if they contain lines, points or bars", () => {
    const typed = { dtype: "f8", bdata: btoa(String.fromCharCode(...new Uint8Array(new Float64Array([1.5, 2]).buffer))) };
    expect(numbers(typed)).toEqual([1.5, 2]);
    const figure = figureOf({ data: [{ type: "scatter", mode: "lines", y: typed, name: "n" }], layout: { title: { text: "F" } } });
    expect([figure?.kind, figure?.title, figure?.series[0]?.x]).toEqual(["lines", "F", [0, 1]]);
    expect(figureOf({ data: [{ type: "bar", x: ["a", "b"], y: [1, 2] }] })?.names).toEqual(["a", "b"]);
    expect(figureOf({ data: [{ type: "surface" }] })).toBeNull();
    expect(figureOf("no figure")).toBeNull();
  });
});
