// The entries of a panel's menu that choose how the ranks of a run are drawn.
import type { MenuItem } from "../components/menu-item";
import { RANK_VIEWS } from "../lib/rank-views";
import { nav, patch } from "../state/nav.svelte";

/** Returns the entries. Read it in a reactive context: the check mark follows the address. */
export function rankItems(): MenuItem[] {
  const current = nav.route.page === "project" ? nav.route.writer : null;
  return RANK_VIEWS.map(({ writer, title }) => ({
    title,
    checked: current === writer,
    act: () => patch({ writer }, true),
  }));
}
