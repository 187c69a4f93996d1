// An entry of a menu.
import type { ComponentProps } from "svelte";
import type Icon from "./Icon.svelte";

export interface MenuItem {
  title: string;
  icon?: ComponentProps<typeof Icon>["name"];
  /** A shortcut, such as "e". */
  keys?: string;
  /** Marks a choice that is on or off. */
  checked?: boolean;
  disabled?: boolean;
  danger?: boolean;
  /** Draws a line above the entry. */
  apart?: boolean;
  act: () => void;
}
