// Virtual rows and pages of a long list: only index arithmetic.

export interface Window {
  /** First row to render. */
  start: number;
  /** Row after the last row to render. */
  end: number;
}

/** Returns the rows to render for a scroll position, with some extra rows on both sides. */
export function visibleWindow(
  scrollTop: number,
  viewHeight: number,
  rowHeight: number,
  total: number,
  overscan = 8,
): Window {
  if (total <= 0 || rowHeight <= 0) return { start: 0, end: 0 };
  const first = Math.floor(Math.max(0, scrollTop) / rowHeight);
  const count = Math.ceil(Math.max(0, viewHeight) / rowHeight) + 1;
  const start = Math.min(Math.max(0, first - overscan), total - 1);
  return { start, end: Math.min(total, Math.max(start + 1, first + count + overscan)) };
}

/** Returns the numbers of the pages that cover a window. */
export function pagesOf(window: Window, pageSize: number): number[] {
  if (window.end <= window.start) return [];
  const first = Math.floor(window.start / pageSize);
  const last = Math.floor((window.end - 1) / pageSize);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** Returns the scroll position that brings a row into view; unchanged if the row is visible. */
export function scrollToRow(row: number, scrollTop: number, viewHeight: number, rowHeight: number): number {
  const top = row * rowHeight;
  if (top < scrollTop) return top;
  if (top + rowHeight > scrollTop + viewHeight) return top + rowHeight - viewHeight;
  return scrollTop;
}
