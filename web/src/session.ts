// Who is signed in, in this tab and the others: start, renew before the end, end, sign out. The screens only watch it.

import { LoginRefusedError, LoginUnreachableError, isLoginAnswer, type Login } from "./oidc";
import type { Tabs } from "./tabs";
import { loadTokens, saveTokens, type Tokens } from "./tokens";

export interface Person {
  readonly sub: string;
  readonly username: string;
  readonly groups: readonly string[];
  readonly signedInAt: number | null;
}

/** Why a guest is one, where there is something to say. */
export type Farewell = "signed-out" | "signed-out-elsewhere" | "ended" | null;

export type State =
  | { readonly kind: "starting" }
  | { readonly kind: "guest"; readonly farewell: Farewell; readonly problem: string | null }
  | { readonly kind: "signed-in"; readonly person: Person; readonly expiresAt: number }
  /** The session is over, but the screen stays with whatever was typed on it. */
  | { readonly kind: "ended"; readonly person: Person; readonly reason: string | null }
  | { readonly kind: "leaving"; readonly to: "sign-in" | "sign-out" };

/** The session is over: nothing can be asked until the next sign-in. */
export class SessionEndedError extends Error {
  override readonly name = "SessionEndedError";
}

/** What the session is given; tests give their own. */
export interface Surroundings {
  readonly login: Login;
  readonly tabs: Tabs;
  readonly storage: Storage;
  /** Milliseconds. */
  readonly clock: () => number;
  /** Leave this page. */
  readonly leave: (url: string) => void;
  /** Put a place of this page into the address bar, in place of the present one. */
  readonly replaceAddress: (place: string) => void;
}

const FAREWELL = "farewell";
const ANSWER_WITHIN_MS = 1000;
const REVOKE_WITHIN_MS = 3000;
const TRY_AGAIN_AFTER_MS = 15_000;
/** A token is renewed this long before its end, or a fifth of its life if that is shorter. */
const RENEW_BEFORE_MS = 120_000;
/** A token that ends sooner is not sent any more: it would be over when it arrives. */
const TOO_LATE_MS = 5000;
/** Timers count with 32 bits. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Session {
  #state: State = { kind: "starting" };
  /** What to go back to when the person comes Back from the sign-in page without having signed in. */
  #before: State = { kind: "guest", farewell: null, problem: null };
  #tokens: Tokens | null = null;
  #renewal: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #answered: ((tokens: Tokens) => void) | null = null;
  readonly #watchers = new Set<() => void>();
  readonly #around: Surroundings;

  constructor(around: Surroundings) {
    this.#around = around;
    around.tabs.listen((message) => {
      if (message.kind === "ask") {
        if (this.#tokens !== null) around.tabs.tell({ kind: "session", tokens: this.#tokens });
      } else if (message.kind === "signed-out") {
        if (this.#tokens !== null || this.#state.kind === "ended") this.#forget("signed-out-elsewhere");
      } else {
        this.#hear(message.tokens);
      }
    });
  }

  get state(): State {
    return this.#state;
  }

  /** Call `watcher` at every change; returns what stops it. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /**
   * Find out who is here, once.
   *
   * 1. A person who comes back from the login, with a code.
   * 2. This tab's own session, after a reload.
   * 3. Another tab's session.
   * 4. A guest.
   */
  async start(address: { readonly href: string; readonly search: string }): Promise<void> {
    // `location` itself would say something else as soon as the address is replaced.
    const { href, search } = address;
    const { storage, tabs, login, replaceAddress } = this.#around;
    const farewell = storage.getItem(FAREWELL) as Farewell;
    storage.removeItem(FAREWELL);
    if (isLoginAnswer(search)) {
      // Before anything else: the code is out of the address bar, the history and every Referer.
      replaceAddress("#/");
      try {
        const { tokens, returnTo } = await login.finish(href);
        replaceAddress(returnTo);
        this.#accept(tokens);
        tabs.tell({ kind: "session", tokens });
        return;
      } catch (error) {
        // The Back button may lead to an answer that has been used: the session stays.
        const kept = loadTokens(storage);
        if (kept === null) {
          this.#set({ kind: "guest", farewell: null, problem: explain(error) });
          return;
        }
      }
    }
    const own = loadTokens(storage);
    const tokens = own ?? ((await tabs.anySignedIn()) ? await this.#askOthers() : null);
    if (tokens === null) {
      this.#set({ kind: "guest", farewell, problem: null });
      return;
    }
    this.#accept(tokens);
    // A laptop that slept: find out now, not at the first click.
    if (this.#isOver()) await this.#renew().catch(() => undefined);
  }

  /** Go to the login, and come back to `returnTo`. */
  async signIn(returnTo: string): Promise<void> {
    const before = this.#state;
    this.#before = before.kind === "guest" ? { kind: "guest", farewell: null, problem: null } : before;
    this.#set({ kind: "leaving", to: "sign-in" });
    try {
      this.#around.leave(await this.#around.login.start(returnTo));
    } catch (error) {
      this.#set(before.kind === "ended" ? before : { kind: "guest", farewell: null, problem: explain(error) });
    }
  }

  /** The browser shows this page again as it was when it was left: Back, from the login. */
  comeBack(): void {
    if (this.#state.kind !== "leaving") return;
    this.#set(this.#state.to === "sign-in" ? this.#before : { kind: "guest", farewell: "signed-out", problem: null });
  }

  /**
   * Return an ID token that will still be good when it arrives.
   *
   * @throws SessionEndedError The session is over.
   * @throws LoginUnreachableError It is over, and the login cannot be asked for another.
   */
  async idToken(): Promise<string> {
    if (this.#tokens !== null && this.#isOver()) await this.#renew();
    if (this.#tokens === null) throw new SessionEndedError("Nobody is signed in.");
    return this.#tokens.idToken;
  }

  /** Return another ID token than one that the gateway refused, as `idToken` does. */
  async anotherIdToken(refused: string): Promise<string> {
    if (this.#tokens?.idToken === refused) await this.#renew();
    return this.idToken();
  }

  /** The gateway takes no token of this session any more. */
  end(reason: string | null): void {
    if (this.#tokens === null) return;
    const person = personOf(this.#tokens);
    this.#drop();
    // For a reload: the screen that says so is gone then.
    this.#around.storage.setItem(FAREWELL, "ended");
    this.#set({ kind: "ended", person, reason });
  }

  /** Look at the clock: a tab that comes back to the front may have slept through its timers. */
  wake(): void {
    if (this.#tokens !== null && this.#around.clock() >= this.#renewalTime(this.#tokens)) {
      this.#renew().catch(() => undefined);
    }
  }

  /**
   * Sign out in every tab, make the refresh token worthless, and end the login's own session.
   *
   * The first two do not wait for the network to be there; a lost revocation is bounded by the token's lifetime.
   */
  async signOut(): Promise<void> {
    const { login, tabs, storage, leave } = this.#around;
    const refreshToken = this.#tokens?.refreshToken;
    this.#drop();
    storage.clear();
    storage.setItem(FAREWELL, "signed-out");
    tabs.tell({ kind: "signed-out" });
    this.#set({ kind: "leaving", to: "sign-out" });
    if (refreshToken) {
      await Promise.race([login.revoke(refreshToken).catch(() => undefined), pause(REVOKE_WITHIN_MS)]);
    }
    leave(login.logoutUrl);
  }

  // --- inside ---------------------------------------------------------------------------------------------------------

  #accept(tokens: Tokens): void {
    this.#tokens = tokens;
    saveTokens(this.#around.storage, tokens);
    this.#around.storage.removeItem(FAREWELL);
    this.#around.tabs.setSignedIn(true);
    this.#schedule(this.#renewalTime(tokens) - this.#around.clock());
    this.#set({ kind: "signed-in", person: personOf(tokens), expiresAt: tokens.expiresAt });
  }

  #hear(tokens: Tokens): void {
    this.#answered?.(tokens);
    // Nothing changes while a person leaves, or before the start is over.
    const open = this.#state.kind === "guest" || this.#state.kind === "ended" || this.#state.kind === "signed-in";
    if (open && tokens.expiresAt > (this.#tokens?.expiresAt ?? 0)) this.#accept(tokens);
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#tokens = null;
    saveTokens(this.#around.storage, null);
    this.#around.tabs.setSignedIn(false);
  }

  #forget(farewell: Farewell): void {
    this.#drop();
    // What was typed here goes as well: the next person here is another one.
    this.#around.storage.clear();
    this.#set({ kind: "guest", farewell, problem: null });
  }

  #renew(): Promise<void> {
    const before = this.#tokens;
    this.#renewal ??= this.#around.tabs
      .alone((waited) => this.#renewAlone(before, waited))
      .finally(() => {
        this.#renewal = null;
      });
    return this.#renewal;
  }

  async #renewAlone(before: Tokens | null, waited: boolean): Promise<void> {
    // Another tab has renewed while we waited for our turn, or the person has signed out.
    if (before === null || this.#tokens !== before) return;
    if (waited) {
      // It has, but we have not heard yet: where refresh tokens rotate, ours is used up.
      const theirs = await this.#askOthers();
      if (theirs !== null && theirs.idToken !== before.idToken && theirs.expiresAt >= before.expiresAt) {
        this.#accept(theirs);
        return;
      }
    }
    let renewed: Tokens;
    try {
      renewed = await this.#around.login.renew(before);
    } catch (error) {
      if (error instanceof LoginUnreachableError) {
        this.#schedule(TRY_AGAIN_AFTER_MS);
        // Until its last second the present token is as good as it was.
        if (!this.#isOver()) return;
        throw error;
      }
      this.end(null);
      throw new SessionEndedError("The session has ended.", { cause: error });
    }
    // These come too late if the person has signed out in the meantime.
    if (this.#tokens !== before) return;
    this.#accept(renewed);
    this.#around.tabs.tell({ kind: "session", tokens: renewed });
  }

  async #askOthers(): Promise<Tokens | null> {
    const { promise, resolve } = Promise.withResolvers<Tokens | null>();
    this.#answered = resolve;
    this.#around.tabs.tell({ kind: "ask" });
    const timer = setTimeout(() => {
      resolve(null);
    }, ANSWER_WITHIN_MS);
    const tokens = await promise;
    clearTimeout(timer);
    this.#answered = null;
    return tokens;
  }

  #isOver(): boolean {
    return this.#tokens !== null && this.#tokens.expiresAt - this.#around.clock() < TOO_LATE_MS;
  }

  #renewalTime(tokens: Tokens): number {
    return tokens.expiresAt - Math.min(RENEW_BEFORE_MS, tokens.lifetime / 5);
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#renew().catch(() => undefined);
      },
      Math.min(Math.max(afterMs, 0), LONGEST_TIMER_MS),
    );
  }

  #set(state: State): void {
    this.#state = state;
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function personOf(tokens: Tokens): Person {
  return { sub: tokens.sub, username: tokens.username, groups: tokens.groups, signedInAt: tokens.signedInAt };
}

/** Say why the sign-in failed. What the login wrote is shown as text, never as markup. */
function explain(error: unknown): string {
  if (error instanceof LoginUnreachableError) return "The sign-in page cannot be reached. Check your connection, then try again.";
  if (error instanceof LoginRefusedError && /no matching state/i.test(error.message)) {
    return "That sign-in was begun in another tab, or too long ago. Please sign in again.";
  }
  const words = error instanceof Error ? error.message : "";
  return `The sign-in was not completed${words ? `: ${words}` : ""}. Please try again.`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
