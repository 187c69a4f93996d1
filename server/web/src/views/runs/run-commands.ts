// The commands and shortcuts of the runs table.
import type { ProjectRoute } from "../../lib/route";
import type { RunRow } from "../../lib/table";
import { access } from "../../state/access.svelte";
import type { Command } from "../../state/commands.svelte";
import { patch } from "../../state/nav.svelte";
import { notifyFailure } from "../../state/toasts.svelte";
import type { Workspace } from "../../state/workspace.svelte";
import { MOST_COMPARED } from "./rows";
import type { TableModel } from "./table-model.svelte";

export function runCommands(model: TableModel, workspace: () => Workspace, route: () => ProjectRoute): Command[] {
  const { selection } = model;
  const row = (): number => selection.cursor ?? -1;
  const run = (): RunRow | undefined => (selection.cursor === null ? undefined : model.runAt(row()));
  const isRun = (): boolean => run() !== undefined;
  const isGroup = (): boolean => selection.cursor !== null && model.grouped && "group" in model.groups.at(row());
  const exists = (): boolean => isRun() || isGroup();
  /** Acts on the run at the cursor, or else on the group. */
  const act = (ofRun: (run: RunRow) => void, ofGroup: (index: number) => Promise<void> | void) => () => {
    const found = run();
    if (found !== undefined) ofRun(found);
    else void Promise.resolve(ofGroup(row())).catch(notifyFailure);
  };
  const section = "Runs";
  return [
    { title: "Next run", section, keys: "j", when: () => model.total > 0, run: () => void model.moveCursor(1) },
    { title: "Previous run", section, keys: "k", when: () => model.total > 0, run: () => void model.moveCursor(-1) },
    {
      ...{ title: "Open the run, or the group", section, keys: "o", when: exists },
      run: act((found) => patch({ run: found.id, artifact: null }), (index) => model.groups.toggle(index)),
    },
    {
      ...{ title: "Draw the run or the group, or hide it", section, keys: "e", when: exists },
      run: act((found) => workspace().toggle(route(), found.id), (index) => model.drawGroup(index, false)),
    },
    {
      ...{ title: "Draw only the run or the group", section, keys: "s", when: exists },
      run: act((found) => workspace().solo(route(), [found.id]), (index) => model.drawGroup(index, true)),
    },
    {
      ...{ title: "Select the run or the group", section, keys: "x", when: exists },
      run: act((found) => selection.toggle(found.id, row()), (index) => model.selectGroup(index)),
    },
    {
      ...{ title: "Rename the run", section, keys: "r", when: () => isRun() && access.writes },
      run: act((found) => (model.edited = { id: found.id, field: "name", top: false }), () => undefined),
    },
    {
      ...{ title: "Compare the selected runs", section, keys: "c", when: () => selection.ids.size > 1 && selection.ids.size <= MOST_COMPARED },
      run: () => patch({ compare: [...selection.ids], tab: "compare", run: null }),
    },
    { title: "Search runs", section, keys: "/", run: () => document.querySelector<HTMLElement>("[data-testid=query]")?.focus() },
    { title: "Save the runs as CSV", section, run: () => void model.saveCsv(null) },
  ];
}
