import { describe, expect, it } from "vitest";
import type { Schema } from "./api";
import { fileKind, parentsOf, textOf, treeRows, type LoadedFolder, type TreeRow } from "./file-tree";
import { tensorFormat } from "./tensors";

const item = (path: string, kind: "file" | "folder" = "file", ref: string | null = null): Schema<"FolderItem"> => ({
  path, kind, ref, name: path.split("/").at(-1) ?? "", size: 1, file_count: 1, digest: null, sha256: null,
}); // prettier-ignore

const told = (row: TreeRow) =>
  `${"-".repeat(row.depth)}${row.kind === "item" ? row.item.path : row.kind === "more" ? `${row.shown} of ${row.total}` : "wait"}`;

describe("a tree of files", () => {
  it("shows open folders, rests and folders that load", () => {
    const folders = new Map<string, LoadedFolder>([
      ["", { items: [item("a", "folder"), item("b", "folder"), item("c")], total: 3 }],
      ["a", { items: [item("a/x", "folder"), item("a/y")], total: 900 }],
    ]);
    expect(treeRows(folders, new Set()).map(told)).toEqual(["a", "b", "c"]);
    const rows = treeRows(folders, new Set(["a", "a/x", "zzz"])).map(told);
    expect(rows).toEqual(["a", "-a/x", "--wait", "-a/y", "-2 of 900", "b", "c"]);
    expect(treeRows(new Map(), new Set()).map(told)).toEqual(["wait"]);
  });

  it("opens the folders of a path", () => {
    expect(parentsOf("a/b/c")).toEqual(["a", "a/b"]);
    expect(parentsOf("c")).toEqual([]);
  });

  it("shows files by their name or content", () => {
    const kinds = ["m.ckpt", "m.safetensors", "x.PNG", "t.table.json", "d.json", "code.py", "none"];
    expect(kinds.map((path) => fileKind(item(path), (each) => tensorFormat(each) !== null))).toEqual([
      "tensors", "tensors", "image", "table", "json", "text", "text",
    ]); // prettier-ignore
    expect(fileKind(item("x.png", "file", "s3://b/x.png"), () => false)).toBe("reference");
  });

  it("tells text from other bytes, also if the last letter is cut", () => {
    const text = new TextEncoder().encode("naïve");
    expect(textOf(text, true)).toBe("naïve");
    expect(textOf(text.subarray(0, 3), false)).toBe("na");
    expect([textOf(text.subarray(0, 3), true), textOf(Uint8Array.of(65, 0), true), textOf(Uint8Array.of(0xff, 65), false)]).toEqual([null, null, null]);
  });
});
