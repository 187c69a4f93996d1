// The saved view of a workspace: the open one with its unsaved changes, the list of all, and the project's default.
import { ApiError, type Schema } from "../lib/api";
import type { Json } from "../lib/json";
import { createLatest } from "../lib/latest";
import type { ProjectRoute } from "../lib/route";
import { NO_VIEW, isSameView, plainParts, readView, viewChange, viewQuery, type ViewContent } from "../lib/saved-views";
import type { Layout } from "../lib/workspace-layout";
import { nav, patch } from "./nav.svelte";
import { api, settings } from "./services";
import { session } from "./session.svelte";
import { notify } from "./toasts.svelte";

/** The name of the document with the default view and the list of personal views. It is not a view. */
const INDEX = ".workspace";

interface Index {
  /** The view of an address without one. */
  usual: string | null;
  /** Views that only their owner sees in the list. */
  personal: string[];
}

type Info = Schema<"DocumentInfo">;

function readIndex(content: Json): Index {
  const given = (typeof content === "object" && content !== null ? content : {}) as { [key: string]: Json };
  const personal = Array.isArray(given["personal"]) ? given["personal"].map(String) : [];
  return { usual: typeof given["default"] === "string" ? given["default"] : null, personal };
}

const isText = (value: unknown): value is string => typeof value === "string";

export class SavedViews {
  /** Shared views and those of the caller. */
  list = $state.raw<Info[]>([]);
  /** The stored view; null for the layout that the metrics give. */
  stored = $state.raw<Info | null>(null);
  layout = $state.raw<Layout>({});
  /** Whether the layout belongs to the address. */
  ready = $state(false);
  /** Whether another person has changed the view since it was read. */
  conflict = $state(false);
  error = $state.raw<unknown>(null);
  index = $state.raw<Index>({ usual: null, personal: [] });

  #saved = $state.raw<ViewContent>({ layout: {}, query: "" });
  #place: { entity: string; project: string };
  #latest = createLatest();
  #indexed: Promise<void> | null = null;
  #indexInfo: Info | null = null;

  constructor(entity: string, project: string) {
    this.#place = { entity, project };
  }

  /** The layout, and the parts of the address that a view stores. */
  content(route: ProjectRoute): ViewContent {
    return { layout: this.layout, query: viewQuery(route) };
  }

  /** Whether something differs from the stored view. */
  isChanged(route: ProjectRoute): boolean {
    if (!this.ready) return false;
    const now = this.content(route);
    return !isSameView(this.stored === null ? { ...now, query: "" } : now, this.#saved);
  }

  isPersonal(id: string): boolean {
    return this.index.personal.includes(id);
  }

  /** Opens the view of an address. Without one, the project's default view. */
  async open(view: string | null): Promise<void> {
    this.ready = false;
    this.conflict = false;
    try {
      await this.#latest.run(async (signal) => {
        await (this.#indexed ??= this.#loadIndex());
        if (signal.aborted) return;
        const id = view ?? this.index.usual;
        if (id !== view) return patch({ view: id }, true);
        await this.#read(id, signal);
      });
      this.error = null;
    } catch (error) {
      this.#indexed = null;
      this.error = error;
    }
  }

  async #read(id: string | null, signal: AbortSignal): Promise<void> {
    let stored: Schema<"Document"> | null = null;
    if (id !== null && id !== NO_VIEW) {
      try {
        stored = await this.#call<Schema<"Document">>([id], { signal });
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404) || signal.aborted) throw error;
        notify("The saved view of this address does not exist any more.");
        return patch({ view: NO_VIEW }, true);
      }
    }
    if (signal.aborted || nav.route.page !== "project") return;
    this.stored = stored;
    this.#saved = readView(stored?.content ?? null);
    const draft = readView(this.#draft(id));
    const content = this.#draft(id) === null ? this.#saved : draft;
    this.layout = content.layout;
    if (stored !== null) patch(viewChange(nav.route, content.query), true);
    this.ready = true;
  }

  /** Keeps unsaved changes in this browser, so that a reload does not lose them. */
  keep(route: ProjectRoute): void {
    if (!this.ready || (route.view ?? NO_VIEW) !== (this.stored?.id ?? NO_VIEW)) return;
    const content = this.content(route);
    if (this.stored === null) content.query = "";
    const text = this.isChanged(route) ? JSON.stringify(content) : "";
    if (text !== settings.read(this.#draftKey(route.view), "", isText)) settings.write(this.#draftKey(route.view), text);
  }

  #draftKey(view: string | null): string {
    return `draft:${this.#place.entity}/${this.#place.project}/${view === NO_VIEW ? "" : (view ?? "")}`;
  }

  #draft(view: string | null): unknown {
    const text = settings.read(this.#draftKey(view), "", isText);
    return text === "" ? null : (JSON.parse(text) as unknown);
  }

  discard(): void {
    const id = this.stored?.id ?? null;
    settings.write(this.#draftKey(id), "");
    if (id === null) this.layout = {};
    else {
      patch(plainParts(), true);
      void this.open(id);
    }
  }

  /** Stores the changes in the open view. Sets `conflict` if another person has changed it. */
  async save(route: ProjectRoute): Promise<void> {
    const { stored } = this;
    if (stored === null) return;
    const content = this.content(route);
    try {
      this.#accept(await this.#change(stored, { content }), content);
      notify(`Saved the view “${stored.name}”.`);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "edit_conflict")) throw error;
      this.conflict = true;
    }
  }

  /** Stores the workspace as a new view and opens it. */
  async saveAs(route: ProjectRoute, name: string, personal: boolean): Promise<void> {
    const content = this.content(route);
    const before = this.#draftKey(route.view);
    const stored = await this.#call<Schema<"Document">>([], { method: "POST", body: { name, content }, stay: true });
    settings.write(before, "");
    this.#accept(stored, content);
    this.conflict = false;
    if (personal) await this.#changeIndex((index) => ({ ...index, personal: [...index.personal, stored.id] }));
    patch({ view: stored.id }, true);
    notify(`Saved the view “${name}”.`);
  }

  async rename(name: string): Promise<void> {
    if (this.stored !== null) this.#accept(await this.#change(this.stored, { name }), this.#saved);
  }

  async remove(): Promise<void> {
    const { stored } = this;
    if (stored === null) return;
    const headers = { "if-match": `"${stored.version}"` };
    await this.#call([stored.id], { method: "DELETE", headers, stay: true });
    settings.write(this.#draftKey(stored.id), "");
    this.list = this.list.filter((view) => view.id !== stored.id);
    const { usual, personal } = this.index;
    if (usual === stored.id || personal.includes(stored.id)) {
      const without = (index: Index) => ({
        usual: index.usual === stored.id ? null : index.usual,
        personal: index.personal.filter((id) => id !== stored.id),
      });
      await this.#changeIndex(without);
    }
    patch({ ...plainParts(), view: NO_VIEW }, true);
    notify(`Deleted the view “${stored.name}”.`);
  }

  /** Sets the view that opens with an address of the project without a view. */
  makeUsual(id: string | null): Promise<void> {
    return this.#changeIndex((index) => ({ ...index, usual: id }));
  }

  setPersonal(id: string, personal: boolean): Promise<void> {
    return this.#changeIndex((index) => {
      const others = index.personal.filter((other) => other !== id);
      return { ...index, personal: personal ? [...others, id] : others };
    });
  }

  #call<T>(rest: string[], call: Parameters<typeof api.call>[1]): Promise<T> {
    return api.call<T>(["projects", this.#place.entity, this.#place.project, "documents", "views", ...rest], call);
  }

  #change(info: Info, body: Schema<"DocumentChange"> | object): Promise<Schema<"Document">> {
    const headers = { "if-match": `"${info.version}"` };
    return this.#call<Schema<"Document">>([info.id], { method: "PATCH", headers, body, stay: true });
  }

  #accept(stored: Info, content: ViewContent): void {
    this.stored = stored;
    this.#saved = content;
    this.list = [stored, ...this.list.filter((view) => view.id !== stored.id)];
  }

  async #loadIndex(): Promise<void> {
    const { documents } = await this.#call<Schema<"DocumentList">>([], {});
    // Two people can create an index at the same time: the oldest counts.
    const info = documents.filter((each) => each.name === INDEX).sort((a, b) => a.created_at - b.created_at)[0];
    if (info !== undefined) {
      const found = await this.#call<Schema<"Document">>([info.id], {});
      this.#indexInfo = found;
      this.index = readIndex(found.content);
    }
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    this.list = documents
      .filter((each) => each.name !== INDEX && (!this.isPersonal(each.id) || each.owner === session.user))
      .sort((a, b) => compare(a.name, b.name));
  }

  /** Changes the index; again from its newest version if another person has changed it. */
  async #changeIndex(change: (index: Index) => Index): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const next = change(this.index);
      const content = { default: next.usual, personal: next.personal };
      try {
        this.#indexInfo =
          this.#indexInfo === null
            ? await this.#call<Info>([], { method: "POST", body: { name: INDEX, content }, stay: true })
            : await this.#change(this.#indexInfo, { content });
        this.index = next;
        return;
      } catch (error) {
        if (!(error instanceof ApiError && error.code === "edit_conflict") || attempt > 3) throw error;
        await this.#loadIndex();
      }
    }
  }
}
