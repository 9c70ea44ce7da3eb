/** An authorisation server to try the examples with: `oauth2-mock-server`, which logs everybody in. Not for production. */
import { OAuth2Server } from "oauth2-mock-server";

/** The server, and the options of a `Session` for it; `expiresIn`: seconds for an access token. */
export async function startAuthorizationServer(redirectUrl, { expiresIn = 3600 } = {}) {
  const server = new OAuth2Server();
  await server.issuer.keys.generate("RS256");
  await server.start(0, "127.0.0.1");
  const { issuer, service } = server;
  service.on("beforeResponse", ({ body }) => {
    body.expires_in = expiresIn;
  });
  const options = {
    clientId: "example",
    clientSecret: "example-secret",
    authorizationUrl: `${issuer.url}/authorize`,
    tokenUrl: `${issuer.url}/token`,
    revocationUrl: `${issuer.url}/revoke`,
    redirectUrl,
    scope: "openid",
  };
  return { options, service, stop: () => server.stop() };
}
