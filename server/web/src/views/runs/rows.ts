// What the rows of the runs table share.
import type { ProjectRoute } from "../../lib/route";
import type { RunRow } from "../../lib/table";
import type { RunFields } from "../../state/run-fields.svelte";
import type { Workspace } from "../../state/workspace.svelte";
import type { Columns } from "./columns.svelte";

export interface RowContext {
  readonly columns: Columns;
  readonly workspace: Workspace;
  readonly route: ProjectRoute;
  readonly fields: RunFields;
  readonly selected: ReadonlySet<string>;
  /** The row that the keys j and k move. */
  readonly cursor: number | null;
  /** The row whose controls the Tab key reaches. */
  readonly focusable: number;
  /** The run that the others are compared with. */
  readonly baseline: RunRow | undefined;
  /** The cell that is edited; `top` for one in the head of the table. */
  readonly edited: { id: string; field: string; top: boolean } | null;
  href: (id: string) => string;
  /** Ends editing a cell. */
  cancel: () => void;
  /** Saves the text of a cell and ends editing it. Throws if the text was not saved. */
  save: (run: RunRow, field: string, text: string) => Promise<void>;
}

/** What a cell shows. After scrolling, the same element shows another one. */
export interface Cell {
  field: string;
  kind: "text" | "state" | "editor";
  text: string;
  /** A smaller text behind it: statistics, or the difference to the baseline. */
  note: string;
  /** Its classes. */
  look: string;
}

/** What is open for a run. */
export interface Popup {
  kind: "menu" | "color" | "edit";
  run: RunRow;
  anchor: HTMLElement;
}

/** The most runs on the page that compares them: the address names each. */
export const MOST_COMPARED = 50;
export const HEAD = 30;
export const ROW = 30;
/** The width of the checkbox and the eye. */
export const CONTROLS = 56;
