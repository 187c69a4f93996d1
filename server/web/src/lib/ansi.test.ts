import { expect, test } from "vitest";
import { parseAnsi, stripAnsi } from "./ansi";

test("colours apply until they are reset", () => {
  expect(parseAnsi("a\u001b[31mred\u001b[0m b")).toEqual([
    { text: "a", look: "" },
    { text: "red", look: "fg1" },
    { text: " b", look: "" },
  ]);
});

test("styles accumulate; unknown colours of 256 are ignored", () => {
  expect(parseAnsi("\u001b[1;92mx\u001b[22my\u001b[38;5;200mz\u001b[38;2;1;2;3;4mu")).toEqual([
    { text: "x", look: "fg10 bold" },
    { text: "y", look: "fg10" },
    { text: "z", look: "" },
    { text: "u", look: "underline" },
  ]);
});

test("a line without colours is unchanged", () => {
  expect(parseAnsi("plain <b>")).toEqual([{ text: "plain <b>", look: "" }]);
  expect(stripAnsi("\u001b[31mred\u001b[0m")).toBe("red");
});
