// Tests of CSV text.
import { expect, it } from "vitest";
import { csvLine } from "./csv";

it("quotes separators, and prevents formulas", () => {
  expect(csvLine(["a,b", 'say "x"', -1.5, null, "=1+1", "line\nbreak"])).toBe(
    '"a,b","say ""x""",-1.5,,\'=1+1,"line\nbreak"\r\n',
  );
});

it("marks every text that a spreadsheet would calculate, but no number", () => {
  const dangerous = ["=cmd|' /C calc'!A0", "+A1", "-A1", "@SUM(A1)", "\t=1", "＝1+1"];
  for (const text of dangerous) expect(csvLine([text])).toBe(`'${text}\r\n`);
  expect(csvLine(["-1.5", "+2", "-Infinity", -3, "a=b", "'quoted"])).toBe("-1.5,+2,-Infinity,-3,a=b,'quoted\r\n");
});
