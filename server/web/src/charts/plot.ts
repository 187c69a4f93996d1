// One chart on a page: uPlot has the axes, the crosshair and the zoom; the lines are drawn by draw.ts.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatNumber, formatTimeTicks, formatX } from "../lib/format";
import { linearTicks, logTicks } from "../lib/ticks";
import { drawLine, drawLines, scalesOf, toPixel, type Area } from "./draw";
import type { ChartModel, Range } from "./model";

/** A place of the crosshair in CSS pixels of the plot area, and its x. */
export interface Place {
  x: number;
  left: number;
  top: number;
}

export interface PlotHandlers {
  /** Called with the place of the crosshair; null when it has left. */
  onCursor: (at: Place | null) => void;
  /** Called with the range of a box, or null after a double click. */
  onZoom: (range: Range | null) => void;
  /** Called while the chart is moved with shift and drag, or scaled with ctrl and the wheel. */
  onPan?: (range: Range) => void;
}

export interface Plot {
  update: (model: ChartModel) => void;
  resize: (width: number, height: number) => void;
  /** Draws a line thicker, and a dot at one of its points; null for none. */
  highlight: (line: number | null, dot: { x: number; y: number } | null) => void;
  /** The plot area in CSS pixels, relative to the chart. */
  area: () => Area;
  destroy: () => void;
}

const TICK_SPACE = 38; // pixels between two ticks of the value axis
const LOG_SPACE = 60; // pixels between two ticks of a logarithmic x axis
// Tick distances in seconds that are easy to read: parts of a minute, an hour, a day, then days.
const RUNTIME_STEPS = [
  ...[0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200],
  ...[1, 2, 5, 10, 20, 50, 100, 1000, 10000].map((days) => days * 86400),
];
const FONT = "11px system-ui, sans-serif";
const NOTHING = [null, null];

interface Ink {
  text: string;
  grid: string;
}

function inkOf(element: HTMLElement): Ink {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return { text: read("--muted"), grid: read("--grid") };
}

function axisX(ink: Ink, { axis, logX }: ChartModel): uPlot.Axis {
  const common: uPlot.Axis = {
    stroke: ink.text,
    font: FONT,
    grid: { stroke: ink.grid, width: 1 },
    ticks: { stroke: ink.grid, width: 1, size: 4 },
    size: 26,
    gap: 4,
  };
  if (logX) {
    common.splits = (u, _axis, low, high) => logTicks(low, high, u.bbox.width / uPlot.pxRatio / LOG_SPACE);
    common.filter = (_u, splits) => splits;
  } else if (axis === "_timestamp") {
    return { ...common, space: 90, values: (_u, splits, _axis, _space, step) => formatTimeTicks(splits, step) };
  } else if (axis === "_runtime") common.incrs = RUNTIME_STEPS;
  return { ...common, space: 70, values: (_u, splits) => splits.map((value) => (value === null ? "" : formatX(axis, value))) };
}

function axisY(ink: Ink, { logY }: ChartModel): uPlot.Axis {
  return {
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
      return logY ? logTicks(low, high, count) : linearTicks(low, high, count);
    },
    // uPlot would drop most labels of a logarithmic axis. The ticks above are already few.
    filter: (_u, splits) => splits,
    values: (_u, splits) => splits.map((value) => (value === null ? "" : formatNumber(value, 4))),
  };
}

/** Moves a range by a share of its width, or scales it around a share of its width. */
export function movedRange([low, high]: Range, log: boolean, move: number, scale: number, center: number): Range {
  const [first, last] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const width = last - first;
  const start = first + width * (move + center * (1 - scale));
  const moved: Range = [start, start + width * scale];
  return log ? [10 ** moved[0], 10 ** moved[1]] : moved;
}

export function createPlot(
  target: HTMLElement,
  size: { width: number; height: number },
  firstModel: ChartModel,
  handlers: PlotHandlers,
): Plot {
  let model = firstModel;
  let shown: { line: number | null; dot: string } = { line: null, dot: "" };
  const ink = inkOf(target);
  /** The thick line is drawn above the others, so that they need not be drawn again. */
  let over: HTMLCanvasElement | null = null;
  const dot = document.createElement("div");
  dot.className = "hover-dot";
  const dataOf = () => [model.x, NOTHING] as unknown as uPlot.AlignedData;
  const canvasArea = (u: uPlot): Area => ({ ...u.bbox, ratio: uPlot.pxRatio });
  const stop = new AbortController();

  const startPan = (u: uPlot, down: MouseEvent) => {
    const from = model.x;
    const width = u.bbox.width / uPlot.pxRatio;
    const ended = new AbortController();
    const { signal } = ended;
    const onMove = (event: MouseEvent) =>
      handlers.onPan?.(movedRange(from, model.logX, (down.clientX - event.clientX) / width, 1, 0));
    document.addEventListener("mousemove", onMove, { signal });
    document.addEventListener("mouseup", () => ended.abort(), { signal });
    stop.signal.addEventListener("abort", () => ended.abort(), { signal });
  };

  const plot = new uPlot(
    {
      ...size,
      padding: [8, 10, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: model.axis === "_timestamp" && !model.logX, distr: model.logX ? 3 : 1, range: () => model.x },
        y: { distr: model.logY ? 3 : 1, range: () => model.y },
      },
      axes: [axisX(ink, model), axisY(ink, model)],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: {
        x: true,
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        sync: {
          key: `charts ${model.axis}`,
          setSeries: false,
          scales: ["x", null],
          // Share only the crosshair between charts. A drag belongs to the chart in which it began.
          filters: { pub: (type) => type === "mousemove" || type === "mouseleave", sub: () => true },
        },
        bind: {
          mousedown: (u, _target, handler) => (event) => {
            if (event.shiftKey && event.button === 0 && handlers.onPan !== undefined) startPan(u, event);
            else handler(event);
            return null;
          },
          dblclick: () => () => {
            handlers.onZoom(null);
            return null;
          },
        },
      },
      hooks: {
        draw: [(u) => drawLines(u.ctx, model, canvasArea(u))],
        setCursor: [
          (u) => {
            const { left = -1, top = -1 } = u.cursor;
            handlers.onCursor(left < 0 || model.lines.length === 0 ? null : { x: u.posToVal(left, "x"), left, top });
          },
        ],
        setSelect: [
          (u) => {
            const { left, width } = u.select;
            if (width < 4) return;
            const range: Range = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (range[0] < range[1]) handlers.onZoom(range);
          },
        ],
      },
    },
    dataOf(),
    target,
  );
  plot.over.append(dot);
  dot.hidden = true;
  plot.over.addEventListener(
    "wheel",
    (event) => {
      if (!(event.ctrlKey || event.metaKey) || handlers.onPan === undefined) return;
      event.preventDefault();
      const center = event.offsetX / (plot.bbox.width / uPlot.pxRatio);
      handlers.onPan(movedRange(model.x, model.logX, 0, Math.exp(event.deltaY * 0.002), center));
    },
    { passive: false, signal: stop.signal },
  );

  const paint = (line: number | null) => {
    if (over === null) {
      over = document.createElement("canvas");
      over.className = "over";
      plot.over.prepend(over);
    }
    const { width, height } = plot.bbox;
    over.width = width; // also clears it
    over.height = height;
    const ctx = over.getContext("2d");
    const each = line === null ? undefined : model.lines[line];
    if (ctx === null || each === undefined) return;
    ctx.lineJoin = "bevel";
    drawLine(ctx, each, 3, model, { left: 0, top: 0, width, height, ratio: uPlot.pxRatio });
  };

  return {
    update(next) {
      model = next;
      plot.setData(dataOf());
      if (shown.line !== null) paint(shown.line);
    },
    resize: (width, height) => plot.setSize({ width, height }),
    highlight(line, at) {
      if (line !== shown.line) paint(line);
      const { width, height } = plot.bbox;
      const { x, y } = scalesOf(model, { left: 0, top: 0, width, height, ratio: 1 });
      const place =
        at === null
          ? ""
          : `translate(${toPixel(x, at.x) / uPlot.pxRatio}px, ${toPixel(y, at.y) / uPlot.pxRatio}px)`;
      if (place !== shown.dot) {
        dot.hidden = place === "" || place.includes("NaN");
        dot.style.transform = place;
        const color = line === null ? undefined : model.lines[line]?.style.color;
        dot.style.background = color ?? model.lines[0]?.style.color ?? "";
      }
      shown = { line, dot: place };
    },
    area: () => {
      const { left, top, width, height } = plot.bbox;
      const ratio = uPlot.pxRatio;
      return { left: left / ratio, top: top / ratio, width: width / ratio, height: height / ratio, ratio };
    },
    destroy() {
      stop.abort();
      plot.destroy();
    },
  };
}
