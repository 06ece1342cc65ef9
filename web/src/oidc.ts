// Cognito's hosted UI: authorization code with PKCE, refresh, revoke. `oidc-client-ts` does the protocol.
//
// The endpoints are spelt out: the discovery document is on another host, and on the local system leads off the machine.
// There is no silent renewal in a hidden frame: refresh tokens do that here.
// Source: https://docs.aws.amazon.com/cognito/latest/developerguide/federation-endpoints.html

import { ErrorResponse, OidcClient, WebStorageStateStore } from "oidc-client-ts";
import type { Config } from "./config";
import { fromAnswer, type Tokens } from "./tokens";

/** The login refuses: the person said no, a code was used twice, a refresh token is over or was revoked. */
export class LoginRefusedError extends Error {
  override readonly name = "LoginRefusedError";
}

/** The login could not be asked. Nothing is known of the session, least of all that it is over. */
export class LoginUnreachableError extends Error {
  override readonly name = "LoginUnreachableError";
}

/** What the session needs of the login. */
export interface Login {
  /** Return the address that a person signs in at; `returnTo` comes back with them. */
  start(returnTo: string): Promise<string>;
  /** Exchange the code in an address for tokens. */
  finish(url: string): Promise<{ tokens: Tokens; returnTo: string }>;
  renew(tokens: Tokens): Promise<Tokens>;
  /** Make a refresh token, and what came of it, worthless. */
  revoke(refreshToken: string): Promise<void>;
  /** The address that ends the login's own session, and leads back here. */
  readonly logoutUrl: string;
}

const TIMEOUT_S = 10;

export function hostedUi(config: Config, origin: string, storage: Storage, clock: () => number): Login {
  const home = `${origin}/`;
  const at = (path: string): string => `${config.loginUrl}${path}`;
  const client = new OidcClient({
    authority: config.loginUrl,
    metadata: {
      issuer: `https://cognito-idp.${config.region}.amazonaws.com/${config.userPoolId}`,
      authorization_endpoint: at("/oauth2/authorize"),
      token_endpoint: at("/oauth2/token"),
      revocation_endpoint: at("/oauth2/revoke"),
    },
    client_id: config.clientId,
    redirect_uri: home,
    response_type: "code",
    scope: "openid email profile",
    loadUserInfo: false,
    // Times are ours to read; the rest of the protocol's claims have been checked by then.
    filterProtocolClaims: false,
    fetchRequestCredentials: "omit",
    requestTimeoutInSeconds: TIMEOUT_S,
    stateStore: new WebStorageStateStore({ prefix: "sign-in.", store: storage }),
  });

  return {
    async start(returnTo) {
      await client.clearStaleState();
      const nonce = crypto.randomUUID();
      const request = await client.createSigninRequest({ state: { returnTo }, nonce });
      return request.url;
    },

    async finish(url) {
      const answer = await translated(client.processSigninResponse(url));
      const tokens = fromAnswer(
        { idToken: answer.id_token, refreshToken: answer.refresh_token, expiresIn: answer.expires_in },
        { ...answer.profile },
        clock(),
      );
      return { tokens, returnTo: returnAddress(answer.userState) };
    },

    async renew(tokens) {
      if (tokens.refreshToken === null) throw new LoginRefusedError("There is no refresh token.");
      // Without the old ID token, whose `auth_time` the library would compare: emulators move it. Ours is the check of
      // `sub`, below: a refresh never changes who the person is.
      const state = {
        refresh_token: tokens.refreshToken,
        scope: "openid email profile",
        session_state: null,
        profile: { sub: tokens.sub, iss: "", aud: "", exp: 0, iat: 0 },
      };
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- the library keeps its constructor
      const answer = await translated(client.useRefreshToken({ state, timeoutInSeconds: TIMEOUT_S }));
      const renewed = fromAnswer(
        // Where refresh tokens do not rotate, none comes and the old one stays.
        { idToken: answer.id_token, refreshToken: answer.refresh_token, expiresIn: answer.expires_in },
        { ...answer.profile },
        clock(),
      );
      if (renewed.sub !== tokens.sub) throw new LoginRefusedError("The login answered for somebody else.");
      return {
        ...renewed,
        refreshToken: renewed.refreshToken ?? tokens.refreshToken,
        signedInAt: tokens.signedInAt,
      };
    },

    async revoke(refreshToken) {
      await translated(client.revokeToken(refreshToken, "refresh_token"));
    },

    logoutUrl: `${at("/logout")}?${new URLSearchParams({ client_id: config.clientId, logout_uri: home }).toString()}`,
  };
}

/** Whether an address is the login's answer: a code or an error, each with the state. */
export function isLoginAnswer(search: string): boolean {
  const query = new URLSearchParams(search);
  return query.has("state") && (query.has("code") || query.has("error"));
}

/** Only a place within this page: the state is ours, but what it says goes into the address bar. */
function returnAddress(state: unknown): string {
  const value = typeof state === "object" && state !== null && "returnTo" in state ? state.returnTo : null;
  return typeof value === "string" && value.startsWith("#/") ? value : "#/";
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ErrorResponse) {
      throw new LoginRefusedError(error.error_description ?? error.error ?? "The login refused.");
    }
    // Library and platform throw plain errors for both; those of the platform, and of a server in trouble, are passing.
    const message = error instanceof Error ? error.message : "";
    if (error instanceof TypeError || /timed? ?out|network|content-type|\(5\d\d\)/i.test(message)) {
      throw new LoginUnreachableError("The login did not answer.", { cause: error });
    }
    throw new LoginRefusedError(message || "The login refused.", { cause: error });
  }
}
