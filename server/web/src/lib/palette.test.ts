import { expect, test } from "vitest";
import { rank, score, wordsOf, type Entry } from "./palette";

const entry = (section: string, title: string, detail?: string): Entry => ({
  id: `${section}:${title}`,
  section,
  title,
  ...(detail === undefined ? {} : { detail }),
  run: () => undefined,
});
const ENTRIES = [
  entry("Go to", "Runs", "table"),
  entry("Go to", "Artifacts"),
  entry("Runs", "brave-run-1", "id7"),
  entry("Metrics", "train/loss"),
  entry("Metrics", "gloss"),
];
const titles = (query: string, most = 10) => rank(ENTRIES, query, most).map((each) => each.title);

test("an empty query keeps the order", () => {
  expect(titles("  ")).toEqual(ENTRIES.map((each) => each.title));
});

test("every word must match, in the title or in the detail", () => {
  expect(titles("loss train")).toEqual(["train/loss"]);
  expect(titles("brave id7")).toEqual(["brave-run-1"]);
  expect(titles("loss absent")).toEqual([]);
});

test("the start of a word counts more than its middle, and a better section comes first", () => {
  expect(titles("loss")).toEqual(["train/loss", "gloss"]);
  expect(titles("run")).toEqual(["Runs", "brave-run-1"]);
  expect(titles("loss", 1)).toEqual(["train/loss"]);
});

test("the score of a text", () => {
  expect(score("train/loss", wordsOf("TRAIN"))).toBe(3);
  expect(score("train/loss", wordsOf("loss"))).toBe(2);
  expect(score("train/loss", wordsOf("oss"))).toBe(1);
  expect(score("train/loss", [])).toBe(1);
  expect(score("a.*b", wordsOf(".*"))).toBe(1);
});
