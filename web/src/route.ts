// Which screen an address means. After `#`, so that the server is never asked for it and needs no rule for it.

export type Route =
  | { readonly at: "books" }
  | { readonly at: "new" }
  | { readonly at: "edit"; readonly id: string }
  | { readonly at: "account" }
  | { readonly at: "nowhere" };

export function parseRoute(hash: string): Route {
  const parts = hash.replace(/^#?\/?/, "").split("/");
  if (parts.length === 1) {
    if (parts[0] === "") return { at: "books" };
    if (parts[0] === "new" || parts[0] === "account") return { at: parts[0] };
  }
  if (parts.length === 2 && parts[0] === "books" && parts[1]) {
    try {
      return { at: "edit", id: decodeURIComponent(parts[1]) };
    } catch {
      return { at: "nowhere" };
    }
  }
  return { at: "nowhere" };
}

export function hrefOf(route: Exclude<Route, { at: "nowhere" }>): string {
  switch (route.at) {
    case "books":
      return "#/";
    case "edit":
      return `#/books/${encodeURIComponent(route.id)}`;
    default:
      return `#/${route.at}`;
  }
}
