// The list of books, a page at a time.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Book, Books } from "../books";
import type { Drafts } from "../drafts";
import { hrefOf } from "../route";
import { SessionEndedError, type Person } from "../session";
import { DeleteDialog } from "./DeleteDialog";
import { announce, useHeading } from "./hooks";
import { Refusal } from "./Refusal";

/** The list as far as it is known; it outlives the screen, so that Back shows it at once. */
export interface ShelfState {
  readonly books: readonly Book[] | null;
  readonly more: boolean;
  readonly loading: boolean;
  readonly error: unknown;
  /** What was done last, to be told above the list. */
  readonly news: string | null;
  /** Ask for the first page again, or the next one. */
  readonly load: (which: "first" | "next") => void;
  /** A change was made elsewhere on this page. */
  readonly tell: (news: string | null) => void;
}

export function useShelf(books: Books, active: boolean): ShelfState {
  const [list, setList] = useState<readonly Book[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [news, setNews] = useState<string | null>(null);
  const running = useRef<AbortController | null>(null);

  const ask = useCallback(
    async (cursor: string | null) => {
      running.current?.abort();
      const own = new AbortController();
      running.current = own;
      setLoading(true);
      setError(null);
      try {
        const page = await books.page(cursor, own.signal);
        setList((before) => (cursor === null ? page.books : joined(before ?? [], page.books)));
        setNext(page.next);
        if (cursor !== null) announce(`${page.books.length} more books`);
      } catch (failure) {
        if (own.signal.aborted) return;
        setError(failure);
      }
      if (running.current === own) setLoading(false);
    },
    [books],
  );

  useEffect(() => {
    // Also when a session that had ended goes on, because the person signed in in another tab.
    if (active) void ask(null);
    return () => running.current?.abort();
  }, [ask, active]);

  return useMemo(
    () => ({
      books: list,
      more: next !== null,
      loading,
      error,
      news,
      load: (which) => void ask(which === "first" ? null : next),
      tell: setNews,
    }),
    [ask, list, next, loading, error, news],
  );
}

/** The next page may repeat books that moved meanwhile. */
function joined(before: readonly Book[], more: readonly Book[]): readonly Book[] {
  const known = new Set(more.map((book) => book.id));
  return [...before.filter((book) => !known.has(book.id)), ...more];
}

/** Whose members may delete what others added. The backend decides; this only spares people a button that refuses. */
const ADMINS = "admins";

interface Props {
  readonly books: Books;
  readonly shelf: ShelfState;
  readonly drafts: Drafts;
  readonly person: Person;
  readonly onSignIn: () => void;
}

export function Shelf({ books, shelf, drafts, person, onSignIn }: Props) {
  const heading = useHeading("Books");
  const [going, setGoing] = useState<Book | null>(null);
  const draft = drafts.load("new") !== null;
  const { tell } = shelf;
  // News are told once: the next visit to the list has none.
  useEffect(() => () => {
    tell(null);
  }, [tell]);

  return (
    <>
      <div class="head">
        <h1 ref={heading} tabIndex={-1}>
          Books
        </h1>
        <a class="button primary" href={hrefOf({ at: "new" })}>
          {draft ? "Go on with your new book" : "Add a book"}
        </a>
      </div>
      {shelf.news !== null && (
        <p class="note good" role="status">
          {shelf.news}
        </p>
      )}
      {shelf.error !== null && !(shelf.error instanceof SessionEndedError) && (
        <Refusal
          error={shelf.error}
          onRetry={() => {
            shelf.load(shelf.books === null || !shelf.more ? "first" : "next");
          }}
          onSignIn={onSignIn}
        />
      )}
      {shelf.books === null && shelf.loading && <Waiting />}
      {shelf.books?.length === 0 && (
        <div class="empty">
          <p class="empty-title">The shelf is empty</p>
          <p>Add the first book; everybody who is signed in will see it.</p>
        </div>
      )}
      {shelf.books !== null && shelf.books.length > 0 && (
        <ul class="books" aria-busy={shelf.loading}>
          {shelf.books.map((book) => (
            <Card
              key={book.id}
              book={book}
              own={book.owner === person.sub}
              mayDelete={book.owner === person.sub || person.groups.includes(ADMINS)}
              onDelete={() => {
                setGoing(book);
              }}
            />
          ))}
        </ul>
      )}
      {shelf.books !== null && shelf.more && (
        <p class="more">
          <button
            type="button"
            class="button"
            aria-disabled={shelf.loading}
            onClick={() => {
              if (!shelf.loading) shelf.load("next");
            }}
          >
            {shelf.loading ? "One moment…" : "Show more books"}
          </button>
        </p>
      )}
      {going !== null && (
        <DeleteDialog
          book={going}
          books={books}
          onSignIn={onSignIn}
          onClose={(deleted) => {
            setGoing(null);
            if (!deleted) return;
            drafts.drop(going.id);
            shelf.tell(`“${going.title}” is deleted.`);
            shelf.load("first");
            // The button that opened the dialog goes with its book.
            heading.current?.focus();
          }}
        />
      )}
    </>
  );
}

interface CardProps {
  readonly book: Book;
  readonly own: boolean;
  readonly mayDelete: boolean;
  readonly onDelete: () => void;
}

function Card({ book, own, mayDelete, onDelete }: CardProps) {
  return (
    <li class={`book spine-${spineOf(book.id)}`}>
      <h2>
        <a href={hrefOf({ at: "edit", id: book.id })}>{book.title}</a>
      </h2>
      <p class="by">
        {book.author}
        {book.year !== null && <span class="year">{book.year}</span>}
      </p>
      {book.notes !== "" && <p class="notes">{book.notes}</p>}
      <div class="foot">
        <span class="owner">{own ? "Added by you" : `Added by ${book.ownerName || "somebody else"}`}</span>
        {mayDelete && (
          <span class="actions">
            {own && (
              <a class="button small" href={hrefOf({ at: "edit", id: book.id })} aria-label={`Edit “${book.title}”`}>
                Edit
              </a>
            )}
            <button type="button" class="button small danger" onClick={onDelete} aria-label={`Delete “${book.title}”`}>
              Delete
            </button>
          </span>
        )}
      </div>
    </li>
  );
}

function Waiting() {
  return (
    <div class="books waiting" role="status">
      <span class="visually-hidden">Fetching the books…</span>
      {[0, 1, 2].map((index) => (
        <div class="book" key={index} aria-hidden="true">
          <span class="bone wide" />
          <span class="bone" />
          <span class="bone" />
        </div>
      ))}
    </div>
  );
}

/** The colour of a book's spine: always the same for one book. */
function spineOf(id: string): number {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 997;
  return sum % 6;
}
