// Tests of the part of a name that distinguishes it.
import { expect, it } from "vitest";
import { distinguish } from "./names";

it("cuts what all names share, but never inside a word or a number", () => {
  expect(distinguish(["resnet50-lr-0.1-seed-1", "resnet50-lr-0.15-seed-1"])).toEqual(["…0.1…", "…0.15…"]);
  expect(distinguish(["train/a", "train/b"])).toEqual(["…a", "…b"]);
  expect(distinguish(["optimizer=adam, lr=0.1", "optimizer=sgd, lr=0.01"])).toEqual(["…adam…0.1", "…sgd…0.01"]);
  expect(distinguish(["adam", "adamw"])).toEqual(["adam", "adamw"]);
  expect(distinguish(["net-lr0.1-wd1e-4-seed1", "net-lr0.2-wd1e-4-seed2"])).toEqual(["…lr0.1…seed1", "…lr0.2…seed2"]);
  expect(distinguish(["net-lr0.1-seed1", "net-lr0.2-seed1", "net-lr0.2-seed2"])).toEqual(["…lr0.1-seed1", "…lr0.2-seed1", "…lr0.2-seed2"]);
});

it("keeps names whole that share nothing, or that would be empty", () => {
  expect(distinguish(["one"])).toEqual(["one"]);
  expect(distinguish(["one", "one"])).toEqual(["one", "one"]);
  expect(distinguish(["loud-dawn-1", "calm-sea-2"])).toEqual(["loud-dawn-1", "calm-sea-2"]);
  expect(distinguish(["base", "base-x"])).toEqual(["base", "…-x"]);
  expect(distinguish([])).toEqual([]);
});
