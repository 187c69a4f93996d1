import { expect, test } from "vitest";
import { placeOf, systemCharts } from "./system";

const segment = (rank: number, rows: Record<string, number>[]) => ({
  segment: `s${rank}`,
  rank,
  attempt: 0,
  host: "node",
  rows,
  child: false,
});

test("GPUs and ranks share a chart with one line each", () => {
  const rows: Record<string, number>[] = [
    { _runtime: 1, _timestamp: 101, "gpu.0.temp": 40, "gpu.1.temp": 41, "gpu.process.0.temp": 40, cpu: 5 },
    { _runtime: 2, _timestamp: 102, "gpu.0.temp": 42, "gpu.1.temp": 43 },
  ];
  const charts = systemCharts([segment(0, rows), segment(1, rows.slice(0, 1))]);
  expect(charts.map(({ title }) => title)).toEqual(["GPU temperature (°C)", "Process CPU utilisation (%)"]);
  expect(charts[0]?.lines.map(({ name }) => name)).toEqual([
    "GPU 0 · rank 0",
    "GPU 1 · rank 0",
    "GPU 0 · rank 1",
    "GPU 1 · rank 1",
  ]);
  expect(charts[0]?.lines[0]?.line.x).toEqual(Float64Array.of(1, 2));
  expect(charts[0]?.lines[0]?.line.y).toEqual(Float64Array.of(40, 42));
});

test("an unknown metric is drawn under its own name", () => {
  expect(placeOf("network.tcpRetransmits").title).toBe("network.tcpRetransmits");
  expect(placeOf("disk./scratch.usageGB")).toMatchObject({ title: "Disk in use (GB)", part: "/scratch" });
  expect(systemCharts([])).toEqual([]);
});
