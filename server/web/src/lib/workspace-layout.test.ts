// Tests of the layout of a workspace: only changes are stored, and each change can be taken back.
import { describe, expect, it } from "vitest";
import { PANEL_DEFAULTS, compilePattern, mergeLooks, metricsOf, readSettings, titleOfPanel, type PanelSettings } from "./panel-settings";
import {
  addPanel,
  arrange,
  changePanel,
  changeSection,
  countRemoved,
  movePanel,
  moveSection,
  readLayout,
  removePanel,
  removeSection,
  restoreAll,
  setSettings,
  shortestOrder,
  type Layout,
} from "./workspace-layout";

const METRICS = ["acc", "loss", "train/a", "train/b", "train/c", "val/a"];
const line: PanelSettings = { ...PANEL_DEFAULTS, type: "line" };
const shape = (layout: Layout, metrics = METRICS) =>
  arrange(layout, metrics).map(({ key, panels }) => `${key}: ${panels.map((panel) => panel.key).join(" ")}`);

describe("a layout", () => {
  it("has a section for each prefix", () => {
    expect(shape({})).toEqual(["Charts: acc loss", "train: train/a train/b train/c", "val: val/a"]);
    expect(arrange({}, METRICS)[1]?.panels[0]).toMatchObject({ columns: 1, height: null, settings: { type: "line", metrics: ["train/a"] } });
  });

  it("moves panels, and stores only the start of the order", () => {
    const moved = movePanel({}, METRICS, "train/c", "train", 0);
    expect(moved).toEqual({ sections: { train: { order: ["train/c"] } } });
    expect(shape(moved)[1]).toBe("train: train/c train/a train/b");
    expect(movePanel(moved, METRICS, "train/c", "train", 2)).toEqual({});
    expect(movePanel({}, METRICS, "unknown", "train", 0)).toEqual({});
    expect(shortestOrder(["a", "b", "c", "d"], ["b", "a", "c", "d"])).toEqual(["b"]);
  });

  it("moves panels to other sections and back", () => {
    const moved = movePanel({}, METRICS, "val/a", "train", 1);
    expect(shape(moved)).toEqual(["Charts: acc loss", "train: train/a val/a train/b train/c"]);
    expect(movePanel(moved, METRICS, "val/a", "Charts", 0).panels).toEqual({ "val/a": { section: "Charts" } });
    // A new metric gets its place by its name.
    expect(shape(moved, [...METRICS, "train/aa", "val/b"]).slice(1)).toEqual([
      "train: train/a val/a train/b train/c train/aa",
      "val: val/b",
    ]);
  });

  it("orders, renames, hides and closes sections", () => {
    const up = moveSection({}, METRICS, "val", -1);
    expect(up).toEqual({ order: ["Charts", "val"] });
    expect(moveSection(up, METRICS, "val", 1)).toEqual({});
    const changed = changeSection(changeSection({}, "val", { title: "Validation", closed: true }), "val", { hidden: true });
    expect(arrange(changed, METRICS)[2]).toMatchObject({ title: "Validation", closed: true, hidden: true });
    expect(changeSection(restoreAll(changed), "val", { title: "val", closed: false })).toEqual({});
  });

  it("adds, changes, resizes and removes panels", () => {
    const added = addPanel({}, "p1", "val", { ...line, type: "scatter", x: "config.lr", y: "summary.loss" });
    expect(added.panels).toEqual({ p1: { own: true, section: "val", settings: { type: "scatter", x: "config.lr", y: "summary.loss" } } });
    expect(shape(added)[2]).toBe("val: val/a p1");
    expect(removePanel(added, "p1")).toEqual({});
    const big = changePanel({}, "loss", { columns: 40, height: 400 });
    expect(big.panels).toEqual({ loss: { columns: 12, height: 400 } });
    expect(changePanel(big, "loss", { columns: 1, height: undefined })).toEqual({});
    const titled = setSettings({}, "loss", { ...line, metrics: ["loss"], title: "Loss" });
    expect(titled.panels).toEqual({ loss: { settings: { title: "Loss" } } });
    expect(setSettings(titled, "loss", { ...line, metrics: ["loss"] })).toEqual({});
    const removed = removePanel({}, "loss");
    expect(shape(removed)[0]).toBe("Charts: acc");
    expect(countRemoved(removed)).toBe(1);
    expect(restoreAll(removed)).toEqual({});
  });

  it("has own sections, whose panels return when the section is removed", () => {
    const own = changeSection({}, "s1", { own: true, title: "Mine" });
    const filled = addPanel(movePanel(own, METRICS, "loss", "s1", 0), "p1", "s1", line);
    expect(shape(filled)[0]).toBe("s1: loss p1");
    expect(removeSection(filled, "s1")).toEqual({});
  });

  it("shows only added panels in manual mode, and by itself with very many metrics", () => {
    const manual = addPanel({ manual: true }, "p1", "Charts", line);
    expect(shape(manual)).toEqual(["Charts: p1"]);
    expect(shape({}, Array.from({ length: 5001 }, (_, at) => `m${at}`))).toEqual([]);
  });

  it("survives any document", () => {
    const layout = addPanel(changeSection({ manual: false, look: { band: "stderr" } }, "val", { look: { logY: true } }), "p1", "val", { ...line, pattern: "^a", height: 300 });
    expect(readLayout(JSON.parse(JSON.stringify(layout)))).toEqual(layout);
    for (const wrong of [null, 3, [], "x", { sections: [], panels: { a: 3 }, order: [1], manual: "no", look: { band: "x" } }]) {
      expect(arrange(readLayout(wrong), METRICS)).toHaveLength(3);
    }
    expect(readSettings({ height: 5, xRange: [1], yRange: [null, 2], type: "pie", fields: ["a"] })).toEqual({ yRange: [null, 2], fields: ["a"] });
  });
});

describe("settings", () => {
  it("combine", () => {
    expect(mergeLooks({ logY: true, axis: "epoch" }, undefined, { logY: false })).toEqual({ logY: false, axis: "epoch" });
  });

  it("select metrics by pattern, and explain a wrong pattern", () => {
    expect(metricsOf({ ...line, metrics: ["acc"], pattern: "/a$" }, METRICS)).toEqual(["acc", "train/a", "val/a"]);
    expect(metricsOf({ ...line, metrics: ["acc"], pattern: "(" }, METRICS)).toEqual(["acc"]);
    expect(compilePattern("LOSS|acc").matches("val/loss")).toBe(true);
    expect(compilePattern("(").error).toMatch(/^Invalid pattern: .+\.$/);
  });

  it("make titles", () => {
    expect(titleOfPanel({ ...line, metrics: ["a"], pattern: "b" })).toBe("a, /b/");
    expect(titleOfPanel({ ...line, type: "scatter", x: "config.lr", y: "summary.loss" })).toBe("loss by lr");
    expect(titleOfPanel({ ...line, type: "markdown", title: "Notes" })).toBe("Notes");
  });
});
