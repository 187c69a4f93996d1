// The files of a run: those that a person saved come first, the files of media and tables last.
import type { Schema } from "./api";

/** Files below this folder belong to logged media and tables, which have pages of their own. */
export const MEDIA_FOLDER = "media/";

type Page = (query: { prefix: string; offset: number; limit: number }) => Promise<Schema<"FilePage">>;

export interface RunFiles {
  files: Schema<"FileInfo">[];
  /** Number of files that match, without those of media. */
  total: number;
  /** Number of the files of media. */
  media: number;
}

/** Returns the first `limit` files of a run in path order, and skips those of media unless the prefix asks for them. */
export async function loadFiles(page: Page, prefix: string, limit: number): Promise<RunFiles> {
  const media = prefix.startsWith(MEDIA_FOLDER) ? 0 : (await page({ prefix: MEDIA_FOLDER, offset: 0, limit: 0 })).total;
  const first = await page({ prefix, offset: 0, limit });
  const at = first.files.findIndex((file) => file.path.startsWith(MEDIA_FOLDER));
  if (media === 0 || !MEDIA_FOLDER.startsWith(prefix)) return { files: first.files, total: first.total, media };
  const total = first.total - media;
  if (at === -1) return { files: first.files, total, media };
  const files = first.files.slice(0, at);
  const rest = await page({ prefix, offset: at + media, limit: limit - at });
  return { files: [...files, ...rest.files], total, media };
}

/** The files that the recorder itself writes at the start of a run. */
const OF_START = new Set(["wandb-metadata.json", "requirements.txt", "conda-environment.yaml", "diff.patch", "config.yaml"]);

/** Returns saved files and code apart from the files of the start of the run. */
export function splitFiles<T extends { path: string }>(files: T[]): { saved: T[]; start: T[] } {
  const ofStart = (file: T) => OF_START.has(file.path) || file.path.startsWith("code/");
  return { saved: files.filter((file) => !ofStart(file)), start: files.filter(ofStart) };
}
