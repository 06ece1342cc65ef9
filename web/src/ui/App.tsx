// Which screen is shown: a guest's, or a room's with a header around it.

import { useMemo } from "preact/hooks";
import type { Api } from "../api";
import type { Books } from "../books";
import type { Config } from "../config";
import { Drafts } from "../drafts";
import type { Person, Session } from "../session";
import { Account } from "./Account";
import { BookPage } from "./BookPage";
import { Guest } from "./Guest";
import { useHeading, useRoute, useSession } from "./hooks";
import { Mark } from "./Mark";
import { Shelf, useShelf } from "./Shelf";

interface Parts {
  readonly config: Config;
  readonly session: Session;
  readonly api: Api;
  readonly books: Books;
}

export function App(parts: Parts) {
  const state = useSession(parts.session);
  return (
    <>
      {state.kind === "guest" && (
        <Guest
          config={parts.config}
          farewell={state.farewell}
          problem={state.problem}
          onSignIn={() => void parts.session.signIn(location.hash || "#/")}
        />
      )}
      {state.kind === "leaving" && (
        <main class="narrow" aria-busy="true">
          <h1>{state.to === "sign-in" ? "Taking you to the sign-in page…" : "Signing you out…"}</h1>
        </main>
      )}
      {(state.kind === "signed-in" || state.kind === "ended") && (
        <Room
          // Another person gets nothing of this one's: not the list, not what was typed.
          key={state.person.sub}
          {...parts}
          person={state.person}
          ended={state.kind === "ended" ? (state.reason ?? "") : null}
          expiresAt={state.kind === "signed-in" ? state.expiresAt : null}
        />
      )}
      <div id="spoken" class="visually-hidden" aria-live="polite" />
    </>
  );
}

interface RoomProps extends Parts {
  readonly person: Person;
  /** Why the session is over; null while it is not. */
  readonly ended: string | null;
  readonly expiresAt: number | null;
}

function Room({ session, api, books, person, ended, expiresAt }: RoomProps) {
  const route = useRoute();
  const drafts = useMemo(() => new Drafts(sessionStorage, person.sub), [person.sub]);
  const shelf = useShelf(books, ended === null);
  const signIn = (): void => void session.signIn(location.hash || "#/");
  const common = { books, shelf, drafts, person, onSignIn: signIn };

  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="bar">
        <div class="inner">
          <a class="brand" href="#/">
            <Mark />
            <span>Shelf</span>
          </a>
          <nav aria-label="Pages">
            <a href="#/" aria-current={route.at === "books" ? "page" : undefined}>
              Books
            </a>
            <a href="#/account" class="who" aria-current={route.at === "account" ? "page" : undefined}>
              <span class="visually-hidden">Your account: </span>
              <span class="avatar" aria-hidden="true">
                {String.fromCodePoint(person.username.codePointAt(0) ?? 63).toUpperCase()}
              </span>
              <span class="name">{person.username}</span>
            </a>
          </nav>
          <button type="button" class="button small" onClick={() => void session.signOut()}>
            Sign out
          </button>
        </div>
      </header>
      {ended !== null && (
        <div class="ended" role="alert">
          <div class="inner">
            <p>
              <strong>Your session has ended.</strong> Sign in again; what you typed is kept. {ended}
            </p>
            <button type="button" class="button primary" onClick={signIn}>
              Sign in again
            </button>
          </div>
        </div>
      )}
      <main id="main" tabIndex={-1}>
        {route.at === "books" && <Shelf {...common} />}
        {route.at === "new" && <BookPage key="new" id={null} {...common} />}
        {route.at === "edit" && <BookPage key={route.id} id={route.id} {...common} />}
        {route.at === "account" && (
          <Account api={api} person={person} expiresAt={expiresAt} onSignIn={signIn} onSignOut={() => void session.signOut()} />
        )}
        {route.at === "nowhere" && <Nowhere />}
      </main>
    </>
  );
}

function Nowhere() {
  const heading = useHeading("Not found");
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        There is no such page
      </h1>
      <p>
        <a href="#/">Go to the books</a>
      </p>
    </>
  );
}

/** Go to the content; the address after `#` is the screen's and stays. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

