// Reads the header of a safetensors file: eight bytes with its length, then JSON.
import { isObject, parseJson, type Json } from "./json";
import { elementsOf, UnreadableFile, type ReadBytes, type TensorFile } from "./tensors";

/** The format itself allows no longer header. */
const LONGEST = 100_000_000;
/** Bytes of the first request. Most headers are shorter. */
const FIRST = 65_536;

const NAMES: Record<string, [name: string, bits: number]> = {
  F64: ["float64", 64], F32: ["float32", 32], F16: ["float16", 16], BF16: ["bfloat16", 16],
  I64: ["int64", 64], I32: ["int32", 32], I16: ["int16", 16], I8: ["int8", 8],
  U64: ["uint64", 64], U32: ["uint32", 32], U16: ["uint16", 16], U8: ["uint8", 8], BOOL: ["bool", 8],
  F8_E4M3: ["float8_e4m3fn", 8], F8_E5M2: ["float8_e5m2", 8], F8_E8M0: ["float8_e8m0fnu", 8],
  F4: ["float4", 4], C64: ["complex64", 64],
}; // prettier-ignore

/** Reads names, types and shapes. Raises UnreadableFile if the file has another format. */
export async function readSafetensors(read: ReadBytes, size: number): Promise<TensorFile> {
  if (size < 10) throw new UnreadableFile("The file is too short for a safetensors file.");
  const first = await read(0, Math.min(size, FIRST));
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
  if (length > Math.min(size - 8, LONGEST)) throw new UnreadableFile("The file is not a safetensors file.");
  const bytes = 8 + length <= first.length ? first.subarray(8, 8 + length) : await read(8, 8 + length);
  let header: Json;
  try {
    header = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Json;
  } catch {
    throw new UnreadableFile("The header of the safetensors file is damaged.");
  }
  if (!isObject(header)) throw new UnreadableFile("The header of the safetensors file is damaged.");
  const { __metadata__: metadata, ...rest } = header;
  const tensors = Object.entries(rest).map(([name, entry]) => {
    const { dtype, shape } = isObject(entry) ? entry : {};
    if (typeof dtype !== "string" || !Array.isArray(shape)) {
      throw new UnreadableFile(`The header of the safetensors file has no type or shape for ${name}.`);
    }
    const sizes = shape.map(Number);
    const [known, bits] = NAMES[dtype] ?? [dtype, null];
    return { name, dtype: known, shape: sizes, bytes: bits === null ? null : Math.ceil((elementsOf(sizes) * bits) / 8), storage: null };
  });
  return { format: "safetensors", tensors, facts: isObject(metadata) ? Object.entries(metadata) : [], isCut: false };
}
