// Tests of lists of files, their languages and previews.
import { describe, expect, it } from "vitest";
import { isBinary, languageOf, prettyJson, previewOf } from "./code-language";
import { loadFiles, splitFiles } from "./files";

const info = (path: string) => ({ path, size: 1, mimetype: "", sha256: "", updated_at: null });
const all = ["code/a.py", "diff.patch", "media/images/1.png", "media/images/2.png", "model.bin", "notes.md"];
const page = ({ prefix, offset, limit }: { prefix: string; offset: number; limit: number }) => {
  const found = all.filter((path) => path.startsWith(prefix));
  return Promise.resolve({ total: found.length, size: 0, files: found.slice(offset, offset + limit).map(info) });
};
const paths = async (prefix: string, limit: number) => {
  const { files, total, media } = await loadFiles(page, prefix, limit);
  return [files.map((file) => file.path), total, media];
};

describe("files of a run", () => {
  it("are listed without those of media, unless the prefix asks for them", async () => {
    expect(await paths("", 100)).toEqual([["code/a.py", "diff.patch", "model.bin", "notes.md"], 4, 2]);
    expect(await paths("", 3)).toEqual([["code/a.py", "diff.patch", "model.bin"], 4, 2]);
    expect(await paths("", 1)).toEqual([["code/a.py"], 4, 2]);
    expect(await paths("m", 100)).toEqual([["model.bin"], 1, 2]);
    expect(await paths("media/", 100)).toEqual([["media/images/1.png", "media/images/2.png"], 2, 0]);
    expect(await paths("no", 100)).toEqual([["notes.md"], 1, 2]);
  });
  it("are saved by a person or by the recorder", () => {
    const { saved, start } = splitFiles(all.map(info));
    expect(saved.map((file) => file.path)).toEqual(["media/images/1.png", "media/images/2.png", "model.bin", "notes.md"]);
    expect(start).toHaveLength(2);
  });
  it("have a language and a preview", () => {
    expect(["a/b.py", "Dockerfile", "x.TOML", "x.unknown", "none"].map(languageOf)).toEqual(["python", "docker", "toml", null, null]);
    const shown = [["a.png", "image/png"], ["a.svg", "image/svg+xml"], ["a.bin", "application/octet-stream"], ["out.log", ""], ["LICENSE", ""]];
    expect(shown.map(([path = "", type = ""]) => previewOf(path, type))).toEqual(["image", "text", "none", "text", "text"]);
    expect([isBinary("a\0b"), isBinary("text")]).toEqual([true, false]);
  });
  it("of JSON get line breaks and keep their numbers", () => {
    expect(prettyJson('{"a":[1,12345678901234567890],"b":"x,{y}", "c":{}}')).toBe(
      '{\n  "a": [\n    1,\n    12345678901234567890\n  ],\n  "b": "x,{y}",\n  "c": {}\n}',
    );
    expect(prettyJson("{broken")).toBe("{broken");
    expect(prettyJson('{\n"a": 1}')).toBe('{\n"a": 1}');
  });
});
