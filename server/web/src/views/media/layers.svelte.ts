// What is drawn on top of the images of one key: layers, classes, and boxes by their score.
import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { lineStyle, type LineStyle } from "../../lib/colors";
import { isBoxShown, type Box, type LayerChoice } from "../../lib/media";

/** Classes repeat these colours. */
const HUES = 8;

export const classColor = (classId: number): string => lineStyle(Math.abs(Math.trunc(classId)) % HUES, "light").color;

export class LayerState {
  hidden = new SvelteSet<string>();
  hiddenClasses = new SvelteSet<string>();
  /** The classes that the loaded images have, with the colour of each. */
  classes = new SvelteMap<string, string>();
  /** The least and the greatest of each score of the loaded boxes. */
  scores = new SvelteMap<string, [number, number]>();
  score = $state("");
  least = $state(-Infinity);
  masks = $state.raw<string[]>([]);
  boxes = $state.raw<string[]>([]);
  /** Names of classes by value, for each mask. */
  labels = $state.raw<Record<string, Record<string, string>>>({});

  get choice(): LayerChoice {
    const score = this.score || ([...this.scores.keys()][0] ?? "");
    return { hidden: this.hidden, hiddenClasses: this.hiddenClasses, score, least: this.least };
  }

  className(mask: string, value: number): string {
    return this.labels[mask]?.[String(value)] ?? `class ${value}`;
  }

  /** The style of boxes: several sets of boxes differ by colour and dashes, one set by the colours of classes. */
  styleOf(set: string, classId: number): LineStyle {
    if (this.boxes.length < 2) return { color: classColor(classId), dash: [] };
    const at = Math.max(0, this.boxes.indexOf(set));
    return { color: lineStyle(at % HUES, "light").color, dash: at % 2 === 0 ? [] : [6, 4] };
  }

  isShown(set: string, box: Box): boolean {
    return !this.hidden.has(`boxes ${set}`) && isBoxShown(box, this.choice);
  }

  noteBoxes(boxes: Box[]): void {
    for (const { className, classId, scores } of boxes) {
      if (!this.classes.has(className)) this.classes.set(className, classColor(classId));
      for (const [name, score] of Object.entries(scores)) {
        const [low, high] = this.scores.get(name) ?? [score, score];
        if (!this.scores.has(name) || score < low || score > high) {
          this.scores.set(name, [Math.min(low, score), Math.max(high, score)]);
        }
      }
    }
  }

  noteClass(name: string, classId: number): void {
    if (!this.classes.has(name)) this.classes.set(name, classColor(classId));
  }

  flip(set: SvelteSet<string>, name: string): void {
    if (!set.delete(name)) set.add(name);
  }
}
