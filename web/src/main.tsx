// Start: read the configuration, find out who is here, draw.

import { render } from "preact";
import { Api } from "./api";
import { Books } from "./books";
import { ConfigError, loadConfig, properAddress } from "./config";
import { hostedUi } from "./oidc";
import { Session } from "./session";
import { otherTabs } from "./tabs";
import { App } from "./ui/App";
import { Broken } from "./ui/Broken";

async function start(root: HTMLElement): Promise<void> {
  if (!isSecureContext) throw new ConfigError("It was opened over plain http; browsers sign in over https alone.");
  const config = await loadConfig();
  const elsewhere = properAddress(config, location);
  if (elsewhere !== null) {
    location.replace(elsewhere);
    return;
  }
  const clock = Date.now;
  const session = new Session({
    login: hostedUi(config, location.origin, sessionStorage, clock),
    tabs: otherTabs(),
    storage: sessionStorage,
    clock,
    leave: (url) => {
      location.assign(url);
    },
    replaceAddress: (place) => {
      history.replaceState(null, "", `/${place}`);
    },
  });
  const api = new Api(config.api, session);
  await session.start(location);
  render(<App config={config} session={session} api={api} books={new Books(api)} />, root);
  const wake = (): void => {
    if (document.visibilityState === "visible") session.wake();
  };
  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  addEventListener("pageshow", (event) => {
    if (event.persisted) session.comeBack();
    wake();
  });
}

const root = document.getElementById("app");
if (root !== null) {
  start(root).catch((error: unknown) => {
    // Also a browser that keeps nothing for this site: the way back from the login needs session storage.
    render(<Broken reason={error instanceof Error ? error.message : String(error)} />, root);
  });
}
