// Shortcuts of lists of links: move between the rows, copy the name of a row, go to the search field.
import { copyText } from "../../components/copy-text";
import { provideCommands } from "../../state/commands.svelte";
import { notify, notifyFailure } from "../../state/toasts.svelte";

/** Copies a text and shows a message. */
export async function copyAndTell(text: string): Promise<void> {
  if (await copyText(text)) notify(`Copied ${text}`);
  else notifyFailure(new Error("The browser does not allow the page to copy. Select the text and copy it."));
}

/**
 * Offers the shortcuts while the calling component exists. A row is a link with `data-row`; `data-copy` is the text
 * that its copy key copies.
 */
export function provideRowKeys(area: () => HTMLElement | undefined, field: () => HTMLElement | undefined): void {
  const rows = () => [...(area()?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const focused = () => rows().find((row) => row === document.activeElement);
  const move = (by: number) => () => {
    const all = rows();
    const at = all.findIndex((row) => row === document.activeElement);
    (all[at === -1 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))])?.focus();
  };
  const section = "Artifacts";
  provideCommands([
    { title: "Next artifact", section, keys: "j", run: move(1) },
    { title: "Previous artifact", section, keys: "k", run: move(-1) },
    { title: "Search the artifacts", section, keys: "/", when: () => field() !== undefined, run: () => field()?.focus() },
    {
      title: "Copy the name of the artifact under the focus",
      section,
      keys: "c",
      when: () => focused()?.dataset["copy"] !== undefined,
      run: () => void copyAndTell(focused()?.dataset["copy"] ?? ""),
    },
  ]);
}
