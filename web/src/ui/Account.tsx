// Who am I? What the gateway verified and handed to the application; and what its refusals look like.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { readProblem, type Api, type Problem } from "../api";
import type { Person } from "../session";
import { SessionEndedError } from "../session";
import { announce, useHeading } from "./hooks";
import { Refusal } from "./Refusal";

interface Props {
  readonly api: Api;
  readonly person: Person;
  readonly expiresAt: number | null;
  readonly onSignIn: () => void;
  readonly onSignOut: () => void;
}

/** What `/api/whoami` says, as far as it is shown. */
interface Whoami {
  readonly username: string;
  readonly email: string | null;
  readonly groups: readonly string[];
  readonly sub: string;
}

export function Account({ api, person, expiresAt, onSignIn, onSignOut }: Props) {
  const heading = useHeading("Your account");
  const [who, setWho] = useState<Whoami | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = useCallback(
    async (signal?: AbortSignal) => {
      setError(null);
      try {
        setWho(parseWhoami(await api.call("/whoami", signal ? { signal } : {})));
      } catch (failure) {
        if (signal?.aborted !== true) setError(failure);
      }
    },
    [api],
  );
  useEffect(() => {
    const stop = new AbortController();
    void load(stop.signal);
    return () => {
      stop.abort();
    };
  }, [load]);

  return (
    <div class="narrow">
      <h1 ref={heading} tabIndex={-1}>
        Your account
      </h1>
      <p class="lead">This is what the gateway verified, and what it told the application about you.</p>
      {error !== null && !(error instanceof SessionEndedError) && (
        <Refusal error={error} onRetry={() => void load()} onSignIn={onSignIn} />
      )}
      {who === null && error === null && (
        <p role="status" class="quiet">
          Asking…
        </p>
      )}
      {who !== null && (
        <dl class="facts">
          <Fact name="Name">{who.username}</Fact>
          <Fact name="Email">{who.email ?? "none that has been verified"}</Fact>
          <Fact name="Groups">{who.groups.length > 0 ? who.groups.join(", ") : "none"}</Fact>
          <Fact name="Identifier">
            <code>{who.sub}</code>
          </Fact>
          {person.signedInAt !== null && <Fact name="Signed in">{moment(person.signedInAt)}</Fact>}
          <Fact name="Your pass">
            {expiresAt === null
              ? "over; sign in again for another"
              : `good until ${moment(expiresAt)}; renews itself before that, while this page is open`}
          </Fact>
        </dl>
      )}
      <p class="row">
        <button type="button" class="button" onClick={onSignOut}>
          Sign out everywhere in this browser
        </button>
      </p>
      <Trials api={api} />
    </div>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Be refused, on purpose. */
function Trials({ api }: { readonly api: Api }) {
  const [answer, setAnswer] = useState<Problem | "unreachable" | "let in" | null>(null);
  const ask = async (authorization: string | null): Promise<void> => {
    try {
      const headers = new Headers({ accept: "application/json" });
      if (authorization !== null) headers.set("authorization", authorization);
      const response = await fetch(api.url("/whoami"), { headers, cache: "no-store", credentials: "omit" });
      const found = response.ok ? "let in" : await readProblem(response);
      setAnswer(found);
      announce(found === "let in" ? "Let in" : `Refused: ${found.title}`);
    } catch {
      setAnswer("unreachable");
    }
  };
  return (
    <section aria-labelledby="trials" class="trials">
      <h2 id="trials">Be refused, on purpose</h2>
      <p>See what the gateway answers to a request that should not get in. Your session is not touched.</p>
      <div class="row">
        <button type="button" class="button" onClick={() => void ask(null)}>
          Ask without a token
        </button>
        <button type="button" class="button" onClick={() => void ask("Bearer eyJhbGciOiJub25lIn0.e30.")}>
          Ask with a forged one
        </button>
      </div>
      {answer !== null && (
        <div class="answer">
          {typeof answer === "string" ? (
            <p>{answer === "unreachable" ? "No answer came." : "It was let in: the policy admits anyone here."}</p>
          ) : (
            <>
              <p>
                <strong>
                  {answer.status} {answer.title}
                </strong>
              </p>
              <p>{answer.detail}</p>
              <p class="fine">
                Code <code>{answer.code}</code>
                {answer.requestId !== null && (
                  <>
                    {" · "}request <code>{answer.requestId}</code>
                  </>
                )}
              </p>
            </>
          )}
        </div>
      )}
    </section>
  );
}

function parseWhoami(value: unknown): Whoami {
  const fields = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (name: string): string => {
    const field = fields[name];
    return typeof field === "string" ? field : "";
  };
  const groups = Array.isArray(fields["groups"]) ? fields["groups"] : [];
  return {
    username: text("username"),
    email: text("email") || null,
    groups: groups.filter((group): group is string => typeof group === "string"),
    sub: text("sub"),
  };
}

function moment(time: number): string {
  const sameDay = new Date(time).toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(undefined, sameDay ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" }).format(
    time,
  );
}
