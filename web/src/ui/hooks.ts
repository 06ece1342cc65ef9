// What the screens share: the session's state, the address, the title and the focus, and spoken results.

import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";
import { parseRoute, type Route } from "../route";
import type { Session, State } from "../session";

export function useSession(session: Session): State {
  const [state, setState] = useState(session.state);
  useEffect(() => {
    const look = (): void => {
      setState(session.state);
    };
    look();
    return session.watch(look);
  }, [session]);
  return state;
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = (): void => {
      setHash(location.hash);
    };
    // Effects run after the screen is drawn: the address may have changed in between.
    look();
    addEventListener("hashchange", look);
    addEventListener("popstate", look);
    return () => {
      removeEventListener("hashchange", look);
      removeEventListener("popstate", look);
    };
  }, []);
  return parseRoute(hash);
}

let screens = 0;

/** Name the screen in the window's title, and lead keyboards and screen readers to its heading. */
export function useHeading(title: string): RefObject<HTMLHeadingElement | null> {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – Shelf`;
  }, [title]);
  useEffect(() => {
    // Not at the first screen: a page that has just loaded begins at its top.
    if (screens++ > 0) {
      heading.current?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }, []);
  return heading;
}

/** Have a screen reader say something, whatever happens to the element that it is about. */
export function announce(text: string): void {
  const region = document.getElementById("spoken");
  if (region === null) return;
  // The same text twice would be no change, and not be said.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
