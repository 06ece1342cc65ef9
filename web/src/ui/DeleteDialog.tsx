// "Delete?", asked in a dialog of the browser's own: it holds the focus, closes on Escape and gives the focus back.

import { useEffect, useRef, useState } from "preact/hooks";
import { ProblemError } from "../api";
import { parseBook, type Book, type Books } from "../books";
import { Refusal } from "./Refusal";

interface Props {
  readonly book: Book;
  readonly books: Books;
  readonly onSignIn: () => void;
  readonly onClose: (deleted: boolean) => void;
}

export function DeleteDialog({ book, books, onSignIn, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const keep = useRef<HTMLButtonElement>(null);
  const [current, setCurrent] = useState(book);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    dialog.current?.showModal();
    // The harmless button first.
    keep.current?.focus();
  }, []);

  const close = (deleted: boolean): void => {
    // Closed, not only taken away: that is what gives the focus back.
    dialog.current?.close();
    onClose(deleted);
  };

  const remove = async (): Promise<void> => {
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      await books.remove(current.id, current.version);
      close(true);
      return;
    } catch (failure) {
      const problem = failure instanceof ProblemError ? failure.problem : null;
      // Gone is what was wanted.
      if (problem?.status === 404) {
        close(true);
        return;
      }
      if (problem?.code === "version_conflict" && problem.current !== null) setCurrent(parseBook(problem.current));
      setError(failure);
    }
    setBusy(false);
  };

  const changed = current.version !== book.version;
  return (
    <dialog
      ref={dialog}
      aria-labelledby="delete-title"
      onCancel={(event) => {
        event.preventDefault();
        if (!busy) close(false);
      }}
    >
      <h2 id="delete-title">Delete “{current.title}”?</h2>
      {changed ? (
        <p role="alert">
          It was changed since you looked: it is now “{current.title}” by {current.author}
          {current.year === null ? "" : `, ${current.year}`}. Delete it all the same?
        </p>
      ) : (
        <p>It will be gone for everybody. This cannot be undone.</p>
      )}
      {error !== null && !changed && <Refusal error={error} onRetry={null} onSignIn={onSignIn} />}
      <div class="row end">
        <button
          ref={keep}
          type="button"
          class="button"
          onClick={() => {
            close(false);
          }}
        >
          Keep it
        </button>
        <button type="button" class="button primary danger" aria-disabled={busy} onClick={() => void remove()}>
          {busy ? "Deleting…" : "Delete"}
        </button>
      </div>
    </dialog>
  );
}
