// Reports when an element comes near the visible part of its scroll area, and when it leaves it.

const MARGIN = "250px 0px";

/** Returns a Svelte attachment. The scroll area is the nearest ancestor with the attribute data-scroll. */
export function inView(onChange: (visible: boolean) => void, rootMargin = MARGIN): (element: Element) => () => void {
  return (element) => {
    const observer = new IntersectionObserver(
      (entries) => {
        const last = entries.at(-1);
        if (last !== undefined) onChange(last.isIntersecting);
      },
      { root: element.closest("[data-scroll]"), rootMargin },
    );
    observer.observe(element);
    return () => observer.disconnect();
  };
}
