// Makes a scroll region reachable with the keyboard, as long as its content does not fit.
import type { Attachment } from "svelte/attachments";

const FOCUSABLE = "a[href], button, input, select, textarea, [tabindex='0']";

/** Returns an attachment that gives a region a tab stop and a name while it scrolls and has no control inside. */
export function scrollable(name: string): Attachment<HTMLElement> {
  return (region) => {
    const update = () => {
      const scrolls = region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight;
      if (scrolls && region.querySelector(FOCUSABLE) === null) {
        region.tabIndex = 0;
        region.role ??= "group";
        region.ariaLabel ??= name;
      } else region.removeAttribute("tabindex");
    };
    const sizes = new ResizeObserver(update);
    sizes.observe(region);
    const content = new MutationObserver(update);
    content.observe(region, { childList: true, subtree: true, characterData: true });
    return () => {
      sizes.disconnect();
      content.disconnect();
    };
  };
}
