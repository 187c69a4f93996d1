// The attempts of a run over time: one row for each writer, one bar for each segment.
import type { Schema } from "./api";
import { segmentTitle } from "./segments";

export interface TimelineBar {
  segment: Schema<"SegmentInfo">;
  /** Where the bar begins and ends, as fractions of the whole time. */
  from: number;
  to: number;
}

export interface Timeline {
  start: number;
  end: number;
  rows: { title: string; bars: TimelineBar[] }[];
}

/** Returns the bars of all segments by writer; a segment that runs ends at `now`. */
export function timelineOf(segments: Schema<"SegmentInfo">[], now: number): Timeline | null {
  if (segments.length === 0) return null;
  const endOf = (segment: Schema<"SegmentInfo">) => Math.max(segment.started_at, segment.ended_at ?? now);
  const start = segments.reduce((least, each) => Math.min(least, each.started_at), Infinity);
  const end = Math.max(
    start + 1e-3,
    segments.reduce((most, each) => Math.max(most, endOf(each)), -Infinity),
  );
  const rows = new Map<string, TimelineBar[]>();
  for (const segment of segments) {
    const title = `rank ${segment.rank}${segment.child ? " · child process" : ""}${segment.host === null ? "" : ` · ${segment.host}`}`;
    const place = (time: number) => (time - start) / (end - start);
    const bar = { segment, from: place(segment.started_at), to: place(endOf(segment)) };
    rows.set(title, [...(rows.get(title) ?? []), bar]);
  }
  return { start, end, rows: [...rows].map(([title, bars]) => ({ title, bars: bars.sort((a, b) => a.from - b.from) })) };
}

/** Returns what a segment was and how it ended, in a few words. */
export function describeEnd(segment: Schema<"SegmentInfo">): string {
  const reason = segment.reason === null ? "" : ` (${segment.reason})`;
  return `${segmentTitle(segment)}: ${segment.state}${reason}`;
}
