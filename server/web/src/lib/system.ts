// Charts of system metrics: the metrics of each chart, and the lines of each writer.
import { toLine, type Line } from "./lines";
import type { Schema } from "./api";

export interface SystemChart {
  title: string;
  /** `gpu` is the number of the GPU; null for other metrics. */
  lines: { id: string; name: string; gpu: string | null; line: Line }[];
}

// The charts are shown in this order. An unknown metric comes last, under its own name.
const TITLES: [RegExp, string][] = [
  [/^gpu\.\d+\.gpu$/, "GPU utilisation (%)"],
  [/^gpu\.\d+\.memoryAllocated$/, "GPU memory allocated (%)"],
  [/^gpu\.\d+\.memoryAllocatedBytes$/, "GPU memory allocated (bytes)"],
  [/^gpu\.\d+\.memory$/, "GPU time accessing memory (%)"],
  [/^gpu\.\d+\.powerWatts$/, "GPU power (W)"],
  [/^gpu\.\d+\.powerPercent$/, "GPU power (%)"],
  [/^gpu\.\d+\.temp$/, "GPU temperature (°C)"],
  [/^gpu\.\d+\.smClock$/, "GPU SM clock (MHz)"],
  [/^cpu$/, "Process CPU utilisation (%)"],
  [/^proc\.cpu\.threads$/, "Process CPU threads in use"],
  [/^memory_percent$/, "System memory in use (%)"],
  [/^proc\.memory\.rssMB$/, "Process memory in use (MB)"],
  [/^proc\.memory\.percent$/, "Process memory in use (%)"],
  [/^proc\.memory\.availableMB$/, "System memory available (MB)"],
  [/^disk\..*\.usagePercent$/, "Disk in use (%)"],
  [/^disk\..*\.usageGB$/, "Disk in use (GB)"],
  [/^disk\..*\.in$/, "Disk read (MB)"],
  [/^disk\..*\.out$/, "Disk written (MB)"],
  [/^network\.sent$/, "Network sent (bytes)"],
  [/^network\.recv$/, "Network received (bytes)"],
];

/** The chart of a metric, and the part of its name (a GPU, a disk) that distinguishes its line. */
export function placeOf(metric: string): { title: string; rank: number; part: string } {
  const rank = TITLES.findIndex(([pattern]) => pattern.test(metric));
  const gpu = /^gpu\.(\d+)\.(.*)$/.exec(metric);
  const disk = /^disk\.(.*)\.[^.]+$/.exec(metric);
  const part = gpu !== null ? `GPU ${gpu[1]}` : disk !== null ? (disk[1] ?? "") : "";
  if (rank >= 0) return { title: TITLES[rank]?.[1] ?? metric, rank, part };
  return { title: gpu !== null ? `GPU ${gpu[2]}` : metric, rank: TITLES.length, part };
}

/**
 * Returns the charts over the run's time. `gpu.process.N` repeats the values of `gpu.N`, so it is omitted.
 */
export function systemCharts(segments: Schema<"SystemMetrics">[]): SystemChart[] {
  const ranks = new Set(segments.map((segment) => segment.rank));
  const hosts = new Set(segments.map((segment) => segment.host));
  const attempts = new Set(segments.map((segment) => segment.attempt));
  const charts = new Map<string, { rank: number; chart: SystemChart }>();
  for (const segment of segments) {
    for (const metric of metricsOf(segment)) {
      const { title, rank, part } = placeOf(metric);
      const names = [part];
      if (ranks.size > 1) names.push(`rank ${segment.rank}`);
      if (hosts.size > 1 && segment.host !== null) names.push(segment.host);
      if (attempts.size > 1) names.push(`attempt ${segment.attempt}`);
      if (segment.child) names.push("child process");
      const name = names.filter((each) => each !== "").join(" · ") || title;
      const found = charts.get(title) ?? { rank, chart: { title, lines: [] } };
      const gpu = /^gpu\.(\d+)\./.exec(metric)?.[1] ?? null;
      found.chart.lines.push({ id: `${segment.segment} ${metric}`, name, gpu, line: lineOf(segment, metric) });
      charts.set(title, found);
    }
  }
  return [...charts.values()]
    .sort((a, b) => a.rank - b.rank || a.chart.title.localeCompare(b.chart.title))
    .map(({ chart }) => chart);
}

function metricsOf(segment: Schema<"SystemMetrics">): string[] {
  const names = new Set(segment.rows.flatMap((row) => Object.keys(row)));
  return [...names].filter((name) => !name.startsWith("_") && !name.startsWith("gpu.process.")).sort();
}

function lineOf(segment: Schema<"SystemMetrics">, metric: string): Line {
  const rows = segment.rows.filter((row) => row[metric] !== undefined);
  const column = (name: string) => Float64Array.from(rows, (row) => Number(row[name]));
  return toLine({ key: metric, kind: "points", x: column("_runtime"), y: column(metric) });
}
