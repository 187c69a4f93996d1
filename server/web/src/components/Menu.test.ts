// @vitest-environment happy-dom
// Tests of the menu and the dialog: keys, focus, and what a choice does.
import { expect, it, vi } from "vitest";
import { eventually, gone, only, press, show, texts, words, click, all } from "../testing";
import Dialog from "./Dialog.svelte";
import Menu from "./Menu.svelte";

function openMenu() {
  const act = vi.fn();
  const items = [
    { title: "First", act: () => act("first") },
    { title: "Never", act: () => act("never"), disabled: true },
    { title: "Marked", act: () => act("marked"), checked: true },
  ];
  show(Menu, { label: "Actions", items, children: words("open") });
  return act;
}

it("opens by the arrow key, moves the focus, and runs the chosen item", async () => {
  const act = openMenu();
  const button = await only("button[aria-haspopup=menu]");
  expect(button.getAttribute("aria-expanded")).toBe("false");
  button.focus();
  expect(press("ArrowDown")).toBe(true);
  await only("[role=menu]");
  expect(button.getAttribute("aria-expanded")).toBe("true");
  expect(texts("[role=menuitem]")).toEqual(["First", "Never", "on: Marked"]);
  await eventually(() => expect(document.activeElement?.getAttribute("role")).toMatch("menu"));
  if (document.activeElement?.textContent.trim() !== "First") press("ArrowDown");
  press("ArrowDown"); // not onto the disabled item
  expect(document.activeElement?.textContent).toContain("Marked");
  press("Enter");
  await gone("[role=menu]");
  expect(act.mock.calls).toEqual([["marked"]]);
});

it("returns the focus to its button after Escape, and does nothing", async () => {
  const act = openMenu();
  const button = await only("button[aria-haspopup=menu]");
  button.focus();
  press("ArrowDown");
  await only("[role=menu]");
  await eventually(() => expect(document.activeElement).not.toBe(button));
  press("Escape");
  await gone("[role=menu]");
  await eventually(() => expect(document.activeElement).toBe(button));
  expect(act).not.toHaveBeenCalled();
});

it("shows a dialog with its name and buttons, and tells when a person closes it", async () => {
  const onclose = vi.fn();
  show(Dialog, { title: "Edit", open: true, children: words("the content"), actions: words("buttons"), onclose });
  const dialog = await only("[role=dialog]");
  const title = document.getElementById(dialog.getAttribute("aria-labelledby") ?? "");
  expect(title?.textContent).toBe("Edit");
  expect(dialog.textContent).toContain("the content");
  expect(texts(".dialog-foot")).toEqual(["buttons"]);
  click(await only("[aria-label=Close]"));
  await gone("[role=dialog]");
  expect(onclose).toHaveBeenCalledOnce();
});

it("loads nothing of a dialog that was never open", () => {
  show(Dialog, { title: "Edit", open: false, children: words("the content") });
  expect(all("[role=dialog]")).toEqual([]);
  expect(document.body.textContent).toBe("");
});
