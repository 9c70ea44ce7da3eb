/** What a session sends and takes, compared with oauth4webapi, which is not part of the package (docs/adr/0009). */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import * as oauth from "oauth4webapi";
import { MemoryStateStorage, Session } from "../../pkg/index.js";
import { json, startAuthorizationServer } from "./support/authorization-server.js";

const insecure = { [oauth.allowInsecureRequests]: true };
let server, as, client, authentication;

before(async () => {
  server = await startAuthorizationServer();
  const { tokenUrl, revocationUrl, clientId, clientSecret } = server.options;
  as = { issuer: server.origin, token_endpoint: tokenUrl, revocation_endpoint: revocationUrl };
  client = { client_id: clientId };
  authentication = oauth.ClientSecretPost(clientSecret);
});
after(() => server.close());

const make = () => new Session({ ...server.options, storage: new MemoryStateStorage() });
const fieldsOf = ({ body }) => Object.fromEntries([...new URLSearchParams(body)].sort());

test("the challenge is the one of its verifier", async () => {
  const session = make();
  const url = new URL(session.getAuthUrl());
  await session.handleAuthorizationCodeRequest("u", { url: await server.logIn(url.href) });
  const { code_verifier: verifier } = fieldsOf(server.log.at(-1));
  assert.equal(await oauth.calculatePKCECodeChallenge(verifier), url.searchParams.get("code_challenge"));
});

test("requests for a code, for a refresh and for a revocation have the same fields", async () => {
  const session = make();
  server.lifetimes.set("ada", 0);
  const back = new URL(await server.logIn(session.getAuthUrl()));
  await session.handleAuthorizationCodeRequest("u", { url: back.href });
  const ours = [fieldsOf(server.log.at(-1))];
  await session.getAccessToken("u");
  ours.push(fieldsOf(server.log.at(-1)));
  await session.revokeToken("u");
  ours.push(...server.log.slice(-2).map(fieldsOf));

  const { code, code_verifier: verifier } = ours[0];
  const state = back.searchParams.get("state");
  const params = oauth.validateAuthResponse(as, client, new URLSearchParams({ code, state }), state);
  const { redirectUrl } = server.options;
  await oauth.authorizationCodeGrantRequest(as, client, authentication, params, redirectUrl, verifier, insecure);
  const theirs = [fieldsOf(server.log.at(-1))];
  await oauth.refreshTokenGrantRequest(as, client, authentication, ours[1].refresh_token, insecure);
  theirs.push(fieldsOf(server.log.at(-1)));
  for (const { token, token_type_hint: hint } of ours.slice(2)) {
    const additionalParameters = { token_type_hint: hint };
    await oauth.revocationRequest(as, client, authentication, token, { ...insecure, additionalParameters });
    theirs.push(fieldsOf(server.log.at(-1)));
  }
  assert.deepEqual(ours, theirs);
});

const good = { access_token: "a", token_type: "Bearer", expires_in: 60, refresh_token: "r" };
const ANSWERS = [
  [200, good, true],
  [200, { ...good, token_type: "bearer" }, true],
  [200, { ...good, refresh_token: undefined }, true],
  [200, { ...good, expires_in: undefined }, true],
  [200, { ...good, access_token: undefined }, false],
  [200, { ...good, access_token: "" }, false],
  [200, { ...good, access_token: 7 }, false],
  [200, { ...good, token_type: "mac" }, false],
  [200, { ...good, refresh_token: 7 }, false],
  [200, [], false],
  [200, null, false],
  [400, { error: "invalid_grant" }, false],
  [401, { error: "invalid_client" }, false],
  [500, {}, false],
];

test("answers of the token endpoint are taken and refused alike", async () => {
  for (const [status, answer, isTaken] of ANSWERS) {
    const session = make();
    const back = await server.logIn(session.getAuthUrl());
    server.answer("token", ({ outgoing }) => json(outgoing, status, answer));
    const ours = await session.exchangeCodeForAccessToken("u", back).then(
      () => true,
      () => false,
    );
    const theirs = await oauth.processGenericTokenEndpointResponse(as, client, Response.json(answer, { status })).then(
      () => true,
      () => false,
    );
    assert.deepEqual([ours, theirs], [isTaken, isTaken], JSON.stringify([status, answer]));
  }
});

test("answers to a login are taken and refused alike", async () => {
  for (const change of [
    () => {},
    (query) => query.set("state", "other"),
    (query) => query.delete("state"),
    (query) => query.append("state", "second"),
    (query) => query.set("iss", "https://attacker.example"),
    (query) => query.set("iss", server.origin),
    (query) => query.set("error", "access_denied"),
  ]) {
    const session = make();
    const url = new URL(await server.logIn(session.getAuthUrl()));
    const state = url.searchParams.get("state");
    change(url.searchParams);
    let theirs = true;
    try {
      oauth.validateAuthResponse(as, client, url, state);
    } catch {
      theirs = false;
    }
    const ours = await session.handleAuthorizationCodeRequest("u", { url: url.href }).then(
      () => true,
      () => false,
    );
    assert.equal(ours, theirs, `${change}`);
  }
});
