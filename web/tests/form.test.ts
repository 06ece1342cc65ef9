import { expect, test } from "vitest";
import { parseBook } from "../src/books";
import { Drafts } from "../src/drafts";
import { EMPTY, faultsFromServer, faultsOf, fieldsOf, typedOf, type Typed } from "../src/form";
import { compare, merged } from "../src/merge";
import { MemoryStorage } from "./memory";

const GOOD: Typed = { title: "T", author: "A", year: "1969", notes: "" };
const BASE: Typed = { title: "t", author: "a", year: "1", notes: "n" };

test("a good form has no faults, an empty one two", () => {
  expect(faultsOf(GOOD)).toEqual({});
  expect(Object.keys(faultsOf(EMPTY))).toEqual(["title", "author"]);
});

test("200 characters of a title fit and 201 do not, counted as the server counts", () => {
  expect(faultsOf({ ...GOOD, title: "𝔘".repeat(200) })).toEqual({});
  expect(faultsOf({ ...GOOD, title: "x".repeat(201) }).title).toContain("201");
});

test.each(["1969", " 1969 ", "", "-800"])("the year %j is fine", (year) => {
  expect(faultsOf({ ...GOOD, year })).toEqual({});
});

test.each(["soon", "19,69", "1e3", "12345", "19.5"])("the year %j is not", (year) => {
  expect(faultsOf({ ...GOOD, year }).year).toBeDefined();
});

test("what is sent is trimmed, and an empty year is none", () => {
  expect(fieldsOf({ title: " T ", author: "A", year: " ", notes: "\n" })).toEqual({ title: "T", author: "A", year: null, notes: "" });
  expect(typedOf({ title: "T", author: "A", year: null, notes: "" })).toEqual({ ...GOOD, year: "" });
});

test("the server's faults go to their fields, the rest apart", () => {
  const { faults, rest } = faultsFromServer([
    { field: "year", detail: "No." },
    { field: "isbn", detail: "What?" },
  ]);
  expect(faults).toEqual({ year: "No." });
  expect(rest).toEqual(["isbn: What?"]);
});

test("who alone changed a field is taken; where both did, the person's own words", () => {
  const differences = compare(BASE, { ...BASE, title: "mine", notes: "mine" }, { ...BASE, author: "theirs", notes: "theirs" });
  expect(differences.map(({ field, both, suggested }) => [field, both, suggested])).toEqual([
    ["title", false, "mine"],
    ["author", false, "theirs"],
    ["notes", true, "mine"],
  ]);
});

test("the same change on both sides is no difference", () => {
  expect(compare(BASE, { ...BASE, title: "same" }, { ...BASE, title: "same" })).toEqual([]);
});

test("a merge takes each field from the chosen side", () => {
  const mine = { ...BASE, title: "mine", year: "2" };
  const theirs = { ...BASE, title: "theirs", year: "3" };
  expect(merged(mine, theirs, { title: "theirs", year: "mine" })).toEqual({ ...BASE, title: "theirs", year: "2" });
});

test("a draft is its writer's alone", () => {
  const storage = new MemoryStorage();
  const draft = { typed: GOOD, base: EMPTY, version: 0 };
  new Drafts(storage, "me").save("new", draft);
  expect(new Drafts(storage, "me").load("new")).toEqual(draft);
  expect(new Drafts(storage, "you").load("new")).toBeNull();
  new Drafts(storage, "me").drop("new");
  expect(new Drafts(storage, "me").load("new")).toBeNull();
});

test("a draft of another version of the page is none", () => {
  const storage = new MemoryStorage();
  storage.setItem("draft.me.new", '{"typed": {"title": 1}, "base": {}, "version": 0}');
  expect(new Drafts(storage, "me").load("new")).toBeNull();
  storage.setItem("draft.me.new", "{");
  expect(new Drafts(storage, "me").load("new")).toBeNull();
});

test("a book without id or version is none", () => {
  expect(() => parseBook({ id: "1" })).toThrow(TypeError);
  expect(() => parseBook(null)).toThrow(TypeError);
  expect(parseBook({ id: "1", version: 2, year: "x" })).toMatchObject({ title: "", year: null, version: 2 });
});
