// The columns of the runs table: which are shown, their order, widths, formats, and those that stay at the left.
// A project's choice is kept in the browser.
import { columnOf, FORMATS, NAME_COLUMN, type Column, type Format } from "../../lib/table";
import { settings } from "../../state/services";

const LEAST_WIDTH = 48;
const MOST_WIDTH = 900;

interface Choice {
  /** The ids of the columns in their order; null for the default columns. */
  shown: string[] | null;
  pinned: string[];
  widths: Record<string, number>;
  formats: Record<string, Format>;
}

/** A column at its place. `left` counts from the left end of its part: the pinned or the scrolled columns. */
export interface Placed {
  column: Column;
  width: number;
  left: number;
  format: Format;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
/** Whether a value is a stored choice. Older versions stored the shown columns only. */
const isStored = (value: unknown): value is Partial<Choice> | string[] =>
  Array.isArray(value)
    ? value.every((id) => typeof id === "string")
    : isRecord(value) && (value["shown"] === null || Array.isArray(value["shown"])) && isRecord(value["widths"]);

function readChoice(setting: string): Choice {
  const stored = settings.read(setting, {}, isStored);
  const { shown = null, pinned = [], widths = {}, formats = {} } = Array.isArray(stored) ? { shown: stored } : stored;
  return { shown: shown?.length === 0 ? null : shown, pinned, widths, formats };
}

/**
 * Creates the columns of a table. It must be called while a component is created.
 * `setting` names the setting in which the choice is kept; `usual` returns the default columns; `isNumber` returns
 * whether runs have numbers in a column, and `leastWidth` the width that the content of a column needs now.
 */
export function createColumns(
  setting: string,
  usual: () => string[],
  isNumber: (id: string) => boolean,
  leastWidth: (id: string) => number,
) {
  const stored = readChoice(setting);
  let ids = $state.raw(stored.shown);
  let pinnedIds = $state.raw(stored.pinned);
  let widths = $state.raw(stored.widths);
  let formats = $state.raw(stored.formats);
  const shown = $derived((ids ?? usual()).filter((id) => id !== NAME_COLUMN.id && columnOf(id) !== undefined));
  function keep(): void {
    settings.write(setting, { shown: ids, pinned: pinnedIds, widths, formats } satisfies Choice);
  }

  const place = (ids: string[]): Placed[] => {
    let left = 0;
    const labels = shown.map((id) => columnOf(id)?.label);
    return ids.map((id) => {
      const found = columnOf(id) as Column;
      const ambiguous = labels.indexOf(found.label) !== labels.lastIndexOf(found.label);
      const column = { ...found, label: ambiguous ? id : found.label, numeric: found.numeric || isNumber(id) };
      const width = Math.max(widths[id] ?? column.width, leastWidth(id));
      left += width;
      const format = FORMATS.find((each) => each.id === formats[id])?.id ?? "auto";
      return { column, width, left: left - width, format };
    });
  };
  const pinned = $derived(place([NAME_COLUMN.id, ...pinnedIds.filter((id) => shown.includes(id))]));
  const scrolled = $derived(place(shown.filter((id) => !pinnedIds.includes(id))));
  const widthOf = (columns: Placed[]) => columns.reduce((sum, { width }) => sum + width, 0);

  return {
    /** The columns that stay at the left; the first one is the name. */
    get pinned() {
      return pinned;
    },
    get scrolled() {
      return scrolled;
    },
    get pinnedWidth() {
      return widthOf(pinned);
    },
    get scrolledWidth() {
      return widthOf(scrolled);
    },
    /** The ids of the shown columns without the name, in their order. */
    get shown() {
      return [...pinned, ...scrolled].map(({ column }) => column.id).filter((id) => id !== NAME_COLUMN.id);
    },
    choose: (chosen: string[]) => {
      ids = chosen;
      keep();
    },
    /** Shows the default columns again, in their usual widths. */
    reset: () => {
      [ids, pinnedIds, widths, formats] = [null, [], {}, {}];
      keep();
    },
    pin: (id: string, on: boolean) => {
      pinnedIds = [...pinnedIds.filter((other) => other !== id), ...(on ? [id] : [])];
      keep();
    },
    /** Moves a column before another one, or to the end. */
    move: (id: string, before: string | null) => {
      const moved = (list: string[]) => {
        const rest = list.filter((other) => other !== id);
        const at = before === null ? rest.length : Math.max(0, rest.indexOf(before));
        return [...rest.slice(0, at), id, ...rest.slice(at)];
      };
      ids = moved(shown);
      if (pinnedIds.includes(id)) pinnedIds = moved(pinnedIds);
      keep();
    },
    resize: (id: string, width: number) => {
      widths = { ...widths, [id]: Math.min(MOST_WIDTH, Math.max(LEAST_WIDTH, Math.round(width))) };
      keep();
    },
    format: (id: string, format: Format) => {
      formats = { ...formats, [id]: format };
      keep();
    },
  };
}

export type Columns = ReturnType<typeof createColumns>;

/** Returns the part of the columns that is between two places, and one more at each side: its first column and its end. */
export function columnsBetween(columns: Placed[], from: number, to: number): [first: number, end: number] {
  const first = columns.findIndex(({ left, width }) => left + width > from);
  if (first < 0) return [Math.max(0, columns.length - 1), columns.length];
  let end = first;
  while (end < columns.length && (columns[end] as Placed).left < to) end += 1;
  return [Math.max(0, first - 1), end + 1];
}
