// Which dialog of the frame is open: the command palette or the page of shortcuts.

export type Overlay = "palette" | "shortcuts";

let current = $state<Overlay | null>(null);

export const overlay = {
  get current(): Overlay | null {
    return current;
  },
  open(wanted: Overlay): void {
    current = wanted;
  },
  close(): void {
    current = null;
  },
};
