// Draws a chart model with uPlot: axes, bands, dots, marks for NaN and infinities, crosshair, zoom.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { withAlpha } from "../lib/colors";
import { formatNumber, formatTimeTicks, formatX } from "../lib/format";
import { nearest, type Cell } from "../lib/lines";
import { linearTicks, logTicks } from "../lib/ticks";
import { dotIndices, reachOf, xRange, yRange, type ChartModel, type ChartView, type ModelColumn } from "./model";

export interface PlotHandlers {
  /** Called with the x value and the pixel column of the crosshair; null when the crosshair has left. */
  onCursor: (at: { x: number; left: number } | null) => void;
  onZoom: (range: [number, number] | null) => void;
}

export interface Plot {
  update: (model: ChartModel, view: ChartView) => void;
  resize: (width: number, height: number) => void;
  destroy: () => void;
}

interface Ink {
  text: string;
  grid: string;
}

/** Lines with at most this many points show a dot for each point. */
const FEW_POINTS = 40;
const TICK_SPACE = 38; // pixels between two ticks of the value axis
// Tick distances in seconds that are easy to read: parts of a minute, an hour, a day, then days.
const RUNTIME_STEPS = [
  ...[0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200],
  ...[1, 2, 5, 10, 20, 50, 100, 1000, 10000].map((days) => days * 86400),
];
const SYNC_KEY = "workspace";
const FONT = "11px system-ui, sans-serif";

function inkOf(element: HTMLElement): Ink {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return { text: read("--muted"), grid: read("--grid") };
}

function seriesOf(column: ModelColumn, dots: () => number[]): uPlot.Series {
  const { role, style } = column;
  const points: uPlot.Series.Points = {
    show: () => false,
    filter: () => (role === "main" ? dots() : null),
    size: 5,
    fill: style.color,
    stroke: style.color,
    width: 0,
  };
  switch (role) {
    case "main":
      return { stroke: style.color, width: 1.5, dash: style.dash, points };
    case "ghost":
      return { stroke: withAlpha(style.color, 0.3), width: 1, points };
    default:
      return { stroke: "transparent", width: 0, points };
  }
}

function bandsOf(meta: ModelColumn[], smoothing: number): uPlot.Band[] {
  const bands: uPlot.Band[] = [];
  for (const [i, column] of meta.entries()) {
    if (column.role !== "low") continue;
    // Series 0 is x, so column i is series i + 1. The upper edge of the band is the series after it.
    bands.push({ series: [i + 2, i + 1], fill: withAlpha(column.style.color, smoothing > 0 ? 0.08 : 0.18) });
  }
  return bands;
}

function hoverDot(shown: boolean): HTMLElement {
  const dot = document.createElement("div");
  dot.hidden = !shown;
  dot.className = "hover-dot";
  return dot;
}

/** Draws triangles at the upper and lower edge for infinities, and a cross at the lower edge for NaN. */
function drawMarks(u: uPlot, marks: ChartModel["marks"]): void {
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const size = 5 * uPlot.pxRatio;
  ctx.save();
  for (const { mark, color } of marks) {
    const x = u.valToPos(mark.x, "x", true);
    if (x < left - 1 || x > left + width + 1) continue;
    ctx.fillStyle = ctx.strokeStyle = color;
    ctx.lineWidth = 1.5 * uPlot.pxRatio;
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
  ctx.restore();
}

function axisX(ink: Ink, axis: string): uPlot.Axis {
  const common: uPlot.Axis = {
    stroke: ink.text,
    font: FONT,
    grid: { stroke: ink.grid, width: 1 },
    ticks: { stroke: ink.grid, width: 1, size: 4 },
    size: 26,
    gap: 4,
  };
  if (axis === "_timestamp") {
    return { ...common, space: 90, values: (_u, splits, _axis, _space, step) => formatTimeTicks(splits, step) };
  }
  if (axis === "_runtime") common.incrs = RUNTIME_STEPS;
  return { ...common, space: 70, values: (_u, splits) => splits.map((value) => formatX(axis, value)) };
}

export function createPlot(
  target: HTMLElement,
  size: { width: number; height: number },
  firstModel: ChartModel,
  firstView: ChartView,
  handlers: PlotHandlers,
): Plot {
  let model = firstModel;
  let view = firstView;
  let dots: number[][] = [];
  const ink = inkOf(target);
  const findDots = () => {
    dots = model.columns.map((column, i) =>
      model.meta[i]?.role === "main" ? dotIndices(column, FEW_POINTS) : [],
    );
  };
  const dataOf = () => [model.x, ...model.columns] as uPlot.AlignedData;
  findDots();

  const options: uPlot.Options = {
    ...size,
    padding: [8, 10, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: view.axis === "_timestamp", range: () => xRange(model.x, view.zoom, view.axis) },
      y: {
        distr: view.log ? 3 : 1,
        // Do not read u.scales.x here: it still has the old range while uPlot replaces its data.
        range: () => yRange(model, ...xRange(model.x, view.zoom, view.axis), view.log),
      },
    },
    axes: [
      axisX(ink, view.axis),
      {
        stroke: ink.text,
        font: FONT,
        grid: { stroke: ink.grid, width: 1 },
        ticks: { show: false },
        size: 54,
        gap: 6,
        // One distance that always fits, because the ticks are computed below. uPlot's own list ends at
        // 1e15, and below 5 uPlot accepts only distances from that list.
        incrs: (_u, _axis, low, high) => [Math.max(5, (high / 2 - low / 2) * 1.99)],
        splits: (u, _axis, low, high) => {
          const count = u.bbox.height / uPlot.pxRatio / TICK_SPACE;
          return view.log ? logTicks(low, high, count) : linearTicks(low, high, count);
        },
        // uPlot would drop most labels of a logarithmic axis. The ticks above are already few.
        filter: (_u, splits) => splits,
        values: (_u, splits) => splits.map((value) => (value === null ? "" : formatNumber(value, 4))),
      },
    ],
    series: [{}, ...model.meta.map((column, i) => seriesOf(column, () => dots[i] ?? []))],
    bands: bandsOf(model.meta, view.smoothing),
    cursor: {
      x: true,
      y: false,
      drag: { x: true, y: false, setScale: false, dist: 6 },
      sync: {
        key: SYNC_KEY,
        setSeries: false,
        scales: ["x", null],
        // Share only the crosshair between charts. A drag belongs to the chart in which it began.
        filters: { pub: (type) => type === "mousemove" || type === "mouseleave", sub: () => true },
      },
      dataIdx: (u, series, hovered, x) => {
        const { min = 0, max = 0 } = u.scales["x"] ?? {};
        const reach = reachOf(model.meta.at(-1)?.line === 0, min, max);
        const found = series === 0 ? -1 : nearest(model.x, u.data[series] as Cell[], x, reach);
        return found === -1 ? hovered : found;
      },
      points: {
        show: (_u, series) => hoverDot(model.meta[series - 1]?.role === "main"),
      },
      bind: {
        dblclick: () => () => {
          handlers.onZoom(null);
          return null;
        },
      },
    },
    hooks: {
      draw: [(u) => drawMarks(u, model.marks)],
      setCursor: [
        (u) => {
          const left = u.cursor.left ?? -1;
          handlers.onCursor(left < 0 || model.x.length === 0 ? null : { x: u.posToVal(left, "x"), left });
        },
      ],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 4) return;
          const range: [number, number] = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (range[0] < range[1]) handlers.onZoom(range);
        },
      ],
    },
  };
  const plot = new uPlot(options, dataOf(), target);
  return {
    update(nextModel, nextView) {
      model = nextModel;
      view = nextView;
      findDots();
      plot.setData(dataOf());
    },
    resize: (width, height) => plot.setSize({ width, height }),
    destroy: () => plot.destroy(),
  };
}
