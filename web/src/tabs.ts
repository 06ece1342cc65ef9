// The other tabs of this page: they share one session, so one signs in, one renews, and all sign out.
//
// Session storage belongs to one tab. A new tab asks the others over a BroadcastChannel, which only pages of this origin
// can hear; Web Locks tell whether there is anybody to ask, and let one tab at a time renew.

import { parseTokens, type Tokens } from "./tokens";

export type Message =
  | { readonly kind: "ask" }
  | { readonly kind: "session"; readonly tokens: Tokens }
  | { readonly kind: "signed-out" };

/** What the session needs of the other tabs. */
export interface Tabs {
  /** Hear the others. */
  listen(onMessage: (message: Message) => void): void;
  tell(message: Message): void;
  /** Whether another tab holds a session. */
  anySignedIn(): Promise<boolean>;
  /** Say to the others that this tab has a session, or has none. */
  setSignedIn(signedIn: boolean): void;
  /** Run `work` while no other tab runs its own; it learns whether it had to wait for one. */
  alone<T>(work: (waited: boolean) => Promise<T>): Promise<T>;
}

const CHANNEL = "session";
const HOLDING = "session-held";
const RENEWAL = "session-renewal";

export function otherTabs(): Tabs {
  const channel = new BroadcastChannel(CHANNEL);
  let release: (() => void) | null = null;

  return {
    listen(onMessage) {
      channel.addEventListener("message", (event: MessageEvent<unknown>) => {
        const message = parseMessage(event.data);
        if (message !== null) onMessage(message);
      });
    },

    tell(message) {
      channel.postMessage(message);
    },

    async anySignedIn() {
      const { held } = await navigator.locks.query();
      return held?.some((lock) => lock.name === HOLDING) ?? false;
    },

    setSignedIn(signedIn) {
      if (signedIn && release === null) {
        const { promise, resolve } = Promise.withResolvers<undefined>();
        release = () => {
          resolve(undefined);
        };
        void navigator.locks.request(HOLDING, { mode: "shared" }, () => promise);
      } else if (!signedIn) {
        release?.();
        release = null;
      }
    },

    async alone<T>(work: (waited: boolean) => Promise<T>): Promise<T> {
      const done = await navigator.locks.request(RENEWAL, { ifAvailable: true }, async (lock) =>
        lock === null ? null : { value: await work(false) },
      );
      if (done !== null) return done.value;
      return (await navigator.locks.request(RENEWAL, async () => ({ value: await work(true) }))).value;
    },
  };
}

/** Check what another tab says: it may run another version of this page. */
export function parseMessage(data: unknown): Message | null {
  if (typeof data !== "object" || data === null || !("kind" in data)) return null;
  if (data.kind === "ask" || data.kind === "signed-out") return { kind: data.kind };
  if (data.kind === "session" && "tokens" in data) {
    const tokens = parseTokens(data.tokens);
    return tokens && { kind: "session", tokens };
  }
  return null;
}
