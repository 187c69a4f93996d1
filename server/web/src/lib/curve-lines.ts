// Lines of grouped curves: the mean or an extreme of each point, with a band for the spread.
import type { Curve } from "./curves";
import type { Line } from "./lines";
import { LEAST_FOR_INTERVAL } from "./group-statistics";
import type { Aggregation, Band } from "./panel-settings";
import { studentT } from "./student-t";

/** Returns how far the band reaches from the mean at a point; NaN if it is not defined there. */
export function halfBand(curve: Curve, band: Band, at: number): number {
  if (band === "std") return curve.std[at] as number;
  const error = curve.stderr[at] as number;
  if (band === "stderr") return error;
  const n = curve.n[at] as number;
  return band === "ci" && n >= LEAST_FOR_INTERVAL ? studentT(n - 1) * error : NaN;
}

/** Returns the line and the band that the settings choose. A band that is not defined at a point has no height there. */
export function curveLine(curve: Curve, band: Band, aggregation: Aggregation = "last"): Line {
  const y = aggregation === "min" ? curve.min : aggregation === "max" ? curve.max : curve.mean;
  const edge = (sign: number) =>
    curve.mean.map((mean, at) => {
      if (band === "minmax") return (sign < 0 ? curve.min : curve.max)[at] as number;
      const half = halfBand(curve, band, at);
      return mean + sign * (Number.isFinite(half) ? half : 0);
    });
  return {
    x: curve.x,
    y,
    band: band === "none" ? null : { low: edge(-1), high: edge(1) },
    buckets: null,
    marks: [],
    last: y.at(-1) ?? null,
  };
}
