// What the page has to know of its surroundings: `/config.json`, written at deploy time, public, no secrets.

export interface Config {
  /** Of the user pool, such as `us-east-1`. */
  readonly region: string;
  readonly userPoolId: string;
  readonly clientId: string;
  /** Base of the hosted UI, without a final slash. */
  readonly loginUrl: string;
  /** Where the API is, on this origin: `/api`. */
  readonly api: string;
}

/** `/config.json` cannot be used; the message says what is wrong, for the person who deployed it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Read `/config.json`. Never from a cache: another deployment may have another login. */
export async function loadConfig(): Promise<Config> {
  let response: Response;
  try {
    response = await fetch("/config.json", { cache: "no-store", redirect: "error" });
  } catch {
    throw new ConfigError("/config.json cannot be reached.");
  }
  if (!response.ok) throw new ConfigError(`/config.json answers ${response.status}.`);
  let document: unknown;
  try {
    document = await response.json();
  } catch {
    throw new ConfigError("/config.json is no JSON.");
  }
  return parseConfig(document);
}

/** Check the document: a wrong address here would send people, and their codes, elsewhere. */
export function parseConfig(document: unknown): Config {
  if (typeof document !== "object" || document === null) throw new ConfigError("/config.json: expected an object.");
  const fields = document as Record<string, unknown>;
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== "string" || value === "") throw new ConfigError(`/config.json: expected a text in "${name}".`);
    return value;
  };
  const api = text("api").replace(/\/+$/, "");
  if (!/^\/(?!\/)/.test(api)) throw new ConfigError('/config.json: "api" is a path on this origin, such as "/api".');
  return {
    region: text("region"),
    userPoolId: text("user_pool_id"),
    clientId: text("client_id"),
    loginUrl: checkedLoginUrl(text("login_url")),
    api,
  };
}

/** Whether the login, and so everything, runs on this machine. */
export function isLocal(config: Config): boolean {
  return isLoopback(new URL(config.loginUrl));
}

/**
 * The address to go to instead, where this page was opened under this machine's other name.
 *
 * The login sends people back to the one address that it knows, and what they began with is kept under this one.
 */
export function properAddress(config: Config, here: { readonly href: string }): string | null {
  const url = new URL(here.href);
  const login = new URL(config.loginUrl);
  if (!isLocal(config) || !isLoopback(url) || url.hostname === login.hostname) return null;
  url.hostname = login.hostname;
  return url.href;
}

function checkedLoginUrl(value: string): string {
  const url = URL.parse(value);
  if (url === null || (url.protocol !== "https:" && !isLoopback(url)) || url.username !== "" || url.search !== "") {
    throw new ConfigError('/config.json: "login_url" is an https address, or one of this machine.');
  }
  return url.href.replace(/\/+$/, "");
}

function isLoopback(url: URL): boolean {
  return url.protocol === "http:" && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
}
