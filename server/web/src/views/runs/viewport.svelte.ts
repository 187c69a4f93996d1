// Which rows and columns of the runs table are rendered.
import { scrollToRow, visibleWindow } from "../../lib/window";
import { columnsBetween, type Columns, type Placed } from "./columns.svelte";
import { CONTROLS, HEAD, ROW } from "./rows";

/** The rendered rows move by several at once: the frames in between only scroll. */
const STRIDE = 8;
/** Rows that are rendered at each side of the visible ones, at least. */
const SPARE = 4;
const REST = 120; // milliseconds without scrolling

/** The row that one element of the table shows. */
export class Slot {
  index: number;
  constructor(index: number) {
    this.index = $state(index);
  }
}

/** Call it while a component is created. */
export class Viewport {
  height = $state(0);
  width = $state(0);
  scrollLeft = $state(0);
  /** The first row that is rendered. */
  first = $state(0);
  /** The position at which scrolling ended. */
  restTop = $state(0);
  scroller: HTMLElement | undefined;
  /** Kept, because the browser computes the layout when a script reads it from the element. */
  scrollTop = 0;
  #timer: number | undefined;
  readonly #total: () => number;
  readonly #columns: Columns;

  constructor(total: () => number, columns: Columns) {
    this.#total = total;
    this.#columns = columns;
    $effect.pre(() => {
      // Only the elements whose row has changed are updated.
      const { first, count } = this;
      for (const [at, slot] of this.slots.entries()) slot.index = first + ((((at - first) % count) + count) % count);
    });
    $effect(() => () => clearTimeout(this.#timer));
  }

  /** The number of rows with elements. After scrolling, the same elements show other rows. */
  count = $derived.by(() => Math.ceil(Math.max(0, this.height - HEAD) / ROW) + 1 + 2 * SPARE + STRIDE);
  readonly #slots: Slot[] = [];
  /** The rows with elements. Another height of the table adds or removes some, and keeps the others. */
  slots = $derived.by(() => {
    while (this.#slots.length < this.count) this.#slots.push(new Slot(this.#slots.length));
    return this.#slots.slice(0, this.count);
  });
  end = $derived.by(() => Math.min(this.#total(), this.first + this.count));
  // A text of its own: the columns stay the same while their part does.
  #range = $derived.by(() => {
    const { scrolled, pinnedWidth } = this.#columns;
    return columnsBetween(scrolled, this.scrollLeft, this.scrollLeft + this.width - pinnedWidth - CONTROLS).join();
  });
  /** The columns that are rendered. */
  cells: Placed[] = $derived.by(() => this.#columns.scrolled.slice(...(this.#range.split(",").map(Number) as [number, number])));
  /** Where they are in a row. */
  strip = $derived.by(() => ({
    columns: this.cells.map(({ width }) => `${width}px`).join(" "),
    left: `calc(${this.cells[0]?.left ?? 0}px + var(--shift))`,
  }));

  locate(): void {
    const { start } = visibleWindow(this.scrollTop, this.height - HEAD, ROW, this.#total(), SPARE);
    this.first = Math.floor(start / STRIDE) * STRIDE;
  }

  onscroll = (): void => {
    const { scroller } = this;
    if (scroller === undefined) return;
    ({ scrollTop: this.scrollTop, scrollLeft: this.scrollLeft } = scroller);
    this.locate();
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => (this.restTop = this.scrollTop), REST);
  };

  /** Scrolls a row into view. `fixed` is the number of rows in the head of the table. */
  reveal(row: number, fixed: number): void {
    if (this.scroller === undefined) return;
    this.scroller.scrollTop = scrollToRow(row, this.scroller.scrollTop, this.height - HEAD - fixed * ROW, ROW);
  }
}
