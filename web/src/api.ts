// Calls to the API: the token goes in, answers come out as values, refusals as errors that a screen can explain.

import { SessionEndedError } from "./session";

/** The problem document of a refusal (RFC 9457), the gateway's or the application's. */
export interface Problem {
  readonly status: number;
  /** Stable; `docs/refusals.md` lists the gateway's. `unknown` for answers of neither. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly requestId: string | null;
  readonly fields: readonly { readonly field: string; readonly detail: string }[];
  /** Of a conflict: what is there now, unchecked. */
  readonly current: unknown;
  /** Seconds that the server asks to wait; null where it does not. */
  readonly retryAfter: number | null;
}

export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** No answer came: the network, or the server, is away. Whether the request arrived is not known. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

/** What a call needs of the session. */
export interface Bearer {
  idToken(): Promise<string>;
  anotherIdToken(refused: string): Promise<string>;
  end(reason: string | null): void;
}

export interface Call {
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly body?: unknown;
  /** The version that a change is for. */
  readonly version?: number;
  readonly signal?: AbortSignal;
}

const TIMEOUT_MS = 20_000;

export class Api {
  readonly #base: string;
  readonly #bearer: Bearer;

  constructor(base: string, bearer: Bearer) {
    this.#base = base;
    this.#bearer = bearer;
  }

  /**
   * Call, and return the answer's JSON (null where there is no body).
   *
   * A 401 is answered once with a renewed token: the gateway refused before the application saw anything, so no change is
   * made twice.
   *
   * @throws ProblemError The gateway or the application refuses.
   * @throws SessionEndedError The session is over.
   * @throws UnreachableError No answer.
   */
  async call(path: string, call: Call = {}): Promise<unknown> {
    const token = await this.#bearer.idToken();
    let response = await this.#send(path, call, token);
    if (response.status === 401) {
      response = await this.#send(path, call, await this.#bearer.anotherIdToken(token));
    }
    if (response.ok) return response.status === 204 ? null : await readJson(response);
    const problem = await readProblem(response);
    if (response.status === 401) {
      this.#bearer.end(problem.detail);
      throw new SessionEndedError(problem.detail);
    }
    throw new ProblemError(problem);
  }

  /** The address of a path of the API, on this origin. */
  url(path: string): string {
    return this.#base + path;
  }

  async #send(path: string, call: Call, token: string): Promise<Response> {
    const headers = new Headers({ accept: "application/json", authorization: `Bearer ${token}` });
    if (call.version !== undefined) headers.set("if-match", `"${call.version}"`);
    const init: RequestInit = {
      method: call.method ?? "GET",
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(call.signal ? [call.signal] : [])]),
    };
    if (call.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(call.body);
    }
    try {
      return await fetch(this.url(path), init);
    } catch (error) {
      if (call.signal?.aborted) throw error;
      throw new UnreachableError("No answer came.", { cause: error });
    }
  }
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    throw new UnreachableError("The answer was cut short.", { cause: error });
  }
}

/** Read a refusal. What is no problem document (CloudFront's own pages, AWS's own 403) still has a status. */
export async function readProblem(response: Response): Promise<Problem> {
  let document: Record<string, unknown> = {};
  if (/^application\/(problem\+)?json/i.test(response.headers.get("content-type") ?? "")) {
    const value: unknown = await response.json().catch(() => null);
    if (typeof value === "object" && value !== null) document = value as Record<string, unknown>;
  }
  const text = (name: string): string | null => {
    const value = document[name];
    return typeof value === "string" && value !== "" ? value : null;
  };
  const errors = Array.isArray(document["errors"]) ? (document["errors"] as unknown[]) : [];
  return {
    status: response.status,
    code: text("code") ?? "unknown",
    title: text("title") ?? `The server answered ${response.status}`,
    detail: text("detail") ?? text("message") ?? text("Message") ?? "",
    requestId: text("request_id") ?? response.headers.get("x-amz-cf-id"),
    fields: errors.flatMap((error) => {
      if (typeof error !== "object" || error === null || !("field" in error) || !("detail" in error)) return [];
      return [{ field: String(error.field), detail: String(error.detail) }];
    }),
    current: document["current"] ?? null,
    retryAfter: seconds(response.headers.get("retry-after")),
  };
}

function seconds(value: string | null): number | null {
  return value !== null && /^\d{1,5}$/.test(value) ? Number(value) : null;
}
