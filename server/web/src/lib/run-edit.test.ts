// Tests of changes of runs.
import { expect, it } from "vitest";
import { conflictOf, editBetween, parseTags, textsOf, withText, type RunTexts } from "./run-edit";

const before: RunTexts = { name: "a", tags: ["x", "y"], group: null, notes: "n" };

it("has only what changed, and single tags", () => {
  expect(editBetween(before, before)).toBeNull();
  expect(editBetween(before, { ...before, tags: ["y", "z"] })).toEqual({ tags_added: ["z"], tags_removed: ["x"] });
  expect(editBetween(before, { ...before, name: "b", notes: null })).toEqual({ name: "b", notes: null });
});

it("is read from what a person typed", () => {
  expect(parseTags(" a, b,,a ")).toEqual(["a", "b"]);
  expect(withText(before, "tags", "y")).toEqual({ ...before, tags: ["y"] });
  expect(withText(before, "group", "  ").group).toBeNull();
  expect(withText(before, "notes", " text\n").notes).toBe(" text\n");
  expect(withText(before, "name", " b ").name).toBe("b");
  expect(textsOf({ name: "a", id: "r", tags: ["x", "y"], group: "", notes: "n" })).toEqual(before);
});

it("names what another person changed, if it would be replaced", () => {
  const mine = { ...before, notes: "mine" };
  expect(conflictOf(before, { ...before, notes: "theirs" }, mine)).toBe("notes");
  expect(conflictOf(before, { ...before, notes: "mine" }, mine)).toBeNull();
  expect(conflictOf(before, { ...before, group: "theirs", tags: [] }, mine)).toBeNull();
});
