import { describe, expect, it } from "vitest";
import { aliasProblem, fetchCode, groupByType, parseArtifact, parseTags, parseVersion, refsOf, versionBefore } from "./artifacts";

const collection = (name: string, type: string, tags: string[] = []) => ({
  name, type, tags, description: null, created_at: 0, updated_at: 0, entity: "e", project: "p", latest: "v0", size: 1, versions: 1,
}); // prettier-ignore

describe("artifacts", () => {
  it("are named with or without a version", () => {
    expect(parseArtifact("model-x:v3")).toEqual({ name: "model-x", ref: "v3" });
    expect(parseArtifact("model-x")).toEqual({ name: "model-x", ref: null });
    expect(parseArtifact("model-x:")).toEqual({ name: "model-x", ref: null });
  });

  it("are named by parts; the parts of the place can be left out", () => {
    const place = { entity: "e", project: "p", name: "n", version: "v9" };
    expect(parseVersion("v3", place)).toEqual({ ...place, version: "v3" });
    expect(parseVersion("m:best", place)).toEqual({ ...place, name: "m", version: "best" });
    expect(parseVersion("q/m:v0", place)).toEqual({ entity: "e", project: "q", name: "m", version: "v0" });
    expect(parseVersion("f/q/m:v0", place)).toEqual({ entity: "f", project: "q", name: "m", version: "v0" });
    expect(["", "q/m", "m:", "/m:v0", "a/b/c/d:v0"].map((text) => parseVersion(text, place))).toEqual([null, null, null, null, null]);
  });

  it("have a version before them", () => {
    const versions = ["v10", "v9", "v2"].map((version) => ({ version }));
    expect(["v10", "v9", "v2"].map((version) => versionBefore(versions, version))).toEqual(["v9", "v2", undefined]);
  });

  it("have aliases by the rules of the server", () => {
    expect(["best", "a b", "v2x"].map(aliasProblem)).toEqual([null, null, null]);
    for (const wrong of ["", "a/b", "a:b", "v12", "latest", "x".repeat(129)]) expect(aliasProblem(wrong)).not.toBeNull();
    expect(refsOf({ version: "v3", aliases: ["latest", "best"] })).toEqual(["best", "latest", "v3"]);
    expect(parseTags(" a, b ,,a")).toEqual(["a", "b"]);
  });

  it("are grouped by type and found by name, type and tag", () => {
    const all = [collection("b", "model"), collection("a", "dataset", ["Clean"]), collection("c", "model")];
    expect(groupByType(all, "").map(({ type, collections }) => [type, collections.length])).toEqual([["dataset", 1], ["model", 2]]);
    expect(groupByType(all, "clean").map(({ type }) => type)).toEqual(["dataset"]);
    expect(groupByType(all, "MODEL")[0]?.collections).toHaveLength(2);
  });

  it("that logged tables make come after those that people make", () => {
    const all = [collection("run-1-table", "run_table"), collection("a", "zebra")];
    expect(groupByType(all, "").map(({ type }) => type)).toEqual(["zebra", "run_table"]);
  });

  it("are fetched with code in which names are quoted", () => {
    expect(fetchCode("e/p/My Model:best", "shell")).toBe("tracker artifact get 'e/p/My Model:best'");
    expect(fetchCode("e/p/m:v0", "shell")).toBe("tracker artifact get e/p/m:v0");
    expect(fetchCode('e/p/m:a"b', "run")).toBe('run.use_artifact("e/p/m:a\\"b").download()');
  });
});
