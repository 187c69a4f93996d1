// The visible rows of a tree of folders that are loaded one by one.
import type { Schema } from "./api";

export interface LoadedFolder {
  items: Schema<"FolderItem">[];
  /** Number of all items. `items` are the first of them. */
  total: number;
}

export type TreeRow =
  | { kind: "item"; item: Schema<"FolderItem">; depth: number; open: boolean }
  | { kind: "more"; path: string; depth: number; shown: number; total: number }
  | { kind: "wait"; path: string; depth: number };

/** Returns the rows of the open folders, from the root. */
export function treeRows(folders: ReadonlyMap<string, LoadedFolder>, open: ReadonlySet<string>, path = "", depth = 0): TreeRow[] {
  const folder = folders.get(path);
  if (folder === undefined) return [{ kind: "wait", path, depth }];
  const rows: TreeRow[] = [];
  for (const item of folder.items) {
    const isOpen = item.kind === "folder" && open.has(item.path);
    rows.push({ kind: "item", item, depth, open: isOpen });
    if (isOpen) for (const row of treeRows(folders, open, item.path, depth + 1)) rows.push(row);
  }
  if (folder.items.length < folder.total) {
    rows.push({ kind: "more", path, depth, shown: folder.items.length, total: folder.total });
  }
  return rows;
}

/** Returns the folders that contain a path: `a` and `a/b` for `a/b/c`. */
export function parentsOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join("/"));
}

export type FileKind = "tensors" | "image" | "table" | "json" | "text" | "reference";

const IMAGE_TYPES: Record<string, string> = {
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", bmp: "image/bmp",
  svg: "image/svg+xml", avif: "image/avif",
}; // prettier-ignore

/** Returns the type of an image by its name; undefined for other files. */
export const imageTypeOf = (path: string): string | undefined => IMAGE_TYPES[/\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? ""];

/** Returns how a file is shown. Whether a file is a text shows only its content. */
export function fileKind(file: Schema<"FolderItem">, hasTensors: (path: string) => boolean): FileKind {
  if (file.ref !== null) return "reference";
  if (hasTensors(file.path)) return "tensors";
  if (imageTypeOf(file.path) !== undefined) return "image";
  if (/\.table\.json$/i.test(file.path)) return "table";
  return /\.json$/i.test(file.path) ? "json" : "text";
}

/** Returns a text; null if the bytes are not UTF-8 or contain a zero, so that they belong to a binary file. */
export function textOf(bytes: Uint8Array, isWhole: boolean): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !isWhole });
  } catch {
    return null;
  }
}
