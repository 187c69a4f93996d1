// The requests of the artifact pages, and the addresses of files.
import type { Answer, Schema } from "../../lib/api";
import type { VersionName } from "../../lib/artifacts";
import { change, notifyFailure } from "../../state/toasts.svelte";
import { api } from "../../state/services";

let edits = $state(0);

/** Grows with each change that this page makes: requests that read it are sent again. */
export const edited = {
  get count(): number {
    return edits;
  },
};

const below = ({ entity, project, name, version }: VersionName, ...rest: string[]) => [
  ...["projects", entity, project, "artifacts", name, version],
  ...rest,
];

/** Returns `name:version`. */
export const shortName = ({ name, version }: { name: string; version: string }): string => `${name}:${version}`;

/** Returns `entity/project/name:version`. */
export const fullName = (version: VersionName): string => `${version.entity}/${version.project}/${shortName(version)}`;

/** Returns the address of a file's content. */
export const fileUrl = (version: VersionName, path: string): string => api.address(below(version, "files", ...path.split("/")));

export const archiveUrl = (version: VersionName, format: "zip" | "tar", prefix = ""): string =>
  api.address(below(version, "archive"), { format, prefix: prefix || undefined });

export const collections = async (entity: string, project: string, signal: AbortSignal) =>
  (await api.call<Answer<"list_collections">>(["projects", entity, project, "collections"], { signal })).collections;

/** Returns a page of the collections of an entity that link versions of other collections. */
export const registry = (entity: string, search: string, limit: number, signal: AbortSignal) =>
  api.call<Answer<"list_registry">>(["registries", entity], { params: { search: search || undefined, limit }, signal });

export const versions = async (entity: string, project: string, name: string, signal: AbortSignal) =>
  (await api.call<Answer<"list_versions">>(["projects", entity, project, "artifacts"], { params: { name }, signal })).artifacts;

export const sizes = (entity: string, project: string, name: string | undefined, signal: AbortSignal) =>
  api.call<Answer<"get_artifact_sizes">>(["projects", entity, project, "artifact-sizes"], { params: { name }, signal });

export const links = async (version: VersionName, signal: AbortSignal) =>
  (await api.call<Answer<"list_links">>(below(version, "links"), { signal })).artifacts;

export interface FolderQuery {
  path: string;
  search?: string;
  offset?: number;
  limit: number;
}
export const folder = (version: VersionName, { path, search, offset, limit }: FolderQuery, signal: AbortSignal) =>
  api.call<Answer<"list_folder">>(below(version, "folder"), {
    params: { path: path || undefined, search: search || undefined, offset, limit },
    signal,
  });

/** Returns one file of a version; null if the version has no such file. */
export async function fileOf(version: VersionName, path: string, signal: AbortSignal): Promise<Schema<"FolderItem"> | null> {
  const parent = path.split("/").slice(0, -1).join("/");
  for (let offset = 0; ; ) {
    const page = await folder(version, { path: parent, search: path, offset, limit: 1000 }, signal);
    const found = page.items.find((item) => item.path === path);
    offset += page.items.length;
    if (found !== undefined || offset >= page.total || page.items.length === 0) return found ?? null;
  }
}

/** Returns what differs in the version `after` from the version `before`. */
export const difference = (before: VersionName, after: VersionName, page: { search: string; offset: number; limit: number }, signal: AbortSignal) =>
  api.call<Answer<"compare_versions">>(below(before, "difference"), {
    params: { to: fullName(after), ...page, search: page.search || undefined },
    signal,
  });

export const lineage = (version: VersionName, limit: number, signal: AbortSignal) =>
  api.call<Answer<"get_version_lineage">>(below(version, "lineage"), { params: { depth: 6, limit }, signal });

async function edit(text: string, work: () => Promise<unknown>, undo: (() => Promise<unknown>) | null = null): Promise<boolean> {
  const counted = (task: () => Promise<unknown>) => async () => {
    await task();
    edits += 1;
  };
  return change(text, counted(work), undo === null ? null : counted(undo));
}

const putAlias = (version: VersionName, alias: string) => api.call(below(version, "aliases", alias), { method: "PUT", stay: true });
const deleteAlias = (version: VersionName, alias: string) => api.call(below(version, "aliases", alias), { method: "DELETE", stay: true });

/** Gives an alias to a version. Another version of the collection that has it loses it. */
export async function addAlias(version: VersionName, alias: string): Promise<boolean> {
  let holder: Schema<"ArtifactInfo"> | undefined;
  try {
    const all = await versions(version.entity, version.project, version.name, new AbortController().signal);
    holder = all.find((other) => other.aliases.includes(alias));
  } catch (error) {
    notifyFailure(error);
    return false;
  }
  const before = holder;
  const text = before === undefined ? `Added ${alias} to ${version.version}` : `Moved ${alias} from ${before.version} to ${version.version}`;
  return edit(
    text,
    () => putAlias(version, alias),
    () => (before === undefined ? deleteAlias(version, alias) : putAlias(before, alias)),
  );
}

export const removeAlias = (version: VersionName, alias: string) =>
  edit(`Removed ${alias} from ${version.version}`, () => deleteAlias(version, alias), () => putAlias(version, alias));

type VersionEdit = Partial<Schema<"VersionEdit">>;

/** Changes fields of a version. `before` has their present values. */
export const changeVersion = (version: VersionName, text: string, values: VersionEdit, before: VersionEdit) => {
  const patch = (body: VersionEdit) => () => api.call(below(version), { method: "PATCH", body, stay: true });
  return edit(text, patch(values), patch(before));
};

export const deleteVersion = (version: VersionName) =>
  edit(`Deleted ${shortName(version)}`, () => api.call(below(version), { method: "DELETE", params: { aliases: "true" }, stay: true }));

type CollectionEdit = Partial<Schema<"CollectionEdit">>;

export const changeCollection = (entity: string, project: string, name: string, text: string, values: CollectionEdit, before: CollectionEdit) => {
  const segments = ["projects", entity, project, "collections", name];
  const patch = (body: CollectionEdit) => () => api.call(segments, { method: "PATCH", body, stay: true });
  return edit(text, patch(values), patch(before));
};

export const deleteCollection = (entity: string, project: string, name: string) =>
  edit(`Deleted all versions of ${name}`, () => api.call(["projects", entity, project, "collections", name], { method: "DELETE", stay: true }));
