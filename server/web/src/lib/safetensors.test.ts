import { describe, expect, it } from "vitest";
import { readSafetensors } from "./safetensors";
import { compareTensors, formatShape, tensorFormat, totalsOf, type Tensor } from "./tensors";

function fileOf(header: string, padding = 0): Uint8Array {
  const text = new TextEncoder().encode(header + " ".repeat(padding));
  const bytes = new Uint8Array(8 + text.length + 100);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

function readerOf(bytes: Uint8Array) {
  const asked: [number, number][] = [];
  const read = (start: number, end: number) => {
    asked.push([start, end]);
    return Promise.resolve(bytes.slice(start, end));
  };
  return { asked, read };
}

const HEADER = JSON.stringify({
  __metadata__: { format: "pt" },
  "a.weight": { dtype: "BF16", shape: [3, 2], data_offsets: [0, 12] },
  scale: { dtype: "F32", shape: [], data_offsets: [12, 16] },
  odd: { dtype: "X9", shape: [2], data_offsets: [16, 20] },
});

describe("safetensors", () => {
  it("list tensors and metadata with one request", async () => {
    const bytes = fileOf(HEADER);
    const { asked, read } = readerOf(bytes);
    const file = await readSafetensors(read, bytes.length);
    expect(file.tensors).toEqual([
      { name: "a.weight", dtype: "bfloat16", shape: [3, 2], bytes: 12, storage: null },
      { name: "scale", dtype: "float32", shape: [], bytes: 4, storage: null },
      { name: "odd", dtype: "X9", shape: [2], bytes: null, storage: null },
    ]);
    expect(file.facts).toEqual([["format", "pt"]]);
    expect(asked).toEqual([[0, bytes.length]]);
    expect(totalsOf(file.tensors)).toEqual({ elements: 9, bytes: 16 });
  });

  it("with a long header need a second request for exactly the header", async () => {
    const bytes = fileOf(HEADER, 200_000);
    const { asked, read } = readerOf(bytes);
    expect((await readSafetensors(read, bytes.length)).tensors).toHaveLength(3);
    expect(asked).toEqual([[0, 65_536], [8, bytes.length - 100]]);
  });

  it.each([
    ["short", new Uint8Array(5)],
    ["of another format", new TextEncoder().encode("PK this is a zip file, not a header")],
    ["with damaged JSON", fileOf(HEADER.slice(0, -3))],
    ["without objects", fileOf("[1]")],
    ["without a type", fileOf('{"a": {"shape": [1]}}')],
  ])("that are %s are refused", async (_what, bytes) => {
    await expect(readSafetensors(readerOf(bytes).read, bytes.length)).rejects.toThrow(/safetensors/);
  });
});

describe("tensors", () => {
  const tensor = (name: string, dtype: string, ...shape: number[]): Tensor => ({ name, dtype, shape, bytes: null, storage: null });

  it("of two files are compared by name, type and shape", () => {
    const before = [tensor("same", "float32", 2), tensor("gone", "int8", 1), tensor("wider", "float32", 2, 3), tensor("typed", "float32", 2)];
    const after = [tensor("typed", "float16", 2), tensor("wider", "float32", 2, 4), tensor("same", "float32", 2), tensor("new", "int8")];
    expect(compareTensors(before, after).map(({ name, state }) => `${name} ${state}`)).toEqual([
      "gone removed",
      "new added",
      "typed changed",
      "wider changed",
    ]);
  });

  it("with one storage count once", () => {
    const shared = { dtype: "float32", shape: [4], bytes: 16, storage: "0" };
    expect(totalsOf([{ ...shared, name: "a" }, { ...shared, name: "b" }])).toEqual({ elements: 4, bytes: 16 });
    expect([formatShape([2, 3]), formatShape([])]).toEqual(["2 × 3", "scalar"]);
  });

  it("are expected in files with these names", () => {
    const names = ["m.safetensors", "a/best.ckpt", "x.PT", "pytorch_model-00001-of-00002.bin", "data.bin", "table.json"];
    expect(names.map(tensorFormat)).toEqual(["safetensors", "torch", "torch", "torch", null, null]);
  });
});
