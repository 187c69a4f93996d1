// Decodes the binary chart answer into typed columns. It neither scales nor draws.

interface Common {
  key: string;
  /** The id of the run; empty in the answer of a single run. */
  run: string;
  /** The name of the x axis. */
  axis: string;
  x: Float64Array;
}

export interface PointSeries extends Common {
  kind: "points";
  y: Float64Array;
}

export interface BucketSeries extends Common {
  kind: "buckets";
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

/** The entry of a series in the header of a block. */
export interface BlockItem {
  key: string;
  length: number;
  /** The position of each column in bytes, from the end of the header. Series can share a column. */
  offsets: Record<string, number>;
}

interface SeriesHeader extends BlockItem {
  kind: string;
  run?: string;
  x?: string;
}

interface Header<Item> {
  x: string | null;
  /** Number of bytes of all columns. */
  size: number;
  series: Item[];
}

/** The bytes are not a valid chart answer. */
export class ChartFormatError extends Error {}

const COLUMN_BYTES = 8;

/** Decodes the blocks of lines of runs. */
export function decodeChart(buffer: ArrayBuffer): ChartSeries[] {
  return decodeBlocks(buffer, toSeries);
}

/**
 * Decodes blocks of a 4-byte header length, the header, and little-endian Float64 columns. The columns are views
 * of `buffer`; series that share a column have the same view. `make` makes the series of an item; `x` is the axis of
 * its block.
 */
export function decodeBlocks<Item extends BlockItem, Series>(
  buffer: ArrayBuffer,
  make: (item: Item, columns: Map<string, Float64Array>, x: string | null) => Series,
): Series[] {
  const found: Series[] = [];
  let at = 0;
  do {
    if (buffer.byteLength - at < 4) throw new ChartFormatError("The chart response is too short.");
    const headerLength = new DataView(buffer).getUint32(at, true);
    const start = at + 4 + headerLength;
    if (start > buffer.byteLength || start % COLUMN_BYTES !== 0) {
      throw new ChartFormatError("The chart response has a bad header length.");
    }
    const header = parseHeader<Item>(new Uint8Array(buffer, at + 4, headerLength));
    const views = new Map<number, Float64Array>();
    for (const item of header.series) {
      const columns = new Map<string, Float64Array>();
      for (const [name, offset] of Object.entries(item.offsets)) {
        const from = start + offset;
        if (from % COLUMN_BYTES !== 0 || from + item.length * COLUMN_BYTES > buffer.byteLength) {
          throw new ChartFormatError(`The chart response ends inside ${item.key}.`);
        }
        const known = views.get(from);
        const view = known?.length === item.length ? known : new Float64Array(buffer, from, item.length);
        views.set(from, view);
        columns.set(name, view);
      }
      found.push(make(item, columns, header.x));
    }
    at = start + header.size;
  } while (at < buffer.byteLength);
  return found;
}

function parseHeader<Item>(bytes: Uint8Array): Header<Item> {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Header<Item>;
  } catch {
    throw new ChartFormatError("The chart response has an unreadable header.");
  }
}

function toSeries(item: SeriesHeader, columns: Map<string, Float64Array>, x: string | null): ChartSeries {
  const column = (name: string): Float64Array => {
    const found = columns.get(name);
    if (found === undefined && item.length > 0) throw new ChartFormatError(`${item.key} lacks the column ${name}.`);
    return found ?? new Float64Array(0);
  };
  const optional = (name: string) => columns.get(name) ?? new Float64Array(0);
  const common = { key: item.key, run: item.run ?? "", axis: item.x ?? x ?? "_step", x: column("x") };
  if (item.kind === "points") return { ...common, kind: "points", y: column("y") };
  if (item.kind !== "buckets") throw new ChartFormatError(`${item.key} is of the unknown kind ${item.kind}.`);
  return {
    ...common,
    kind: "buckets",
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
