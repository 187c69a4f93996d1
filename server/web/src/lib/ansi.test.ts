import { expect, test } from "vitest";
import { parseAnsi, stripAnsi } from "./ansi";

const piece = (text: string, look = "", color: string | null = null, background: string | null = null) => ({ text, look, color, background });

test("colours apply until they are reset", () => {
  expect(parseAnsi("a\u001b[31mred\u001b[0m b")).toEqual([piece("a"), piece("red", "fg1"), piece(" b")]);
});

test("styles accumulate", () => {
  expect(parseAnsi("\u001b[1;92mx\u001b[22my\u001b[39;3;4mz\u001b[23mu")).toEqual([
    piece("x", "fg10 bold"),
    piece("y", "fg10"),
    piece("z", "italic underline"),
    piece("u", "underline"),
  ]);
});

test("256 colours: sixteen of the theme, the cube and the greys", () => {
  expect(parseAnsi("\u001b[38;5;9ma\u001b[38;5;208mb\u001b[38;5;244mc\u001b[38;5;999md")).toEqual([
    piece("a", "fg9"),
    piece("b", "", "#ff8700"),
    piece("c", "", "#808080"),
    piece("d"),
  ]);
});

test("true colours, with semicolons or colons, and later parameters", () => {
  expect(parseAnsi("\u001b[38;2;1;2;3;4mu\u001b[0;38:2::255:128:0;1mv")).toEqual([
    piece("u", "underline", "#010203"),
    piece("v", "bold", "#ff8000"),
  ]);
});

test("text on a background is black or white", () => {
  expect(parseAnsi("\u001b[93;44mx\u001b[48;5;226my\u001b[49;7mz")).toEqual([
    piece("x", "", "#ffffff", "#1e60ee"),
    piece("y", "", "#000000", "#ffff00"),
    piece("z", "", "#000000", "#ffff00"),
  ]);
});

test("a line without colours is unchanged", () => {
  expect(parseAnsi("plain <b>")).toEqual([piece("plain <b>")]);
  expect(stripAnsi("\u001b[31mred\u001b[0m")).toBe("red");
});
