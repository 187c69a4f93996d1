// A chart as SVG text: for exports, which need no canvas and no page.
import { withAlpha, type Theme } from "../lib/colors";
import { formatNumber, formatTimeTicks, formatX } from "../lib/format";
import { distinguish } from "../lib/names";
import { linearTicks, logTicks } from "../lib/ticks";
import { dotIndices, scalesOf, toPixel, trace, type Area } from "./draw";
import { MOST_BANDS, MOST_DASHED, type ChartModel, type NamedLine } from "./model";

export const SVG_WIDTH = 900;
const PLOT_HEIGHT = 420;
const LEFT = 64;
const RIGHT = 20;
const TOP = 40;
const LEGEND_ROW = 18;
const LEGEND_COLUMN = 210;
const COLORS: Record<Theme, { ground: string; text: string; muted: string; grid: string }> = {
  light: { ground: "#ffffff", text: "#1b1d23", muted: "#636975", grid: "#eceef1" },
  dark: { ground: "#181b21", text: "#e6e8ec", muted: "#9aa1ad", grid: "#23272f" },
};

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
/** Logged names can have any characters; XML allows no control characters. */
const escapeXml = (text: string): string =>
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "").replace(/[&<>"']/g, (found) => ESCAPES[found] as string);
const round = (value: number): string => String(Math.round(value * 10) / 10);

/** Collects the coordinates of a path. */
class PathText {
  text = "";
  moveTo(x: number, y: number): void {
    this.text += `M${round(x)} ${round(y)}`;
  }
  lineTo(x: number, y: number): void {
    this.text += `L${round(x)} ${round(y)}`;
  }
}

function pathOf(xs: Float64Array, ys: Float64Array, model: ChartModel, area: Area): string {
  const path = new PathText();
  trace(path, xs, ys, model, area);
  return path.text;
}

function bandOf({ line, style, smoothed }: NamedLine, model: ChartModel, area: Area): string {
  if (line.band === null) return "";
  const edge = (column: Float64Array) => pathOf(line.x, column, model, area);
  const { low, high } = line.band;
  // Both edges have the same gaps, so that each part of one belongs to a part of the other.
  const lows = edge(low).split("M").slice(1);
  return edge(high)
    .split("M")
    .slice(1)
    .map((upper, i) => {
      const lower = (lows[i] ?? "").split("L").reverse().join("L");
      return `<path d="M${upper}L${lower}Z" fill="${withAlpha(style.color, smoothed ? 0.08 : 0.18)}"/>`;
    })
    .join("");
}

function lineOf(each: NamedLine, model: ChartModel, area: Area): string {
  const { line, style, smoothed, ghost } = each;
  const pale = `<path d="${pathOf(line.x, line.y, model, area)}" fill="none" stroke="${style.color}" stroke-opacity="0.28"${ghost ? ' stroke-dasharray="3 3"' : ""}/>`;
  if (ghost) return pale;
  const values = smoothed ?? line.y;
  const dash = style.dash.length === 0 || model.lines.length > MOST_DASHED ? "" : ` stroke-dasharray="${style.dash.join(" ")}"`;
  const main = `<path d="${pathOf(line.x, values, model, area)}" fill="none" stroke="${style.color}" stroke-width="1.5"${dash}/>`;
  const { x, y } = scalesOf(model, area);
  const dots = dotIndices(values).map(
    (i) => `<circle cx="${round(toPixel(x, line.x[i] as number))}" cy="${round(toPixel(y, values[i] as number))}" r="2.5" fill="${style.color}"/>`,
  );
  return (smoothed && model.lines.length <= MOST_DASHED ? pale : "") + main + dots.join("");
}

function marksOf({ line, style, ghost }: NamedLine, model: ChartModel, area: Area): string {
  if (ghost) return "";
  const { x } = scalesOf(model, area);
  const bottom = area.top + area.height;
  return line.marks
    .filter((mark) => mark.x >= model.x[0] && mark.x <= model.x[1])
    .map((mark) => {
      const at = toPixel(x, mark.x);
      if (Number.isNaN(mark.value)) {
        const [a, b, c, d] = [at - 3.5, at + 3.5, bottom - 8.5, bottom - 1.5].map(round);
        return `<path d="M${a} ${c}L${b} ${d}M${a} ${d}L${b} ${c}" stroke="${style.color}" stroke-width="1.5"/>`;
      }
      const [tip, base] = mark.value > 0 ? [area.top + 1, area.top + 8.5] : [bottom - 1, bottom - 8.5];
      return `<path d="M${round(at)} ${tip}L${round(at - 5)} ${base}L${round(at + 5)} ${base}Z" fill="${style.color}"/>`;
    })
    .join("");
}

function axesOf(model: ChartModel, area: Area, theme: Theme): string {
  const { muted, grid } = COLORS[theme];
  const { x: sx, y: sy } = scalesOf(model, area);
  const ticks = (range: [number, number], count: number, log: boolean) =>
    log ? logTicks(...range, count) : linearTicks(...range, count);
  const xs = ticks(model.x, area.width / 110, model.logX);
  const labels =
    model.axis === "_timestamp" && !model.logX
      ? formatTimeTicks(xs, (xs[1] ?? 0) - (xs[0] ?? 0))
      : xs.map((value) => formatX(model.axis, value));
  const bottom = area.top + area.height;
  const across = xs.map((value, i) => {
    const at = round(toPixel(sx, value));
    return `<path d="M${at} ${area.top}V${bottom}" stroke="${grid}"/><text x="${at}" y="${bottom + 18}" text-anchor="middle" fill="${muted}">${escapeXml(labels[i] ?? "")}</text>`;
  });
  const up = ticks(model.y, area.height / 50, model.logY).map((value) => {
    const at = toPixel(sy, value);
    return `<path d="M${area.left} ${round(at)}H${area.left + area.width}" stroke="${grid}"/><text x="${area.left - 8}" y="${round(at + 4)}" text-anchor="end" fill="${muted}">${formatNumber(value, 4)}</text>`;
  });
  return [...across, ...up].join("");
}

/** Returns the chart with its title, axes and legend, and its height. */
export function svgOf(model: ChartModel, title: string, theme: Theme): { text: string; height: number } {
  const { ground, text } = COLORS[theme];
  const area: Area = { left: LEFT, top: TOP, width: SVG_WIDTH - LEFT - RIGHT, height: PLOT_HEIGHT, ratio: 1 };
  const named = model.lines.filter((each) => !each.ghost);
  const names = distinguish(named.map((each) => each.name));
  const perRow = Math.floor(area.width / LEGEND_COLUMN);
  const legend = names.map((name, i) => {
    const left = LEFT + (i % perRow) * LEGEND_COLUMN;
    const top = TOP + PLOT_HEIGHT + 44 + Math.floor(i / perRow) * LEGEND_ROW;
    const short = name.length > 30 ? `${name.slice(0, 29)}…` : name;
    return `<path d="M${left} ${top - 4}h14" stroke="${named[i]?.style.color ?? text}" stroke-width="3"/><text x="${left + 20}" y="${top}" fill="${text}">${escapeXml(short)}</text>`;
  });
  const height = TOP + PLOT_HEIGHT + 44 + Math.ceil(names.length / perRow) * LEGEND_ROW;
  const bands = model.lines.length <= MOST_BANDS ? named.map((each) => bandOf(each, model, area)) : [];
  const ghosts = model.lines.filter((each) => each.ghost).map((each) => lineOf(each, model, area));
  const lines = named.map((each) => lineOf(each, model, area));
  const marks = named.map((each) => marksOf(each, model, area));
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${SVG_WIDTH}" height="${height}" viewBox="0 0 ${SVG_WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="${ground}"/>`,
    `<clipPath id="plot"><rect x="${area.left}" y="${area.top}" width="${area.width}" height="${area.height}"/></clipPath>`,
    `<text x="${LEFT}" y="24" font-size="15" font-weight="600" fill="${text}">${escapeXml(title)}</text>`,
    axesOf(model, area, theme),
    `<g clip-path="url(#plot)" stroke-linejoin="bevel">`,
    ...bands,
    ...ghosts,
    ...lines,
    ...marks,
    "</g>",
    ...legend,
    "</svg>",
  ];
  return { text: parts.join(""), height };
}
