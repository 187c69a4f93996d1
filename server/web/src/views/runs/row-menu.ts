// The actions of one run of the table.
import type { MenuItem } from "../../components/menu-item";
import type { ProjectRoute } from "../../lib/route";
import type { RunRow } from "../../lib/table";
import { access } from "../../state/access.svelte";
import { hrefTo, patch } from "../../state/nav.svelte";
import { notify, notifyFailure } from "../../state/toasts.svelte";
import type { Workspace } from "../../state/workspace.svelte";
import { archiveRuns, deleteRuns } from "./actions";
import type { Popup } from "./rows";

export function pin(route: ProjectRoute, id: string): void {
  const { pinned } = route;
  patch({ pinned: pinned.includes(id) ? pinned.filter((other) => other !== id) : [...pinned, id] }, true);
}

async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify(`Copied the ${what}`);
  } catch {
    notifyFailure(new Error("The browser does not permit copying."));
  }
}

export function rowMenu(
  run: RunRow,
  workspace: Workspace,
  route: ProjectRoute,
  on: { select: () => void; selected: boolean; open: (kind: Popup["kind"]) => void; refresh: () => void },
): MenuItem[] {
  const { id } = run;
  const drawn = workspace.set.has(id);
  const isBaseline = route.baseline === id;
  const compared = route.compare.includes(id);
  const archived = run["archived"] === true;
  const items: MenuItem[] = [
    { title: "Open", icon: "right", keys: "o", act: () => patch({ run: id, artifact: null }) },
    { title: drawn ? "Hide on the charts" : "Draw on the charts", icon: drawn ? "eyeOff" : "eye", keys: "e", act: () => workspace.toggle(route, id) },
    { title: "Colour…", icon: "sliders", act: () => on.open("color") },
    { title: "Draw only this run", keys: "s", act: () => workspace.solo(route, [id]) },
    { title: route.pinned.includes(id) ? "Unpin" : "Pin to the top", icon: "pin", act: () => pin(route, id) },
    { title: isBaseline ? "No baseline" : "Use as baseline", icon: "flag", act: () => patch({ baseline: isBaseline ? null : id }, true) },
    { title: on.selected ? "Deselect" : "Select", icon: "check", keys: "x", act: on.select },
    {
      title: compared ? "Remove from the comparison" : "Add to the comparison",
      act: () => patch({ compare: compared ? route.compare.filter((other) => other !== id) : [...route.compare, id] }, true),
    },
    { title: "Copy the id", icon: "copy", apart: true, act: () => void copy(id, "id") },
    { title: "Copy the link", icon: "copy", act: () => void copy(window.location.origin + hrefTo({ ...route, run: id }), "link") },
  ];
  if (access.writes) {
    items.push(
      { title: "Edit…", icon: "pencil", apart: true, act: () => on.open("edit") },
      {
        ...{ title: archived ? "Take from the archive" : "Archive", icon: "box" as const },
        act: () => void archiveRuns(route, [id], !archived, on.refresh),
      },
      { title: "Delete", icon: "trash", danger: true, act: () => void deleteRuns(route, [id], on.refresh) },
    );
  }
  return items;
}
