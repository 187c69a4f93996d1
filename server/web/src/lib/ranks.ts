// Which panels of a distributed run draw several ranks. The choice is part of the address, as writer.
interface Logged {
  key: string;
  /** Ranks that logged the key, without the first one. */
  other_ranks: number;
}

/** Returns the keys that other ranks than the first one logged: only their panels depend on the choice. */
export const keysOfRanks = (keys: Logged[]): Set<string> => new Set(keys.filter((each) => each.other_ranks > 0).map((each) => each.key));

/** Whether panels draw several ranks. A segment as writer is one rank. */
export const drawsRanks = (writer: string | null): boolean => writer === null || writer === "each";
