// The names of what the panels of a distributed run draw. They are not needed before the first chart.
import { plural } from "./format";

/** The choices by the writer in the address; null is the default. */
export const RANK_VIEWS = [
  { writer: null, title: "Mean and spread of ranks" },
  { writer: "each", title: "One line for each rank" },
  { writer: "first", title: "First rank only" },
] as const;

/** Names what a panel shows: the number of ranks, then what is drawn of them, because narrow panels cut the end. */
export function describeRanks(count: number, each: boolean, band: string): string {
  const ranks = plural(count, "rank");
  return each || count < 2 ? ranks : `${ranks}: ${band}`;
}
