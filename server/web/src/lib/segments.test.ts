// Tests of the names of segments, and of the rows that the newest branch hides.
import { expect, it } from "vitest";
import type { Schema } from "./api";
import { abandonedBranches, chosenSegment, describeAbandoned, describeSegment, segmentTitle } from "./segments";

const segment = (change: Partial<Schema<"SegmentInfo">>): Schema<"SegmentInfo"> => ({
  id: "0".repeat(32),
  rank: 0,
  attempt: 0,
  host: "node7",
  started_at: 0,
  start_step: 0,
  last_step: 1200,
  rows: 1201,
  state: "finished",
  shown: true,
  shown_before: null,
  samples: 0,
  console_lines: 0,
  child: false,
  ended_at: null,
  reason: null,
  ...change,
});

it("describes a segment in one line", () => {
  expect(describeSegment(segment({}))).toBe("attempt 0 · rank 0 · node7 · steps 0–1,200");
  expect(describeSegment(segment({ attempt: 1, shown_before: 900, state: "crashed" }))).toBe(
    "attempt 1 · rank 0 · node7 · steps 0–1,200 · hidden from 900 · crashed",
  );
  expect(describeSegment(segment({ host: null, rank: 2, last_step: null, shown: false }))).toBe(
    "attempt 0 · rank 2 · no rows",
  );
  expect(describeSegment(segment({ start_step: 7, last_step: 7, shown_before: 3 }))).toBe(
    "attempt 0 · rank 0 · node7 · step 7 · hidden",
  );
  expect(segmentTitle(segment({ child: true }))).toBe("attempt 0 · rank 0 · child process");
});

it("finds only the rows that a resume logged again", () => {
  const went = segment({ id: "a".repeat(32), shown_before: 900 });
  const back = segment({ id: "b".repeat(32), attempt: 1, start_step: 900, last_step: 2000 });
  const other = segment({ id: "c".repeat(32), rank: 1, shown: false });
  const found = abandonedBranches([went, back, other]);
  expect(found).toEqual([{ segment: went, from: 900, to: 1200, by: 1 }]);
  expect(found.map(describeAbandoned)).toEqual([
    "Steps 900 to 1,200 of attempt 0 are drawn pale, because attempt 1 resumed at step 900.",
  ]);
  expect(describeAbandoned({ segment: went, from: 900, to: 900, by: null })).toBe(
    "Step 900 of attempt 0 is drawn pale, because a later attempt resumed before it.",
  );
  // An attempt that resumed at the end of the previous one hides no rows.
  expect(abandonedBranches([{ ...went, shown_before: 1201 }, { ...back, start_step: 1201 }])).toEqual([]);
  expect(abandonedBranches([{ ...went, last_step: null }, back])).toEqual([]);
});

it("accepts a writer only from a run that has it and others", () => {
  const one = segment({ id: "a".repeat(32) });
  const two = segment({ id: "b".repeat(32), rank: 1 });
  expect(chosenSegment([one, two], two.id)).toBe(two);
  expect(chosenSegment([one, two], "c".repeat(32))).toBeNull();
  expect(chosenSegment([one, two], null)).toBeNull();
  expect(chosenSegment([one], one.id)).toBeNull();
});
