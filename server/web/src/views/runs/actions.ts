// Changes of runs from the table, each with a message and, where possible, an undo.
import type { RunEdit, Schema } from "../../lib/api";
import { formatNumber, plural } from "../../lib/format";
import { conflictOf, editBetween, textsOf, type RunTexts } from "../../lib/run-edit";
import { readRuns, type Place } from "../../state/read-runs";
import { api, messageOf } from "../../state/services";
import { notify, notifyFailure } from "../../state/toasts.svelte";

/** The most runs in one request. A change of each run is written to disk, so thousands take minutes. */
const MOST = 500;
type Values = Partial<Schema<"RunEdit">>;
type Body = Partial<Schema<"BulkChange">>;

function chunks<T>(items: T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / MOST) }, (_, at) => items.slice(at * MOST, (at + 1) * MOST));
}

/** Changes runs, and returns the ids of those that were changed and the first error of the others. */
async function send({ entity, project }: Place, ids: string[], body: Body): Promise<{ changed: string[]; error: string | null }> {
  const changed: string[] = [];
  let error: string | null = null;
  for (const runs of chunks(ids)) {
    try {
      const { results } = await api.changeRuns(entity, project, { ...body, runs } as Body);
      for (const result of results) {
        if (result.error === null) changed.push(result.id);
        else error ??= `${result.id}: ${result.error}`;
      }
    } catch (problem) {
      // The undo must know what the requests before have changed.
      return { changed, error: messageOf(problem) };
    }
    if (changed.length < ids.length && ids.length > MOST) notify(`${formatNumber(changed.length)} of ${plural(ids.length, "run")} are done`);
  }
  return { changed, error };
}

/** Returns the number of runs that a change is for, without changing anything. */
export async function countRuns({ entity, project }: Place, ids: string[], body: Body): Promise<number> {
  let total = 0;
  for (const runs of chunks(ids)) total += (await api.changeRuns(entity, project, { ...body, runs, dry_run: true } as Body)).total;
  return total;
}

/** Makes a change of many runs, shows how many were changed, and offers the undo for these. */
async function changeMany(
  place: Place,
  ids: string[],
  body: Body,
  verb: string,
  refresh: () => void,
  undo: (changed: string[]) => Promise<unknown>,
): Promise<boolean> {
  try {
    const { changed, error } = await send(place, ids, body);
    refresh();
    if (error !== null) notifyFailure(new Error(changed.length === 0 ? error : `${plural(ids.length - changed.length, "run")} failed. ${error}`));
    if (changed.length > 0) notify(`${verb} ${plural(changed.length, "run")}`, () => undo(changed).then(refresh));
    return changed.length > 0;
  } catch (error) {
    notifyFailure(error);
    return false;
  }
}

/** Adds a tag to runs, or removes it. The undo changes only runs that did not have it, or had it. */
export async function tagRuns(place: Place, ids: string[], tag: string, add: boolean, refresh: () => void): Promise<boolean> {
  const rows = await readRuns(place, ids, ["id", "tags"]);
  const without = rows.filter((row) => Array.isArray(row["tags"]) && row["tags"].includes(tag) !== add).map((row) => row.id);
  if (without.length === 0) {
    notify(add ? `All these runs have the tag “${tag}”` : `None of these runs has the tag “${tag}”`);
    return true;
  }
  const values = (on: boolean): Body => ({ action: "edit", values: (on ? { tags_added: [tag] } : { tags_removed: [tag] }) as Values });
  return changeMany(place, without, values(add), add ? `Added “${tag}” to` : `Removed “${tag}” from`, refresh, (changed) =>
    send(place, changed, values(!add)),
  );
}

/** Puts runs into a group; null for no group. */
export async function groupRuns(place: Place, ids: string[], group: string | null, refresh: () => void): Promise<boolean> {
  const before = new Map((await readRuns(place, ids, ["id", "group"])).map((row) => [row.id, row["group"] as string | null]));
  const body = (to: string | null): Body => ({ action: "edit", values: { group: to } as Values });
  return changeMany(place, ids, body(group), group === null ? "Removed the group of" : `Put into “${group}”:`, refresh, async (changed) => {
    const groups = new Set(changed.map((id) => before.get(id) ?? null));
    for (const old of groups) await send(place, changed.filter((id) => (before.get(id) ?? null) === old), body(old));
  });
}

/** Archives runs, which hides them from lists, or shows them again. */
export function archiveRuns(place: Place, ids: string[], archived: boolean, refresh: () => void): Promise<boolean> {
  const body = (to: boolean): Body => ({ action: "edit", values: { archived: to } as Values });
  const verb = archived ? "Archived" : "Took from the archive:";
  return changeMany(place, ids, body(archived), verb, refresh, (changed) => send(place, changed, body(!archived)));
}

export function deleteRuns(place: Place, ids: string[], refresh: () => void): Promise<boolean> {
  return changeMany(place, ids, { action: "delete" }, "Deleted", refresh, (changed) => send(place, changed, { action: "restore" }));
}

export function moveRuns(place: Place, ids: string[], project: string, refresh: () => void): Promise<boolean> {
  const there = { entity: place.entity, project };
  return changeMany(place, ids, { action: "move", to_project: project }, `Moved to “${project}”:`, refresh, (changed) =>
    send(there, changed, { action: "move", to_project: place.project }),
  );
}

/**
 * Saves what a person changed of a run, and offers the undo. It changes nothing that the person did not change.
 * Throws if the server refuses, or if another person has changed the same field since `before`: `before` then gets the
 * present text of this field, so that the next attempt saves.
 */
export async function editRun(place: Place, id: string, before: RunTexts, after: RunTexts, refresh: () => void): Promise<void> {
  const edit = editBetween(before, after);
  if (edit === null) return;
  if (after.name === "") throw new Error("A run needs a name.");
  const [row] = await readRuns(place, [id], ["id", "name", "tags", "group", "notes"]);
  if (row === undefined) throw new Error("This run was deleted or moved by another person.");
  const now = textsOf(row);
  const field = conflictOf(before, now, after);
  if (field !== null) {
    Object.assign(before, { [field]: now[field] });
    throw new Error(`Another person changed the ${field} to “${now[field] ?? ""}”. Save again to replace it.`);
  }
  const send = (change: RunEdit) => api.editRun(place.entity, place.project, id, change).then(refresh);
  await send(edit);
  const undo = editBetween(after, before);
  notify(`Changed ${after.name}`, undo === null ? null : () => send(undo));
}
