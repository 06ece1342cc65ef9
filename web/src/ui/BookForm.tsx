// The form of a book. Whatever goes wrong, nothing that was typed is lost: every keystroke is kept until it is saved.

import { useRef, useState } from "preact/hooks";
import { ProblemError } from "../api";
import { LIMITS, parseBook, type Book, type Books } from "../books";
import type { Draft, Drafts } from "../drafts";
import {
  EMPTY,
  FIELD_NAMES,
  LABELS,
  faultsFromServer,
  faultsOf,
  fieldsOf,
  lengthOf,
  sameTyped,
  typedOf,
  type Faults,
  type FieldName,
  type Typed,
} from "../form";
import { SessionEndedError } from "../session";
import { Conflict } from "./Conflict";
import { announce } from "./hooks";
import { Refusal } from "./Refusal";

interface Props {
  /** Null for a new one. */
  readonly book: Book | null;
  readonly draft: Draft | null;
  readonly base: Typed;
  readonly books: Books;
  readonly drafts: Drafts;
  readonly onSignIn: () => void;
  /** Leave the form; with what was done, or null. */
  readonly onDone: (news: string | null) => void;
}

/** What the typing began with. */
interface Start {
  readonly base: Typed;
  readonly version: number;
}

const HINTS: Partial<Record<FieldName, string>> = { year: "Leave it empty if nobody knows." };

export function BookForm({ book, draft, base, books, drafts, onSignIn, onDone }: Props) {
  const id = book?.id ?? "new";
  const [start, setStart] = useState<Start>(draft ?? { base, version: book?.version ?? 0 });
  const [typed, setTyped] = useState<Typed>(draft?.typed ?? base);
  const [restored, setRestored] = useState(draft !== null && !sameTyped(draft.typed, base));
  const [faults, setFaults] = useState<Faults>({});
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [theirs, setTheirs] = useState<Book | null>(null);
  const form = useRef<HTMLFormElement>(null);

  const change = (name: FieldName, value: string): void => {
    const now = { ...typed, [name]: value };
    setTyped(now);
    setFaults({ ...faults, [name]: undefined });
    if (sameTyped(now, start.base)) drafts.drop(id);
    else drafts.save(id, { ...start, typed: now });
  };

  /** Show faults at their fields, and lead to the first. */
  const show = (found: Faults): void => {
    setFaults(found);
    const first = FIELD_NAMES.find((name) => found[name] !== undefined);
    const field = first === undefined ? null : form.current?.elements.namedItem(first);
    if (field instanceof HTMLElement) field.focus();
    const count = Object.values(found).filter((fault) => fault !== undefined).length;
    announce(count === 1 ? "One field needs another look." : `${count} fields need another look.`);
  };

  const save = async (what: Typed, from: Start): Promise<void> => {
    if (busy) return;
    const found = faultsOf(what);
    if (Object.keys(found).length > 0) {
      show(found);
      return;
    }
    setBusy(true);
    setError(null);
    try {
      const saved = book === null ? await books.add(fieldsOf(what)) : await books.change(book.id, from.version, fieldsOf(what));
      drafts.drop(id);
      onDone(book === null ? `“${saved.title}” is on the shelf.` : `“${saved.title}” is saved.`);
      return;
    } catch (failure) {
      fail(failure, what, from);
    }
    setBusy(false);
  };

  const fail = (failure: unknown, what: Typed, from: Start): void => {
    const problem = failure instanceof ProblemError ? failure.problem : null;
    if (problem?.code === "version_conflict" && problem.current !== null) {
      const current = parseBook(problem.current);
      if (sameTyped(typedOf(current), typedOf({ ...current, ...fieldsOf(what) }))) {
        // Another save (by this person in another tab, as a rule) was just the same.
        drafts.drop(id);
        onDone(`“${current.title}” is saved.`);
        return;
      }
      setStart(from);
      setTyped(what);
      drafts.save(id, { ...from, typed: what });
      setTheirs(current);
      return;
    }
    if (problem !== null && problem.fields.length > 0) {
      const { faults: found, rest } = faultsFromServer(problem.fields);
      show(found);
      if (rest.length === 0 && Object.keys(found).length > 0) return;
    }
    setError(failure);
  };

  if (theirs !== null && book !== null) {
    return (
      <Conflict
        base={start.base}
        mine={typed}
        theirs={theirs}
        busy={busy}
        error={error}
        onSignIn={onSignIn}
        onSave={(chosen) => void save(chosen, { base: typedOf(theirs), version: theirs.version })}
        onEdit={(chosen) => {
          const next = { base: typedOf(theirs), version: theirs.version };
          setStart(next);
          setTyped(chosen);
          drafts.save(id, { ...next, typed: chosen });
          setTheirs(null);
        }}
        onDiscard={() => {
          drafts.drop(id);
          onDone("Your changes are discarded; the book stays as it is saved.");
        }}
      />
    );
  }

  const gone = error instanceof ProblemError && error.problem.status === 404;
  return (
    <form
      ref={form}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save(typed, start);
      }}
    >
      {restored && (
        <div class="note row" role="status">
          <span>This is what you typed earlier and did not save.</span>
          <button
            type="button"
            class="button small"
            onClick={() => {
              drafts.drop(id);
              setRestored(false);
              setStart({ base, version: book?.version ?? 0 });
              setTyped(base);
            }}
          >
            Discard it
          </button>
        </div>
      )}
      {FIELD_NAMES.map((name) => (
        <Field
          key={name}
          name={name}
          value={typed[name]}
          fault={faults[name]}
          onInput={(value) => {
            change(name, value);
          }}
        />
      ))}
      {error !== null && !(error instanceof SessionEndedError) && !gone && (
        <Refusal error={error} onRetry={() => void save(typed, start)} onSignIn={onSignIn} />
      )}
      {gone && (
        <div class="refusal" role="alert">
          <p class="refusal-title">This book was deleted while you were typing</p>
          <p>What you typed is still here. You can put it on the shelf as a new book.</p>
          <button
            type="button"
            class="button"
            onClick={() => {
              drafts.drop(id);
              drafts.save("new", { typed, base: EMPTY, version: 0 });
              location.hash = "#/new";
            }}
          >
            Make it a new book
          </button>
        </div>
      )}
      <div class="row">
        <button type="submit" class="button primary" aria-disabled={busy}>
          {busy ? "Saving…" : book === null ? "Put it on the shelf" : "Save"}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => {
            drafts.drop(id);
            onDone(null);
          }}
        >
          Cancel
        </button>
      </div>
    </form>
  );
}

interface FieldProps {
  readonly name: FieldName;
  readonly value: string;
  readonly fault: string | undefined;
  readonly onInput: (value: string) => void;
}

function Field({ name, value, fault, onInput }: FieldProps) {
  const hint = HINTS[name];
  const describedBy = [hint && `${name}-hint`, fault && `${name}-fault`].filter(Boolean).join(" ");
  const shared = {
    id: name,
    name,
    value,
    "aria-invalid": fault !== undefined,
    // Said when the field is entered, together with its name.
    ...(describedBy ? { "aria-describedby": describedBy } : {}),
    ...(name === "title" || name === "author" ? { "aria-required": true } : {}),
    autoComplete: "off",
    onInput: (event: { currentTarget: { value: string } }) => {
      onInput(event.currentTarget.value);
    },
  };
  const length = lengthOf(value);
  return (
    <div class="field">
      <label for={name}>
        {LABELS[name]}
        {(name === "year" || name === "notes") && <span class="optional"> (optional)</span>}
      </label>
      {name === "notes" ? (
        <textarea {...shared} rows={6} />
      ) : (
        <input {...shared} type="text" inputMode={name === "year" ? "numeric" : "text"} class={name === "year" ? "short" : ""} />
      )}
      {hint && (
        <p class="hint" id={`${name}-hint`}>
          {hint}
        </p>
      )}
      {name === "notes" && length > LIMITS.notes * 0.8 && (
        <p class="hint" aria-hidden="true">
          {length} of {LIMITS.notes} characters
        </p>
      )}
      {fault !== undefined && (
        <p class="fault" id={`${name}-fault`}>
          {fault}
        </p>
      )}
    </div>
  );
}
