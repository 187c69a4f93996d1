// Converts logged media of every wandb type into one flat list of media to show.
import { asNumber, isObject, typeOf, type Json, type JsonObject } from "./json";

export type MediaKind = "image" | "audio" | "video" | "html" | "plotly" | "cloud" | "file";

/** A mask or a set of boxes on top of an image. */
export interface Layer {
  name: string;
  url: string;
}

export interface MediaItem {
  kind: MediaKind;
  url: string;
  /** Name of the file. */
  name: string;
  caption: string | null;
  width: number | null;
  height: number | null;
  size: number | null;
  masks: Layer[];
  boxes: Layer[];
}

const KINDS: Record<string, MediaKind> = {
  "image-file": "image",
  "audio-file": "audio",
  "video-file": "video",
  "html-file": "html",
  "plotly-file": "plotly",
};
/** The key under which a dict of several media contains them. */
const SEVERAL: Record<string, string> = { audio: "audio", videos: "videos", html: "html", object3D: "objects" };
/** Image formats that browsers can show. wandb keeps the format of a logged file. */
const SHOWN = /\.(png|jpe?g|gif|webp|bmp)$/i;

/** Returns all media in a value of the history, or in a cell of a table. */
export function mediaItemsOf(value: Json | undefined): MediaItem[] {
  if (Array.isArray(value)) return value.flatMap(mediaItemsOf);
  if (!isObject(value)) return [];
  const type = typeOf(value) ?? "";
  const several = SEVERAL[type];
  if (several !== undefined && Array.isArray(value[several])) {
    const captions = list(value["captions"]);
    return list(value[several])
      .flatMap(mediaItemsOf)
      .map((item, at) => ({ ...item, caption: item.caption ?? text(captions[at]) }));
  }
  if (Array.isArray(value["urls"])) {
    const [captions, masks, boxes] = ["captions", "all_masks", "all_boxes"].map((key) => list(value[key]));
    const names = list(value["filenames"]);
    return list(value["urls"]).flatMap((url, at) =>
      typeof url !== "string"
        ? []
        : mediaItem(type === "images/separated" ? "image-file" : type, url, text(names[at]) ?? url, {
            ...value,
            caption: captions?.[at] ?? null,
            masks: masks?.[at] ?? null,
            boxes: boxes?.[at] ?? null,
            size: null,
          }),
    );
  }
  const url = value["url"];
  return typeof url === "string" ? mediaItem(type, url, text(value["path"]) ?? url, value) : [];
}

function mediaItem(type: string, url: string, path: string, value: { [key: string]: Json }): MediaItem[] {
  if (type.endsWith("table-file")) return [];
  let kind: MediaKind = KINDS[type] ?? (path.endsWith(".pts.json") ? "cloud" : "file");
  if (kind === "image" && !SHOWN.test(path)) kind = "file";
  return [
    {
      kind,
      url,
      name: path.split("/").at(-1) ?? path,
      caption: text(value["caption"]),
      width: asNumber(value["width"]),
      height: asNumber(value["height"]),
      size: asNumber(value["size"]),
      masks: layers(value["masks"]),
      boxes: layers(value["boxes"]),
    },
  ];
}

function layers(value: Json | undefined): Layer[] {
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, layer]) =>
    isObject(layer) && typeof layer["url"] === "string" ? [{ name, url: layer["url"] }] : [],
  );
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function text(value: Json | undefined): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** A box on an image, as fractions of its width and height. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
  classId: number;
  /** The name of the class; the number if it has none. */
  className: string;
  label: string;
  scores: Record<string, number>;
}

/** Returns the boxes of a `boxes2D` file. Malformed boxes are omitted. */
export function boxesOf(file: Json, imageWidth: number, imageHeight: number): Box[] {
  if (!isObject(file)) return [];
  const labels = isObject(file["class_labels"]) ? file["class_labels"] : {};
  return list(file["box_data"]).flatMap((box) => {
    if (!isObject(box) || !isObject(box["position"])) return [];
    const [x, y] = box["domain"] === "pixel" ? [imageWidth, imageHeight] : [1, 1];
    const at = (key: string) => asNumber((box["position"] as { [key: string]: Json })[key]) ?? NaN;
    const middle = list(box["position"]["middle"]).map((part) => asNumber(part) ?? NaN);
    const [left, top, width, height] =
      middle.length === 2
        ? [(middle[0] as number) - at("width") / 2, (middle[1] as number) - at("height") / 2, at("width"), at("height")]
        : [at("minX"), at("minY"), at("maxX") - at("minX"), at("maxY") - at("minY")];
    if (![left, top, width, height].every(Number.isFinite)) return [];
    const classId = asNumber(box["class_id"]) ?? 0;
    const ofClass = text(labels[String(classId)]);
    const className = ofClass ?? `class ${classId}`;
    const label = text(box["box_caption"]) ?? ofClass ?? "";
    const scores: Record<string, number> = {};
    for (const [name, value] of Object.entries(isObject(box["scores"]) ? box["scores"] : {})) {
      const score = asNumber(value);
      if (score !== null) scores[name] = score;
    }
    return [{ left: left / x, top: top / y, width: width / x, height: height / y, classId, className, label, scores }];
  });
}

/** What is drawn on top of images: the choices for all images of a key. */
export interface LayerChoice {
  /** Layers that are not drawn, as `mask NAME` or `boxes NAME`. */
  hidden: ReadonlySet<string>;
  /** Names of classes that are not drawn. */
  hiddenClasses: ReadonlySet<string>;
  /** The score that boxes need; boxes without this score are drawn. */
  score: string;
  least: number;
}

/** Returns whether a box of a visible layer is drawn. */
export function isBoxShown(box: Box, choice: LayerChoice): boolean {
  const score = box.scores[choice.score];
  return !choice.hiddenClasses.has(box.className) && !(score !== undefined && score < choice.least);
}

/** Returns the sorted names of the layers of some images. */
export function layerNames(items: MediaItem[]): { masks: string[]; boxes: string[] } {
  const names = (of: (item: MediaItem) => Layer[]) => [...new Set(items.flatMap(of).map((layer) => layer.name))].sort();
  return { masks: names((item) => item.masks), boxes: names((item) => item.boxes) };
}

/** Returns the names of classes of masks by their value, for each layer of a key, as the config of the run has them. */
export function maskClasses(config: JsonObject, key: string): Record<string, Record<string, string>> {
  const noted = isObject(config["_wandb"]) ? config["_wandb"]["mask/class_labels"] : undefined;
  const found: Record<string, Record<string, string>> = {};
  for (const [name, value] of Object.entries(isObject(noted) ? noted : {})) {
    const layer = name.startsWith(`${key}_wandb_delimeter_`) ? name.slice(key.length + "_wandb_delimeter_".length) : null;
    const labels = isObject(value) && isObject(value["value"]) ? value["value"] : value;
    if (layer === null || !isObject(labels)) continue;
    found[layer] = Object.fromEntries(Object.entries(labels).map(([id, label]) => [id, String(label)]));
  }
  return found;
}

/** Returns the entry of the newest step that is not after `step`; the first entry if all are later, the last for null. */
export function entryAt<T extends { step: number }>(entries: T[], step: number | null): T | undefined {
  return step === null ? entries.at(-1) : (entries.findLast((entry) => entry.step <= step) ?? entries[0]);
}

/** Returns the points of a point cloud file: x, y, z, and a colour as `#rrggbb` or null. */
export function pointsOf(file: Json): { x: number; y: number; z: number; color: string | null }[] {
  const rows = list(isObject(file) ? file["points"] : file);
  return rows.flatMap((row) => {
    const [x, y, z, r, g, b] = list(row).map((part) => asNumber(part) ?? NaN);
    if (x === undefined || y === undefined || z === undefined || !Number.isFinite(x + y + z)) return [];
    const color =
      r !== undefined && g !== undefined && b !== undefined
        ? `#${[r, g, b].map((part) => Math.max(0, Math.min(255, Math.round(part))).toString(16).padStart(2, "0")).join("")}`
        : null;
    return [{ x, y, z, color }];
  });
}
