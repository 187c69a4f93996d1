// What the pointer does in the rows of the table. One listener serves all rows: scrolling adds and removes none.
import type { ProjectRoute } from "../../lib/route";
import { cellTitle, columnOf, EDITABLE, type RunRow } from "../../lib/table";
import { access } from "../../state/access.svelte";
import { clock } from "../../state/clock.svelte";
import { notifyFailure } from "../../state/toasts.svelte";
import type { Workspace } from "../../state/workspace.svelte";
import type { TableModel } from "./table-model.svelte";

interface Place {
  run: RunRow;
  index: number;
  isFixed: boolean;
}

/** Returns the run and the row of an element in the table. */
function placeOf(model: TableModel, target: EventTarget | null): Place | null {
  const element = (target as Element).closest<HTMLElement>("[data-run]");
  if (element === null) return null;
  const isFixed = element.dataset["testid"] === "fixed-row";
  const index = Number(element.dataset["index"]);
  const run = isFixed ? model.fixed[index] : model.runAt(index);
  return run === undefined ? null : { run, index, isFixed };
}

/** Returns the listeners of a table. `pointer` is an element to which a menu at the pointer is attached. */
export function rowListeners(model: TableModel, workspace: () => Workspace, route: () => ProjectRoute, pointer: () => HTMLElement) {
  function click(event: MouseEvent): void {
    const button = (event.target as Element).closest<HTMLElement>("[data-act]");
    if (button === null) return;
    const row = Number(button.closest<HTMLElement>("[data-index]")?.dataset["index"]);
    switch (button.dataset["act"]) {
      case "group":
        return model.groups.toggle(row);
      case "group-eye":
        return void model.drawGroup(row, event.altKey).catch(notifyFailure);
      case "group-select":
        return void model.selectGroup(row).catch(notifyFailure);
    }
    const found = placeOf(model, event.target);
    if (found === null) return;
    const { run, index, isFixed } = found;
    switch (button.dataset["act"]) {
      case "menu":
        return model.open("menu", run, button);
      case "color":
        return model.open("color", run, button);
      case "select":
        if (event.shiftKey && !isFixed) return void model.selection.extend(index, model.between).catch(notifyFailure);
        return model.selection.toggle(run.id, index);
      case "eye":
        return event.altKey ? workspace().solo(route(), [run.id]) : workspace().toggle(route(), run.id);
    }
  }

  function dblclick(event: MouseEvent): void {
    const field = (event.target as Element).closest<HTMLElement>("[data-field]")?.dataset["field"];
    const found = placeOf(model, event.target);
    if (found === null || field === undefined || !EDITABLE.includes(field) || !access.writes) return;
    model.edited = { id: found.run.id, field, top: found.isFixed };
  }

  function contextmenu(event: MouseEvent): void {
    const found = placeOf(model, event.target);
    if (found === null || event.shiftKey) return;
    event.preventDefault();
    const anchor = pointer();
    anchor.style.left = `${event.clientX}px`;
    anchor.style.top = `${event.clientY}px`;
    model.open("menu", found.run, anchor);
  }

  /** Makes the tooltip of a cell when the pointer enters it. */
  function pointerover(event: PointerEvent): void {
    const cell = (event.target as Element).closest<HTMLElement>("[data-field]");
    const found = cell === null ? null : placeOf(model, cell);
    const column = columnOf(cell?.dataset["field"] ?? "");
    if (cell === null || column === undefined) return;
    // The cell may have shown a run before.
    if (found === null) return cell.removeAttribute("title");
    cell.title = column.id === "name" ? `${found.run.name} (${found.run.id})` : cellTitle(found.run, column, clock.now);
  }

  const listeners = Object.entries({ click, dblclick, contextmenu, pointerover }) as [string, EventListener][];
  return (node: HTMLElement): (() => void) => {
    for (const [name, listener] of listeners) node.addEventListener(name, listener);
    return () => listeners.forEach(([name, listener]) => node.removeEventListener(name, listener));
  };
}
