// What a person has typed and not saved: it outlives a reload, the Back button and a new sign-in, but not the tab, a
// sign-out, or another person's sign-in.

import { FIELD_NAMES, type Typed } from "./form";

export interface Draft {
  readonly typed: Typed;
  /** What the typing began with. */
  readonly base: Typed;
  /** Of the book, when the typing began; 0 for a new one. */
  readonly version: number;
}

/** Drafts of one person in this tab. A class for the two things that every call needs. */
export class Drafts {
  readonly #storage: Storage;
  readonly #sub: string;

  constructor(storage: Storage, sub: string) {
    this.#storage = storage;
    this.#sub = sub;
  }

  /** `id` is the book's, or "new". */
  load(id: string): Draft | null {
    try {
      const draft = JSON.parse(this.#storage.getItem(this.#key(id)) ?? "null") as Partial<Draft> | null;
      if (draft === null || typeof draft.version !== "number" || !isTyped(draft.typed) || !isTyped(draft.base)) return null;
      return { typed: draft.typed, base: draft.base, version: draft.version };
    } catch {
      return null;
    }
  }

  save(id: string, draft: Draft): void {
    this.#storage.setItem(this.#key(id), JSON.stringify(draft));
  }

  drop(id: string): void {
    this.#storage.removeItem(this.#key(id));
  }

  #key(id: string): string {
    return `draft.${this.#sub}.${id}`;
  }
}

function isTyped(value: unknown): value is Typed {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Record<string, unknown>;
  return FIELD_NAMES.every((name) => typeof fields[name] === "string");
}
