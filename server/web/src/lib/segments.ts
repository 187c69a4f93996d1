// What a run's segments are called, and which of their rows the newest branch does not show.
import { formatNumber } from "./format";
import type { RunSegment } from "./records";

/** Rows that a later attempt logged again, from an earlier step on. */
export interface Abandoned {
  segment: RunSegment;
  from: number;
  to: number;
  /** The attempt that went back; null when it is not known. */
  by: number | null;
}

/** The end of a branch that a resume went back behind, by segment, oldest attempt first. */
export function abandonedBranches(segments: RunSegment[]): Abandoned[] {
  return segments.flatMap((segment) => {
    const from = segment.shown_before;
    const to = segment.last_step;
    if (!segment.shown || from === null || to === null || to < from) return [];
    const later = segments.find(
      (other) => other.rank === segment.rank && other.attempt > segment.attempt && other.start_step === from,
    );
    return [{ segment, from: Math.max(from, segment.start_step), to, by: later?.attempt ?? null }];
  });
}

/** The segment that an address names, if the run has it and there is a choice. */
export function chosenSegment(segments: RunSegment[], id: string | null): RunSegment | null {
  return segments.length < 2 ? null : (segments.find((segment) => segment.id === id) ?? null);
}

export function segmentTitle(segment: RunSegment): string {
  return `attempt ${segment.attempt} · rank ${segment.rank}${segment.child ? " · child process" : ""}`;
}

/** One line: attempt, rank, host, steps, and from where on the newest branch hides it. */
export function describeSegment(segment: RunSegment): string {
  const parts = [segmentTitle(segment)];
  if (segment.host !== null) parts.push(segment.host);
  parts.push(stepsOf(segment));
  const [branch] = abandonedBranches([segment]);
  if (branch !== undefined) {
    parts.push(branch.from > segment.start_step ? `hidden from ${formatNumber(branch.from)}` : "hidden");
  }
  // Who is forked to log, and then exits, says no more.
  if (segment.state !== "finished" && !segment.child) parts.push(segment.state);
  return parts.join(" · ");
}

function stepsOf({ start_step: first, last_step: last }: RunSegment): string {
  if (last === null) return "no rows";
  // A row may stand before the first step that the writer would have given by itself.
  return first < last ? `steps ${formatNumber(first)}–${formatNumber(last)}` : `step ${formatNumber(last)}`;
}

export function describeAbandoned({ segment, from, to, by }: Abandoned): string {
  const steps = from === to ? `Step ${formatNumber(from)}` : `Steps ${formatNumber(from)} to ${formatNumber(to)}`;
  const are = from === to ? "is" : "are";
  const again = by === null ? `a later attempt went back behind ${from === to ? "it" : "them"}` : `attempt ${by} went back to step ${formatNumber(from)}`;
  return `${steps} of attempt ${segment.attempt} ${are} not drawn: ${again}.`;
}
