import { expect, it } from "vitest";
import { studentT } from "./student-t";

it("has the quantiles of scipy.stats.t.ppf(0.975, degrees)", () => {
  const wanted: [number, number][] = [
    [1, 12.706204736174696],
    [2, 4.302652729749463],
    [3, 3.1824463052837078],
    [4, 2.7764451051977934],
    [9, 2.262157162798205],
    [30, 2.0422724563012378],
    [200, 1.9718962236339088],
    [201, 1.971836506779859],
    [1000, 1.9623390808264078],
  ];
  for (const [degrees, quantile] of wanted) expect(studentT(degrees)).toBeCloseTo(quantile, 6);
});
