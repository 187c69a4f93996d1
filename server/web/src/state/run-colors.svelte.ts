// The colours that a person chose for runs, kept in this browser for each project.
import type { LineStyle } from "../lib/colors";
import { settings } from "./services";

type Chosen = Record<string, string>;

const isChosen = (value: unknown): value is Chosen =>
  typeof value === "object" && value !== null && Object.values(value).every((each) => /^#[0-9a-f]{6}$/.test(String(each)));

let place = "";
let chosen = $state.raw<Chosen>({});

const keyOf = (entity: string, project: string) => `run-colors:${entity}/${project}`;

/** Reads the choices of a project. */
export function openRunColors(entity: string, project: string): void {
  const key = keyOf(entity, project);
  if (key === place) return;
  place = key;
  chosen = settings.read(key, {}, isChosen);
}

/** Returns the style that was chosen for a run; null if none was. */
export function chosenStyle(run: string): LineStyle | null {
  const color = chosen[run];
  return color === undefined ? null : { color, dash: [] };
}

/** Gives a run a colour such as `#0072b2`; null for the colour that follows from its id. */
export function chooseColor(run: string, color: string | null): void {
  const { [run]: _before, ...others } = chosen;
  chosen = color === null ? others : { ...others, [run]: color };
  settings.write(place, chosen);
}
