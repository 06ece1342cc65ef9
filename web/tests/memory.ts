// Stand-ins for the browser's parts: storage in memory, a clock to set, tabs that hear each other, a login to steer.

import { LoginRefusedError, type Login } from "../src/oidc";
import { Session } from "../src/session";
import type { Message, Tabs } from "../src/tabs";
import type { Tokens } from "../src/tokens";

export class MemoryStorage implements Storage {
  readonly #items = new Map<string, string>();
  get length(): number {
    return this.#items.size;
  }
  clear(): void {
    this.#items.clear();
  }
  getItem(key: string): string | null {
    return this.#items.get(key) ?? null;
  }
  key(index: number): string | null {
    return [...this.#items.keys()][index] ?? null;
  }
  removeItem(key: string): void {
    this.#items.delete(key);
  }
  setItem(key: string, value: string): void {
    this.#items.set(key, value);
  }
}

/** All tabs of one browser. */
export class Browser {
  readonly #listeners = new Map<number, (message: Message) => void>();
  readonly #signedIn = new Set<number>();
  #tail: Promise<unknown> = Promise.resolve();
  #busy = 0;
  #tabs = 0;

  tab(): Tabs {
    const own = this.#tabs++;
    return {
      listen: (onMessage) => {
        this.#listeners.set(own, onMessage);
      },
      tell: (message) => {
        for (const [tab, listener] of this.#listeners) if (tab !== own) queueMicrotask(() => { listener(message); });
      },
      anySignedIn: () => Promise.resolve([...this.#signedIn].some((tab) => tab !== own)),
      setSignedIn: (signedIn) => {
        if (signedIn) this.#signedIn.add(own);
        else this.#signedIn.delete(own);
      },
      alone: async (work) => {
        const waited = this.#busy++ > 0;
        const turn = this.#tail.then(() => work(waited)).finally(() => this.#busy--);
        this.#tail = turn.catch(() => undefined);
        return turn;
      },
    };
  }
}

export class FakeLogin implements Login {
  renewals = 0;
  revoked: string[] = [];
  /** What a renewal throws; null lets it succeed. */
  fault: Error | null = null;
  readonly logoutUrl = "https://login.example/logout";
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  start(returnTo: string): Promise<string> {
    return Promise.resolve(`https://login.example/oauth2/authorize#${returnTo}`);
  }

  finish(url: string): Promise<{ tokens: Tokens; returnTo: string }> {
    if (url.includes("error=")) return Promise.reject(new LoginRefusedError("You said no"));
    return Promise.resolve({ tokens: this.tokens(), returnTo: "#/new" });
  }

  renew(tokens: Tokens): Promise<Tokens> {
    this.renewals += 1;
    if (this.fault !== null) return Promise.reject(this.fault);
    return Promise.resolve({ ...this.tokens(), idToken: `${tokens.idToken}+` });
  }

  revoke(refreshToken: string): Promise<void> {
    this.revoked.push(refreshToken);
    return this.fault === null ? Promise.resolve() : Promise.reject(this.fault);
  }

  tokens(): Tokens {
    return {
      idToken: "id",
      refreshToken: "refresh",
      expiresAt: this.#clock() + 3_600_000,
      lifetime: 3_600_000,
      sub: "sub-1",
      username: "demo",
      groups: [],
      signedInAt: 0,
    };
  }
}

export interface Rig {
  session: Session;
  storage: MemoryStorage;
  login: FakeLogin;
  left: string[];
  addresses: string[];
}

/** A session in a tab of `browser`. */
export function openTab(browser: Browser, login: FakeLogin, clock: () => number): Rig {
  const storage = new MemoryStorage();
  const left: string[] = [];
  const addresses: string[] = [];
  const session = new Session({
    login,
    tabs: browser.tab(),
    storage,
    clock,
    leave: (url) => left.push(url),
    replaceAddress: (place) => addresses.push(place),
  });
  return { session, storage, login, left, addresses };
}
