// Names, lists and code of artifacts. It does not depend on the page.
import type { Schema } from "./api";

export interface ArtifactName {
  name: string;
  /** A version, an alias or a digest; null for the whole collection. */
  ref: string | null;
}

/** Splits `name:version`. A name has no colon. */
export function parseArtifact(text: string): ArtifactName {
  const at = text.indexOf(":");
  return at === -1 ? { name: text, ref: null } : { name: text.slice(0, at), ref: text.slice(at + 1) || null };
}

export interface VersionName {
  entity: string;
  project: string;
  name: string;
  /** A version, an alias or a digest. */
  version: string;
}

/** Reads `[[ENTITY/]PROJECT/]NAME:REF`, or only `REF`; the place has the missing parts. Null for another form. */
export function parseVersion(text: string, place: VersionName): VersionName | null {
  const { name: path, ref } = parseArtifact(text);
  if (!text.includes(":")) return text === "" || text.includes("/") ? null : { ...place, version: text };
  const parts = path.split("/");
  if (ref === null || parts.length > 3 || parts.includes("")) return null;
  const [name = "", project = place.project, entity = place.entity] = parts.reverse();
  return { entity, project, name, version: ref };
}

/** Returns the newest version that is older than the given one; undefined for the first. */
export function versionBefore(versions: { version: string }[], version: string): string | undefined {
  const numberOf = (text: string) => Number(text.slice(1));
  const older = versions.map((each) => each.version).filter((each) => numberOf(each) < numberOf(version));
  return older.sort((a, b) => numberOf(b) - numberOf(a))[0];
}

/** Returns why a text is not an alias; null if it is one. The server has the same rules. */
export function aliasProblem(alias: string): string | null {
  if (alias === "") return "Type an alias.";
  if (/[/:]/.test(alias)) return "An alias has no / and no :.";
  if (/^v\d+$/.test(alias)) return "An alias cannot look like a version number.";
  if (alias === "latest") return "The alias latest always belongs to the newest version.";
  return alias.length > 128 ? "An alias has at most 128 characters." : null;
}

/** Returns tags from a text with commas. */
export function parseTags(text: string): string[] {
  return [...new Set(text.split(",").map((tag) => tag.trim()).filter((tag) => tag !== ""))];
}

export interface TypeGroup {
  type: string;
  collections: Schema<"CollectionInfo">[];
}

/** Whether the logger creates the versions of a type automatically: one for each logged table. */
export const isAutomatic = (type: string): boolean => type === "run_table";

/** Returns the collections whose name, type, description or tag contains a text, by type; automatic types last. */
export function groupByType(collections: Schema<"CollectionInfo">[], search: string): TypeGroup[] {
  const wanted = search.trim().toLowerCase();
  const groups = new Map<string, Schema<"CollectionInfo">[]>();
  for (const each of collections) {
    const texts = [each.name, each.type, each.description ?? "", ...each.tags];
    if (!texts.some((text) => text.toLowerCase().includes(wanted))) continue;
    groups.set(each.type, [...(groups.get(each.type) ?? []), each]);
  }
  const place = ([type]: [string, unknown]) => `${isAutomatic(type) ? 1 : 0}${type}`;
  return [...groups].sort((a, b) => (place(a) < place(b) ? -1 : 1)).map(([type, found]) => ({ type, collections: found }));
}

/** Returns the names by which code can fetch a version: its own aliases, then its number. */
export function refsOf(version: { version: string; aliases: string[] }): string[] {
  const own = version.aliases.filter((alias) => alias !== "latest");
  return [...own, ...(version.aliases.includes("latest") ? ["latest"] : []), version.version];
}

const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** Returns code that downloads a version: inside a run, and without a run. */
export function fetchCode(path: string, kind: "run" | "api" | "shell"): string {
  if (kind === "shell") return `tracker artifact get ${quoted(path)}`;
  const text = JSON.stringify(path);
  if (kind === "run") return `run.use_artifact(${text}).download()`;
  return `import tracker\ntracker.Api().artifact(${text}).download()`;
}
