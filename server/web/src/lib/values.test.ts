// Tests of logged values, columns, keys, colours and ticks.
import { describe, expect, it } from "vitest";
import { lineStyle, SLOTS, styleOf } from "./colors";
import { asNumber, flatten, lookup, parseJson } from "./json";
import { groupKeys, keysOfKind, keysWithNumbers, nameFilter, type KeyKind } from "./keys";
import type { Schema } from "./api";
import { availableColumns, cellText, columnOf, defaultColumns, differenceText, fieldsOf, fitsIn, formatIn, type Column } from "./table";
import { linearTicks, logTicks, roundRange } from "./ticks";

describe("JSON", () => {
  it("keeps large integers and does not change floats", () => {
    expect(parseJson('{"f": 0.12345678901234567, "s": "9007199254740993"}')).toEqual({
      f: 0.12345678901234567,
      s: "9007199254740993",
    });
    expect(asNumber({ _type: "number", value: "NaN" })).toBeNaN();
    expect(asNumber("5")).toBeNull();
  });

  it("finds every flattened key again, including keys with dots", () => {
    const config = { a: { b: 1, c: {} }, "x.y": 2, list: [1], image: { _type: "image-file", path: "p" } };
    const flat = flatten(config);
    expect(flat.map(([key]) => key)).toEqual(["a.b", "a.c", "x.y", "list", "image"]);
    for (const [key, value] of flat) expect(lookup(config, key)).toEqual(value);
    expect(lookup(config, "a.none")).toBeUndefined();
    expect(lookup({}, "constructor")).toBeUndefined();
  });
});

const field = (name: string, change: Partial<Schema<"FieldInfo">> = {}): Schema<"FieldInfo"> => ({
  field: name,
  numbers: true,
  texts: false,
  min: 0,
  max: 1,
  values: [],
  more: false,
  media: null,
  ...change,
});
const onlyTexts = (values: string[]) => ({ numbers: false, texts: true, min: null, max: null, values });

describe("columns", () => {
  const fields = [
    ...[field("config._hidden"), field("config.lr"), field("config.same", { max: 0 })],
    ...[field("config.list", { numbers: false, min: null, max: null }), field("group", onlyTexts(["g"])), field("summary._step"), field("summary.loss")],
    ...[field("summary.text", onlyTexts(["a"])), field("summary.image", { numbers: false, min: null, max: null, media: "image-file" })],
  ];

  it("come from the fields of all runs, without internal keys", () => {
    const ids = availableColumns(fields).map((column) => column.id);
    expect(ids.slice(0, 5)).toEqual(["state", "created_at", "duration", "last_step", "tags"]);
    expect(ids.filter((id) => id.includes("."))).toEqual(["summary.loss", "summary.text", "summary.image", "config.lr", "config.same"]);
    expect(ids).not.toContain("sweep");
    expect(defaultColumns(fields)).toEqual(["state", "created_at", "group", "summary.loss", "config.lr", "duration", "last_step"]);
  });

  it("are metrics that differ before those that do not", () => {
    const metrics = ["a", "b", "c", "d", "e", "f"].map((name) => field(`summary.${name}`, name < "c" ? { min: 1 } : {}));
    expect(defaultColumns(metrics)).toEqual(["state", "created_at", "summary.c", "summary.d", "summary.e", "summary.f", "duration", "last_step"]);
  });

  it("fill their cells, from single fields or whole runs", () => {
    const loss = { _type: "number", value: "NaN" };
    const whole = { id: "r", name: "r", state: "finished", created_at: 0, summary: { loss }, config: { opt: { lr: 0.1 } } };
    const single = { id: "r", name: "r", state: "finished", created_at: 0, "summary.loss": loss, "config.opt.lr": 0.1 };
    for (const row of [whole, single]) {
      const text = (id: string) => cellText(row, columnOf(id) as Column, 3600);
      expect(text("summary.loss")).toBe("NaN");
      expect(text("config.opt.lr")).toBe("0.1");
      expect(text("summary.none")).toBe("–");
      expect(text("created_at")).toBe("1 h ago");
    }
    expect(columnOf("nonsense")).toBeUndefined();
  });

  it("have formats", () => {
    expect(formatIn("2", 1.005e-3)).toBe("0.00");
    expect(formatIn("percent", 0.1234)).toBe("12.34%");
    expect(formatIn("exponent", -12346)).toBe("−1.235e+4");
    expect(formatIn("4", NaN)).toBe("NaN");
  });

  it("show differences to the baseline", () => {
    expect(differenceText(0.6, 0.5)).toBe("+0.1 (+20%)");
    expect(differenceText(-1, 0)).toBe("−1");
    expect(differenceText("a", 0.5)).toBe("");
  });

  it("ask for whole runs when they are too many", () => {
    expect(fieldsOf(["state", "config.lr", "sweep"])).toEqual(["id", "name", "state", "error", "reason", "tags", "group", "notes", "archived", "config.lr"]);
    expect(fieldsOf(Array.from({ length: 300 }, (_, at) => `config.c${at}`))).toBeNull();
  });
});

describe("metric names", () => {
  it("are a sorted list over all runs, of one kind, without internal keys", () => {
    const number = (key: string) => ({ key, kind: "number" as const, numbers: true, count: 1, last_step: 1, other_ranks: 0 });
    const image = { key: "samples", kind: "image" as const, numbers: false, count: 1, last_step: 1, other_ranks: 0 };
    expect(keysOfKind([[number("l10"), number("_step")], [number("l2"), image]], "number")).toEqual(["l2", "l10"]);
  });

  it("are drawn if they have any numbers", () => {
    const key = (key: string, kind: KeyKind, numbers: boolean) => ({ key, kind, numbers, count: 6, last_step: 5, other_ranks: 0 });
    const lists = [
      [key("note", "text", false), key("loss", "other", true)],
      [key("acc", "number", true), key("_step", "number", true), key("x", "other", false)],
    ];
    expect(keysWithNumbers(lists)).toEqual(["acc", "loss"]);
  });

  it("are grouped by prefix, system metrics last", () => {
    const groups = groupKeys(["/odd", "lr", "system/cpu", "train/loss", "val/loss"]);
    expect(groups.map((group) => group.name)).toEqual(["Charts", "train", "val", "system"]);
    expect(groups[0]?.keys).toEqual(["/odd", "lr"]);
  });

  it("are filtered by a regular expression, or by plain text if it is invalid", () => {
    expect(nameFilter("^val/")("val/loss")).toBe(true);
    expect(nameFilter("loss(")("a_loss(x)")).toBe(true);
    expect(nameFilter(" ")("anything")).toBe(true);
  });
});

describe("colours", () => {
  it("belong to a run: they follow from its id, and ids that differ little have different ones", () => {
    expect(styleOf("3k9xw2ab", "light").color).toBe("#096cab"); // the same tomorrow
    const colors = Array.from({ length: 420 }, (_, at) => styleOf(`run-${at}`, "dark").color);
    const counts = colors.reduce((found, color) => found.set(color, (found.get(color) ?? 0) + 1), new Map<string, number>());
    expect(counts.size).toBe(42);
    expect(Math.max(...counts.values())).toBeLessThan(25);
  });

  it("are all different, including the dash pattern", () => {
    for (const theme of ["light", "dark"] as const) {
      const looks = Array.from({ length: SLOTS }, (_, slot) => JSON.stringify(lineStyle(slot, theme)));
      expect(new Set(looks).size).toBe(SLOTS);
    }
  });
});

describe("ticks", () => {
  it("are round at any magnitude", () => {
    expect(linearTicks(0, 1, 4)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(linearTicks(-3, 7, 5)).toEqual([-2, 0, 2, 4, 6]);
    expect(linearTicks(0, 1e300, 4).length).toBeGreaterThan(2);
    expect(linearTicks(-Number.MAX_VALUE, Number.MAX_VALUE, 4).every(Number.isFinite)).toBe(true);
    expect(linearTicks(0, 5e-324, 4).length).toBeLessThan(10);
    expect(linearTicks(1, 1, 4)).toEqual([]);
    expect(linearTicks(1e15, 1e15 + 1, 4).length).toBeLessThan(1001);
  });

  it("round a range without emptying it", () => {
    expect(roundRange([523.2173913, 1391.913043])).toEqual([523.2, 1391.9]);
    expect(roundRange([1.7e9 + 0.1234567, 1.7e9 + 0.2234567])).toEqual([1.7e9 + 0.12346, 1.7e9 + 0.22346]);
  });

  it("are powers of ten on a logarithmic axis", () => {
    expect(logTicks(0.5, 2000, 5)).toEqual([1, 10, 100, 1000]);
    expect(logTicks(1e-300, 1e300, 5).length).toBeLessThanOrEqual(6);
    expect(logTicks(2, 5, 4).length).toBeGreaterThan(1);
  });
});

it("knows which texts fit into a cell for certain", () => {
  expect(fitsIn("0.85035", 100)).toBe(true);
  expect(fitsIn("26s", 68)).toBe(true);
  expect(fitsIn("lion-w256-d10-1999", 94)).toBe(false);
  // Ten wide letters, and a letter of unknown width.
  expect(fitsIn("W".repeat(10), 129)).toBe(false);
  expect(fitsIn("W".repeat(10), 130)).toBe(true);
  expect(fitsIn("漢", 100)).toBe(false);
});
