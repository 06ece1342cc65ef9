// What a refusal looks like: what happened, what the server says, and the one thing to do next.

import { adviceFor } from "../advice";
import { hrefOf } from "../route";

interface Props {
  readonly error: unknown;
  readonly onRetry: (() => void) | null;
  readonly onSignIn: () => void;
}

export function Refusal({ error, onRetry, onSignIn }: Props) {
  const advice = adviceFor(error);
  return (
    <div class="refusal" role="alert">
      <p class="refusal-title">{advice.title}</p>
      <p>
        {advice.detail && <>{advice.detail} </>}
        {advice.todo}
      </p>
      {(advice.code !== null || advice.requestId !== null) && (
        <p class="fine">
          {advice.code !== null && (
            <>
              Code <code>{advice.code}</code>
            </>
          )}
          {advice.code !== null && advice.requestId !== null && " · "}
          {advice.requestId !== null && (
            <>
              request <code>{advice.requestId}</code>
            </>
          )}
        </p>
      )}
      {advice.remedy === "retry" && onRetry !== null && (
        <button type="button" class="button" onClick={onRetry}>
          Try again
        </button>
      )}
      {(advice.remedy === "sign-in" || advice.remedy === "sign-in-again") && (
        <button type="button" class="button" onClick={onSignIn}>
          Sign in again
        </button>
      )}
      {advice.remedy === "back" && (
        <a class="button" href={hrefOf({ at: "books" })}>
          Back to the books
        </a>
      )}
    </div>
  );
}
