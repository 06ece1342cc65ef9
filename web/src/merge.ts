// Two people changed one book: bring both changes together, field by field, and leave to a person what only one can decide.

import { FIELD_NAMES, type FieldName, type Typed } from "./form";

export type Side = "mine" | "theirs";

export interface Difference {
  readonly field: FieldName;
  readonly mine: string;
  readonly theirs: string;
  /** Whether both changed it; otherwise the one who did is taken. */
  readonly both: boolean;
  /** What is taken unless the person says otherwise. Their own words, where both wrote, so that no typing is lost unasked. */
  readonly suggested: Side;
}

/**
 * Compare three versions of a book.
 *
 * @param base What the person began with.
 * @param mine What they have typed.
 * @param theirs What is on the server now.
 */
export function compare(base: Typed, mine: Typed, theirs: Typed): Difference[] {
  return FIELD_NAMES.filter((field) => mine[field] !== theirs[field]).map((field) => {
    const iChanged = mine[field] !== base[field];
    const theyChanged = theirs[field] !== base[field];
    return {
      field,
      mine: mine[field],
      theirs: theirs[field],
      both: iChanged && theyChanged,
      suggested: iChanged ? "mine" : "theirs",
    };
  });
}

/** Return the merged version that the choices make. */
export function merged(mine: Typed, theirs: Typed, choices: Readonly<Partial<Record<FieldName, Side>>>): Typed {
  const pick = (field: FieldName): string => (choices[field] === "theirs" ? theirs[field] : mine[field]);
  return { title: pick("title"), author: pick("author"), year: pick("year"), notes: pick("notes") };
}
