// The list of tensors of a file of a version, read by byte ranges of its header.
import type { Schema } from "../../lib/api";
import type { VersionName } from "../../lib/artifacts";
import { tensorFormat, UnreadableFile, type TensorFile } from "../../lib/tensors";
import { api } from "../../state/services";
import { fileUrl } from "./requests.svelte";

/** Returns the tensors; a text with the reason if they cannot be read. */
export async function tensorsOf(
  version: VersionName,
  file: Pick<Schema<"FolderItem">, "path" | "size">,
  signal: AbortSignal,
): Promise<TensorFile | string> {
  const url = fileUrl(version, file.path);
  const read = (start: number, end: number) => api.bytes(url, start, end, signal);
  try {
    if (tensorFormat(file.path) === "safetensors") {
      const { readSafetensors } = await import("../../lib/safetensors");
      return await readSafetensors(read, file.size);
    }
    const { readTorchFile } = await import("../../lib/torch-file");
    return await readTorchFile(read, file.size);
  } catch (error) {
    if (error instanceof UnreadableFile) return error.message;
    throw error;
  }
}
