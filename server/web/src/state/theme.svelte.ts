// The colour theme: the setting of the system, until the user chooses light or dark.
import type { Theme } from "../lib/colors";
import { settings } from "./services";

type Choice = Theme | "system";

const isChoice = (value: unknown): value is Choice => value === "light" || value === "dark" || value === "system";
const media = window.matchMedia("(prefers-color-scheme: dark)");

let choice = $state<Choice>(settings.read("theme", "system", isChoice));
let systemDark = $state(media.matches);

export const theme = {
  get current(): Theme {
    if (choice !== "system") return choice;
    return systemDark ? "dark" : "light";
  },
};

function apply(): void {
  document.documentElement.dataset["theme"] = theme.current;
  document.documentElement.classList.toggle("dark-mode", theme.current === "dark"); // for Swagger UI
}

export function toggleTheme(): void {
  choice = theme.current === "dark" ? "light" : "dark";
  settings.write("theme", choice);
  apply();
}

export function startTheme(): void {
  media.addEventListener("change", (event) => {
    systemDark = event.matches;
    apply();
  });
  apply();
}
