import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Config } from "../src/config";
import { LoginRefusedError, LoginUnreachableError, hostedUi, isLoginAnswer, type Login } from "../src/oidc";
import { MemoryStorage } from "./memory";

const CONFIG: Config = {
  region: "eu-west-1",
  userPoolId: "eu-west-1_Abc",
  clientId: "client",
  loginUrl: "https://login.example",
  api: "/api",
};
const NOW = 1_800_000_000_000;

let storage: MemoryStorage;
let login: Login;
let asked: { url: string; form: URLSearchParams }[];
let answer: () => Response;

function token(claims: Record<string, unknown>): string {
  const part = (value: unknown): string => btoa(JSON.stringify(value)).replace(/=+$/, "");
  return `${part({ alg: "RS256" })}.${part({ sub: "s", iat: 100, exp: 1000, "cognito:username": "demo", ...claims })}.x`;
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });
}

beforeEach(() => {
  storage = new MemoryStorage();
  // The library speaks of its own default stores, which only a browser has.
  vi.stubGlobal("window", { localStorage: new MemoryStorage(), sessionStorage: storage });
  login = hostedUi(CONFIG, "https://shelf.example", storage, () => NOW);
  asked = [];
  vi.stubGlobal("fetch", (url: string, init: { body: URLSearchParams }) => {
    asked.push({ url, form: new URLSearchParams(init.body) });
    return Promise.resolve(answer());
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

async function signIn(claims: Record<string, unknown> = {}): Promise<ReturnType<Login["finish"]>> {
  const request = new URL(await login.start("#/books/7"));
  const state = request.searchParams.get("state") ?? "";
  answer = () =>
    json({
      id_token: token({ nonce: request.searchParams.get("nonce"), ...claims }),
      access_token: "a",
      refresh_token: "r",
      expires_in: 3600,
      token_type: "Bearer",
    });
  return login.finish(`https://shelf.example/?code=c&state=${state}`);
}

test("the request is a code with PKCE, state and nonce, back to the site's root", async () => {
  const url = new URL(await login.start("#/"));
  expect(url.origin + url.pathname).toBe("https://login.example/oauth2/authorize");
  const query = Object.fromEntries(url.searchParams);
  expect(query).toMatchObject({
    response_type: "code",
    client_id: "client",
    redirect_uri: "https://shelf.example/",
    code_challenge_method: "S256",
  });
  expect(query["state"]).toMatch(/^[0-9a-f]{32}$/);
  expect(query["nonce"]).toMatch(/^[0-9a-f-]{36}$/);
  expect(query["code_challenge"]).toMatch(/^[\w-]{43}$/);
});

test("the code is exchanged with the verifier, and the person comes back to where they were", async () => {
  const { tokens, returnTo } = await signIn({ auth_time: 50 });
  expect(asked[0]?.url).toBe("https://login.example/oauth2/token");
  expect(asked[0]?.form.get("code_verifier")).toMatch(/^\w{43,128}$/);
  expect(tokens).toMatchObject({ refreshToken: "r", username: "demo", signedInAt: 50_000, expiresAt: NOW + 900_000 });
  expect(returnTo).toBe("#/books/7");
});

test("an ID token for another request is refused", async () => {
  await expect(signIn({ nonce: "another" })).rejects.toBeInstanceOf(LoginRefusedError);
});

test("an answer to a question that this tab never asked is refused before the login is asked", async () => {
  await expect(login.finish("https://shelf.example/?code=c&state=forged")).rejects.toBeInstanceOf(LoginRefusedError);
  expect(asked).toEqual([]);
});

test("a place outside of this page is no place to come back to", async () => {
  const request = new URL(await login.start("https://evil.example/"));
  const state = request.searchParams.get("state") ?? "";
  answer = () => json({ id_token: token({ nonce: request.searchParams.get("nonce") }), access_token: "a", token_type: "Bearer" });
  expect((await login.finish(`https://shelf.example/?code=c&state=${state}`)).returnTo).toBe("#/");
});

test("a refresh keeps the refresh token where none comes, and takes the new one where it rotates", async () => {
  const { tokens } = await signIn();
  answer = () => json({ id_token: token({ iat: 200, exp: 500, auth_time: 9 }), access_token: "a", token_type: "Bearer" });
  expect(await login.renew(tokens)).toMatchObject({ refreshToken: "r", lifetime: 300_000, signedInAt: null });
  answer = () => json({ id_token: token({}), access_token: "a", refresh_token: "r2", token_type: "Bearer" });
  expect((await login.renew(tokens)).refreshToken).toBe("r2");
});

test("a refresh that answers for somebody else is refused", async () => {
  const { tokens } = await signIn();
  answer = () => json({ id_token: token({ sub: "other" }), access_token: "a", token_type: "Bearer" });
  await expect(login.renew(tokens)).rejects.toBeInstanceOf(LoginRefusedError);
});

test.each([
  ["a revoked token", () => json({ error: "invalid_grant" }, 400), LoginRefusedError],
  ["a login in trouble", () => new Response("", { status: 502 }), LoginUnreachableError],
])("%s is told apart", async (_, response, kind) => {
  const { tokens } = await signIn();
  answer = response;
  await expect(login.renew(tokens)).rejects.toBeInstanceOf(kind);
});

test("no network is no refusal", async () => {
  const { tokens } = await signIn();
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  await expect(login.renew(tokens)).rejects.toBeInstanceOf(LoginUnreachableError);
});

test("the refresh token is what is revoked, and the logout leads back", async () => {
  answer = () => new Response(null, { status: 200 });
  await login.revoke("r");
  expect(asked[0]?.url).toBe("https://login.example/oauth2/revoke");
  expect(Object.fromEntries(asked[0]?.form ?? [])).toMatchObject({ token: "r", client_id: "client" });
  expect(login.logoutUrl).toBe("https://login.example/logout?client_id=client&logout_uri=https%3A%2F%2Fshelf.example%2F");
});

test.each([
  ["?code=c&state=s", true],
  ["?error=access_denied&state=s", true],
  ["?code=c", false],
  ["?state=s", false],
  ["", false],
])("%s is the login's answer: %s", (search, expected) => {
  expect(isLoginAnswer(search)).toBe(expected);
});
