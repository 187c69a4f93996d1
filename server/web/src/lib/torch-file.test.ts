import { describe, expect, it } from "vitest";
import { readPickle, type PickledDict, type PickledObject } from "./pickle";
import type { ReadBytes } from "./tensors";
import { readTorchFile } from "./torch-file";

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const readerOf = (bytes: Uint8Array): ReadBytes => (start, end) => Promise.resolve(bytes.slice(start, end));

// One dict in three protocols of Python's pickle module. Its value `evil` calls os.system when it is loaded.
const PICKLES = {
  0: "KGRwMApWYQpwMQoobHAyCkkxCmFGMi41CmFWdGV4dApwMwphTmFJMDEKYWNfY29kZWNzCmVuY29kZQpwNAooVnJhdwpwNQpWbGF0aW4xCnA2CnRwNwpScDgKYUwxMTgwNTkxNjIwNzE3NDExMzAzNDI0TAphKEkxCkkyCkkzCkk0CnRwOQphc1ZzCnAxMApjX19idWlsdGluX18Kc2V0CnAxMQooKGxwMTIKSTEKYUkyCmF0cDEzClJwMTQKc1ZkCnAxNQpjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcDE2Cih0UnAxNwpWeApwMTgKSTEKc3NWZXZpbApwMTkKY3Bvc2l4CnN5c3RlbQpwMjAKKFZ0b3VjaCAvdG1wL3gKcDIxCnRwMjIKUnAyMwpzVnNlbGYKcDI0CmcyCnMu",
  2: "gAJ9cQAoWAEAAABhcQFdcQIoSwFHQAQAAAAAAABYBAAAAHRleHRxA06IY19jb2RlY3MKZW5jb2RlCnEEWAMAAAByYXdxBVgGAAAAbGF0aW4xcQaGcQdScQiKCQAAAAAAAAAAQChLAUsCSwNLBHRxCWVYAQAAAHNxCmNfX2J1aWx0aW5fXwpzZXQKcQtdcQwoSwFLAmWFcQ1ScQ5YAQAAAGRxD2Njb2xsZWN0aW9ucwpPcmRlcmVkRGljdApxEClScRFYAQAAAHhxEksBc1gEAAAAZXZpbHETY3Bvc2l4CnN5c3RlbQpxFFgMAAAAdG91Y2ggL3RtcC94cRWFcRZScRdYBAAAAHNlbGZxGGgCdS4=",
  4: "gASVqwAAAAAAAAB9lCiMAWGUXZQoSwFHQAQAAAAAAACMBHRleHSUTohDA3Jhd5SKCQAAAAAAAAAAQChLAUsCSwNLBHSUZYwBc5SPlChLAUsCkIwBZJSMC2NvbGxlY3Rpb25zlIwLT3JkZXJlZERpY3SUk5QpUpSMAXiUSwFzjARldmlslIwFcG9zaXiUjAZzeXN0ZW2Uk5SMDHRvdWNoIC90bXAveJSFlFKUjARzZWxmlGgCdS4=",
};
// torch.save({"epoch": 3, "state_dict": Linear(3, 2).state_dict(), "tied": its weight, "half": bfloat16 zeros}),
// without the storages, and packed with deflate.
const ZIP =
  "UEsDBBQAAAAIANsjfl3RdXvwRQEAANMBAAAQAAAAYXJjaGl2ZS9kYXRhLnBrbD1QyU7DMBRMGmip2fd938JWAQc+ACEuPiDCxbcoTUwdKRAmfimnSlyKxF9jbOBk+b2ZN8tHYwAvFKOe58m3MlXweSCY+WlKSMZZnhIaaVoWhUwpL181e6gyWcnszmwYgpMII6FoGsK7zHuKMJpSWaWqE9eUF5rFlezWeZHFJF91WcX9a4ZmGIqWlSirpCfRchR2X5QJPbkhw5jwDeYSbRGYN32rwXiTMP7IPd7gwScmeMD9T0x+qR8XU4TpCDNixIC7eaIxq4yOail35wpzivEGYd7yh1jg/hCLjrtEWI6wUg+wKtoGHL9ISrKEEqzZ/bowQw8bA2xa431ZadMFtrivte5aTcplhu0/TdVW1u3Ov9td53bPKe4TDiIcWqZKimccOeZvE7e2iqub/zKObYhrhC7EyW+I058QZ+7kOeEiQqfufANQSwECFAMUAAAACADbI35d0XV78EUBAADTAQAAEAAAAAAAAAAAAAAAgAEAAAAAYXJjaGl2ZS9kYXRhLnBrbFBLBQYAAAAAAQABAD4AAABzAQAAAAA=";
// torch.save({"w": torch.zeros(2, 3)}, _use_new_zipfile_serialization=False)
const LEGACY =
  "gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZV9lbmRpYW5xAohYCgAAAHR5cGVfc2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS6AAn1xAFgBAAAAd3EBY3RvcmNoLl91dGlscwpfcmVidWlsZF90ZW5zb3JfdjIKcQIoKFgHAAAAc3RvcmFnZXEDY3RvcmNoCkZsb2F0U3RvcmFnZQpxBFgOAAAAOTM5NjYzNTk3MDAyNTZxBVgDAAAAY3B1cQZLBk50cQdRSwBLAksDhnEISwNLAYZxCYljY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcQopUnELdHEMUnENcy6AAl1xAFgOAAAAOTM5NjYzNTk3MDAyNTZxAWEuBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

describe("pickles", () => {
  it.each(Object.entries(PICKLES))("of protocol %s are read, and a call in them is only named", (_protocol, base64) => {
    const entries = new Map((readPickle(bytesOf(base64)).value as PickledDict).entries);
    const list = entries.get("a") as { items: unknown[] };
    expect(list.items.slice(0, 5)).toEqual([1, 2.5, "text", null, true]);
    expect(list.items[6]).toBe(2n ** 70n);
    expect(list.items[7]).toEqual({ kind: "tuple", items: [1, 2, 3, 4] });
    expect(entries.get("self")).toBe(list);
    expect((entries.get("d") as PickledObject).entries).toEqual([["x", 1]]);
    expect(entries.get("evil")).toMatchObject({ kind: "object", type: "posix.system", args: ["touch /tmp/x"] });
  });

  it("that are cut off or have an unknown opcode are refused at every position", () => {
    const whole = bytesOf(PICKLES[2]);
    for (let length = 0; length < whole.length - 1; length += 1) {
      expect(() => readPickle(whole.subarray(0, length))).toThrow(/cut off|cannot be read/);
    }
    // 0x97 takes a buffer from outside the pickle.
    expect(() => readPickle(Uint8Array.of(0x80, 5, 0x97, 0x2e))).toThrow("cannot be read without running it: opcode 0x97 at byte 2");
    expect(() => readPickle(Uint8Array.of(0x68, 7, 0x2e))).toThrow("cannot be read without running it");
  });
});

describe("files of torch.save", () => {
  it("list tensors with types and shapes, and other values", async () => {
    const bytes = bytesOf(ZIP);
    const file = await readTorchFile(readerOf(bytes), bytes.length);
    expect(file.tensors.map(({ name, dtype, shape, bytes: size }) => [name, dtype, shape, size])).toEqual([
      ["state_dict.weight", "float32", [2, 3], 24],
      ["state_dict.bias", "float32", [2], 8],
      ["tied", "float32", [2, 3], 24],
      ["half", "bfloat16", [2], 4],
    ]);
    expect(file.tensors[0]?.storage).toBe(file.tensors[2]?.storage);
    expect(file.facts).toEqual([["epoch", 3]]);
  });

  it("of the older format are read too", async () => {
    const bytes = bytesOf(LEGACY);
    const file = await readTorchFile(readerOf(bytes), bytes.length);
    expect(file.tensors).toMatchObject([{ name: "w", dtype: "float32", shape: [2, 3] }]);
  });

  it("that are damaged are refused", async () => {
    const bytes = bytesOf(ZIP);
    for (const length of [0, 1, 30, 200, bytes.length - 1]) {
      await expect(readTorchFile(readerOf(bytes.subarray(0, length)), length)).rejects.toThrow(/not a/);
    }
  });

  it("whose values contain each other many times are cut", async () => {
    // Each list contains the list before it twice: 2^40 paths.
    const code = [0x80, 2, 0x5d, 0x71, 0];
    for (let at = 1; at <= 40; at += 1) code.push(0x5d, 0x71, at, 0x68, at - 1, 0x61, 0x68, at - 1, 0x61);
    const legacy = bytesOf(LEGACY);
    let start = 0;
    for (let skipped = 0; skipped < 3; skipped += 1) start = readPickle(legacy, start).end;
    const bytes = Uint8Array.from([...legacy.subarray(0, start), ...code, 0x2e]);
    expect((await readTorchFile(readerOf(bytes), bytes.length)).isCut).toBe(true);
  });
});
