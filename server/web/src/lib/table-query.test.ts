// Tests of the queries of logged tables.
import { describe, expect, it } from "vitest";
import { formatTableQuery, NO_QUERY, nextTableOrder, parseTableQuery, serverFilters, tableCsv, type TableQuery } from "./table-query";

describe("queries of tables", () => {
  const query: TableQuery = {
    order: ["-loss", "a&b=c"],
    by: ["class"],
    filters: [{ column: "x,y", operator: "≥", value: "0.5" }, { column: "n", operator: "is empty", value: "" }],
  };
  it("are written and read", () => {
    expect(parseTableQuery(formatTableQuery(query))).toEqual(query);
    expect(formatTableQuery(NO_QUERY)).toBe("");
    expect(parseTableQuery("where=x&where=[1,2,3]&where=[%22a%22,%22like%22,%22b%22]&zoom=3")).toEqual(NO_QUERY);
  });
  it("become filters of the server", () => {
    const where = (operator: TableQuery["filters"][0]["operator"], value: string) =>
      JSON.parse(serverFilters([{ column: "c", operator, value }]) ?? "null") as unknown;
    const condition = (of: object) => ({ $and: [{ c: of }] });
    expect(where("=", "5")).toEqual(condition({ $in: ["5", 5] }));
    expect(where("≠", "true")).toEqual(condition({ $nin: ["true", true] }));
    expect(where("<", "1e-3")).toEqual(condition({ $lt: 0.001 }));
    expect(where(">", "abc")).toEqual(condition({ $gt: "abc" }));
    expect(where("contains", "a.b(")).toEqual(condition({ $regex: "(?i)a\\.b\\(" }));
    expect(where("matches", "^a.b")).toEqual(condition({ $regex: "^a.b" }));
    expect(where("is not empty", "")).toEqual(condition({ $exists: true }));
    expect(serverFilters([{ column: "c", operator: "=", value: "" }])).toBeUndefined();
  });
  it("are sorted by clicks", () => {
    expect(nextTableOrder([], "a", false)).toEqual(["a"]);
    expect(nextTableOrder(["a"], "a", false)).toEqual(["-a"]);
    expect(nextTableOrder(["-a"], "a", false)).toEqual([]);
    expect(nextTableOrder(["a"], "b", false)).toEqual(["b"]);
    expect(nextTableOrder(["a"], "b", true)).toEqual(["a", "b"]);
  });
  it("can be saved as CSV", () => {
    const image = { _type: "image-file", path: "media/a.png", url: "/api/a" };
    const rows = [[1.5, 'say "hi"', null, image], [{ _type: "number", value: "NaN" }, "two\nlines", true, [1, 2]], ["=1+1", "-2", -3, null]];
    expect(tableCsv(["n", "t", 0, "p"], rows)).toBe('n,t,0,p\r\n1.5,"say ""hi""",,media/a.png\r\nNaN,"two\nlines",true,"[1,2]"\r\n\'=1+1,-2,-3,\r\n');
  });
});
