import { describe, expect, it } from "vitest";
import { aliasProblem, fetchCode, groupByType, parseArtifact, parseTags, refsOf } from "./artifacts";

const collection = (name: string, type: string, tags: string[] = []) => ({
  name, type, tags, description: null, created_at: 0, updated_at: 0, entity: "e", project: "p", latest: "v0", size: 1, versions: 1,
}); // prettier-ignore

describe("artifacts", () => {
  it("are named with or without a version", () => {
    expect(parseArtifact("model-x:v3")).toEqual({ name: "model-x", ref: "v3" });
    expect(parseArtifact("model-x")).toEqual({ name: "model-x", ref: null });
    expect(parseArtifact("model-x:")).toEqual({ name: "model-x", ref: null });
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

  it("are fetched with code in which names are quoted", () => {
    expect(fetchCode("e/p/My Model:best", "shell")).toBe("tracker artifact get 'e/p/My Model:best'");
    expect(fetchCode("e/p/m:v0", "shell")).toBe("tracker artifact get e/p/m:v0");
    expect(fetchCode('e/p/m:a"b', "run")).toBe('run.use_artifact("e/p/m:a\\"b").download()');
  });
});
