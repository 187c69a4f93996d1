// Which lines are near the pointer, and what they say there.
import { bucketAt, nearest, type Bucket } from "../lib/lines";
import { scalesOf, toPixel, type Area } from "./draw";
import { reachOf, type ChartModel } from "./model";
import type { Place } from "./plot";

export interface NearLine {
  /** Index of the line in the model. */
  index: number;
  /** The x of the nearest point. */
  x: number;
  /** The logged value. It can be NaN or infinite. */
  value: number;
  /** The smoothed value; null without smoothing. */
  smoothed: number | null;
  /** The value where the line is drawn; null if it is not drawn there. */
  drawn: number | null;
  bucket: Bucket | null;
  /** Pixels between the pointer and the line. */
  distance: number;
}

/** Returns the lines with a point near the pointer's x, nearest to the pointer first. */
export function nearestLines(model: ChartModel, area: Area, at: Place): NearLine[] {
  const scales = scalesOf(model, { ...area, left: 0, top: 0 });
  const lines = model.lines.filter((each) => !each.ghost);
  const reach = reachOf(lines.length === 1, ...model.x);
  const found: NearLine[] = [];
  for (const [index, { line, smoothed, ghost }] of model.lines.entries()) {
    if (ghost) continue;
    const point = nearest(line.x, at.x);
    const x = line.x[point];
    if (x === undefined || Math.abs(x - at.x) > reach) continue;
    const finite = line.y[point] as number;
    const value = Number.isNaN(finite) ? (line.marks.find((mark) => mark.x === x)?.value ?? NaN) : finite;
    const ys = smoothed ?? line.y;
    const drawn = ys[point] as number;
    const pixel = (i: number) => [toPixel(scales.x, line.x[i] as number), toPixel(scales.y, ys[i] as number)] as const;
    const distance = Math.min(
      distanceTo(at, pixel(point), pixel(Math.max(0, point - 1))),
      distanceTo(at, pixel(point), pixel(Math.min(line.x.length - 1, point + 1))),
    );
    found.push({
      index,
      x,
      value,
      smoothed: smoothed ? drawn : null,
      drawn: Number.isNaN(drawn) || (model.logY && drawn <= 0) ? null : drawn,
      bucket: bucketAt(line, point),
      distance,
    });
  }
  return found.sort((a, b) => a.distance - b.distance);
}

type Point = readonly [number, number];

/** Returns the distance of a place from the line between two points; infinite if the first has no height. */
function distanceTo({ left, top }: { left: number; top: number }, a: Point, b: Point): number {
  if (!Number.isFinite(a[1])) return Infinity;
  const [dx, dy] = Number.isFinite(b[1]) ? [b[0] - a[0], b[1] - a[1]] : [0, 0];
  const length = dx * dx + dy * dy;
  const share = length === 0 ? 0 : Math.min(1, Math.max(0, ((left - a[0]) * dx + (top - a[1]) * dy) / length));
  return Math.hypot(left - a[0] - share * dx, top - a[1] - share * dy);
}
