// Tests of the completion of queries.
import { expect, it } from "vitest";
import { complete, isUnfinished } from "./completion";

const field = (name: string, values: string[] = [], more = false) => ({
  field: name,
  numbers: values.length === 0,
  texts: values.length > 0,
  min: 0.001,
  max: 0.1,
  values,
  more,
  media: null,
});
const fields = [
  field("config.lr"),
  field("config.my key", ["a b", "1"]),
  field("config.opt", ["adam", "sgd"], true),
  field("tag", ["best"]),
];
const inserts = (text: string) => complete(text, fields).suggestions.map((each) => each.insert);

it("completes names of fields", () => {
  expect(inserts("sta")).toEqual(["state"]);
  expect(complete("tag:a (con", fields)).toMatchObject({ from: 7, ask: "con" });
  expect(inserts("-my")).toEqual(['config."my key"']);
  expect(inserts("has:l")).toContain("config.lr ");
});

it("completes operators after a whole name", () => {
  expect(inserts("config.lr").slice(0, 3)).toEqual(["config.lr:", "config.lr!=", "config.lr>"]);
});

it("completes values, with quotes where they are needed", () => {
  expect(inserts("state:fa")).toEqual(["failed "]);
  expect(inserts('config."my key":')).toEqual(['"a b" ', '"1" ']);
  expect(complete("x config.opt:adam,s", fields)).toMatchObject({ from: 18, ask: "config.opt" });
  expect(inserts("config.opt:adam,s")).toEqual(["sgd "]);
  expect(inserts("tag:")).toEqual(["best "]);
  expect(inserts("name~a")).toEqual([]);
});

it("knows words that are not finished", () => {
  for (const text of ["state:", "tag:a config.lr>=", 'name~"a b', "has:"]) expect(isUnfinished(text)).toBe(true);
  for (const text of ["", "state", "state:failed", 'name~"a b"', "tag:a "]) expect(isUnfinished(text)).toBe(false);
});
