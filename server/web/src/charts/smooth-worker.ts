// Smooths lines outside of the page's thread, so that the page stays responsive.
import { smooth, type Smoothing } from "../lib/smoothing";

export interface SmoothJob {
  id: number;
  smoothing: Smoothing;
  /** Width of the x axis. */
  range: number;
  /** Number of points of each line. */
  lengths: number[];
  /** The x of all lines, then the values of all lines. */
  columns: Float64Array;
}

export interface SmoothAnswer {
  id: number;
  values: Float64Array;
}

self.onmessage = ({ data }: MessageEvent<SmoothJob>) => {
  const { id, smoothing, range, lengths, columns } = data;
  const total = columns.length / 2;
  const values = new Float64Array(total);
  let at = 0;
  for (const length of lengths) {
    const x = columns.subarray(at, at + length);
    const y = columns.subarray(total + at, total + at + length);
    values.set(smooth(x, y, smoothing, range), at);
    at += length;
  }
  const answer: SmoothAnswer = { id, values };
  self.postMessage(answer, { transfer: [values.buffer] });
};
