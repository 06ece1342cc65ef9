// What went wrong, in words for the person, and what they can do about it.

import { ProblemError, UnreachableError } from "./api";
import { LoginUnreachableError } from "./oidc";
import { SessionEndedError } from "./session";

export type Remedy = "retry" | "sign-in" | "sign-in-again" | "back" | "none";

export interface Advice {
  readonly title: string;
  /** What the server says; a sentence of its own. */
  readonly detail: string;
  /** What to do, in a sentence. */
  readonly todo: string;
  readonly remedy: Remedy;
  /** For the person who is asked for help. */
  readonly code: string | null;
  readonly requestId: string | null;
}

export function adviceFor(error: unknown): Advice {
  if (error instanceof SessionEndedError) {
    return {
      title: "Your session has ended",
      detail: "",
      todo: "Sign in again. What you typed is kept.",
      remedy: "sign-in",
      code: null,
      requestId: null,
    };
  }
  if (error instanceof UnreachableError || error instanceof LoginUnreachableError) {
    return {
      title: "The server cannot be reached",
      detail: "",
      todo: "Check your connection, then try again. Nothing that you typed is lost.",
      remedy: "retry",
      code: null,
      requestId: null,
    };
  }
  if (error instanceof ProblemError) {
    const { problem } = error;
    const known = KNOWN[problem.code] ?? byStatus(problem.status);
    const wait = problem.retryAfter;
    return {
      title: known.title ?? problem.title,
      detail: problem.detail,
      todo: wait === null ? known.todo : `Wait ${wait === 1 ? "a second" : `${wait} seconds`}, then try again.`,
      remedy: wait === null ? known.remedy : "retry",
      code: problem.code === "unknown" ? null : problem.code,
      requestId: problem.requestId,
    };
  }
  return {
    title: "Something went wrong on this page",
    detail: error instanceof Error ? error.message : "",
    todo: "Try again; if it stays, reload the page.",
    remedy: "retry",
    code: null,
    requestId: null,
  };
}

interface Known {
  readonly title?: string;
  readonly todo: string;
  readonly remedy: Remedy;
}

const KNOWN: Readonly<Record<string, Known>> = {
  not_owner: {
    title: "Only the person who added a book may change it",
    todo: "Ask them, or add a copy of your own.",
    remedy: "back",
  },
  missing_group: {
    title: "Your account may not do this",
    todo: "Ask an administrator for the group, then sign in again: a session keeps the groups that it began with.",
    remedy: "sign-in-again",
  },
  insufficient_scope: {
    title: "Your sign-in does not cover this",
    todo: "Sign in again; if it stays, ask an administrator.",
    remedy: "sign-in-again",
  },
  not_found: { title: "This book is not here any more", todo: "It was deleted, perhaps.", remedy: "back" },
  version_conflict: {
    title: "This book was changed elsewhere",
    todo: "Look at the new version before you go on.",
    remedy: "retry",
  },
  body_too_large: { title: "That is too long", todo: "Shorten the notes.", remedy: "none" },
};

function byStatus(status: number): Known {
  if (status === 403) return { todo: "Ask an administrator, or sign in as somebody else.", remedy: "sign-in-again" };
  if (status === 429 || status >= 500) return { todo: "Try again in a moment.", remedy: "retry" };
  return { todo: "Change what you sent, then try again.", remedy: "none" };
}
