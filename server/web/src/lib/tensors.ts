// The tensors that the header of a file lists, and how those of two files differ.
import type { Json } from "./json";

export interface Tensor {
  name: string;
  dtype: string;
  shape: number[];
  /** Size of its elements in bytes; null for an unknown type. */
  bytes: number | null;
  /** Tensors with the same storage share their bytes; null if the format has no shared ones. */
  storage: string | null;
}

export interface TensorFile {
  format: string;
  tensors: Tensor[];
  /** Other values, such as the epoch of a checkpoint. */
  facts: [string, Json][];
  /** Whether there are more tensors than the page lists. */
  isCut: boolean;
}

/** Reads the bytes from `start` to `end`, without the byte at `end`. */
export type ReadBytes = (start: number, end: number) => Promise<Uint8Array>;

/** The file cannot be shown. The message tells why. */
export class UnreadableFile extends Error {}

export const elementsOf = (shape: number[]): number => shape.reduce((product, size) => product * size, 1);

/** Returns the number of elements, and the bytes of the different storages. */
export function totalsOf(tensors: Tensor[]): { elements: number; bytes: number } {
  const storages = new Map<string, number>();
  let elements = 0;
  tensors.forEach((tensor, at) => {
    const storage = tensor.storage ?? `#${at}`;
    if (!storages.has(storage)) elements += elementsOf(tensor.shape);
    storages.set(storage, Math.max(storages.get(storage) ?? 0, tensor.bytes ?? 0));
  });
  return { elements, bytes: [...storages.values()].reduce((sum, size) => sum + size, 0) };
}

export const formatShape = (shape: number[]): string => (shape.length === 0 ? "scalar" : shape.join(" × "));

export interface TensorDifference {
  name: string;
  state: "added" | "removed" | "changed";
  before: Tensor | undefined;
  after: Tensor | undefined;
}

/** Returns the tensors that only one file has, or whose type or shape differs, by name. */
export function compareTensors(before: Tensor[], after: Tensor[]): TensorDifference[] {
  const [left, right] = [before, after].map((list) => new Map(list.map((tensor) => [tensor.name, tensor]))) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  const differences: TensorDifference[] = [];
  for (const name of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [old, now] = [left.get(name), right.get(name)];
    if (old === undefined) differences.push({ name, state: "added", before: old, after: now });
    else if (now === undefined) differences.push({ name, state: "removed", before: old, after: now });
    else if (old.dtype !== now.dtype || String(old.shape) !== String(now.shape)) {
      differences.push({ name, state: "changed", before: old, after: now });
    }
  }
  return differences;
}

/** Returns how a file's header can be read; null if its name is not that of a known format. */
export function tensorFormat(path: string): "safetensors" | "torch" | null {
  if (/\.safetensors$/i.test(path)) return "safetensors";
  return /\.(pt|pth|ckpt|tar)$|(^|[/_-])(pytorch_model|model|optimizer|adapter_model|training_args)[^/]*\.bin$/i.test(path) ? "torch" : null;
}
