import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LoginUnreachableError } from "../src/oidc";
import { SessionEndedError } from "../src/session";
import { Browser, FakeLogin, openTab, type Rig } from "./memory";

const HOME = { href: "https://shelf.example/", search: "" };
const ANSWER = { href: "https://shelf.example/?code=c&state=s", search: "?code=c&state=s" };
const HOUR = 3_600_000;

let browser: Browser;
let login: FakeLogin;
let tab: Rig;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000 });
  browser = new Browser();
  login = new FakeLogin(Date.now);
  tab = openTab(browser, login, Date.now);
});
afterEach(() => {
  vi.useRealTimers();
});

test("a first visit is a guest's", async () => {
  await tab.session.start(HOME);
  expect(tab.session.state).toEqual({ kind: "guest", farewell: null, problem: null });
  await expect(tab.session.idToken()).rejects.toBeInstanceOf(SessionEndedError);
});

test("the code leaves the address before the login is asked", async () => {
  const finish = vi.spyOn(login, "finish").mockImplementation(() => {
    expect(tab.addresses).toEqual(["#/"]);
    return Promise.resolve({ tokens: login.tokens(), returnTo: "#/new" });
  });
  await tab.session.start(ANSWER);
  expect(finish).toHaveBeenCalledWith(ANSWER.href);
  expect(tab.addresses).toEqual(["#/", "#/new"]);
  expect(tab.session.state.kind).toBe("signed-in");
});

test("an address that changes under our feet is read once", async () => {
  const live = { ...ANSWER };
  const finish = vi.spyOn(login, "finish");
  const moving = openTab(browser, login, Date.now);
  const starting = moving.session.start(live);
  live.href = HOME.href;
  await starting;
  expect(finish).toHaveBeenCalledWith(ANSWER.href);
});

test("a refused sign-in is a guest who is told why", async () => {
  await tab.session.start({ href: "https://shelf.example/?error=x&state=s", search: "?error=x&state=s" });
  expect(tab.session.state).toMatchObject({ kind: "guest", problem: expect.stringContaining("You said no") as string });
});

test("going Back to a used code keeps the session", async () => {
  await tab.session.start(ANSWER);
  vi.spyOn(login, "finish").mockRejectedValue(new Error("used"));
  await tab.session.start(ANSWER);
  expect(tab.session.state.kind).toBe("signed-in");
});

test("a reload keeps the session", async () => {
  await tab.session.start(ANSWER);
  const again = openTab(new Browser(), login, Date.now);
  again.storage.setItem("session", tab.storage.getItem("session") ?? "");
  await again.session.start(HOME);
  expect(again.session.state.kind).toBe("signed-in");
});

test("a token is renewed two minutes before its end, not earlier", async () => {
  await tab.session.start(ANSWER);
  await vi.advanceTimersByTimeAsync(HOUR - 120_001);
  expect(login.renewals).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(login.renewals).toBe(1);
  expect(await tab.session.idToken()).toBe("id+");
});

test("a token with five seconds left is sent, with less it is renewed first", async () => {
  await tab.session.start(ANSWER);
  login.fault = new LoginUnreachableError("away");
  vi.setSystemTime(Date.now() + HOUR - 5000);
  expect(await tab.session.idToken()).toBe("id");
  login.fault = null;
  vi.setSystemTime(Date.now() + 1);
  expect(await tab.session.idToken()).toBe("id+");
});

test("ten calls at once renew once", async () => {
  await tab.session.start(ANSWER);
  vi.setSystemTime(Date.now() + HOUR);
  const tokens = await Promise.all(Array.from({ length: 10 }, () => tab.session.idToken()));
  expect(new Set(tokens)).toEqual(new Set(["id+"]));
  expect(login.renewals).toBe(1);
});

test("an unreachable login does not end a session whose token still counts", async () => {
  await tab.session.start(ANSWER);
  login.fault = new LoginUnreachableError("away");
  await vi.advanceTimersByTimeAsync(HOUR - 60_000);
  expect(tab.session.state.kind).toBe("signed-in");
  expect(login.renewals).toBeGreaterThan(1);
  login.fault = null;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(await tab.session.idToken()).toBe("id+");
});

test("an unreachable login with a token that is over is an outage, not the session's end", async () => {
  await tab.session.start(ANSWER);
  login.fault = new LoginUnreachableError("away");
  vi.setSystemTime(Date.now() + HOUR);
  await expect(tab.session.idToken()).rejects.toBeInstanceOf(LoginUnreachableError);
  expect(tab.session.state.kind).toBe("signed-in");
});

test("a refused renewal ends the session and forgets the tokens, and says so after a reload", async () => {
  await tab.session.start(ANSWER);
  login.fault = new Error("invalid_grant");
  await expect(tab.session.anotherIdToken("id")).rejects.toBeInstanceOf(SessionEndedError);
  expect(tab.session.state).toMatchObject({ kind: "ended", person: { username: "demo" } });
  expect(tab.storage.getItem("session")).toBeNull();
  const again = openTab(browser, login, Date.now);
  again.storage.setItem("farewell", tab.storage.getItem("farewell") ?? "");
  await again.session.start(HOME);
  expect(again.session.state).toMatchObject({ kind: "guest", farewell: "ended" });
});

test("a token that was renewed meanwhile is not renewed for the refusal of the old one", async () => {
  await tab.session.start(ANSWER);
  expect(await tab.session.anotherIdToken("older")).toBe("id");
  expect(login.renewals).toBe(0);
});

test("Back from the sign-in page leads to where one was, not to a page that is about to leave", async () => {
  await tab.session.start(HOME);
  await tab.session.signIn("#/new");
  expect(tab.session.state).toEqual({ kind: "leaving", to: "sign-in" });
  tab.session.comeBack();
  expect(tab.session.state.kind).toBe("guest");
  await tab.session.start(ANSWER);
  tab.session.end("over");
  await tab.session.signIn("#/new");
  tab.session.comeBack();
  expect(tab.session.state.kind).toBe("ended");
});

test("Back after signing out shows a guest's page", async () => {
  await tab.session.start(ANSWER);
  await tab.session.signOut();
  tab.session.comeBack();
  expect(tab.session.state).toMatchObject({ kind: "guest", farewell: "signed-out" });
});

test("signing out forgets everything, revokes the refresh token, and ends the login's session", async () => {
  await tab.session.start(ANSWER);
  tab.storage.setItem("draft.sub-1.new", "typed");
  await tab.session.signOut();
  expect(tab.storage.length).toBe(1);
  expect(tab.storage.getItem("farewell")).toBe("signed-out");
  expect(login.revoked).toEqual(["refresh"]);
  expect(tab.left).toEqual([login.logoutUrl]);
});

test("signing out does not wait for a login that never answers", async () => {
  await tab.session.start(ANSWER);
  vi.spyOn(login, "revoke").mockReturnValue(new Promise(() => undefined));
  const going = tab.session.signOut();
  await vi.advanceTimersByTimeAsync(3000);
  await going;
  expect(tab.left).toEqual([login.logoutUrl]);
});

test("a renewal that comes back after the sign-out signs nobody in", async () => {
  await tab.session.start(ANSWER);
  const late = Promise.withResolvers<ReturnType<FakeLogin["tokens"]>>();
  vi.spyOn(login, "renew").mockReturnValue(late.promise);
  const token = tab.session.anotherIdToken("id");
  await tab.session.signOut();
  late.resolve(login.tokens());
  await expect(token).rejects.toBeInstanceOf(SessionEndedError);
  expect(tab.storage.getItem("session")).toBeNull();
});

test("a new tab takes the session of another", async () => {
  await tab.session.start(ANSWER);
  const second = openTab(browser, login, Date.now);
  await second.session.start(HOME);
  expect(second.session.state).toMatchObject({ kind: "signed-in", person: { username: "demo" } });
});

test("a new tab waits a second for one that is frozen, and is then a guest's", async () => {
  browser.tab().setSignedIn(true);
  const starting = tab.session.start(HOME);
  await vi.advanceTimersByTimeAsync(999);
  expect(tab.session.state.kind).toBe("starting");
  await vi.advanceTimersByTimeAsync(1);
  await starting;
  expect(tab.session.state.kind).toBe("guest");
});

test("two tabs renew once between them", async () => {
  await tab.session.start(ANSWER);
  const second = openTab(browser, login, Date.now);
  await second.session.start(HOME);
  vi.setSystemTime(Date.now() + HOUR);
  const tokens = await Promise.all([tab.session.idToken(), second.session.idToken()]);
  expect(tokens).toEqual(["id+", "id+"]);
  expect(login.renewals).toBe(1);
});

test("signing out in one tab signs out the other, with what was typed there", async () => {
  await tab.session.start(ANSWER);
  const second = openTab(browser, login, Date.now);
  await second.session.start(HOME);
  second.storage.setItem("draft.sub-1.new", "typed");
  await tab.session.signOut();
  expect(second.session.state).toEqual({ kind: "guest", farewell: "signed-out-elsewhere", problem: null });
  expect(second.storage.length).toBe(0);
});

test("signing in in one tab wakes another whose session had ended", async () => {
  await tab.session.start(ANSWER);
  tab.session.end("revoked");
  const second = openTab(browser, login, Date.now);
  await second.session.start(ANSWER);
  await vi.advanceTimersByTimeAsync(0);
  expect(tab.session.state.kind).toBe("signed-in");
});

test("a laptop that slept past the end renews when it wakes", async () => {
  await tab.session.start(ANSWER);
  vi.setSystemTime(Date.now() + 2 * HOUR);
  tab.session.wake();
  await vi.advanceTimersByTimeAsync(0);
  expect(login.renewals).toBe(1);
  tab.session.wake();
  expect(login.renewals).toBe(1);
});
