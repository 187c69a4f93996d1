// Lists that are taller than a browser can display: each scroll position represents a place in the whole list.

/** Browsers cut elements that are taller than about 17 million pixels. */
const MOST_PIXELS = 15_000_000;

export interface TallList {
  /** The height of the scrolled element. */
  height: number;
  /** The place in the whole list of the scroll position, in pixels. */
  top: number;
}

/** Returns the height of a list, and the place that is shown at a scroll position. */
export function tallList(scrollTop: number, viewHeight: number, rowHeight: number, total: number): TallList {
  const whole = total * rowHeight;
  if (whole <= MOST_PIXELS) return { height: whole, top: scrollTop };
  const share = Math.min(1, Math.max(0, scrollTop) / (MOST_PIXELS - viewHeight));
  return { height: MOST_PIXELS, top: share * (whole - viewHeight) };
}
