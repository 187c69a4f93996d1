// Scrolls an area to the element that an address names, although the page above it is still loading.
import type { Attachment } from "svelte/attachments";

/**
 * Returns an attachment for a scroll area. It keeps the first element that matches `selector` in view while
 * content loads, until the user scrolls or presses a key.
 */
export function scrollTo(selector: string | null): Attachment<HTMLElement> {
  return (area) => {
    if (selector === null) return;
    let at = NaN;
    const move = () => {
      const target = area.querySelector(selector);
      if (target === null) return;
      const now = target.getBoundingClientRect().top - area.getBoundingClientRect().top + area.scrollTop;
      if (now === at) return;
      at = now;
      target.scrollIntoView({ block: "start", inline: "nearest" });
    };
    const seen = new MutationObserver(move);
    const stop = () => {
      seen.disconnect();
      area.removeEventListener("load", move, true);
      for (const name of USED) window.removeEventListener(name, stop);
    };
    seen.observe(area, { childList: true, subtree: true });
    area.addEventListener("load", move, true);
    for (const name of USED) window.addEventListener(name, stop, { passive: true });
    move();
    return stop;
  };
}

const USED = ["wheel", "touchmove", "pointerdown", "keydown"] as const;
