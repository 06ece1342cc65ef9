// The books: what one is, and the five things that can be done with them.

import type { Api } from "./api";

/** What a person types. */
export interface Fields {
  readonly title: string;
  readonly author: string;
  readonly year: number | null;
  readonly notes: string;
}

export interface Book extends Fields {
  readonly id: string;
  /** The `sub` of the person who added it: only they may change it. */
  readonly owner: string;
  readonly ownerName: string;
  readonly version: number;
  readonly updatedAt: string;
}

export interface Page {
  readonly books: readonly Book[];
  /** Where the next page begins; null at the end. */
  readonly next: string | null;
}

export const LIMITS = { title: 200, author: 200, notes: 2000 } as const;

export class Books {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  async page(cursor: string | null, signal?: AbortSignal): Promise<Page> {
    const query = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await this.#api.call(`/books?limit=20${query}`, signal ? { signal } : {});
    if (typeof answer !== "object" || answer === null || !("books" in answer) || !Array.isArray(answer.books)) {
      throw new TypeError("The list of books is none.");
    }
    const next = "next" in answer && typeof answer.next === "string" ? answer.next : null;
    return { books: answer.books.map(parseBook), next };
  }

  async get(id: string, signal?: AbortSignal): Promise<Book> {
    return parseBook(await this.#api.call(pathOf(id), signal ? { signal } : {}));
  }

  async add(fields: Fields): Promise<Book> {
    return parseBook(await this.#api.call("/books", { method: "POST", body: fields }));
  }

  /** Change the book if it is still at `version`; otherwise a problem `version_conflict` says what it is now. */
  async change(id: string, version: number, fields: Fields): Promise<Book> {
    return parseBook(await this.#api.call(pathOf(id), { method: "PUT", version, body: fields }));
  }

  async remove(id: string, version: number): Promise<void> {
    await this.#api.call(pathOf(id), { method: "DELETE", version });
  }
}

export function parseBook(value: unknown): Book {
  if (typeof value !== "object" || value === null) throw new TypeError("A book is an object.");
  const book = value as Record<string, unknown>;
  const text = (name: string): string => {
    const field = book[name];
    return typeof field === "string" ? field : "";
  };
  const { id, version, year } = book;
  if (typeof id !== "string" || id === "" || typeof version !== "number") throw new TypeError("A book has id and version.");
  return {
    id,
    version,
    title: text("title"),
    author: text("author"),
    year: typeof year === "number" ? year : null,
    notes: text("notes"),
    owner: text("owner"),
    ownerName: text("owner_name"),
    updatedAt: text("updated_at"),
  };
}

function pathOf(id: string): string {
  return `/books/${encodeURIComponent(id)}`;
}
