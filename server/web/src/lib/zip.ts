// Finds and reads single files of a zip file by byte ranges.
import { UnreadableFile, type ReadBytes } from "./tensors";

export interface ZipEntry {
  name: string;
  /** 0 for stored bytes, 8 for deflate. */
  method: number;
  packedSize: number;
  size: number;
  /** Position of the local header. */
  offset: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
/** The longest end of a zip file: its record, a comment, and the locator of zip64. */
const TAIL = 65_535 + 22 + 20;
const LARGEST = 64_000_000;

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const damaged = () => new UnreadableFile("The file is not a zip file, or it is damaged.");

/** Returns the list of files. */
export async function readZipEntries(read: ReadBytes, size: number): Promise<ZipEntry[]> {
  const start = Math.max(0, size - TAIL);
  const tail = await read(start, size);
  const view = viewOf(tail);
  let at = tail.length - 22;
  while (at >= 0 && view.getUint32(at, true) !== END) at -= 1;
  if (at < 0) throw damaged();
  let length = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  if (at >= 20 && view.getUint32(at - 20, true) === LOCATOR64) {
    const where = Number(view.getBigUint64(at - 12, true));
    if (where + 56 > size) throw damaged();
    const record = viewOf(await read(where, where + 56));
    if (record.getUint32(0, true) !== END64) throw damaged();
    length = Number(record.getBigUint64(40, true));
    offset = Number(record.getBigUint64(48, true));
  }
  if (offset + length > size || length > LARGEST) throw damaged();
  return parseEntries(offset >= start ? tail.subarray(offset - start, offset - start + length) : await read(offset, offset + length));
}

function parseEntries(bytes: Uint8Array): ZipEntry[] {
  const view = viewOf(bytes);
  const text = new TextDecoder();
  const entries: ZipEntry[] = [];
  for (let at = 0; at + 46 <= bytes.length && view.getUint32(at, true) === ENTRY; ) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((where) => view.getUint16(at + where, true)) as [number, number, number];
    const entry: ZipEntry = {
      name: text.decode(bytes.subarray(at + 46, at + 46 + nameLength)),
      method: view.getUint16(at + 10, true),
      packedSize: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    const end = Math.min(at + 46 + nameLength + extraLength, bytes.length);
    for (let extra = at + 46 + nameLength; extra + 4 <= end; extra += 4 + view.getUint16(extra + 2, true)) {
      if (view.getUint16(extra, true) !== 1) continue; // zip64: only the fields that are full above
      let value = extra + 4;
      for (const field of ["size", "packedSize", "offset"] as const) {
        if (entry[field] !== 0xffffffff || value + 8 > end) continue;
        entry[field] = Number(view.getBigUint64(value, true));
        value += 8;
      }
    }
    entries.push(entry);
    at += 46 + nameLength + extraLength + commentLength;
  }
  return entries;
}

/** Returns the content of one file. */
export async function readZipEntry(read: ReadBytes, entry: ZipEntry, fileSize: number): Promise<Uint8Array> {
  if (Math.max(entry.size, entry.packedSize) > LARGEST) throw new UnreadableFile(`${entry.name} in the file is too large to read here.`);
  if (entry.offset + 30 > fileSize) throw damaged();
  const local = viewOf(await read(entry.offset, entry.offset + 30));
  if (local.getUint32(0, true) !== LOCAL) throw damaged();
  const start = entry.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (start + entry.packedSize > fileSize) throw damaged();
  const bytes = await read(start, start + entry.packedSize);
  if (entry.method === 0) return bytes;
  if (entry.method !== 8) throw new UnreadableFile(`${entry.name} in the file has an unknown compression.`);
  const unpacked = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}
