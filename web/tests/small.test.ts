import { expect, test } from "vitest";
import { adviceFor } from "../src/advice";
import { ProblemError, UnreachableError, type Problem } from "../src/api";
import { isLocal, parseConfig, properAddress } from "../src/config";
import { hrefOf, parseRoute } from "../src/route";
import { SessionEndedError } from "../src/session";
import { parseMessage } from "../src/tabs";
import { fromAnswer, loadTokens, saveTokens } from "../src/tokens";
import { FakeLogin, MemoryStorage } from "./memory";

const CONFIG = {
  region: "us-east-1",
  user_pool_id: "us-east-1_A",
  client_id: "c",
  login_url: "https://login.example/",
  issuer: null,
  api: "/api",
};

test("a configuration is read, without its slashes", () => {
  expect(parseConfig(CONFIG)).toMatchObject({ loginUrl: "https://login.example", api: "/api", clientId: "c" });
});

test.each(["http://127.0.0.1:8081", "http://localhost:1"])("%s is a local login", (login_url) => {
  expect(isLocal(parseConfig({ ...CONFIG, login_url }))).toBe(true);
});

test("this machine's other name leads to the one that the login knows", () => {
  const local = parseConfig({ ...CONFIG, login_url: "http://127.0.0.1:8081" });
  expect(properAddress(local, { href: "http://localhost:8080/#/new" })).toBe("http://127.0.0.1:8080/#/new");
  expect(properAddress(local, { href: "http://127.0.0.1:8080/" })).toBeNull();
  expect(properAddress(parseConfig(CONFIG), { href: "https://shelf.example/" })).toBeNull();
});

test.each(["http://login.example", "javascript:alert(1)", "https://user@login.example", "https://login.example/?x=1", "login"])(
  "%s is no login",
  (login_url) => {
    expect(() => parseConfig({ ...CONFIG, login_url })).toThrow(/login_url/);
  },
);

test.each(["https://evil.example/api", "//evil.example", "api"])("%s is no API of this origin", (api) => {
  expect(() => parseConfig({ ...CONFIG, api })).toThrow(/api/);
});

test("a configuration that lacks something says what", () => {
  expect(() => parseConfig({ ...CONFIG, client_id: "" })).toThrow(/client_id/);
  expect(() => parseConfig([])).toThrow(/region|object|text/);
});

test.each([
  ["", { at: "books" }],
  ["#/", { at: "books" }],
  ["#/new", { at: "new" }],
  ["#/account", { at: "account" }],
  ["#/books/a%2Fb", { at: "edit", id: "a/b" }],
  ["#/books/%", { at: "nowhere" }],
  ["#/books/", { at: "nowhere" }],
  ["#/else", { at: "nowhere" }],
])("the address %j is %j", (hash, route) => {
  expect(parseRoute(hash)).toEqual(route);
});

test("an id comes back out of its address", () => {
  expect(parseRoute(hrefOf({ at: "edit", id: "ä/#?" }))).toEqual({ at: "edit", id: "ä/#?" });
});

const problem = (more: Partial<Problem>): ProblemError =>
  new ProblemError({
    status: 403,
    code: "x",
    title: "T",
    detail: "D.",
    requestId: "r",
    fields: [],
    current: null,
    retryAfter: null,
    ...more,
  });

test.each([
  [new SessionEndedError(""), "sign-in"],
  [new UnreachableError(""), "retry"],
  [problem({ code: "not_owner" }), "back"],
  [problem({ code: "missing_group" }), "sign-in-again"],
  [problem({ status: 503, code: "keys_unavailable", retryAfter: 7 }), "retry"],
  [problem({ status: 500, code: "internal_error" }), "retry"],
  [problem({ status: 400, code: "malformed_json" }), "none"],
  [new TypeError("bug"), "retry"],
])("%s: the way on is %s", (error, remedy) => {
  expect(adviceFor(error).remedy).toBe(remedy);
});

test("Retry-After is told", () => {
  expect(adviceFor(problem({ status: 503, retryAfter: 7 })).todo).toBe("Wait 7 seconds, then try again.");
  expect(adviceFor(problem({ status: 503, retryAfter: 1 })).todo).toBe("Wait a second, then try again.");
});

test("a token's time counts from when it came, whatever this machine's clock says", () => {
  const answer = { idToken: "t", refreshToken: undefined, expiresIn: 3600 };
  const claims = { sub: "s", iat: 1_000, exp: 1_300, "cognito:username": "u" };
  expect(fromAnswer(answer, claims, 5_000_000)).toMatchObject({ expiresAt: 5_300_000, lifetime: 300_000, username: "u" });
  expect(fromAnswer(answer, { ...claims, "cognito:groups": ["admins", 7] }, 0).groups).toEqual(["admins"]);
  expect(fromAnswer(answer, { sub: "s" }, 0)).toMatchObject({ expiresAt: 3_600_000, username: "s", signedInAt: null });
  expect(() => fromAnswer({ ...answer, idToken: undefined }, claims, 0)).toThrow();
});

test("tokens survive their storage; what is broken or of an older page does not", () => {
  const storage = new MemoryStorage();
  const tokens = new FakeLogin(() => 0).tokens();
  saveTokens(storage, tokens);
  expect(loadTokens(storage)).toEqual(tokens);
  storage.setItem("session", '{"idToken": 1}');
  expect(loadTokens(storage)).toBeNull();
  storage.setItem("session", "{");
  expect(loadTokens(storage)).toBeNull();
});

test("another tab's message is checked", () => {
  const tokens = new FakeLogin(() => 0).tokens();
  expect(parseMessage({ kind: "session", tokens })).toEqual({ kind: "session", tokens });
  expect(parseMessage({ kind: "session", tokens: {} })).toBeNull();
  expect(parseMessage({ kind: "else" })).toBeNull();
  expect(parseMessage("ask")).toBeNull();
});
