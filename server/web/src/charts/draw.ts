// Draws the lines of a chart on a canvas. Each line has its own x, so that lines with different steps need no
// common column.
import { withAlpha, type LineStyle } from "../lib/colors";
import { firstFrom } from "../lib/lines";
import { MOST_BANDS, MOST_DASHED, type ChartModel, type NamedLine } from "./model";

/** The plot area in canvas pixels. */
export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
  /** Canvas pixels of a CSS pixel. */
  ratio: number;
}

/** Converts values to pixels: `pixel = offset + scale * (log ? log10(value) : value)`. */
export interface Scale {
  offset: number;
  scale: number;
  log: boolean;
}

/** Lines with at most this many points show a dot for each point. */
const FEW_POINTS = 40;

function scaleOf([low, high]: [number, number], from: number, to: number, log: boolean): Scale {
  const [first, last] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  // Divide first: the difference of two large doubles may overflow.
  const scale = last - first === Infinity ? (to - from) / 2 / (last / 2 - first / 2) : (to - from) / (last - first);
  return { offset: from - scale * first, scale, log };
}

/** Returns the scales of both axes; pixels of the y axis grow downwards. */
export function scalesOf(model: ChartModel, { left, top, width, height }: Area): { x: Scale; y: Scale } {
  return {
    x: scaleOf(model.x, left, left + width, model.logX),
    y: scaleOf(model.y, top + height, top, model.logY),
  };
}

export const toPixel = ({ offset, scale, log }: Scale, value: number): number =>
  offset + scale * (log ? Math.log10(value) : value);

type Target = Pick<CanvasRenderingContext2D, "moveTo" | "lineTo">;

/**
 * Adds the visible part of a column to a path. NaN, and values without a logarithm, interrupt it. Of many points
 * in one pixel column only the first, the lowest, the highest and the last one are used.
 */
export function trace(target: Target, xs: Float64Array, ys: Float64Array, model: ChartModel, area: Area): void {
  const { x: sx, y: sy } = scalesOf(model, area);
  const from = Math.max(0, firstFrom(xs, model.x[0]) - 1);
  const to = Math.min(xs.length, firstFrom(xs, model.x[1]) + 1);
  // Far outside of the canvas a coordinate would lose precision.
  const lowest = area.top - 4 * area.height;
  const highest = area.top + 5 * area.height;
  const dense = to - from > 2 * area.width;
  let open = false;
  let column = NaN;
  let low = 0;
  let high = 0;
  let last = 0;
  const flush = () => {
    if (Number.isNaN(column)) return;
    if (low !== high) {
      target.lineTo(column, low);
      target.lineTo(column, high);
      if (last !== high) target.lineTo(column, last);
    }
    column = NaN;
  };
  for (let i = from; i < to; i++) {
    const x = xs[i] as number;
    const value = ys[i] as number;
    let px = sx.offset + sx.scale * (sx.log ? Math.log10(x) : x);
    let py = sy.offset + sy.scale * (sy.log ? Math.log10(value) : value);
    // NaN fails each comparison; the logarithm of 0 or less is NaN or infinite.
    if (!(py > -Infinity && py < Infinity && px > -Infinity)) {
      flush();
      open = false;
      continue;
    }
    if (py < lowest) py = lowest;
    else if (py > highest) py = highest;
    if (dense) {
      px = Math.round(px);
      if (px === column) {
        if (py < low) low = py;
        if (py > high) high = py;
        last = py;
        continue;
      }
      flush();
      column = px;
      low = high = last = py;
    }
    if (open) target.lineTo(px, py);
    else target.moveTo(px, py);
    open = true;
  }
  flush();
}

const knownDots = new WeakMap<Float64Array, number[]>();

/** Returns the indices of the values that need a dot: isolated ones, or all of them if the line has few. */
export function dotIndices(ys: Float64Array): number[] {
  const known = knownDots.get(ys) ?? findDots(ys);
  knownDots.set(ys, known);
  return known;
}

function findDots(ys: Float64Array): number[] {
  const dots: number[] = [];
  if (ys.length <= FEW_POINTS) {
    for (let i = 0; i < ys.length; i++) if (!Number.isNaN(ys[i])) dots.push(i);
    return dots;
  }
  let before = NaN;
  for (let i = 0; i < ys.length; i++) {
    const value = ys[i] as number;
    if (!Number.isNaN(value) && Number.isNaN(before) && Number.isNaN(ys[i + 1] ?? NaN)) dots.push(i);
    before = value;
  }
  return dots;
}

/** Draws all lines: first the bands, then the pale lines, then the lines. */
export function drawLines(ctx: CanvasRenderingContext2D, model: ChartModel, area: Area): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.left, area.top, area.width, area.height);
  ctx.clip();
  ctx.lineJoin = "bevel";
  const { lines } = model;
  if (lines.length <= MOST_BANDS) for (const each of lines) drawBand(ctx, each, model, area);
  for (const { line, style, smoothed, ghost } of lines) {
    // In a crowd, the logged values would hide the smoothed lines, and double the time.
    if (!ghost && (!smoothed || lines.length > MOST_DASHED)) continue;
    stroke(ctx, line.x, line.y, { color: withAlpha(style.color, 0.28), dash: ghost ? [3, 3] : [] }, 1, model, area);
  }
  for (const each of lines) if (!each.ghost) drawLine(ctx, each, widthOf(lines.length), model, area);
  drawMarks(ctx, model, area);
  ctx.restore();
}

/** Thin lines can be told apart in a crowd, and are drawn faster. */
const widthOf = (count: number): number => (count > MOST_DASHED ? 1 : 1.5);

/** Draws one line with its dots. */
export function drawLine(
  ctx: CanvasRenderingContext2D,
  { line, style, smoothed }: NamedLine,
  width: number,
  model: ChartModel,
  area: Area,
): void {
  const values = smoothed ?? line.y;
  const dash = model.lines.length > MOST_DASHED ? [] : style.dash;
  stroke(ctx, line.x, values, { color: style.color, dash }, width, model, area);
  const { x, y } = scalesOf(model, area);
  ctx.fillStyle = style.color;
  for (const i of dotIndices(values)) {
    ctx.beginPath();
    ctx.arc(toPixel(x, line.x[i] as number), toPixel(y, values[i] as number), 2.5 * area.ratio, 0, 2 * Math.PI);
    ctx.fill();
  }
}

function stroke(
  ctx: CanvasRenderingContext2D,
  xs: Float64Array,
  ys: Float64Array,
  { color, dash }: LineStyle,
  width: number,
  model: ChartModel,
  area: Area,
): void {
  ctx.strokeStyle = color;
  ctx.lineWidth = width * area.ratio;
  ctx.setLineDash(dash.map((length) => length * area.ratio));
  ctx.beginPath();
  trace(ctx, xs, ys, model, area);
  ctx.stroke();
}

function drawBand(ctx: CanvasRenderingContext2D, each: NamedLine, model: ChartModel, area: Area): void {
  const { line, style } = each;
  if (line.band === null || each.ghost) return;
  const { low, high } = line.band;
  const { x: sx, y: sy } = scalesOf(model, area);
  const from = Math.max(0, firstFrom(line.x, model.x[0]) - 1);
  const to = Math.min(line.x.length, firstFrom(line.x, model.x[1]) + 1);
  const bottom = area.top + area.height;
  const clamp = (py: number) => (py > -Infinity ? Math.min(bottom + area.height, Math.max(area.top - area.height, py)) : bottom);
  ctx.fillStyle = withAlpha(style.color, each.smoothed ? 0.08 : 0.18);
  let start = from;
  const fill = (end: number) => {
    if (end - start > 1) {
      ctx.beginPath();
      for (let i = start; i < end; i++) ctx.lineTo(toPixel(sx, line.x[i] as number), clamp(toPixel(sy, high[i] as number)));
      for (let i = end - 1; i >= start; i--) ctx.lineTo(toPixel(sx, line.x[i] as number), clamp(toPixel(sy, low[i] as number)));
      ctx.fill();
    }
    start = end + 1;
  };
  const absent = (i: number) =>
    Number.isNaN(low[i]) || (model.logY && (high[i] as number) <= 0) || (model.logX && (line.x[i] as number) <= 0);
  for (let i = from; i < to; i++) if (absent(i)) fill(i);
  fill(to);
}

/** Draws triangles at the upper and lower edge for infinities, and a cross at the lower edge for NaN. */
function drawMarks(ctx: CanvasRenderingContext2D, model: ChartModel, area: Area): void {
  const { left, top, width, height, ratio } = area;
  const { x: sx } = scalesOf(model, area);
  const size = 5 * ratio;
  ctx.setLineDash([]);
  ctx.lineWidth = 1.5 * ratio;
  for (const { line, style, ghost } of model.lines) {
    ctx.fillStyle = ctx.strokeStyle = style.color;
    if (ghost) continue;
    for (const mark of line.marks) {
      const x = toPixel(sx, mark.x);
      if (!(x >= left - 1 && x <= left + width + 1)) continue;
      ctx.beginPath();
      if (Number.isNaN(mark.value)) {
        const y = top + height - size;
        ctx.moveTo(x - size * 0.7, y - size * 0.7);
        ctx.lineTo(x + size * 0.7, y + size * 0.7);
        ctx.moveTo(x - size * 0.7, y + size * 0.7);
        ctx.lineTo(x + size * 0.7, y - size * 0.7);
        ctx.stroke();
      } else {
        const tip = mark.value > 0 ? top + 1 : top + height - 1;
        const base = mark.value > 0 ? tip + size * 1.5 : tip - size * 1.5;
        ctx.moveTo(x, tip);
        ctx.lineTo(x - size, base);
        ctx.lineTo(x + size, base);
        ctx.closePath();
        ctx.fill();
      }
    }
  }
}
