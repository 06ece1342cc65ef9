// A session's tokens, and the form in which they are kept: session storage at most, so they end with the tab.

export interface Tokens {
  /** What the gateway wants in `Authorization: Bearer`. */
  readonly idToken: string;
  /** Gets new ID tokens; null where the login gave none. */
  readonly refreshToken: string | null;
  /** When the ID token ends, in milliseconds of this machine's clock, however wrong that is. */
  readonly expiresAt: number;
  /** How long it was valid when it came, in milliseconds. */
  readonly lifetime: number;
  /** Who it is about, as the ID token says. Only for show: the gateway verifies, this page cannot. */
  readonly sub: string;
  readonly username: string;
  readonly groups: readonly string[];
  /** When they signed in, in milliseconds; null where the token does not say. */
  readonly signedInAt: number | null;
}

const KEY = "session";

export function loadTokens(storage: Storage): Tokens | null {
  const text = storage.getItem(KEY);
  if (text === null) return null;
  try {
    return parseTokens(JSON.parse(text));
  } catch {
    return null;
  }
}

export function saveTokens(storage: Storage, tokens: Tokens | null): void {
  if (tokens === null) storage.removeItem(KEY);
  else storage.setItem(KEY, JSON.stringify(tokens));
}

/** Check what came from storage or from another tab: an older version of the page may have written it. */
export function parseTokens(value: unknown): Tokens | null {
  if (typeof value !== "object" || value === null) return null;
  const { idToken, refreshToken, expiresAt, lifetime, sub, username, groups, signedInAt } = value as Record<string, unknown>;
  if (typeof idToken !== "string" || typeof sub !== "string" || typeof username !== "string") return null;
  if (typeof expiresAt !== "number" || typeof lifetime !== "number") return null;
  return {
    idToken,
    refreshToken: typeof refreshToken === "string" ? refreshToken : null,
    expiresAt,
    lifetime,
    sub,
    username,
    groups: texts(groups),
    signedInAt: typeof signedInAt === "number" ? signedInAt : null,
  };
}

/**
 * Put a token endpoint's answer into our form.
 *
 * The time left is what the token says of itself, `exp - iat`, counted from now: comparing `exp` with a laptop's clock
 * would end sessions early, or late, by as much as that clock is wrong.
 */
export function fromAnswer(
  answer: { idToken: string | undefined; refreshToken: string | undefined; expiresIn: number | undefined },
  claims: Readonly<Record<string, unknown>>,
  now: number,
): Tokens {
  if (answer.idToken === undefined || typeof claims["sub"] !== "string") throw new Error("The login sent no ID token.");
  const { exp, iat, auth_time: authTime } = claims;
  const own = typeof exp === "number" && typeof iat === "number" && exp > iat ? exp - iat : Infinity;
  const lifetime = Math.min(own, answer.expiresIn ?? Infinity, 24 * 3600) * 1000;
  const username = claims["cognito:username"];
  return {
    idToken: answer.idToken,
    refreshToken: answer.refreshToken ?? null,
    expiresAt: now + lifetime,
    lifetime,
    sub: claims["sub"],
    username: typeof username === "string" ? username : claims["sub"],
    groups: texts(claims["cognito:groups"]),
    signedInAt: typeof authTime === "number" ? authTime * 1000 : null,
  };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((part): part is string => typeof part === "string") : [];
}
