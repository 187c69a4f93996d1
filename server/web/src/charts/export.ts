// Saves a chart as a picture or as a table.
import { csvLine } from "../lib/csv";
import type { Theme } from "../lib/colors";
import type { ChartModel } from "./model";
import { SVG_WIDTH, svgOf } from "./svg";

const SCALE = 2; // device pixels of a PNG in each CSS pixel

/** Saves a chart as a file with the name of its title. */
export async function saveChart(kind: "png" | "svg" | "csv", model: ChartModel, title: string, theme: Theme): Promise<void> {
  const name = title.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 100) || "chart";
  if (kind === "png") return save(await pngOf(model, title, theme), `${name}.png`);
  if (kind === "svg") return save(new Blob([svgOf(model, title, theme).text], { type: "image/svg+xml" }), `${name}.svg`);
  save(new Blob([csvOf(model)], { type: "text/csv" }), `${name}.csv`);
}

/** Returns the chart as a PNG. */
export async function pngOf(model: ChartModel, title: string, theme: Theme): Promise<Blob> {
  const { text, height } = svgOf(model, title, theme);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SVG_WIDTH * SCALE;
  canvas.height = height * SCALE;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob === null ? reject(new Error("The picture is too large.")) : resolve(blob)), "image/png"),
  );
}

/** Returns the drawn points in the visible range: one row for each. */
export function csvOf({ lines, x: [low, high], axis }: ChartModel): string {
  const smoothed = lines.some((each) => each.smoothed);
  const bands = lines.some((each) => each.line.band !== null);
  const head = ["run", axis, "value", ...(smoothed ? ["smoothed"] : []), ...(bands ? ["min", "max", "count"] : [])];
  const rows: (string | number | null)[][] = [head];
  const number = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? null : value);
  for (const { name, line, smoothed: values, ghost } of lines) {
    if (ghost) continue;
    const marks = new Map(line.marks.map((mark) => [mark.x, mark.value]));
    for (const [i, x] of line.x.entries()) {
      if (x < low || x > high) continue;
      const y = line.y[i] as number;
      const row = [name, x, Number.isNaN(y) ? (marks.get(x) ?? null) : y];
      if (smoothed) row.push(number(values?.[i]));
      if (bands) row.push(number(line.band?.low[i]), number(line.band?.high[i]), number(line.buckets?.count[i] ?? 1));
      rows.push(row);
    }
  }
  return rows.map(csvLine).join("");
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
