// Two versions of one book, side by side, and the choice between them, field by field.

import { useEffect, useRef, useState } from "preact/hooks";
import { typedOf, LABELS, type FieldName, type Typed } from "../form";
import type { Book } from "../books";
import { compare, merged, type Difference, type Side } from "../merge";
import { SessionEndedError } from "../session";
import { Refusal } from "./Refusal";

interface Props {
  readonly base: Typed;
  readonly mine: Typed;
  readonly theirs: Book;
  readonly busy: boolean;
  readonly error: unknown;
  readonly onSignIn: () => void;
  readonly onSave: (chosen: Typed) => void;
  readonly onEdit: (chosen: Typed) => void;
  readonly onDiscard: () => void;
}

type Choices = Partial<Record<FieldName, Side>>;

export function Conflict({ base, mine, theirs, busy, error, onSignIn, onSave, onEdit, onDiscard }: Props) {
  const now = typedOf(theirs);
  const differences = compare(base, mine, now);
  const [chosen, setChosen] = useState<Choices>({});
  const choices: Choices = {
    ...Object.fromEntries(differences.map(({ field, suggested }) => [field, suggested])),
    ...chosen,
  };
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus();
    // A third person: the comparison begins again.
    setChosen({});
  }, [theirs.version]);

  const result = merged(mine, now, choices);
  return (
    <section class="conflict" aria-labelledby="conflict-title">
      <h2 id="conflict-title" ref={heading} tabIndex={-1}>
        This book was changed elsewhere while you were typing
      </h2>
      <p>In another tab or on another device, perhaps. Nothing is lost: choose, for each difference, what it shall say.</p>
      {differences.map((difference) => (
        <Choice
          key={difference.field}
          difference={difference}
          value={choices[difference.field] ?? difference.suggested}
          onChoose={(side) => {
            setChosen({ ...choices, [difference.field]: side });
          }}
        />
      ))}
      {error !== null && !(error instanceof SessionEndedError) && (
        <Refusal
          error={error}
          onRetry={() => {
            onSave(result);
          }}
          onSignIn={onSignIn}
        />
      )}
      <div class="row">
        <button
          type="button"
          class="button primary"
          aria-disabled={busy}
          onClick={() => {
            onSave(result);
          }}
        >
          {busy ? "Saving…" : "Save this choice"}
        </button>
        <button
          type="button"
          class="button"
          onClick={() => {
            onEdit(result);
          }}
        >
          Go on editing
        </button>
        <button type="button" class="button danger" onClick={onDiscard}>
          Discard mine
        </button>
      </div>
    </section>
  );
}

interface ChoiceProps {
  readonly difference: Difference;
  readonly value: Side;
  readonly onChoose: (side: Side) => void;
}

function Choice({ difference, value, onChoose }: ChoiceProps) {
  const { field, both } = difference;
  return (
    <fieldset class="choice">
      <legend>
        {LABELS[field]}
        <span class="tag">{both ? "changed in both" : difference.suggested === "mine" ? "changed here" : "changed elsewhere"}</span>
      </legend>
      <div class="sides">
        {(["mine", "theirs"] as const).map((side) => (
          <label key={side} class={value === side ? "side chosen" : "side"}>
            <span class="side-head">
              <input
                type="radio"
                name={`choice-${field}`}
                checked={value === side}
                onChange={() => {
                  onChoose(side);
                }}
              />
              {side === "mine" ? "What you typed" : "What is saved now"}
            </span>
            <span class="side-text">{difference[side] || <em>empty</em>}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
