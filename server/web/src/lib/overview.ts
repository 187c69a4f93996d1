// The overview of a project in the list of projects: runs per day, and its states.
import { plural } from "./format";

export interface DayBar {
  /** Height between 0 and 1. A day with runs has at least a visible height. */
  height: number;
  title: string;
}

const LEAST = 0.12;
const DAY = 86_400;

/** Returns the bars of a strip. The days begin at `firstDay`, in UTC. */
export function dayBars(firstDay: number, counts: number[]): DayBar[] {
  const most = Math.max(1, ...counts);
  return counts.map((count, at) => ({
    height: count === 0 ? 0 : LEAST + (1 - LEAST) * (count / most),
    title: `${new Date((firstDay + at * DAY) * 1000).toISOString().slice(0, 10)}: ${plural(count, "run")}`,
  }));
}

/** Describes a strip for screen readers. */
export function describeDays(counts: number[]): string {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const active = counts.filter(Boolean).length;
  return total === 0
    ? `no runs in ${plural(counts.length, "day")}`
    : `${plural(total, "run")} on ${active} of the last ${plural(counts.length, "day")}`;
}

const ORDER = ["running", "preempting", "crashed", "failed", "preempted", "finished"];

/** Returns the states that occur: those that need attention first. */
export function orderedStates(states: Record<string, number>): { state: string; count: number }[] {
  return [...new Set([...ORDER, ...Object.keys(states)])]
    .map((state) => ({ state, count: states[state] ?? 0 }))
    .filter(({ count }) => count > 0);
}
