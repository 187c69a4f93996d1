import { expect, it } from "vitest";
import { describeRanks, RANK_VIEWS } from "./rank-views";
import { drawsRanks, keysOfRanks } from "./ranks";

it("finds the keys that several ranks, or only a later rank, logged", () => {
  const keys = [
    { key: "loss", other_ranks: 2 },
    { key: "lr", other_ranks: 0 },
    { key: "last stage", other_ranks: 1 },
  ];
  expect([...keysOfRanks(keys)]).toEqual(["loss", "last stage"]);
});

it("draws several ranks by default and on request, but not for one writer", () => {
  expect(RANK_VIEWS.map(({ writer }) => drawsRanks(writer))).toEqual([true, true, false]);
  expect(drawsRanks("0".repeat(32))).toBe(false);
});

it("names the band only where it is drawn", () => {
  const band = "mean, minimum to maximum";
  expect(describeRanks(3, false, band)).toBe("3 ranks: mean, minimum to maximum");
  expect(describeRanks(1, false, band)).toBe("1 rank");
  expect(describeRanks(64, true, band)).toBe("64 ranks");
});
