// The form of a book: what is typed (all text), what it means, what is wrong with it.

import { LIMITS, type Fields } from "./books";

/** What stands in the form's fields. */
export interface Typed {
  readonly title: string;
  readonly author: string;
  readonly year: string;
  readonly notes: string;
}

export type FieldName = keyof Typed;
export type Faults = Partial<Record<FieldName, string | undefined>>;

export const FIELD_NAMES: readonly FieldName[] = ["title", "author", "year", "notes"];
export const LABELS: Readonly<Record<FieldName, string>> = {
  title: "Title",
  author: "Author",
  year: "Year",
  notes: "Notes",
};
export const EMPTY: Typed = { title: "", author: "", year: "", notes: "" };

export function typedOf(fields: Fields): Typed {
  return { ...EMPTY, ...fields, year: fields.year === null ? "" : String(fields.year) };
}

export function sameTyped(a: Typed, b: Typed): boolean {
  return FIELD_NAMES.every((name) => a[name] === b[name]);
}

/** Say what is wrong, for each field. The server has the last word; this saves a round trip. */
export function faultsOf(typed: Typed): Faults {
  const faults: Faults = {};
  if (typed.title.trim() === "") faults.title = "Enter a title.";
  if (typed.author.trim() === "") faults.author = "Enter an author.";
  for (const name of ["title", "author", "notes"] as const) {
    const length = lengthOf(typed[name]);
    if (length > LIMITS[name]) faults[name] = `At most ${LIMITS[name]} characters; these are ${length}.`;
  }
  if (!/^\s*(-?\d{1,4})?\s*$/.test(typed.year)) faults.year = "Enter a year as a number, such as 1969, or leave it empty.";
  return faults;
}

/** Count as the server does: code points, not UTF-16 units. */
export function lengthOf(text: string): number {
  return Array.from(text).length;
}

/** Return what is sent. To be called when `faultsOf` finds nothing. */
export function fieldsOf(typed: Typed): Fields {
  const year = typed.year.trim();
  return {
    title: typed.title.trim(),
    author: typed.author.trim(),
    year: year === "" ? null : Number(year),
    notes: typed.notes.trim(),
  };
}

/** Bring a server's list of wrong fields to the fields; what belongs to none is returned apart. */
export function faultsFromServer(errors: readonly { field: string; detail: string }[]): { faults: Faults; rest: string[] } {
  const faults: Faults = {};
  const rest: string[] = [];
  for (const { field, detail } of errors) {
    const name = FIELD_NAMES.find((known) => known === field);
    if (name === undefined) rest.push(`${field}: ${detail}`);
    else faults[name] ??= detail;
  }
  return { faults, rest };
}
