// Decodes the binary chart answer into typed columns. It neither scales nor draws.

export interface PointSeries {
  key: string;
  kind: "points";
  x: Float64Array;
  y: Float64Array;
}

export interface BucketSeries {
  key: string;
  kind: "buckets";
  x: Float64Array;
  last: Float64Array;
  min: Float64Array;
  max: Float64Array;
  mean: Float64Array;
  count: Float64Array;
  /** Number of NaN and infinite values in each bucket; empty if the server does not send it. */
  nonfinite: Float64Array;
  /** Steps of the lowest and the highest value; empty if the server does not send them. */
  minStep: Float64Array;
  maxStep: Float64Array;
}

export type ChartSeries = PointSeries | BucketSeries;

export interface Chart {
  x: string;
  series: ChartSeries[];
}

interface SeriesHeader {
  key: string;
  kind: string;
  length: number;
  /** The position of each column in bytes, from the end of the header. Series can share a column. */
  offsets: Record<string, number>;
}

/** The bytes are not a valid chart answer. */
export class ChartFormatError extends Error {}

const COLUMN_BYTES = 8;

/**
 * Decodes a 4-byte header length, the header, and little-endian Float64 columns. The columns are views of
 * `buffer`.
 */
export function decodeChart(buffer: ArrayBuffer): Chart {
  if (buffer.byteLength < 4) throw new ChartFormatError("The chart response is too short.");
  const headerLength = new DataView(buffer).getUint32(0, true);
  const start = 4 + headerLength;
  if (start > buffer.byteLength || start % COLUMN_BYTES !== 0) {
    throw new ChartFormatError("The chart response has a bad header length.");
  }
  const header = parseHeader(new Uint8Array(buffer, 4, headerLength));
  const series = header.series.map((item) => {
    const columns = new Map<string, Float64Array>();
    for (const [name, offset] of Object.entries(item.offsets)) {
      if (start + offset + item.length * COLUMN_BYTES > buffer.byteLength) {
        throw new ChartFormatError(`The chart response ends inside ${item.key}.`);
      }
      columns.set(name, new Float64Array(buffer, start + offset, item.length));
    }
    return toSeries(item, columns);
  });
  return { x: header.x, series };
}

function parseHeader(bytes: Uint8Array): { x: string; series: SeriesHeader[] } {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as { x: string; series: SeriesHeader[] };
  } catch {
    throw new ChartFormatError("The chart response has an unreadable header.");
  }
}

function toSeries(item: SeriesHeader, columns: Map<string, Float64Array>): ChartSeries {
  const column = (name: string): Float64Array => {
    const found = columns.get(name);
    if (found === undefined && item.length > 0) throw new ChartFormatError(`${item.key} lacks the column ${name}.`);
    return found ?? new Float64Array(0);
  };
  const optional = (name: string) => columns.get(name) ?? new Float64Array(0);
  if (item.kind === "points") return { key: item.key, kind: "points", x: column("x"), y: column("y") };
  if (item.kind !== "buckets") throw new ChartFormatError(`${item.key} is of the unknown kind ${item.kind}.`);
  return {
    key: item.key,
    kind: "buckets",
    x: column("x"),
    last: column("last"),
    min: column("min"),
    max: column("max"),
    count: column("count"),
    mean: optional("mean"),
    nonfinite: optional("nonfinite"),
    minStep: optional("min_step"),
    maxStep: optional("max_step"),
  };
}
