// One book: its form for those who may change it, and the plain text for all others.

import { useCallback, useEffect, useState } from "preact/hooks";
import type { Book, Books } from "../books";
import type { Drafts } from "../drafts";
import { EMPTY, typedOf } from "../form";
import { hrefOf } from "../route";
import { SessionEndedError, type Person } from "../session";
import { BookForm } from "./BookForm";
import { useHeading } from "./hooks";
import { Refusal } from "./Refusal";
import type { ShelfState } from "./Shelf";

interface Props {
  /** Null for a new one. */
  readonly id: string | null;
  readonly books: Books;
  readonly shelf: ShelfState;
  readonly drafts: Drafts;
  readonly person: Person;
  readonly onSignIn: () => void;
}

export function BookPage({ id, books, shelf, drafts, person, onSignIn }: Props) {
  const [book, setBook] = useState<Book | null>(null);
  const [error, setError] = useState<unknown>(null);
  const draft = drafts.load(id ?? "new");
  const own = book?.owner === person.sub;
  const title = id === null ? "Add a book" : book === null ? "Book" : own ? "Edit book" : book.title;
  const heading = useHeading(title);

  const load = useCallback(
    async (signal?: AbortSignal) => {
      if (id === null) return;
      setError(null);
      try {
        setBook(await books.get(id, signal));
      } catch (failure) {
        if (signal?.aborted !== true) setError(failure);
      }
    },
    [books, id],
  );
  useEffect(() => {
    const stop = new AbortController();
    void load(stop.signal);
    return () => {
      stop.abort();
    };
  }, [load]);

  const form = (start: Book | null) => (
    <BookForm
      key={start?.id ?? "new"}
      book={start}
      draft={draft}
      base={start === null ? EMPTY : typedOf(start)}
      books={books}
      drafts={drafts}
      onSignIn={onSignIn}
      onDone={(news) => {
        // The address changes first: leaving the list clears its news, arriving does not.
        location.hash = hrefOf({ at: "books" });
        if (news !== null) {
          shelf.tell(news);
          shelf.load("first");
        }
      }}
    />
  );

  return (
    <div class="narrow">
      <p class="crumb">
        <a href={hrefOf({ at: "books" })}>Books</a>
      </p>
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {error !== null && !(error instanceof SessionEndedError) && (
        <Refusal error={error} onRetry={() => void load()} onSignIn={onSignIn} />
      )}
      {id === null && form(null)}
      {id !== null && book === null && error === null && (
        <p role="status" class="quiet">
          Fetching the book…
        </p>
      )}
      {book !== null && own && form(book)}
      {book !== null && !own && <Details book={book} />}
    </div>
  );
}

function Details({ book }: { readonly book: Book }) {
  return (
    <>
      <p class="by large">
        {book.author}
        {book.year !== null && <span class="year">{book.year}</span>}
      </p>
      {book.notes !== "" && <p class="prose">{book.notes}</p>}
      <p class="note">
        {book.ownerName || "Somebody else"} added this book, and only they can change it.
      </p>
    </>
  );
}
