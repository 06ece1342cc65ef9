import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Api, ProblemError, UnreachableError, readProblem, type Bearer } from "../src/api";
import { SessionEndedError } from "../src/session";

let sent: Request[];
let answers: (() => Response)[];
let ended: (string | null)[];
let bearer: Bearer;

function problem(status: number, code: string, more: object = {}, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ code, title: code, detail: "Because.", request_id: "r-1", ...more }), {
    status,
    headers: { "content-type": "application/problem+json", ...headers },
  });
}

beforeEach(() => {
  sent = [];
  answers = [];
  ended = [];
  bearer = {
    idToken: () => Promise.resolve("first"),
    anotherIdToken: () => Promise.resolve("second"),
    end: (reason) => ended.push(reason),
  };
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    sent.push(new Request(`https://shelf.example${url}`, init));
    const answer = answers.shift();
    return answer ? Promise.resolve(answer()) : Promise.reject(new TypeError("Failed to fetch"));
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const api = (): Api => new Api("/api", bearer);

test("a change carries token, version and JSON", async () => {
  answers = [() => Response.json({ ok: true })];
  expect(await api().call("/books/1", { method: "PUT", version: 3, body: { a: 1 } })).toEqual({ ok: true });
  const [request] = sent;
  expect(request?.headers.get("authorization")).toBe("Bearer first");
  expect(request?.headers.get("if-match")).toBe('"3"');
  expect(request?.headers.get("content-type")).toBe("application/json");
  expect(await request?.json()).toEqual({ a: 1 });
});

test("an answer without a body is null", async () => {
  answers = [() => new Response(null, { status: 204 })];
  expect(await api().call("/books/1", { method: "DELETE" })).toBeNull();
});

test("a 401 is tried once with another token", async () => {
  answers = [() => problem(401, "expired"), () => Response.json(1)];
  expect(await api().call("/whoami")).toBe(1);
  expect(sent.map((request) => request.headers.get("authorization"))).toEqual(["Bearer first", "Bearer second"]);
  expect(ended).toEqual([]);
});

test("a second 401 ends the session", async () => {
  answers = [() => problem(401, "revoked"), () => problem(401, "revoked"), () => Response.json(1)];
  await expect(api().call("/whoami")).rejects.toBeInstanceOf(SessionEndedError);
  expect(sent).toHaveLength(2);
  expect(ended).toEqual(["Because."]);
});

test("a 403 does not touch the session", async () => {
  answers = [() => problem(403, "missing_group")];
  await expect(api().call("/whoami")).rejects.toMatchObject({ problem: { status: 403, code: "missing_group", requestId: "r-1" } });
  expect(ended).toEqual([]);
});

test("no answer is told apart from a refusal", async () => {
  await expect(api().call("/whoami")).rejects.toBeInstanceOf(UnreachableError);
  answers = [() => new Response("{", { headers: { "content-type": "application/json" } })];
  await expect(api().call("/whoami")).rejects.toBeInstanceOf(UnreachableError);
});

test("a call that its screen gave up is no outage", async () => {
  const stop = new AbortController();
  stop.abort();
  await expect(api().call("/whoami", { signal: stop.signal })).rejects.not.toBeInstanceOf(UnreachableError);
});

test("AWS's own 403 and CloudFront's pages are problems too", async () => {
  expect(await readProblem(Response.json({ Message: "Forbidden." }, { status: 403 }))).toMatchObject({ code: "unknown", detail: "Forbidden." });
  const page = new Response("<h1>502</h1>", { status: 502, headers: { "content-type": "text/html", "x-amz-cf-id": "cf" } });
  expect(await readProblem(page)).toMatchObject({ status: 502, title: "The server answered 502", requestId: "cf" });
});

test.each([
  ["7", 7],
  ["Wed, 21 Oct 2026 07:28:00 GMT", null],
  ["-1", null],
])("Retry-After: %s is %s", async (value, expected) => {
  expect((await readProblem(problem(503, "keys_unavailable", {}, { "retry-after": value }))).retryAfter).toBe(expected);
});

test("wrong fields are read, and what is none is left out", async () => {
  const errors = [{ field: "title", detail: "Too long." }, "what?", { field: "x" }];
  expect((await readProblem(problem(422, "invalid_book", { errors }))).fields).toEqual([{ field: "title", detail: "Too long." }]);
});

test("a problem is an error with a name", () => {
  expect(new ProblemError({ status: 400, code: "c", title: "t", detail: "", requestId: null, fields: [], current: null, retryAfter: null }).message).toBe("t");
});
