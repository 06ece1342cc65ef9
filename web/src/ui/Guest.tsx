// What a person sees who is not signed in: what this is, what signing in means, and the button.

import { isLocal, type Config } from "../config";
import type { Farewell } from "../session";
import { useHeading } from "./hooks";
import { Board, Mark } from "./Mark";

interface Props {
  readonly config: Config;
  readonly farewell: Farewell;
  readonly problem: string | null;
  readonly onSignIn: () => void;
}

const FAREWELLS: Readonly<Record<Exclude<Farewell, null>, string>> = {
  "signed-out": "You are signed out, here and at the sign-in page.",
  "signed-out-elsewhere": "You signed out in another tab, so this one is signed out as well.",
  ended: "Your session has ended. Sign in again; what you typed is kept.",
};

export function Guest({ config, farewell, problem, onSignIn }: Props) {
  const heading = useHeading("Welcome");
  return (
    <div class="guest">
      <header class="plain">
        <span class="brand">
          <Mark />
          <span>Shelf</span>
        </span>
      </header>
      <main>
        {problem !== null && (
          <p class="note bad" role="alert">
            {problem}
          </p>
        )}
        {problem === null && farewell !== null && (
          <p class="note" role="status">
            {FAREWELLS[farewell]}
          </p>
        )}
        <section class="hero" aria-labelledby="welcome">
          <div>
            <h1 id="welcome" ref={heading} tabIndex={-1}>
              A shelf of books, for people who are let in
            </h1>
            <p class="lead">
              Everybody who signs in sees the same books and can add their own. Only the person who added a book can change it.
            </p>
            <p>
              <button type="button" class="button primary large" onClick={onSignIn}>
                Sign in
              </button>
            </p>
            {isLocal(config) && (
              <p class="quiet">
                This is a local system. The demo user is called <code>demo</code>; the password is in{" "}
                <code>outputs.json</code>, in the folder that <code>make run</code> named (<code>.local</code>, as a rule).
              </p>
            )}
          </div>
          <Board />
        </section>
        <section aria-labelledby="how">
          <h2 id="how">What happens when you sign in</h2>
          <ol class="steps">
            <li>
              <h3>You prove who you are, elsewhere</h3>
              <p>Amazon Cognito’s own page asks for your password. This site never sees it.</p>
            </li>
            <li>
              <h3>You come back with a pass</h3>
              <p>It is good for about an hour and renews itself. It stays in this tab, and is gone when you close it.</p>
            </li>
            <li>
              <h3>Every request is checked</h3>
              <p>The gateway looks at the pass at CloudFront’s edge, before anything reaches the application.</p>
            </li>
          </ol>
        </section>
      </main>
      <footer class="plain quiet">An example behind the Cognito edge gateway.</footer>
    </div>
  );
}
