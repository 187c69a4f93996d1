// Tests of the terms of a query.
import { describe, expect, it } from "vitest";
import { formatField, formatTerm, formatTerms, hasTerm, parseTerms, toggleTerm, valueFor } from "./query-text";

const plain = (text: string) => ({ text, quoted: false });

describe("terms", () => {
  it("are the tests that must all be true", () => {
    expect(parseTerms('state:failed,crashed AND config.lr>=0.01  name~"a \\"b" has:summary.loss')).toEqual([
      { field: "state", operator: ":", values: [plain("failed"), plain("crashed")] },
      { field: "config.lr", operator: ">=", values: [plain("0.01")] },
      { field: "name", operator: "~", values: [{ text: 'a "b', quoted: true }] },
      { field: "summary.loss", operator: "has", values: [] },
    ]);
    expect(parseTerms("")).toEqual([]);
  });

  it("stay text if the builder cannot show them", () => {
    expect(parseTerms('"vit.*" -state:failed NOT tag:a (tag:b OR tag:c) word')).toEqual([
      ...['"vit.*"', "-state:failed", "NOT tag:a", "(tag:b OR tag:c)", "word"],
    ]);
    for (const whole of ["tag:a OR tag:b", "(tag:a", 'name:"open', "state:", "a)", "config.lr>0.1,0.2"]) {
      expect(parseTerms(whole).every((term) => typeof term === "string")).toBe(true);
      expect(formatTerms(parseTerms(whole))).toBe(whole);
    }
  });

  it("become the same text again", () => {
    for (const text of [
      'config."my key":"a, b"',
      "state!=crashed tag:best",
      'config.x:"1" config.y:1',
      'summary."a\\"b"<-3e5',
      'name!~"\\d+ x"',
      "has:config.lr",
    ]) {
      expect(formatTerms(parseTerms(text))).toBe(text);
    }
    expect(formatTerm({ field: "config.lr", operator: ":", values: [plain("a b")] })).toBe('config.lr:"a b"');
  });

  it("keep their meaning among other terms", () => {
    expect(toggleTerm("tag:a OR tag:b", "state!=crashed")).toBe("(tag:a OR tag:b) state!=crashed");
    expect(toggleTerm("tag:a state!=crashed", "state!=crashed")).toBe("tag:a");
    expect(hasTerm("tag:a state!=crashed", "state!=crashed")).toBe(true);
    expect(hasTerm("tag:a OR state!=crashed", "state!=crashed")).toBe(false);
  });
});

it("quotes texts that look like other values", () => {
  expect(valueFor("1e5", true).quoted).toBe(true);
  expect(valueFor("True", true).quoted).toBe(true);
  expect(valueFor("adam", true).quoted).toBe(false);
  expect(formatField("config.a b")).toBe('config."a b"');
  expect(formatField("summary.train/loss")).toBe("summary.train/loss");
});
