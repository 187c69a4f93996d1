// @vitest-environment happy-dom
// Tests of the choice of a colour: it belongs to the run, is kept for the project, and can be taken back.
import { expect, it } from "vitest";
import { styleOf } from "../lib/colors";
import { chosenStyle, openRunColors } from "../state/run-colors.svelte";
import { all, click, eventually, gone, only, show } from "../testing";
import ColorPicker from "./ColorPicker.svelte";

it("gives a run the chosen colour, and the usual one again", async () => {
  openRunColors("team", "vision");
  show(ColorPicker, { run: "r1", name: "first", style: styleOf("r1", "light") });
  const button = await only('[aria-label="Colour of first"][aria-haspopup]');
  click(button);
  await only('[role=dialog][aria-label="Colour of first"]');
  await eventually(() => expect(all("button.color").length).toBeGreaterThan(6));
  const colors = all("button.color");
  expect(new Set(colors.map((each) => each.getAttribute("aria-label"))).size).toBe(colors.length);
  const third = colors[2] as HTMLElement;
  const color = third.getAttribute("aria-label") as string;
  click(third);
  await gone("[role=dialog]");
  expect(chosenStyle("r1")).toEqual({ color, dash: [] });
  expect(chosenStyle("r2")).toBeNull();

  click(button);
  await only("[role=dialog]");
  expect((await only("button.color[aria-pressed=true]")).getAttribute("aria-label")).toBe(color);
  openRunColors("team", "other");
  expect(chosenStyle("r1")).toBeNull();
  openRunColors("team", "vision"); // read again from the browser
  expect(chosenStyle("r1")?.color).toBe(color);
  click(await only("[role=dialog] button.small"));
  await gone("[role=dialog]");
  expect(chosenStyle("r1")).toBeNull();
});

it("reads no invalid colour that the browser kept", () => {
  window.localStorage.setItem("tracker:run-colors:team/broken", JSON.stringify({ r1: "url(http://evil.example)" }));
  openRunColors("team", "broken");
  expect(chosenStyle("r1")).toBeNull();
});
