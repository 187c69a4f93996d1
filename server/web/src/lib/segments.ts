// Names of a run's segments, and the rows of each that the newest branch does not show.
import { formatNumber } from "./format";
import type { Schema } from "./api";

/** Rows that a later attempt logged again, because it resumed from an earlier step. */
export interface Abandoned {
  segment: Schema<"SegmentInfo">;
  from: number;
  to: number;
  /** The attempt that logged them again; null if it is unknown. */
  by: number | null;
}

/** Returns for each segment the rows that a resume logged again, oldest attempt first. */
export function abandonedBranches(segments: Schema<"SegmentInfo">[]): Abandoned[] {
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

/** Returns the segment in an address, if the run has it and has other segments too. */
export function chosenSegment(segments: Schema<"SegmentInfo">[], id: string | null): Schema<"SegmentInfo"> | null {
  return segments.length < 2 ? null : (segments.find((segment) => segment.id === id) ?? null);
}

export function segmentTitle(segment: Schema<"SegmentInfo">): string {
  return `attempt ${segment.attempt} · rank ${segment.rank}${segment.child ? " · child process" : ""}`;
}

/** Describes a segment in one line: attempt, rank, host, steps, and the first hidden step. */
export function describeSegment(segment: Schema<"SegmentInfo">): string {
  const parts = [segmentTitle(segment)];
  if (segment.host !== null) parts.push(segment.host);
  parts.push(stepsOf(segment));
  const [branch] = abandonedBranches([segment]);
  if (branch !== undefined) {
    parts.push(branch.from > segment.start_step ? `hidden from ${formatNumber(branch.from)}` : "hidden");
  }
  // A forked child that logs and exits leaves no final state.
  if (segment.state !== "finished" && !segment.child) parts.push(segment.state);
  return parts.join(" · ");
}

function stepsOf({ start_step: first, last_step: last }: Schema<"SegmentInfo">): string {
  if (last === null) return "no rows";
  // A row can have an explicit step before the writer's first automatic step.
  return first < last ? `steps ${formatNumber(first)}–${formatNumber(last)}` : `step ${formatNumber(last)}`;
}

export function describeAbandoned({ segment, from, to, by }: Abandoned): string {
  const steps = from === to ? `Step ${formatNumber(from)}` : `Steps ${formatNumber(from)} to ${formatNumber(to)}`;
  const are = from === to ? "is" : "are";
  const again = by === null ? `a later attempt resumed before ${from === to ? "it" : "them"}` : `attempt ${by} resumed at step ${formatNumber(from)}`;
  return `${steps} of attempt ${segment.attempt} ${are} drawn pale, because ${again}.`;
}
