// Saves a chart as a picture or as a table.
import { csvLine } from "../lib/csv";
import type { Theme } from "../lib/colors";
import type { ChartModel } from "./model";
import { SVG_WIDTH, svgOf } from "./svg";

const SCALE = 2; // device pixels of a PNG in each CSS pixel

export type FileKind = "png" | "svg" | "csv";

export interface Picture {
  /** An SVG document. */
  text: string;
  width: number;
  height: number;
}

/** Returns a chart as a picture. */
export function pictureOf(model: ChartModel, title: string, theme: Theme): Picture {
  return { ...svgOf(model, title, theme), width: SVG_WIDTH };
}

/** Saves a picture, or the text of a CSV file, as a file with the name of its title. */
export async function saveAs(kind: FileKind, title: string, content: Picture | string): Promise<void> {
  const name = `${title.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 100) || "chart"}.${kind}`;
  if (typeof content === "string") save(new Blob([content], { type: "text/csv" }), name);
  else save(kind === "png" ? await pngOf(content) : new Blob([content.text], { type: "image/svg+xml" }), name);
}

/** Returns a picture as a PNG. */
export async function pngOf({ text, width, height }: Picture): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * SCALE;
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
