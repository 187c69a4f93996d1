// Tests of the statistics against values of scipy 1.17 and numpy.
import { expect, it } from "vitest";
import { boxOf, explained, groupsBy, importances, pearson, ranks, spearman, trend } from "./statistics";

const X = [1, 2, 3, 4, 5, 6, 7, 8];
const TIED = [1, 2, 2, 3, 3, 3, 4, 5];
const Y = [2, 1, 4, 3, 7, 8, 6, 9];

it("correlates as scipy.stats.pearsonr and spearmanr", () => {
  expect(pearson(X, Y)).toBeCloseTo(0.8964214570007951, 12);
  expect(spearman(X, Y)).toBeCloseTo(0.880952380952381, 12);
  expect(pearson(TIED, Y)).toBeCloseTo(0.7829602926862713, 12);
  expect(spearman(TIED, Y)).toBeCloseTo(0.7733700704208722, 12);
  expect([pearson([1, 1], [2, 3]), pearson([1], [1]), spearman([], [])]).toEqual([null, null, null]);
  expect(ranks([5, 1, 5, 0])).toEqual([3.5, 2, 3.5, 1]);
});

it("fits a line as scipy.stats.linregress", () => {
  const line = trend(X, Y);
  expect(line?.slope).toBeCloseTo(1.0714285714285714, 12);
  expect(line?.start).toBeCloseTo(0.17857142857142883, 12);
  expect(trend([1, 1], [1, 2])).toBeNull();
});

it("computes quartiles as numpy.quantile", () => {
  expect(boxOf(Y)).toMatchObject({ n: 8, low: 1, first: 2.75, median: 5, third: 7.25, high: 9 });
  expect(boxOf(Y)?.std).toBeCloseTo(2.9277002188455996, 12);
  expect(boxOf([])).toBeNull();
  expect(boxOf([3])).toMatchObject({ first: 3, median: 3, std: NaN });
});

it("explains variance as the F value of scipy.stats.f_oneway does", () => {
  // From F = 3.9748201438848905 with n = 8 and k = 3.
  expect(explained([[2, 1, 4], [3, 7, 8], [6, 9]])).toBeCloseTo(0.4594444444444441, 12);
  expect([explained([[1], [2]]), explained([[1, 2]]), explained([[1, 1], [1, 1]])]).toEqual([null, null, null]);
});

it("finds a setting with an effect that no correlation shows", () => {
  const rows = Array.from({ length: 20 }, (_, at) => ({ lr: at, seed: at % 2, fixed: 1, opt: at % 4 < 2 ? "a" : "b", loss: (at - 9.5) ** 2 }));
  const [first, ...others] = importances(rows, ["seed", "opt", "lr", "fixed", "absent"], "loss");
  expect(first).toMatchObject({ field: "lr", n: 20 });
  expect(first?.share).toBeCloseTo(0.7676767676767677, 12);
  expect(first?.pearson).toBeCloseTo(0, 12);
  expect(others.map((each) => each.field).sort()).toEqual(["opt", "seed"]);
  expect(others.every((each) => each.share === 0)).toBe(true);
  expect(groupsBy([1, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])[0]).toEqual([1, 2, 3, 4, 5, 6]);
});
