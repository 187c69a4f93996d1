import { describe, expect, it } from "vitest";
import type { Schema } from "./api";
import { edgePath, groupText, nameOfNode, shorten, visibleLineage, type LineageNode } from "./lineage";

const node = (id: string, kind: "run" | "version", distance: number, created_at = 0): LineageNode => ({
  id, kind, distance, created_at, name: id, entity: "e", project: "p", label: null, missing: 0, state: null, type: null,
  version: kind === "run" ? null : "v0",
}); // prettier-ignore

/** A version from which `count` runs were made; the first run made a model, which another run used. */
function fan(count: number): Schema<"LineageGraph"> {
  const runs = Array.from({ length: count }, (_, at) => node(`r${at}`, "run", 1, at));
  return {
    start: "data",
    is_cut: false,
    nodes: [node("data", "version", 0), ...runs, node("model", "version", 2), node("eval", "run", 3)],
    edges: [
      ...runs.map(({ id }) => ({ source: "data", target: id, kind: "used" })),
      { source: "r0", target: "model", kind: "logged" },
      { source: "model", target: "eval", kind: "used" },
    ],
  };
}

describe("lineage", () => {
  it("with few neighbours is whole", () => {
    const graph = fan(20);
    const shown = visibleLineage(graph, new Set());
    expect(shown.nodes).toHaveLength(23);
    expect(shown.edges).toEqual(graph.edges);
  });

  it("with many neighbours keeps those that lead on and the newest, and counts the others", () => {
    const shown = visibleLineage(fan(220), new Set());
    const ids = shown.nodes.map(({ id }) => id);
    expect(ids).toEqual(["data", "r0", "r215", "r216", "r217", "r218", "r219", "model", "eval", "after:data"]);
    const group = shown.nodes.at(-1);
    expect(group && groupText(group)).toBe("and 214 runs");
    expect(shown.edges).toContainEqual({ source: "data", target: "after:data", kind: "used" });
    expect(visibleLineage(fan(220), new Set(["after:data"])).nodes).toHaveLength(223);
  });

  it("hides what is only behind collapsed neighbours", () => {
    const graph = fan(30);
    for (let at = 0; at < 8; at += 1) {
      graph.nodes.push(node(`m${at}`, "version", 2));
      graph.edges.push({ source: `r${at + 10}`, target: `m${at}`, kind: "logged" });
    }
    const shown = visibleLineage(graph, new Set());
    expect(shown.nodes.filter(({ id }) => /^m\d/.test(id))).toHaveLength(6);
    expect(shown.nodes.some(({ id }) => id === "eval")).toBe(false);
    const ids = new Set(shown.nodes.map(({ id }) => id));
    expect(shown.edges.every(({ source, target }) => ids.has(source) && ids.has(target))).toBe(true);
  });

  it("has names and paths", () => {
    expect([nameOfNode(node("m", "version", 0)), nameOfNode({ ...node("r", "run", 0), label: "a name" })]).toEqual(["m:v0", "a name"]);
    expect([shorten("short", 9), shorten("abcdefghijkl", 7)]).toEqual(["short", "abc…jkl"]);
    expect(groupText({ id: "", node: null, runs: 1, versions: 2 })).toBe("and 1 run and 2 versions");
    expect(edgePath([{ x: 0, y: 0 }, { x: 5, y: 5 }, { x: 10, y: 0 }])).toBe("M0 0Q5 5 7.5 2.5L10 0");
    expect(edgePath([])).toBe("");
  });
});
