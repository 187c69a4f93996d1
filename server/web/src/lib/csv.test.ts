// Tests of CSV text.
import { expect, it } from "vitest";
import { csvLine } from "./csv";

it("quotes separators, and prevents formulas", () => {
  expect(csvLine(["a,b", 'say "x"', -1.5, null, "=1+1", "line\nbreak"])).toBe(
    '"a,b","say ""x""",-1.5,,\'=1+1,"line\nbreak"\r\n',
  );
});
