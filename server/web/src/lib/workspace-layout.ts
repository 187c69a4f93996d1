// The layout of a workspace: sections with panels. Sections and panels follow from the metrics; a layout stores only
// what a person has changed. Each change returns a new layout.
import { groupKeys } from "./keys";
import { PANEL_DEFAULTS, readSettings, type Look, type PanelSettings } from "./panel-settings";

/** Returns a short random text for the key of something new. Pages over plain http have no `crypto.randomUUID`. */
export const randomKey = (): string => crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36) ?? "";

export interface SectionChange {
  title?: string;
  closed?: boolean;
  hidden?: boolean;
  look?: Look;
  /** The first panels, in this order. The others follow in order of their names. */
  order?: string[];
  /** Whether a person made the section. */
  own?: boolean;
}

export interface PanelChange {
  removed?: boolean;
  /** The section to which the panel was moved. */
  section?: string;
  /** Width in columns of the grid. */
  columns?: number;
  height?: number;
  settings?: Partial<PanelSettings>;
  /** Whether a person added the panel. */
  own?: boolean;
}

export interface Layout {
  /** Only the added panels are shown. */
  manual?: boolean;
  look?: Look;
  /** The first sections, in this order. The others follow in order of their names. */
  order?: string[];
  sections?: Record<string, SectionChange>;
  panels?: Record<string, PanelChange>;
}

export interface Panel {
  /** The metric of a panel that was made by itself; an id for an added one. */
  key: string;
  own: boolean;
  columns: number;
  height: number | null;
  settings: PanelSettings;
}

export interface Section {
  key: string;
  title: string;
  own: boolean;
  closed: boolean;
  hidden: boolean;
  look: Look;
  panels: Panel[];
}

/** With more metrics, a new workspace shows only panels that were added. */
export const MOST_AUTOMATIC = 5000;
const MOST_COLUMNS = 12;

/** Whether a layout shows only the added panels. */
export function isManual(layout: Layout, metrics: number): boolean {
  return layout.manual ?? metrics > MOST_AUTOMATIC;
}

/** Puts the named keys first, in their order. */
export function applyOrder(keys: string[], order: string[] = []): string[] {
  if (order.length === 0) return keys;
  const known = new Set(keys);
  const first = order.filter((key) => known.has(key));
  const placed = new Set(first);
  return [...first, ...keys.filter((key) => !placed.has(key))];
}

/** Returns the shortest list for `applyOrder` that gives `wanted` from `natural`. */
export function shortestOrder(natural: string[], wanted: string[]): string[] {
  for (let count = 0; count < wanted.length; count++) {
    const order = wanted.slice(0, count);
    if (applyOrder(natural, order).every((key, at) => key === wanted[at])) return order;
  }
  return wanted;
}

function panelOf(key: string, change: PanelChange | undefined): Panel {
  const base: PanelSettings = { ...PANEL_DEFAULTS, type: "line", metrics: change?.own ? [] : [key] };
  return {
    key,
    own: change?.own ?? false,
    columns: change?.columns ?? 1,
    height: change?.height ?? null,
    settings: { ...base, ...change?.settings },
  };
}

/** The sections and the keys of their panels, before a person's order. */
function natural(layout: Layout, metrics: string[]): Map<string, string[]> {
  const { panels = {}, sections = {} } = layout;
  const found = new Map<string, string[]>();
  for (const [key, { own }] of Object.entries(sections)) if (own) found.set(key, []);
  const add = (section: string, key: string) => {
    const keys = found.get(section);
    if (keys === undefined) found.set(section, [key]);
    else keys.push(key);
  };
  const manual = isManual(layout, metrics.length);
  if (!manual) {
    for (const { name, keys } of groupKeys(metrics)) {
      for (const key of keys) if (!panels[key]?.removed && !panels[key]?.own) add(panels[key]?.section ?? name, key);
    }
  }
  for (const [key, { own, section }] of Object.entries(panels)) if (own) add(section ?? "Charts", key);
  return found;
}

/** Returns the sections of a workspace with metrics in their order. */
export function arrange(layout: Layout, metrics: string[]): Section[] {
  const found = natural(layout, metrics);
  return applyOrder([...found.keys()], layout.order).map((key) => {
    const change = layout.sections?.[key] ?? {};
    return {
      key,
      title: change.title ?? key,
      own: change.own ?? false,
      closed: change.closed ?? false,
      hidden: change.hidden ?? false,
      look: change.look ?? {},
      panels: applyOrder(found.get(key) ?? [], change.order).map((panel) => panelOf(panel, layout.panels?.[panel])),
    };
  });
}

/** Drops empty fields, so that a change that was taken back leaves nothing. */
function compact<T extends object>(given: T): T {
  const entries = Object.entries(given).filter(([, value]) => {
    if (value === undefined || value === null) return false;
    return typeof value !== "object" || Object.keys(value).length > 0;
  });
  return Object.fromEntries(entries) as T;
}

function withEntry<T extends object>(all: Record<string, T> | undefined, key: string, entry: T): Record<string, T> {
  return compact({ ...all, [key]: compact(entry) });
}

/** Changes a section. A field that is undefined, or false for `closed` and `hidden`, takes its change back. */
export function changeSection(layout: Layout, key: string, change: { [K in keyof SectionChange]: SectionChange[K] | undefined }): Layout {
  const next = { ...layout.sections?.[key], ...change } as SectionChange;
  if (!next.closed) delete next.closed;
  if (!next.hidden) delete next.hidden;
  if (next.title === key || next.title?.trim() === "") delete next.title;
  return compact({ ...layout, sections: withEntry(layout.sections, key, next) });
}

/** Changes a panel. */
export function changePanel(layout: Layout, key: string, change: { [K in keyof PanelChange]: PanelChange[K] | undefined }): Layout {
  const next = { ...layout.panels?.[key], ...change } as PanelChange;
  if (next.columns !== undefined) next.columns = Math.min(MOST_COLUMNS, Math.max(1, next.columns));
  if (next.columns === 1) delete next.columns;
  if (!next.removed) delete next.removed;
  return compact({ ...layout, panels: withEntry(layout.panels, key, next) });
}

/** Stores the settings of a panel that differ from those that it has by itself. */
export function setSettings(layout: Layout, key: string, settings: PanelSettings): Layout {
  const own = layout.panels?.[key]?.own ?? false;
  const base = panelOf(key, own ? { own } : {}).settings as unknown as Record<string, unknown>;
  const changed = Object.entries(settings).filter(
    ([name, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(base[name]),
  );
  return changePanel(layout, key, { settings: Object.fromEntries(changed) as Partial<PanelSettings> });
}

/** Adds a panel at the end of a section, under a new id. */
export function addPanel(layout: Layout, id: string, section: string, settings: PanelSettings): Layout {
  return setSettings(changePanel(layout, id, { own: true, section }), id, settings);
}

/** Removes a panel. One that was made by itself can be restored. */
export function removePanel(layout: Layout, key: string): Layout {
  if (!layout.panels?.[key]?.own) return changePanel(layout, key, { removed: true });
  const { [key]: _removed, ...panels } = layout.panels;
  return compact({ ...layout, panels });
}

/** Returns how many panels that were made by themselves have been removed. */
export function countRemoved(layout: Layout): number {
  return Object.values(layout.panels ?? {}).filter((panel) => panel.removed).length;
}

/** Shows all panels and sections again. */
export function restoreAll(layout: Layout): Layout {
  let next = layout;
  for (const [key, { removed }] of Object.entries(layout.panels ?? {})) {
    if (removed) next = changePanel(next, key, { removed: undefined });
  }
  for (const [key, { hidden }] of Object.entries(layout.sections ?? {})) {
    if (hidden) next = changeSection(next, key, { hidden: undefined });
  }
  return next;
}

/** Moves a panel to a place in a section. `to` is its index there after the move. */
export function movePanel(layout: Layout, metrics: string[], key: string, section: string, to: number): Layout {
  const from = arrange(layout, metrics).find((each) => each.panels.some((panel) => panel.key === key));
  if (from === undefined) return layout;
  const home = layout.panels?.[key]?.own ? null : (groupKeys([key])[0]?.name ?? null);
  let next = from.key === section ? layout : changePanel(layout, key, { section: section === home ? undefined : section });
  const keys = arrange(next, metrics)
    .find((each) => each.key === section)
    ?.panels.map((panel) => panel.key)
    .filter((other) => other !== key);
  if (keys === undefined) return layout;
  const wanted = [...keys.slice(0, to), key, ...keys.slice(to)];
  const order = shortestOrder(natural(next, metrics).get(section) ?? [], wanted);
  next = changeSection(next, section, { order });
  return from.key === section ? next : forget(next, from.key, key);
}

function forget(layout: Layout, section: string, key: string): Layout {
  const order = layout.sections?.[section]?.order;
  return order === undefined ? layout : changeSection(layout, section, { order: order.filter((other) => other !== key) });
}

/** Moves a section by some places, past hidden ones too. */
export function moveSection(layout: Layout, metrics: string[], key: string, by: number): Layout {
  const keys = arrange(layout, metrics).map((section) => section.key);
  const at = keys.indexOf(key);
  const to = Math.min(keys.length - 1, Math.max(0, at + by));
  if (at === -1 || at === to) return layout;
  keys.splice(to, 0, ...keys.splice(at, 1));
  return compact({ ...layout, order: shortestOrder([...natural(layout, metrics).keys()], keys) });
}

/** Removes a section that a person made. Its panels return to where they came from; added ones are removed. */
export function removeSection(layout: Layout, key: string): Layout {
  const { [key]: _removed, ...sections } = layout.sections ?? {};
  const panels = Object.entries(layout.panels ?? {}).flatMap(([name, panel]): [string, PanelChange][] => {
    if (panel.section !== key) return [[name, panel]];
    const { section: _section, ...rest } = panel;
    return panel.own || Object.keys(rest).length === 0 ? [] : [[name, rest]];
  });
  return compact({ ...layout, sections, panels: Object.fromEntries(panels) });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown) => typeof value === "string";
const isFlag = (value: unknown) => typeof value === "boolean";
const isNumber = (value: unknown) => typeof value === "number" && Number.isFinite(value);
const isNames = (value: unknown) => Array.isArray(value) && value.every(isText);

function pick(from: unknown, checks: Record<string, (value: unknown) => boolean>): Record<string, unknown> {
  if (!isRecord(from)) return {};
  return Object.fromEntries(Object.entries(checks).flatMap(([name, valid]) => (valid(from[name]) ? [[name, from[name]]] : [])));
}

/** Returns the valid parts of a layout from a document. It never throws. */
export function readLayout(given: unknown): Layout {
  if (!isRecord(given)) return {};
  const each = <T extends object>(all: unknown, read: (entry: unknown) => T): Record<string, T> =>
    isRecord(all) ? Object.fromEntries(Object.entries(all).map(([key, entry]) => [key, compact(read(entry))])) : {};
  const inside = (entry: unknown, name: string) => (isRecord(entry) ? readSettings(entry[name]) : {});
  return compact({
    ...pick(given, { manual: isFlag, order: isNames }),
    look: readSettings(given["look"]) as Look,
    sections: each(given["sections"], (entry) => ({
      ...pick(entry, { title: isText, closed: isFlag, hidden: isFlag, own: isFlag, order: isNames }),
      look: inside(entry, "look") as Look,
    })),
    panels: each(given["panels"], (entry) => ({
      ...pick(entry, { removed: isFlag, section: isText, columns: isNumber, height: isNumber, own: isFlag }),
      settings: inside(entry, "settings"),
    })),
  });
}
